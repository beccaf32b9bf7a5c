//! `cargo xtask region`: what is done to one region of an instance.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::Value;

use crate::checkout::Checkout;
use crate::clock;
use crate::cluster::{self, REGION_IDS, kubectl};
use crate::deploy::{self, References, Samples};
use crate::engine::{Engine, Surroundings};
use crate::images::Images;
use crate::lock::Lock;
use crate::observe::{self, Output, Overview};
use crate::process;
use crate::progress::{Progress, seconds};
use crate::state::{Region, State, ids};
use crate::up;

/// How long a region may take to be a member again once it has joined.
const MEMBER_LIMIT: Duration = Duration::from_secs(120);

/// Annotation of a namespace that takes placed Fleets.
const TAKES_FLEETS_FROM: &str = "cranewing.dev/takes-fleets-from";

/// `cargo xtask region`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make a region again whose cluster was deleted; its placed Fleets come back from the others.
    ///
    /// It makes the cluster, installs the operator, has the region join the others with its new key, and waits until it is a member
    /// whose servers are Ready and have players. It says how much ran there and is lost. The last line is the JSON object of `cargo xtask status --output json`.
    #[command(after_help = EXAMPLES)]
    Restore {
        /// The region: kr, jp or sg
        #[arg(value_name = "REGION")]
        region: String,
        #[command(flatten)]
        args: RestoreArgs,
    },
}

const EXAMPLES: &str = "Examples:
  KIND_EXPERIMENTAL_PROVIDER=podman kind delete cluster --name cranewing-1a2b-kr    # cargo xtask region restore kr says it
  cargo xtask region restore kr";

/// How a region is made again.
#[derive(Debug, clap::Args)]
pub(crate) struct RestoreArgs {
    /// Install missing Debian packages without a question
    #[arg(long)]
    yes: bool,
    /// Players over all regions; those that play are started anew
    #[arg(long, default_value_t = up::PLAYERS)]
    players: u32,
}

impl Default for RestoreArgs {
    fn default() -> Self {
        Self { yes: false, players: up::PLAYERS }
    }
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let Command::Restore { region, args } = &args.command;
    let checkout = Checkout::locate()?;
    let _lock = Lock::instance(&checkout, "cargo xtask region restore")?;
    let Some(state) = State::load(&checkout)? else {
        bail!("nothing is up for this checkout ({}); `cargo xtask up` starts it", checkout.instance);
    };
    checkout.claim()?;
    let progress = Progress::new();
    let overview = restore(&checkout, &state, region, args, &progress)?;
    progress.say(&format!("{region} is back after {}", seconds(progress.elapsed())));
    drop(progress);
    observe::print(&overview, Output::Json)
}

/// The region of that name, with its place among the subnets.
fn find<'a>(state: &'a State, id: &str) -> Result<(usize, &'a Region)> {
    let Some(region) = state.regions.iter().find(|region| region.id == id) else {
        bail!("there is no region {id} here: {}", ids(&state.regions));
    };
    let index = REGION_IDS.iter().position(|known| *known == id);
    match (index, &region.cluster) {
        (Some(index), Some(_)) => Ok((index, region)),
        _ => bail!(
            "{id} runs in a cluster that `up` did not make; make that again yourself, as docs/recovery.md says, then `cargo xtask up` \
             with the same --context"
        ),
    }
}

/// What to do where there is nothing to restore.
fn refuse_what_is_there(engine: Engine, region: &Region, nodes: &[(String, String)]) -> Result<()> {
    if nodes.is_empty() {
        return Ok(());
    }
    let cluster = region.cluster.as_deref().unwrap_or_default();
    let nodes: Vec<_> = nodes.iter().map(|(name, status)| format!("{name} {status}")).collect();
    bail!(
        "the cluster of {} is still there ({}); if it only stands still, `cargo xtask up` has it go on; if it is to be lost: \
         KIND_EXPERIMENTAL_PROVIDER={} kind delete cluster --name {cluster}",
        region.id,
        nodes.join(", "),
        engine.program()
    )
}

