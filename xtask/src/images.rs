//! Our two images: a static binary and the host's certificate bundle in an otherwise empty image.
//!
//! What was made of the same sources before is used again, in whichever working tree that was.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use crate::archive;
use crate::checkout::{Checkout, digest, unfinished};
use crate::process;
use crate::progress::Progress;
use crate::sources;
use crate::target::{self, cargo};

/// Where Debian keeps the certificates that programs trust; the same place in the image.
const CERTIFICATES: &str = "etc/ssl/certs/ca-certificates.crt";

/// Files of one name that the cache keeps.
const KEPT: usize = 4;

/// An image as an archive.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Image {
    /// Full name; its tag changes with its content, so that a running cluster rolls to it.
    pub(crate) reference: String,
    pub(crate) archive: PathBuf,
}

/// What this working tree gives: two images, and programs that run on this host.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Images {
    pub(crate) operator: Image,
    pub(crate) gameserver: Image,
    /// The operator's program, by which regions are joined.
    pub(crate) operator_program: PathBuf,
    /// The load client.
    pub(crate) bots: PathBuf,
}

impl Images {
    /// Takes what the same sources gave before; else compiles what changed and packs it.
    pub(crate) fn build(checkout: &Checkout, progress: &Progress) -> Result<Self> {
        let record =
            checkout.cache.join("images").join(format!("of-{}.json", &sources::key(checkout)?[..16]));
        if let Some(made) = Self::recorded(&record) {
            return Ok(made);
        }
        let release = progress.step("compile operator, game server and bots", |_| compile(checkout))?;
        progress.step("pack our images", |_| {
            let image = |name: &str| pack(checkout, name, &release.join(name), env!("CARGO_PKG_VERSION"));
            let made = Self {
                operator: image("operator")?,
                gameserver: image("gameserver")?,
                operator_program: keep(checkout, "cranewing-operator", &release.join("operator"))?,
                bots: keep(checkout, "bots", &release.join("bots"))?,
            };
            made.save(&record)?;
            Ok(made)
        })
    }

    /// The same while something else is done.
    pub(crate) fn build_beside(
        checkout: &Checkout,
        progress: &Progress,
        other: impl FnOnce() -> Result<()>,
    ) -> Result<Self> {
        std::thread::scope(|scope| {
            let built = scope.spawn(|| Self::build(checkout, progress));
            let done = other();
            let built = built.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            done.and(built)
        })
    }

    /// What a record names, if all of it is still there.
    fn recorded(record: &Path) -> Option<Self> {
        let made: Self = serde_json::from_slice(&fs::read(record).ok()?).ok()?;
        let files = [&made.operator.archive, &made.gameserver.archive, &made.operator_program, &made.bots];
        files.iter().all(|file| file.exists()).then_some(made)
    }

    fn save(&self, record: &Path) -> Result<()> {
        let unfinished = unfinished(record);
        fs::write(&unfinished, serde_json::to_vec(self)?)
            .and_then(|()| fs::rename(&unfinished, record))
            .with_context(|| format!("failed to write {}", record.display()))?;
        prune(record.parent().context("a record lies in a directory")?, "of")
    }

    /// Puts the operator's program and the bots where a shell finds them by their names while the instance is up.
    pub(crate) fn offer(&self, checkout: &Checkout) -> Result<()> {
        for (name, made) in [("operator", &self.operator_program), ("bots", &self.bots)] {
            let program = checkout.programs().join(name);
            let unfinished = unfinished(&program);
            fs::create_dir_all(checkout.programs())
                .and_then(|()| fs::copy(made, &unfinished))
                .and_then(|_bytes| fs::rename(&unfinished, &program))
                .with_context(|| format!("failed to write {}", program.display()))?;
        }
        Ok(())
    }

    /// The archives of both.
    pub(crate) fn archives(&self) -> Vec<PathBuf> {
        vec![self.operator.archive.clone(), self.gameserver.archive.clone()]
    }
}

fn certificates() -> Vec<u8> {
    fs::read(Path::new("/").join(CERTIFICATES)).unwrap_or_default()
}

