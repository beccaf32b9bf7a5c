//! One bot: a client that walks about, checks each confirmation and notes how long it took.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::rc::Rc;
use std::time::Duration;

use gameserver_client::{Event, Now};
use gameserver_game::arena::notices::Notice;
use gameserver_game::arena::rules::MAP_SIZE;
use gameserver_protocol::micros;

use crate::random::Random;
use crate::session::{Session, State};
use crate::stats::Stats;

/// Inputs that a bot remembers at most; the client gives up before that many are open.
const OPEN_INPUTS_MAX: usize = 256;
/// Inputs sent in one turn at most, after a stall; the schedule is kept, so the rest is as late as it is.
const INPUTS_PER_TURN: u32 = 8;
/// How much before the last moment inputs are sent at most that are just in time: this part of a tick. Games make them once a frame,
/// wherever that falls; and a thousand bots on one core that all send within two milliseconds of 16 are late by as much.
const EARLY_PART: u32 = 4;
/// How far a player walks in a second at most, thousandths of a unit.
const WALK_SPEED: i64 = 10_000;
/// What rounding may add to a walk.
const WALK_SLACK: i64 = 200;

/// Where a bot belongs: the number of its region, and its server's name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) region: usize,
    pub(crate) server: Rc<str>,
}

/// How a bot plays.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Play {
    pub(crate) input_period: Duration,
    pub(crate) tick_hz: u32,
    /// Whether inputs are sent just in time for each tick, as a game's client does, instead of at a phase of their own.
    pub(crate) is_in_phase: bool,
    /// Inputs that are sent whenever some are due.
    pub(crate) inputs_at_once: u32,
}

/// Where a bot is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Joining,
    Playing,
    Gone,
}

/// One player: a socket, a session and a schedule.
pub(crate) struct Bot {
    pub(crate) place: Place,
    pub(crate) life: Life,
    pub(crate) socket: UdpSocket,
    session: Session,
    random: Random,
    play: Play,
    next_input: Duration,
    /// Inputs whose outcome is open, and when each was due.
    open: VecDeque<(u32, Duration)>,
    confirmed: Option<Confirmed>,
    /// Inputs that were carried out.
    pub(crate) applied: u64,
    /// Reused.
    events: Vec<Event>,
}

#[derive(Clone, Copy, Debug)]
struct Confirmed {
    tick: u64,
    x: i32,
    y: i32,
}

impl Bot {
    pub(crate) fn new(place: Place, session: Session, play: Play, now: Now, seed: u64) -> io::Result<Self> {
        let server = session.server();
        let any = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind(SocketAddr::new(any, 0))?;
        socket.connect(server)?;
        socket.set_nonblocking(true)?;
        let mut random = Random::new(seed);
        // each bot has its own phase, as players have
        let period_us = u64::try_from(play.input_period.as_micros()).unwrap_or(u64::MAX).max(1);
        let phase = Duration::from_micros(random.next() % period_us);
        Ok(Self {
            place,
            life: Life::Joining,
            socket,
            session,
            random,
            play,
            next_input: now.monotonic + phase,
            open: VecDeque::new(),
            confirmed: None,
            applied: 0,
            events: Vec::new(),
        })
    }

    /// When the bot has something to do by itself.
    pub(crate) fn due(&self) -> Duration {
        let session = self.session.poll_timeout().unwrap_or(Duration::MAX);
        if self.life == Life::Playing { session.min(self.next_input) } else { session }
    }

    /// Takes one datagram of what arrived.
    pub(crate) fn receive(&mut self, now: Now, buffer: &mut [u8], stats: &mut Stats) {
        // an error is one of an earlier send, by ICMP: the session finds out by the silence
        if let Ok(len) = self.socket.recv(buffer)
            && self.session.handle_datagram(now, &mut buffer[..len])
        {
            stats.totals.snapshots += 1;
            stats.totals.snapshot_bytes += len as u64;
        }
        self.events.extend(std::iter::from_fn(|| self.session.poll_event()));
        // who comes back from the dead does so elsewhere, and a match begins with everyone elsewhere
        if self.events.iter().any(is_return) {
            self.confirmed = None;
        }
        let mut events = std::mem::take(&mut self.events);
        for event in events.drain(..) {
            self.check(event, now.monotonic, stats);
        }
        self.events = events;
        self.follow_session(now.monotonic, stats);
    }

    /// Sends the inputs that are due and whatever the session has to say.
    pub(crate) fn act(&mut self, now: Now, buffer: &mut [u8], stats: &mut Stats) {
        self.session.update(now);
        self.follow_session(now.monotonic, stats);
        for _ in 0..INPUTS_PER_TURN {
            if self.life != Life::Playing || self.next_input > now.monotonic {
                break;
            }
            let due = self.next_input;
            let has_sent = (0..self.play.inputs_at_once).all(|_| self.send_input(due, now, stats));
            self.next_input =
                if has_sent { self.after(due, now) } else { self.next_input + self.play.input_period };
        }
        self.send(now, buffer);
    }

    /// Has the session send an input that is due; false while it cannot.
    fn send_input(&mut self, due: Duration, now: Now, stats: &mut Stats) -> bool {
        let sent = self.session.send_input(now, self.play.is_in_phase, &mut self.random);
        let Some(sequence) = sent else { return false };
        stats.record_sent(due, now.monotonic);
        if self.open.len() == OPEN_INPUTS_MAX {
            self.open.pop_front();
            stats.totals.lost += 1;
        }
        self.open.push_back((sequence, due));
        true
    }

