//! The loop that fuzzes on the stable toolchain: entries of a corpus, changed at random by a seed, as fast as a target
//! takes them. It sees no coverage and keeps nothing; libFuzzer does better where it runs.
#![allow(dead_code, unreachable_pub, reason = "the test of a corpus does not run for a time")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// What is made that is like each entry, in [`pass`].
const LIKE_IT: usize = 50;
/// Most bytes of what is made.
const BYTES_MAX: usize = 4096;

/// A source of numbers (SplitMix64).
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound.max(1) as u64).unwrap_or(0)
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }
}

/// The entries of a corpus by name, in an order that does not depend on the file system.
pub fn corpus(directory: &Path, target: &str) -> Vec<(String, Vec<u8>)> {
    let directory = directory.join(target);
    let files = std::fs::read_dir(&directory)
        .unwrap_or_else(|error| panic!("no corpus in {}: {error}", directory.display()));
    let mut entries: Vec<_> = files
        .map(|file| {
            let path = file.expect("a directory that can be listed").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            (name, std::fs::read(&path).expect("an entry that can be read"))
        })
        .collect();
    entries.sort();
    entries
}

/// Hands each target the entries of its corpus in `directory` and fifty that are like each; the same every time.
pub fn pass(targets: &[Target], directory: &Path) {
    let mut random = Random(1);
    for (target, body) in targets {
        let entries = corpus(directory, target);
        assert!(!entries.is_empty(), "{target}");
        for (_, entry) in &entries {
            body(entry);
            for _ in 0..LIKE_IT {
                let other = &entries[random.below(entries.len())].1;
                body(&mutate(&mut random, entry, other));
            }
        }
    }
}

/// Bytes that mean something: edges of numbers, and the marks of MessagePack.
const TELLING: [u8; 24] = [
    0x00, 0x01, 0x7F, 0x80, 0xFF, 0xFE, 0x90, 0x92, 0x95, 0x9F, 0xC0, 0xC1, 0xC4, 0xC5, 0xCC, 0xCD, 0xCE,
    0xCF, 0xD0, 0xD1, 0xD2, 0xD3, 0xDC, 0xDD,
];

/// Something like `entry`: one to eight changes, of which some take from `other`.
pub fn mutate(random: &mut Random, entry: &[u8], other: &[u8]) -> Vec<u8> {
    let mut bytes = entry.to_vec();
    for _ in 0..=random.below(8) {
        change(random, &mut bytes, other);
    }
    bytes.truncate(BYTES_MAX);
    bytes
}

fn change(random: &mut Random, bytes: &mut Vec<u8>, other: &[u8]) {
    let at = random.below(bytes.len());
    let end = at + random.below((bytes.len() - at).min(32) + 1);
    match random.below(9) {
        0 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
        1 if !bytes.is_empty() => bytes[at] = random.byte(),
        2 if !bytes.is_empty() => bytes[at] = TELLING[random.below(TELLING.len())],
        3 => bytes.insert(at, TELLING[random.below(TELLING.len())]),
        4 => drop(bytes.drain(at..end)),
        5 => {
            let copy = bytes[at..end].to_vec();
            bytes.splice(at..at, copy);
        }
        6 => {
            let from = random.below(other.len());
            let to = from + random.below((other.len() - from).min(64) + 1);
            bytes.splice(at..end, other[from..to].iter().copied());
        }
        7 if random.below(8) == 0 => bytes.truncate(at),
        8 if !bytes.is_empty() => {
            let step = u8::try_from(random.below(32)).unwrap_or(0);
            bytes[at] = bytes[at].wrapping_add(step).wrapping_sub(16);
        }
        _ => bytes.push(random.byte()),
    }
}

/// A fuzz target, by the name of its corpus.
type Target = (&'static str, fn(&[u8]));

/// What came of a run.
pub struct Outcome {
    pub executions: u64,
    pub took: Duration,
    /// What a target panicked at first.
    pub finding: Option<Vec<u8>>,
}

/// Runs a target for a time, or until it panics. (A build that aborts at a panic has it in the hook, see [`fuzz`].)
pub fn run_for(target: fn(&[u8]), entries: &[(String, Vec<u8>)], seed: u64, time: Duration) -> Outcome {
    let (mut random, begin, mut executions) = (Random(seed), Instant::now(), 0);
    while begin.elapsed() < time {
        for _ in 0..64 {
            let entry = &entries[random.below(entries.len())].1;
            let other = &entries[random.below(entries.len())].1;
            let data = mutate(&mut random, entry, other);
            executions += 1;
            NEWEST.with_borrow_mut(|newest| newest.clone_from(&data));
            if catch_unwind(AssertUnwindSafe(|| target(&data))).is_err() {
                return Outcome { executions, took: begin.elapsed(), finding: Some(data) };
            }
        }
    }
    Outcome { executions, took: begin.elapsed(), finding: None }
}

thread_local! {
    /// What a target works on, for whoever has to say at what it panicked.
    static NEWEST: std::cell::RefCell<Vec<u8>> = const { std::cell::RefCell::new(Vec::new()) };
}

/// `[TARGET…] --seconds N --seed N`: runs these targets, or all, one after the other, and prints what came of it. What a
/// target panics at goes to a file in the temporary directory, and makes the program fail, as does a target that there is
/// not.
#[expect(clippy::print_stdout, reason = "a program of which this is the output")]
#[must_use]
pub fn fuzz(targets: &[Target], directory: &Path) -> ExitCode {
    let (mut seconds, mut seed, mut names) = (60, 1, Vec::new());
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut number = || args.next().and_then(|number| number.parse().ok()).expect("a whole number");
        match arg.as_str() {
            "--seconds" => seconds = number(),
            "--seed" => seed = number(),
            _ => names.push(arg),
        }
    }
    if let Some(unknown) = names.iter().find(|name| !targets.iter().any(|(target, _)| target == name)) {
        let known: Vec<_> = targets.iter().map(|(name, _)| *name).collect();
        println!("there is no target {unknown}, but {}", known.join(", "));
        return ExitCode::FAILURE;
    }
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let file = std::env::temp_dir().join(format!("fuzz-finding-{}", std::process::id()));
        let written = NEWEST.with_borrow(|newest| std::fs::write(&file, newest));
        println!("{}: {written:?}", file.display());
        usual(panic);
    }));
    for &(name, target) in
        targets.iter().filter(|(name, _)| names.is_empty() || names.iter().any(|n| n == name))
    {
        let entries = corpus(directory, name);
        for (_, entry) in &entries {
            target(entry);
        }
        let outcome = run_for(target, &entries, seed, Duration::from_secs(seconds));
        let rate = u128::from(outcome.executions) * 1000 / outcome.took.as_millis().max(1);
        let found = if outcome.finding.is_some() { "a finding" } else { "nothing found" };
        println!("{name}: {} executions, {rate} a second, {found}", outcome.executions);
        if outcome.finding.is_some() {
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