/// Makes the region again and waits until it is a member and has players.
pub(crate) fn restore(
    checkout: &Checkout,
    state: &State,
    region: &str,
    args: &RestoreArgs,
    progress: &Progress,
) -> Result<Overview> {
    let place = find(state, region)?;
    let (surroundings, node_image) = up::ground(checkout, args.yes, progress)?;
    let cluster = place.1.cluster.as_deref().context("a local region has a cluster")?;
    refuse_what_is_there(surroundings.engine, place.1, &cluster::containers(&surroundings, cluster)?)?;
    let made = make_again(checkout, (&surroundings, &node_image), state, place, args.players, progress);
    made.map_err(|error| {
        let provider = surroundings.engine.program();
        anyhow!(
            "{error:#}\nTo begin again: KIND_EXPERIMENTAL_PROVIDER={provider} kind delete cluster --name {cluster}, then cargo xtask \
             region restore {region}"
        )
    })
}

/// The steps that make something.
fn make_again(
    checkout: &Checkout,
    (surroundings, node_image): (&Surroundings, &str),
    state: &State,
    (index, region): (usize, &Region),
    players: u32,
    progress: &Progress,
) -> Result<Overview> {
    // before its new figures take the place of those
    let lost = lost_with_it(surroundings, state, region);
    let images = Images::build_beside(checkout, progress, || {
        progress.step(&format!("cluster {}", region.id), |_| {
            cluster::ensure_network(checkout, surroundings)?;
            cluster::ensure(checkout, surroundings, region, index, state.nodes, node_image)
        })
    })?;
    images.offer(checkout)?;
    let references = References {
        operator: images.operator.reference.clone(),
        gameserver: images.gameserver.reference.clone(),
    };
    progress.step(&format!("install in {}", region.id), |_| {
        cluster::load(checkout, surroundings, region, &images.archives())?;
        deploy::install_with(checkout, surroundings, region, (&references, Samples::OfAllRegions))
    })?;
    let silent = progress
        .step("namespaces that take Fleets", |_| open_namespaces(checkout, surroundings, state, region))?;
    for silent in silent {
        progress.say(&format!("namespaces are not made as they are in {silent}"));
    }
    progress.step("join the pod networks", |_| cluster::route(checkout, surroundings, &state.regions))?;
    up::start_players(checkout, surroundings, state, players, &images.bots, progress)?;
    progress
        .step("join the regions", |_| deploy::join(checkout, &state.regions, &images.operator_program))?;
    progress.step(&format!("{} is a member", region.id), |step| {
        await_member(checkout, surroundings, state, region, |text| step.note(text))
    })?;
    let waited = format!("players in {}", ids(&state.regions));
    let overview = progress
        .step(&waited, |step| up::await_players(checkout, surroundings, state, |text| step.note(text)))?;
    progress.say(&lost);
    Ok(overview)
}

/// What ran in the region's cluster when another one last heard of it: no region keeps the state of another's matches.
fn lost_with_it(surroundings: &Surroundings, state: &State, region: &Region) -> String {
    let others = state.regions.iter().filter(|other| other.id != region.id);
    let heard = others.filter_map(|other| {
        let get = ["get", "regionclusters", &region.id, "--output=json", "--request-timeout=5s"];
        let copy = process::output(kubectl(surroundings, other).args(get)).ok()?;
        Some((other.id.as_str(), serde_json::from_str(&copy).ok()?))
    });
    describe_loss(heard)
}

