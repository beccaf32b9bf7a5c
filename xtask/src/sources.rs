//! What our programs are compiled from, as one digest: two working trees of one commit share what was compiled once.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::checkout::{Checkout, digest};
use crate::process;

/// Files and directories of the working tree that cargo or rustc reads for them, and where their flags stand; what is absent counts as
/// absent.
const READ: [&str; 7] = [
    "Cargo.toml",
    "Cargo.lock",
    ".cargo",
    "rust-toolchain.toml",
    "operator",
    "gameserver",
    "xtask/src/images.rs",
];

/// Variables by which a person changes what cargo, rustc or a C compiler makes.
const PREFIXES: [&str; 7] =
    ["CARGO_BUILD_", "CARGO_ENCODED_", "CARGO_PROFILE_", "CARGO_TARGET_", "RUSTC", "CC", "CFLAGS"];

/// Changes when one of those files, the compiler, the person's own settings of cargo or such a variable does.
pub(crate) fn key(checkout: &Checkout) -> Result<String> {
    let mut files = Vec::new();
    for name in READ {
        list(&checkout.root.join(name), &mut files)?;
    }
    files.sort();
    let mut parts =
        vec![process::output(Command::new("rustc").args(["--version", "--verbose"]))?.into_bytes()];
    parts.push(cargo_settings().and_then(|path| fs::read(path).ok()).unwrap_or_default());
    for path in files {
        parts.push(path.strip_prefix(&checkout.root)?.as_os_str().as_encoded_bytes().to_vec());
        parts.push(fs::read(&path).with_context(|| format!("failed to read {}", path.display()))?);
    }
    let mut variables: Vec<_> = env::vars_os()
        .filter(|(name, _)| name.to_str().is_some_and(is_read))
        .map(|(name, value)| [name.as_encoded_bytes(), b"=", value.as_encoded_bytes()].concat())
        .collect();
    variables.sort();
    parts.extend(variables);
    Ok(digest(parts.iter().map(Vec::as_slice)))
}

fn cargo_settings() -> Option<PathBuf> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    Some(home.or_else(|| env::home_dir().map(|home| home.join(".cargo")))?.join("config.toml"))
}

fn is_read(variable: &str) -> bool {
    // where it is built changes nothing of what is built
    variable != "CARGO_TARGET_DIR" && PREFIXES.iter().any(|prefix| variable.starts_with(prefix))
}

/// All files at or below `path`.
fn list(path: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    if path.is_file() {
        found.push(path.to_owned());
    } else if path.is_dir() {
        for entry in fs::read_dir(path).with_context(|| format!("failed to read {}", path.display()))? {
            list(&entry?.path(), found)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(name: &str) -> Checkout {
        let root = env::temp_dir().join(format!("cranewing-sources-{name}-{}", std::process::id()));
        fs::create_dir_all(root.join("operator/src")).unwrap();
        fs::write(root.join("Cargo.lock"), "lock").unwrap();
        fs::write(root.join("operator/src/main.rs"), "fn main() {}").unwrap();
        Checkout { cache: root.join("cache"), root, tree: name.to_owned(), instance: name.to_owned() }
    }

    #[test]
    fn trees_with_the_same_sources_have_one_key_and_each_change_to_them_another() {
        let (one, other) = (tree("one"), tree("other"));
        let first = key(&one).unwrap();
        assert_eq!(key(&other).unwrap(), first);

        fs::create_dir_all(other.root.join("docs")).unwrap();
        fs::write(other.root.join("docs/page.md"), "no program is compiled from this").unwrap();
        assert_eq!(key(&other).unwrap(), first);

        let mut keys = vec![first];
        for (path, text) in [
            ("operator/src/main.rs", "fn main() { }"),
            ("operator/src/new.rs", ""),
            ("Cargo.lock", "locked"),
            ("rust-toolchain.toml", "[toolchain]"),
        ] {
            fs::write(other.root.join(path), text).unwrap();
            keys.push(key(&other).unwrap());
        }
        fs::rename(other.root.join("operator/src/new.rs"), other.root.join("operator/src/newer.rs")).unwrap();
        keys.push(key(&other).unwrap());
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), 6, "{keys:?}");
        for tree in [one, other] {
            fs::remove_dir_all(tree.root).unwrap();
        }
    }

    #[test]
    fn a_variable_that_changes_the_programs_is_read_and_one_of_this_run_is_not() {
        for (variable, read) in [
            ("CARGO_PROFILE_RELEASE_DEBUG", true),
            ("CARGO_BUILD_RUSTFLAGS", true),
            ("CC_x86_64_unknown_linux_gnu", true),
            ("RUSTC_WRAPPER", true),
            ("CARGO_TARGET_DIR", false),
            ("CARGO_MANIFEST_DIR", false),
            ("HOME", false),
        ] {
            assert_eq!(is_read(variable), read, "{variable}");
        }
    }
}
