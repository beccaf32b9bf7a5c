//! The image of a node: kind's own where a registry answers, else built here from Debian packages and Go modules.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::checkout::{Checkout, digest, unfinished};
use crate::engine::{Engine, Surroundings};
use crate::lock::Lock;
use crate::process;
use crate::progress::Progress;
use crate::tools::{self, KUBERNETES};

/// Name of the step that builds it.
pub(crate) const BUILD: &str = "build the node image";

/// Makes sure that the engine has a node image and gives its name.
pub(crate) fn ensure(
    checkout: &Checkout,
    surroundings: &Surroundings,
    progress: &Progress,
) -> Result<String> {
    let recipe = recipe(checkout)?;
    let name = format!("localhost/kindest-node:{KUBERNETES}-{}", &recipe[..8]);
    if has(surroundings, &name) {
        return Ok(name);
    }
    if let Some(published) = published(checkout, surroundings, progress)? {
        return Ok(published);
    }
    let directory = checkout.cache.join("node-images").join(format!("{KUBERNETES}-{}", &recipe[..12]));
    let lock = checkout.cache.join("node-image.lock");
    let _lock =
        Lock::wait(&lock, "building the node image", |owner| progress.say(&format!("waiting for {owner}")))?;
    let root_file_system = directory.join("rootfs.tar");
    if !root_file_system.is_file() {
        let programs = tools::build_node_programs(checkout, progress)?;
        progress.step(BUILD, |_| build(checkout, surroundings, &programs, &directory))?;
    }
    progress.step("import the node image", |_| import(checkout, surroundings, &root_file_system, &name))?;
    drop_older(surroundings, &name)?;
    Ok(name)
}

/// Removes node images of other recipes; those that still run stay, and all can be imported again.
fn drop_older(surroundings: &Surroundings, name: &str) -> Result<()> {
    let format =
        ["images", "--filter", "reference=localhost/kindest-node", "--format", "{{.Repository}}:{{.Tag}}"];
    let present = process::output(surroundings.engine().args(format))?;
    for older in present.lines().filter(|present| *present != name) {
        process::succeeds(surroundings.engine().args(["rmi", older]));
    }
    Ok(())
}

/// Drops every node image from the engine, as on a machine that never had one.
pub(crate) fn forget(engine: Engine) -> Result<()> {
    let mut images = Command::new(engine.program());
    images.args(["images", "--quiet", "--filter", "reference=localhost/kindest-node"]);
    for image in process::output(&mut images)?.lines() {
        process::output(Command::new(engine.program()).args(["rmi", image]))
            .context("a node image is in use: take down what runs")?;
    }
    Ok(())
}

/// Whether `ensure` would have to build, which needs debootstrap.
pub(crate) fn must_build(checkout: &Checkout, engine: Engine) -> Result<bool> {
    let recipe = recipe(checkout)?;
    let cached =
        checkout.cache.join("node-images").join(format!("{KUBERNETES}-{}", &recipe[..12])).join("rootfs.tar");
    let name = format!("localhost/kindest-node:{KUBERNETES}-{}", &recipe[..8]);
    Ok(!cached.is_file()
        && !process::succeeds(Command::new(engine.program()).args(["image", "inspect", &name])))
}

fn has(surroundings: &Surroundings, name: &str) -> bool {
    process::succeeds(surroundings.engine().args(["image", "inspect", name]))
}

/// kind's own image, if it is there or can be pulled. Only docker is asked: it needs no registry named in its configuration.
fn published(
    checkout: &Checkout,
    surroundings: &Surroundings,
    progress: &Progress,
) -> Result<Option<String>> {
    if surroundings.engine == Engine::Podman {
        return Ok(None);
    }
    let defaults = tools::kind_source(checkout)?.join("pkg/apis/config/defaults/image.go");
    let text =
        fs::read_to_string(&defaults).with_context(|| format!("failed to read {}", defaults.display()))?;
    let Some(name) = text.lines().find_map(|line| line.strip_prefix("const Image = \"")?.strip_suffix('"'))
    else {
        return Ok(None);
    };
    if has(surroundings, name) {
        return Ok(Some(name.to_owned()));
    }
    let answers = progress.step("ask for kind's own node image", |_| {
        Ok(process::succeeds(
            surroundings.command("timeout").args(["10", "docker", "manifest", "inspect", name]),
        ))
    })?;
    if !answers {
        progress.say("no registry answers: the node image is built here");
        return Ok(None);
    }
    progress.step("pull kind's own node image", |_| {
        process::run(surroundings.engine().args(["pull", name]), &checkout.log("node-image"))
    })?;
    Ok(Some(name.to_owned()))
}

