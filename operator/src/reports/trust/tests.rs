//! Whole rotations in virtual time, with real handshakes.

use super::*;
use crate::mock_api::{MockApi, secret_entry};
use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConnection};
use std::collections::{BTreeSet, VecDeque};
use std::io::{Read, Write};

const NAMESPACE: &str = "cranewing-system";
const SECRET: &str = "/api/v1/namespaces/cranewing-system/secrets/cranewing-report-ca";
const BUNDLE: &str = "/api/v1/namespaces/games/configmaps/cranewing-report-ca";
const START: Duration = Duration::from_secs(1_800_000_000);
const STEP: Duration = Duration::from_secs(30);
const MINUTE: Duration = Duration::from_secs(60);
const TERMS: Terms = Terms {
    lifetime: Duration::from_secs(45 * 60),
    overlap: Duration::from_secs(5 * 60),
    certificate_lifetime: Duration::from_secs(5 * 60),
};

#[derive(Debug)]
struct At(Duration);

impl TimeProvider for At {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(self.0))
    }
}

/// A replica of the operator.
struct Replica {
    trust: Arc<Trust>,
    rotation: Rotation,
    server: Arc<ServerConfig>,
}

impl Replica {
    async fn start(api: &MockApi, terms: Terms, now: Duration) -> Self {
        let metrics = Metrics::new().unwrap();
        let trust = Arc::new(Trust::open(api.client(), NAMESPACE, (terms, now), metrics).await.unwrap());
        let bundles = Arc::new(Bundles::new(api.client(), Arc::clone(&trust)));
        let rotation = Rotation::new(api.client(), NAMESPACE, Arc::clone(&trust), bundles);
        let server = trust.server_config(&[]).unwrap();
        Self { trust, rotation, server }
    }

    async fn turn(&self, now: Duration) -> Result<rotation::Turned, rotation::RotationError> {
        self.rotation.turn(now, &BTreeSet::from(["games".to_owned()])).await
    }

    /// What the watch brings.
    fn hear(&self, api: &MockApi) {
        let secret: Secret = serde_json::from_value(api.get(SECRET).unwrap()).unwrap();
        self.trust.learn(Authorities::from_secret(&secret).unwrap());
    }
}

/// A handshake with a game server that has this bundle.
fn connect(
    server: &Arc<ServerConfig>,
    bundle: &str,
    now: Duration,
) -> Result<(ClientConnection, ServerConnection), rustls::Error> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(bundle.as_bytes()) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().unwrap();
    let config = ClientConfig::builder_with_details(provider, Arc::new(At(now)))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_webpki_verifier(verifier)
        .with_no_client_auth();
    let name = ServerName::try_from(gameserver_contract::REPORT_TLS_NAME).unwrap();
    let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut server = ServerConnection::new(Arc::clone(server)).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        pass_on(&mut client, &mut server)?;
    }
    Ok((client, server))
}

/// Carries what either side has to say to the other.
fn pass_on(client: &mut ClientConnection, server: &mut ServerConnection) -> Result<(), rustls::Error> {
    let mut wire = Vec::new();
    client.write_tls(&mut wire).unwrap();
    server.read_tls(&mut wire.as_slice()).unwrap();
    server.process_new_packets()?;
    wire.clear();
    server.write_tls(&mut wire).unwrap();
    client.read_tls(&mut wire.as_slice()).unwrap();
    client.process_new_packets().map(drop)
}

/// What was seen over many lifetimes.
#[derive(Default)]
struct Seen {
    refused: Vec<(Duration, String)>,
    issuers: BTreeSet<String>,
    certificates: usize,
    bundle_certificates_max: usize,
    old_stream_lives: bool,
}

/// Two replicas that lead by turns, and a game server whose bundle is `late` behind, over `span`.
async fn watch_rotations(terms: Terms, late: Duration, span: Duration) -> Seen {
    let api = MockApi::default();
    let replicas = [Replica::start(&api, terms, START).await, Replica::start(&api, terms, START).await];
    replicas[0].turn(START).await.unwrap();
    let mut seen = Seen::default();
    let mut mounted: VecDeque<String> = VecDeque::new();
    let mut shown = String::new();
    let mut old_stream = connect(&replicas[0].server, &bundle(&api), START).unwrap();
    let mut since = Duration::ZERO;
    while since < span {
        let now = START + since;
        // The leader changes every seven steps, in the middle of whatever is under way.
        let leader = usize::try_from(since.as_secs() / STEP.as_secs() / 7 % 2).unwrap();
        replicas[leader].turn(now).await.unwrap();
        for replica in &replicas {
            replica.trust.refresh(now).unwrap();
        }
        mounted.push_back(bundle(&api));
        if mounted.len() > usize::try_from(late.as_secs() / STEP.as_secs()).unwrap() + 1 {
            mounted.pop_front();
        }
        for replica in &replicas {
            if let Err(error) = connect(&replica.server, &mounted[0], now) {
                seen.refused.push((since, error.to_string()));
            }
        }
        let newest = mounted.back().unwrap();
        seen.bundle_certificates_max =
            seen.bundle_certificates_max.max(newest.matches("BEGIN CERTIFICATE").count());
        let current = replicas[0].trust.shown.0.read().unwrap();
        let current = current.as_ref().unwrap();
        seen.issuers.insert(current.issuer.clone());
        let certificate = format!("{:?}", current.key.cert);
        seen.certificates += usize::from(certificate != shown);
        shown = certificate;
        // The other replica hears of a step by its watch only after it has shown its certificate once more.
        replicas[1 - leader].hear(&api);
        since += STEP;
    }
    let (client, server) = &mut old_stream;
    client.writer().write_all(b"report").unwrap();
    pass_on(client, server).unwrap();
    let mut said = [0; 6];
    seen.old_stream_lives = server.reader().read_exact(&mut said).is_ok() && &said == b"report";
    seen
}

