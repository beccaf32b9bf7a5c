//! How long `up` takes, step by step.

use std::fmt::Write as _;
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::page::{Page, Spread, table};
use crate::checkout::Checkout;
use crate::down;
use crate::engine::Engine;
use crate::node_image;
use crate::packages;
use crate::progress::{Finished, Progress};
use crate::up;

/// Set in the process that finds no cache.
const IS_COLD: &str = "CRANEWING_BENCH_COLD";

/// With tools, images and binaries cached and no cluster there.
pub(super) fn warm(checkout: &Checkout, runs: u8) -> Result<Page> {
    // what is compiled and cached is no part of it
    drop(one(checkout)?);
    let mut all = Vec::new();
    for _ in 0..runs {
        all.push(one(checkout)?);
    }
    let names: Vec<String> = all.first().map(|run| names(run)).unwrap_or_default();
    let row = |name: String| {
        let spread = Spread::seconds(all.iter().filter_map(|run| took(run, &name)));
        (name, spread)
    };
    let mut rows: Vec<_> = names.into_iter().map(row).collect();
    rows.push((
        "**players in all three regions**".to_owned(),
        Spread::seconds(all.iter().filter_map(|run| run.last().map(|last| last.ended))),
    ));
    Ok(Page {
        name: "up",
        title: "`up`, warm",
        arguments: format!("up --runs {runs}"),
        body: format!(
            "Tools, images and binaries cached, no cluster there; {runs} runs after one that is not counted. The regions are made at the \
             same time, and while nothing has changed there is nothing to compile. Limit: 60 s until there are players in all three.\n\n{}",
            table("step, s", 1, &rows)
        ),
        panels: Vec::new(),
    })
}

/// Where the measurement with nothing cached keeps what it downloads and builds.
pub(super) fn cold_cache(checkout: &Checkout) -> PathBuf {
    checkout.cache.join("cold")
}

/// Runs the measurement in a process that finds no cache, no compiled code and no downloaded source anywhere.
pub(super) fn cold_process(checkout: &Checkout) -> Result<()> {
    let nothing = cold_cache(checkout);
    let clear = || match fs::remove_dir_all(&nothing) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("failed to remove {}", nothing.display()))
        }
        _ => Ok(()),
    };
    clear()?;
    let mut cold = Command::new(std::env::current_exe().context("failed to find this program")?);
    cold.args(["bench", "up-cold"]).env(IS_COLD, "1").env_remove("CARGO_TARGET_DIR");
    for (variable, directory) in [
        ("CRANEWING_CACHE", "cache"),
        ("CARGO_HOME", "cargo"),
        ("GOCACHE", "go-build"),
        ("GOMODCACHE", "go-modules"),
    ] {
        cold.env(variable, nothing.join(directory));
    }
    let status = cold.status().context("failed to start the measurement")?;
    clear()?;
    if !status.success() {
        bail!("the measurement failed: see above");
    }
    Ok(())
}

/// Whether this process was started by [`cold_process`].
pub(super) fn is_cold() -> bool {
    std::env::var_os(IS_COLD).is_some()
}

/// With nothing cached: what a newcomer waits for.
pub(super) fn cold(checkout: &Checkout) -> Result<Page> {
    let progress = Progress::new();
    let engine = Engine::choose()?;
    // a machine that never had the engine is given it before it is asked for images
    packages::ensure(checkout, engine, true, &progress)?;
    node_image::forget(engine)?;
    drop(up::bring_up(checkout, &up::Args::default(), &progress)?);
    let steps = progress.finished();
    if !steps.iter().any(|step| step.name == node_image::BUILD) {
        bail!(
            "somebody else on this machine made a node image meanwhile, so nothing was built: measure again when nobody does"
        );
    }
    let mut rows = String::new();
    for step in steps {
        writeln!(
            rows,
            "| {} | {:.1} | {:.1} |",
            step.name,
            step.took.as_secs_f64(),
            step.ended.as_secs_f64()
        )?;
    }
    Ok(Page {
        name: "up-cold",
        title: "`up`, from nothing",
        arguments: "up-cold".to_owned(),
        body: format!(
            "Nothing cached and nothing downloaded: kind, kubectl, Helm, Kubernetes, containerd and CoreDNS are built from their Go modules, the node \
             image from Debian packages, operator, game server and bots from their crates. One run; \"at\" counts from the start of `up`. \
             Steps overlap where one does not need the other.\n\n| step | s | done at, s |\n|---|--:|--:|\n{rows}"
        ),
        panels: Vec::new(),
    })
}

fn one(checkout: &Checkout) -> Result<Vec<Finished>> {
    down::remove(checkout, |_| ())?;
    let progress = Progress::new();
    drop(up::bring_up(checkout, &up::Args::default(), &progress)?);
    Ok(progress.finished())
}

fn names(run: &[Finished]) -> Vec<String> {
    run.iter().map(|step| step.name.clone()).collect()
}

fn took(run: &[Finished], name: &str) -> Option<Duration> {
    run.iter().find(|step| step.name == name).map(|step| step.took)
}