    /// When the input after that of `due` is due.
    fn after(&mut self, due: Duration, now: Now) -> Duration {
        let (next, tick) = (due + self.play.input_period, Duration::from_secs(1) / self.play.tick_hz);
        match self.session.next_input_at(now) {
            // the last moment of those that are just in time for a tick which is not after the schedule
            Some(in_time) if self.play.is_in_phase => {
                let ticks = next.saturating_sub(in_time).as_nanos() / tick.as_nanos();
                let last = in_time + tick * u32::try_from(ticks).unwrap_or(0);
                let early = Duration::from_micros(self.random.next() % (micros(tick / EARLY_PART) + 1));
                last.saturating_sub(early).max(due)
            }
            _ => next,
        }
    }

    /// Says goodbye.
    pub(crate) fn leave(&mut self, now: Now, buffer: &mut [u8]) {
        self.session.disconnect();
        self.life = Life::Gone;
        self.send(now, buffer);
    }

    fn send(&mut self, now: Now, buffer: &mut [u8]) {
        while let Some(len) = self.session.poll_transmit(now, buffer) {
            // what cannot be sent is lost, as on any other part of the way
            let _sent = self.socket.send(&buffer[..len]);
        }
    }

    fn follow_session(&mut self, now: Duration, stats: &mut Stats) {
        match (self.life, self.session.state()) {
            (Life::Joining, State::Playing) => {
                self.life = Life::Playing;
                // the schedule starts now, at the bot's own phase
                while self.next_input < now {
                    self.next_input += self.play.input_period;
                }
                stats.totals.joins += 1;
            }
            (Life::Joining, State::Refused | State::Lost) => {
                self.life = Life::Gone;
                stats.totals.refused += 1;
            }
            (Life::Playing, State::Refused | State::Lost) => {
                self.life = Life::Gone;
                stats.totals.disconnects += 1;
            }
            _ => {}
        }
    }

    fn check(&mut self, event: Event, now: Duration, stats: &mut Stats) {
        match event {
            Event::Confirmed { input_seq, .. } => {
                let known = self.settle(input_seq, now, stats);
                stats.totals.confirmed += 1;
                self.applied += 1;
                // several snapshots may have come at once: the place is that of the newest, and so is its tick
                let confirmed = self.session.place().map(|(tick, x, y)| Confirmed { tick, x, y });
                let is_possible = confirmed
                    .is_some_and(|confirmed| is_possible(self.confirmed, confirmed, self.play.tick_hz));
                if !known || !is_possible {
                    stats.totals.mismatches += 1;
                }
                self.confirmed = confirmed;
            }
            Event::Notice(_) => {}
            Event::Rejected { input_seq, .. } => {
                stats.totals.rejected += 1;
                if !self.settle(input_seq, now, stats) {
                    stats.totals.mismatches += 1;
                }
            }
            Event::Corrected { .. } => stats.totals.corrections += 1,
            Event::GivenUp { input_seq } => {
                // one that was too old to be remembered is counted already
                let before = self.open.len();
                self.open.retain(|&(sequence, _)| sequence != input_seq);
                stats.totals.lost += u64::from(self.open.len() < before);
            }
        }
    }

    /// Records the latency of an input; false when it is not open.
    fn settle(&mut self, sequence: u32, now: Duration, stats: &mut Stats) -> bool {
        let Some(at) = self.open.iter().position(|&(open, _)| open == sequence) else { return false };
        // a toy state settles all before the newest as well
        let settled = if matches!(self.session, Session::Toy(_)) { 0..=at } else { at..=at };
        for (_, due) in self.open.drain(settled) {
            stats.record_answer(due, now);
        }
        true
    }
}

fn is_return(event: &Event) -> bool {
    let Event::Notice(notice) = event else { return false };
    matches!(Notice::read(notice), Some(Notice::Respawned { .. } | Notice::MatchStarted { .. }))
}

/// Whether the rules of the game let a player be `now` where it was `before`.
fn is_possible(before: Option<Confirmed>, now: Confirmed, tick_hz: u32) -> bool {
    let on_map = (0..=MAP_SIZE).contains(&now.x) && (0..=MAP_SIZE).contains(&now.y);
    let reachable = before.is_none_or(|before| {
        let Some(ticks) = now.tick.checked_sub(before.tick) else { return false };
        let ticks = i64::try_from(ticks).unwrap_or(i64::MAX / WALK_SPEED);
        let reach = ticks.saturating_mul(WALK_SPEED) / i64::from(tick_hz) + WALK_SLACK;
        let (dx, dy) = (i64::from(now.x) - i64::from(before.x), i64::from(now.y) - i64::from(before.y));
        dx * dx + dy * dy <= reach.saturating_mul(reach)
    });
    on_map && reachable
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_confirmation_off_the_map_too_far_or_back_in_time_is_impossible() {
        let at = |tick, x, y| Confirmed { tick, x, y };
        let cases = [
            ("the first", None, at(1, 5, 5), true),
            ("off the map", None, at(1, -1, 5), false),
            ("beyond the map", None, at(1, 5, MAP_SIZE + 1), false),
            ("a second's walk", Some(at(1, 0, 0)), at(65, 10_000, 0), true),
            ("further than a second's walk", Some(at(1, 0, 0)), at(65, 10_500, 0), false),
            ("diagonally further", Some(at(1, 0, 0)), at(65, 9_000, 9_000), false),
            ("standing in the same tick", Some(at(1, 7, 7)), at(1, 7, 7), true),
            ("back in time", Some(at(2, 7, 7)), at(1, 7, 7), false),
        ];
        for (name, before, now, possible) in cases {
            assert_eq!(is_possible(before, now, 64), possible, "{name}");
        }
    }
}
