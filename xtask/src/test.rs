//! `test`: every check of this repository, one after the other, with one summary at the end.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::charts;
use crate::checkout::{Checkout, unfinished};
use crate::clock;
use crate::cluster::{self, REGION_IDS};
use crate::down;
use crate::engine::{Engine, Surroundings};
use crate::foreign;
use crate::images::{self, Images};
use crate::lock::Lock;
use crate::packages;
use crate::process;
use crate::progress::Progress;
use crate::state::{Region, State};
use crate::target::{self, cargo};
use crate::terraform::{self, Terraform};
use crate::tools::{self, Tools};
use crate::up;

/// Version of the licence checker.
const CARGO_DENY: &str = "0.20.2";

/// The workspace of the servers that ours is measured beside.
const PEERS: &str = "--manifest-path=gameserver/bots/bench/peers/Cargo.toml";

/// How much is tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Level {
    /// Every behaviour once
    Standard,
    /// Every way to lose a region, three regions by Terraform, `up` and `down` in other shapes and cut off at every point, and whether the servers of `bench peers` answer too
    Full,
}

/// `cargo xtask test`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Leave out what needs a cluster
    #[arg(long, conflicts_with_all = ["level", "contexts"])]
    fast: bool,
    /// How much is tested
    #[arg(long, value_enum, default_value_t = Level::Standard, conflicts_with = "contexts")]
    level: Level,
    #[command(flatten, next_help_heading = "The end-to-end suite alone, on clusters that exist")]
    foreign: foreign::Args,
}

/// How a stage ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Counts {
    passed: usize,
    failed: usize,
    /// `NAME: REASON` of tests that need what this machine has not.
    not_run: Vec<String>,
}

/// One line of the summary.
struct Outcome {
    stage: &'static str,
    took: Duration,
    counts: Counts,
    /// Whether the counts are tests, rather than the stage itself.
    tests: bool,
    error: Option<String>,
}

/// Runs all stages, whatever fails, and prints the summary; fails if anything failed.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let checkout = Checkout::locate()?;
    if args.foreign.is_given() {
        let suite = stage("end to end", true, || end_to_end_on(&args.foreign, &checkout));
        return Ok(summarize(&[suite], false));
    }
    let check = |arguments: &[&str]| check(cargo(&checkout)?.args(arguments));
    let mut outcomes = vec![
        stage("format", false, || {
            check(&["fmt", "--all", "--check"])?;
            check(&["fmt", "--all", "--check", PEERS])
        }),
        stage("clippy", false, || {
            let lint = |targets: &[String]| {
                let mut clippy = cargo(&checkout)?;
                clippy.args(["clippy", "--locked", "--workspace"]).args(targets);
                self::check(clippy.args(["--", "--deny=warnings"]))
            };
            lint(&["--all-targets".to_owned()])?;
            // what needs clusters is no part of all targets
            lint(
                &suite(&checkout)?
                    .chain(["readme", "instances", "bare_machine"].map(|test| format!("--test={test}")))
                    .collect::<Vec<_>>(),
            )
        }),
        stage("docs", false, || {
            let mut doc = cargo(&checkout)?;
            doc.args(["doc", "--locked", "--workspace", "--no-deps"]);
            self::check(doc.env("RUSTDOCFLAGS", "--deny=warnings"))
        }),
        stage("licences and bans", false, || deny(&checkout)),
        stage("generated files", false, || check(&["xtask", "crds", "--check"])),
        stage("charts and alerts", false, || {
            charts::check(&checkout)?;
            Ok(Counts { passed: 1, ..Counts::default() })
        }),
        stage("terraform", false, || {
            let not_run = terraform::check(&checkout, args.level == Level::Full)?;
            Ok(Counts { passed: 1, not_run, ..Counts::default() })
        }),
        stage("unit", true, || {
            tests(cargo(&checkout)?.args(["test", "--locked", "--workspace", "--no-fail-fast"]))
        }),
        stage("simulator, release", true, || {
            // the digests in its tests are those of every build
            tests(cargo(&checkout)?.args(["test", "--locked", "--release", "--package=gameserver-simulator"]))
        }),
        stage("interleavings", true, || interleavings(&checkout)),
    ];
    if args.fast {
        println!("\n== end to end, first path of README: left out by --fast");
    } else {
        outcomes.push(stage("end to end", true, || end_to_end(&checkout, args.level)));
        outcomes.push(stage("first path of README", true, || {
            tests(cargo(&checkout)?.args([
                "test",
                "--locked",
                "--workspace",
                "--test=readme",
                "--",
                "--nocapture",
            ]))
        }));
        if args.level == Level::Full {
            outcomes.push(stage("instances", true, || instances(&checkout)));
            outcomes.push(stage("peers", true, || peers(&checkout)));
            outcomes.push(stage("models", true, || models(&checkout)));
        }
    }
    Ok(summarize(&outcomes, args.fast))
}

