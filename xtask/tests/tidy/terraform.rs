//! Inputs and outputs of the modules of `terraform/` have a meaning, and pages say it in the same words; what stands in several places
//! is the same in all of them.

use std::path::Path;

/// A file of `terraform/`.
fn read(path: &str) -> String {
    crate::text(&Path::new("terraform").join(path)).unwrap_or_else(|| panic!("terraform/{path} is there"))
}

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

/// What comes after `name =` in a block, to the end of that value, in one line.
fn value(block: &str, name: &str) -> Option<String> {
    let line = block
        .split("\n  ")
        .skip(1)
        .find(|part| part.strip_prefix(name).is_some_and(|rest| rest.trim_start().starts_with('=')))?;
    let at = block.find(line)?;
    let rest = block[at..].split_once('=')?.1.trim_start();
    let one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some(text) = rest.strip_prefix("<<-TEXT\n") {
        return Some(one_line(text.split_once("\n  TEXT")?.0));
    }
    let first = rest.lines().next()?;
    let quoted = first.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    Some(match quoted {
        Some(text) if name == "description" => text.replace("\\\"", "\""),
        _ => first.to_owned(),
    })
}

/// The row of an input or output on the page of its module.
fn row(name: &str, block: &str, kind: &str) -> Option<String> {
    let meaning = value(block, "description")?;
    Some(if kind == "variable" {
        let default =
            value(block, "default").map_or_else(|| "required".to_owned(), |default| format!("`{default}`"));
        format!("\n| `{name}` | {default} | {meaning} |\n")
    } else {
        format!("\n| `{name}` | {meaning} |\n")
    })
}

/// What is wrong with a module's inputs or outputs.
fn faults(text: &str, kind: &str, page: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (name, block) in blocks(text, kind) {
        if kind == "variable" && !block.contains("\n  type ") {
            found.push(format!("{name} has no type"));
        }
        match row(name, block, kind) {
            None => found.push(format!("{name} has no description")),
            Some(row) if !page.contains(&row) => found.push(format!("README.md has not this row:{row}")),
            Some(_) => (),
        }
    }
    found
}

