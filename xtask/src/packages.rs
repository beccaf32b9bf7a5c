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
use crate::tools;

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

/// Major and minor version of Go.
type GoVersion = (u32, u32);

/// The oldest Go that builds every tool.
const GO_MIN: GoVersion = (1, 26);

/// What is said where Go is missing or too old.
fn no_go(found: Option<GoVersion>) -> String {
    let found = found.map_or_else(String::new, |(major, minor)| format!(" (here is {major}.{minor})"));
    let (major, minor) = GO_MIN;
    format!(
        "Go {major}.{minor} or newer is missing{found}: kind, kubectl and Helm are built with it. See go.dev/doc/install"
    )
}

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

/// What this machine and its caller are like.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "facts that are independent of each other")]
struct Facts<'a> {
    linux: bool,
    root: bool,
    go: Option<GoVersion>,
    apt: bool,
    /// Debian packages that are not there.
    missing: &'a [&'static str],
    /// Whether somebody can answer a question.
    terminal: bool,
    yes: bool,
}

/// What is to be done about it.
#[derive(Debug, PartialEq, Eq)]
enum Action {
    Nothing,
    Install,
    Ask,
}

/// Decides from the facts; the error names everything that is missing at once, with the command that installs it.
fn decide(facts: Facts<'_>) -> Result<Action> {
    if !facts.linux {
        bail!("local regions need Linux; `cargo xtask up --context NAME` uses clusters that exist");
    }
    if !facts.root {
        bail!(
            "local regions need root, because their nodes are containers with networks of their own.\n\
             Either run `sudo -E env PATH=\"$PATH\" cargo xtask up`, or use clusters that exist: `cargo xtask up --context NAME`"
        );
    }
    let packages = (!facts.missing.is_empty()).then(|| install_command(facts.missing));
    if facts.go < Some(GO_MIN) {
        let and = packages.map_or_else(String::new, |command| format!("\nMissing too: {command}"));
        bail!("{}{and}", no_go(facts.go));
    }
    match packages {
        None => Ok(Action::Nothing),
        Some(command) if !facts.apt => {
            bail!("missing: {}. On Debian: {command}", facts.missing.join(", "))
        }
        Some(_) if facts.terminal && !facts.yes => Ok(Action::Ask),
        Some(_) => Ok(Action::Install),
    }
}

fn install_command(packages: &[&str]) -> String {
    format!("apt-get install --yes --no-install-recommends {}", packages.join(" "))
}

/// Version in `go version go1.26.8 linux/amd64`; that of a Go in development is the one that it becomes.
fn go_version(said: &str) -> Option<GoVersion> {
    let digits = |text: &str| text.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok();
    said.split_whitespace().skip(2).find_map(|word| {
        let (major, rest) = word.strip_prefix("go")?.split_once('.')?;
        Some((major.parse().ok()?, digits(rest)?))
    })
}

fn go(checkout: &Checkout) -> Option<GoVersion> {
    go_version(&tools::go_version(checkout)?)
}

/// What clusters that exist need of this machine: kubectl and Helm are built with Go.
pub(crate) fn ensure_go(checkout: &Checkout) -> Result<()> {
    let found = go(checkout);
    if found < Some(GO_MIN) {
        bail!(no_go(found));
    }
    Ok(())
}

/// Makes sure that local regions can be made; installs what is missing after one question, or without one where nobody can answer.
pub(crate) fn ensure(checkout: &Checkout, engine: Engine, yes: bool, progress: &Progress) -> Result<()> {
    let missing = missing(checkout, engine)?;
    let facts = Facts {
        linux: cfg!(target_os = "linux"),
        root: rustix::process::geteuid().is_root(),
        go: go(checkout),
        apt: Path::new("/usr/bin/apt-get").exists(),
        missing: &missing,
        terminal: io::stdin().is_terminal(),
        yes,
    };
    match decide(facts)? {
        Action::Nothing => return Ok(()),
        Action::Install => {}
        Action::Ask => {
            let command = install_command(&missing);
            progress.say(&format!("Missing: {}.\nInstall with `{command}`? [Y/n]", missing.join(", ")));
            let mut answer = String::new();
            io::stdin().lock().read_line(&mut answer).context("failed to read the answer")?;
            if !matches!(answer.trim().to_lowercase().as_str(), "" | "y" | "yes") {
                bail!("missing: {}. Install with: {command}", missing.join(", "));
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    const DEBIAN: Facts<'_> = Facts {
        linux: true,
        root: true,
        go: Some(GO_MIN),
        apt: true,
        missing: &[],
        terminal: true,
        yes: false,
    };

    fn refusal(facts: Facts<'_>) -> String {
        decide(facts).unwrap_err().to_string()
    }

    #[test]
    fn one_question_is_asked_and_none_where_nobody_answers_or_all_was_agreed() {
        let bare = Facts { missing: &["podman", "runc"], ..DEBIAN };
        assert_eq!(decide(DEBIAN).unwrap(), Action::Nothing);
        assert_eq!(decide(bare).unwrap(), Action::Ask);
        assert_eq!(decide(Facts { yes: true, ..bare }).unwrap(), Action::Install);
        assert_eq!(decide(Facts { terminal: false, ..bare }).unwrap(), Action::Install);
    }

    #[test]
    fn a_go_that_is_too_old_counts_as_missing_and_its_version_is_said() {
        for (said, version) in [
            ("go version go1.26.8 linux/amd64\n", Some((1, 26))),
            ("go version go1.27rc1 linux/arm64\n", Some((1, 27))),
            ("go version devel go1.28-3c1f8e2 Mon Jan 5 2026 linux/amd64\n", Some((1, 28))),
            ("go version go1.26.8-X:nodwarf5 linux/amd64\n", Some((1, 26))),
            ("gccgo (Debian 12.2.0) 12.2.0", None),
            ("", None),
        ] {
            assert_eq!(go_version(said), version, "{said}");
        }
        for (go, refused) in
            [((1, 24), true), ((1, 25), true), ((1, 26), false), ((1, 30), false), ((2, 0), false)]
        {
            let outcome = decide(Facts { go: Some(go), ..DEBIAN });
            assert_eq!(outcome.is_err(), refused, "{go:?}");
            if let Err(error) = outcome {
                let here = format!("Go 1.26 or newer is missing (here is {}.{})", go.0, go.1);
                assert!(error.to_string().contains(&here), "{error}");
            }
        }
    }

    #[test]
    fn who_is_not_root_or_not_on_linux_is_shown_the_other_way_at_once() {
        for facts in [Facts { root: false, ..DEBIAN }, Facts { linux: false, ..DEBIAN }] {
            assert!(refusal(facts).contains("--context"), "{facts:?}");
        }
    }

    #[test]
    fn everything_that_is_missing_is_named_at_once_with_its_command() {
        let nothing = Facts { go: None, missing: &["podman", "runc"], ..DEBIAN };
        let said = refusal(nothing);
        assert!(
            said.contains("Go 1.26") && said.contains("apt-get install") && said.contains("podman runc"),
            "{said}"
        );
        assert!(
            refusal(Facts { apt: false, missing: &["runc"], ..DEBIAN })
                .contains("On Debian: apt-get install")
        );
    }
}
