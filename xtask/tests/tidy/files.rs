//! Lengths, words and lint tables of the tree's files.

use std::path::{Path, PathBuf};

/// Lines of code that a file may have: what one head can hold.
const CODE_LINES_MAX: usize = 500;

/// Words that would tie the tree to one machine or one registry. Split, so that this list is not found by itself.
const WORDS: &[&str] = &[
    concat!("docker", ".io"),
    concat!("registry.", "k8s.io"),
    concat!("k8s.", "gcr.io"),
    concat!("quay", ".io"),
    concat!("ghcr", ".io"),
    concat!("proxy.", "golang.org"),
    concat!("static.", "crates.io"),
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
];

/// Files that tools write with the addresses of what they locked.
const LOCKED: &[&str] = &["Cargo.lock", "go.sum", "go.mod"];

fn code_lines(text: &str) -> usize {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//")).count()
}

fn rust_files() -> Vec<PathBuf> {
    crate::tree()
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

#[test]
fn no_source_file_is_longer_than_one_head_can_hold() {
    let long: Vec<String> = rust_files()
        .iter()
        .filter_map(|path| Some((path, code_lines(&crate::text(path)?))))
        .filter(|(_, lines)| *lines > CODE_LINES_MAX)
        .map(|(path, lines)| format!("{}: {lines} lines of code", path.display()))
        .collect();
    assert_eq!(long, Vec::<String>::new(), "split by concern; at most {CODE_LINES_MAX} lines of code");
}

#[test]
fn blank_lines_and_comments_are_no_code() {
    assert_eq!(code_lines("//! head\n\nfn main() {\n    // why\n}\n"), 2);
}

#[test]
fn nothing_names_a_registry_or_a_machine() {
    let mut found = Vec::new();
    for path in crate::tree() {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if LOCKED.contains(&name) {
            continue;
        }
        let Some(text) = crate::text(&path) else { continue };
        for (number, line) in text.lines().enumerate() {
            for word in WORDS.iter().filter(|word| line.contains(*word)) {
                found.push(format!("{}:{}: {word}", path.display(), number + 1));
            }
        }
    }
    assert_eq!(found, Vec::<String>::new());
}

/// Packages and workspaces with the texts that describe them.
fn manifests() -> impl Iterator<Item = (PathBuf, String)> {
    let manifests = crate::tree().into_iter().filter(|path| path.ends_with("Cargo.toml"));
    manifests.filter_map(|path| Some((crate::text(&path)?, path))).map(|(text, path)| (path, text))
}

#[test]
fn every_package_has_the_lints_of_the_workspace() {
    let without: Vec<PathBuf> = manifests()
        .filter(|(_, text)| text.contains("[package]") && !text.contains("[lints]\nworkspace = true"))
        .map(|(path, _)| path)
        .collect();
    assert_eq!(without, Vec::<PathBuf>::new());
}

/// Where `unsafe` may be: what talks to the kernel, and the allocator of tests, which cannot be written without.
const UNSAFE_ROOMS: &[&str] = &["gameserver/net", "gameserver/sys", "gameserver/allocations"];

/// Sources elsewhere in which the lint against `unsafe` is lifted; without that there can be none.
fn unsafe_elsewhere<'a>(files: impl IntoIterator<Item = (&'a Path, String)>) -> Vec<&'a Path> {
    let may = |path: &Path| UNSAFE_ROOMS.iter().any(|room| path.starts_with(room));
    let lifts = |text: &str| {
        let mut attributes = text.split('#').filter(|part| part.starts_with('[') || part.starts_with("!["));
        attributes.any(|attribute| {
            let attribute = attribute.split(']').next().unwrap_or_default();
            let lint = attribute.trim_start_matches(['!', '[']);
            ["expect(", "allow(", "warn("].iter().any(|level| lint.starts_with(level))
                && lint.contains(concat!("unsafe", "_code"))
        })
    };
    files.into_iter().filter(|(path, text)| !may(path) && lifts(text)).map(|(path, _)| path).collect()
}