fn build(
    checkout: &Checkout,
    surroundings: &Surroundings,
    programs: &[PathBuf],
    directory: &Path,
) -> Result<()> {
    let work = unfinished(directory);
    if work.exists() {
        fs::remove_dir_all(&work).with_context(|| format!("failed to remove {}", work.display()))?;
    }
    let bin = work.join("bin");
    fs::create_dir_all(&bin).with_context(|| format!("failed to create {}", bin.display()))?;
    for source in programs {
        for entry in fs::read_dir(source).with_context(|| format!("failed to read {}", source.display()))? {
            let entry = entry?;
            std::os::unix::fs::symlink(entry.path(), bin.join(entry.file_name()))?;
        }
    }
    let files = tools::kind_source(checkout)?.join("images/base/files");
    // with namespaces of its own, which end with this program, so that neither a mount nor a process outlives it
    let mut script = surroundings.command("setpriv");
    script
        .args(["--pdeathsig=KILL", "unshare", "--mount", "--pid", "--mount-proc", "--kill-child", "bash"])
        .arg(recipe_directory(checkout).join("build.sh"))
        .env("VERSION", KUBERNETES)
        .env("PAUSE", tools::pause_version())
        .env("BIN", &bin)
        .env("KIND_FILES", files)
        .env("XTASK", std::env::current_exe().context("failed to find this program")?)
        .env("WORK", &work);
    process::run(&mut script, &checkout.log("node-image"))?;
    fs::create_dir_all(directory).with_context(|| format!("failed to create {}", directory.display()))?;
    fs::rename(work.join("rootfs.tar"), directory.join("rootfs.tar"))
        .context("failed to complete the node image")?;
    fs::remove_dir_all(&work).with_context(|| format!("failed to remove {}", work.display()))
}

fn import(
    checkout: &Checkout,
    surroundings: &Surroundings,
    root_file_system: &Path,
    name: &str,
) -> Result<()> {
    let mut import = surroundings.engine();
    import.arg("import");
    for change in changes(surroundings.engine) {
        import.args(["--change", change]);
    }
    process::run(import.arg(root_file_system).arg(name), &checkout.log("node-image"))
}

/// What the image says about itself.
fn changes(engine: Engine) -> &'static [&'static str] {
    let all = &[
        "ENV container=docker",
        "ENTRYPOINT [\"/usr/local/bin/entrypoint\",\"/sbin/init\"]",
        "STOPSIGNAL SIGRTMIN+3",
    ];
    match engine {
        Engine::Podman => all,
        // its import cannot set the signal: a node that somebody stops is killed after ten seconds
        Engine::Docker => &all[..2],
    }
}

fn recipe_directory(checkout: &Checkout) -> PathBuf {
    checkout.root.join("e2e/cluster/node-image")
}

/// Hash of everything that decides the image.
fn recipe(checkout: &Checkout) -> Result<String> {
    let directory = recipe_directory(checkout);
    let mut parts = vec![tools::node_programs_recipe(checkout)?.into_bytes()];
    for file in [
        "build.sh",
        "packages",
        "pod-network.sh",
        "pod-network.service",
        "manifests/default-cni.yaml",
        "manifests/default-storage.yaml",
    ] {
        let path = directory.join(file);
        parts.push(fs::read(&path).with_context(|| format!("failed to read {}", path.display()))?);
    }
    Ok(digest(parts.iter().map(Vec::as_slice)))
}
