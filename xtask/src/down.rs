//! `down`: removes everything that `up` made, found by record, name and mark, so that it works whatever `up` died of.

mod foreign;
mod unfinished;

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::checkout::Checkout;
use crate::clock;
use crate::cluster::{self, REGION_IDS};
use crate::engine::{Engine, Surroundings};
use crate::lock::Lock;
use crate::marked;
use crate::process;
use crate::progress::Progress;
use crate::state::{Region, State, ids};
use crate::tools::Tools;
use foreign::Leave;

/// Programs of an instance by file name. Others that inherited the mark (a node's monitor, the network's name server) belong to the engine.
/// `unshare` holds everything that builds a node image.
const OURS: [&str; 5] = ["bots", "kind", "kubectl", "helm", "unshare"];

/// The engine's own commands end by themselves, and cut off they leave what is half made.
const ENGINES: [&str; 2] = ["podman", "docker"];

/// How long an engine's command may take to end by itself.
const ENGINE_LIMIT: Duration = Duration::from_secs(30);

/// `cargo xtask down`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Give up clusters of --context that do not answer, with whatever of ours is in them
    #[arg(long)]
    forget: bool,
}

/// Removes this checkout's instance.
pub(crate) fn run(args: &Args) -> Result<()> {
    let checkout = Checkout::locate()?;
    let _lock = Lock::instance(&checkout, "cargo xtask down")?;
    let progress = Progress::new();
    progress.step(&format!("remove {}", checkout.instance), |step| {
        let tell = |text: &str| step.note(text);
        let kept = leave_foreign(&checkout, args.forget, tell, &progress)?;
        remove_local(&checkout, tell)?;
        forget(&checkout, &kept)?;
        unfinished::sweep(&checkout)?;
        if kept.is_empty() { Ok(()) } else { bail!("all is removed but what is in {}", ids(&kept)) }
    })?;
    let named = ["test", "foreign", "bench"].map(|purpose| checkout.named(purpose));
    // trees that were removed while something of theirs was up
    for other in named.into_iter().filter(|other| other.state().exists()).chain(checkout.orphans()) {
        if State::load(&other)?
            .is_some_and(|state| state.regions.iter().any(|region| region.cluster.is_none()))
        {
            progress.say(&format!(
                "{} stays: its working tree is gone, and it has something in clusters of --context: see {}",
                other.instance,
                State::path(&other).display()
            ));
            continue;
        }
        match Lock::try_take(&other.state().join("lock"), "cargo xtask down")? {
            Ok(_lock) => progress
                .step(&format!("remove {}", other.instance), |step| remove(&other, |text| step.note(text)))?,
            Err(owner) => progress.say(&format!("{} stays: {owner} is at work with it", other.instance)),
        }
    }
    Ok(())
}

/// Removes an instance that has no clusters but its own.
pub(crate) fn remove(checkout: &Checkout, tell: impl Fn(&str)) -> Result<()> {
    remove_local(checkout, tell)?;
    forget(checkout, &[])
}

/// Takes leave of the clusters that were there before, and says which could not be cleaned. Gives those whose record stays.
fn leave_foreign(
    checkout: &Checkout,
    give_up: bool,
    tell: impl Fn(&str),
    progress: &Progress,
) -> Result<Vec<Region>> {
    tell("processes");
    end_processes(checkout);
    let mut kept = Vec::new();
    let Some(state) = State::load(checkout)? else { return Ok(kept) };
    let foreign: Vec<_> = state.regions.into_iter().filter(|region| region.cluster.is_none()).collect();
    if foreign.is_empty() {
        return Ok(kept);
    }
    // built anew if this tree names others by now: without them nobody could be asked
    let surroundings = Surroundings::new(checkout, state.engine, &Tools::build(checkout, progress)?)?;
    for region in foreign {
        tell(&format!("installation in {}", region.id));
        match foreign::leave(checkout, &surroundings, &region, give_up) {
            Leave::Clean => {}
            Leave::Lost(words) => progress.say(&words),
            Leave::Kept(words) => {
                progress.say(&words);
                kept.push(region);
            }
        }
    }
    Ok(kept)
}

