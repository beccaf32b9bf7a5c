//! Regions that link over loopback, in this process and by real TLS; in real time, which is the sockets'.

mod objects;
mod ways;

use super::digest::Origin;
use super::identity::tests::identity;
use super::message::Ask;
use super::peer::Peer;
use super::*;
use crate::mock_api::MockApi;
use crate::runtime::frame::{FrameReader, write_frame};
use kube::runtime::events::Reporter;
use kube::runtime::reflector::store::Writer;
use kube::runtime::watcher::Event;
use message::{Answer, Request};
use operator_core::regions::membership::{Reach, Source};
use prometheus::proto::{Metric, MetricFamily};
use serde_json::json;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::{TlsConnector, client::TlsStream};
use ways::other_address;

const LOOK_EACH: Duration = Duration::from_millis(10);

/// A replica of a region's operator.
pub(super) struct Region {
    pub(super) links: Arc<Links>,
    follower: Follower,
    keys: Identity,
    address: SocketAddr,
    api: MockApi,
    api_answers: Arc<AtomicBool>,
    _tasks: Tasks,
    regions: Writer<RegionCluster>,
    ballots: Writer<ConfigMap>,
    pub(super) fleets: Writer<Fleet>,
}

impl Region {
    pub(super) async fn start(name: &str) -> Self {
        Self::start_with(name, identity(name)).await
    }

    async fn start_with(name: &str, keys: Identity) -> Self {
        let (regions, mut writer) = Watched::<RegionCluster>::fed();
        let (fleets, fleet_feed) = Watched::<Fleet>::fed();
        let (ballots, mut ballot_feed) = Watched::<ConfigMap>::fed();
        // Of a region that is not new.
        let ballot = json!({
            "metadata": { "name": labels::BALLOT, "resourceVersion": "1" }, "data": { "state.json": "{}" },
        });
        ballot_feed.apply_watcher_event(&Event::Apply(serde_json::from_value(ballot).unwrap()));
        let object = json!({
            "metadata": { "name": name, "uid": format!("u-{name}"), "generation": 3 },
            "spec": { "regionId": name, "zones": ["a", "b", "c"], "vpcCidr": "10.10.0.0/16" },
            "status": { "health": "Healthy", "players": 7, "headroom": 40 },
        });
        writer.apply_watcher_event(&Event::Apply(serde_json::from_value(object).unwrap()));
        let (clock, metrics) = (Clock::start(), Metrics::new().unwrap());
        let me = name.parse().unwrap();
        let stores = LinkStores {
            region_clusters: regions.store().clone(),
            fleets: fleets.store().clone(),
            ballots: ballots.store().clone(),
            ..LinkStores::empty()
        };
        let links = Arc::new(Links::new(me, stores, metrics.clone(), clock));
        let origin = Origin { cluster: format!("c-{name}"), boot: random().unwrap(), responder_port: None };
        let (made, digest) = watch::channel(Arc::new(links.digest(&origin, 0)));
        let (table, mut tasks) = (Arc::clone(&links.table), Tasks::default());
        let pins = move |key: &identity::PublicKey| table.region_of(key).is_some();
        let endpoint = LinkEndpoint {
            acceptor: TlsAcceptor::from(raw_keys::server_config(PROTOCOL, &keys.key, pins).unwrap()),
            table: Arc::clone(&links.table),
            digest,
            links: Arc::clone(&links),
            places: Mutex::default(),
            metrics,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tasks.spawn("the link endpoint", |stop| endpoint.serve(listener, stop).map(Ok));
        let digesting = Arc::clone(&links);
        tasks.spawn("the digest", |stop| digest::run(digesting, origin, made, stop).map(Ok));
        let api_answers = Arc::new(AtomicBool::new(true));
        let (beating, answers) = (Arc::clone(&links), Arc::clone(&api_answers));
        tasks.spawn("the API server's answers", |_| async move {
            loop {
                if answers.load(Ordering::Relaxed) {
                    beating.pulse.beat(clock.elapsed());
                }
                sleep(LOOK_EACH).await;
            }
        });
        let api = MockApi::default();
        let reporter = Reporter { controller: "cranewing-operator".to_owned(), instance: None };
        let recorder = Recorder::new(api.client(), reporter);
        let follower = Follower::new(Arc::clone(&links), copy_of(&keys), recorder);
        Self {
            links,
            follower,
            keys,
            address,
            api,
            api_answers,
            _tasks: tasks,
            regions: writer,
            ballots: ballot_feed,
            fleets: fleet_feed,
        }
    }

    /// As another one registers it.
    pub(super) fn peer(&self) -> Peer {
        known_as(self.links.me.as_str(), &[self.address], &self.keys)
    }

    pub(super) async fn register(&mut self, peers: &[Peer]) {
        let secrets: Vec<Arc<Secret>> = peers.iter().map(|peer| Arc::new(peer.to_secret())).collect();
        self.follower.sync(&secrets).await.unwrap();
    }

    /// A letter for each registered region, by name: how it is judged here.
    pub(super) fn standings(&self) -> String {
        let look = self.links.look(self.links.clock.elapsed());
        let letter = |judgement: &Judgement| match judgement.standing {
            Standing::Connected => 'C',
            Standing::Unreachable => 'U',
            Standing::Isolated => 'I',
            Standing::Degraded(_) => 'D',
            Standing::Gone => 'G',
        };
        look.judgements.values().map(letter).collect()
    }

    fn known(&self, region: &str) -> Known {
        self.links.table.known(self.links.clock.elapsed())[&region.parse().unwrap()].clone()
    }

    fn refused(&self, reason: &str) -> u64 {
        self.links.metrics.links.refused.with_label_values(&[reason]).get()
    }

    /// A link to this region with these keys.
    async fn dial(&self, keys: &Identity) -> TlsStream<TcpStream> {
        let config = raw_keys::client_config(PROTOCOL, &keys.key, self.keys.public_keys.clone()).unwrap();
        let socket = TcpStream::connect(self.address).await.unwrap();
        TlsConnector::from(config).connect("x".try_into().unwrap(), socket).await.unwrap()
    }
}

fn known_as(region: &str, addresses: &[SocketAddr], keys: &Identity) -> Peer {
    Peer {
        region: region.parse().unwrap(),
        addresses: addresses.iter().map(ToString::to_string).collect(),
        keys: keys.public_keys.clone(),
        responders: Vec::new(),
    }
}

fn copy_of(keys: &Identity) -> Identity {
    Identity {
        region: keys.region.clone(),
        key: Arc::clone(&keys.key),
        public_keys: keys.public_keys.clone(),
    }
}

pub(super) async fn until(what: &str, is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            sleep(LOOK_EACH).await;
        }
    };
    assert!(timeout(Duration::from_secs(30), waiting).await.is_ok(), "never: {what}");
}

