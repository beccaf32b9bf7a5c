//! Our two images: a static binary and the host's certificate bundle in an otherwise empty image.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::archive;
use crate::checkout::{Checkout, digest};
use crate::process;
use crate::progress::Progress;
use crate::target::{self, cargo};

/// Where Debian keeps the certificates that programs trust; the same place in the image.
const CERTIFICATES: &str = "etc/ssl/certs/ca-certificates.crt";

/// Files of one name that the cache keeps.
const KEPT: usize = 4;

/// An image as an archive.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    /// Full name; its tag changes with its content, so that a running cluster rolls to it.
    pub(crate) reference: String,
    pub(crate) archive: PathBuf,
}

/// What this working tree gives: two images, and programs that run on this host.
#[derive(Debug)]
pub(crate) struct Images {
    pub(crate) operator: Image,
    pub(crate) gameserver: Image,
    /// The operator's program, by which regions are joined.
    pub(crate) operator_program: PathBuf,
    /// The load client.
    pub(crate) bots: PathBuf,
}

impl Images {
    /// Compiles what changed and packs it.
    pub(crate) fn build(checkout: &Checkout, progress: &Progress) -> Result<Self> {
        let release = progress.step("compile operator, game server and bots", |_| compile(checkout))?;
        progress.step("pack our images", |_| {
            let image = |name: &str| pack(checkout, name, &release.join(name), env!("CARGO_PKG_VERSION"));
            Ok(Self {
                operator: image("operator")?,
                gameserver: image("gameserver")?,
                operator_program: keep(checkout, "cranewing-operator", &release.join("operator"))?,
                bots: keep(checkout, "bots", &release.join("bots"))?,
            })
        })
    }

    /// The archives of both.
    pub(crate) fn archives(&self) -> Vec<PathBuf> {
        vec![self.operator.archive.clone(), self.gameserver.archive.clone()]
    }
}

/// Packs one static program under `cranewing/<name>:<version>-<content>`.
pub(crate) fn pack(checkout: &Checkout, name: &str, program: &Path, version: &str) -> Result<Image> {
    let binary = fs::read(program).with_context(|| format!("failed to read {}", program.display()))?;
    let certificates = fs::read(Path::new("/").join(CERTIFICATES)).unwrap_or_default();
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
