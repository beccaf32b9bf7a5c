//! From a caller to a server and back, with the epoch's object and the servers' streams as the test has them answer.

use super::*;
use crate::reports::live::tests::hello;
use crate::runtime::metrics::Metrics;
use gameserver_contract::{Hello, Holding, Judgement, Phase, Report, Verdict};
use kube::runtime::reflector::store;
use kube::runtime::watcher::Event as Watch;
use operator_core::allocation::Epoch;
use operator_core::allocation::{Expression, Is, Selector, Spread};
use serde_json::json;
use std::collections::BTreeMap;
use tokio::sync::oneshot;

use super::super::queue::Caller;

const ME: ReplicaId = ReplicaId(1);
const PATIENCE: Duration = Duration::from_secs(10);

struct Room {
    clerk: Clerk,
    wants: mpsc::Receiver<Want>,
    servers: BTreeMap<&'static str, mpsc::Receiver<OperatorMessage>>,
    /// Of everybody who asks.
    selectors: Vec<Selector>,
}

fn game_server(name: &str, labels: &[(&str, &str)]) -> GameServer {
    serde_json::from_value(json!({
        "apiVersion": "cranewing.dev/v1alpha1",
        "kind": "GameServer",
        "metadata": {
            "name": name,
            "namespace": "games",
            "uid": name,
            "labels": labels.iter().copied().collect::<BTreeMap<_, _>>(),
        },
        "spec": {},
        "status": {
            "state": "Ready",
            "address": "192.0.2.1",
            "nodeName": "node",
            "ports": [{ "name": "game", "port": 7000 }],
        },
    }))
    .unwrap()
}

impl Room {
    /// A replica that allocates, and these servers, which are ready and hold nothing.
    fn open(servers: &[(&'static str, &[(&str, &str)])]) -> Self {
        let (reader, mut writer) = store();
        for (name, labels) in servers {
            writer.apply_watcher_event(&Watch::Apply(game_server(name, labels)));
        }
        let (wants, wanted) = mpsc::channel(64);
        let clerk = Clerk::new(
            ME,
            wants,
            reader,
            (Arc::new(LiveServers::new()), Arc::new(Journal::new(Clock::start()))),
            Metrics::new().unwrap().allocations,
            Clock::start(),
        );
        let mut room = Self { clerk, wants: wanted, servers: BTreeMap::new(), selectors: Vec::new() };
        room.clerk.handle(Event::Read(None));
        let first = Epoch::first(ME);
        assert!(matches!(room.wants.try_recv().unwrap(), Want::Write(write) if write.next == first));
        room.clerk.handle(Event::Read(Some(first)));
        room.clerk.look();
        assert!(room.clerk.replica.is_settling(), "nobody has said which servers there are");
        for (name, _) in servers {
            room.connect(name, 1, &[]);
        }
        room.survey(servers.iter().map(|(name, _)| *name));
        assert!(!room.clerk.replica.is_settling(), "all have said what they hold");
        room
    }

    /// These servers there are, and all of them may hold something.
    fn survey(&mut self, names: impl Iterator<Item = &'static str>) {
        let (reign, servers) = (self.clerk.replica.reign(), names.map(|name| (name.into(), true)).collect());
        self.clerk.handle(Event::Surveyed { reign, servers });
    }

    /// The server's stream begins, and it says what it holds.
    fn connect(&mut self, name: &'static str, number: u64, keys: &[&str]) {
        self.connect_for(1, name, number, keys);
    }

    /// The same of one that takes so many sessions.
    fn connect_for(&mut self, sessions: u32, name: &'static str, number: u64, keys: &[&str]) {
        let hello = Hello { sessions, ..hello(name) };
        let (orders, _unused) = mpsc::channel(1);
        let now = self.clerk.clock.elapsed();
        let stream = self.clerk.live.connect(now, name, &hello, orders);
        let report = Report {
            seq: 1,
            phase: Phase::Ready,
            sessions: u32::try_from(keys.len()).unwrap(),
            ..Report::default()
        };
        self.clerk.live.report(now, (name, stream), &report);
        let (words, said) = mpsc::channel(8);
        self.servers.insert(name, said);
        self.word(name, number, StreamWord::Began(words));
        let keys = keys.iter().map(|key| Key::from(*key)).collect();
        let holding = Holding { reign: self.clerk.replica.reign(), keys, ..Holding::default() };
        self.word(name, number, StreamWord::Holding(holding));
    }

    fn word(&mut self, name: &str, number: u64, word: StreamWord) {
        self.clerk.handle(Event::Stream { server: name.into(), number, word });
    }

    fn ask(&mut self, key: &str, labels: &[(&str, &str)], wait: Duration) -> oneshot::Receiver<Outcome> {
        let (tell, answer) = oneshot::channel();
        let caller = Caller::new(tell, self.clerk.clock.elapsed() + wait, false);
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let asked = Asked {
            key: key.into(),
            namespace: "games".to_owned(),
            labels,
            selectors: self.selectors.clone(),
            spread: Spread::Packed,
        };
        self.clerk.handle(Event::Ask { asked, caller });
        answer
    }

    /// Which server has this key proposed; it answers.
    fn proposed(&mut self, key: &str, verdict: Verdict) -> &'static str {
        self.proposed_to(key, verdict, 1)
    }

    /// The same where its stream has this number.
    fn proposed_to(&mut self, key: &str, verdict: Verdict, number: u64) -> &'static str {
        let key: Key = key.into();
        let reign = self.clerk.replica.reign();
        let expected = OperatorMessage::Propose { reign, key: key.clone() };
        let has_it = |(name, said): (&&'static str, &mut mpsc::Receiver<OperatorMessage>)| {
            std::iter::from_fn(|| said.try_recv().ok()).any(|message| message == expected).then_some(*name)
        };
        let name = self.servers.iter_mut().find_map(has_it).expect("it is proposed to somebody");
        self.word(name, number, StreamWord::Judged { key, judgement: Judgement { reign, verdict } });
        name
    }
}