#[test]
fn every_input_and_output_of_a_module_is_typed_described_and_on_its_page() {
    let mut wrong = Vec::new();
    for module in ["region", "global"] {
        let page = read(&format!("modules/{module}/README.md"));
        for (file, kind) in [("variables.tf", "variable"), ("outputs.tf", "output")] {
            let text = read(&format!("modules/{module}/{file}"));
            assert!(blocks(&text, kind).len() > 1, "{module}/{file} is not understood");
            wrong.extend(faults(&text, kind, &page).into_iter().map(|fault| format!("{module}: {fault}")));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

/// Defaults of the optional fields of an entry of `regions`, as `name = optional(type, default)` has them.
fn optional(block: &str) -> Vec<(&str, &str)> {
    block.lines().filter_map(default_of).collect()
}

fn default_of(line: &str) -> Option<(&str, &str)> {
    let (name, rest) = line.strip_prefix("    ")?.split_once(' ')?;
    let given = rest.trim_start().strip_prefix("= optional(")?.strip_suffix(')')?;
    Some((name, given.rsplit_once(", ")?.1))
}

#[test]
fn an_environment_has_the_defaults_of_its_modules() {
    let inputs = read("environments/production/variables.tf");
    let modules = [read("modules/region/variables.tf"), read("modules/global/variables.tf")].concat();
    let of_module = |name: &str| {
        let found = blocks(&modules, "variable").into_iter().find(|(module, _)| *module == name)?;
        value(found.1, "default")
    };
    let (mut compared, mut wrong) = (0, Vec::new());
    let inputs = blocks(&inputs, "variable");
    let entry = inputs.iter().find(|(name, _)| *name == "regions").unwrap().1;
    let entry = optional(entry).into_iter().map(|(name, default)| (name, default.to_owned()));
    let own = inputs.iter().filter_map(|(name, block)| Some((*name, value(block, "default")?)));
    for (name, here) in entry.chain(own) {
        if let Some(there) = of_module(name) {
            compared += 1;
            if here != there {
                wrong.push(format!("{name}: {here} in the environment, {there} in its module"));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert!(compared > 10, "the inputs are not understood: {compared} compared");
}

/// Numbers that several files have. The first of each row says it in one of these forms, and all others have it too.
#[test]
fn what_stands_in_several_places_is_the_same_in_all_of_them() {
    let tree = |path: &str| crate::text(Path::new(path)).unwrap_or_else(|| panic!("{path} is there"));
    let after = |path: &str, head: &str, end: &str| {
        let text = tree(path);
        let rest = text.split_once(head).unwrap_or_else(|| panic!("{path} has {head}")).1;
        rest.split_once(end).unwrap_or_else(|| panic!("{path} has {end} after {head}")).0.to_owned()
    };
    let production = "terraform/environments/production";
    let terraform = after(&format!("{production}/tool.tf"), "\">= ", "\"");
    let opentofu = after(&format!("{production}/tool.tofu"), "\">= ", "\"");
    let kubernetes = after("charts/operator/Chart.yaml", "kubeVersion: \">=", ".0-0");
    let ports = after("charts/operator/values.yaml", "hostPorts: \"", "\"");
    let pair = format!("({})", terraform.replace('.', ", "));
    let mut wrong = Vec::new();
    for (path, expected) in [
        ("terraform/README.md", format!("Terraform {terraform} or later, or OpenTofu {opentofu} or later")),
        ("xtask/src/terraform.rs", format!("const TERRAFORM_MIN: (u32, u32) = {pair};")),
        ("terraform/modules/region/tool.tf", format!("\">= {terraform}\"")),
        ("terraform/modules/region/tool.tofu", format!("\">= {opentofu}\"")),
        ("terraform/modules/global/tool.tf", format!("\">= {terraform}\"")),
        ("terraform/modules/global/tool.tofu", format!("\">= {opentofu}\"")),
        ("terraform/examples/all-regions/main.tf", format!("required_version = \">= {opentofu}\"")),
        ("e2e/cluster/tools/opentofu/go.mod", format!("github.com/opentofu/opentofu v{opentofu}.")),
        ("docs/clusters.md", format!("| Kubernetes {kubernetes} or later |")),
        ("terraform/modules/region/chart.tf", format!("= \"{kubernetes}.0\"")),
        ("terraform/modules/global/alerting.tf", format!("= \"{kubernetes}.0\"")),
        ("docs/clusters.md", format!("| UDP {ports} (`host_ports`")),
        ("terraform/modules/region/README.md", format!("| `host_ports` | `\"{ports}\"` |")),
        ("terraform/environments/production/README.md", format!("| `{ports}` |")),
    ] {
        if !tree(path).contains(&expected) {
            wrong.push(format!("{path} has not: {expected}"));
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
    for (root, tests) in [
        ("modules/region", "validation"),
        ("modules/global", "validation"),
        ("environments/production", "regions"),
    ] {
        let variables = read(&format!("{root}/variables.tf"));
        let runs = read(&format!("{root}/tests/{tests}.tftest.hcl"));
        assert_eq!(untried(&variables, &runs), Vec::<&str>::new(), "{root}");
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
    assert_eq!(faults(good, "variable", "\n| `a` | required | x |\n"), Vec::<String>::new());
    assert_eq!(faults(good, "variable", "").len(), 1);
    assert_eq!(faults(good, "variable", "\n| `a` | `1` | x |\n").len(), 1, "another default");
    assert_eq!(faults(good, "variable", "\n| `a` | required | y |\n").len(), 1, "another meaning");
    assert_eq!(faults("variable \"a\" {\n  default = 1\n}\n", "variable", "\n| `a` |").len(), 2);
    assert_eq!(blocks("provider \"x\" {\n}\n", "provider").len(), 1);
    let text = "variable \"a\" {\n  description = <<-TEXT\n    One\n    two.\n  TEXT\n  default     = { b = {} }\n}\n";
    let block = blocks(text, "variable")[0].1;
    assert_eq!(value(block, "description").as_deref(), Some("One two."));
    assert_eq!(value(block, "default").as_deref(), Some("{ b = {} }"));
    let entry = "variable \"r\" {\n  type = map(object({\n    a = optional(number, 3)\n    b = string\n    c = optional(map(number), {})\n  }))";
    assert_eq!(optional(entry), [("a", "3"), ("c", "{}")]);
}