async fn ask(stream: &mut TlsStream<TcpStream>, ask: Ask) -> Option<Answer> {
    write_frame(stream, &Request { ask, offset: 0 }).await.ok()?;
    FrameReader::new(stream).read().await.ok()
}

/// Three regions of which each knows the others.
async fn three() -> [Region; 3] {
    let mut regions = [Region::start("jp").await, Region::start("kr").await, Region::start("sg").await];
    let peers: Vec<Peer> = regions.iter().map(Region::peer).collect();
    for region in &mut regions {
        let others: Vec<Peer> = peers.iter().filter(|peer| peer.region != region.links.me).cloned().collect();
        region.register(&others).await;
    }
    regions
}

#[tokio::test]
async fn regions_that_know_each_other_read_each_other() {
    let regions = three().await;
    let (_sender, registered) = watch::channel(true);
    regions[0].links.settle(registered).await;
    assert_eq!(regions[0].known("kr").reach, Some(Reach::Reads), "it began by knowing that");
    until("all are connected", || regions.iter().all(|region| region.standings() == "CCC")).await;
    let jp = regions[1].known("jp");
    let (digest, _) = jp.last.clone().unwrap();
    assert_eq!((digest.cluster.as_str(), digest.figures.as_ref().unwrap().players), ("c-jp", 7));
    until("its object is here", || regions[1].known("jp").objects.is_some()).await;
    let objects = regions[1].known("jp").objects.unwrap();
    assert_eq!((objects.version.uid.as_str(), objects.version.generation), ("u-jp", 3));
    assert_eq!(objects.region_cluster.as_ref().unwrap().region_id, "jp");
    assert!(jp.link.is_some());
    let up = &regions[1].links.metrics.links.up;
    until("the metrics say so", || up.with_label_values(&["jp"]).get() == 1).await;
    assert!(regions[1].links.metrics.links.digests.with_label_values(&["jp"]).get() > 0);
}

#[tokio::test]
async fn a_region_that_goes_is_gone_by_the_votes_of_the_others() {
    let [jp, kr, sg] = three().await;
    until("all are connected", || [&jp, &kr, &sg].iter().all(|region| region.standings() == "CCC")).await;
    drop(sg);
    until("it is gone", || jp.standings() == "CCG" && kr.standings() == "CCG").await;
    let look = jp.links.look(jp.links.clock.elapsed());
    assert_eq!(look.judgements[&"sg".parse().unwrap()].votes.to_string(), "jp Silent, kr Silent");
}