/// `up` and `down` in other shapes and cut off at every point, and on a bare machine.
fn instances(checkout: &Checkout) -> Result<Counts> {
    let which = ["--test=instances", "--test=bare_machine"];
    tests(cargo(checkout)?.args(["test", "--locked", "--workspace"]).args(which).args(["--", "--nocapture"]))
}

/// What is tried in so many runs that they take minutes.
fn models(checkout: &Checkout) -> Result<Counts> {
    let which = ["--release", "--package=operator-core", "--test=allocation_model", "--", "--ignored"];
    tests(cargo(checkout)?.args(["test", "--locked"]).args(which))
}

/// The peers' own workspace, and whether those of them that this machine can build answer.
fn peers(checkout: &Checkout) -> Result<Counts> {
    let own = |command: &str| {
        let mut own = cargo(checkout)?;
        own.args([command, "--locked", PEERS])
            .env("CARGO_TARGET_DIR", target::directory(checkout).join("peers"));
        Ok::<_, anyhow::Error>(own)
    };
    check(own("clippy")?.args(["--all-targets", "--", "--deny=warnings"]))?;
    let counts = tests(&mut own("test")?)?;
    check(cargo(checkout)?.args(["xtask", "bench", "peers", "--smoke"]))?;
    Ok(counts)
}

fn stage(name: &'static str, tests: bool, work: impl FnOnce() -> Result<Counts>) -> Outcome {
    println!("\n== {name}");
    let start = clock::now();
    let (counts, error) = match work() {
        Ok(counts) => (counts, None),
        Err(error) => (Counts { failed: 1, ..Counts::default() }, Some(format!("{error:#}"))),
    };
    if let Some(error) = &error {
        println!("{name} failed: {error}");
    }
    Outcome { stage: name, took: start.elapsed(), counts, tests, error }
}

