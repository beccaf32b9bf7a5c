//! Our two images: a static binary and the host's certificate bundle in an otherwise empty image.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::archive;
use crate::checkout::{Checkout, digest};
use crate::lock::Lock;
use crate::process;
use crate::progress::Progress;

/// Where Debian keeps the certificates that programs trust; the same place in the image.
const CERTIFICATES: &str = "etc/ssl/certs/ca-certificates.crt";

/// Files of one name that the cache keeps.
const KEPT: usize = 4;

/// Size of compiled code in the cache from which on it is dropped and made anew; a full build is about 9.
const TARGET_GIGABYTES_MAX: u64 = 30;

/// An image as an archive.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    /// Full name; its tag changes with its content, so that a running cluster rolls to it.
    pub(crate) reference: String,
    pub(crate) archive: PathBuf,
}

/// What this working tree gives: two images, and the bots that run on this host.
#[derive(Debug)]
pub(crate) struct Images {
    pub(crate) operator: Image,
    pub(crate) gameserver: Image,
    /// Program, not an image.
    pub(crate) bots: PathBuf,
}

impl Images {
    /// Compiles what changed and packs it.
    pub(crate) fn build(checkout: &Checkout, progress: &Progress) -> Result<Self> {
        // what is compiled lies in one directory for all checkouts, so none may compile before this one has packed
        let lock = checkout.cache.join("compile.lock");
        let _lock = Lock::wait(&lock, "compiling", |owner| progress.say(&format!("waiting for {owner}")))?;
        let release = progress.step("compile operator, game server and bots", |_| compile(checkout))?;
        progress.step("pack our images", |_| {
            let image = |name: &str| pack(checkout, name, &release.join(name), env!("CARGO_PKG_VERSION"));
            Ok(Self {
                operator: image("operator")?,
                gameserver: image("gameserver")?,
                bots: keep(checkout, "bots", &release.join("bots"))?,
            })
        })
    }

    /// The archives of both.
    pub(crate) fn archives(&self) -> Vec<PathBuf> {
        vec![self.operator.archive.clone(), self.gameserver.archive.clone()]
    }
}

/// Where cargo puts what it builds: the cache, so that a fresh clone finds what an earlier one compiled; or where the caller wants it.
fn target_directory(checkout: &Checkout) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| checkout.cache.join("target"), |set| checkout.root.join(set))
}

/// cargo in this working tree.
pub(crate) fn cargo(checkout: &Checkout) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(&checkout.root).env("CARGO_TARGET_DIR", target_directory(checkout));
    // increments are of use to one checkout only, and would triple what the cache holds
    cargo.env("CARGO_INCREMENTAL", "0");
    cargo
}

/// Drops what earlier checkouts compiled once it is more than the cache shall hold.
pub(crate) fn bound_target_directory(checkout: &Checkout) -> Result<()> {
    let directory = checkout.cache.join("target");
    if !directory.is_dir() {
        return Ok(());
    }
    let _lock = Lock::wait(&checkout.cache.join("compile.lock"), "measuring the cache", |_| ())?;
    let text = process::output(Command::new("du").args(["--summarize", "--block-size=1G"]).arg(&directory))?;
    let gigabytes: u64 = text.split_whitespace().next().unwrap_or_default().parse().unwrap_or(0);
    if gigabytes >= TARGET_GIGABYTES_MAX {
        fs::remove_dir_all(&directory)
            .with_context(|| format!("failed to remove {}", directory.display()))?;
    }
    Ok(())
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

fn compile(checkout: &Checkout) -> Result<PathBuf> {
    let triple = host_triple()?;
    let mut cargo = cargo(checkout);
    // one build for all, so that what they share is compiled once
    cargo.args(["build", "--locked", "--release", "--target", &triple]);
    cargo.args(["--package=operator", "--package=gameserver", "--package=gameserver-bots"]);
    cargo.env("RUSTFLAGS", "-C target-feature=+crt-static");
    process::run(&mut cargo, &checkout.log("compile"))?;
    Ok(target_directory(checkout).join(triple).join("release"))
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
