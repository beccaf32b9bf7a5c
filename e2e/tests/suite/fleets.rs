//! Fleets: from apply to Ready, replacement, scaling, and what all that costs in writes.

use e2e::bots::Bots;
use e2e::kstatus::{Standing, standing};
use e2e::{Need, PATIENCE, Region, Scratch, Watch, eventually, in_namespace, operator, say};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams, LogParams};
use operator_api::{Fleet, GameServer};
use serde_json::Value;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

use crate::world::placed_fleets::arena;
use crate::{duel, duel_in, scale};

/// The container runtime's own profile, which denies io_uring.
const RUNTIME_DEFAULT: &str = "securityContext: {seccompProfile: {type: RuntimeDefault}},";

/// C16, A12: dynamic host ports, never twice on a node, Ready by report, shown in the object.
#[tokio::test]
async fn a_fleet_becomes_ready_with_an_address_each_and_three_writes_a_server() {
    in_namespace("ready", &[], async |scratch| {
        let region = &scratch.region;
        let leader = operator::leader(region).await;
        let before = operator::writes(region, &leader).await;
        drop(scratch.apply::<Fleet>(&duel(6, "")).await);
        let servers = scratch.await_fleet("duel", 6).await;
        let after = operator::writes(region, &leader).await;

        let addresses: BTreeSet<_> = servers
            .iter()
            .map(|server| server.status.as_ref().unwrap())
            .map(|status| (status.address.clone().unwrap(), status.ports[0].port))
            .collect();
        assert_eq!(addresses.len(), 6, "every server has an address of its own: {addresses:?}");
        for server in &servers {
            let status = server.status.as_ref().unwrap();
            assert_eq!(status.backend.as_deref(), Some("uring"));
            assert_eq!(status.observed_generation, server.metadata.generation);
        }
        let spent = difference(&before, &after);
        let of = |name: &str| {
            let counts = spent.iter().filter(|(key, _)| key.contains(name)).map(|(_, value)| value);
            counts.sum::<f64>().to_string()
        };
        let writes = [of("\"gameservers\""), of("\"pods\""), of("\"gameservers/status\"")];
        assert_eq!(writes, ["6"; 3], "one POST a server, one a pod, one PATCH of status a server: {spent:?}");
        assert_eq!(operator::leader(region).await, leader, "whose account this is");
    })
    .await;
}

fn difference(before: &BTreeMap<String, f64>, after: &BTreeMap<String, f64>) -> BTreeMap<String, f64> {
    let spent =
        after.iter().map(|(name, value)| (name.clone(), value - before.get(name).copied().unwrap_or(0.0)));
    spent.filter(|(_, value)| *value > 0.0).collect()
}

/// Reports keep coming meanwhile, so that a quiet account is not a stopped operator.
#[tokio::test]
async fn a_settled_fleet_causes_no_writes() {
    in_namespace("settled", &[], async |scratch| {
        duel_in(scratch, 3).await;
        await_quiet(scratch).await;
    })
    .await;
}

/// Longer than anything takes that the operator does by time alone: the longest is the half minute after which a new leader
/// may decide deletions.
const QUIET_SECONDS: f64 = 40.0;
/// What a figure of ticks must have moved by at least to be written anew: half a millisecond, and told to a tenth.
const NEWS_US: u64 = 400;
/// How often ticks may be news before a Fleet counts as one that never settles.
const QUIETS_MAX: u32 = 3;

/// Waits for a time without a write. What is news is written: on a node that is busy with other things the ticks of an idle
/// server may take many times as long as in the minute before. That is the one write which may come in between, once for
/// each Fleet whose figure of ticks it changes, and then the time begins anew.
pub(crate) async fn await_quiet(scratch: &Scratch) {
    let region = &scratch.region;
    let leader = operator::leader(region).await;
    for _ in 0..QUIETS_MAX {
        let settled = await_settled(region, &leader).await;
        let (began, reported) = (Watch::new(), operator::metric(region, &leader, operator::REPORTS).await);
        let before = tick_figures(region).await.unwrap();
        if operator::writes(region, &leader).await != settled {
            continue;
        }
        let news = eventually("no write for longer than any period", PATIENCE, || async {
            let spent = difference(&settled, &operator::writes(region, &leader).await);
            let seconds = began.seconds();
            if !spent.is_empty() {
                let mut news = tick_figures(region).await?;
                if difference(&settled, &operator::writes(region, &leader).await) != spent {
                    return Err("one more was written meanwhile".to_owned());
                }
                news.retain(|fleet, us| {
                    before.get(fleet).is_none_or(|before| before.abs_diff(*us) >= NEWS_US)
                });
                let written: f64 = spent.values().sum();
                let is_news = spent.keys().all(|name| name.contains("\"fleets/status\""))
                    && written.to_string() == news.len().to_string();
                assert!(is_news, "after {seconds:.0} s of quiet {spent:?} for {news:?}, before {before:?}");
                return Ok(Some(news));
            }
            if seconds >= QUIET_SECONDS { Ok(None) } else { Err(format!("quiet for {seconds:.0} s")) }
        })
        .await;
        if let Some(news) = news {
            say(&format!("ticks take another time than before: {news:?}, before {before:?}"));
            continue;
        }
        let heard = operator::metric(region, &leader, operator::REPORTS).await - reported;
        assert!(heard >= QUIET_SECONDS, "servers reported meanwhile: {heard}");
        assert_eq!(operator::leader(region).await, leader, "whose account this is");
        return;
    }
    panic!("{QUIETS_MAX} times in a row there was news");
}