/// The summary; its last line is the total, in which a stage without tests counts as one.
fn summarize(outcomes: &[Outcome], fast: bool) -> ExitCode {
    println!("\n{:<20}{:>8}  RESULT", "STAGE", "MINUTES");
    for outcome in outcomes {
        let Counts { passed, failed, not_run } = &outcome.counts;
        let result = match (outcome.tests, *failed, &outcome.error) {
            (_, _, Some(error)) => format!("FAILED  {}", error.lines().next().unwrap_or_default()),
            (true, 0, None) => format!("ok      {passed} passed"),
            (true, _, None) => format!("FAILED  {passed} passed, {failed} failed"),
            (false, 0, None) => "ok".to_owned(),
            (false, _, None) => "FAILED".to_owned(),
        };
        println!("{:<20}{:>8.1}  {result}", outcome.stage, outcome.took.as_secs_f64() / 60.0);
        for test in not_run {
            println!("{:<30}not run: {test}", "");
        }
    }
    if fast {
        println!("{:<20}{:>8}  with the first path of the README left out by --fast", "end to end", "-");
    }
    let passed: usize = outcomes.iter().map(|outcome| outcome.counts.passed).sum();
    let failed: usize = outcomes.iter().map(|outcome| outcome.counts.failed).sum();
    let not_run: usize = outcomes.iter().map(|outcome| outcome.counts.not_run.len()).sum();
    let left_out = if not_run > 0 { format!(", {not_run} not run") } else { String::new() };
    println!("{passed} passed, {failed} failed{left_out}");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A stage that passes or not; what it says goes to the terminal.
fn check(command: &mut Command) -> Result<Counts> {
    let status =
        command.stdin(Stdio::null()).status().with_context(|| format!("failed to start {command:?}"))?;
    if !status.success() {
        bail!("see above");
    }
    Ok(Counts { passed: 1, ..Counts::default() })
}

/// `cargo test`, whose own words stay visible while its counts are read off them.
fn tests(command: &mut Command) -> Result<Counts> {
    tests_heard(command, |_| ())
}

/// The same; `hear` gets each line too.
fn tests_heard(command: &mut Command, mut hear: impl FnMut(&str)) -> Result<Counts> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("failed to start {command:?}"))?;
    let mut counts = Counts::default();
    let stdout = child.stdout.take().context("the output is piped")?;
    for line in BufReader::new(stdout).lines() {
        let line = line.context("failed to read what the tests say")?;
        println!("{line}");
        hear(&line);
        if let Some(test) = line.strip_prefix("not run: ") {
            counts.not_run.push(test.to_owned());
        }
        if let Some((passed, failed)) = result_line(&line) {
            counts.passed += passed;
            counts.failed += failed;
        }
    }
    let status = child.wait().context("failed to wait for the tests")?;
    if !status.success() && counts.failed == 0 {
        bail!("the tests did not run to their end");
    }
    if counts.passed + counts.failed == 0 {
        bail!("no test ran");
    }
    // what was not run ended well for the runner and counts for nothing here
    counts.passed = counts.passed.saturating_sub(counts.not_run.len());
    Ok(counts)
}

/// Passed and failed of `test result: ok. 3 passed; 0 failed; ...`
fn result_line(line: &str) -> Option<(usize, usize)> {
    let (_, figures) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let figure = |name: &str| {
        figures.split("; ").find_map(|part| part.strip_suffix(name)?.trim().parse::<usize>().ok())
    };
    Some((figure("passed")?, figure("failed")?))
}

/// The tests of what threads share, in every order in which they may run. They need atomics of another kind, and so a build and a
/// target directory of their own. A package that does not build hides nothing of the other.
fn interleavings(checkout: &Checkout) -> Result<Counts> {
    let flags = std::env::var("RUSTFLAGS").unwrap_or_default();
    let (mut all, mut broken) = (Counts::default(), Vec::new());
    for which in [
        ["--package=gameserver-queue", "--test=loom"].as_slice(),
        &["--package=gameserver-core", "--lib", "interleavings"],
    ] {
        let mut loom = cargo(checkout)?;
        loom.args(["test", "--locked"]).args(which);
        loom.env("CARGO_TARGET_DIR", target::directory(checkout).join("loom"));
        loom.env("RUSTFLAGS", format!("{flags} --cfg loom").trim_start());
        match tests(&mut loom) {
            Ok(Counts { passed, failed, not_run }) => {
                all.passed += passed;
                all.failed += failed;
                all.not_run.extend(not_run);
            }
            Err(error) => broken.push(format!("{}: {error:#}", which.join(" "))),
        }
    }
    anyhow::ensure!(broken.is_empty(), "{}", broken.join("; "));
    Ok(all)
}

/// Licences, banned crates and sources by `deny.toml`. Advisories need a database from outside and are not asked.
fn deny(checkout: &Checkout) -> Result<Counts> {
    let directory = checkout.cache.join("tools").join(format!("cargo-deny-{CARGO_DENY}"));
    if !directory.is_dir() {
        let _lock = Lock::wait(&checkout.cache.join("build.lock"), "building cargo-deny", |owner| {
            println!("waiting for {owner}");
        })?;
        let unfinished = unfinished(&directory);
        let mut install = cargo(checkout)?;
        install.args(["install", "--locked", "--quiet", "--root"]).arg(&unfinished);
        install.arg(format!("cargo-deny@{CARGO_DENY}"));
        process::run(&mut process::bound(&install, &checkout.instance), &checkout.log("cargo-deny"))?;
        fs::rename(&unfinished, &directory).context("failed to complete cargo-deny")?;
    }
    let mut deny = Command::new(directory.join("bin/cargo-deny"));
    deny.current_dir(&checkout.root).args([
        "--workspace",
        "--locked",
        "check",
        "licenses",
        "bans",
        "sources",
    ]);
    check(&mut deny)
}

