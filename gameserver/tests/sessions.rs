//! What a server says to those who allocate it: the real program against a replica that a test speaks for.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up must stop")]

mod common;

use common::operator::{Authority, Replica, Stream, start_again, start_with};
use common::{Player, Players, Server};
use gameserver::random_bytes;
use gameserver_contract::{Holding, Judgement, Key, OperatorMessage, Phase, ServerMessage, Verdict};

/// A stream to a server that is ready, what it said that it holds, and its key.
fn ready(replica: &Replica) -> (Stream, Holding, [u8; 32]) {
    let (mut stream, _) = replica.accept();
    let key = random_bytes().unwrap();
    stream.welcome(&[replica], key);
    let holding = holding(&mut stream);
    stream.report("it is ready", |report| report.phase == Phase::Ready);
    (stream, holding, key)
}

/// Reads on until it is no report.
fn said(stream: &mut Stream) -> ServerMessage {
    loop {
        match stream.read().unwrap() {
            ServerMessage::Report(_) => {}
            other => return other,
        }
    }
}

fn holding(stream: &mut Stream) -> Holding {
    match said(stream) {
        ServerMessage::Holding(holding) => holding,
        other => panic!("{other:?} is not what it holds"),
    }
}

fn propose(stream: &mut Stream, reign: u64, name: &str) -> Judgement {
    let key: Key = name.into();
    stream.say(&OperatorMessage::Propose { reign, key: key.clone() });
    match said(stream) {
        ServerMessage::Judged { key: of, judgement } if of == key => judgement,
        other => panic!("{other:?} is no answer to {name}"),
    }
}

fn holds(reign: u64, keys: &[&str], ended: &[&str]) -> Holding {
    let set = |names: &[&str]| names.iter().map(|name| Key::from(*name)).collect();
    Holding { reign, keys: set(keys), ended: set(ended) }
}

/// A directory that is gone with the test.
struct Directory(std::path::PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("cranewing-sessions-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// Rules 10 and 12: what a server has taken it still holds when its container starts again, and whoever allocates by then hears it.
#[test]
fn a_server_keeps_its_word_over_a_crash_and_takes_no_second_key() {
    let authority = Authority::new();
    let replica = Replica::new(&authority);
    let directory = Directory::new("crash");
    let more = ["--state-dir", directory.path(), "--pod-uid", "pod"];
    let (server, files) = start_with(replica.address(), &authority.bundle, &more);
    let (mut stream, holding_first, _) = ready(&replica);
    assert_eq!(holding_first, holds(0, &[], &[]));
    let verdict = |verdict| Judgement { reign: 3, verdict };
    assert_eq!(propose(&mut stream, 3, "a"), verdict(Verdict::Taken));
    assert_eq!(propose(&mut stream, 3, "b"), verdict(Verdict::Full));
    assert_eq!(propose(&mut stream, 2, "a"), verdict(Verdict::Overruled));
    stream.report("it has a session", |report| report.sessions == 1);
    server.signal("-KILL");
    drop(server);

    let again = start_again(replica.address(), &files, &more);
    let (mut stream, holding_again, _) = ready(&replica);
    assert_eq!(holding_again, holds(3, &["a"], &[]));
    assert!((again.metric("gameserver_sessions") - 1.0).abs() < f64::EPSILON);
    stream.say(&OperatorMessage::Greet { reign: 4 });
    assert_eq!(holding(&mut stream), holds(4, &["a"], &[]));
    stream.say(&OperatorMessage::Release { reign: 4, key: "a".into() });
    assert_eq!(propose(&mut stream, 4, "b"), Judgement { reign: 4, verdict: Verdict::Taken });
}

/// Rule 11: who never comes frees the server.
#[test]
fn a_session_for_which_nobody_comes_is_over_and_every_replica_hears_of_it() {
    let authority = Authority::new();
    let (one, two) = (Replica::new(&authority), Replica::new(&authority));
    let (server, _files) = start_with(one.address(), &authority.bundle, &["--join-deadline", "0.3"]);
    let key = random_bytes().unwrap();
    let (mut to_one, _) = one.accept();
    to_one.welcome(&[&one, &two], key);
    let (mut to_two, _) = two.accept();
    to_two.welcome(&[&one, &two], key);
    assert_eq!((holding(&mut to_one), holding(&mut to_two)), (holds(0, &[], &[]), holds(0, &[], &[])));
    assert_eq!(propose(&mut to_one, 1, "a").verdict, Verdict::Taken);
    for stream in [&mut to_one, &mut to_two] {
        assert_eq!(said(stream), ServerMessage::Over { key: "a".into() });
    }
    let unused = server.metric("gameserver_sessions_ended_total{reason=\"unused\"}");
    assert!((unused - 1.0).abs() < f64::EPSILON);
    assert_eq!(propose(&mut to_one, 1, "a").verdict, Verdict::Ended, "and is not taken again");
}

#[test]
fn a_session_lasts_while_somebody_is_here_and_a_server_that_drains_takes_none() {
    let authority = Authority::new();
    let replica = Replica::new(&authority);
    let more = ["--join-deadline", "2", "--sessions", "2"];
    let (server, _files): (Server, _) = start_with(replica.address(), &authority.bundle, &more);
    let (mut stream, _, key) = ready(&replica);
    assert_eq!(propose(&mut stream, 1, "a").verdict, Verdict::Taken);
    let mut players = Players::new(1, server.udp, &key);
    let clock = gameserver_sys::Clock::start();
    players.play_until("longer than nobody may stay away", |_| {
        clock.monotonic() > std::time::Duration::from_secs(3)
    });
    assert!((server.metric("gameserver_sessions") - 1.0).abs() < f64::EPSILON);
    stream.say(&OperatorMessage::Drain { order: 1 });
    stream.report("it drains", |report| report.phase == Phase::Draining);
    assert_eq!(propose(&mut stream, 1, "b").verdict, Verdict::Full);
    assert_eq!(propose(&mut stream, 1, "a").verdict, Verdict::Taken, "what it holds it says again");
}

/// B22: what an outdated server holds goes on, and nothing follows it, until it is not outdated any more.
#[test]
fn an_outdated_server_keeps_what_it_holds_and_takes_nothing_new() {
    let authority = Authority::new();
    let replica = Replica::new(&authority);
    let (server, _files): (Server, _) =
        start_with(replica.address(), &authority.bundle, &["--sessions", "2"]);
    let (mut stream, _, key) = ready(&replica);
    assert_eq!(propose(&mut stream, 1, "a").verdict, Verdict::Taken);
    stream.say(&OperatorMessage::Outdated { is_outdated: true });
    stream.report("it has heard that", |report| report.outdated && report.phase == Phase::Ready);
    assert!((server.metric("gameserver_outdated") - 1.0).abs() < f64::EPSILON);
    assert!(server.get("/health").1.contains("\"outdated\":true"));
    assert_eq!(propose(&mut stream, 1, "b").verdict, Verdict::Full);
    assert_eq!(propose(&mut stream, 1, "a").verdict, Verdict::Taken, "what it holds it says again");
    let mut players = Players::new(1, server.udp, &key);
    players.play_until("a player comes for what it holds", |players| players.iter().all(Player::is_playing));
    stream.say(&OperatorMessage::Outdated { is_outdated: false });
    stream.report("it has heard that too", |report| !report.outdated);
    assert_eq!(propose(&mut stream, 1, "b").verdict, Verdict::Taken);
}
