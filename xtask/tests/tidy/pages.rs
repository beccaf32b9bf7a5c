//! What the pages point to is there, and the rooms of the operator are on their page.

use std::path::Path;

/// Targets of the links and pictures of a Markdown text that lie in this tree.
fn links(text: &str) -> Vec<String> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split([')', '#', ' ']).next());
    targets.filter(|target| !target.is_empty() && !target.contains("://")).map(str::to_owned).collect()
}

/// `room::name_of_a_test` in the last column of the table of invariants.
fn invariants(text: &str) -> Vec<(String, String)> {
    let section = text.split("## Invariants").nth(1).unwrap_or_default();
    let section = section.split("\n## ").next().unwrap_or_default();
    let cells = section.lines().filter_map(|line| line.trim_end_matches(" |").rsplit("| ").next());
    let names = cells.filter_map(|cell| cell.strip_prefix('`')?.strip_suffix('`')?.rsplit_once("::"));
    let last = |path: &str| path.rsplit("::").next().unwrap_or(path).to_owned();
    names.map(|(path, name)| (last(path), name.to_owned())).collect()
}

#[test]
fn every_link_of_a_page_leads_somewhere() {
    let mut dead = Vec::new();
    for page in crate::tree().into_iter().filter(|path| path.extension().is_some_and(|end| end == "md")) {
        let Some(text) = crate::text(&page) else { continue };
        let home = page.parent().unwrap_or_else(|| Path::new(""));
        let gone = links(&text).into_iter().filter(|link| !crate::root().join(home).join(link).exists());
        dead.extend(gone.map(|link| format!("{}: {link}", page.display())));
    }
    assert_eq!(dead, Vec::<String>::new());
}

/// Folders of the operator that are modules: its rooms.
fn rooms() -> Vec<String> {
    let heads = crate::tree().into_iter().filter(|path| path.ends_with("mod.rs"));
    let rooms = heads.filter_map(|path| path.parent().map(Path::to_path_buf));
    let rooms = rooms.filter(|room| room.parent() == Some(Path::new("operator/src")));
    rooms.map(|room| room.display().to_string()).collect()
}

#[test]
fn every_room_of_the_operator_is_in_the_table_of_rooms() {
    let text = crate::text(Path::new("docs/ARCHITECTURE.md")).expect("the page is there");
    let rooms = rooms();
    assert!(rooms.len() > 5, "the rooms are not understood: {rooms:?}");
    let left_out = rooms.iter().filter(|room| !text.contains(&format!("\n| `{room}` |")));
    assert_eq!(left_out.collect::<Vec<_>>(), Vec::<&String>::new());
}

#[test]
fn every_invariant_is_shown_by_a_test_that_exists() {
    let text = crate::text(Path::new("docs/ARCHITECTURE.md")).expect("the page is there");
    let invariants = invariants(&text);
    assert!(!invariants.is_empty(), "the table of invariants is not understood");
    let rust: Vec<_> =
        crate::tree().into_iter().filter(|path| path.extension().is_some_and(|end| end == "rs")).collect();
    let is_shown = |(room, name): &(String, String)| {
        let rooms = rust
            .iter()
            .filter(|path| path.iter().any(|part| Path::new(part).file_stem() == Some(room.as_ref())));
        let function = format!("fn {name}(");
        rooms.filter_map(|path| crate::text(path)).any(|text| text.contains(&function))
    };
    let unshown: Vec<_> = invariants.iter().filter(|invariant| !is_shown(invariant)).collect();
    assert_eq!(unshown, Vec::<&(String, String)>::new());
}

#[test]
fn links_and_invariants_are_read_as_they_are_written() {
    assert_eq!(links("[a](b/c.md#d) ![p](p.svg) [w](https://example.org) [h](#here)"), ["b/c.md", "p.svg"]);
    let table = "## Invariants\n\n| it | shown by |\n|---|---|\n| x | `house::room::rule` |\n\n## Next\n| y | `a::b` |\n";
    assert_eq!(invariants(table), [("room".to_owned(), "rule".to_owned())]);
}
