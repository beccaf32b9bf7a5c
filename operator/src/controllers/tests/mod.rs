//! Controllers against an API server that keeps a record: what they ask and write, and what a failure does.

mod auto_scaler;
mod control;
mod decisions;
mod fleet;
mod game_server;
mod game_server_allocation;
mod logs;
mod placed_fleets;
mod placed_homes;
mod placed_rollout;
mod placed_scalers;
mod recovery;
mod region_cluster;
mod region_copies;
mod restored;
mod rollout;
mod tombstones;
mod undone;
mod wheel;

use super::context::{Context, Stores};
use super::host_ports::HostPortLedger;
use super::pace::Pace;
use super::placements::Placements;
use super::pod::PodDefaults;
use crate::allocation::Desk;
use crate::journal::Journal;
use crate::links::Links;
use crate::mock_api::MockApi;
use crate::reports::keys::FleetKeys;
use crate::reports::live::tests::hello;
use crate::reports::live::{LiveServers, ORDERS_MAX};
use crate::reports::trust::{Bundles, Rotation, Trust};
use crate::runtime::clock::Clock;
use crate::runtime::metrics::Metrics;
use crate::runtime::watch::{Watchable, Watched};
use gameserver_contract::{Hello, OperatorMessage, Phase, Report};
use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{ConfigMap, Node, Pod};
use kube::ResourceExt;
use kube::runtime::events::{Recorder, Reporter};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::reflector::store::Writer;
use kube::runtime::watcher::Event;
use operator_api::{AutoScaler, Fleet, GameServer, GameServerAllocation, RegionCluster};
use operator_core::authority::Terms;
use operator_core::host_ports::PortRange;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

const HOUR: Duration = Duration::from_secs(3600);
const TERMS: Terms =
    Terms { lifetime: Duration::from_secs(9000 * 3600), overlap: HOUR, certificate_lifetime: HOUR };

/// An API server, and a leader whose watches bring what is in it when a test says so.
struct World {
    api: MockApi,
    context: Arc<Context>,
    feeds: Feeds,
    /// Streams of game servers, kept open.
    streams: Vec<mpsc::Receiver<OperatorMessage>>,
    /// Number of each server's newest stream, by uid.
    numbers: HashMap<String, u64>,
    /// Whether game servers can be told that they are outdated.
    hears_outdated: bool,
}

struct Feeds {
    fleets: Writer<Fleet>,
    game_servers: Writer<GameServer>,
    revisions: Writer<ControllerRevision>,
    auto_scalers: Writer<AutoScaler>,
    allocations: Writer<GameServerAllocation>,
    region_clusters: Writer<RegionCluster>,
    pods: Writer<Pod>,
    nodes: Writer<Node>,
    horizontal: Writer<HorizontalPodAutoscaler>,
    ballots: Writer<ConfigMap>,
}

impl World {
    /// With one node, led for an hour.
    async fn new() -> Self {
        let api = MockApi::default();
        let client = api.client();
        let (stores, feeds) = stores();
        let clock = Clock::started_ago(HOUR);
        let metrics = Metrics::new().unwrap();
        let links = Links::new("kr".parse().unwrap(), stores.of_links(), metrics.clone(), clock);
        let opened = Trust::open(client.clone(), "cranewing-system", (TERMS, clock.unix()), metrics.clone());
        let trust = Arc::new(opened.await.unwrap());
        let bundles = Arc::new(Bundles::new(client.clone(), Arc::clone(&trust)));
        let rotation = Rotation::new(client.clone(), "cranewing-system", trust, Arc::clone(&bundles));
        let reporter = Reporter { controller: "cranewing-operator".to_owned(), instance: None };
        let context = Context {
            client: client.clone(),
            namespace: "cranewing-system".to_owned(),
            links: Arc::new(links),
            stores,
            live: Arc::new(LiveServers::new()),
            journal: Arc::new(Journal::new(clock)),
            keys: Arc::new(FleetKeys::new(client.clone())),
            pods: PodDefaults {
                image: "cranewing/gameserver:1".to_owned(),
                region_id: "kr".to_owned(),
                report_endpoint: "10.0.0.1:8443".to_owned(),
                seccomp_profile: None,
            },
            ports: HostPortLedger::new(PortRange { first: 7000, last: 7099 }),
            bundles,
            rotation,
            pace: Pace::default(),
            placements: Placements::default(),
            desk: Desk::idle(),
            scale_times: crate::controllers::ScaleTimes::default(),
            trials: crate::controllers::Trials::default(),
            recovery: crate::controllers::Shown::default(),
            recorder: Recorder::new(client, reporter),
            metrics,
            clock,
            leading_since: Duration::ZERO,
        };
        (0..=HOUR.as_secs()).for_each(|second| context.live.tell_silent(Duration::from_secs(second)));
        let mut world = Self {
            api,
            context: Arc::new(context),
            feeds,
            streams: Vec::new(),
            numbers: HashMap::new(),
            hears_outdated: false,
        };
        world.put("/api/v1/nodes/node", &json!({ "metadata": { "name": "node" } }));
        world.bring();
        world.api.take_seen();
        world
    }

