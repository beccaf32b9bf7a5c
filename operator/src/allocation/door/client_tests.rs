//! Our own client crate at the real door, over real connections.

use super::tests::{Doors, given};
use super::*;
use crate::allocation::words::{Asked, Outcome};
use crate::runtime::http::PROTOCOLS;
use operator_client::{Allocation, Ask, Client, Error, Settings};
use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::task::JoinHandle;

/// The operator's door, and a client of it with its files.
struct Both {
    doors: Doors,
    client: Client,
    directory: PathBuf,
    bundle: String,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

impl Both {
    async fn open(desk: Desk, change: impl FnOnce(&mut Settings)) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let directory =
            std::env::temp_dir().join(format!("cranewing-client-{}-{number}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let doors = Doors::before(desk);
        doors.allow(true);
        let trust = doors.trust().await;
        let (ca, token) = (directory.join("ca.crt"), directory.join("token"));
        let bundle = trust.bundle();
        fs::write(&ca, &bundle).unwrap();
        fs::write(&token, format!("{}\n", doors.token())).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let in_cluster = Settings::in_cluster("games", &ca, &token);
        let mut settings = Settings { dial: Some(listener.local_addr().unwrap().to_string()), ..in_cluster };
        change(&mut settings);
        let (stop, router) = (CancellationToken::new(), doors.router.clone());
        let acceptor = TlsAcceptor::from(trust.server_config(&PROTOCOLS).unwrap());
        let serving = tokio::spawn(serve_tls("a connection", (acceptor, listener), router, stop.clone()));
        Self { doors, client: Client::new(settings).unwrap(), directory, bundle, stop, serving }
    }

    /// One at which the first so many are told this, and the others are given a server; and the keys that were asked for.
    async fn busy(
        times: usize,
        outcome: Outcome,
        change: impl FnOnce(&mut Settings),
    ) -> (Self, Arc<Mutex<Vec<Asked>>>) {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&asked);
        let desk = Desk::scripted(move |asked| {
            let mut kept = kept.lock().unwrap();
            kept.push(asked.clone());
            if kept.len() > times { given() } else { outcome.clone() }
        });
        (Self::open(desk, change).await, asked)
    }

    async fn close(self) {
        self.stop.cancel();
        drop(self.client);
        self.serving.await.unwrap();
        fs::remove_dir_all(self.directory).unwrap();
    }
}

fn ask() -> Ask {
    Ask::new("match-1", "games").label("mode", "red")
}

#[tokio::test]
async fn who_is_busy_or_does_not_know_is_asked_again_with_the_same_key_until_there_is_an_answer() {
    for outcome in [Outcome::Busy, Outcome::TooLate] {
        let (both, asked) = Both::busy(2, outcome.clone(), |_| {}).await;
        let allocation = both.client.allocate(&ask()).await.unwrap();
        let Allocation::Given { server, tokens } = allocation else { panic!("{outcome:?}: {allocation:?}") };
        assert_eq!((server.name.as_str(), server.ports[0].port, tokens.len()), ("arena-0", 7000, 0));
        let asked = std::mem::take(&mut *asked.lock().unwrap());
        assert_eq!(asked.len(), 3, "{outcome:?}");
        assert!(
            asked.iter().all(|other| *other == asked[0]) && &*asked[0].key == "games/match-1",
            "{asked:?}"
        );
        both.close().await;
    }
}

#[tokio::test]
async fn it_is_given_up_after_so_many_attempts_or_so_long_and_told_what_came_of_the_last() {
    let (both, asked) = Both::busy(usize::MAX, Outcome::Busy, |settings| settings.attempts_max = 2).await;
    match both.client.allocate(&ask()).await.unwrap_err() {
        Error::NoAnswer { attempts: 2, last: Some(last), .. } => {
            assert_eq!(last.code(), Code::ResourceExhausted);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(asked.lock().unwrap().len(), 2);
    both.close().await;
    let patience = Duration::from_millis(200);
    let both = Both::open(Desk::mute(), |settings| settings.patience = patience).await;
    match both.client.allocate(&ask()).await.unwrap_err() {
        Error::NoAnswer { waited, .. } => assert!(waited >= patience && waited < patience * 20, "{waited:?}"),
        other => panic!("{other:?}"),
    }
    both.close().await;
}

#[tokio::test]
async fn every_end_is_told_and_none_of_them_is_asked_again() {
    let Outcome::Given(over) = given() else { panic!("it is given") };
    for (outcome, expected) in [
        (Outcome::NoServer, Allocation::None),
        (Outcome::Lost("u-0".into()), Allocation::Lost),
        (Outcome::Ended(over), Allocation::Ended),
    ] {
        let (both, asked) = Both::busy(usize::MAX, outcome, |_| {}).await;
        assert_eq!(both.client.allocate(&ask()).await.unwrap(), expected);
        assert_eq!(asked.lock().unwrap().len(), 1, "{expected:?}");
        both.close().await;
    }
    let (both, asked) = Both::busy(1, Outcome::Differs, |_| {}).await;
    assert!(matches!(both.client.allocate(&ask()).await, Err(Error::KeyInUse)));
    let wrong = both.client.allocate(&ask().label("a b", "")).await.unwrap_err();
    assert!(matches!(&wrong, Error::Invalid(said) if said.starts_with("matchLabels.a b: ")), "{wrong}");
    both.doors.allow(false);
    let elsewhere = Ask::new("k", "others");
    assert!(matches!(both.client.allocate(&elsewhere).await, Err(Error::Forbidden(_))));
    assert_eq!(asked.lock().unwrap().len(), 1);
    both.close().await;
}

#[tokio::test]
async fn a_token_that_is_renewed_counts_at_once() {
    let (both, _) = Both::busy(0, Outcome::Busy, |_| {}).await;
    let token = both.directory.join("token");
    let good = fs::read(&token).unwrap();
    fs::write(&token, "old").unwrap();
    assert!(matches!(both.client.allocate(&ask()).await, Err(Error::Unauthenticated(_))));
    fs::write(&token, good).unwrap();
    assert!(matches!(both.client.allocate(&ask()).await, Ok(Allocation::Given { .. })));
    both.close().await;
}

#[tokio::test]
async fn an_operator_of_another_authority_is_not_asked_until_the_bundle_has_it() {
    let (both, asked) = Both::busy(0, Outcome::Busy, |settings| settings.attempts_max = 2).await;
    let ca = both.directory.join("ca.crt");
    let (foreign, _) = Both::busy(0, Outcome::Busy, |_| {}).await;
    for (bundle, said) in
        [(&foreign.bundle, "invalid peer certificate"), (&String::new(), "there is no certificate in it")]
    {
        fs::write(&ca, bundle).unwrap();
        let Err(Error::NoAnswer { last: Some(last), .. }) = both.client.allocate(&ask()).await else {
            panic!("it was answered")
        };
        assert!(chain(&*last).contains(said), "{}", chain(&*last));
    }
    assert_eq!(asked.lock().unwrap().len(), 0);
    fs::write(&ca, format!("{}{}", foreign.bundle, both.bundle)).unwrap();
    assert!(matches!(both.client.allocate(&ask()).await, Ok(Allocation::Given { .. })));
    foreign.close().await;
    both.close().await;
}