fn name_of(outcome: Outcome) -> String {
    match outcome {
        Outcome::Given(Given { server: Some(server), .. }) => server.name.clone(),
        other => panic!("{other:?} gives no server"),
    }
}

#[test]
fn who_asks_gets_a_server_that_fits_and_who_asks_again_the_same() {
    let mut room = Room::open(&[("red", &[("mode", "red")]), ("blue", &[("mode", "blue")])]);
    let mut answer = room.ask("k", &[("mode", "blue")], PATIENCE);
    assert!(answer.try_recv().is_err(), "the server has the last word");
    assert_eq!(room.proposed("k", Verdict::Taken), "blue");
    assert_eq!(name_of(answer.try_recv().unwrap()), "blue");
    let mut again = room.ask("k", &[("mode", "blue")], PATIENCE);
    assert_eq!(name_of(again.try_recv().unwrap()), "blue");
    let mut other = room.ask("other", &[("mode", "blue")], PATIENCE);
    assert!(other.try_recv().is_err(), "no other is free");
    room.word("blue", 1, StreamWord::Over { key: "k".into() });
    assert!(matches!(room.ask("k", &[], PATIENCE).try_recv().unwrap(), Outcome::Ended(_)));
}

#[test]
fn which_server_is_proposed_is_noted_and_that_none_was_free() {
    let mut room = Room::open(&[("a", &[]), ("b", &[])]);
    let _answer = room.ask("k", &[], PATIENCE);
    room.proposed("k", Verdict::Full);
    room.proposed("k", Verdict::Taken);
    let _none = room.ask("none", &[("mode", "red")], Duration::ZERO);
    let entries = room.clerk.journal.entries();
    let found: Vec<_> = entries.iter().map(|entry| (entry.object.as_str(), entry.decided.as_str())).collect();
    assert_eq!(found, [("k", "a"), ("k", "b"), ("none", "no server is free that fits")]);
    assert!(entries[1].why.ends_with("; 1 did not take it"), "{}", entries[1].why);
    assert!(entries[2].why.contains("\"mode\": \"red\""), "{}", entries[2].why);
}

#[test]
fn a_server_that_refuses_or_whose_stream_ends_is_passed_over() {
    let mut room = Room::open(&[("a", &[]), ("b", &[]), ("c", &[])]);
    let mut answer = room.ask("k", &[], PATIENCE);
    assert_eq!(room.proposed("k", Verdict::Full), "a");
    room.servers.remove("b");
    room.word("b", 1, StreamWord::Ended);
    assert_eq!(room.proposed("k", Verdict::Taken), "c");
    assert_eq!(name_of(answer.try_recv().unwrap()), "c");
}

#[test]
fn who_waits_gets_what_becomes_free_in_the_order_in_which_they_came_or_is_told_in_time_that_nothing_did() {
    let mut room = Room::open(&[]);
    let mut waiting: Vec<_> = ["first", "second"].map(|key| room.ask(key, &[], PATIENCE)).into();
    let mut hasty = room.ask("hasty", &[], Duration::ZERO);
    assert_eq!(hasty.try_recv().unwrap(), Outcome::NoServer);
    assert!(waiting.iter_mut().all(|answer| answer.try_recv().is_err()));
    let mut full = Room::open(&[("a", &[])]);
    let mut first = full.ask("first", &[], PATIENCE);
    let mut second = full.ask("second", &[], PATIENCE);
    let mut third = full.ask("third", &[], PATIENCE);
    full.proposed("first", Verdict::Taken);
    assert_eq!(name_of(first.try_recv().unwrap()), "a");
    full.word("a", 1, StreamWord::Over { key: "first".into() });
    full.clerk.serve_waiting();
    assert_eq!(full.proposed("second", Verdict::Taken), "a");
    assert_eq!(name_of(second.try_recv().unwrap()), "a");
    assert!(third.try_recv().is_err());
}

