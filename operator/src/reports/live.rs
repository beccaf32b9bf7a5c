//! What the report streams say. One owner of every live figure; everybody else asks.
//!
//! Invariants:
//! - At most one stream a server counts: the newest.
//! - Whoever must act hears of a change: of transitions at once, of figures at most each five seconds a server.
//! - An entry is dropped when its GameServer is gone, not when its stream breaks.
//! - Silence is measured in time in which this process itself ran: who was stopped heard nobody.
//! - A drain order counts as given only while nothing speaks against it: the server that reconnects, or has seen a newer
//!   one, says so, and who begins to lead forgets all that it once ordered.

mod index;

pub(crate) use index::Row;

use gameserver_contract::{Backend, Hello, Histogram, OperatorMessage, Phase, Report};
use kube::runtime::reflector::ObjectRef;
use operator_api::GameServer;
use operator_core::awake::Awake;
use operator_core::rolling::{Growth, Rolling, Totals};
use operator_core::server_state::Stream;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{broadcast, mpsc};

/// Changes that a listener may fall behind; one that falls further is told to look at everything.
const BACKLOG_MAX: usize = 4096;
/// Orders that wait for a server's stream.
pub(crate) const ORDERS_MAX: usize = 16;
/// Characters of a server's version that are kept: as many as a status has room for.
const VERSION_CHARS_MAX: usize = 64;
/// How often figures alone are told of.
const FIGURES_PERIOD: Duration = Duration::from_secs(5);
/// A stream that is silent for longer is told of each second.
const SILENCE_TOLD_AFTER: Duration = Duration::from_secs(2);
/// Half of the window of tick and latency figures.
const FIGURES_HALF: Duration = Duration::from_secs(30);
/// Half of the window of queue depth, which scaling must feel soon.
const QUEUE_HALF: Duration = Duration::from_secs(5);

/// Live figures of all game servers of this region.
pub(crate) struct LiveServers {
    servers: Mutex<HashMap<String, Live>>,
    awake: Mutex<Awake>,
    changes: broadcast::Sender<ObjectRef<GameServer>>,
}

struct Live {
    object: ObjectRef<GameServer>,
    facts: Facts,
    stream: u64,
    connected: bool,
    phase: Phase,
    players: u32,
    /// Keys that it holds.
    sessions: u32,
    cpu_millis: u32,
    /// When it was last heard, in time in which this process ran.
    heard_at: Duration,
    told_at: Duration,
    /// Players when it was last told of.
    told_players: u32,
    tick_us: Rolling,
    input_latency_us: Rolling,
    queue_depth: Rolling,
    growth: Growth,
    order: Option<Order>,
    /// Highest number of an order that the server is known to have seen, whoever gave it.
    newest_order: Option<u64>,
    orders: mpsc::Sender<OperatorMessage>,
}

/// How much of a server is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Use {
    /// Players are on it, or are to come.
    pub(crate) is_used: bool,
    /// Sessions that it has.
    pub(crate) sessions: u32,
    /// Sessions that it takes at once; none of one that leaves, is silent, or has players of whom nobody knows for what.
    pub(crate) takes: u32,
}

impl Live {
    fn usage(&self, awake: Duration) -> Use {
        let is_there = self.order.is_none()
            && self.phase == Phase::Ready
            && awake.saturating_sub(self.heard_at) < SILENCE_TOLD_AFTER;
        // with several sessions nobody knows whose a player is
        let is_strange = self.facts.sessions <= 1 && self.players > 0;
        let takes = if is_there && !is_strange { self.facts.sessions } else { 0 };
        Use { is_used: self.players > 0 || self.sessions > 0, sessions: self.sessions, takes }
    }
}

#[derive(Clone, Copy)]
struct Order {
    number: u64,
    drained: bool,
}

/// What a server says of itself once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) version: String,
    pub(crate) backend: Backend,
    pub(crate) boot_unix_ms: u64,
    pub(crate) capacity: u32,
    /// Sessions that it takes at once.
    pub(crate) sessions: u32,
}

/// A server as it is now.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) facts: Facts,
    pub(crate) stream: Stream,
    pub(crate) connected: bool,
    pub(crate) players: u32,
    pub(crate) sessions: u32,
    pub(crate) cpu_millis: u32,
    pub(crate) tick_us: Histogram,
    pub(crate) input_latency_us: Histogram,
    pub(crate) queue_depth: Histogram,
    /// By how much its counts grew, over the time of the histograms of ticks.
    pub(crate) growth: Totals,
    pub(crate) drain_ordered: bool,
    pub(crate) drained: bool,
}

