//! cargo's target directory of this working tree. It lies in the cache and starts as a copy of another tree's, so that a fresh clone compiles only itself.
//!
//! Two trees cannot share one: cargo names what it compiles by the path inside the workspace and knows a change by its time alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::checkout::Checkout;
use crate::lock::Lock;
use crate::process;

/// Target directories that the cache keeps; each is 4 to 8 GB.
const KEPT: usize = 3;

/// Shows when a directory was last used; written after a copy is whole.
const MARK: &str = "cranewing-used";

/// What a copy takes along: compiled dependencies and what cargo knows of them.
const PARTS: [&str; 3] = ["deps", "build", ".fingerprint"];

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
}

/// Where cargo puts what it builds: in the cache, or where the caller wants it.
pub(crate) fn directory(checkout: &Checkout) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| own(checkout), |set| checkout.root.join(set))
}

/// cargo in this working tree, with its target directory made ready.
pub(crate) fn cargo(checkout: &Checkout) -> Result<Command> {
    if std::env::var_os("CARGO_TARGET_DIR").is_none() {
        prepare(checkout)?;
    }
    let mut cargo = plain_cargo(checkout);
    cargo.env("CARGO_TARGET_DIR", directory(checkout));
    // increments help only who edits, and would double what is kept
    cargo.env("CARGO_INCREMENTAL", "0");
    Ok(cargo)
}

fn plain_cargo(checkout: &Checkout) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(&checkout.root);
    // `cargo run` describes xtask to us; build scripts that read it would run again in every working tree
    let about_xtask =
        |name: &str| ["CARGO_MANIFEST_", "CARGO_PKG_"].iter().any(|prefix| name.starts_with(prefix));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(about_xtask)) {
        cargo.env_remove(name);
    }
    cargo
}

fn own(checkout: &Checkout) -> PathBuf {
    checkout.cache.join("targets").join(&checkout.tree)
}

/// Makes the directory from the one used last, if it is not there, and drops those that nobody used for longest.
fn prepare(checkout: &Checkout) -> Result<()> {
    let own = own(checkout);
    let mark = own.join(MARK);
    let _lock = Lock::wait(&checkout.cache.join("targets.lock"), "copying compiled dependencies", |_| ())?;
    if !mark.exists() {
        if let Some(newest) = by_use(checkout)?.pop() {
            let text = process::output(plain_cargo(checkout).args([
                "metadata",
                "--no-deps",
                "--format-version=1",
                "--offline",
            ]))?;
            let metadata: Metadata =
                serde_json::from_str(&text).context("cargo metadata is not understood")?;
            copy(checkout, &newest, &own, &metadata.packages)?;
        }
        fs::create_dir_all(&own).with_context(|| format!("failed to create {}", own.display()))?;
    }
    fs::write(&mark, "").with_context(|| format!("failed to write {}", mark.display()))?;
    let all = by_use(checkout)?;
    for old in all.iter().take(all.len().saturating_sub(KEPT)) {
        let locks = cargo_locks(old)?;
        // who compiles there keeps it
        if locks.iter().all(|lock| lock.try_lock().is_ok()) {
            fs::remove_dir_all(old).with_context(|| format!("failed to remove {}", old.display()))?;
        }
    }
    Ok(())
}

/// Finished target directories of all working trees, the one used last at the end.
fn by_use(checkout: &Checkout) -> Result<Vec<PathBuf>> {
    let Ok(entries) = fs::read_dir(checkout.cache.join("targets")) else { return Ok(Vec::new()) };
    let mut found: Vec<(SystemTime, PathBuf)> = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if let Ok(mark) = fs::metadata(path.join(MARK)) {
            found.push((mark.modified()?, path));
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// The locks that cargo holds while it compiles, one a profile.
fn cargo_locks(target: &Path) -> Result<Vec<fs::File>> {
    let locks = profiles(target)?.into_iter().map(|profile| profile.join(".cargo-lock"));
    let open =
        |path: PathBuf| fs::File::open(&path).with_context(|| format!("failed to open {}", path.display()));
    locks.filter(|path| path.exists()).map(open).collect()
}

/// Directories of the profiles that were compiled, those for a named platform as well.
fn profiles(target: &Path) -> Result<Vec<PathBuf>> {
    let triples = fs::read_dir(target)?.flatten().map(|entry| entry.path().join("release"));
    let all = [target.join("debug"), target.join("release")].into_iter().chain(triples);
    Ok(all.filter(|profile| profile.join(".fingerprint").is_dir()).collect())
}

/// Copies dependencies and nothing of the workspace's own packages, whose sources differ.
fn copy(checkout: &Checkout, from: &Path, to: &Path, members: &[Package]) -> Result<()> {
    let locks = cargo_locks(from)?;
    for lock in &locks {
        // a build that runs would leave half of what it vouches for
        lock.lock_shared().context("failed to wait for a build")?;
    }
    for profile in profiles(from)? {
        let target = to.join(profile.strip_prefix(from)?);
        fs::create_dir_all(&target).with_context(|| format!("failed to create {}", target.display()))?;
        for part in PARTS {
            // with its times, by which cargo knows that nothing changed
            let mut copy = Command::new("cp");
            copy.args(["--archive", "--reflink=auto"]).arg(profile.join(part)).arg(&target);
            process::output(&mut process::bound(&copy, &checkout.instance))?;
            drop_members(&target.join(part), members)?;
        }
    }
    Ok(())
}

fn drop_members(directory: &Path, members: &[Package]) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // what has no extension is an executable: a test or a program, never a dependency
        let executable = path.is_file() && path.extension().is_none();
        if !executable && !is_member(&name, members) {
            continue;
        }
        let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.with_context(|| format!("failed to remove {}", path.display()))?;
    }
    Ok(())
}

/// Whether a file or directory belongs to a package of the workspace: `[lib]name-<hash>...`, in cargo's or rustc's spelling.
fn is_member(file: &str, members: &[Package]) -> bool {
    let stem = file.rsplit_once('-').map_or(file, |(stem, _)| stem);
    let stem = stem.strip_prefix("lib").unwrap_or(stem).replace('_', "-");
    members.iter().any(|member| member.name == stem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_the_workspace_is_not_copied() {
        let members = [Package { name: "operator".to_owned() }, Package { name: "operator-api".to_owned() }];
        for file in ["operator-0a1b", "liboperator_api-0a1b.rlib", "operator_api-0a1b.d", "operator-api-0a1b"]
        {
            assert!(is_member(file, &members), "{file}");
        }
        for file in ["libserde-0a1b.rlib", "operators-0a1b", "libc-0a1b", "ring-0a1b"] {
            assert!(!is_member(file, &members), "{file}");
        }
    }
}