/// Packs one static program under `cranewing/<name>:<version>-<content>`.
pub(crate) fn pack(checkout: &Checkout, name: &str, program: &Path, version: &str) -> Result<Image> {
    let binary = fs::read(program).with_context(|| format!("failed to read {}", program.display()))?;
    let certificates = certificates();
    let key = digest([binary.as_slice(), certificates.as_slice()]);
    let reference = format!("cranewing/{name}:{version}-{}", &key[..8]);
    let directory = checkout.cache.join("images");
    let archive = directory.join(format!("{name}-{version}-{}.tar", &key[..12]));
    if !archive.exists() {
        let tree = directory.join(format!("{name}.{}.unfinished", std::process::id()));
        let unfinished = tree.with_extension("tar");
        fs::create_dir_all(tree.join("tmp"))?;
        fs::create_dir_all(tree.join("etc/ssl/certs"))?;
        fs::copy(program, tree.join(name))
            .with_context(|| format!("failed to copy {}", program.display()))?;
        fs::write(tree.join(CERTIFICATES), certificates)?;
        archive::write(&reference, &unfinished, &tree, Some(&format!("/{name}")))?;
        fs::rename(&unfinished, &archive)
            .with_context(|| format!("failed to complete {}", archive.display()))?;
        fs::remove_dir_all(&tree).with_context(|| format!("failed to remove {}", tree.display()))?;
        prune(&directory, name)?;
    }
    Ok(Image { reference, archive })
}

/// Copies a program into the cache under a name by its content, where no later build replaces it.
fn keep(checkout: &Checkout, name: &str, program: &Path) -> Result<PathBuf> {
    let binary = fs::read(program).with_context(|| format!("failed to read {}", program.display()))?;
    let directory = checkout.cache.join("images");
    let kept = directory.join(format!("{name}-{}", &digest([binary.as_slice()])[..12]));
    if !kept.exists() {
        let unfinished = directory.join(format!("{name}.{}.unfinished", std::process::id()));
        fs::copy(program, &unfinished).with_context(|| format!("failed to copy {}", program.display()))?;
        fs::rename(&unfinished, &kept).with_context(|| format!("failed to complete {}", kept.display()))?;
        prune(&directory, name)?;
    }
    Ok(kept)
}

/// Compiles all programs, static and optimized, and gives their directory.
pub(crate) fn compile(checkout: &Checkout) -> Result<PathBuf> {
    let triple = host_triple()?;
    let mut cargo = cargo(checkout)?;
    // one build for all, so that what they share is compiled once
    cargo.args(["build", "--locked", "--release", "--target", &triple]);
    cargo.args(["--package=operator", "--package=gameserver", "--package=gameserver-bots"]);
    cargo.env("RUSTFLAGS", "-C target-feature=+crt-static");
    process::run(&mut process::bound(&cargo, &checkout.instance), &checkout.log("compile"))?;
    Ok(target::directory(checkout).join(triple).join("release"))
}

fn host_triple() -> Result<String> {
    let text = process::output(Command::new("rustc").args(["--version", "--verbose"]))?;
    match text.lines().find_map(|line| line.strip_prefix("host: ")) {
        Some(triple) => Ok(triple.to_owned()),
        None => bail!("rustc does not say its host"),
    }
}

/// Removes all but the newest files of one name.
fn prune(directory: &Path, name: &str) -> Result<()> {
    let prefix = format!("{name}-");
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(|file| file.starts_with(&prefix)) {
            files.push((entry.metadata()?.modified()?, entry.path()));
        }
    }
    files.sort();
    let surplus = files.len().saturating_sub(KEPT);
    for (_, path) in files.into_iter().take(surplus) {
        fs::remove_file(&path).with_context(|| format!("failed to remove {}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_used_for_as_long_as_all_that_it_names_is_there() {
        let directory = std::env::temp_dir().join(format!("cranewing-images-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let file = |name: &str| {
            fs::write(directory.join(name), name).unwrap();
            directory.join(name)
        };
        let image = |name: &str| Image { reference: format!("cranewing/{name}:1"), archive: file(name) };
        let record = directory.join("of-1234.json");
        assert!(Images::recorded(&record).is_none());
        let made = Images {
            operator: image("operator-1.tar"),
            gameserver: image("gameserver-1.tar"),
            operator_program: file("cranewing-operator-1"),
            bots: file("bots-1"),
        };
        made.save(&record).unwrap();
        let found = Images::recorded(&record).unwrap();
        assert_eq!((found.operator.reference, found.bots), (made.operator.reference, made.bots.clone()));
        fs::remove_file(&made.bots).unwrap();
        assert!(Images::recorded(&record).is_none());
        fs::remove_dir_all(directory).unwrap();
    }
}