#[tokio::test]
async fn a_region_says_itself_that_its_api_server_is_away_and_all_place_by_that() {
    let [jp, kr, sg] = three().await;
    sg.api_answers.store(false, Ordering::Relaxed);
    until("the others know", || jp.standings() == "CCD" && kr.standings() == "CCD").await;
    let look = jp.links.look(jp.links.clock.elapsed());
    assert_eq!(look.judgements[&sg.links.me].standing, Standing::Degraded(Source::OwnWord));
    assert_eq!(sg.standings(), "CCC", "it sees the others all the same");
    let candidate = |standing| Candidate { standing, headroom: 40, drained: false };
    let [others, away] = [Standing::Connected, Standing::Degraded(Source::OwnWord)].map(candidate);
    let candidates =
        ["jp", "kr", "sg"].map(|region| region.parse().unwrap()).into_iter().zip([others, others, away]);
    let candidates: BTreeMap<RegionId, Candidate> = candidates.collect();
    assert_eq!((jp.links.now(), sg.links.now()), (candidates.clone(), candidates), "all place by the same");
}

#[tokio::test]
async fn a_key_that_nobody_registered_is_refused_in_the_handshake_and_counted() {
    let (jp, mut kr) = (Region::start("jp").await, Region::start("kr").await);
    // kr knows jp, and jp does not know kr.
    kr.register(&[jp.peer()]).await;
    until("it is refused", || jp.refused("unknown_key") >= 2).await;
    assert!(kr.known("jp").last.is_none());
    // And jp shows another key than kr was told.
    let stranger = known_as("jp", &[jp.address], &identity("jp"));
    let before = jp.refused("tls");
    kr.register(&[stranger]).await;
    until("it is hung up on", || jp.refused("tls") > before).await;
    assert!(kr.known("jp").last.is_none());
}

#[tokio::test]
async fn keys_change_without_a_gap() {
    let (jp, next, mut kr) =
        (Region::start("jp").await, Region::start("jp").await, Region::start("kr").await);
    for replica in [&jp, &next] {
        replica.links.table.register(Duration::ZERO, [Arc::new(kr.peer())]);
    }
    let mut both = jp.peer();
    both.addresses.extend(next.peer().addresses);
    both.keys.extend(next.peer().keys);
    let boot = |kr: &Region| kr.known("jp").last.map(|(digest, _)| digest.boot);
    kr.register(&[jp.peer()]).await;
    until("the old key counts", || boot(&kr).is_some()).await;
    let old = boot(&kr);
    kr.register(&[both]).await;
    drop(jp);
    until("the new one does", || {
        assert_eq!(kr.known("jp").reach, Some(Reach::Reads), "at no moment it is not read");
        boot(&kr) != old
    })
    .await;
    kr.register(&[next.peer()]).await;
    assert_eq!(kr.known("jp").reach, Some(Reach::Reads));
}

#[tokio::test]
async fn a_peer_that_is_let_go_is_answered_no_more() {
    let (jp, kr) = (Region::start("jp").await, Region::start("kr").await);
    jp.links.table.register(Duration::ZERO, [Arc::new(kr.peer())]);
    let mut link = jp.dial(&kr.keys).await;
    assert!(ask(&mut link, Ask::Digest).await.unwrap().digest.is_some());
    assert_eq!(ask(&mut link, Ask::Unknown).await.unwrap(), Answer::default());
    jp.links.table.register(Duration::ZERO, []);
    assert!(ask(&mut link, Ask::Digest).await.is_none());
}

#[tokio::test]
async fn a_peer_asks_no_faster_than_it_may_and_holds_no_more_links_than_it_may() {
    let (jp, kr) = (Region::start("jp").await, Region::start("kr").await);
    jp.links.table.register(Duration::ZERO, [Arc::new(kr.peer())]);
    let mut links = Vec::new();
    for _ in 0..33 {
        links.push(jp.dial(&kr.keys).await);
    }
    until("one is too many", || jp.refused("too_many") == 1).await;
    let began = jp.links.clock.elapsed();
    for _ in 0..41 {
        ask(&mut links[0], Ask::Digest).await.unwrap();
    }
    let took = jp.links.clock.elapsed().saturating_sub(began);
    assert!(took >= endpoint::ANSWERS_APART * 39, "{took:?}");
}