#[test]
fn unsafe_is_only_where_the_kernel_is_talked_to() {
    let files = rust_files();
    let texts = files.iter().filter_map(|path| Some((path.as_path(), crate::text(path)?)));
    assert_eq!(unsafe_elsewhere(texts), Vec::<&Path>::new());
    let workspaces: Vec<_> = manifests().filter(|(_, text)| text.contains("[workspace]")).collect();
    assert!(workspaces.iter().any(|(path, _)| path == Path::new("Cargo.toml")), "{workspaces:?}");
    let lax = workspaces.iter().filter(|(_, text)| !text.contains("unsafe_code = \"deny\""));
    let lax: Vec<_> = lax.map(|(path, _)| path).collect();
    assert_eq!(lax, Vec::<&PathBuf>::new(), "the lints of every workspace deny it");
}

/// Where sources of a game server may name atomics, and why no other has to be tried by loom.
const ATOMICS: [(&str, &str); 5] = [
    ("gameserver/queue/src/sync.rs", "loom's in its tests"),
    ("gameserver/core/src/session/sync.rs", "loom's in its tests"),
    ("gameserver/net/src/uring/buffers.rs", "the tail of a ring, whose other side is the kernel"),
    ("gameserver/bots/src/stop.rs", "one flag"),
    ("gameserver/terminal/src/play.rs", "one flag"),
];

#[test]
fn atomics_are_only_where_loom_tries_them_or_nothing_follows_from_one_for_another() {
    let is_source = |path: &Path| {
        path.starts_with("gameserver") && path.components().any(|part| part.as_os_str() == "src")
    };
    let names =
        |path: &PathBuf| crate::text(path).is_some_and(|text| text.contains(concat!("sync::", "atomic")));
    let found: Vec<PathBuf> =
        rust_files().into_iter().filter(|path| is_source(path) && names(path)).collect();
    let is_known = |path: &&PathBuf| ATOMICS.iter().any(|(known, _)| path.as_path() == Path::new(known));
    // a fixture of tests
    let others: Vec<_> =
        found.iter().filter(|path| !is_known(path) && !path.ends_with("numa/fixture.rs")).collect();
    assert_eq!(others, Vec::<&PathBuf>::new(), "they need a test by loom, or a reason here");
    let gone: Vec<_> =
        ATOMICS.iter().filter(|(known, _)| !found.iter().any(|path| path == Path::new(known))).collect();
    assert!(gone.is_empty(), "{gone:?}");
}

#[test]
fn a_lifted_lint_is_found_however_it_is_written() {
    let lint = concat!("unsafe", "_code");
    let file = |path, text: String| (Path::new(path), text);
    let files = [
        file("gameserver/sys/src/lib.rs", format!("#[expect({lint}, reason = \"the kernel\")]\n")),
        file("gameserver/core/tests/count.rs", format!("#![expect({lint}, reason = \"counts\")]\n")),
        file("gameserver/queue/src/lib.rs", format!("#![forbid({lint})]\n")),
        file("a/src/whole.rs", format!("#![allow({lint})]\n")),
        file("a/src/lines.rs", format!("#[expect(\n    {lint},\n    reason = \"fast\"\n)]\nfn a() {{}}\n")),
    ];
    assert_eq!(
        unsafe_elsewhere(files),
        ["gameserver/core/tests/count.rs", "a/src/whole.rs", "a/src/lines.rs"].map(Path::new)
    );
}

/// Sources that do not begin by saying what they are for.
fn headless<'a>(files: impl IntoIterator<Item = (&'a Path, String)>) -> Vec<&'a Path> {
    let is_source = |path: &Path| path.components().any(|part| part.as_os_str() == "src");
    let without = |text: &str| {
        !text.lines().next().is_some_and(|line| line.len() > "//! ".len() && line.starts_with("//! "))
    };
    files.into_iter().filter(|(path, text)| is_source(path) && without(text)).map(|(path, _)| path).collect()
}

#[test]
fn every_source_file_begins_by_saying_what_it_is_for() {
    let files = rust_files();
    let texts = files.iter().filter_map(|path| Some((path.as_path(), crate::text(path)?)));
    assert_eq!(headless(texts), Vec::<&Path>::new(), "begin it with a line `//! …`");
}

#[test]
fn a_comment_or_an_item_at_the_top_is_no_head() {
    let file = |path, text: &str| (Path::new(path), text.to_owned());
    let files = [
        file("a/src/told.rs", "//! What it is for.\n\nfn a() {}\n"),
        file("a/src/item.rs", "/// An item.\nfn a() {}\n"),
        file("a/src/empty.rs", "//! \n"),
        file("a/tests/rule.rs", "fn a() {}\n"),
    ];
    assert_eq!(headless(files), [Path::new("a/src/item.rs"), Path::new("a/src/empty.rs")]);
}
