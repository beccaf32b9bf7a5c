//! A client that plays against the server through the network, a millisecond at a time.

use std::collections::BTreeMap;
use std::time::Duration;

use gameserver_client::{Client, Event, Frame};
use gameserver_game::Game;
use gameserver_protocol::PacketKind;

use super::server::Server;
use super::walk::{Field, Walk, Walker};
use super::{Random, Session, TICK_HZ, addresses, at, mint};

const STEP: Duration = Duration::from_millis(1);

/// What the network does to each datagram.
#[derive(Clone, Copy, Debug)]
pub struct Network {
    pub loss_percent: u64,
    pub duplicate_percent: u64,
    /// Each way.
    pub there_ms: u64,
    pub back_ms: u64,
    /// Uniform and on top; more than the time between two datagrams reorders them.
    pub jitter_ms: u64,
}

pub const BAD: Network =
    Network { loss_percent: 5, duplicate_percent: 5, there_ms: 25, back_ms: 25, jitter_ms: 50 };
pub const GOOD: Network =
    Network { loss_percent: 0, duplicate_percent: 0, there_ms: 20, back_ms: 20, jitter_ms: 0 };

pub struct World {
    pub client: Client<Field>,
    pub server: Server,
    pub network: Network,
    pub random: Random,
    pub elapsed: Duration,
    pub events: Vec<Event>,
    /// When the player asks for something: each tick, or not at all.
    pub plays: bool,
    pub walk: Walk,
    /// It turns once in so many ticks, or never.
    pub turns: Option<u64>,
    /// The server stands still until then.
    pub stalled_until: Duration,
    /// Where every walker was at each tick.
    pub paths: BTreeMap<u64, BTreeMap<u32, Walker>>,
    /// The frame of every 16 ms, with its time.
    pub frames: Vec<(Duration, Frame)>,
    /// How many were to be seen in the newest frame.
    pub seen: usize,
    /// What is measured of the client's own doing, and how often it went up.
    pub meter: fn() -> u64,
    pub metered: u64,
    flying: BTreeMap<(Duration, u64), (bool, Vec<u8>)>,
    sent: u64,
}

impl World {
    pub fn new(seed: u64, network: Network) -> Self {
        let token = mint(&addresses()[..1]);
        let mut session = Session::new(&token);
        let mut client = Client::new(token, TICK_HZ, at(Duration::ZERO), [1; 32]);
        let mut buffer = [0; 1200];
        for (kind, body) in [(PacketKind::Challenge, &[5; 308][..]), (PacketKind::KeepAlive, &[0; 8])] {
            assert!(client.poll_transmit(at(Duration::ZERO), &mut buffer).is_some());
            client.handle_datagram(at(Duration::ZERO), &mut session.seal(kind, body));
        }
        Self {
            client,
            server: Server::new(session),
            network,
            random: Random::new(seed),
            elapsed: Duration::ZERO,
            events: Vec::new(),
            plays: true,
            walk: Walk { east: 0, north: 0 },
            turns: Some(6),
            stalled_until: Duration::ZERO,
            paths: BTreeMap::new(),
            frames: Vec::new(),
            seen: 0,
            meter: || 0,
            metered: 0,
            flying: BTreeMap::new(),
            sent: 0,
        }
    }

    /// Others who walk about.
    pub fn with_others(mut self, count: u32) -> Self {
        (1..=count).for_each(|player| self.server.field.join(player, 1));
        self
    }

    fn send(&mut self, to_server: bool, bytes: &[u8]) {
        let copies = 1 + u64::from(self.random.percent(self.network.duplicate_percent));
        for _ in 0..copies {
            if self.random.percent(self.network.loss_percent) {
                continue;
            }
            let flush = if to_server { Duration::ZERO } else { self.server.flush_takes };
            let way = if to_server { self.network.there_ms } else { self.network.back_ms };
            let jitter_us = self.random.below(self.network.jitter_ms * 1000 + 1);
            let jitter = Duration::from_micros(jitter_us);
            let arrival = self.elapsed + flush + Duration::from_millis(way) + jitter;
            self.sent += 1;
            self.flying.insert((arrival, self.sent), (to_server, bytes.to_vec()));
        }
    }