/// As whoever heard it last says.
fn describe_loss<'a>(heard: impl IntoIterator<Item = (&'a str, Value)>) -> String {
    let at = |copy: &Value| copy["status"]["lastHeartbeat"].as_str().map(str::to_owned);
    let last = heard
        .into_iter()
        .filter_map(|(by, copy)| Some((at(&copy)?, by, copy)))
        .max_by_key(|(at, ..)| at.clone());
    let Some((at, by, copy)) = last else {
        return "lost for good: what ran on its game servers; no other region says how much that was"
            .to_owned();
    };
    let number = |value: &Value| value.as_i64().unwrap_or_default();
    let (players, servers) =
        (number(&copy["status"]["players"]), number(&copy["status"]["servers"]["total"]));
    format!(
        "lost for good: the sessions of {players} players on {servers} game servers and the state of their matches, as {by} heard \
         it last, at {at}"
    )
}

/// Namespaces that take placed Fleets in another region do so here again; who makes a region of their own does this by hand. Answers
/// which regions did not say theirs, and why.
fn open_namespaces(
    checkout: &Checkout,
    surroundings: &Surroundings,
    state: &State,
    region: &Region,
) -> Result<Vec<String>> {
    let others = state.regions.iter().filter(|other| other.id != region.id);
    let list = |other: &Region| -> Result<Value> {
        let list = ["get", "namespaces", "--output=json", "--request-timeout=5s"];
        let list = process::output(kubectl(surroundings, other).args(list))?;
        serde_json::from_str(&list).context("kubectl answered with something else than a list")
    };
    let (open, silent) = namespaces(others.map(|other| (other.id.as_str(), list(other))), &region.id);
    if !open.is_empty() {
        let file = checkout.state().join("namespaces.json");
        let items = serde_json::json!({ "apiVersion": "v1", "kind": "List", "items": open });
        fs::write(&file, items.to_string()).with_context(|| format!("failed to write {}", file.display()))?;
        let log = checkout.log(&format!("install-{}", region.id));
        process::run(kubectl(surroundings, region).args(["apply", "--filename"]).arg(&file), &log)?;
    }
    Ok(silent)
}

/// Those that take placed Fleets in other regions, as they are made in this one: from all from whom they take them in any of those, from
/// those regions and from this one. And who did not say theirs.
fn namespaces<'a>(
    lists: impl IntoIterator<Item = (&'a str, Result<Value>)>,
    own: &str,
) -> (Vec<Value>, Vec<String>) {
    let (mut open, mut silent) = (BTreeMap::<String, BTreeSet<String>>::new(), Vec::new());
    for (region, list) in lists {
        let list = match list {
            Ok(list) => list,
            Err(error) => {
                silent.push(format!("{region}: {error:#}"));
                continue;
            }
        };
        for namespace in list["items"].as_array().into_iter().flatten() {
            let metadata = &namespace["metadata"];
            let from = metadata["annotations"][TAKES_FLEETS_FROM].as_str();
            let (Some(from), Some(name)) = (from, metadata["name"].as_str()) else { continue };
            let from = from.split(',').map(str::trim).filter(|part| !part.is_empty()).chain([region, own]);
            open.entry(name.to_owned()).or_default().extend(from.map(str::to_owned));
        }
    }
    let made = |(name, from): (String, BTreeSet<String>)| {
        let all = from.contains("*").then(|| "*".to_owned());
        let from = all.unwrap_or_else(|| from.into_iter().collect::<Vec<_>>().join(","));
        serde_json::json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": { "name": name, "annotations": { TAKES_FLEETS_FROM: from } },
        })
    };
    (open.into_iter().map(made).collect(), silent)
}

