//! Who is on call finds what is needed: alerts and dashboard name metrics that exist and leave none out, each alert has its page and
//! its tests, each condition and reason is explained, and what pages say of waits is so.

use std::collections::BTreeSet;
use std::path::Path;

use serde_yaml::Value;

const ALERTS: &str = "charts/operator/files/alerts.yaml";
const ALERTS_TEST: &str = "charts/operator/files/alerts.test.yaml";
const DASHBOARD: &str = "charts/operator/files/dashboards/regions.json";
const RUNBOOKS: &str = "docs/runbooks";
/// Where the names of metrics are.
const METRICS: [&str; 2] = ["operator/src/runtime/metrics.rs", "gameserver/contract/src/metrics.rs"];
/// The pages with all that operators and game servers measure, in the same order.
const METRICS_PAGES: [&str; 2] = ["docs/operator-metrics.md", "docs/metrics.md"];
const CONDITIONS: &str = "operator/api/src/conditions.rs";
/// Conditions whose message ends with their page, and the reasons that they may have then.
const LINKED: [(&str, &[&str]); 8] = [
    (
        "Stalled",
        &[
            "NoFreePort",
            "Unschedulable",
            "PodFailed",
            "CreateFailed",
            "DeleteFailed",
            "NameTaken",
            "PodLost",
            "Silent",
            "ReplicasMissing",
            "RolledBack",
            "GateFailed",
            "OlderScaler",
            "PlacedFleet",
            "NoServer",
            "ServerLost",
            "SessionEnded",
        ],
    ),
    ("Conflict", &["OlderScaler"]),
    ("NotHome", &["OtherRegion"]),
    ("BoundsConflict", &["BoundsConflict"]),
    ("NameTaken", &["NameTaken"]),
    ("AbleToScale", &["MissingData", "FleetMissing", "PlacedFleet", "OlderScaler"]),
    ("ZonesCovered", &["ZoneWithoutNode"]),
    ("Connected", &["Unreachable", "Degraded", "Isolated", "Gone"]),
];

fn read(path: &str) -> String {
    crate::text(Path::new(path)).unwrap_or_else(|| panic!("{path} is no text"))
}

/// Texts of the string constants of a source.
fn constants(source: &str) -> BTreeSet<String> {
    let lines = source.lines().filter_map(|line| line.split_once(": &str = \"")?.1.strip_suffix("\";"));
    lines.map(str::to_owned).collect()
}

/// Metrics that an expression names; a histogram by its own name.
fn metrics_of(expression: &str) -> BTreeSet<String> {
    let words = expression.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    let ours = words.filter(|word| word.starts_with("operator_") || word.starts_with("gameserver_"));
    let bare = ours.map(|word| {
        ["_bucket", "_sum", "_count"].iter().find_map(|end| word.strip_suffix(end)).unwrap_or(word)
    });
    bare.map(str::to_owned).collect()
}

/// Every `expr` below a value.
fn expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Mapping(fields) => {
            found.extend(fields.get("expr").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|field| expressions(field, found));
        }
        Value::Sequence(items) => items.iter().for_each(|item| expressions(item, found)),
        _ => {}
    }
}

fn rules() -> Vec<Value> {
    let file: Value = serde_yaml::from_str(&read(ALERTS)).unwrap();
    let groups = file["groups"].as_sequence().unwrap();
    groups.iter().flat_map(|group| group["rules"].as_sequence().unwrap().clone()).collect()
}

/// Headings of a page, such as `Gone`.
fn headings(page: &str) -> BTreeSet<String> {
    let path = format!("{RUNBOOKS}/conditions/{page}.md");
    let text = std::fs::read_to_string(crate::root().join(path)).unwrap_or_default();
    text.lines().filter_map(|line| line.strip_prefix("### ")).map(str::to_owned).collect()
}

