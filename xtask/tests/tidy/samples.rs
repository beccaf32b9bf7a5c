//! There is a sample for each feature: every file is on the page that the end-to-end suite reads, every field of every kind of ours is in one
//! of them, and every page on what one can ask for has one.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Deserialize as _;
use serde_yaml::Value;

const FOLDER: &str = "docs/samples";
const PAGE: &str = "docs/samples/README.md";
/// Where samples can be applied.
const PLACES: [&str; 5] = ["any", "kr", "jp", "sg", "joined"];
/// Pages of `docs` that tell of no resource that somebody could apply.
const WITHOUT: [&str; 15] = [
    "ARCHITECTURE.md",
    "clusters.md",
    "costs.md",
    "debug-bundle.md",
    "flags.md",
    "games.md",
    "metrics.md",
    "operator-metrics.md",
    "placement.md",
    "recovery.md",
    "refusals.md",
    "simulator.md",
    "terminal.md",
    "threat-model.md",
    "wire.md",
];

/// A row of the page: its cells.
fn rows(page: &str) -> Vec<Vec<String>> {
    let rows = page.lines().filter(|line| line.starts_with("| ["));
    let cells = |row: &str| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
    rows.map(cells).collect()
}

/// Where the links of a cell lead.
fn targets(cell: &str) -> Vec<String> {
    cell.split("](").skip(1).filter_map(|rest| Some(rest.split(')').next()?.to_owned())).collect()
}

/// Samples of the tree, below the folder.
fn samples() -> BTreeSet<String> {
    let of_folder =
        crate::tree().into_iter().filter_map(|path| path.strip_prefix(FOLDER).map(Path::to_owned).ok());
    let yaml = of_folder.filter(|path| path.extension().is_some_and(|end| end == "yaml"));
    yaml.map(|path| path.display().to_string()).collect()
}

fn documents(text: &str) -> Vec<Value> {
    serde_yaml::Deserializer::from_str(text).map(|document| Value::deserialize(document).unwrap()).collect()
}

/// What is wrong with the page, of these samples.
fn faults(page: &str, samples: &BTreeSet<String>, text: impl Fn(&str) -> String) -> Vec<String> {
    let (mut found, mut listed) = (Vec::new(), BTreeSet::new());
    for row in rows(page) {
        let [file, shows, pages, place, after, wait] = &row[..] else {
            found.push(format!("{row:?} has not six cells"));
            continue;
        };
        let file = targets(file).pop().unwrap_or_default();
        let mut demand = |holds: bool, what: &str| {
            if !holds {
                found.push(format!("{file}: {what}"));
            }
        };
        demand(samples.contains(&file), "it is not there");
        demand(
            !shows.is_empty() && !targets(pages).is_empty(),
            "it says what it shows, and where that is told of",
        );
        demand(PLACES.contains(&place.as_str()), "where it can be applied");
        demand(
            targets(after).iter().all(|after| samples.contains(after)),
            "what must be there before is there",
        );
        let waits: Vec<&str> = wait.split('`').skip(1).step_by(2).collect();
        let names: Vec<Value> =
            documents(&text(&file)).iter().map(|object| object["metadata"]["name"].clone()).collect();
        let is_ours =
            |object: &str| object.split_once('/').is_some_and(|(_, name)| names.iter().any(|of| of == name));
        let is_wait = |wait: &&str| {
            let parts = wait.strip_prefix("--for=").and_then(|wait| wait.split_once(' '));
            parts.is_some_and(|(_, objects)| objects.split(' ').all(is_ours))
        };
        demand(!waits.is_empty() && waits.iter().all(is_wait), "it waits for objects of its own");
        listed.insert(file);
    }
    found.extend(samples.difference(&listed).map(|file| format!("{file}: it is not on the page")));
    found
}

#[test]
fn every_sample_is_on_the_page_that_the_suite_reads_with_what_is_waited_for() {
    let read = |file: &str| crate::text(&Path::new(FOLDER).join(file)).unwrap_or_default();
    let samples = samples();
    assert!(samples.len() > 10, "the samples are not understood: {samples:?}");
    assert_eq!(faults(&crate::text(Path::new(PAGE)).unwrap(), &samples, read), Vec::<String>::new());
}

/// Fields of a schema below a path, but for what is Kubernetes' own of a pod.
fn fields(at: &str, schema: &Value, found: &mut BTreeSet<String>) {
    for (name, field) in schema["properties"].as_mapping().into_iter().flatten() {
        let path = format!("{at}.{}", name.as_str().unwrap());
        if path.ends_with("template.spec.template") || path == "GameServer.template" {
            found.insert(path);
            continue;
        }
        fields(&path, field, found);
        found.insert(path);
    }
    if !schema["items"].is_null() {
        fields(at, &schema["items"], found);
    }
}

