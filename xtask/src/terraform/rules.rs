//! That each rule of an input is what a run fails by: without the rule the run no longer fails, and without any other it still does.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use super::Runner;

/// What has rules, and the file with the runs that break them.
const RULED: [(&str, &str); 3] = [
    ("modules/region", "validation"),
    ("modules/global", "validation"),
    ("environments/production", "regions"),
];

/// One rule of an input.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    /// `variable: error_message`.
    name: String,
    variable: String,
    /// Where it stands in the text.
    start: usize,
    end: usize,
}

/// Takes each rule away in turn, and asks which runs fail then; gives how many rules there are.
pub(super) fn check(runner: &Runner) -> Result<usize> {
    let mut count = 0;
    for (root, tests) in RULED {
        let directory = runner.tree.join(root);
        let variables = directory.join("variables.tf");
        let read = |path: &Path| {
            fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))
        };
        let text = read(&variables)?;
        let all = read(&directory.join(format!("tests/{tests}.tftest.hcl")))?;
        let rules = rules(&text);
        ensure!(!rules.is_empty(), "the rules of terraform/{root} are not understood");
        let mut broken: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for rule in &rules {
            write(&variables, &without(&text, rule))?;
            let runs = breaking(&all, &rule.variable);
            let failed = failing(runner, root, &runs)?;
            ensure!(!failed.is_empty(), "no run of terraform/{root} is for the rule `{}`", rule.name);
            for (name, _) in runs {
                let by = broken.entry(name.clone()).or_default();
                by.extend(failed.contains(&name).then_some(rule.name.as_str()));
            }
        }
        write(&variables, &text)?;
        let wrong: Vec<_> = broken.iter().filter(|(_, by)| by.len() != 1).collect();
        ensure!(wrong.is_empty(), "runs of terraform/{root} that fail by none or several rules: {wrong:?}");
        count += rules.len();
    }
    Ok(count)
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("failed to write {}", path.display()))
}

/// Names of those of the runs that fail. Each has a file of its own, because what follows a failure in a file is skipped.
fn failing(runner: &Runner, root: &str, runs: &[(String, String)]) -> Result<Vec<String>> {
    let directory = runner.tree.join(root).join("rules");
    fs::create_dir_all(&directory).with_context(|| format!("failed to create {}", directory.display()))?;
    for (name, text) in runs {
        write(&directory.join(format!("{name}.tftest.hcl")), text)?;
    }
    let said = runner.say(root, &["test", "-no-color", "-test-directory=rules"]);
    fs::remove_dir_all(&directory).with_context(|| format!("failed to remove {}", directory.display()))?;
    let (said, count) = (said?, runs.len());
    let (tried, passed) = super::counted(&said);
    let failed = failed(&said);
    ensure!(tried == count && passed + failed.len() == count, "of {count} runs some were not tried:\n{said}");
    Ok(failed)
}

/// Rules of all variables.
fn rules(text: &str) -> Vec<Rule> {
    let (head, tail) = ("\n  validation {\n", "\n  }\n");
    let rule = |(start, _): (usize, &str)| {
        let end = start + text[start..].find(tail)? + tail.len() - 1;
        let variable = text[..start].rsplit_once("\nvariable \"").map_or(text, |(_, rest)| rest);
        let variable = variable.trim_start_matches("variable \"").split('"').next()?.to_owned();
        let message = text[start..end].split_once("error_message = \"")?.1.split('"').next()?;
        Some(Rule { name: format!("{variable}: {message}"), variable, start, end })
    };
    text.match_indices(head).filter_map(rule).collect()
}

fn without(text: &str, rule: &Rule) -> String {
    [&text[..rule.start], &text[rule.end..]].concat()
}

/// The runs that break a rule of this variable: the name of each, and a file with it alone.
fn breaking(all: &str, variable: &str) -> Vec<(String, String)> {
    let mut parts = all.split("\nrun \"");
    let head = parts.next().unwrap_or_default();
    let run = |run: &str| Some((run.split('"').next()?.to_owned(), format!("{head}\nrun \"{run}")));
    parts.filter(|run| run.contains(&format!("expect_failures = [var.{variable}]"))).filter_map(run).collect()
}

/// Names of the runs that failed, in what `test` says.
fn failed(said: &str) -> Vec<String> {
    let lines = said.lines().map(str::trim).filter(|line| line.ends_with("... fail"));
    lines.filter_map(|line| Some(line.strip_prefix("run \"")?.split('"').next()?.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const VARIABLES: &str = "variable \"a\" {\n  type = string\n\n  validation {\n    condition     = x\n    error_message = \"a: one.\"\n  }\n  validation {\n    condition     = y\n    error_message = \"a: two.\"\n  }\n}\n\nvariable \"b\" {\n  validation {\n    condition     = z\n    error_message = \"b: three.\"\n  }\n}\n";

    #[test]
    fn each_rule_is_found_and_taken_out_by_itself() {
        let found = rules(VARIABLES);
        let names: Vec<&str> = found.iter().map(|rule| rule.name.as_str()).collect();
        assert_eq!(names, ["a: a: one.", "a: a: two.", "b: b: three."]);
        for (rule, condition) in found.iter().zip(["= x", "= y", "= z"]) {
            let left = without(VARIABLES, rule);
            assert!(!left.contains(condition), "{left}");
            assert_eq!(rules(&left).len(), 2, "{left}");
        }
    }

    #[test]
    fn runs_are_chosen_by_the_variable_that_they_break() {
        let all = "head\n\nrun \"one\" {\n  expect_failures = [var.a]\n}\n\nrun \"two\" {\n  expect_failures = [var.ab]\n}\n\nrun \"three\" {\n}\n";
        let one = "head\n\nrun \"one\" {\n  expect_failures = [var.a]\n}\n";
        assert_eq!(breaking(all, "a"), [("one".to_owned(), one.to_owned())]);
        assert_eq!(failed("  run \"one\"... fail\n  run \"two\"... pass\nf.tftest.hcl... fail\n"), ["one"]);
    }
}
