//! Many bots on one thread. A turn takes what arrived, does what is due in between and then sleeps for at most half a
//! millisecond: bursts are taken together, and no input is late by more.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use gameserver_access::{Role, Visit, secure_bytes};
use gameserver_client::Now;
use gameserver_protocol::Key;
use gameserver_sys::Clock;
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;

use crate::bot::{Bot, Life, Place, Play};
use crate::session::Session;
use crate::stats::Stats;

/// Longest sleep of a turn.
const SLEEP_MAX: Duration = Duration::from_micros(500);
/// Sockets that one turn takes from at most; the rest is taken by the next.
const EVENTS_MAX: usize = 4096;
/// Sockets that are read before what is due is looked for again; reading one takes some ten microseconds.
const RECEIVES_A_LOOK: usize = 16;
/// The longest datagram that a server sends, and room to spare.
const BUFFER_BYTES: usize = 2048;

/// How to get onto a server.
#[derive(Clone, Copy)]
pub(crate) enum Ticket {
    /// Mint a connect token with the server's key.
    Key(Key),
    /// The toy takes everyone.
    Toy,
}

/// Bots, their sockets and their figures by region.
pub(crate) struct Swarm {
    clock: Clock,
    play: Play,
    /// Level-triggered: one system call a datagram, and a socket that holds another is told of again.
    poll: OwnedFd,
    events: Vec<epoll::Event>,
    buffer: Vec<u8>,
    bots: Vec<Option<Bot>>,
    /// When each place of `bots` has something to do; scanned each turn, so it is kept apart and dense.
    due: Vec<Duration>,
    free: Vec<usize>,
    pub(crate) stats: Vec<Stats>,
}

impl Swarm {
    pub(crate) fn new(regions: usize, play: Play, clock: Clock) -> io::Result<Self> {
        Ok(Self {
            clock,
            play,
            poll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            events: Vec::with_capacity(EVENTS_MAX),
            buffer: vec![0; BUFFER_BYTES],
            bots: Vec::new(),
            due: Vec::new(),
            free: Vec::new(),
            stats: vec![Stats::default(); regions],
        })
    }

    pub(crate) fn now(&self) -> Now {
        Now { monotonic: self.clock.monotonic(), unix: self.clock.unix() }
    }

    /// Sends a new bot to a server.
    pub(crate) fn join(&mut self, place: Place, server: SocketAddr, ticket: Ticket) -> anyhow::Result<()> {
        let now = self.now();
        let session = match ticket {
            Ticket::Key(key) => {
                let token = Visit::of_somebody_new(server, Role::Player).mint(&key, now.unix)?;
                Session::game(token, self.play.tick_hz, now)
            }
            Ticket::Toy => Session::toy(server),
        };
        let bot = Bot::new(place, session, self.play, now, u64::from_le_bytes(secure_bytes()))?;
        let at = self.free.pop().unwrap_or(self.bots.len());
        let token = epoll::EventData::new_u64(at as u64);
        epoll::add(&self.poll, &bot.socket, token, epoll::EventFlags::IN)?;
        if at == self.bots.len() {
            self.bots.push(None);
            self.due.push(Duration::MAX);
        }
        self.due[at] = now.monotonic;
        self.bots[at] = Some(bot);
        Ok(())
    }

    /// Has one bot leave the place; false when none is there.
    pub(crate) fn leave(&mut self, place: &Place) -> bool {
        let is_there = |bot: &Option<Bot>| bot.as_ref().is_some_and(|bot| bot.place == *place);
        let Some(at) = self.bots.iter().rposition(is_there) else { return false };
        self.dismiss(at);
        true
    }

    /// Has everyone leave.
    pub(crate) fn leave_all(&mut self) {
        (0..self.bots.len()).for_each(|at| self.dismiss(at));
    }

    fn dismiss(&mut self, at: usize) {
        let now = self.now();
        if let Some(bot) = &mut self.bots[at] {
            bot.leave(now, &mut self.buffer);
        }
        self.remove(at);
    }

    fn remove(&mut self, at: usize) {
        if self.bots[at].take().is_some() {
            // closing its socket has ended the watch as well
            self.due[at] = Duration::MAX;
            self.free.push(at);
        }
    }

    /// Bots of a region by server, those who are joining included, and how many of them play.
    pub(crate) fn census(&self, region: usize) -> BTreeMap<String, Census> {
        let mut census = BTreeMap::<String, Census>::new();
        for bot in self.bots.iter().flatten().filter(|bot| bot.place.region == region) {
            let server = census.entry(bot.place.server.to_string()).or_default();
            server.bots += 1;
            server.playing += u32::from(bot.life == Life::Playing);
        }
        census
    }

    /// Inputs of each bot that were carried out, in an order that stays while nobody comes or goes.
    pub(crate) fn applied(&self) -> Vec<u64> {
        self.bots.iter().flatten().map(|bot| bot.applied).collect()
    }

    /// One turn.
    pub(crate) fn turn(&mut self) -> io::Result<()> {
        self.events.clear();
        match epoll::wait(&self.poll, spare_capacity(&mut self.events), Some(&Timespec::default())) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for turn in 0..self.events.len() {
            // a tick's states arrive at once and take milliseconds to read: inputs do not wait for the last of them
            if turn % RECEIVES_A_LOOK == 0 {
                self.act();
            }
            let at = usize::try_from(self.events[turn].data.u64()).unwrap_or(usize::MAX);
            let now = self.now();
            if let Some(Some(bot)) = self.bots.get_mut(at) {
                bot.receive(now, &mut self.buffer, &mut self.stats[bot.place.region]);
                self.due[at] = bot.due();
            }
        }
        self.act();
        let earliest = self.due.iter().min().copied().unwrap_or(Duration::MAX);
        let sleep = earliest.saturating_sub(self.clock.monotonic()).min(SLEEP_MAX);
        if !sleep.is_zero() {
            pause(sleep);
        }
        Ok(())
    }

    fn act(&mut self) {
        let mut now = self.now();
        for at in 0..self.bots.len() {
            if self.due[at] > now.monotonic {
                continue;
            }
            if let Some(bot) = &mut self.bots[at] {
                now.monotonic = self.clock.monotonic();
                bot.act(now, &mut self.buffer, &mut self.stats[bot.place.region]);
                self.due[at] = bot.due();
                if bot.life == Life::Gone {
                    self.remove(at);
                }
            }
        }
    }
}

/// Bots on one server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Census {
    /// All.
    pub(crate) bots: u32,
    /// Those in the game.
    pub(crate) playing: u32,
}

#[expect(clippy::disallowed_methods, reason = "a bounded pause between turns is what makes bots cheap")]
fn pause(sleep: Duration) {
    std::thread::sleep(sleep);
}
