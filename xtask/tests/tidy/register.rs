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
    let mut faults: Vec<String> = entries.filter_map(|entry| fault(entry, read)).collect();
    // a requirement may still be to come; a promise is given
    let unshown = register.promises.iter().filter(|(_, shown)| shown.is_empty());
    faults.extend(unshown.map(|(promise, _)| format!("{promise}: nothing shows it")));
    let covered = register.requirements.values().filter(|tests| !tests.is_empty()).count();
    println!("register: {covered} of {} requirements have tests", register.requirements.len());
    assert_eq!(faults, Vec::<String>::new());
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
