//! `docs/register.toml` says which tests show which requirement. A test that is named there exists.

use std::collections::BTreeMap;

use serde::Deserialize;

#[derive(Deserialize)]
struct Register {
    /// Requirement to the tests that show it, each as `path/to/file.rs::name_of_the_test`.
    requirements: BTreeMap<String, Vec<String>>,
}

fn register() -> Register {
    let text = std::fs::read_to_string(crate::root().join("docs/register.toml"))
        .expect("docs/register.toml is there");
    toml::from_str(&text).expect("docs/register.toml is understood")
}

/// Why an entry shows nothing; none if the file has such a test.
fn fault(entry: &str, read: impl Fn(&str) -> Option<String>) -> Option<String> {
    let Some((path, name)) = entry.rsplit_once("::") else { return Some(format!("{entry}: not path::test")) };
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
fn the_register_names_only_tests_that_exist() {
    let register = register();
    let read = |path: &str| std::fs::read_to_string(crate::root().join(path)).ok();
    let faults: Vec<String> =
        register.requirements.values().flatten().filter_map(|entry| fault(entry, read)).collect();
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
    assert_eq!(fault("shown", read).as_deref(), Some("shown: not path::test"));
}