#[test]
fn a_stream_that_another_has_followed_says_nothing_any_more_and_one_that_takes_nothing_ends() {
    let mut room = Room::open(&[("a", &[])]);
    let _answer = room.ask("k", &[], PATIENCE);
    let old = room.servers.remove("a").unwrap();
    room.connect("a", 2, &[]);
    assert!(old.is_closed() || old.is_empty(), "its end is gone with the desk's");
    let judgement = Judgement { reign: room.clerk.replica.reign(), verdict: Verdict::Taken };
    room.word("a", 1, StreamWord::Judged { key: "k".into(), judgement });
    assert_eq!(room.clerk.replica.ledger().get("k"), None);
    for number in 0..20 {
        room.clerk.say(&"a".into(), OperatorMessage::Greet { reign: number }, &mut Vec::new());
    }
    assert!(!room.clerk.speaks(&"a".into()));
    room.word("a", 1, StreamWord::Began(mpsc::channel(1).0));
    assert!(!room.clerk.speaks(&"a".into()), "not by one that has long been followed");
}

#[test]
fn of_several_selectors_the_first_for_which_a_server_is_free_decides() {
    let mut room = Room::open(&[("a", &[("map", "ice")]), ("b", &[("map", "sand")]), ("c", &[])]);
    let on = |map: &str| Selector {
        match_labels: [("map".to_owned(), map.to_owned())].into(),
        ..Selector::default()
    };
    let nowhere = Expression { key: "map".to_owned(), is: Is::Absent };
    room.selectors = vec![on("sand"), on("ice")];
    let mut given = Vec::new();
    for key in ["first", "second", "third"] {
        let mut answer = room.ask(key, &[], PATIENCE);
        if key == "third" {
            assert!(answer.try_recv().is_err(), "c fits none of them");
        } else {
            room.proposed(key, Verdict::Taken);
            given.push(name_of(answer.try_recv().unwrap()));
        }
    }
    assert_eq!(given, ["b", "a"]);
    room.selectors = vec![Selector { match_expressions: vec![nowhere], ..Selector::default() }];
    let mut answer = room.ask("fourth", &[], PATIENCE);
    room.proposed("fourth", Verdict::Taken);
    assert_eq!(
        name_of(answer.try_recv().unwrap()),
        "c",
        "whoever asks for something else does not wait behind the third"
    );
}

#[test]
fn who_settles_waits_for_each_server_that_may_hold_something_and_for_no_other() {
    let mut room = Room::open(&[("a", &[]), ("b", &[]), ("mute", &[])]);
    // everybody who knew what was answered has ended
    let before = room.clerk.replica.reign();
    let next = Epoch::anew(ME, before);
    let reign = next.reign;
    room.clerk.handle(Event::Read(Some(next)));
    let servers = || Survey::from([("a".into(), true), ("b".into(), false), ("mute".into(), true)]);
    room.word("mute", 2, StreamWord::BeganMute);
    room.clerk.handle(Event::Surveyed { reign: before, servers: Survey::new() });
    assert!(room.clerk.replica.is_settling(), "that was another reign");
    room.clerk.handle(Event::Surveyed { reign, servers: servers() });
    assert!(room.clerk.replica.is_settling(), "a may hold something");
    room.word("a", 1, StreamWord::Holding(Holding { reign, ..Holding::default() }));
    room.clerk.handle(Event::Surveyed { reign, servers: servers() });
    assert!(!room.clerk.replica.is_settling());
}

#[test]
fn a_server_is_gone_when_a_list_is_without_it_and_not_when_a_watch_is() {
    let mut room = Room::open(&[("a", &[])]);
    let mut answer = room.ask("k", &[], PATIENCE);
    room.proposed("k", Verdict::Taken);
    assert_eq!(name_of(answer.try_recv().unwrap()), "a");
    room.survey(["a"].into_iter());
    assert!(matches!(room.ask("k", &[], PATIENCE).try_recv().unwrap(), Outcome::Given(_)));
    room.survey([].into_iter());
    assert_eq!(room.ask("k", &[], PATIENCE).try_recv().unwrap(), Outcome::Lost("a".into()));
}

#[test]
fn a_server_for_two_sessions_gets_two_keys_and_the_third_goes_elsewhere() {
    let mut room = Room::open(&[("a", &[]), ("b", &[])]);
    room.connect_for(2, "a", 2, &[]);
    let mut given = Vec::new();
    for key in ["first", "second", "third"] {
        let mut answer = room.ask(key, &[], PATIENCE);
        room.proposed_to(key, Verdict::Taken, if key == "third" { 1 } else { 2 });
        given.push(name_of(answer.try_recv().unwrap()));
    }
    assert_eq!(given, ["a", "a", "b"]);
}
