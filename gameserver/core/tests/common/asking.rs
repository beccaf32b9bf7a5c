//! Players who ask for so many inputs a tick, repeat them until they hear what became of them, and keep count.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use gameserver_client::Snapshot;
use gameserver_core::{RejectReason, ServerConfig};
use gameserver_game::arena::rules;
use gameserver_protocol::PacketKind;

use super::TICK_HZ;
use super::raw::{Bench, Peer, own};

/// Inputs that a client keeps open at most.
const OPEN_MAX: u32 = 32;
const FIRST_PORT: u16 = 1000;

/// A player who repeats its inputs until it hears what became of them, as clients do.
pub struct Player {
    pub peer: Peer,
    /// New inputs in each tick, as long as not too many are open.
    pub asks: u32,
    /// Sequence of the newest input that was sent before each tick.
    pub sent: Vec<u32>,
    pub heard_tick: u64,
    pub place: (i32, i32),
    pub decided: u32,
    pub refused: BTreeMap<u32, RejectReason>,
}

impl Player {
    pub fn newest_sent(&self) -> u32 {
        self.sent.last().copied().unwrap_or(0)
    }

    /// Inputs that were carried out.
    pub fn applied(&self) -> u64 {
        u64::from(self.decided) - self.refused.len() as u64
    }

    fn inputs(&mut self) -> Vec<u8> {
        let (x, y) = self.place;
        let newest = (self.newest_sent() + self.asks).min(self.decided + OPEN_MAX);
        self.sent.push(newest);
        let moves: Vec<_> = (self.decided + 1..=newest).map(|sequence| (sequence, 0, x, y)).collect();
        self.peer.moves(self.heard_tick, &moves)
    }

    fn hear(&mut self, snapshot: &Snapshot) {
        self.heard_tick = snapshot.head.tick;
        // a stride towards the middle of the map, which is always allowed
        let inward = |at: i32| if at > rules::MAP_SIZE / 2 { at - 3000 } else { at + 3000 };
        let own = own(snapshot);
        self.place = (inward(own.x), inward(own.y));
        assert!(snapshot.head.last_input_sequence >= self.decided, "what was decided stays so");
        self.decided = snapshot.head.last_input_sequence;
        for rejected in &snapshot.rejected {
            let before = self.refused.insert(rejected.sequence, rejected.reason);
            assert!(before.is_none_or(|before| before == rejected.reason), "told anew and otherwise");
        }
    }
}

/// A server and everyone who asks it for something.
pub struct Crowd {
    pub bench: Bench,
    pub players: Vec<Player>,
    /// Between two ticks; inputs are limited to two in each 64th of a second.
    pub period: Duration,
    snapshot: Snapshot,
}

impl Crowd {
    /// Players with so many new inputs in each tick, on a server with a place for each.
    pub fn new(asks: &[u32], config: ServerConfig) -> Self {
        let mut bench = Bench::with_config(ServerConfig { capacity: asks.len(), ..config });
        let players = (FIRST_PORT..).zip(asks).map(|(port, &asks)| {
            let mut peer = bench.peer(port.into(), port);
            peer.connect(&mut bench);
            let hello = peer.moves(0, &[]);
            bench.server.handle_datagram(bench.now(), peer.address, &mut hello.clone());
            let (sent, heard_tick, place, decided) = (Vec::new(), 0, (0, 0), 0);
            Player { peer, asks, sent, heard_tick, place, decided, refused: BTreeMap::new() }
        });
        let players = players.collect();
        let period = Duration::from_secs(1) / TICK_HZ;
        let mut crowd = Self { bench, players, period, snapshot: Snapshot::default() };
        crowd.tick(|_, _| true);
        crowd
    }

    /// A period goes by, and everyone sends what it asks for.
    pub fn asked(&mut self) -> Vec<(SocketAddr, Vec<u8>)> {
        self.bench.elapsed += self.period;
        self.players.iter_mut().map(|player| (player.peer.address, player.inputs())).collect()
    }

    /// Everyone sends what it asks for, and then there is a tick, of which those hear who are told so.
    pub fn turn(&mut self, hears: impl Fn(usize, u64) -> bool) {
        for (from, mut datagram) in self.asked() {
            self.bench.server.handle_datagram(self.bench.now(), from, &mut datagram);
        }
        self.tick(hears);
    }

    pub fn tick(&mut self, hears: impl Fn(usize, u64) -> bool) {
        self.bench.server.step(self.bench.now());
        let mut buffer = [0; 1200];
        while let Some(transmit) = self.bench.server.poll_transmit(self.bench.now(), &mut buffer) {
            if hears(index(transmit.to), self.bench.server.tick()) {
                self.hear(transmit.to, &buffer[..transmit.len]);
            }
        }
    }

    /// Whose address this is takes in what the server sent.
    pub fn hear(&mut self, to: SocketAddr, datagram: &[u8]) {
        let player = &mut self.players[index(to)];
        let (kind, body) = player.peer.open(datagram);
        // the other payload is a resume token
        if kind == PacketKind::Payload && self.snapshot.decode_into(&body).is_ok() {
            player.hear(&self.snapshot);
        }
    }

    /// Inputs that the game was given so far.
    pub fn commands(&self) -> u64 {
        let counters = self.bench.server.counters();
        let before_it = [RejectReason::Overloaded, RejectReason::RateLimited];
        let refused_before_it: u64 = before_it.iter().map(|&reason| counters.rejected(reason)).sum();
        counters.inputs_applied + counters.rejected_inputs() - refused_before_it
    }

    pub fn shed(&self) -> u64 {
        self.bench.server.counters().rejected(RejectReason::Overloaded)
    }

    pub fn applied(&self) -> Vec<u64> {
        self.players.iter().map(Player::applied).collect()
    }
}

fn index(address: SocketAddr) -> usize {
    usize::from(address.port() - FIRST_PORT)
}

/// Jain's index of fairness in thousandths: 1000 when all are the same, 1000 / n when one has everything.
pub fn jain(shares: &[u64]) -> u64 {
    let (sum, squares) = (shares.iter().sum::<u64>(), shares.iter().map(|share| share * share).sum::<u64>());
    1000 * sum * sum / (shares.len() as u64 * squares)
}