fn await_member(
    checkout: &Checkout,
    surroundings: &Surroundings,
    state: &State,
    region: &Region,
    tell: impl Fn(&str),
) -> Result<()> {
    let found = clock::poll(MEMBER_LIMIT, Duration::from_millis(500), || {
        let overview = observe::overview(checkout, surroundings, state, observe::WAIT_LIMIT);
        tell(&overview.counts());
        overview.regions.get(&region.id)?.is_back().then_some(())
    });
    found.with_context(|| {
        format!(
            "after {} {} is no member with all its servers Ready ({}); look at: kubectl --kubeconfig {} describe regioncluster {}",
            seconds(MEMBER_LIMIT),
            region.id,
            observe::overview(checkout, surroundings, state, observe::WAIT_LIMIT).counts(),
            region.kubeconfig.display(),
            region.id
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn region(id: &str, cluster: Option<&str>) -> Region {
        let context = cluster.is_none().then(|| "c".to_owned());
        Region { id: id.to_owned(), kubeconfig: "/k".into(), cluster: cluster.map(str::to_owned), context }
    }

    #[test]
    fn only_a_region_that_up_made_is_made_again() {
        let regions = vec![region("kr", Some("c-kr")), region("jp", Some("c-jp")), region("sg", None)];
        let state = State { engine: Engine::Podman, nodes: 1, regions };
        assert_eq!(find(&state, "jp").unwrap().0, 1);
        for (id, words) in
            [("us", "there is no region us here: kr, jp, sg"), ("sg", "that `up` did not make")]
        {
            let said = find(&state, id).unwrap_err().to_string();
            assert!(said.contains(words), "{said}");
        }
    }

    #[test]
    fn a_cluster_that_is_there_is_not_made_again() {
        let kr = region("kr", Some("c-kr"));
        assert!(refuse_what_is_there(Engine::Podman, &kr, &[]).is_ok());
        let nodes = [("c-kr-control-plane".to_owned(), "paused".to_owned())];
        let said = refuse_what_is_there(Engine::Podman, &kr, &nodes).unwrap_err().to_string();
        assert!(
            said.contains("c-kr-control-plane paused")
                && said.contains("=podman kind delete cluster --name c-kr")
        );
    }

    #[test]
    fn what_is_lost_is_said_by_whoever_heard_the_region_last() {
        let copy = |at: &str, players| json!({ "status": { "lastHeartbeat": at, "players": players, "servers": { "total": 3 } } });
        let never = ("us", json!({ "status": {} }));
        let heard =
            [("jp", copy("2026-01-02T00:00:01Z", 7)), never.clone(), ("sg", copy("2026-01-02T00:00:03Z", 9))];
        let said = describe_loss(heard);
        assert!(
            said.contains("9 players on 3 game servers") && said.contains("as sg heard it last, at 2026"),
            "{said}"
        );
        assert!(describe_loss([never]).contains("no other region says"));
    }

    #[test]
    fn namespaces_take_what_they_take_elsewhere_and_the_regions_own() {
        let list = |namespaces: &[(&str, Option<&str>)]| {
            let namespace = |&(name, from): &(&str, Option<&str>)| {
                let annotations = from.map(|from| json!({ TAKES_FLEETS_FROM: from }));
                json!({ "metadata": { "name": name, "annotations": annotations } })
            };
            json!({ "items": namespaces.iter().map(namespace).collect::<Vec<_>>() })
        };
        let jp = [("default", None), ("games", Some("kr, us")), ("all", Some("*")), ("jps", Some("jp"))];
        let sg = [("default", None), ("games", Some("kr")), ("all", Some("us")), ("jps", None)];
        let lists = [
            ("jp", Ok(list(&jp))),
            ("us", Err(anyhow::anyhow!("it does not answer"))),
            ("sg", Ok(list(&sg))),
        ];
        let (made, silent) = namespaces(lists, "kr");
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let made: Vec<_> = made
            .iter()
            .map(|made| &made["metadata"])
            .map(|metadata| (text(&metadata["name"]), text(&metadata["annotations"][TAKES_FLEETS_FROM])))
            .collect();
        let expected = [("all", "*"), ("games", "jp,kr,sg,us"), ("jps", "jp,kr")];
        assert_eq!(made, expected.map(|(name, from)| (name.to_owned(), from.to_owned())));
        assert_eq!(silent, ["us: it does not answer"], "and the rest counts");
    }
}