    /// Lets time pass, in which this process runs.
    fn wait(&mut self, time: Duration) {
        for _ in 0..time.as_secs() {
            self.stand_still(Duration::from_secs(1));
            self.context.live.tell_silent(self.context.clock.elapsed());
        }
    }

    /// Lets time pass of which this process sees nothing.
    fn stand_still(&mut self, time: Duration) {
        let context = Arc::get_mut(&mut self.context).expect("no reconciliation runs");
        context.clock = context.clock.later(time);
    }

    /// Puts an object into the API server, and into the stores.
    fn put(&mut self, path: &str, object: &Value) {
        self.api.put(path, object.clone());
        self.bring();
    }

    /// A Fleet in namespace `games`.
    fn put_fleet(&mut self, replicas: i32) {
        let fleet = json!({
            "apiVersion": "cranewing.dev/v1alpha1", "kind": "Fleet",
            "metadata": { "name": "arena", "namespace": "games", "uid": "f-1", "generation": 1 },
            "spec": { "replicas": replicas, "template": { "spec": { "capacity": 10 } } },
        });
        self.put(&ours("fleets", "arena"), &fleet);
    }

    /// What the watches bring.
    fn bring(&mut self) {
        let Self { api, feeds, .. } = self;
        let Feeds {
            fleets,
            game_servers,
            revisions,
            auto_scalers,
            allocations,
            region_clusters,
            pods,
            nodes,
            horizontal,
            ballots,
        } = feeds;
        feed(fleets, api.all("fleets"));
        feed(game_servers, api.all("gameservers"));
        feed(revisions, api.all("controllerrevisions"));
        feed(auto_scalers, api.all("autoscalers"));
        feed(allocations, api.all("gameserverallocations"));
        feed(region_clusters, api.all("regionclusters"));
        feed(pods, api.all("pods"));
        feed(nodes, api.all("nodes"));
        feed(horizontal, api.all("horizontalpodautoscalers"));
        feed(ballots, api.all("configmaps"));
    }

    fn fleet(&self) -> Arc<Fleet> {
        self.context.stores.fleets.store().get(&ObjectRef::new("arena").within("games")).unwrap()
    }

    fn server(&self, name: &str) -> Arc<GameServer> {
        self.context.stores.game_servers.store().get(&ObjectRef::new(name).within("games")).unwrap()
    }

    /// The kubelet runs the server's pod since then.
    fn place(&mut self, name: &str, since: &str) {
        let path = format!("/api/v1/namespaces/games/pods/{name}");
        let mut pod = self.api.get(&path).unwrap();
        pod["spec"]["nodeName"] = json!("node");
        pod["status"] = json!({ "phase": "Running", "hostIP": "192.0.2.1", "startTime": since });
        self.put(&path, &pod);
    }

    /// The kubelet runs the server's pod, and the server reports.
    fn run_server(&mut self, name: &str, phase: Phase, players: u32) {
        self.place(name, "2026-01-01T00:00:00Z");
        let (orders, received) = mpsc::channel(ORDERS_MAX);
        self.streams.push(received);
        let uid = self.server(name).uid().unwrap();
        let number = self.context.live.connect(
            self.context.clock.elapsed(),
            &uid,
            &Hello { capacity: 10, hears_outdated: self.hears_outdated, ..hello(name) },
            orders,
        );
        self.numbers.insert(uid, number);
        self.report(name, phase, players);
    }

