//! What a zone knows and says is in whole numbers, or builds and machines would not agree on it.

use std::path::{Path, PathBuf};

/// Rooms in which nothing that is released counts in floats.
const ROOMS: [&str; 3] = ["gameserver/core/src", "gameserver/game/src", "gameserver/protocol/src"];

/// Sources of a room; those of which only tests are made may count as they like.
fn is_released(path: &Path) -> bool {
    let is_of_tests =
        path.components().any(|part| ["tests", "tests.rs"].iter().any(|name| part.as_os_str() == *name));
    ROOMS.iter().any(|room| path.starts_with(room)) && !is_of_tests
}

/// Lines with a float, up to the tests at the end of a file.
fn floats(text: &str) -> Vec<&str> {
    let released = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    released.lines().filter(|line| has_float(&code(line))).collect()
}

/// A line without what stands in quotes and without its comment.
fn code(line: &str) -> String {
    let line = line.replace("'\"'", "").replace("\\\"", "");
    let unquoted = line.split('"').step_by(2).collect::<Vec<_>>().join("\"");
    unquoted.split("//").next().unwrap_or_default().to_owned()
}

/// Whether a type of floats is named, or a number has a fraction or an exponent.
fn has_float(code: &str) -> bool {
    let is_of_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    let is_of_number = |letter: char| letter.is_ascii_digit() || letter == '_';
    let is_named = code.split(|letter| !is_of_word(letter)).any(|word| {
        let after = word.trim_start_matches(is_of_number);
        let is_number = word.starts_with(|first: char| first.is_ascii_digit());
        ["f32", "f64"].contains(&after) && (is_number || after == word)
            || is_number && after.starts_with(['e', 'E'])
    });
    let has_fraction = |(at, _): (usize, &str)| {
        // neither a field of a field nor a range nor what is asked of a number
        let before = code[..at].trim_end_matches(is_of_number);
        let is_number = code[before.len()..at].starts_with(|first: char| first.is_ascii_digit());
        let is_alone = !before.ends_with(|last: char| is_of_word(last) || last == '.');
        let is_end =
            !code[at + 1..].starts_with(|next: char| next.is_alphabetic() || ['.', '_'].contains(&next));
        is_number && is_alone && is_end
    };
    is_named || code.match_indices('.').any(has_fraction)
}

#[test]
fn what_a_zone_is_made_of_counts_in_whole_numbers() {
    let sources: Vec<PathBuf> = crate::tree().into_iter().filter(|path| is_released(path)).collect();
    for room in ROOMS {
        assert!(sources.iter().any(|path| path.starts_with(room)), "nothing is in {room}");
    }
    let found = sources.iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    let found = found.filter_map(|path| Some((path, crate::text(path)?)));
    let found: Vec<String> = found
        .flat_map(|(path, text)| {
            floats(&text).iter().map(|line| format!("{}: {line}", path.display())).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(found, Vec::<String>::new(), "count in thousandths, or in parts of a tick");
}

#[test]
fn a_float_is_found_however_it_is_written_and_nothing_else_is_taken_for_one() {
    for line in [
        "x: f32,",
        "let way = f64::from(x).sqrt();",
        "let half = (whole * 0.5) as i32;",
        "let most = 1_000.;",
        "let few = 1e3;",
        "let tiny = 2E-3;",
        "let one = 1f64;",
        "let one = 1_f32; // whole",
        "(1.)",
        "let quote = '\"'; let half = 0.5;",
        "say(\"\\\"\"); let half = 0.5;",
    ] {
        assert_eq!(floats(line), [line]);
    }
    for line in [
        "let x = pair.0.1;",
        "for at in 0..9 {",
        "(1..=9).contains(&x)",
        "let x = 0xe5_f32;",
        "let x = 1_000_u64 + 5usize;",
        "let x = 7.max(3);",
        "let x = 10; // 1.5 units, as f64",
        "/// Half a tick: 0.5.",
        "println!(\"{x} of 1.5\");",
        "let e1 = of_f64(x1.y);",
        "fn a() {}\n#[cfg(test)]\nmod tests {\n    let x = 1.5;\n}",
    ] {
        assert_eq!(floats(line), Vec::<&str>::new(), "{line}");
    }
}