/// Fields that a value has below a path.
fn set(at: &str, value: &Value, found: &mut BTreeSet<String>) {
    for (name, field) in value.as_mapping().into_iter().flatten() {
        let path = format!("{at}.{}", name.as_str().unwrap());
        set(&path, field, found);
        found.insert(path);
    }
    value.as_sequence().into_iter().flatten().for_each(|item| set(at, item, found));
}

#[test]
fn every_field_of_every_kind_is_in_a_sample() {
    let (mut known, mut shown) = (BTreeSet::new(), BTreeSet::new());
    for path in crate::tree().into_iter().filter(|path| path.starts_with("crds")) {
        let definition: Value = serde_yaml::from_str(&crate::text(&path).unwrap()).unwrap();
        let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
        fields(definition["spec"]["names"]["kind"].as_str().unwrap(), schema, &mut known);
    }
    assert!(known.len() > 60, "the definitions are not understood: {known:?}");
    for file in samples() {
        for object in documents(&crate::text(&Path::new(FOLDER).join(file)).unwrap()) {
            set(object["kind"].as_str().unwrap(), &object["spec"], &mut shown);
        }
    }
    assert_eq!(known.difference(&shown).collect::<Vec<_>>(), Vec::<&String>::new());
}

#[test]
fn every_page_on_what_one_can_ask_for_has_a_sample() {
    let page = crate::text(Path::new(PAGE)).unwrap();
    let told: BTreeSet<PathBuf> = rows(&page)
        .iter()
        .flat_map(|row| targets(&row[2]))
        .filter_map(|target| Some(Path::new("docs").join(target.strip_prefix("../")?)))
        .collect();
    let is_page = |path: &PathBuf| {
        path.parent() == Some(Path::new("docs")) && path.extension().is_some_and(|end| end == "md")
    };
    let pages: Vec<PathBuf> = crate::tree().into_iter().filter(is_page).collect();
    let is_without =
        |path: &Path| path.file_name().is_some_and(|name| WITHOUT.iter().any(|without| name == *without));
    let bare: Vec<&PathBuf> =
        pages.iter().filter(|path| !told.contains(*path) && !is_without(path)).collect();
    assert_eq!(bare, Vec::<&PathBuf>::new(), "add a sample, or say here that there is nothing to apply");
    let stale = WITHOUT.iter().filter(|name| {
        let path = Path::new("docs").join(name);
        !pages.contains(&path) || told.contains(&path)
    });
    assert_eq!(stale.collect::<Vec<_>>(), Vec::<&&str>::new());
}

#[test]
fn a_sample_that_is_left_out_or_waits_for_somebody_elses_object_is_a_fault() {
    let samples = BTreeSet::from(["a.yaml".to_owned()]);
    let text = |_: &str| "{kind: Fleet, metadata: {name: duel}}".to_owned();
    let row = |place: &str, after: &str, wait: &str| {
        format!("| [a.yaml](a.yaml) | it | [page](../page.md) | {place} | {after} | `{wait}` |")
    };
    let wait = "--for=condition=Ready fleets/duel";
    assert_eq!(faults(&row("any", "", wait), &samples, text), Vec::<String>::new());
    for page in [
        String::new(),
        row("us", "", wait),
        row("any", "[b.yaml](b.yaml)", wait),
        row("any", "", "--for=condition=Ready fleets/arena"),
        row("any", "", "fleets/duel"),
        format!("{}\n{}", row("any", "", wait), row("any", "", wait).replace("a.yaml", "b.yaml")),
    ] {
        assert_eq!(faults(&page, &samples, text).len(), 1, "{page}: {:?}", faults(&page, &samples, text));
    }
}

#[test]
fn fields_are_found_in_definitions_and_in_samples_by_the_same_paths() {
    let schema = "{properties: {a: {properties: {b: {}}}, list: {items: {properties: {c: {}}}}, template: {properties: {x: {}}}}}";
    let (mut known, mut shown) = (BTreeSet::new(), BTreeSet::new());
    fields("GameServer", &serde_yaml::from_str(schema).unwrap(), &mut known);
    set(
        "GameServer",
        &serde_yaml::from_str("{a: {b: 1}, list: [{c: 2}], template: {}}").unwrap(),
        &mut shown,
    );
    let expected =
        ["GameServer.a", "GameServer.a.b", "GameServer.list", "GameServer.list.c", "GameServer.template"];
    assert_eq!(known, expected.map(str::to_owned).into_iter().collect());
    assert_eq!(known, shown);
}
