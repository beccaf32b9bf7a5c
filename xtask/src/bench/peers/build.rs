//! The contenders' programs: each with its own toolchain, locked versions and flags of a release, from its registry into the cache.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::contenders::{Contender, Kind};
use crate::checkout::{Checkout, digest, unfinished};
use crate::images;
use crate::lock::Lock;
use crate::process;
use crate::progress::Progress;
use crate::target;
use crate::tools;

/// What is built.
pub(super) struct Programs {
    /// Programs of our own workspace, if somebody needs them.
    ours: PathBuf,
    /// Programs of the peers' workspace.
    rust: PathBuf,
    /// Where servers write what they have to say.
    logs: PathBuf,
    /// Each contender and where its program lies, or why it has none.
    all: Vec<(&'static Contender, Result<PathBuf, String>)>,
}

impl Programs {
    /// Builds what is wanted; a contender whose toolchain is not here is left out.
    pub(super) fn build(
        checkout: &Checkout,
        progress: &Progress,
        wanted: &[&'static Contender],
    ) -> Result<Self> {
        let is_ours = |contender: &&&Contender| {
            matches!(contender.kind, Kind::Ours { .. } | Kind::Core | Kind::Toy { .. })
        };
        let ours = match wanted.iter().find(is_ours) {
            Some(_) => progress.step("compile game server, bots and toy", |_| images::compile(checkout))?,
            None => PathBuf::new(),
        };
        let rust = progress.step("compile the load and peers in Rust", |_| cargo(checkout))?;
        let lock = checkout.cache.join("build.lock");
        let _lock =
            Lock::wait(&lock, "building peers", |owner| progress.say(&format!("waiting for {owner}")))?;
        let mut all = Vec::new();
        for &contender in wanted {
            let built = match contender.kind {
                Kind::Ours { .. } => Ok(ours.join("gameserver")),
                Kind::Toy { .. } => Ok(ours.join("toy")),
                Kind::Core | Kind::Cargo => Ok(rust.join(format!("peer-{}", contender.name))),
                Kind::Go => {
                    let name = format!("build the peer {}", contender.name);
                    progress.step(&name, |_| install(checkout, contender.name, go))
                }
                Kind::Enet => {
                    progress.step("build the peer on ENet", |_| install(checkout, contender.name, enet))
                }
                Kind::Netty => {
                    progress.step("build the peer on Netty", |_| install(checkout, contender.name, netty))
                }
                Kind::Colyseus => {
                    progress.step("install Colyseus", |_| install(checkout, contender.name, colyseus))
                }
            };
            all.push((contender, built.map_err(|error| format!("{error:#}"))));
        }
        Ok(Self { ours, rust, logs: checkout.log("peers").with_extension(""), all })
    }

    /// Those that can be started.
    pub(super) fn built(&self) -> impl Iterator<Item = &'static Contender> {
        self.all.iter().filter(|(_, built)| built.is_ok()).map(|(contender, _)| *contender)
    }

    /// Those that cannot, and why.
    pub(super) fn missing(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.all
            .iter()
            .filter_map(|(contender, built)| Some((contender.name, built.as_ref().err()?.as_str())))
    }

    fn program(&self, contender: &Contender) -> Result<&Path> {
        let built = self.all.iter().find(|(other, _)| other.name == contender.name);
        let Some((_, Ok(program))) = built else { bail!("{} is not built", contender.name) };
        Ok(program)
    }

    /// Starts a contender: on a port of this machine, that many ticks a second.
    pub(super) fn server(&self, contender: &Contender, port: u16, tick_hz: u32) -> Result<Command> {
        let program = self.program(contender)?;
        let place = program.parent().context("a program lies in a directory")?;
        let mut command = Command::new(program);
        let (port, tick_hz) = (port.to_string(), tick_hz.to_string());
        match contender.kind {
            Kind::Toy { net } => {
                command.args(["--address", &format!("127.0.0.1:{port}"), "--state-bytes", "340"]);
                command.args(["--net", net, "--tick-hz", &tick_hz]);
            }
            Kind::Ours { .. } | Kind::Core => bail!("bots start the game server"),
            // one core, so one thread that runs
            Kind::Go => _ = command.env("GOMAXPROCS", "1").args([port, tick_hz]),
            Kind::Cargo | Kind::Enet => _ = command.args([port, tick_hz]),
            Kind::Colyseus => _ = command.arg(place.join("server.mjs")).args([port, tick_hz]),
            Kind::Netty => {
                command = Command::new("java");
                let classes = format!("{0}:{0}/jars/*", place.display());
                command.args(["-cp", &classes, "Server"]).args([port, tick_hz]);
            }
        }
        Ok(command)
    }