/// The suite on clusters of its own, which are removed afterwards whatever came of it.
fn end_to_end(checkout: &Checkout, level: Level) -> Result<Counts> {
    let checkout = &checkout.named("test");
    let _lock = Lock::instance(checkout, "cargo xtask test")?;
    let counts = {
        let progress = Progress::new();
        clusters(checkout, &progress)
    }
    .and_then(|mut suite| {
        if level == Level::Full {
            suite.arg("--include-ignored");
        }
        tests(&mut suite)
    });
    let removed =
        Progress::new().step("remove the clusters", |step| down::remove(checkout, |text| step.note(text)));
    let counts = counts?;
    removed?;
    Ok(counts)
}

/// Those tests of the suite whose names contain `filter`, the long ones too, `rounds` times each where they count; the lines that
/// begin with `mark`, without it. The clusters stay.
pub(crate) fn measure(checkout: &Checkout, filter: &str, rounds: u8, mark: &str) -> Result<Vec<String>> {
    down::remove(checkout, |_| ())?;
    let mut suite = clusters(checkout, &Progress::new())?;
    suite.args(["--include-ignored", filter]).env("CRANEWING_E2E_ROUNDS", rounds.to_string());
    let mut found = Vec::new();
    let counts = tests_heard(&mut suite, |line| found.extend(line.strip_prefix(mark).map(str::to_owned)))?;
    if counts.failed > 0 || !counts.not_run.is_empty() {
        bail!("{} failed, {} not run: see above", counts.failed, counts.not_run.len());
    }
    Ok(found)
}

/// Makes three empty regions with our images in them, and gives the suite that is to run on them.
fn clusters(checkout: &Checkout, progress: &Progress) -> Result<Command> {
    let (surroundings, node_image) = up::ground(checkout, true, progress)?;
    // what a run before this one left when it was cut off
    progress.step("remove leftovers", |_| down::remove(checkout, |_| ()))?;
    let (program, version) = tools::build_metrics_server(checkout, progress)?;
    let metrics_server = images::pack(checkout, "metrics-server", &program, version)?;
    let terraform = Terraform::build(checkout, progress)?;
    let state = State {
        engine: surroundings.engine,
        nodes: 1,
        regions: REGION_IDS.iter().map(|id| cluster::planned(checkout, id)).collect(),
    };
    state.save(checkout)?;
    let built = Images::build_beside(checkout, progress, || {
        cluster::ensure_all(checkout, &surroundings, progress, &state.regions, state.nodes, &node_image)
    })?;
    let archives = [built.archives(), vec![metrics_server.archive]].concat();
    cluster::in_parallel(&state.regions, |_, region| {
        cluster::load(checkout, &surroundings, region, &archives)
    })?;
    progress.step("join the pod networks", |_| cluster::route(checkout, &surroundings, &state.regions))?;

    let mut suite = suite_on(checkout, &surroundings, &state.regions)?;
    suite
        .env("CRANEWING_E2E_ENGINE", surroundings.engine.program())
        .env("CRANEWING_E2E_OPERATOR_IMAGE", &built.operator.reference)
        .env("CRANEWING_E2E_GAMESERVER_IMAGE", &built.gameserver.reference)
        .env("CRANEWING_E2E_METRICS_SERVER_IMAGE", &metrics_server.reference)
        .env("CRANEWING_E2E_OPERATOR", &built.operator_program)
        .env("CRANEWING_E2E_TERRAFORM_CONFIGURATION", &terraform.configuration)
        .envs(terraform.variables())
        .env("CRANEWING_E2E_BOTS", &built.bots);
    Ok(suite)
}