#[test]
fn every_metric_is_in_an_alert_or_on_the_dashboard_and_none_is_named_that_is_not_there() {
    let in_code: BTreeSet<String> = METRICS.iter().flat_map(|path| constants(&read(path))).collect();
    let mut found = Vec::new();
    for path in [ALERTS, DASHBOARD] {
        expressions(&serde_yaml::from_str(&read(path)).unwrap(), &mut found);
    }
    let named: BTreeSet<String> = found.iter().flat_map(|expression| metrics_of(expression)).collect();
    assert!(in_code.len() > 50, "the names of metrics are not understood");
    assert_eq!(named.difference(&in_code).collect::<Vec<_>>(), Vec::<&String>::new(), "not there");
    assert_eq!(in_code.difference(&named).collect::<Vec<_>>(), Vec::<&String>::new(), "left out");
}

/// Metrics in the first column of the tables of a page.
fn listed(page: &str) -> BTreeSet<String> {
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    rows.map(|(name, _)| name.to_owned()).collect()
}

#[test]
fn every_metric_is_on_its_page_and_levels_are_measured_by_metrics_that_are_there() {
    for (page, source) in METRICS_PAGES.iter().zip(METRICS) {
        assert_eq!(listed(&read(page)), constants(&read(source)), "{page}");
    }
    let page = read(METRICS_PAGES[1]);
    let all: BTreeSet<String> = METRICS.iter().flat_map(|path| constants(&read(path))).collect();
    let (_, levels) = page.split_once("## Service levels").unwrap();
    let named = metrics_of(levels);
    assert!(named.len() > 5, "the levels are not understood: {named:?}");
    let unknown = named.iter().filter(|name| !all.contains(*name) && *name != "gameserver_contract");
    assert_eq!(unknown.collect::<Vec<_>>(), Vec::<&String>::new());
}

#[test]
fn every_alert_says_what_is_the_case_has_its_page_and_is_tested_to_fire_and_not_to() {
    let tests: Value = serde_yaml::from_str(&read(ALERTS_TEST)).unwrap();
    let tests: BTreeSet<&str> =
        tests["tests"].as_sequence().unwrap().iter().filter_map(|test| test["name"].as_str()).collect();
    let index = read(&format!("{RUNBOOKS}/README.md"));
    let mut faults = Vec::new();
    let mut pages = BTreeSet::from(["README.md".to_owned(), "conditions".to_owned()]);
    for rule in rules() {
        let name = rule["alert"].as_str().unwrap().to_owned();
        let mut demand = |holds: bool, what: &str| {
            if !holds {
                faults.push(format!("{name}: {what}"));
            }
        };
        let page = format!("{name}.md");
        let time = rule["for"].as_str().unwrap_or_default();
        let said = |field: &str| rule["annotations"][field].as_str().unwrap_or_default();
        let is_severe = matches!(rule["labels"]["severity"].as_str(), Some("critical" | "warning"));
        demand(is_severe, "severity is critical or warning");
        demand(!said("summary").is_empty() && !said("description").is_empty(), "summary and description");
        demand(said("runbook_url") == format!("{RUNBOOKS}/{page}"), "runbook_url leads to its page");
        demand(crate::root().join(RUNBOOKS).join(&page).is_file(), "its page");
        demand(index.contains(&format!("[{name}]({page})")), "in the index");
        demand(tests.contains(format!("{name} fires after {time}").as_str()), "a test that it fires in time");
        demand(tests.contains(format!("{name} does not fire on a blip").as_str()), "a test of a blip");
        pages.insert(page);
    }
    assert_eq!(faults, Vec::<String>::new());
    let there: BTreeSet<String> = std::fs::read_dir(crate::root().join(RUNBOOKS))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(there, pages, "a page an alert, and no other");
}

#[test]
fn every_condition_has_its_page_and_every_reason_is_explained_where_messages_lead_to() {
    let source = read(CONDITIONS);
    let (types, reasons) = source.split_once("pub mod reasons").unwrap();
    let pages = constants(types);
    let reasons = constants(reasons.split("\n}\n").next().unwrap());
    assert!(pages.len() > 10 && reasons.len() > 25, "conditions and reasons are not understood");
    let pageless = pages
        .iter()
        .filter(|page| !crate::root().join(RUNBOOKS).join(format!("conditions/{page}.md")).is_file());
    assert_eq!(pageless.collect::<Vec<_>>(), Vec::<&String>::new());
    let explained: BTreeSet<String> = pages.iter().flat_map(|page| headings(page)).collect();
    assert_eq!(reasons.difference(&explained).collect::<Vec<_>>(), Vec::<&String>::new(), "no heading");
    let leads_nowhere = LINKED.iter().flat_map(|(page, reasons)| {
        let there = headings(page);
        let missing = reasons.iter().filter(move |reason| !there.contains(**reason));
        missing.map(move |reason| format!("{page}.md#{}", reason.to_lowercase()))
    });
    assert_eq!(leads_nowhere.collect::<Vec<_>>(), Vec::<String>::new());
}

