//! Every flag of every program is on the page of flags, with its variable and its default where the source says them in words.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const PAGE: &str = "docs/flags.md";
/// Programs, as the headings of their parts of the page begin, and where their flags are. The first room that a source lies in counts.
const PROGRAMS: [(&str, &str); 7] = [
    ("operator", "operator/src"),
    ("bots", "gameserver/bots/src"),
    // how it finds a server, as the terminal client does
    ("bots", "gameserver/access/src"),
    ("terminal", "gameserver/terminal/src"),
    ("simulator", "gameserver/simulator/src"),
    ("gameserver", "gameserver/src"),
    ("xtask", "xtask/src"),
];
/// Programs that other servers are measured with; nobody uses them otherwise.
const PEERS: &str = "gameserver/bots/bench/peers";

/// A flag as a source has it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Clone)]
struct Flag {
    name: String,
    variable: Option<String>,
    default: Option<String>,
}

/// Flags of a source, its tests left out.
fn flags(source: &str) -> Vec<Flag> {
    let source = source.split("#[cfg(test)]").next().unwrap_or_default();
    let attributes = source.split("#[arg(").skip(1);
    attributes.filter_map(|rest| flag(rest.split_at(end_of_group(rest)))).collect()
}

/// Where the parenthesis closes that was open before the text; what stands in quotes opens and closes none.
fn end_of_group(text: &str) -> usize {
    let (mut depth, mut quoted) = (1, false);
    for (at, letter) in text.char_indices() {
        match letter {
            '"' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

fn flag((attribute, after): (&str, &str)) -> Option<Flag> {
    let text =
        |key: &str| Some(attribute.split_once(&format!("{key} = \""))?.1.split_once('"')?.0.to_owned());
    let words: Vec<&str> = attribute.split([',', '\n', '=']).map(str::trim).collect();
    if !words.contains(&"long") {
        return None;
    }
    // further attributes may stand between this one and the field
    let field =
        after.lines().map(str::trim).find(|line| line.contains(": ") && !line.starts_with(['#', ')']))?;
    let (field, _type) = field.split_once(": ")?;
    let field = field.trim_start_matches("pub(crate) ").trim_start_matches("pub ").replace('_', "-");
    Some(Flag { name: text("long").unwrap_or(field), variable: text("env"), default: text("default_value") })
}

/// Rows of the page: program and cells.
fn rows(page: &str) -> Vec<(String, Vec<String>)> {
    let parts = page.split("\n## ").skip(1);
    let rows = parts.flat_map(|part| {
        let program = part.split_whitespace().next().unwrap_or_default();
        let rows = part.lines().filter(|line| line.starts_with("| `--"));
        rows.map(move |row| {
            let cells =
                row.trim_matches('|').split(" | ").map(|cell| cell.trim().trim_matches('`').to_owned());
            (program.to_owned(), cells.collect())
        })
    });
    rows.collect()
}

/// Flags of the tree with their programs.
fn in_code() -> BTreeSet<(String, Flag)> {
    let is_source =
        |path: &PathBuf| path.extension().is_some_and(|end| end == "rs") && !path.starts_with(PEERS);
    let mut found = BTreeSet::new();
    for path in crate::tree().into_iter().filter(is_source) {
        let Some((program, _)) = PROGRAMS.iter().find(|(_, room)| path.starts_with(room)) else { continue };
        let text = crate::text(&path).unwrap_or_default();
        found.extend(flags(&text).into_iter().map(|flag| ((*program).to_owned(), flag)));
    }
    found
}

/// What the page leaves out or says otherwise, and what it says of flags that are not there.
fn faults(flags: &BTreeSet<(String, Flag)>, page: &str) -> Vec<String> {
    let rows = rows(page);
    let mut found = Vec::new();
    for (program, flag) in flags {
        let is_its = |(of, cells): &(String, Vec<String>)| {
            let is = |at: usize, text: &Option<String>| text.as_ref().is_none_or(|text| cells[at] == *text);
            of == program
                && cells[0] == format!("--{}", flag.name)
                && is(1, &flag.variable)
                && is(2, &flag.default)
        };
        if !rows.iter().any(is_its) {
            found.push(format!("{program}: no row says {flag:?}"));
        }
    }
    for (program, cells) in &rows {
        let name = cells[0].trim_start_matches('-');
        if !flags.iter().any(|(of, flag)| of == program && flag.name == name) {
            found.push(format!("{program}: --{name} is not there"));
        }
        if cells.last().is_none_or(String::is_empty) {
            found.push(format!("{program}: nothing is said of --{name}"));
        }
    }
    found
}

#[test]
fn every_flag_is_on_the_page_and_none_is_that_is_not_there() {
    let flags = in_code();
    let of = |program: &str| flags.iter().filter(|(of, _)| of == program).count();
    for (program, least) in
        [("operator", 40), ("gameserver", 30), ("bots", 20), ("terminal", 4), ("simulator", 6), ("xtask", 15)]
    {
        assert!(of(program) >= least, "the flags of {program} are not understood: {}", of(program));
    }
    let page = crate::text(Path::new(PAGE)).expect("the page is there");
    assert_eq!(faults(&flags, &page), Vec::<String>::new());
}

#[test]
fn flags_are_read_as_they_are_written() {
    let source = "
        /// Not a flag.
        #[arg(value_name = \"REGION\")]
        pub region: RegionId,
        #[arg(long, env = \"CRANEWING_A\", default_value = \"f(x)\", value_parser = parse(1))]
        pub first_one: u8,
        #[arg(
            long = \"other\",
            short
        )]
        #[expect(missing_docs, reason = \"a: b\")]
        second: Vec<(RegionId, String)>,
        #[arg(long, env = env::B, default_value_t = 5)]
        pub(crate) third: Option<u8>,
        #[cfg(test)]
        #[arg(long)]
        pub fourth: u8,";
    let flag = |name: &str, variable: Option<&str>, default: Option<&str>| Flag {
        name: name.to_owned(),
        variable: variable.map(str::to_owned),
        default: default.map(str::to_owned),
    };
    let expected = [
        flag("first-one", Some("CRANEWING_A"), Some("f(x)")),
        flag("other", None, None),
        flag("third", None, None),
    ];
    assert_eq!(flags(source), expected);
}

#[test]
fn what_the_page_leaves_out_says_otherwise_or_makes_up_is_a_fault() {
    let flag = |name: &str| Flag {
        name: name.to_owned(),
        variable: Some("A".to_owned()),
        default: Some("1".to_owned()),
    };
    let flags = BTreeSet::from([("operator".to_owned(), flag("a"))]);
    let page = |rows: &str| {
        format!("# Flags\n\n## operator run\n\n| flag | variable | default | |\n|---|---|---|---|\n{rows}\n")
    };
    assert_eq!(faults(&flags, &page("| `--a` | `A` | `1` | It. |")), Vec::<String>::new());
    for (rows, expected) in [
        ("", 1),
        ("| `--a` | `B` | `1` | It. |", 1),
        ("| `--a` | `A` | `2` | It. |", 1),
        ("| `--a` | `A` | `1` |  |", 1),
        ("| `--a` | `A` | `1` | It. |\n| `--b` |  |  | It. |", 1),
        ("| `--a` | `A` | `1` | It. |\n\n## bots\n\n| `--a` | `A` | `1` | It. |", 1),
    ] {
        assert_eq!(faults(&flags, &page(rows)).len(), expected, "{rows}: {:?}", faults(&flags, &page(rows)));
    }
}