fn bundle(api: &MockApi) -> String {
    api.get(BUNDLE).unwrap()["data"]["ca.crt"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_game_server_whose_bundle_is_late_connects_at_every_moment_of_three_rotations() {
    let seen = watch_rotations(TERMS, MINUTE * 4, MINUTE * 110).await;
    assert_eq!(seen.refused, []);
    assert_eq!(seen.issuers.len(), 4, "three successors took over");
    assert_eq!(seen.bundle_certificates_max, 2);
    assert!(seen.certificates > 20, "certificates are short-lived: {}", seen.certificates);
    assert!(seen.old_stream_lives, "a stream of before the first rotation goes on");
}

#[tokio::test]
async fn without_an_overlap_a_late_bundle_is_refused() {
    let hasty = Terms { overlap: Duration::ZERO, ..TERMS };
    let seen = watch_rotations(hasty, MINUTE * 4, MINUTE * 45).await;
    assert!(seen.refused.iter().any(|(_, error)| error.contains("UnknownIssuer")), "{:?}", seen.refused);
}

#[tokio::test]
async fn a_step_that_somebody_else_took_first_is_not_taken_again() {
    let api = MockApi::default();
    let (one, two) = (Replica::start(&api, TERMS, START).await, Replica::start(&api, TERMS, START).await);
    assert_eq!(one.trust.bundle(), two.trust.bundle(), "they agree from the start");
    let due = START + MINUTE * 31;
    let before = api.get(SECRET).unwrap();
    two.turn(due).await.unwrap();
    let after = api.get(SECRET).unwrap();

    // One decides over what was there before, and two's write comes between.
    api.put(SECRET, before);
    let read = api.get(SECRET).unwrap()["metadata"]["resourceVersion"].clone();
    api.fail(|seen| (seen.method == "PUT").then_some(409));
    api.take_seen();
    let turned = one.turn(due).await.unwrap();
    assert_eq!((turned.news, turned.look_again), (None, Duration::ZERO), "a conflict is no news");
    let seen = api.take_seen();
    let write = seen.iter().find(|seen| seen.method == "PUT").unwrap();
    assert_eq!(write.body["metadata"]["resourceVersion"], read, "the write names what it was decided over");
    assert_eq!(one.trust.known().view().len(), 1, "what was not kept is not used");

    api.heal();
    api.put(SECRET, after);
    one.turn(due).await.unwrap();
    assert_eq!(one.trust.known().view().len(), 2, "one successor, not two");
}

#[tokio::test]
async fn the_overlap_begins_when_the_bundle_has_reached_every_namespace() {
    let api = MockApi::default();
    let replica = Replica::start(&api, TERMS, START).await;
    let due = START + MINUTE * 31;
    replica.turn(due).await.unwrap();
    api.fail(|seen| seen.path.contains("configmaps").then_some(500));
    let error = replica.turn(due).await.unwrap_err();
    assert_eq!(error.to_string(), "failed to publish the certificate bundle in namespace games");
    assert_eq!(replica.trust.known().view()[1].published_at, None);
    api.heal();
    let later = due + MINUTE * 9;
    replica.turn(later).await.unwrap();
    assert_eq!(replica.trust.known().view()[1].published_at, Some(later));
}

/// The threat model's answer to an authority whose key was read: shorter terms for a quarter of an hour, then the usual ones.
#[tokio::test]
async fn a_stolen_authority_is_out_in_minutes_by_shorter_terms_and_no_server_is_refused() {
    let day = Duration::from_secs(24 * 3600);
    let usual = Terms { lifetime: day * 365, overlap: MINUTE * 60, certificate_lifetime: day };
    let api = MockApi::default();
    let replica = Replica::start(&api, usual, START).await;
    replica.turn(START).await.unwrap();
    let stolen = bundle(&api);
    let mut mounted = VecDeque::from(vec![stolen.clone(); 9]);
    let mut now = START + day * 40;
    for (terms, minutes) in [(TERMS, 15), (usual, 15)] {
        let replica = Replica::start(&api, terms, now).await;
        for _ in 0..minutes * 2 {
            replica.turn(now).await.unwrap();
            replica.trust.refresh(now).unwrap();
            mounted.push_back(bundle(&api));
            mounted.pop_front();
            connect(&replica.server, &mounted[0], now).unwrap();
            now += STEP;
        }
        assert!(!bundle(&api).contains(&stolen), "nobody trusts it any more");
    }
}

#[tokio::test]
async fn one_namespace_that_fails_keeps_no_other_from_its_bundle_and_one_that_ends_counts_no_more() {
    let api = MockApi::default();
    let replica = Replica::start(&api, TERMS, START).await;
    let namespaces = BTreeSet::from(["ending".to_owned(), "failing".to_owned(), "games".to_owned()]);
    let path = |seen: &crate::mock_api::Seen, namespace: &str| {
        seen.method == "PATCH" && seen.path.contains(&format!("/namespaces/{namespace}/configmaps"))
    };
    api.fail(move |seen| match seen {
        seen if path(seen, "ending") => Some(404),
        seen if path(seen, "failing") => Some(500),
        _ => None,
    });
    let error = replica.rotation.turn(START, &namespaces).await.unwrap_err();
    assert_eq!(error.to_string(), "failed to publish the certificate bundle in namespace failing");
    assert_eq!(bundle(&api), replica.trust.bundle(), "the one after it has its own");
    api.fail(move |seen| path(seen, "ending").then_some(404));
    replica.rotation.turn(START, &namespaces).await.unwrap();
}

#[tokio::test]
async fn a_secret_that_was_deleted_is_kept_again_as_it_was() {
    let api = MockApi::default();
    let replica = Replica::start(&api, TERMS, START).await;
    let bundle = replica.trust.bundle();
    api.remove(SECRET);
    replica.turn(START + MINUTE).await.unwrap();
    assert_eq!(secret_entry(&api.get(SECRET).unwrap(), "ca.crt"), bundle);
}

/// A namespace may go and come again under its name; whoever is new there brings that to light.
#[tokio::test]
async fn a_new_owner_finds_the_bundle_also_where_an_older_namespace_had_it() {
    let api = MockApi::default();
    let replica = Replica::start(&api, TERMS, START).await;
    let bundles = Bundles::new(api.client(), Arc::clone(&replica.trust));
    let gameservers = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/gameservers.cranewing.dev";
    let metadata = serde_json::json!({ "name": "gameservers.cranewing.dev", "uid": "definition" });
    api.put(gameservers, serde_json::json!({ "metadata": metadata }));
    for (owner, gone_before) in [("fleet", false), ("fleet-of-old", false), ("fleet-of-new", true)] {
        if gone_before {
            api.remove(BUNDLE);
        }
        bundles.ensure_for("games", owner.to_owned()).await.unwrap();
        let config_map = api.get(BUNDLE).unwrap();
        assert_eq!(config_map["metadata"]["ownerReferences"][0]["uid"], "definition");
    }
    api.take_seen();
    bundles.ensure_for("games", "fleet".to_owned()).await.unwrap();
    assert_eq!(api.take_briefs(), Vec::<String>::new(), "nothing is asked twice");
}

#[tokio::test]
async fn replicas_that_were_away_past_the_authoritys_end_start_with_one_new_one() {
    let api = MockApi::default();
    let old = Replica::start(&api, TERMS, START).await.trust.bundle();
    let later = START + TERMS.lifetime + MINUTE;
    api.take_seen();
    let (one, two) = tokio::join!(Replica::start(&api, TERMS, later), Replica::start(&api, TERMS, later));
    let writes = api.take_seen().iter().filter(|seen| seen.method == "PUT").count();
    assert_eq!(writes, 2, "both tried, and one was faster");
    assert_eq!(one.trust.bundle(), two.trust.bundle(), "they agree");
    assert_ne!(one.trust.bundle(), old);
    one.turn(later).await.unwrap();
    connect(&two.server, &bundle(&api), later).unwrap();
}

#[tokio::test]
async fn a_settled_authority_is_read_and_nothing_is_written() {
    let api = MockApi::default();
    let replica = Replica::start(&api, TERMS, START).await;
    replica.turn(START).await.unwrap();
    api.take_seen();
    let turned = replica.turn(START + MINUTE).await.unwrap();
    assert!(turned.look_again > MINUTE);
    assert_eq!(api.take_briefs(), [format!("GET {SECRET}")]);
}