    /// What a contender's server says besides `ready`.
    pub(super) fn log(&self, contender: &Contender) -> PathBuf {
        self.logs.join(format!("{}.log", contender.name))
    }

    /// The load of a contender's protocol; it runs on the second CPU that this process may use.
    pub(super) fn load(&self, contender: &Contender, cpu: usize) -> Command {
        let own = self.all.iter().find(|(other, _)| other.name == contender.name);
        let mut load = match (contender.kind, own) {
            (Kind::Colyseus, Some((_, Ok(node)))) => {
                // before everybody else, as the other load puts itself, where that is allowed; with no threads to wait for
                let is_first = process::succeeds(Command::new("chrt").args(["--fifo", "1", "true"]));
                let mut load = Command::new(if is_first { "chrt" } else { "taskset" });
                load.args(is_first.then_some(["--fifo", "1", "taskset"]).iter().flatten());
                load.arg("--cpu-list").arg(cpu.to_string()).arg(node);
                load.arg("--single-threaded").arg(node.with_file_name("load.mjs"));
                load
            }
            // it pins itself
            _ => Command::new(self.rust.join("load")),
        };
        load.args(["--protocol", contender.protocol]);
        load
    }

    /// The bots and a game server, which is there.
    pub(super) fn bots(&self, contender: &Contender) -> Result<Command> {
        let server = self.program(contender)?;
        if !server.is_file() {
            bail!("{} is not there", server.display());
        }
        let mut bots = Command::new(self.ours.join("bots"));
        bots.arg("bench").arg("--gameserver").arg(server);
        Ok(bots)
    }
}

fn source(checkout: &Checkout, name: &str) -> PathBuf {
    checkout.root.join("gameserver/bots/bench/peers").join(name)
}

/// The peers' own workspace; what is built lies apart from what our own gives.
fn cargo(checkout: &Checkout) -> Result<PathBuf> {
    let directory = target::directory(checkout).join("peers");
    let mut cargo = target::cargo(checkout)?;
    cargo.args(["build", "--locked", "--release", "--manifest-path"]).arg(source(checkout, "Cargo.toml"));
    cargo.env("CARGO_TARGET_DIR", &directory);
    process::run(&mut process::bound(&cargo, &checkout.instance), &checkout.log("peers-rust"))?;
    Ok(directory.join("release"))
}

/// Builds into a directory whose name changes with the sources, if that is not there; gives it.
fn install(
    checkout: &Checkout,
    name: &str,
    build: impl FnOnce(&Checkout, &Path, &Path) -> Result<()>,
) -> Result<PathBuf> {
    let source = source(checkout, name);
    let mut parts = Vec::new();
    let mut files: Vec<PathBuf> =
        fs::read_dir(&source)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    files.sort();
    for file in files.iter().filter(|file| file.is_file()) {
        parts.push(file.file_name().unwrap_or_default().as_encoded_bytes().to_vec());
        parts.push(fs::read(file).with_context(|| format!("failed to read {}", file.display()))?);
    }
    let key = &digest(parts.iter().map(Vec::as_slice))[..12];
    let directory = checkout.cache.join("tools").join(format!("peer-{name}-{key}"));
    if !directory.is_dir() {
        let unfinished = unfinished(&directory);
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished)
                .with_context(|| format!("failed to remove {}", unfinished.display()))?;
        }
        fs::create_dir_all(&unfinished)
            .with_context(|| format!("failed to create {}", unfinished.display()))?;
        build(checkout, &source, &unfinished)?;
        fs::rename(&unfinished, &directory)
            .with_context(|| format!("failed to complete {}", directory.display()))?;
    }
    Ok(directory.join("peer"))
}