/// The suite on clusters that exist. What needs this machine's engine, an image that they may be unable to pull, or that they
/// reach each other, is listed as not run. Nothing that leads to them stays on this machine.
fn end_to_end_on(foreign: &foreign::Args, checkout: &Checkout) -> Result<Counts> {
    let checkout = &checkout.named("foreign");
    let _lock = Lock::instance(checkout, "cargo xtask test")?;
    packages::ensure_go(checkout)?;
    let regions = foreign.regions(checkout)?;
    let mut suite = {
        let progress = Progress::new();
        let surroundings =
            Surroundings::new(checkout, Engine::choose()?, &Tools::build(checkout, &progress)?)?;
        // a context that is misspelt is told before minutes of compiling
        for region in &regions {
            foreign::write_kubeconfig(&surroundings, region)?;
        }
        let built = Images::build(checkout, &progress)?;
        for region in &regions {
            progress.step(&format!("images for {}", region.id), |_| {
                foreign.load(checkout, &surroundings, region, &built)
            })?;
        }
        let references = foreign.references(&built);
        let mut suite = suite_on(checkout, &surroundings, &regions)?;
        suite
            .env("CRANEWING_E2E_OPERATOR_IMAGE", references.operator)
            .env("CRANEWING_E2E_GAMESERVER_IMAGE", references.gameserver)
            .env("CRANEWING_E2E_OPERATOR", &built.operator_program)
            .env("CRANEWING_E2E_BOTS", &built.bots);
        suite
    };
    let counts = tests(&mut suite);
    for region in &regions {
        fs::remove_file(&region.kubeconfig)
            .with_context(|| format!("failed to remove {}", region.kubeconfig.display()))?;
    }
    counts
}

/// The suite with these regions, of which a test takes one for itself.
fn suite_on(checkout: &Checkout, surroundings: &Surroundings, regions: &[Region]) -> Result<Command> {
    if let Some(unknown) = regions.iter().find(|region| !REGION_IDS.contains(&region.id.as_str())) {
        bail!("the suite knows the regions {}, and not {}", REGION_IDS.join(", "), unknown.id);
    }
    let mut suite = cargo(checkout)?;
    // with the whole workspace, so that every dependency has the features it was already compiled with
    suite.args(["test", "--locked", "--workspace", "--no-fail-fast"]);
    suite.args(self::suite(checkout)?);
    suite.args(["--".to_owned(), format!("--test-threads={}", regions.len())]);
    suite.envs(surroundings.variables());
    for region in regions {
        suite.env(format!("CRANEWING_E2E_KUBECONFIG_{}", region.id.to_uppercase()), &region.kubeconfig);
    }
    Ok(suite)
}

/// `--test=` for each file of the suite, which a plain `cargo test` leaves out because it needs clusters.
fn suite(checkout: &Checkout) -> Result<impl Iterator<Item = String> + use<>> {
    let directory = checkout.root.join("e2e/tests");
    let mut files = Vec::new();
    for entry in
        fs::read_dir(&directory).with_context(|| format!("failed to read {}", directory.display()))?
    {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            files.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
        }
    }
    files.sort();
    Ok(files.into_iter().map(|file| format!("--test={file}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_off_the_closing_line_of_cargo_test() {
        let line = "test result: FAILED. 12 passed; 3 failed; 0 ignored; 0 measured; 1 filtered out; finished in 0.02s";
        assert_eq!(result_line(line), Some((12, 3)));
        assert_eq!(result_line("test up::tests::a_rule ... ok"), None);
    }

    #[test]
    fn what_was_not_run_is_named_and_did_not_pass() {
        let said = "not run: a: no engine\ntest a ... ok\ntest result: ok. 2 passed; 0 failed; 0 ignored\n";
        let counts = tests(Command::new("printf").arg(said)).unwrap();
        let not_run = vec!["a: no engine".to_owned()];
        assert_eq!(counts, Counts { passed: 1, failed: 0, not_run });
    }

    #[test]
    fn a_suite_that_cannot_compile_is_a_failure_and_not_zero_tests() {
        assert!(tests(Command::new("sh").args(["-c", "exit 101"])).is_err());
        assert!(tests(Command::new("true").arg("nothing")).is_err());
    }
}