    fn deliver(&mut self) {
        while let Some(next) = self.flying.first_entry().filter(|next| next.key().0 <= self.elapsed) {
            let (to_server, mut bytes) = next.remove();
            if to_server {
                self.server.receive(self.elapsed, &mut bytes);
            } else {
                let before = (self.meter)();
                self.client.handle_datagram(at(self.elapsed), &mut bytes);
                self.metered += (self.meter)() - before;
            }
        }
    }

    fn serve(&mut self) {
        if self.elapsed < self.stalled_until {
            return;
        }
        while self.server.due <= self.elapsed {
            let age = self.elapsed.saturating_sub(self.server.due);
            // as the zone does: ticks that were missed are let go
            let missed = age.as_nanos() / self.server.tick_period.as_nanos();
            self.server.due += self.server.tick_period * u32::try_from(missed + 1).expect("few");
            // those who are not the client's change their way now and then
            let others: Vec<_> =
                self.server.field.walkers.keys().copied().filter(|&player| player > 0).collect();
            for player in others {
                if self.random.below(32) == 0 {
                    let walk = Walk { east: self.random.sign(), north: self.random.sign() };
                    self.server.field.walkers.get_mut(&player).expect("there").walk = walk;
                }
            }
            self.server.step();
            self.paths.insert(self.server.field.tick(), self.server.field.walkers.clone());
            if self.server.is_snapshot_due() {
                let flush = self.server.flush_takes;
                let snapshot = self.server.snapshot(self.elapsed + flush, age + flush);
                self.send(false, &snapshot);
            }
        }
    }

    fn play(&mut self) {
        let (now, before) = (at(self.elapsed), (self.meter)());
        self.client.update(now);
        if self.plays && self.client.next_input_at(now).is_some_and(|due| due <= now.monotonic) {
            if self.turns.is_some_and(|turns| self.random.below(turns) == 0) {
                self.walk = Walk { east: self.random.sign(), north: self.random.sign() };
            }
            self.client.send(now, self.walk);
        }
        let frame = self.elapsed.as_millis().is_multiple_of(16).then(|| self.client.frame(now)).flatten();
        if let Some(frame) = frame {
            self.seen = self.client.view().at(frame.view_tick).count();
        }
        self.metered += (self.meter)() - before;
        self.frames.extend(frame.map(|frame| (self.elapsed, frame)));
        let mut buffer = [0; 1200];
        loop {
            let before = (self.meter)();
            let transmit = self.client.poll_transmit(now, &mut buffer);
            self.metered += (self.meter)() - before;
            let Some(transmit) = transmit else { break };
            self.send(true, &buffer[..transmit.len]);
        }
        self.events.extend(std::iter::from_fn(|| self.client.poll_event()));
    }

    /// Lets a millisecond pass.
    pub fn step(&mut self) {
        self.elapsed += STEP;
        self.deliver();
        self.serve();
        self.play();
    }

    /// Lets time pass.
    pub fn run(&mut self, seconds: f64) {
        let end = self.elapsed + Duration::from_secs_f64(seconds);
        while self.elapsed < end {
            self.step();
        }
    }

    /// The tick that the server is at, with its fraction.
    pub fn server_tick(&self) -> f64 {
        let begun = (self.elapsed + self.server.tick_period).saturating_sub(self.server.due);
        let whole = u32::try_from(self.server.field.tick()).expect("a young server");
        f64::from(whole) + begun.as_secs_f64() / self.server.tick_period.as_secs_f64()
    }

    /// Where a walker was at a moment, hundredths of a unit; `None` for a moment that is not over.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole ticks")]
    pub fn truth(&self, player: u32, tick: f64) -> Option<(f64, f64)> {
        let place = |tick: f64| {
            let walker = self.paths.get(&(tick as u64))?.get(&player)?;
            Some((f64::from(walker.x), f64::from(walker.y)))
        };
        let (before, after) = (place(tick.floor())?, place(tick.floor() + 1.0)?);
        let part = tick.fract();
        Some((before.0 + (after.0 - before.0) * part, before.1 + (after.1 - before.1) * part))
    }
}