/// What was written once thirty reports have come without a write, because what went before may still be written off.
async fn await_settled(region: &Region, leader: &str) -> BTreeMap<String, f64> {
    let quiet: RefCell<Option<(BTreeMap<String, f64>, f64)>> = RefCell::new(None);
    let settled = eventually("thirty reports without a write", PATIENCE, || async {
        let writes = operator::writes(region, leader).await;
        let reported = operator::metric(region, leader, operator::REPORTS).await;
        let since = match quiet.take() {
            Some((seen, since)) if seen == writes => since,
            _ => reported,
        };
        quiet.replace(Some((writes.clone(), since)));
        if reported >= since + 30.0 { Ok(writes) } else { Err(format!("{} reports", reported - since)) }
    })
    .await;
    assert!(!settled.is_empty(), "what made the fleet is on the leader's account");
    settled
}

/// What each Fleet of a region says of its ticks.
async fn tick_figures(region: &Region) -> Result<BTreeMap<String, u64>, String> {
    let fleets =
        region.all::<Fleet>().list(&ListParams::default()).await.map_err(|error| error.to_string())?;
    let name = |fleet: &Fleet| format!("{}/{}", fleet.namespace().unwrap_or_default(), fleet.name_any());
    let figure = |fleet: &Fleet| Some(microseconds(fleet.status.as_ref()?.tick_p99.as_deref()?));
    Ok(fleets.iter().filter_map(|fleet| Some((name(fleet), figure(fleet)?))).collect())
}

/// Of what a status says, such as `850us`, `1.5ms` or `12ms`.
fn microseconds(told: &str) -> u64 {
    let (number, unit_us) =
        told.strip_suffix("ms").map_or_else(|| (told.trim_end_matches("us"), 1), |number| (number, 1000));
    let (whole, tenths) = number.split_once('.').unwrap_or((number, "0"));
    let [whole, tenths] = [whole, tenths].map(|part| part.parse::<u64>().expect(told));
    whole * unit_us + tenths * unit_us / 10
}

#[tokio::test]
async fn a_pod_that_is_killed_is_replaced() {
    in_namespace("replaced", &[], async |scratch| {
        duel_in(scratch, 2).await;
        let before = scratch.identities("duel").await;
        let at_once = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
        drop(scratch.api::<Pod>().delete("duel-0", &at_once).await.unwrap());
        let old = &before["duel-0"].0;
        eventually("another server in its place", PATIENCE, || async {
            let uids: Vec<_> = scratch.servers("duel").await?.iter().filter_map(ResourceExt::uid).collect();
            if uids.len() == 2 && !uids.contains(old) { Ok(()) } else { Err(format!("{uids:?}")) }
        })
        .await;
        drop(scratch.await_fleet("duel", 2).await);
        assert_eq!(scratch.identities("duel").await["duel-1"], before["duel-1"], "its neighbour stays");
    })
    .await;
}

/// E1: by kubectl, up and down; nobody who plays is in the way of it, or touched by it.
#[tokio::test]
async fn kubectl_scales_both_ways_around_those_who_play() {
    in_namespace("scaled", &[Need::Bots], async |scratch| {
        duel_in(scratch, 2).await;
        let bots = Bots::start(scratch, "duel", 8, (1, 600, 1));
        bots.await_playing(8).await;
        let taken = scratch.identities("duel").await;
        scale(scratch, "duel", 5).await;
        drop(scratch.await_fleet("duel", 5).await);
        scale(scratch, "duel", 1).await;
        let left = scratch.await_fleet("duel", 1).await;
        assert_eq!(
            left[0].status.as_ref().unwrap().players,
            8,
            "the server with players is the one that stays"
        );
        await_pods(scratch, 1).await;

        // nobody is sent away even for none at all; they go when they want to
        scale(scratch, "duel", 0).await;
        scratch.await_condition::<Fleet>("duel", "Reconciling", "True").await;
        let name = left[0].name_any();
        assert_eq!(scratch.identities("duel").await[&name], taken[&name]);
        let stats = bots.stop().await;
        assert_eq!(
            (stats.joins, stats.disconnects, stats.refused, stats.mismatches),
            (8, 0, 0, 0),
            "{stats:?}"
        );
        drop(scratch.await_fleet("duel", 0).await);
        await_pods(scratch, 0).await;
    })
    .await;
}

