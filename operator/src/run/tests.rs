//! How the operator is taken apart, and what a replica shows of a region that it no longer leads.

use super::*;
use crate::args::{Args, Command};
use crate::mock_api::MockApi;
use crate::reports::live::tests::hello;
use clap::Parser as _;
use gameserver_contract::{Hello, Phase, Report};
use kube::runtime::watcher::Event;
use prometheus::{Encoder as _, TextEncoder};
use serde_json::json;
use std::sync::Mutex;
use tokio::sync::mpsc;
use tokio::time::sleep;

/// A replica whose watches brought one game server, on which nine play.
async fn replica() -> Shared {
    let command = ["operator", "run", "--region-id=kr", "--namespace=cranewing-system", "--pod-name=p"];
    let Command::Run(args) = Args::parse_from(command.iter().chain(&["--gameserver-image=i"])).command else {
        panic!("it is `run`")
    };
    let (clock, metrics) = (Clock::start(), Metrics::new().unwrap());
    let client = MockApi::default().client();
    let when = (args.report_terms().unwrap(), clock.unix());
    let trust = Trust::open(client.clone(), &args.namespace, when, metrics.clone()).await.unwrap();
    let (game_servers, mut writer) = Watched::fed();
    let server = json!({ "metadata": { "name": "g", "namespace": "games", "uid": "u" }, "spec": {} });
    writer.apply_watcher_event(&Event::Apply(serde_json::from_value(server).unwrap()));
    let stores = Stores {
        fleets: Watched::fed().0,
        game_servers,
        revisions: Watched::fed().0,
        auto_scalers: Watched::fed().0,
        allocations: Watched::fed().0,
        region_clusters: Watched::fed().0,
        pods: Watched::fed().0,
        nodes: Watched::fed().0,
        responders: Watched::fed().0,
        horizontal: Watched::fed().0,
        ballots: Watched::fed().0,
    };
    let links = Links::new(args.region_id, stores.of_links(), metrics.clone(), clock);
    let live = Arc::new(LiveServers::new());
    let stream = live.connect(Duration::ZERO, "u", &Hello { capacity: 10, ..hello("g") }, mpsc::channel(1).0);
    let report = Report { seq: 1, phase: Phase::Ready, players: 9, ..Report::default() };
    live.report(Duration::ZERO, ("u", stream), &report);
    Shared {
        args: *args,
        client: client.clone(),
        stores,
        live,
        journal: Arc::new(Journal::new(clock)),
        keys: Arc::new(FleetKeys::new(client)),
        trust: Arc::new(trust),
        links: Arc::new(links),
        desk: Desk::idle(),
        report_endpoint: "10.0.0.1:8443".to_owned(),
        metrics,
        clock,
    }
}

/// What Prometheus reads of the region, by the lines that say something of it.
fn shown(metrics: &Metrics) -> Vec<String> {
    let mut text = Vec::new();
    TextEncoder::new().encode(&metrics.registry.gather(), &mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    let of_region = ["operator_fleets_short", "operator_leader", "operator_players", "operator_game_servers"];
    let lines = text.lines().filter(|line| of_region.iter().any(|name| line.starts_with(name)));
    lines.map(str::to_owned).collect()
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if is_so() {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}

const NOTHING: [&str; 5] = [
    "operator_fleets_short 0",
    "operator_game_servers_in_use 0",
    "operator_game_servers_wanted 0",
    "operator_leader 0",
    "operator_players 0",
];

#[tokio::test(start_paused = true)]
async fn who_no_longer_leads_shows_nothing_of_what_it_led() {
    let shared = replica().await;
    let metrics = shared.metrics.clone();
    let (leads, leading) = watch::channel(false);
    let mut tasks = Tasks::default();
    tasks.spawn("the controllers", |stop| lead(shared, leading, stop));
    assert_eq!(shown(&metrics), NOTHING);
    let has = |line: &str| shown(&metrics).contains(&line.to_owned());
    for _ in 0..2 {
        leads.send_replace(true);
        until("it tells of the region", || has("operator_leader 1") && has("operator_players 9")).await;
        assert_eq!(shown(&metrics).len(), NOTHING.len() + 5, "and of its servers by each of five states");
        leads.send_replace(false);
        until("it stopped", || has("operator_leader 0")).await;
        sleep(Duration::from_secs(60)).await;
        assert_eq!(shown(&metrics), NOTHING);
    }
    leads.send_replace(true);
    until("it tells of the region", || has("operator_players 9")).await;
    tasks.stop(STOP_MAX).await.unwrap();
    assert_eq!(shown(&metrics), NOTHING);
}

#[tokio::test]
async fn without_anybody_who_says_whether_it_leads_the_process_fails() {
    let (leads, leading) = watch::channel(false);
    let mut tasks = Tasks::default();
    let shared = replica().await;
    tasks.spawn("the controllers", |stop| lead(shared, leading, stop));
    drop(leads);
    let failure = format!("{:#}", tasks.failure().await);
    assert!(failure.starts_with("the controllers failed: nobody says any more"), "{failure}");
}

/// The lease is kept while a controller may still write, and how the process is can be asked to the end.
#[tokio::test]
async fn each_group_stops_only_when_the_one_before_has() {
    let stopped = Arc::new(Mutex::new(Vec::new()));
    let mut groups = Groups::default();
    let Groups { leading, lease, serving, admin } = &mut groups;
    for (name, group) in [("admin", admin), ("leading", leading), ("serving", serving), ("lease", lease)] {
        let stopped = Arc::clone(&stopped);
        group.spawn(name, move |stop| async move {
            stop.cancelled().await;
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            stopped.lock().unwrap().push(name);
            Ok(())
        });
    }
    groups.stop().await.unwrap();
    assert_eq!(*stopped.lock().unwrap(), ["leading", "lease", "serving", "admin"]);
}

#[tokio::test]
async fn the_first_task_that_fails_in_any_group_stops_the_operator_with_its_cause() {
    for name in ["leading", "lease", "serving", "admin"] {
        let mut groups = Groups::default();
        let Groups { leading, lease, serving, admin } = &mut groups;
        for (group_name, group) in
            [("leading", leading), ("lease", lease), ("serving", serving), ("admin", admin)]
        {
            group.spawn(group_name, move |stop| async move {
                if group_name == name {
                    anyhow::bail!("no file left");
                }
                stop.cancelled().await;
                Ok(())
            });
        }
        let failure = groups.until_stopped(&mut Signals::start().unwrap()).await.unwrap_err();
        assert_eq!(format!("{failure:#}"), format!("{name} failed: no file left"));
        groups.stop().await.unwrap();
    }
}
