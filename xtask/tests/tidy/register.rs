//! `docs/register.toml` says what shows which requirement and which promise. Whatever is named there exists.

use std::collections::BTreeMap;

use serde::Deserialize;

#[derive(Deserialize)]
struct Register {
    /// Requirement to the tests that show it, each as `path/to/file.rs::name_of_the_test`.
    requirements: BTreeMap<String, Vec<String>>,
    /// Promise to what shows it: such tests, or a page of figures by its path.
    promises: BTreeMap<String, Vec<String>>,
}

fn register() -> Register {
    let text = std::fs::read_to_string(crate::root().join("docs/register.toml"))
        .expect("docs/register.toml is there");
    toml::from_str(&text).expect("docs/register.toml is understood")
}

/// Tests that only `cargo xtask test --level full` runs; `"full: "` stands before their entries.
const FULL: [&str; 2] = ["xtask/tests/instances.rs", "xtask/tests/bare_machine.rs"];

/// A workspace of its own, which only that level compiles.
const FULL_FOLDER: &str = "gameserver/bots/bench/peers/load/";

/// Why an entry does not say at which level it is shown; and the entry without that.
fn level(entry: &str, read: impl Fn(&str) -> Option<String>) -> (Option<String>, &str) {
    let (says_full, bare) = entry.strip_prefix("full: ").map_or((false, entry), |bare| (true, bare));
    let (path, name) = bare.rsplit_once("::").unwrap_or((bare, ""));
    let is_full = FULL.contains(&path)
        || path.starts_with(FULL_FOLDER)
        || read(path).is_some_and(|text| is_ignored(&text, name));
    let fault = match (is_full, says_full) {
        (true, false) => Some(format!("{entry}: only `--level full` runs it: write \"full: {bare}\"")),
        (false, true) => Some(format!("{entry}: it runs at every level")),
        _ => None,
    };
    (fault, bare)
}

/// Whether this test of a file is one that has to be asked for.
fn is_ignored(text: &str, name: &str) -> bool {
    let Some((before, _)) = text.split_once(&format!("fn {name}(")) else { return false };
    let (above, _same_line) = before.rsplit_once('\n').unwrap_or_default();
    let attributes = above.lines().rev().take_while(|line| line.trim_start().starts_with("#["));
    attributes.into_iter().any(|line| line.contains("#[ignore"))
}

/// Why an entry shows nothing; none if the file has such a test.
fn fault(entry: &str, read: impl Fn(&str) -> Option<String>) -> Option<String> {
    let Some((path, name)) = entry.rsplit_once("::") else {
        let is_page = entry.starts_with("docs/") && read(entry).is_some();
        return (!is_page).then(|| format!("{entry}: neither path::test nor a page in docs"));
    };
    let Some(text) = read(path) else { return Some(format!("{entry}: no such file")) };
    let function = format!("fn {name}(");
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let found = lines.iter().enumerate().any(|(at, line)| {
        // attributes stand above the function; inside of a property macro as well
        line.contains(&function)
            && lines[at.saturating_sub(6)..at]
                .iter()
                .any(|above| above.starts_with("#[") && above.contains("test"))
    });
    (!found).then(|| format!("{entry}: no such test"))
}

#[test]
fn the_register_names_only_what_exists_and_every_promise_is_shown() {
    let register = register();
    let read = |path: &str| std::fs::read_to_string(crate::root().join(path)).ok();
    let entries = register.requirements.values().chain(register.promises.values()).flatten();
    let found = |entry: &String| {
        let (misplaced, bare) = level(entry, read);
        misplaced.or_else(|| fault(bare, read))
    };
    let mut faults: Vec<String> = entries.filter_map(found).collect();
    // a requirement may still be to come; a promise is given
    let unshown = register.promises.iter().filter(|(_, shown)| shown.is_empty());
    faults.extend(unshown.map(|(promise, _)| format!("{promise}: nothing shows it")));
    let covered = register.requirements.values().filter(|tests| !tests.is_empty()).count();
    let in_full_alone = |shown: &&Vec<String>| shown.iter().all(|entry| entry.starts_with("full: "));
    let late = register.promises.values().filter(in_full_alone).count();
    println!("register: {late} of {} promises are shown at --level full alone", register.promises.len());
    println!("register: {covered} of {} requirements have tests", register.requirements.len());
    assert_eq!(faults, Vec::<String>::new());
}

#[test]
fn an_entry_says_when_only_the_full_level_runs_it() {
    let read = |path: &str| {
        let text = "#[test]\n#[ignore = \"long\"]\nasync fn late() {}\n\n#[test]\n#[ignore]\nfn later() {}\n\n#[test]\nfn soon() {}\n";
        (path == "a.rs").then(|| text.to_owned())
    };
    let says = |entry| level(entry, read).0;
    assert_eq!(says("a.rs::rule"), None);
    assert_eq!(says("docs/benchmarks/up.md"), None);
    assert_eq!(says("full: xtask/tests/instances.rs::rule"), None);
    assert_eq!(level("full: xtask/tests/instances.rs::rule", read).1, "xtask/tests/instances.rs::rule");
    assert_eq!(says("full: a.rs::late"), None);
    assert_eq!(says("full: a.rs::later"), None);
    assert!(says("a.rs::late").is_some_and(|fault| fault.contains("full: ")));
    assert_eq!(says("a.rs::soon"), None);
    assert!(says("xtask/tests/instances.rs::rule").is_some_and(|fault| fault.contains("full: ")));
    assert!(says("full: a.rs::rule").is_some());
}

#[test]
fn an_entry_for_a_function_that_is_no_test_is_a_fault() {
    let read = |path: &str| {
        (path == "a.rs").then(|| "#[test]\nfn shown() {}\n\n\n\n\n\n\n\nfn shows_nothing() {}\n".to_owned())
    };
    assert_eq!(fault("a.rs::shown", read), None);
    assert_eq!(fault("a.rs::shows_nothing", read).as_deref(), Some("a.rs::shows_nothing: no such test"));
    assert_eq!(fault("b.rs::shown", read).as_deref(), Some("b.rs::shown: no such file"));
    let neither = "shown: neither path::test nor a page in docs";
    assert_eq!(fault("shown", read).as_deref(), Some(neither));
    let page = |path: &str| (path == "docs/benchmarks/up.md").then(String::new);
    assert_eq!(fault("docs/benchmarks/up.md", page), None);
    assert!(fault("docs/benchmarks/down.md", page).is_some());
}
