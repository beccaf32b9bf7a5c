//! The clerk: hears what happened, has the replica decide, and carries that out. One task, and the only owner of the replica's state.

use gameserver_contract::{Key, OperatorMessage};
use kube::ResourceExt;
use kube::runtime::reflector::Store;
use operator_api::GameServer;
use operator_core::allocation::{Answer, Output, Replica, ReplicaId, ServerUid};
use operator_core::journal::Of;
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{broadcast, mpsc};
use tokio::time::{MissedTickBehavior, interval};
use tracing::{debug, info};

use super::choosing::{Choosing, view};
use super::desk::Event;
use super::epochs::{Survey, Want};
use super::peers::Frame;
use super::queue::{Caller, Queue, Why};
use super::words::{Asked, Given, LinkWord, Outcome, StreamWord};
use crate::journal::Journal;
use crate::reports::live::LiveServers;
use crate::runtime::clock::Clock;
use crate::runtime::metrics::AllocationMetrics;

/// How often the clerk looks at what changes by time alone, and says on its links that all is well.
const LOOK_PERIOD: Duration = Duration::from_millis(200);
/// How often those are served at most who wait for a server to become free.
const SERVE_PERIOD: Duration = Duration::from_millis(20);
/// A replica in sync to which there is no link for so long is missed: if it lives, one of both dials again before.
const MISSED_AFTER: Duration = Duration::from_millis(400);
/// A server that does not answer a proposal for so long is passed over.
const PROPOSED_MAX: Duration = Duration::from_secs(1);
/// Least time between two lists of all servers.
const SURVEY_PERIOD: Duration = Duration::from_millis(500);
/// Streams that have ended and are still known, beside those that there are.
const ENDED_STREAMS_MAX: usize = 1024;

/// Does what the desk is told.
pub(super) struct Clerk {
    replica: Replica,
    queue: Queue,
    /// A server may have become free.
    may_serve: bool,
    streams: HashMap<ServerUid, StreamEnd>,
    links: HashMap<ReplicaId, LinkEnd>,
    /// Replicas in sync that are not heard, and since when, in time in which this process ran.
    unheard_since: HashMap<ReplicaId, Duration>,
    /// Keys that another replica was asked for, and the ticket of that question.
    passed_on: HashMap<Key, (u64, ReplicaId)>,
    next_ticket: u64,
    /// Servers that have a proposal and have not answered, and since when.
    proposed: HashMap<ServerUid, Duration>,
    wants: mpsc::Sender<Want>,
    surveyed_at: Option<Duration>,
    game_servers: Store<GameServer>,
    live: Arc<LiveServers>,
    journal: Arc<Journal>,
    metrics: AllocationMetrics,
    clock: Clock,
}

/// This side of a server's newest stream.
struct StreamEnd {
    number: u64,
    state: StreamState,
}

enum StreamState {
    /// It ends when this is dropped.
    Speaks(mpsc::Sender<OperatorMessage>),
    /// The server knows nothing of allocation, and holds nothing.
    Mute,
    Ended,
}

/// This side of the newest link to a replica.
struct LinkEnd {
    number: u64,
    /// It ends when this is dropped; none when it has ended.
    frames: Option<mpsc::Sender<Frame>>,
}

impl Clerk {
    pub(super) fn new(
        me: ReplicaId,
        wants: mpsc::Sender<Want>,
        game_servers: Store<GameServer>,
        (live, journal): (Arc<LiveServers>, Arc<Journal>),
        metrics: AllocationMetrics,
        clock: Clock,
    ) -> Self {
        Self {
            replica: Replica::new(me),
            queue: Queue::default(),
            may_serve: false,
            streams: HashMap::new(),
            links: HashMap::new(),
            unheard_since: HashMap::new(),
            passed_on: HashMap::new(),
            next_ticket: 0,
            proposed: HashMap::new(),
            wants,
            surveyed_at: None,
            game_servers,
            live,
            journal,
            metrics,
            clock,
        }
    }

