//! Three replicas in this process, linked over loopback by real TLS, with an API server that is a table and game servers that keep
//! their claims as ours do. In real time, which is the sockets'.

use super::words::{Asked, Outcome};
use super::*;
use crate::journal::Journal;
use crate::mock_api::MockApi;
use crate::reports::live::LiveServers;
use crate::reports::live::tests::hello;
use crate::runtime::clock::Clock;
use crate::runtime::metrics::Metrics;
use crate::runtime::raw_keys::fresh_key;
use gameserver_contract::{Claims, Hello, Key, OperatorMessage, Phase, Report};
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::reflector::store;
use kube::runtime::reflector::store::Writer;
use kube::runtime::watcher::Event;
use operator_api::{GameServer, labels};
use operator_core::allocation::{ReplicaId, Spread};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

const NAMESPACE: &str = "cranewing";
const PATIENCE: Duration = Duration::from_secs(20);
/// Issue and decision 28: the next answer after a replica's death.
const NEXT_ANSWER_MAX: Duration = Duration::from_secs(2);

/// A game server: what it holds, by its own word.
type Server = Arc<Mutex<Claims>>;

struct Replica {
    desk: Desk,
    stop: CancellationToken,
    running: tokio::task::JoinHandle<anyhow::Result<()>>,
    pod: String,
}

struct Region {
    api: MockApi,
    pods: Vec<Writer<Pod>>,
    known: Vec<Value>,
    servers: BTreeMap<String, Server>,
    replicas: Vec<Replica>,
    port: u16,
    listeners: Vec<Option<TcpListener>>,
}

fn game_server(name: &str) -> GameServer {
    serde_json::from_value(json!({
        "apiVersion": "cranewing.dev/v1alpha1",
        "kind": "GameServer",
        "metadata": { "name": name, "namespace": "games", "uid": name },
        "spec": {},
        "status": { "state": "Ready", "address": "192.0.2.1", "nodeName": "node" },
    }))
    .unwrap()
}

impl Region {
    async fn start(replicas: u8, servers: usize) -> Self {
        let (port, listeners) = listen().await;
        let names = (0..servers).map(|number| format!("server-{number}"));
        let api = MockApi::default();
        for name in names.clone() {
            let path = format!("/apis/cranewing.dev/v1alpha1/gameservers/{name}");
            api.put(&path, serde_json::to_value(game_server(&name)).unwrap());
        }
        let servers = names.map(|name| (name, Arc::new(Mutex::new(Claims::new(1))))).collect();
        let mut region =
            Self { api, pods: Vec::new(), known: Vec::new(), servers, replicas: Vec::new(), port, listeners };
        for number in 0..replicas {
            region.start_replica(number).await;
        }
        region
    }

