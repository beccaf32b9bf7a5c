//! Inputs and outputs of the modules of `terraform/` have a meaning, and the module's page says it.

use std::path::Path;

/// Names of the blocks of a kind in HCL, each with its text.
fn blocks<'a>(text: &'a str, kind: &str) -> Vec<(&'a str, &'a str)> {
    let head = format!("{kind} \"");
    let parts = format!("\n{text}");
    let starts: Vec<usize> = parts.match_indices(&format!("\n{head}")).map(|(at, _)| at).collect();
    let block = |start: usize| {
        let block = &text[start..];
        let name = block.strip_prefix(&head)?.split('"').next()?;
        Some((name, block.split_once("\n}").map_or(block, |(block, _)| block)))
    };
    starts.into_iter().filter_map(block).collect()
}

/// What is wrong with a module's inputs or outputs.
fn faults(text: &str, kind: &str, page: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (name, block) in blocks(text, kind) {
        if !block.contains("\n  description = ") && !block.contains("\n  description  ") {
            found.push(format!("{name} has no description"));
        }
        if kind == "variable" && !block.contains("\n  type ") {
            found.push(format!("{name} has no type"));
        }
        if !page.contains(&format!("\n| `{name}` |")) {
            found.push(format!("{name} is not in README.md"));
        }
    }
    found
}

#[test]
fn every_input_and_output_of_a_module_is_typed_described_and_on_its_page() {
    let mut wrong = Vec::new();
    for module in ["region", "global"] {
        let read = |name: &str| {
            let path = format!("terraform/modules/{module}/{name}");
            crate::text(Path::new(&path)).unwrap_or_else(|| panic!("{path} is there"))
        };
        let page = read("README.md");
        for (file, kind) in [("variables.tf", "variable"), ("outputs.tf", "output")] {
            let text = read(file);
            assert!(blocks(&text, kind).len() > 1, "{module}/{file} is not understood");
            wrong.extend(faults(&text, kind, &page).into_iter().map(|fault| format!("{module}: {fault}")));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

/// Rules of inputs for which no run of the module's tests has a value that they refuse: there are as many runs as rules, at least.
fn untried<'a>(variables: &'a str, runs: &str) -> Vec<&'a str> {
    let rules = |block: &str| block.matches("\n  validation {").count();
    let tries = |name: &str| runs.matches(&format!("expect_failures = [var.{name}]")).count();
    let inputs = blocks(variables, "variable").into_iter();
    inputs.filter(|(name, block)| tries(name) < rules(block)).map(|(name, _)| name).collect()
}

#[test]
fn every_rule_of_an_input_has_a_run_that_breaks_it() {
    for module in ["region", "global"] {
        let read =
            |name: &str| crate::text(Path::new(&format!("terraform/modules/{module}/{name}"))).unwrap();
        let (variables, runs) = (read("variables.tf"), read("tests/validation.tftest.hcl"));
        let left = untried(&variables, &runs);
        assert_eq!(left, Vec::<&str>::new(), "{module}");
    }
    let variable = "variable \"a\" {\n  validation {\n  }\n}\n";
    assert_eq!(untried(variable, ""), ["a"]);
    assert_eq!(untried(variable, "expect_failures = [var.a]"), Vec::<&str>::new());
}

#[test]
fn modules_choose_no_cluster() {
    let files = crate::tree().into_iter().filter(|path| path.starts_with("terraform/modules"));
    let files = files.filter(|path| path.extension().is_some_and(|end| end == "tf"));
    let with: Vec<_> = files
        .filter(|path| crate::text(path).is_some_and(|text| !blocks(&text, "provider").is_empty()))
        .collect();
    assert_eq!(with, Vec::<std::path::PathBuf>::new(), "a provider block in a module forbids for_each");
}

#[test]
fn an_input_without_a_type_or_a_meaning_is_found() {
    let good = "variable \"a\" {\n  description = \"x\"\n  type        = string\n}\n";
    assert_eq!(faults(good, "variable", "\n| `a` | x |"), Vec::<String>::new());
    assert_eq!(faults(good, "variable", "").len(), 1);
    assert_eq!(faults("variable \"a\" {\n  default = 1\n}\n", "variable", "\n| `a` |").len(), 2);
    assert_eq!(blocks("provider \"x\" {\n}\n", "provider").len(), 1);
}