/// As on a rollout: the way to the node is there, and another replica answers on it.
#[tokio::test]
async fn a_link_that_breaks_is_dialled_anew_where_it_stood_before_any_other_address() {
    let (jp, mut kr) = (Region::start("jp").await, Region::start("kr").await);
    jp.links.table.register(Duration::ZERO, [Arc::new(kr.peer())]);
    let (good, broken) = other_address(jp.address).await;
    let blackhole = TcpListener::bind("127.0.0.1:0").await.unwrap();
    kr.register(&[known_as("jp", &[good, blackhole.local_addr().unwrap()], &jp.keys)]).await;
    let heard = || kr.known("jp").last.map_or(0, |(digest, _)| digest.sequence);
    until("it is read", || heard() > 0).await;
    for _ in 0..2 {
        let before = heard();
        until("it is read for a while", || heard() >= before + 2).await;
        let before = heard();
        broken.notify_waiters();
        until("it is read again", || {
            assert_eq!(kr.known("jp").reach, Some(Reach::Reads), "at no moment it is not");
            heard() > before
        })
        .await;
    }
    assert!(timeout(LOOK_EACH, blackhole.accept()).await.is_err(), "nobody was dialled there");
}

#[tokio::test]
async fn a_region_that_left_leaves_no_metrics_not_even_by_a_look_from_before() {
    let kr = Region::start("kr").await;
    let shown = || {
        let gathered = kr.links.metrics.registry.gather();
        let metrics = gathered.iter().flat_map(MetricFamily::get_metric);
        let mut labels = metrics.flat_map(Metric::get_label);
        labels.any(|label| label.value() == "jp")
    };
    kr.links.table.register(kr.links.clock.elapsed(), [Arc::new(peer_of(&kr, "jp"))]);
    let now = kr.links.clock.elapsed();
    let before = kr.links.look(now);
    kr.links.export(now, &before, &View::default());
    assert!(shown());
    kr.links.table.register(kr.links.clock.elapsed(), []);
    kr.links.export(now, &before, &View::default());
    until("nothing of it is shown", || !shown()).await;
}

/// How a peer is bad.
#[derive(Clone, Copy)]
enum Manner {
    NoHandshake,
    NoAnswer,
    ByteByByte,
}

/// Accepts links and is bad.
async fn misbehave(keys: &Identity, manner: Manner) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = TlsAcceptor::from(raw_keys::server_config(PROTOCOL, &keys.key, |_| true).unwrap());
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if matches!(manner, Manner::NoHandshake) {
                    std::future::pending::<()>().await;
                }
                let mut stream = acceptor.accept(socket).await?;
                if matches!(manner, Manner::NoAnswer) {
                    std::future::pending::<()>().await;
                }
                stream.write_all(&1000_u32.to_be_bytes()).await?;
                loop {
                    stream.write_all(&[0xc0]).await?;
                    stream.flush().await?;
                    sleep(Duration::from_millis(100)).await;
                }
                #[expect(unreachable_code, reason = "it says what the block returns")]
                Ok::<_, std::io::Error>(())
            });
        }
    });
    address
}

#[tokio::test]
async fn bad_peers_delay_nobody() {
    let (jp, mut kr) = (Region::start("jp").await, Region::start("kr").await);
    jp.links.table.register(Duration::ZERO, [Arc::new(kr.peer())]);
    let mut peers = vec![jp.peer()];
    for (name, manner) in
        [("deaf", Manner::NoHandshake), ("mute", Manner::NoAnswer), ("slow", Manner::ByteByByte)]
    {
        let keys = identity(name);
        peers.push(known_as(name, &[misbehave(&keys, manner).await], &keys));
    }
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    peers.push(known_as("away", &[nobody], &identity("away")));
    kr.register(&peers).await;
    until("the good one is read", || kr.known("jp").reach == Some(Reach::Reads)).await;
    until("the bad ones are silent", || {
        assert_eq!(kr.known("jp").reach, Some(Reach::Reads), "all the while");
        ["deaf", "mute", "slow", "away"].iter().all(|bad| kr.known(bad).reach == Some(Reach::Silent))
    })
    .await;
}

#[tokio::test]
async fn a_peer_whose_responder_alone_answers_is_not_silent() {
    let mut kr = Region::start("kr").await;
    let responder = crate::responder::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let responders = vec![responder.local_addr().unwrap()];
    kr.register(&[Peer { responders, ..known_as("jp", &[nobody], &identity("jp")) }]).await;
    let mut tasks = Tasks::default();
    tasks.spawn("the responder", |_| async move { crate::responder::respond(&responder).await });
    let (table, clock) = (Arc::clone(&kr.links.table), kr.links.clock);
    tasks.spawn("the probes", move |stop| prober::run(table, random_key().unwrap(), clock, stop));
    until("it answers", || kr.known("jp").reach == Some(Reach::Answers)).await;
    assert!(kr.known("jp").udp.is_some() && kr.known("jp").lost.0 == 0);
}