impl LiveServers {
    pub(crate) fn new() -> Self {
        let (changes, _) = broadcast::channel(BACKLOG_MAX);
        Self { servers: Mutex::default(), awake: Mutex::default(), changes }
    }

    /// Time for which this process has run, without those in which it stood still.
    pub(crate) fn awake(&self, now: Duration) -> Duration {
        self.awake.lock().unwrap_or_else(PoisonError::into_inner).look(now)
    }

    /// Game servers whose live figures change.
    pub(crate) fn changes(&self) -> broadcast::Receiver<ObjectRef<GameServer>> {
        self.changes.subscribe()
    }

    /// A stream of the server with this uid begins; returns its number, which ends it too.
    pub(crate) fn connect(
        &self,
        now: Duration,
        uid: &str,
        hello: &Hello,
        orders: mpsc::Sender<OperatorMessage>,
    ) -> u64 {
        let object = ObjectRef::new(&hello.game_server).within(&hello.namespace);
        let facts = Facts {
            version: hello.server_version.chars().take(VERSION_CHARS_MAX).collect(),
            backend: hello.backend,
            boot_unix_ms: hello.boot_unix_ms,
            capacity: hello.capacity,
            sessions: hello.sessions,
        };
        let awake = self.awake(now);
        let mut servers = self.lock();
        let live = servers.entry(uid.to_owned()).or_insert_with(|| Live {
            object: object.clone(),
            facts: facts.clone(),
            stream: 0,
            connected: false,
            phase: Phase::Starting,
            players: 0,
            sessions: 0,
            cpu_millis: 0,
            heard_at: awake,
            told_at: now,
            told_players: 0,
            tick_us: Rolling::new(FIGURES_HALF, now),
            input_latency_us: Rolling::new(FIGURES_HALF, now),
            queue_depth: Rolling::new(QUEUE_HALF, now),
            growth: Growth::new(FIGURES_HALF, now),
            order: None,
            newest_order: None,
            orders: orders.clone(),
        });
        if live.facts.boot_unix_ms != facts.boot_unix_ms {
            // Another process: it knows of no order and has no players yet.
            (live.phase, live.players, live.order, live.newest_order) = (Phase::Starting, 0, None, None);
            live.growth = Growth::new(FIGURES_HALF, now);
        }
        if live.order.map(|order| order.number) != hello.drain_order {
            // It was lost with the stream before, or somebody else's holds by now.
            live.order = None;
        }
        live.newest_order = live.newest_order.max(hello.drain_order);
        live.facts = facts;
        live.orders = orders;
        live.stream += 1;
        live.connected = true;
        live.heard_at = awake;
        self.tell(live, now);
        live.stream
    }

    /// That stream ends; nothing happens if another one has begun since.
    pub(crate) fn disconnect(&self, now: Duration, uid: &str, stream: u64) {
        if let Some(live) = self.lock().get_mut(uid).filter(|live| live.stream == stream) {
            live.connected = false;
            self.tell(live, now);
        }
    }

    /// A report came over the stream with this number; one of a stream that another has followed says nothing any more.
    pub(crate) fn report(&self, now: Duration, (uid, stream): (&str, u64), report: &Report) {
        let awake = self.awake(now);
        let mut servers = self.lock();
        let Some(live) = servers.get_mut(uid).filter(|live| live.stream == stream) else { return };
        live.newest_order = live.newest_order.max(report.newest_order);
        let overtaken = live.order.is_some_and(|order| live.newest_order > Some(order.number));
        if overtaken {
            live.order = None;
        }
        let was_silent = awake.saturating_sub(live.heard_at) >= SILENCE_TOLD_AFTER;
        let turned = live.phase != report.phase
            || (live.players > 0) != (report.players > 0)
            || live.sessions != report.sessions
            || was_silent
            || overtaken;
        // Measured by what was told: a figure that moved too soon after that is told of later.
        let moved = live.told_players != report.players;
        live.phase = report.phase;
        live.players = report.players;
        live.sessions = report.sessions;
        live.cpu_millis = report.cpu_millis;
        live.heard_at = awake;
        live.tick_us.add(now, &report.tick_us);
        live.input_latency_us.add(now, &report.input_latency_us);
        live.queue_depth.add(now, &report.queue_depth);
        let Report { joins_total: joins, refused_total: refused, rejects_total: rejects, .. } = *report;
        live.growth.take(now, Totals { joins, refused, rejects });
        if turned || (moved && now.saturating_sub(live.told_at) >= FIGURES_PERIOD) {
            self.tell(live, now);
        }
    }