    pub(super) async fn work(mut self, mut events: mpsc::Receiver<Event>) {
        let mut changes = self.live.changes();
        let (mut looks, mut serves) = (interval(LOOK_PERIOD), interval(SERVE_PERIOD));
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        serves.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                Some(event) = events.recv() => self.handle(event),
                change = changes.recv() => match change {
                    Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => self.may_serve = true,
                    Err(broadcast::error::RecvError::Closed) => return,
                },
                _ = serves.tick(), if self.may_serve => self.serve_waiting(),
                _ = looks.tick() => self.look(),
            }
        }
    }

    pub(super) fn handle(&mut self, event: Event) {
        let (now, mut out) = (self.clock.elapsed(), Vec::new());
        let reign = self.replica.reign();
        match event {
            Event::Stream { server, number, word } => self.hear(now, &server, number, word, &mut out),
            Event::Link { peer, number, word } => self.hear_replica(now, peer, number, word, &mut out),
            // passed on by a replica that knows less: it asks again
            Event::Ask { caller, .. } if caller.is_of_other && !self.replica.is_allocator() => {
                caller.tell(Outcome::Elsewhere(None));
            }
            Event::Ask { asked, caller } => self.asked(now, asked, caller, &mut out),
            Event::Read(epoch) => self.replica.observe(now, epoch, &mut out),
            Event::Ended(replicas) => self.replica.ended(&replicas, &mut out),
            Event::Surveyed { reign, servers } => self.surveyed(now, reign, &servers, &mut out),
        }
        self.carry_out(out);
        if self.replica.reign() > reign {
            self.read_if_behind();
        }
    }

    /// Somebody says more than the object as it was read last.
    fn read_if_behind(&self) {
        if self.replica.epoch().is_none_or(|epoch| self.replica.reign() > epoch.reign) {
            self.want(Want::Read);
        }
    }

    /// Somebody asks for a key. Whoever waits for the same already comes first, unless the key is known.
    fn asked(&mut self, now: Duration, asked: Asked, caller: Caller, out: &mut Vec<Output>) {
        let key = asked.key.clone();
        let is_known = self.replica.ledger().get(&key).is_some();
        let is_behind = !is_known && self.queue.is_behind(&asked);
        if !self.queue.join(asked, caller) {
            return;
        }
        if is_behind {
            self.queue.put_off(now, &key, Why::NoServer);
            self.may_serve = true;
        } else {
            self.replica.ask(key, out);
        }
    }

    /// A word over a stream that another has followed says nothing any more.
    fn hear(
        &mut self,
        now: Duration,
        server: &ServerUid,
        number: u64,
        word: StreamWord,
        out: &mut Vec<Output>,
    ) {
        let newest = self.streams.get(server).map(|end| end.number);
        let begun = match word {
            StreamWord::Began(words) => Some(StreamState::Speaks(words)),
            StreamWord::BeganMute => Some(StreamState::Mute),
            _ if newest != Some(number) => return,
            StreamWord::Holding(holding) => return self.replica.hello(now, server, &holding, out),
            StreamWord::Judged { key, judgement } => {
                self.proposed.remove(server);
                return self.replica.answered(now, server, &key, judgement, out);
            }
            StreamWord::Over { key } => return self.replica.over(now, server, &key, out),
            StreamWord::Ended => return self.lose(server, out),
        };
        if let Some(state) = begun.filter(|_| newest.is_none_or(|newest| newest < number)) {
            self.lose(server, out);
            self.streams.insert(server.clone(), StreamEnd { number, state });
        }
    }

    /// A word over a link that another has followed says nothing any more.
    fn hear_replica(
        &mut self,
        now: Duration,
        peer: ReplicaId,
        number: u64,
        word: LinkWord,
        out: &mut Vec<Output>,
    ) {
        let newest = self.links.get(&peer).map(|end| end.number);
        if let LinkWord::Up(frames) = word {
            if newest.is_none_or(|newest| newest < number) {
                self.unlink(peer);
                self.links.insert(peer, LinkEnd { number, frames: Some(frames) });
                self.replica.linked(peer, out);
            }
            return;
        }
        if newest != Some(number) {
            return;
        }
        if !matches!(word, LinkWord::Down) {
            // a link that only comes up and breaks again is none
            self.unheard_since.remove(&peer);
        }
        match word {
            LinkWord::Said(message) => self.replica.heard(now, peer, message, out),
            LinkWord::Told { ticket, key, outcome } => self.told(ticket, &key, &outcome),
            LinkWord::Down => self.unlink(peer),
            LinkWord::Up(_) | LinkWord::Beat => {}
        }
    }

    /// The link to a replica is over; what it was asked for is asked for again.
    fn unlink(&mut self, peer: ReplicaId) {
        let Some(end) = self.links.get_mut(&peer) else { return };
        if end.frames.take().is_none() {
            return;
        }
        self.replica.unlinked(peer);
        // whether this replica is in sync may have been written since it was read
        self.want(Want::Read);
        let (now, awake) = (self.clock.elapsed(), self.live.awake(self.clock.elapsed()));
        self.unheard_since.entry(peer).or_insert(awake);
        let lost = self.passed_on.extract_if(|_, (_, to)| *to == peer).map(|(key, _)| key);
        for key in lost.collect::<Vec<_>>() {
            self.queue.put_off(now, &key, Why::NoAllocator);
            self.may_serve = true;
        }
    }

    /// Another replica says what became of a key. An answer to an earlier question is none to this one.
    fn told(&mut self, ticket: u64, key: &Key, outcome: &Outcome) {
        if self.passed_on.get(key).is_none_or(|(asked, _)| *asked != ticket) {
            return;
        }
        self.passed_on.remove(key);
        match outcome {
            // it allocates no more, or not yet: the question is asked anew soon
            Outcome::Elsewhere(_) => self.queue.put_off(self.clock.elapsed(), key, Why::NoAllocator),
            outcome => self.queue.answer(key, outcome),
        }
    }

    /// This replica does not allocate. Whoever passed a question on is told so; what was asked here is passed on.
    fn pass_on(&mut self, key: &Key, to: Option<ReplicaId>) {
        self.queue.turn_others_away(key, &Outcome::Elsewhere(to));
        let now = self.clock.elapsed();
        let Some(asked) = self.queue.asked(key).cloned() else { return };
        let ticket = self.next_ticket;
        let wait_ms = u64::try_from(self.queue.wait(now, key).as_millis()).unwrap_or(u64::MAX);
        match to.filter(|to| self.send(*to, Frame::Ask { ticket, asked, wait_ms })) {
            Some(to) => {
                self.next_ticket += 1;
                self.passed_on.insert(key.clone(), (ticket, to));
            }
            None => self.queue.put_off(now, key, Why::NoAllocator),
        }
    }

    /// Sends a frame to a replica; whether there is a link that takes it.
    fn send(&self, peer: ReplicaId, frame: Frame) -> bool {
        let frames = self.links.get(&peer).and_then(|end| end.frames.as_ref());
        frames.is_some_and(|frames| frames.try_send(frame).is_ok())
    }

    /// The stream of a server is over.
    fn lose(&mut self, server: &ServerUid, out: &mut Vec<Output>) {
        if let Some(end) = self.streams.get_mut(server) {
            end.state = StreamState::Ended;
        }
        self.proposed.remove(server);
        self.replica.unheard(server, out);
    }

    fn carry_out(&mut self, out: Vec<Output>) {
        let mut out = VecDeque::from(out);
        while let Some(output) = out.pop_front() {
            let mut more = Vec::new();
            match output {
                Output::Answer(key, answer) => self.answer(&key, answer),
                Output::Choose(key, tried) => {
                    let chosen = self.choose(&key, &tried);
                    self.note_choice(&key, chosen.as_ref(), tried.len());
                    self.replica.chosen(&key, chosen, &mut more);
                }
                Output::Propose { server, key, reign } => {
                    self.proposed.insert(server.clone(), self.live.awake(self.clock.elapsed()));
                    self.say(&server, OperatorMessage::Propose { reign, key }, &mut more);
                }
                Output::Release { server, key, reign } => {
                    self.say(&server, OperatorMessage::Release { reign, key }, &mut more);
                }
                Output::Greet { server: Some(server), reign } => {
                    self.say(&server, OperatorMessage::Greet { reign }, &mut more);
                }
                Output::Greet { server: None, reign } => self.begin(reign, &mut more),
                Output::Write(write) => self.want(Want::Write(write)),
                Output::Send(peer, message) => {
                    // a link that is so far behind that there is no room ends
                    if !self.send(peer, Frame::Message(message)) {
                        self.unlink(peer);
                    }
                }
            }
            out.extend(more);
        }
    }

    /// This replica allocates from now on: it greets all servers, and what it had asked another for is its own to answer.
    fn begin(&mut self, reign: u64, out: &mut Vec<Output>) {
        info!(reign, "this replica allocates");
        for server in self.streams.keys().cloned().collect::<Vec<_>>() {
            self.say(&server, OperatorMessage::Greet { reign }, out);
        }
        let now = self.clock.elapsed();
        for (key, _) in self.passed_on.drain() {
            self.queue.put_off(now, &key, Why::NoAllocator);
        }
        self.surveyed_at = None;
        self.may_serve = true;
    }

    /// Wants something of the API server. What finds no room is wanted again when the epoch is read.
    fn want(&self, want: Want) {
        drop(self.wants.try_send(want));
    }

    /// Says this to a server. A stream that is so far behind that there is no room ends.
    fn say(&mut self, server: &ServerUid, message: OperatorMessage, out: &mut Vec<Output>) {
        let is_sent = match self.streams.get(server).map(|end| &end.state) {
            Some(StreamState::Speaks(words)) => words.try_send(message).is_ok(),
            Some(StreamState::Mute) => return,
            Some(StreamState::Ended) | None => false,
        };
        if !is_sent {
            debug!(server = &**server, "a server cannot be told what it is asked for");
            self.lose(server, out);
        }
    }

    fn answer(&mut self, key: &Key, answer: Answer) {
        let outcome = match answer {
            Answer::Given(uid) => Outcome::Given(self.given(uid)),
            Answer::Ended(uid) => Outcome::Ended(self.given(uid)),
            Answer::Lost(uid) => Outcome::Lost(uid),
            Answer::NoServer => return self.queue.put_off(self.clock.elapsed(), key, Why::NoServer),
            Answer::Elsewhere(replica) => return self.pass_on(key, replica),
        };
        self.queue.answer(key, &outcome);
    }

    fn given(&self, uid: ServerUid) -> Given {
        let server = self.game_servers.find(|server| server.metadata.uid.as_deref() == Some(&*uid));
        Given { uid, server: server.map(|server| Arc::new(view(&server))) }
    }

    /// A server that is free and fits, none of these.
    fn choose(&self, key: &Key, tried: &BTreeSet<ServerUid>) -> Option<ServerUid> {
        let asked = self.queue.asked(key)?;
        let choosing =
            Choosing { game_servers: &self.game_servers, live: &self.live, now: self.clock.elapsed() };
        choosing.choose(asked, |uid, takes| {
            let held = self.replica.ledger().held_by(uid).count();
            self.speaks(uid)
                && !self.proposed.contains_key(uid)
                && !tried.contains(uid)
                && u32::try_from(held).is_ok_and(|held| held < takes)
        })
    }

    /// What comes of a proposal the server says itself, and the caller hears.
    fn note_choice(&self, key: &Key, chosen: Option<&ServerUid>, refused: usize) {
        let Some(asked) = self.queue.asked(key) else { return };
        let decided = match chosen {
            Some(uid) => {
                self.given(uid.clone()).server.map_or_else(|| uid.to_string(), |server| server.name.clone())
            }
            None => "no server is free that fits".to_owned(),
        };
        let Asked { labels, selectors, spread, .. } = asked;
        let why = format!("{spread:?}, {labels:?}, {} selectors; {refused} did not take it", selectors.len());
        self.journal.note(Of::Allocation, key.to_string(), decided, why);
    }

    fn speaks(&self, server: &ServerUid) -> bool {
        matches!(self.streams.get(server), Some(StreamEnd { state: StreamState::Speaks(_), .. }))
    }

    /// A server may have become free: those who wait get it in the order in which they came. For whoever asks for the same as somebody
    /// who got none there is none either, unless its key is known.
    fn serve_waiting(&mut self) {
        self.may_serve = false;
        let mut in_vain: Vec<Asked> = Vec::new();
        for key in self.queue.take_unserved() {
            let Some(asked) = self.queue.asked(&key).cloned() else { continue };
            let is_known = self.replica.ledger().get(&key).is_some();
            if !is_known && in_vain.iter().any(|other| other.is_alike(&asked)) {
                self.queue.put_back(&key);
                continue;
            }
            let mut out = Vec::new();
            self.replica.ask(key.clone(), &mut out);
            self.carry_out(out);
            if self.queue.is_unserved(&key) {
                in_vain.push(asked);
            }
        }
    }

    /// What comes by time alone.
    fn look(&mut self) {
        let (now, mut out) = (self.clock.elapsed(), Vec::new());
        for key in self.queue.tell_all_overdue(now) {
            self.passed_on.remove(&key);
            self.replica.withdraw(&key);
        }
        self.pass_over_silent(now, &mut out);
        self.miss(now, &mut out);
        self.ask_who_is_there(now);
        self.replica.tick(now);
        for peer in self.links.keys() {
            self.send(*peer, Frame::Beat);
        }
        self.carry_out(out);
        self.read_if_behind();
        self.may_serve = true;
        self.show();
    }

    fn show(&self) {
        let (is_allocator, metrics) = (self.replica.is_allocator(), &self.metrics);
        let in_sync = self.replica.epoch().map_or(0, |epoch| epoch.in_sync.len());
        metrics.allocator.set(is_allocator.into());
        metrics.settling.set(self.replica.is_settling().into());
        metrics.in_sync.set(if is_allocator { i64::try_from(in_sync).unwrap_or(i64::MAX) } else { 0 });
        metrics.waiting.set(i64::try_from(self.queue.len()).unwrap_or(i64::MAX));
    }

    /// Servers that do not answer, and streams whose tasks ended in a way that said nothing.
    fn pass_over_silent(&mut self, now: Duration, out: &mut Vec<Output>) {
        let awake = self.live.awake(now);
        let silent = self.proposed.iter().filter(|(_, since)| awake.saturating_sub(**since) >= PROPOSED_MAX);
        let silent = silent.map(|(server, _)| server.clone());
        let is_over = |end: &StreamEnd| matches!(&end.state, StreamState::Speaks(words) if words.is_closed());
        let over = self.streams.iter().filter(|(_, end)| is_over(end)).map(|(server, _)| server.clone());
        for server in silent.chain(over).collect::<HashSet<_>>() {
            self.lose(&server, out);
        }
        if self.streams.len() > self.game_servers.len() + ENDED_STREAMS_MAX {
            self.streams.retain(|_, end| !matches!(end.state, StreamState::Ended));
        }
    }

    /// Replicas in sync that nobody hears. Of a standstill of this process less than two seconds count.
    fn miss(&mut self, now: Duration, out: &mut Vec<Output>) {
        let in_sync = self.replica.epoch().map(|epoch| epoch.in_sync.clone()).unwrap_or_default();
        let me = self.replica.id();
        self.unheard_since.retain(|id, _| in_sync.contains(id));
        let awake = self.live.awake(now);
        for id in in_sync.into_iter().filter(|id| *id != me) {
            if self.links.get(&id).is_none_or(|end| end.frames.is_none()) {
                self.unheard_since.entry(id).or_insert(awake);
            }
            let since = self.unheard_since.get(&id);
            if since.is_some_and(|since| awake.saturating_sub(*since) >= MISSED_AFTER) {
                self.replica.silent(id, out);
            }
        }
    }

    /// Has all servers listed where that may say more: whoever settles, and whoever does not see a server that holds a key.
    fn ask_who_is_there(&mut self, now: Duration) {
        let is_due = self.surveyed_at.is_none_or(|at| now.saturating_sub(at) >= SURVEY_PERIOD);
        if !is_due || !self.replica.is_allocator() {
            return;
        }
        let there: HashSet<_> = self.game_servers.state().iter().filter_map(|server| server.uid()).collect();
        let is_missing = |uid: &ServerUid| !there.contains(&**uid);
        if self.replica.is_settling() || self.replica.ledger().holders().any(is_missing) {
            self.surveyed_at = Some(now);
            self.want(Want::Survey(self.replica.reign()));
        }
    }

    /// All servers that there are. One that is not among them is gone; those that may hold something and speak have to say what.
    fn surveyed(&mut self, now: Duration, reign: u64, servers: &Survey, out: &mut Vec<Output>) {
        if reign != self.replica.reign() || !self.replica.is_allocator() {
            return;
        }
        let is_mute = |uid: &ServerUid| {
            matches!(self.streams.get(uid), Some(StreamEnd { state: StreamState::Mute, .. }))
        };
        let may_hold = servers.iter().filter(|(uid, may_hold)| **may_hold && !is_mute(uid));
        let may_hold: BTreeSet<ServerUid> = may_hold.map(|(uid, _)| uid.clone()).collect();
        self.replica.settle(now, &may_hold, out);
        let gone = self.replica.ledger().holders().filter(|uid| !servers.contains_key(*uid));
        for uid in gone.cloned().collect::<BTreeSet<_>>() {
            self.replica.gone(now, &uid, out);
        }
    }
}

#[cfg(test)]
mod tests;
