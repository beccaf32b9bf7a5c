//! What is known of servers by their streams, case by case.

use super::*;
use gameserver_contract::CONTRACT_VERSION;
use operator_core::awake::LOOKS_APART_MAX;

/// Of the game server of this name in `games`, whose uid is its name: for a hundred players, and no sessions. It cannot be told that it is outdated.
pub(crate) fn hello(name: &str) -> Hello {
    Hello {
        contract_version: CONTRACT_VERSION,
        server_version: "0.1.0".to_owned(),
        token: String::new(),
        namespace: "games".to_owned(),
        game_server: name.to_owned(),
        game_server_uid: name.to_owned(),
        boot_unix_ms: 1,
        backend: Backend::Mmsg,
        tick_hz: 64,
        capacity: 100,
        drain_order: None,
        sessions: 0,
        hears_outdated: false,
    }
}

/// Of the server that these tests know, at its first or a later start.
fn begun(boot_unix_ms: u64) -> Hello {
    Hello { boot_unix_ms, ..hello("u") }
}

fn report(phase: Phase, players: u32) -> Report {
    Report { seq: 1, phase, players, cpu_millis: 5, ..Report::default() }
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn connected() -> (LiveServers, mpsc::Receiver<OperatorMessage>, u64) {
    let live = LiveServers::new();
    let (orders, received) = mpsc::channel(ORDERS_MAX);
    let stream = live.connect(at(0), "u", &begun(1), orders);
    (live, received, stream)
}

#[test]
fn an_older_stream_that_ends_does_not_disconnect_the_newer_one() {
    let (live, _received, first) = connected();
    let (orders, _received) = mpsc::channel(ORDERS_MAX);
    let second = live.connect(at(1), "u", &begun(1), orders);
    live.disconnect(at(2), "u", first);
    assert!(live.get(at(2), "u").unwrap().connected);
    live.disconnect(at(2), "u", second);
    assert!(!live.get(at(2), "u").unwrap().connected);
}

#[test]
fn a_drain_is_complete_only_by_its_own_number() {
    let (live, mut received, stream) = connected();
    assert_eq!(live.order_drain("u", 7), Some(7));
    assert_eq!(received.try_recv().unwrap(), OperatorMessage::Drain { order: 7 });
    live.drained(at(1), ("u", stream), 6);
    assert!(!live.get(at(1), "u").unwrap().drained);
    live.drained(at(1), ("u", stream), 7);
    assert!(live.get(at(1), "u").unwrap().drained);
}

#[test]
fn a_process_that_restarted_has_no_players_and_no_order() {
    let (live, _received, stream) = connected();
    live.report(at(1), ("u", stream), &report(Phase::Ready, 9));
    assert_eq!(live.order_drain("u", 7), Some(7));
    let (orders, _received) = mpsc::channel(ORDERS_MAX);
    live.connect(at(2), "u", &begun(2), orders);
    let snapshot = live.get(at(2), "u").unwrap();
    assert_eq!(
        (snapshot.players, snapshot.drain_ordered, snapshot.stream.phase),
        (0, false, Phase::Starting)
    );
}

#[test]
fn a_server_is_told_once_a_stream_whether_it_is_outdated_if_it_knows_it_otherwise() {
    let live = LiveServers::new();
    let begin = |second: u64, hello: &Hello| {
        let (orders, received) = mpsc::channel(ORDERS_MAX);
        (live.connect(at(second), "u", hello, orders), received)
    };
    let hears = Hello { hears_outdated: true, sessions: 1, ..begun(1) };
    let (_, mut received) = begin(0, &begun(1));
    assert!(!live.tell_outdated(at(0), "u", true), "one that knows nothing of it");
    assert!(received.try_recv().is_err());
    let (stream, mut received) = begin(1, &hears);
    let mut tell = |live: &LiveServers, is_outdated| {
        let told = live.tell_outdated(at(1), "u", is_outdated);
        assert_eq!(
            told,
            received.try_recv() == Ok(OperatorMessage::Outdated { is_outdated }),
            "{is_outdated}"
        );
        told
    };
    assert!(!tell(&live, false), "as it is from the first");
    assert_eq!(
        [tell(&live, true), tell(&live, true), tell(&live, false), tell(&live, true)],
        [true, false, true, true]
    );
    live.report(at(2), ("u", stream), &Report { outdated: true, ..report(Phase::Ready, 0) });
    assert_eq!(live.uses(at(2), &["u"])[0].unwrap().takes, 0, "it is chosen for nothing");
    live.forget_orders();
    assert!(!tell(&live, true), "whoever leads next reads it");
    let (_, mut received) = begin(3, &hears);
    assert!(live.tell_outdated(at(3), "u", false), "the last word may have been lost");
    assert_eq!(received.try_recv(), Ok(OperatorMessage::Outdated { is_outdated: false }));
    let (_, mut received) = begin(4, &Hello { boot_unix_ms: 2, ..hears });
    assert!(live.tell_outdated(at(4), "u", true), "another process knows nothing of it");
    assert_eq!(received.try_recv(), Ok(OperatorMessage::Outdated { is_outdated: true }));
}

#[test]
fn a_server_that_was_told_otherwise_since_is_told_again() {
    let live = LiveServers::new();
    let (orders, mut received) = mpsc::channel(ORDERS_MAX);
    let hello = Hello { hears_outdated: true, sessions: 1, ..begun(1) };
    let stream = live.connect(at(0), "u", &hello, orders);
    let says = |second, outdated| {
        live.report(at(second), ("u", stream), &Report { outdated, ..report(Phase::Ready, 0) });
    };
    assert!(live.tell_outdated(at(1), "u", true));
    says(2, false);
    assert!(!live.tell_outdated(at(2), "u", true), "it may not have heard it yet");
    says(3, true);
    let mut changes = live.changes();
    says(7, false);
    assert!(changes.try_recv().is_ok(), "somebody looks at it");
    assert!(live.tell_outdated(at(7), "u", true));
    let told: Vec<_> = std::iter::from_fn(|| received.try_recv().ok()).collect();
    assert_eq!(
        told,
        [OperatorMessage::Outdated { is_outdated: true }, OperatorMessage::Outdated { is_outdated: true }]
    );
}

#[test]
fn after_a_reconnection_only_the_order_that_the_server_knows_counts_as_given() {
    for (name, known, counts) in
        [("it has it", Some(7), true), ("lost on its way", None, false), ("another's", Some(9), false)]
    {
        let (live, _received, stream) = connected();
        assert_eq!(live.order_drain("u", 7), Some(7));
        live.drained(at(1), ("u", stream), 7);
        let (orders, _received) = mpsc::channel(ORDERS_MAX);
        live.connect(at(2), "u", &Hello { drain_order: known, ..begun(1) }, orders);
        let snapshot = live.get(at(2), "u").unwrap();
        assert_eq!((snapshot.drain_ordered, snapshot.drained), (counts, counts), "{name}");
    }
}

#[test]
fn who_begins_to_lead_forgets_what_it_once_ordered() {
    let (live, _received, stream) = connected();
    assert_eq!(live.order_drain("u", 7), Some(7));
    live.drained(at(1), ("u", stream), 7);
    live.forget_orders();
    live.drained(at(1), ("u", stream), 7);
    let snapshot = live.get(at(1), "u").unwrap();
    assert_eq!((snapshot.drain_ordered, snapshot.drained), (false, false));
    assert_eq!(live.order_drain("u", 7), Some(8), "and its next order is another");
}

#[test]
fn orders_are_numbered_above_all_that_the_server_has_seen() {
    let orders = || mpsc::channel(ORDERS_MAX);
    let (live, (sender, _received)) = (LiveServers::new(), orders());
    let in_force = Hello { drain_order: Some(1000), ..begun(1) };
    let stream = live.connect(at(0), "u", &in_force, sender);
    assert_eq!(live.order_undrain("u", 7), Some(1000), "what is in force is taken back, whoever's it is");
    assert_eq!(live.order_drain("u", 7), Some(1001), "a clock that is behind");
    assert_eq!(live.order_undrain("u", 7), Some(1001));
    live.report(at(1), ("u", stream), &Report { newest_order: Some(2000), ..report(Phase::Ready, 0) });
    assert_eq!(live.order_drain("u", 7), Some(2001), "another's, taken back since");
    assert_eq!(live.order_drain("u", 9000), Some(9000), "a clock that is right");
}

#[test]
fn an_order_is_void_when_the_server_has_seen_a_newer_one() {
    let (live, _received, stream) = connected();
    let mut changes = live.changes();
    assert_eq!(live.order_drain("u", 7), Some(7));
    live.report(at(1), ("u", stream), &Report { newest_order: Some(7), ..report(Phase::Starting, 0) });
    assert!(live.get(at(1), "u").unwrap().drain_ordered);
    assert!(changes.try_recv().is_err());
    live.report(at(1), ("u", stream), &Report { newest_order: Some(8), ..report(Phase::Starting, 0) });
    assert!(!live.get(at(1), "u").unwrap().drain_ordered);
    assert!(changes.try_recv().is_ok(), "and the fleet is planned again");
}

#[test]
fn what_an_older_stream_still_brings_says_nothing() {
    let (live, _received, first) = connected();
    let (orders, _received) = mpsc::channel(ORDERS_MAX);
    let second = live.connect(at(1), "u", &begun(2), orders);
    assert_eq!(live.order_drain("u", 7), Some(7));
    live.report(at(2), ("u", first), &report(Phase::Ready, 9));
    live.drained(at(2), ("u", first), 7);
    let snapshot = live.get(at(2), "u").unwrap();
    assert_eq!((snapshot.stream.phase, snapshot.players, snapshot.drained), (Phase::Starting, 0, false));
    live.report(at(2), ("u", second), &report(Phase::Ready, 9));
    assert_eq!(live.get(at(2), "u").unwrap().players, 9);
}

#[test]
fn an_order_without_a_stream_is_not_taken() {
    let (live, _received, stream) = connected();
    live.disconnect(at(1), "u", stream);
    assert_eq!(live.order_drain("u", 7), None);
    assert_eq!(live.order_drain("unknown", 7), None);
}

#[test]
fn transitions_are_told_at_once_and_figures_each_five_seconds() {
    let (live, _received, stream) = connected();
    let mut changes = live.changes();
    let mut told = |now, phase, players| {
        live.report(at(now), ("u", stream), &report(phase, players));
        changes.try_recv().is_ok()
    };
    assert!(told(1, Phase::Ready, 0), "phase");
    assert!(!told(2, Phase::Ready, 0), "nothing");
    assert!(told(3, Phase::Ready, 1), "came into use");
    assert!(!told(4, Phase::Ready, 2), "a figure too soon");
    assert!(!told(5, Phase::Ready, 3), "still too soon");
    assert!(!told(6, Phase::Ready, 3), "nothing");
    assert!(!told(7, Phase::Ready, 3), "nothing");
    assert!(told(8, Phase::Ready, 4), "a figure after five seconds");
    assert!(told(10, Phase::Ready, 4), "back after silence");
    assert!(!told(11, Phase::Ready, 5), "a figure too soon");
    assert!(!(12..15).any(|second| told(second, Phase::Ready, 5)), "still too soon");
    assert!(told(15, Phase::Ready, 5), "told of when its time has come, though it moved no more");
    assert!(!told(16, Phase::Ready, 5), "nothing");
}

#[test]
fn a_standstill_of_our_own_is_no_silence_of_the_servers() {
    for paused_seconds in [10, 60, 600] {
        let (live, _received, stream) = connected();
        (1..=100).for_each(|second| live.tell_silent(at(second)));
        live.report(at(100), ("u", stream), &report(Phase::Ready, 9));
        let woken = at(100 + paused_seconds);
        let silent_for = live.get(woken, "u").unwrap().stream.silent_for;
        assert!(silent_for <= LOOKS_APART_MAX, "paused for {paused_seconds} s: {silent_for:?}");
        (1..=40).for_each(|second| live.tell_silent(woken + at(second)));
        let silent_for = live.get(woken + at(40), "u").unwrap().stream.silent_for;
        assert!(silent_for >= at(40), "what is silent afterwards is silent: {silent_for:?}");
    }
}

#[test]
fn a_version_is_kept_as_far_as_a_status_has_room() {
    let live = LiveServers::new();
    let (orders, _received) = mpsc::channel(ORDERS_MAX);
    live.connect(at(0), "u", &Hello { server_version: "\u{fc}".repeat(5000), ..begun(1) }, orders);
    assert_eq!(live.get(at(0), "u").unwrap().facts.version, "\u{fc}".repeat(64));
}

#[test]
fn servers_that_are_gone_are_forgotten() {
    let (live, _received, stream) = connected();
    live.retain(|_, _| false);
    assert!(live.get(at(1), "u").is_some(), "its stream is still up");
    live.disconnect(at(1), "u", stream);
    live.retain(|_, _| false);
    assert!(live.get(at(1), "u").is_none());
}

#[test]
fn a_server_takes_sessions_while_it_is_there_and_one_for_a_single_session_none_while_it_is_played_on() {
    for (name, limit, players, sessions, phase, expected) in [
        ("free", 1, 0, 0, Phase::Ready, (false, 0, 1)),
        ("given", 1, 0, 1, Phase::Ready, (true, 1, 1)),
        ("played on", 1, 9, 1, Phase::Ready, (true, 1, 0)),
        ("with players for whom nobody asked", 1, 9, 0, Phase::Ready, (true, 0, 0)),
        ("one of two", 2, 9, 1, Phase::Ready, (true, 1, 2)),
        ("it knows nothing of sessions", 0, 0, 0, Phase::Ready, (false, 0, 0)),
        ("it leaves", 1, 0, 0, Phase::Draining, (false, 0, 0)),
    ] {
        let live = LiveServers::new();
        let (orders, _received) = mpsc::channel(ORDERS_MAX);
        let stream = live.connect(at(0), "u", &Hello { sessions: limit, ..begun(1) }, orders);
        live.report(at(0), ("u", stream), &Report { sessions, ..report(phase, players) });
        let Use { is_used, sessions, takes } = live.uses(at(0), &["u", "other"])[0].unwrap();
        assert_eq!((is_used, sessions, takes), expected, "{name}");
        assert_eq!(live.uses(at(0), &["other"]), [None], "{name}");
        for second in 1..=3 {
            live.tell_silent(at(second));
        }
        assert_eq!(live.uses(at(3), &["u"])[0].unwrap().takes, 0, "{name}, and silent");
    }
}