/// Removes what is on this machine: processes first, so that nothing is made while it is removed.
fn remove_local(checkout: &Checkout, tell: impl Fn(&str)) -> Result<()> {
    tell("processes");
    end_processes(checkout);
    let engine = State::load(checkout)?.map_or_else(Engine::choose, |state| Ok(state.engine))?;
    let surroundings = Surroundings::new(checkout, engine, &Tools::built(checkout)?)?;
    // by name, whatever the record says
    if process::succeeds(surroundings.engine().arg("--version")) {
        tell("clusters");
        let local = REGION_IDS.map(|id| cluster::planned(checkout, id));
        cluster::in_parallel(&local, |_, region| cluster::delete(checkout, &surroundings, region))?;
        tell("network");
        cluster::delete_network(checkout, &surroundings)?;
    }
    Ok(())
}

/// Ends what an `up` of this instance may have left running.
fn end_processes(checkout: &Checkout) {
    marked::end(&checkout.instance, &OURS);
    marked::end_builders(&checkout.instance);
    let ended = || marked::running(&checkout.instance, &ENGINES).is_empty().then_some(());
    if clock::poll(ENGINE_LIMIT, Duration::from_millis(50), ended).is_none() {
        marked::end(&checkout.instance, &ENGINES);
    }
}

/// Drops the instance's directory but its logs, the lock that this run holds, and the record of the regions that are `kept`.
fn forget(checkout: &Checkout, kept: &[Region]) -> Result<()> {
    if let Some(state) = State::load(checkout)?.filter(|_| !kept.is_empty()) {
        State { regions: kept.to_vec(), ..state }.save(checkout)?;
    }
    let directory = checkout.state();
    for entry in
        fs::read_dir(&directory).with_context(|| format!("failed to read {}", directory.display()))?
    {
        let path = entry?.path();
        let is_record = !kept.is_empty() && path == State::path(checkout);
        let stays = is_record
            || [directory.join("lock"), directory.join("logs")].contains(&path)
            || kept.iter().any(|region| region.kubeconfig == path);
        let removed = match (stays, path.is_dir()) {
            (true, _) => Ok(()),
            (false, true) => fs::remove_dir_all(&path),
            (false, false) => fs::remove_file(&path),
        };
        removed.with_context(|| format!("failed to remove {}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_kept_stays_on_record() {
        let cache = std::env::temp_dir().join(format!("cranewing-down-test-{}", std::process::id()));
        let checkout = Checkout { cache: cache.clone(), ..Checkout::locate().unwrap() };
        let region = |id: &str| Region {
            id: id.to_owned(),
            kubeconfig: checkout.state().join(format!("{id}.kubeconfig")),
            cluster: None,
            context: Some(id.to_owned()),
        };
        let regions = vec![region("kr"), region("eu")];
        State { engine: Engine::Podman, nodes: 0, regions: regions.clone() }.save(&checkout).unwrap();
        fs::create_dir(checkout.state().join("helm")).unwrap();
        for file in ["lock", "kr.kubeconfig", "eu.kubeconfig"] {
            fs::write(checkout.state().join(file), "").unwrap();
        }
        let files = || {
            let entries = fs::read_dir(checkout.state()).unwrap();
            let mut names: Vec<_> =
                entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        };
        forget(&checkout, &regions[1..]).unwrap();
        assert_eq!(files(), ["eu.kubeconfig", "lock", "state.json"]);
        assert_eq!(State::load(&checkout).unwrap().unwrap().regions, regions[1..]);
        forget(&checkout, &[]).unwrap();
        assert_eq!(files(), ["lock"]);
        fs::remove_dir_all(cache).unwrap();
    }
}