async fn await_pods(scratch: &Scratch, count: usize) {
    let pods = scratch.api::<Pod>();
    eventually(&format!("{count} pods are left"), PATIENCE, || async {
        let left = pods.list(&ListParams::default()).await.map_err(|error| error.to_string())?.items.len();
        if left == count { Ok(()) } else { Err(format!("{left} pods")) }
    })
    .await;
}

/// By the rules of kstatus, in every version that was ever written: not Current before it is as the spec asks for.
#[tokio::test]
async fn objects_say_where_they_stand_from_their_first_moment_on() {
    in_namespace("standing", &[], async |scratch| {
        let created: Fleet = scratch.apply(&duel(1, "")).await;
        let created = serde_json::to_value(created).unwrap();
        assert_eq!(standing(&created), Standing::InProgress, "{created:#}");
        let since = created["metadata"]["resourceVersion"].as_str().unwrap();
        let current = |object: &Value| standing(object) == Standing::Current;

        let servers = scratch.versions::<GameServer>(since, current).await;
        assert_eq!(servers[0]["status"]["state"], "Starting", "{:#}", servers[0]);
        for server in servers {
            assert_eq!(current(&server), server["status"]["state"] == "Ready", "{server:#}");
        }
        let mut fleet = settle(scratch, &created, 1).await;
        for replicas in [3, 1] {
            scale(scratch, "duel", replicas).await;
            fleet = settle(scratch, &fleet, replicas).await;
        }
    })
    .await;
}

/// Follows the Fleet from a version until it is Current; it is nothing but InProgress before.
async fn settle(scratch: &Scratch, from: &Value, replicas: usize) -> Value {
    let since = from["metadata"]["resourceVersion"].as_str().unwrap();
    let asked = |fleet: &Value| fleet["spec"]["replicas"] == replicas;
    let settled = |fleet: &Value| asked(fleet) && standing(fleet) == Standing::Current;
    let mut versions = scratch.versions::<Fleet>(since, settled).await;
    let last = versions.pop().unwrap();
    for version in versions.iter().filter(|version| asked(version)) {
        assert_eq!(standing(version), Standing::InProgress, "{version:#}");
    }
    let status = &last["status"];
    assert_eq!((&status["replicas"], &status["readyReplicas"]), (&replicas.into(), &replicas.into()));
    assert_eq!(status["observedGeneration"], last["metadata"]["generation"]);
    last
}

/// E1, A11, A12: the runtime's default profile denies io_uring and memory policies; the server says so, and people play on it all
/// the same.
#[tokio::test]
async fn a_server_without_io_uring_and_memory_policies_plays_on() {
    in_namespace("mmsg", &[Need::Bots], async |scratch| {
        let interleaved = "env: [{name: CRANEWING_NUMA, value: interleaved}], resources:";
        drop(scratch.apply::<Fleet>(&duel(1, RUNTIME_DEFAULT).replace("resources:", interleaved)).await);
        let servers = scratch.await_fleet("duel", 1).await;
        assert_eq!(servers[0].status.as_ref().unwrap().backend.as_deref(), Some("mmsg"));
        let log = scratch.api::<Pod>().logs("duel-0", &LogParams::default()).await.unwrap();
        for said in ["the memory policy is not to be had here", "seccomp profile that allows mbind"] {
            assert!(log.contains(said), "{said} is not in:\n{log}");
        }
        let bots = Bots::start(scratch, "duel", 16, (1, 600, 1));
        bots.await_playing(16).await;
        eventually("the server says who plays", PATIENCE, || async {
            let server =
                scratch.api::<GameServer>().get("duel-0").await.map_err(|error| error.to_string())?;
            let status = server.status.unwrap_or_default();
            if status.players == 16 { Ok(()) } else { Err(format!("{status:?}")) }
        })
        .await;
        let stats = bots.stop().await;
        assert_eq!(
            (stats.joins, stats.disconnects, stats.refused, stats.mismatches),
            (16, 0, 0, 0),
            "{stats:?}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_game_server_of_its_own_needs_no_fleet() {
    in_namespace("single", &[], async |scratch| {
        let yaml = "{apiVersion: cranewing.dev/v1alpha1, kind: GameServer, metadata: {name: solo}, spec: {drain: {deadlineSeconds: 5}}}";
        drop(scratch.apply::<GameServer>(yaml).await);
        scratch.await_condition::<GameServer>("solo", "Ready", "True").await;
    })
    .await;
}

/// Rule 1: one file may be applied everywhere.
#[tokio::test]
async fn a_fleet_that_is_applied_away_from_its_home_is_inert() {
    in_namespace("elsewhere", &[], async |place| {
        let here = place.region.id;
        let home = if here == "jp" { "sg" } else { "jp" };
        drop(place.apply::<Fleet>(&arena("[]").replace("home: jp", &format!("home: {home}"))).await);
        place.await_condition::<Fleet>("arena", "NotHome", "True").await;
        assert!(place.api::<Fleet>().get_opt(&format!("arena-{here}")).await.unwrap().is_none());
    })
    .await;
}