/// Number of a constant such as `const BASE: Duration = Duration::from_millis(250);`.
fn number(source: &str, name: &str) -> Option<u32> {
    let line =
        source.lines().find_map(|line| line.split_once(&format!("const {name}: "))?.1.split_once(" = "))?;
    let digits = line.1.trim_start_matches(|letter: char| !letter.is_ascii_digit());
    digits.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
}

/// Seconds that a line says waits last at most, such as `after waits of up to 30 s`.
fn said_wait(line: &str) -> Option<u32> {
    line.split_once("waits of up to ")?.1.split_once(" s")?.0.parse().ok()
}

#[test]
fn pages_tell_of_links_the_longest_wait_that_the_code_has() {
    let (puller, backoff) = (read("operator/src/links/puller.rs"), read("operator/core/src/backoff.rs"));
    let counted = number(&puller, "FAILURES_COUNTED_MAX").unwrap();
    let base_ms = number(&backoff, "BACKOFF_BASE").unwrap();
    // Doubled with each failure but the first, and half as long again by its jitter.
    let longest = (base_ms << (counted - 1)) * 3 / 2 / 1000;
    let mut found = Vec::new();
    for page in rules().iter().map(|rule| format!("{RUNBOOKS}/{}.md", rule["alert"].as_str().unwrap())) {
        let text = read(&page);
        let of_links = text.lines().filter(|line| line.contains("dial")).filter_map(said_wait);
        found.extend(of_links.map(|seconds| (page.clone(), seconds)));
    }
    assert!(found.len() > 2, "the pages are not understood");
    found.retain(|(_, seconds)| *seconds != longest);
    assert_eq!(found, Vec::new(), "it is {longest} s");
}

/// Whoever leaves first has nobody left to bring its Fleets back to.
#[test]
fn a_page_that_tells_somebody_to_leave_names_the_way_back_before_and_the_price() {
    let alerts = rules();
    let pages = alerts.iter().map(|rule| format!("{RUNBOOKS}/{}.md", rule["alert"].as_str().unwrap()));
    let telling: Vec<_> = pages.filter(|page| read(page).contains("operator region leave")).collect();
    assert!(!telling.is_empty(), "the pages are not understood");
    let blind = telling.into_iter().filter(|page| {
        let text = read(page);
        let (before, _) = text.split_once("operator region leave").unwrap();
        !before.contains("](../recovery.md)") || !text.contains("](../regions.md#what-leave-costs)")
    });
    assert_eq!(blind.collect::<Vec<_>>(), Vec::<String>::new());
}

#[test]
fn expressions_and_constants_are_read_as_they_are_written() {
    let expression =
        "sum by (le) (rate(operator_x_seconds_bucket{region=\"jp\"}[5m])) > on (region) gameserver_y";
    assert_eq!(
        metrics_of(expression),
        ["gameserver_y", "operator_x_seconds"].map(str::to_owned).into_iter().collect()
    );
    let source = "/// `A: &str`\n    pub const A: &str = \"operator_a\";\n    let b = \"operator_b\";\n";
    assert_eq!(constants(source), BTreeSet::from(["operator_a".to_owned()]));
    let source = "/// `BASE`\npub const BASE: Duration = Duration::from_millis(250);\nconst MAX: u32 = 4;\n";
    assert_eq!(
        (number(source, "BASE"), number(source, "MAX"), number(source, "MIN")),
        (Some(250), Some(4), None)
    );
    assert_eq!(said_wait("It is dialled, after waits of up to 3 s."), Some(3));
}