    fn report(&self, name: &str, phase: Phase, players: u32) {
        self.tell(name, &report(phase, players));
    }

    /// What the server reports.
    fn tell(&self, name: &str, report: &Report) {
        let uid = self.server(name).uid().unwrap();
        let stream = (uid.as_str(), self.numbers[&uid]);
        self.context.live.report(self.context.clock.elapsed(), stream, report);
    }

    /// The server's word that this drain is complete.
    fn acknowledge(&self, name: &str, order: u64) {
        let uid = self.server(name).uid().unwrap();
        let stream = (uid.as_str(), self.numbers[&uid]);
        self.context.live.drained(self.context.clock.elapsed(), stream, order);
    }

    async fn reconcile_fleet(&mut self) -> Result<(), super::fleet::Error> {
        let done = super::fleet::reconcile(self.fleet(), Arc::clone(&self.context)).await;
        self.bring();
        done.map(drop)
    }

    async fn reconcile_server(&mut self, name: &str) -> Result<(), super::game_server::Error> {
        let done = super::game_server::reconcile(self.server(name), Arc::clone(&self.context)).await;
        self.bring();
        done.map(drop)
    }

    /// A Fleet whose servers all run, with everything written that there is to write.
    async fn with_running_fleet(replicas: i32) -> Self {
        let mut world = Self::new().await;
        world.put_fleet(replicas);
        world.reconcile_fleet().await.unwrap();
        for number in 0..replicas {
            let name = format!("arena-{number}");
            world.reconcile_server(&name).await.unwrap();
            world.run_server(&name, Phase::Ready, 0);
            world.reconcile_server(&name).await.unwrap();
        }
        world.reconcile_fleet().await.unwrap();
        world.api.take_seen();
        world
    }

    /// Status and reason of a condition, with its message.
    fn condition(&self, path: &str, type_: &str) -> Option<(String, String, String)> {
        let object = self.api.get(path)?;
        let conditions = object["status"]["conditions"].as_array()?;
        let found = conditions.iter().find(|condition| condition["type"] == type_)?;
        let text = |field: &str| found[field].as_str().unwrap().to_owned();
        Some((text("status"), text("reason"), text("message")))
    }
}

/// Path of an object of ours in namespace `games`.
fn ours(plural: &str, name: &str) -> String {
    format!("/apis/cranewing.dev/v1alpha1/namespaces/games/{plural}/{name}")
}

fn stores() -> (Stores, Feeds) {
    let (fleets, fleet_feed) = Watched::fed();
    let (game_servers, game_server_feed) = Watched::fed();
    let (revisions, revision_feed) = Watched::fed();
    let (auto_scalers, auto_scaler_feed) = Watched::fed();
    let (allocations, allocation_feed) = Watched::fed();
    let (region_clusters, region_cluster_feed) = Watched::fed();
    let (pods, pod_feed) = Watched::fed();
    let (nodes, node_feed) = Watched::fed();
    let (horizontal, horizontal_feed) = Watched::fed();
    let responders = Watched::fed().0;
    let (ballots, ballot_feed) = Watched::fed();
    let feeds = Feeds {
        fleets: fleet_feed,
        game_servers: game_server_feed,
        revisions: revision_feed,
        auto_scalers: auto_scaler_feed,
        allocations: allocation_feed,
        region_clusters: region_cluster_feed,
        pods: pod_feed,
        nodes: node_feed,
        horizontal: horizontal_feed,
        ballots: ballot_feed,
    };
    let stores = Stores {
        fleets,
        game_servers,
        revisions,
        auto_scalers,
        allocations,
        region_clusters,
        pods,
        nodes,
        responders,
        horizontal,
        ballots,
    };
    (stores, feeds)
}

fn feed<K: Watchable>(writer: &mut Writer<K>, objects: Vec<K>) {
    writer.apply_watcher_event(&Event::Init);
    for object in objects {
        writer.apply_watcher_event(&Event::InitApply(object));
    }
    writer.apply_watcher_event(&Event::InitDone);
}

fn report(phase: Phase, players: u32) -> Report {
    Report { seq: 1, phase, players, cpu_millis: 5, ..Report::default() }
}
