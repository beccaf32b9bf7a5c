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
use std::net::IpAddr;
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
/// Within which a server that was told whether it is outdated says so in its reports.
const OUTDATED_SETTLES: Duration = Duration::from_secs(5);
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
    /// It says that it takes no further one, because it is outdated.
    outdated: bool,
    /// Its process has reported.
    has_reported: bool,
    /// Where players reach it besides, by its last report.
    reached_at: Option<IpAddr>,
    /// What it was told of being outdated over its stream, and when.
    told_outdated: Option<(bool, Duration)>,
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
            && !self.outdated
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
    /// It can be told that it is outdated.
    pub(crate) hears_outdated: bool,
}

/// A server as it is now.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each named by the rule that reads it")]
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
    /// Its process has reported, so that what it says of itself is known.
    pub(crate) has_reported: bool,
    /// Where players reach it besides.
    pub(crate) reached_at: Option<IpAddr>,
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
            hears_outdated: hello.hears_outdated,
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
            outdated: false,
            has_reported: false,
            reached_at: None,
            told_outdated: None,
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
            (live.outdated, live.has_reported, live.reached_at) = (false, false, None);
        }
        // it may have been lost with the stream before
        live.told_outdated = None;
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
            || live.outdated != report.outdated
            || live.reached_at != report.reached_at
            || was_silent
            || overtaken;
        // Measured by what was told: a figure that moved too soon after that is told of later.
        let moved = live.told_players != report.players;
        live.phase = report.phase;
        live.players = report.players;
        live.sessions = report.sessions;
        live.outdated = report.outdated;
        // somebody else told it otherwise since, such as one that led before and was slower
        let is_settled = |told: Duration| now.saturating_sub(told) >= OUTDATED_SETTLES;
        let told = live.told_outdated.filter(|(told, at)| *told == report.outdated || !is_settled(*at));
        let is_to_tell = std::mem::replace(&mut live.told_outdated, told).is_some() && told.is_none();
        (live.has_reported, live.reached_at) = (true, report.reached_at);
        live.cpu_millis = report.cpu_millis;
        live.heard_at = awake;
        live.tick_us.add(now, &report.tick_us);
        live.input_latency_us.add(now, &report.input_latency_us);
        live.queue_depth.add(now, &report.queue_depth);
        let Report { joins_total: joins, refused_total: refused, rejects_total: rejects, .. } = *report;
        live.growth.take(now, Totals { joins, refused, rejects });
        if turned || is_to_tell || (moved && now.saturating_sub(live.told_at) >= FIGURES_PERIOD) {
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

    /// Tells a server whether it is outdated, once over each stream if it knows it otherwise; answers whether it was told.
    pub(crate) fn tell_outdated(&self, now: Duration, uid: &str, is_outdated: bool) -> bool {
        let mut servers = self.lock();
        let Some(live) = servers.get_mut(uid).filter(|live| live.connected && live.facts.hears_outdated)
        else {
            return false;
        };
        if live.told_outdated.map_or(live.outdated, |(told, _)| told) == is_outdated {
            return false;
        }
        let is_told = live.orders.try_send(OperatorMessage::Outdated { is_outdated }).is_ok();
        if is_told {
            live.told_outdated = Some((is_outdated, now));
        }
        is_told
    }

    /// This replica begins to lead: what it ordered when it led before may have been taken back since.
    pub(crate) fn forget_orders(&self) {
        self.lock().values_mut().for_each(|live| (live.order, live.told_outdated) = (None, None));
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
            has_reported: live.has_reported,
            reached_at: live.reached_at,
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
pub(crate) mod tests;
