//! What a machine must have before anything can be made: everything missing is named at once, with the command that installs it.

use std::io::{self, BufRead as _, IsTerminal as _};
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::checkout::Checkout;
use crate::engine::Engine;
use crate::node_image;
use crate::process;
use crate::progress::Progress;

/// A Debian package and the file that shows that it is there.
struct Package {
    name: &'static str,
    /// Any of these files shows it.
    files: &'static [&'static str],
}

const PODMAN: &[Package] = &[
    Package { name: "podman", files: &["/usr/bin/podman", "/usr/local/bin/podman"] },
    Package {
        name: "conmon",
        files: &["/usr/bin/conmon", "/usr/libexec/podman/conmon", "/usr/local/bin/conmon"],
    },
    Package {
        name: "runc",
        files: &["/usr/sbin/runc", "/usr/bin/runc", "/usr/local/sbin/runc", "/usr/local/bin/runc"],
    },
    Package { name: "netavark", files: &["/usr/lib/podman/netavark", "/usr/libexec/podman/netavark"] },
    Package {
        name: "aardvark-dns",
        files: &["/usr/lib/podman/aardvark-dns", "/usr/libexec/podman/aardvark-dns"],
    },
    Package { name: "iptables", files: &["/usr/sbin/iptables"] },
];

const NODE_IMAGE: &[Package] = &[
    Package { name: "debootstrap", files: &["/usr/sbin/debootstrap"] },
    Package { name: "ca-certificates", files: &["/etc/ssl/certs/ca-certificates.crt"] },
];

/// What is missing for local regions.
fn missing(checkout: &Checkout, engine: Engine) -> Result<Vec<&'static str>> {
    let mut needed: Vec<&Package> = Vec::new();
    if engine == Engine::Podman {
        needed.extend(PODMAN);
    }
    if node_image::must_build(checkout, engine)? {
        needed.extend(NODE_IMAGE);
    }
    let absent = |package: &&Package| !package.files.iter().any(|file| Path::new(file).exists());
    Ok(needed.into_iter().filter(absent).map(|package| package.name).collect())
}

/// Makes sure that local regions can be made; installs what is missing after one question, or without one where nobody can answer.
pub(crate) fn ensure(checkout: &Checkout, engine: Engine, yes: bool, progress: &Progress) -> Result<()> {
    if !cfg!(target_os = "linux") {
        bail!("local regions need Linux; `--context NAME` uses clusters that exist");
    }
    if !rustix::process::geteuid().is_root() {
        bail!(
            "local regions need root, because their nodes are containers with networks of their own.\n\
             Either run `sudo -E env PATH=\"$PATH\" cargo xtask up`, or use clusters that exist: `cargo xtask up --context NAME`"
        );
    }
    if Command::new("go").arg("version").output().is_err() {
        bail!(
            "Go 1.26 or newer is missing: kind, kubectl and Helm are built with it. See go.dev/doc/install"
        );
    }
    let missing = missing(checkout, engine)?;
    if missing.is_empty() {
        return Ok(());
    }
    let install = format!("apt-get install --yes --no-install-recommends {}", missing.join(" "));
    if !Path::new("/usr/bin/apt-get").exists() {
        bail!("missing: {}. On Debian: {install}", missing.join(", "));
    }
    if !yes && io::stdin().is_terminal() {
        progress.say(&format!("Missing: {}.\nInstall with `{install}`? [Y/n]", missing.join(", ")));
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer).context("failed to read the answer")?;
        if !matches!(answer.trim().to_lowercase().as_str(), "" | "y" | "yes") {
            bail!("missing: {}. Install with: {install}", missing.join(", "));
        }
    }
    progress.step(&format!("install {}", missing.join(", ")), |_| {
        let log = checkout.log("packages");
        let apt = || {
            let mut apt = Command::new("apt-get");
            apt.env("DEBIAN_FRONTEND", "noninteractive");
            apt
        };
        process::run(apt().arg("update"), &log)?;
        process::run(apt().args(["install", "--yes", "--no-install-recommends"]).args(&missing), &log)
    })
}