#[tokio::test]
async fn a_bad_secret_is_told_once_by_its_field_and_the_others_count() {
    let mut kr = Region::start("kr").await;
    let [good, mut bad, mut again] = ["jp", "sg", "jp"].map(|region| peer_of(&kr, region).to_secret());
    bad.data.as_mut().unwrap().remove("addresses");
    again.metadata.name = Some("zz".to_owned());
    let own = kr.peer().to_secret();
    let secrets = [again, good, bad, own].map(Arc::new);
    for _ in 0..3 {
        kr.follower.sync(&secrets).await.unwrap();
    }
    let notes: Vec<String> =
        kr.api.take_seen().iter().map(|seen| seen.body["note"].as_str().unwrap().to_owned()).collect();
    assert_eq!(
        notes,
        [
            "label cranewing.dev/peer: `kr` is this region itself",
            "addresses is missing",
            "label cranewing.dev/peer: `jp` is registered twice; the first Secret by name counts",
        ]
    );
    assert_eq!(kr.links.table.known(Duration::ZERO).len(), 2);
}

/// Another region where this one's address is, with a key of its own.
fn peer_of(region: &Region, name: &str) -> Peer {
    known_as(name, &[region.address], &identity(name))
}

#[tokio::test]
async fn of_two_secrets_of_a_region_the_first_by_name_counts_in_whatever_order_they_come() {
    let mut kr = Region::start("kr").await;
    let (first, second) = (peer_of(&kr, "jp"), peer_of(&kr, "jp"));
    let mut later = second.to_secret();
    later.metadata.name = Some("zz".to_owned());
    let [one, two] = [first.to_secret(), later].map(Arc::new);
    for secrets in [[&one, &two], [&two, &one]] {
        kr.follower.sync(&secrets.map(Arc::clone)).await.unwrap();
        let counts = [&first, &second].map(|peer| kr.links.table.region_of(&peer.keys[0]).is_some());
        assert_eq!(counts, [true, false]);
    }
}

#[tokio::test]
async fn a_region_that_is_one_too_many_does_not_count_however_its_secret_is() {
    let mut kr = Region::start("kr").await;
    let bad = |number: u32| {
        let mut secret = known_as(&format!("r{number}"), &[kr.address], &kr.keys).to_secret();
        secret.data = None;
        Arc::new(secret)
    };
    let secrets: Vec<Arc<Secret>> = (0..70).map(bad).collect();
    kr.follower.sync(&secrets).await.unwrap();
    assert_eq!(kr.links.table.known(Duration::ZERO).len(), 63);
}

/// A key that is taken out of a Secret is not to be trusted for as long as something else there is wrong.
#[tokio::test]
async fn a_key_that_a_secret_no_longer_names_is_not_taken_whatever_else_is_wrong_in_it() {
    let mut kr = Region::start("kr").await;
    let (old, next) = (peer_of(&kr, "jp"), peer_of(&kr, "jp"));
    kr.register(std::slice::from_ref(&old)).await;
    let mut secret = next.to_secret();
    secret.data.as_mut().unwrap().remove("addresses");
    kr.follower.sync(&[Arc::new(secret)]).await.unwrap();
    let regions = [&old, &next].map(|peer| kr.links.table.region_of(&peer.keys[0]));
    assert_eq!(regions, [None, Some(old.region)]);
}

/// Or a slip of the pen in one of three regions' Secrets would let one alone be a majority of the two that are left.
#[tokio::test]
async fn a_secret_that_is_not_understood_still_registers_its_region() {
    let mut kr = Region::start("kr").await;
    let jp = known_as("jp", &[kr.address], &identity("jp"));
    let mut bad = [jp.to_secret(), known_as("sg", &[kr.address], &identity("sg")).to_secret()];
    for secret in &mut bad {
        secret.data = None;
    }
    let [bad_jp, bad_sg] = bad.map(Arc::new);
    kr.register(std::slice::from_ref(&jp)).await;
    kr.follower.sync(&[bad_jp, bad_sg]).await.unwrap();
    assert_eq!(kr.links.table.known(Duration::ZERO).len(), 2);
    assert_eq!(kr.links.table.region_of(&jp.keys[0]), None, "no Secret names its key");
}