    async fn start_replica(&mut self, number: u8) {
        let address = Ipv4Addr::new(127, 0, 0, 2 + number);
        let (me, key) = (ReplicaId(u64::from(number) + 1), fresh_key().unwrap());
        let name = format!("operator-{number}");
        let pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": name,
                "namespace": NAMESPACE,
                "annotations": { labels::REPLICA: format!("{me} {}", key.1.to_base64()) },
            },
            "status": { "phase": "Running", "podIP": address.to_string() },
        });
        self.api.put(&format!("/api/v1/namespaces/{NAMESPACE}/pods/{name}"), pod.clone());
        self.known.push(pod);
        let (pods, writer) = store();
        self.pods.push(writer);
        self.tell_pods();
        let (game_servers, mut feed) = store();
        for name in self.servers.keys() {
            feed.apply_watcher_event(&Event::Apply(game_server(name)));
        }
        let (live, clock) = (Arc::new(LiveServers::new()), Clock::start());
        let setup = DeskSetup {
            client: self.api.client(),
            namespace: NAMESPACE.to_owned(),
            pod_name: name.clone(),
            me,
            key,
            pods,
            listener: self.listeners[usize::from(number)].take().unwrap(),
            port: self.port,
            game_servers,
            live: Arc::clone(&live),
            journal: Arc::new(Journal::new(clock)),
            metrics: Metrics::new().unwrap().allocations,
            clock,
        };
        let (desk, work) = Desk::new(setup);
        let stop = CancellationToken::new();
        let running = tokio::spawn(work.run(stop.clone()));
        for (name, server) in &self.servers {
            connect(&desk, (&live, clock), name, server).await;
        }
        self.replicas.push(Replica { desk, stop, running, pod: name });
    }

    /// Every replica sees every pod.
    fn tell_pods(&mut self) {
        for writer in &mut self.pods {
            for pod in &self.known {
                writer.apply_watcher_event(&Event::Apply(serde_json::from_value(pod.clone()).unwrap()));
            }
        }
    }

    /// The process ends at once, and nobody is told.
    fn kill(&self, number: usize) {
        self.replicas[number].running.abort();
    }

    /// The pod of a replica is deleted, which the API server knows and no watch has shown yet.
    fn delete_pod(&self, number: usize) {
        self.api.remove(&format!("/api/v1/namespaces/{NAMESPACE}/pods/{}", self.replicas[number].pod));
    }

    async fn ask(&self, replica: usize, key: &str) -> Outcome {
        let asked = Asked {
            key: key.into(),
            namespace: "games".to_owned(),
            labels: BTreeMap::new(),
            selectors: Vec::new(),
            spread: Spread::Packed,
        };
        timeout(PATIENCE, self.replicas[replica].desk.ask(asked, PATIENCE)).await.expect("an answer in time")
    }

    fn holders(&self, key: &str) -> BTreeSet<String> {
        let key: Key = key.into();
        let holds = |(_, server): &(&String, &Server)| server.lock().unwrap().holds(&key);
        self.servers.iter().filter(holds).map(|(name, _)| name.clone()).collect()
    }

    /// The epoch as it stands.
    fn epoch(&self) -> Option<Value> {
        serde_json::from_str(self.api.get(&epoch_path())?["data"]["epoch"].as_str()?).ok()
    }

    fn reign(&self) -> u64 {
        self.epoch().unwrap()["reign"].as_u64().unwrap()
    }

    /// Waits until so many replicas have what was answered.
    async fn until_in_sync(&self, count: usize) {
        let look = async {
            loop {
                let epoch = self.epoch();
                if epoch.is_some_and(|epoch| epoch["inSync"].as_array().is_some_and(|ids| ids.len() == count))
                {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, look).await.expect("they come in sync");
    }
}

fn epoch_path() -> String {
    format!("/api/v1/namespaces/{NAMESPACE}/configmaps/{}", labels::ALLOCATION)
}

/// Each replica has an address of its own, and all of them the same port.
async fn listen() -> (u16, Vec<Option<TcpListener>>) {
    loop {
        let first = TcpListener::bind((Ipv4Addr::new(127, 0, 0, 2), 0)).await.unwrap();
        let port = first.local_addr().unwrap().port();
        let mut listeners = vec![Some(first)];
        for number in 3..=4 {
            listeners.push(TcpListener::bind((Ipv4Addr::new(127, 0, 0, number), port)).await.ok());
        }
        // or somebody else has that port there
        if listeners.iter().all(Option::is_some) {
            return (port, listeners);
        }
    }
}

/// A stream of a server to a replica, at which it answers as ours does.
async fn connect(desk: &Desk, (live, clock): (&Arc<LiveServers>, Clock), name: &str, server: &Server) {
    let hello = Hello { sessions: 1, ..hello(name) };
    let (orders, _unused) = mpsc::channel(1);
    let stream = live.connect(clock.elapsed(), name, &hello, orders);
    let report = Report { seq: 1, phase: Phase::Ready, ..Report::default() };
    live.report(clock.elapsed(), (name, stream), &report);
    let (reporting, of) = (Arc::clone(live), name.to_owned());
    tokio::spawn(async move {
        let mut period = tokio::time::interval(Duration::from_millis(500));
        loop {
            period.tick().await;
            reporting.report(clock.elapsed(), (&of, stream), &report);
        }
    });
    let (words, mut said) = mpsc::channel(32);
    desk.stream(name.into(), 1, StreamWord::Began(words)).await;
    let holding = server.lock().unwrap().holding();
    desk.stream(name.into(), 1, StreamWord::Holding(holding)).await;
    let (desk, server, name) = (desk.clone(), Arc::clone(server), name.to_owned());
    tokio::spawn(async move {
        while let Some(word) = said.recv().await {
            let answer = {
                let mut claims = server.lock().unwrap();
                match word {
                    OperatorMessage::Greet { reign } => {
                        claims.greeted(reign);
                        Some(StreamWord::Holding(claims.holding()))
                    }
                    OperatorMessage::Propose { reign, key } => {
                        let judgement = claims.propose(reign, &key, true);
                        Some(StreamWord::Judged { key, judgement })
                    }
                    OperatorMessage::Release { reign, key } => {
                        claims.release(reign, &key);
                        None
                    }
                    _ => None,
                }
            };
            if let Some(answer) = answer {
                desk.stream(name.as_str().into(), 1, answer).await;
            }
        }
    });
}

fn given(outcome: Outcome) -> String {
    match outcome {
        Outcome::Given(given) => given.uid.to_string(),
        other => panic!("{other:?} gives nothing"),
    }
}

#[tokio::test]
async fn any_replica_answers_and_the_same_for_the_same_key() {
    let region = Region::start(3, 4).await;
    region.until_in_sync(3).await;
    let first = given(region.ask(0, "a").await);
    for replica in [1, 2, 0] {
        assert_eq!(given(region.ask(replica, "a").await), first, "asked at {replica}");
    }
    let others: BTreeSet<String> = [given(region.ask(1, "b").await), given(region.ask(2, "c").await)].into();
    assert!(others.len() == 2 && !others.contains(&first));
    for key in ["a", "b", "c"] {
        assert_eq!(region.holders(key).len(), 1);
    }
}

#[tokio::test]
async fn when_the_allocator_dies_the_next_answer_comes_within_two_seconds_and_no_key_gets_a_second_server() {
    let region = Region::start(3, 8).await;
    region.until_in_sync(3).await;
    let before = given(region.ask(1, "a").await);
    region.kill(0);
    let began = tokio::time::Instant::now();
    let next = given(region.ask(1, "b").await);
    let took = began.elapsed();
    assert!(took < NEXT_ANSWER_MAX, "{took:?}");
    assert_ne!(next, before);
    for replica in [1, 2] {
        assert_eq!(given(region.ask(replica, "a").await), before);
        assert_eq!(given(region.ask(replica, "b").await), next);
    }
    region.kill(1);
    assert_eq!(given(region.ask(2, "a").await), before);
    for key in ["a", "b"] {
        assert_eq!(region.holders(key).len(), 1, "{key}");
    }
}

#[tokio::test]
async fn when_all_have_died_whoever_begins_anew_hears_from_the_servers_what_they_hold() {
    let mut region = Region::start(1, 4).await;
    region.until_in_sync(1).await;
    let before = given(region.ask(0, "a").await);
    region.kill(0);
    region.delete_pod(0);
    region.start_replica(1).await;
    assert_eq!(given(region.ask(1, "a").await), before);
    assert_eq!(region.holders("a"), [before].into());
    region.replicas[1].stop.cancel();
}

#[tokio::test]
async fn an_epoch_that_is_deleted_under_the_allocator_is_written_anew_so_that_another_can_follow_it() {
    let region = Region::start(2, 4).await;
    region.until_in_sync(2).await;
    let before = given(region.ask(1, "a").await);
    region.api.remove(&epoch_path());
    region.until_in_sync(2).await;
    assert_eq!(given(region.ask(1, "a").await), before, "nothing was forgotten");
    region.kill(0);
    given(region.ask(1, "b").await);
    assert_eq!(given(region.ask(1, "a").await), before);
}

#[tokio::test]
async fn an_epoch_that_is_lost_or_goes_back_while_nobody_runs_is_begun_anew_beyond_what_servers_know() {
    for goes_back in [false, true] {
        let mut region = Region::start(2, 4).await;
        region.until_in_sync(2).await;
        let old = region.api.get(&epoch_path()).unwrap();
        let before = given(region.ask(1, "a").await);
        region.kill(0);
        let later = given(region.ask(1, "b").await);
        let reign = region.reign();
        region.kill(1);
        (0..2).for_each(|number| region.delete_pod(number));
        region.api.remove(&epoch_path());
        if goes_back {
            region.api.put(&epoch_path(), old);
        }
        region.start_replica(2).await;
        assert_eq!(given(region.ask(2, "a").await), before, "{goes_back}");
        assert_eq!(given(region.ask(2, "b").await), later, "{goes_back}");
        assert!(![before, later].contains(&given(region.ask(2, "c").await)), "{goes_back}");
        assert!(region.reign() > reign, "{goes_back}: servers would not heed an earlier one");
    }
}