    /// The drain with this number is complete, says the server over the stream with that number.
    pub(crate) fn drained(&self, now: Duration, (uid, stream): (&str, u64), number: u64) {
        if let Some(live) = self.lock().get_mut(uid).filter(|live| live.stream == stream)
            && let Some(order) = live.order.as_mut().filter(|order| order.number == number)
        {
            order.drained = true;
            self.tell(live, now);
        }
    }

    /// Orders a drain at this time by the wall clock; answers its number, which is above every one that the server is
    /// known to have seen, whatever the clocks of earlier leaders were. `None` when no stream takes the order; it is
    /// planned again then.
    pub(crate) fn order_drain(&self, uid: &str, now_ms: u64) -> Option<u64> {
        let mut servers = self.lock();
        let live = servers.get_mut(uid).filter(|live| live.connected)?;
        let number = live.newest_order.map_or(now_ms, |newest| now_ms.max(newest.saturating_add(1)));
        live.orders.try_send(OperatorMessage::Drain { order: number }).ok()?;
        live.order = Some(Order { number, drained: false });
        live.newest_order = Some(number);
        Some(number)
    }

    /// Takes back whatever drain is in force; answers its number, as [`Self::order_drain`] does.
    pub(crate) fn order_undrain(&self, uid: &str, now_ms: u64) -> Option<u64> {
        let mut servers = self.lock();
        let live = servers.get_mut(uid).filter(|live| live.connected)?;
        let number = live.newest_order.unwrap_or(now_ms);
        live.orders.try_send(OperatorMessage::Undrain { order: number }).ok()?;
        (live.order, live.newest_order) = (None, Some(number));
        Some(number)
    }

    /// This replica begins to lead: what it ordered when it led before may have been taken back since.
    pub(crate) fn forget_orders(&self) {
        self.lock().values_mut().for_each(|live| live.order = None);
    }

    /// The server as it is now, if it was ever heard.
    pub(crate) fn get(&self, now: Duration, uid: &str) -> Option<Snapshot> {
        let awake = self.awake(now);
        self.lock().get(uid).map(|live| Snapshot {
            facts: live.facts.clone(),
            stream: Stream { phase: live.phase, silent_for: awake.saturating_sub(live.heard_at) },
            connected: live.connected,
            players: live.players,
            sessions: live.sessions,
            cpu_millis: live.cpu_millis,
            tick_us: live.tick_us.recent(now),
            input_latency_us: live.input_latency_us.recent(now),
            queue_depth: live.queue_depth.recent(now),
            growth: live.growth.recent(now),
            drain_ordered: live.order.is_some(),
            drained: live.order.is_some_and(|order| order.drained),
        })
    }

    /// How much of each of these servers is in use; none where that is not known.
    pub(crate) fn uses(&self, now: Duration, uids: &[&str]) -> Vec<Option<Use>> {
        let awake = self.awake(now);
        let servers = self.lock();
        let known = |uid: &&str| servers.get(*uid).filter(|live| live.connected);
        uids.iter().map(|uid| known(uid).map(|live| live.usage(awake))).collect()
    }

    /// Tells of servers that are silent; call it each second, which is also how this process knows that it runs.
    pub(crate) fn tell_silent(&self, now: Duration) {
        let awake = self.awake(now);
        for live in self.lock().values_mut() {
            if awake.saturating_sub(live.heard_at) >= SILENCE_TOLD_AFTER {
                self.tell(live, now);
            }
        }
    }

    /// Drops servers that `exists` does not know.
    pub(crate) fn retain(&self, exists: impl Fn(&ObjectRef<GameServer>, &str) -> bool) {
        self.lock().retain(|uid, live| live.connected || exists(&live.object, uid));
    }

    /// Nobody listening is no error: a standby has no controllers.
    fn tell(&self, live: &mut Live, now: Duration) {
        (live.told_at, live.told_players) = (now, live.players);
        drop(self.changes.send(live.object.clone()));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Live>> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use gameserver_contract::CONTRACT_VERSION;
    use operator_core::awake::LOOKS_APART_MAX;

    /// Of the game server of this name in `games`, whose uid is its name: for a hundred players, and no sessions.
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
}
