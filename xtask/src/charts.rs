//! What the charts say, checked without a cluster: Helm's own lint, the alerts by promtool, and what keeps the operator up and safe.

mod posture;

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use serde_yaml::Value;

use crate::checkout::Checkout;
use crate::packages;
use crate::process;
use crate::progress::Progress;
use crate::tools;

/// The oldest Kubernetes that the charts are for; Helm takes its own word for it where there is no cluster.
const KUBERNETES_MIN: &str = "1.33.0";
/// Everything that is off by default.
const ALL_ON: [&str; 6] = [
    "region.id=kr",
    "responder.enabled=true",
    "agones.enabled=true",
    "agones.namespaces={games}",
    "monitoring.alerts.enabled=true",
    "monitoring.dashboards.enabled=true",
];
/// Where the alerts stand, and what they do.
const ALERTS: &str = "charts/operator/files/alerts.yaml";
const ALERTS_TEST: &str = "charts/operator/files/alerts.test.yaml";

/// Lints both charts, tests the alerts, and looks whether the chart gives out the alerts that were tested.
pub(crate) fn check(checkout: &Checkout) -> Result<()> {
    packages::ensure_go(checkout)?;
    let (helm, promtool) = tools::build_checkers(checkout, &Progress::new())?;
    let at_root = |program: &Path| {
        let mut command = Command::new(program);
        command.current_dir(&checkout.root);
        command
    };
    let chart = |verb: &str| {
        let mut command = at_root(&helm);
        command.arg(verb);
        for value in ALL_ON {
            command.args(["--set", value]);
        }
        command.args(["--kube-version", KUBERNETES_MIN]);
        command
    };
    passes(at_root(&helm).args(["lint", "--strict", "charts/crds"]))?;
    passes(chart("lint").args(["--strict", "charts/operator"]))?;
    for value in posture::REFUSED {
        refuses(chart("template").args(["--set", value, "cranewing", "charts/operator"]), value)?;
    }
    passes(at_root(&promtool).args(["check", "rules", ALERTS]))?;
    passes(at_root(&promtool).args(["test", "rules", ALERTS_TEST]))?;
    let rendered = process::output(chart("template").args(["cranewing", "charts/operator"]))?;
    let source = std::fs::read_to_string(checkout.root.join(ALERTS))
        .with_context(|| format!("failed to read {ALERTS}"))?;
    compare(&source, &rendered)?;
    let faults = posture::faults(&objects(&rendered)?);
    if !faults.is_empty() {
        bail!("the chart does not give what it should: {}", faults.join("; "));
    }
    Ok(())
}

/// The schema of the values takes no such value, and says so.
fn refuses(command: &mut Command, value: &str) -> Result<()> {
    let output = command.output().with_context(|| format!("failed to start {command:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() || !said.contains("values don't meet the specifications of the schema") {
        bail!("the chart takes {value}, or refuses it without the schema's words: {said}");
    }
    Ok(())
}

/// The objects that a chart gives.
fn objects(rendered: &str) -> Result<Vec<Value>> {
    let documents = serde_yaml::Deserializer::from_str(rendered).map(Value::deserialize);
    documents.collect::<Result<_, _>>().context("the chart gives no YAML")
}

/// What it says goes to the terminal: of what failed both tools tell on standard output.
fn passes(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("failed to start {command:?}"))?;
    if !status.success() {
        bail!("see above");
    }
    Ok(())
}

/// Whether the chart's PrometheusRule has the alerts of the file and no other: each with its expression and time.
fn compare(source: &str, rendered: &str) -> Result<()> {
    let tested = alerts(&serde_yaml::from_str(source).context("the alerts are no YAML")?);
    let objects = objects(rendered)?;
    let rule = objects.iter().find(|object| object["kind"] == "PrometheusRule");
    let given = rule.map(|rule| alerts(&rule["spec"])).unwrap_or_default();
    if tested.is_empty() || tested != given {
        bail!("the chart gives {} alerts that are not the {} of {ALERTS}", given.len(), tested.len());
    }
    Ok(())
}

/// Name, expression and time of each alert, in their order.
fn alerts(groups: &Value) -> Vec<[String; 3]> {
    let word = |rule: &Value, field: &str| rule[field].as_str().unwrap_or_default().to_owned();
    let groups = groups["groups"].as_sequence().into_iter().flatten();
    let rules = groups.filter_map(|group| group["rules"].as_sequence()).flatten();
    rules.map(|rule| ["alert", "expr", "for"].map(|field| word(rule, field))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_that_gives_other_alerts_than_were_tested_is_refused() {
        let file =
            |time: &str| format!("groups: [{{ rules: [{{ alert: A, expr: up == 0, for: {time} }}] }}]");
        let chart =
            |time: &str| format!("kind: Other\n---\nkind: PrometheusRule\nspec: {{ {} }}", file(time));
        assert!(compare(&file("1m"), &chart("1m")).is_ok());
        assert!(compare(&file("1m"), &chart("2m")).is_err());
        assert!(compare(&file("1m"), "kind: Other").is_err());
        assert!(compare("groups: []", &chart("1m")).is_err());
    }
}