/// Runs one step of a build; a program that is not here is named with what brings it.
fn step(checkout: &Checkout, name: &str, command: &Command, brings: &str) -> Result<()> {
    let program = command.get_program().to_string_lossy();
    if !process::succeeds(Command::new("which").arg(command.get_program())) {
        bail!("{program} is missing: {brings}");
    }
    process::run(&mut process::bound(command, &checkout.instance), &checkout.log(&format!("peers-{name}")))
}

fn go(checkout: &Checkout, source: &Path, directory: &Path) -> Result<()> {
    let mut go = tools::go(source);
    go.args(["build", "-trimpath", "-o"]).arg(directory.join("peer"));
    step(checkout, "go", &go, "see go.dev/doc/install")
}

/// ENet's library and headers out of their Debian packages, which are not installed.
fn enet(checkout: &Checkout, source: &Path, directory: &Path) -> Result<()> {
    let versions = fs::read_to_string(source.join("packages.lock"))?;
    let mut download = Command::new("apt-get");
    download.current_dir(directory).arg("download").args(versions.split_whitespace());
    let brings = "ENet comes from Debian's packages";
    if step(checkout, "enet", &download, brings).is_err() {
        // a machine that never asked knows no packages
        step(checkout, "enet", Command::new("apt-get").arg("update"), brings)?;
        step(checkout, "enet", &download, brings)?;
    }
    for package in files(directory, "deb")? {
        let mut unpack = Command::new("dpkg-deb");
        unpack.arg("--extract").arg(package).arg(directory);
        step(checkout, "enet", &unpack, brings)?;
    }
    let library = format!("usr/lib/{}-linux-gnu", std::env::consts::ARCH);
    let mut compile = Command::new("gcc");
    compile.args(["-O2", "-Wall", "-Wextra", "-Werror", "-o"]).arg(directory.join("peer"));
    compile.arg("-I").arg(directory.join("usr/include")).arg(source.join("main.c"));
    compile.arg("-L").arg(directory.join(&library)).arg("-lenet");
    compile.arg(format!("-Wl,-rpath,$ORIGIN/{library}"));
    step(checkout, "enet", &compile, "apt-get install gcc libc6-dev")
}

/// Netty's jars, which are compared with what was locked, and our class.
fn netty(checkout: &Checkout, source: &Path, directory: &Path) -> Result<()> {
    let jars = directory.join("jars");
    let mut copy = Command::new("mvn");
    copy.args(["--batch-mode", "--quiet", "--file"]).arg(source.join("pom.xml"));
    copy.arg("dependency:copy-dependencies").arg(format!("-DoutputDirectory={}", jars.display()));
    step(checkout, "netty", &copy, "apt-get install maven")?;
    let mut check = Command::new("sha256sum");
    check.current_dir(&jars).args(["--check", "--strict"]).arg(source.join("jars.sha256"));
    step(checkout, "netty", &check, "it is part of coreutils")?;
    let mut compile = Command::new("javac");
    compile.args(["-Xlint:all", "-Werror", "-cp", &format!("{}/*", jars.display()), "-d"]).arg(directory);
    step(checkout, "netty", compile.arg(source.join("Server.java")), "apt-get install default-jdk-headless")
}

/// Files of a directory that end so.
fn files(directory: &Path, end: &str) -> Result<Vec<PathBuf>> {
    let all = fs::read_dir(directory).with_context(|| format!("failed to read {}", directory.display()))?;
    let all = all.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    Ok(all.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == end)).collect())
}

/// Colyseus and Node as their locked packages, of which no script runs, and a name for Node.
fn colyseus(checkout: &Checkout, source: &Path, directory: &Path) -> Result<()> {
    for file in files(source, "json")?.into_iter().chain(files(source, "mjs")?) {
        let name = file.file_name().context("a file has a name")?;
        fs::copy(&file, directory.join(name))
            .with_context(|| format!("failed to copy {}", file.display()))?;
    }
    let mut npm = Command::new("npm");
    npm.current_dir(directory).args(["ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund"]);
    step(checkout, "colyseus", &npm, "apt-get install npm")?;
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "x64" };
    let node = format!("node_modules/node-linux-{architecture}/bin/node");
    if !directory.join(&node).is_file() {
        bail!("npm gave no Node for this machine");
    }
    // a link that leads on when the directory gets its final name
    symlink(node, directory.join("peer")).context("failed to link Node")
}
