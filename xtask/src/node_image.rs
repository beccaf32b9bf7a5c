//! The image of a node: kind's own where a registry answers, else built here from Debian packages and Go modules.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::checkout::{Checkout, digest, unfinished};
use crate::engine::{Engine, Surroundings};
use crate::lock::Lock;
use crate::process;
use crate::progress::Progress;
use crate::tools::{self, KUBERNETES};

/// Name of the step that builds it.
pub(crate) const BUILD: &str = "build the node image";

/// How long an engine may take to pull or import a whole image.
const BULK_LIMIT: Duration = Duration::from_secs(1800);

/// Makes sure that the engine has a node image and gives its name.
pub(crate) fn ensure(
    checkout: &Checkout,
    surroundings: &Surroundings,
    progress: &Progress,
) -> Result<String> {
    let recipe = recipe(checkout)?;
    let name = format!("localhost/kindest-node:{KUBERNETES}-{}", &recipe[..8]);
    if is_present(surroundings.engine, &name) {
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
    drop_older(surroundings, &name);
    Ok(name)
}

/// Asks for the node images that were imported more than a day ago: a younger one may be another checkout's, which is about to make its
/// clusters of it.
const OLDER: [&str; 7] = [
    "images",
    "--filter",
    "reference=localhost/kindest-node",
    "--filter",
    "until=24h",
    "--format",
    "{{.Repository}}:{{.Tag}}",
];

/// Removes older node images of other recipes; those that still run stay, and all can be imported again.
fn drop_older(surroundings: &Surroundings, name: &str) {
    // an engine that cannot tell by age keeps them all
    let Ok(present) = process::output(surroundings.engine().args(OLDER)) else { return };
    for older in present.lines().filter(|present| *present != name) {
        process::succeeds(surroundings.engine().args(["rmi", older]));
    }
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

/// Whether `ensure` would have to build, which needs debootstrap. While kind's own source cannot be read, because there is no Go, nobody
/// knows what a registry would be asked for: then nothing is demanded yet.
pub(crate) fn must_build(checkout: &Checkout, engine: Engine) -> Result<bool> {
    let recipe = recipe(checkout)?;
    let cached =
        checkout.cache.join("node-images").join(format!("{KUBERNETES}-{}", &recipe[..12])).join("rootfs.tar");
    let name = format!("localhost/kindest-node:{KUBERNETES}-{}", &recipe[..8]);
    let can_be_had = || match published_name(checkout) {
        Ok(Some(published)) => is_present(engine, &published) || registry_has(&published),
        Ok(None) => false,
        Err(_) => true,
    };
    Ok(is_built_here(engine, cached.is_file() || is_present(engine, &name), can_be_had))
}

/// Decides whether the image is built here: only when it is not here yet, and kind's own cannot be had by this engine.
fn is_built_here(engine: Engine, is_here: bool, published_can_be_had: impl FnOnce() -> bool) -> bool {
    !(is_here || asks_registry(engine) && published_can_be_had())
}

/// Only docker is asked for kind's own image: it needs no registry named in its configuration.
fn asks_registry(engine: Engine) -> bool {
    engine == Engine::Docker
}

fn is_present(engine: Engine, name: &str) -> bool {
    process::succeeds(Command::new(engine.program()).args(["image", "inspect", name]))
}

fn registry_has(name: &str) -> bool {
    process::succeeds(Command::new("timeout").args(["10", "docker", "manifest", "inspect", name]))
}

/// What kind itself would make its nodes of.
fn published_name(checkout: &Checkout) -> Result<Option<String>> {
    let defaults = tools::kind_source(checkout)?.join("pkg/apis/config/defaults/image.go");
    let text =
        fs::read_to_string(&defaults).with_context(|| format!("failed to read {}", defaults.display()))?;
    let name = text.lines().find_map(|line| line.strip_prefix("const Image = \"")?.strip_suffix('"'));
    Ok(name.map(str::to_owned))
}

/// kind's own image, if it is there or can be pulled.
fn published(
    checkout: &Checkout,
    surroundings: &Surroundings,
    progress: &Progress,
) -> Result<Option<String>> {
    if !asks_registry(surroundings.engine) {
        return Ok(None);
    }
    let Some(name) = published_name(checkout)? else { return Ok(None) };
    if is_present(surroundings.engine, &name) {
        return Ok(Some(name));
    }
    let answers = progress.step("ask for kind's own node image", |_| Ok(registry_has(&name)))?;
    if !answers {
        progress.say("no registry answers: the node image is built here");
        return Ok(None);
    }
    progress.step("pull kind's own node image", |_| {
        process::run(
            surroundings.engine_within(BULK_LIMIT).args(["pull", &name]),
            &checkout.log("node-image"),
        )
    })?;
    Ok(Some(name))
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
    let mut import = surroundings.engine_within(BULK_LIMIT);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_built_here_only_when_none_is_here_and_kinds_own_cannot_be_had() {
        for (engine, is_here, published, built) in [
            (Engine::Podman, false, false, true),
            (Engine::Podman, false, true, true),
            (Engine::Podman, true, false, false),
            (Engine::Docker, false, false, true),
            (Engine::Docker, false, true, false),
            (Engine::Docker, true, false, false),
        ] {
            let said = format!("{engine:?}, here: {is_here}, published: {published}");
            assert_eq!(is_built_here(engine, is_here, || published), built, "{said}");
        }
    }

    #[test]
    fn who_needs_no_answer_of_a_registry_does_not_wait_for_one() {
        let never = || panic!("nobody asks");
        assert!(is_built_here(Engine::Podman, false, never));
        assert!(!is_built_here(Engine::Docker, true, never));
    }
}
