//! A player: a client with a clock of its own, a way there and a way back, and somebody who plays.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use gameserver_client::{Client, ClientState};
use gameserver_core::Now;
use gameserver_protocol::message::Inputs;
use gameserver_protocol::{
    ConnectToken, ConnectTokenClaims, PROTOCOL_ID, PacketHeader, PacketKey, PacketKind, SPECTATOR,
    TOKEN_RANDOM_BYTES, USER_DATA_BYTES, micros,
};

use crate::chance::{Chance, Concern};
use crate::game::Watched;
use crate::ledger::Ledger;
use crate::network::{Quality, Way};
use crate::process::{SERVER_KEY, unix, zone_address};
use crate::{Plan, TICK_HZ};

/// Between two inputs of an honest player, microseconds.
const INPUT_PERIOD_US: u64 = 50_000;
/// Where the addresses of players begin.
const NET: u8 = 10;
/// Datagrams of others that a replayer keeps.
pub(crate) const RECORDED_MAX: usize = 64;

/// How a player plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// By the rules, with the client library.
    Honest,
    /// Looks on.
    Spectator,
    /// Changes its messages and sends garbage.
    Malformed,
    /// Sends again what it and its neighbour have sent.
    Replayer,
    /// Uses the token of its neighbour from elsewhere at the same time.
    Thief,
    /// Moves too far and too often.
    Speeder,
    /// Attacks whom it does not see and what it was never told of.
    Seer,
    /// Sends far too much.
    Flooder,
}

impl Kind {
    const HOSTILE: [Self; 6] =
        [Self::Malformed, Self::Replayer, Self::Thief, Self::Speeder, Self::Seer, Self::Flooder];

    /// Each tenth is hostile, each sixteenth looks on.
    pub(crate) fn of(index: usize, plan: &Plan) -> Self {
        if plan.faults.hostile && index % 10 == 9 {
            Self::HOSTILE[index / 10 % Self::HOSTILE.len()]
        } else if index % 16 == 15 {
            Self::Spectator
        } else {
            Self::Honest
        }
    }

    /// Whether everything that it is told has to be so.
    pub(crate) fn is_honest(self) -> bool {
        matches!(self, Self::Honest | Self::Spectator)
    }
}

/// A clock that was set wrong and goes wrong.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Skew {
    /// When it was started before the run, microseconds.
    offset_us: u64,
    /// By how much it is set wrong, milliseconds.
    wrong_ms: i32,
    /// By how much it goes fast, parts in a million.
    ppm: i32,
}

impl Skew {
    fn any(chance: &mut Chance) -> Self {
        Self {
            offset_us: u64::from(chance.below(100_000_000)),
            wrong_ms: chance.between(-2000, 2000),
            ppm: chance.between(-200, 200),
        }
    }

    /// Twenty seconds: the wall's time alone, as when somebody sets the clock.
    pub(crate) fn turn_back(&mut self) {
        self.wrong_ms -= 20_000;
    }

    fn now(self, elapsed_us: u64) -> Now {
        // fits for a century
        let fast = elapsed_us.cast_signed() * i64::from(self.ppm) / 1_000_000;
        let monotonic = Duration::from_micros((self.offset_us + elapsed_us).saturating_add_signed(fast));
        let wrong = Duration::from_millis(self.wrong_ms.unsigned_abs().into());
        let right = unix(elapsed_us);
        Now { monotonic, unix: if self.wrong_ms < 0 { right.saturating_sub(wrong) } else { right + wrong } }
    }

    /// When a moment of this clock is, rounded up.
    fn elapsed_us(self, local: Duration) -> u64 {
        let since = i128::from(micros(local)) - i128::from(self.offset_us);
        let elapsed = since * 1_000_000 / (1_000_000 + i128::from(self.ppm)) + 2;
        u64::try_from(elapsed).unwrap_or(0)
    }
}

/// One player.
pub(crate) struct Player {
    pub(crate) id: u64,
    pub(crate) kind: Kind,
    pub(crate) address: SocketAddr,
    pub(crate) client: Option<Client<Watched>>,
    pub(crate) token: Option<ConnectToken>,
    pub(crate) ledger: Ledger,
    /// Whether this client has ever been connected, and in which boot of the process it began.
    pub(crate) was_connected: bool,
    pub(crate) connected_us: u64,
    pub(crate) boot: u32,
    /// Which of its clients was told that there is no place for it.
    denied: Option<u32>,
    /// Until when it neither sends nor receives, microseconds.
    pub(crate) away_until: u64,
    /// When it next begins anew, once it has no session.
    pub(crate) returns_at: Option<u64>,
    pub(crate) skew: Skew,
    pub(crate) up: Way,
    pub(crate) down: Way,
    pub(crate) mind: Chance,
    pub(crate) wake: Option<u64>,
    pub(crate) next_input: u64,
    /// Slot where it was last seen by the checks.
    pub(crate) slot_hint: usize,
    /// What a hostile player has seen pass by: from where, and what.
    pub(crate) recorded: VecDeque<(SocketAddr, Vec<u8>)>,
    starts: u32,
    chance: Chance,
}

fn quality(plan: &Plan, chance: &mut Chance) -> Quality {
    let mut upto = |most: u32| chance.below(most + 1);
    let delay_us = 5000 + upto(60_000);
    let quality = Quality {
        loss: upto(30),
        bad_loss: 0,
        worsens: 0,
        heals: 1000,
        duplicates: upto(10),
        late: upto(10),
        delay_us,
        jitter_us: upto(15_000),
    };
    if plan.faults.bursts {
        Quality { bad_loss: 300 + upto(500), worsens: upto(4), heals: 30 + upto(200), ..quality }
    } else {
        quality
    }
}

impl Player {
    pub(crate) fn new(index: usize, plan: &Plan) -> Self {
        let whose = index as u64;
        let mut chance = Chance::new(plan.seed, Concern::Players, whose);
        let way = |concern, quality| Way::new(quality, Chance::new(plan.seed, concern, whose));
        let kind = Kind::of(index, plan);
        Self {
            id: whose + 1,
            kind,
            address: SocketAddr::from(([10, 0, 0, 0], 0)),
            client: None,
            token: None,
            ledger: Ledger::default(),
            was_connected: false,
            connected_us: 0,
            boot: 0,
            denied: None,
            away_until: 0,
            // not all at one moment
            returns_at: Some(u64::from(chance.below(1_000_000))),
            skew: Skew::any(&mut chance),
            up: way(Concern::Up, quality(plan, &mut chance)),
            down: way(Concern::Down, quality(plan, &mut chance)),
            mind: Chance::new(plan.seed, Concern::Mind, whose),
            wake: None,
            next_input: 0,
            slot_hint: 0,
            recorded: VecDeque::new(),
            starts: 0,
            chance,
        }
    }

    /// Whose an address may be: each player has one of its own, and many ports there.
    pub(crate) fn index_of(address: SocketAddr) -> Option<usize> {
        let SocketAddr::V4(address) = address else { return None };
        let [net, high, middle, low] = address.ip().octets();
        let id = u32::from_be_bytes([0, high, middle, low]);
        (net == NET).then(|| id.checked_sub(1))?.map(|index| index as usize)
    }

    pub(crate) fn now(&self, elapsed_us: u64) -> Now {
        self.skew.now(elapsed_us)
    }

    pub(crate) fn is_on(&self, elapsed_us: u64) -> bool {
        elapsed_us >= self.away_until
    }

    /// Whether it is back for long enough to have noticed what it missed.
    pub(crate) fn has_been_on(&self, elapsed_us: u64) -> bool {
        elapsed_us >= self.away_until + 1_000_000
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.client.as_ref().is_some_and(|client| client.state() == ClientState::Connected)
    }

    /// Whether it comes back after a while of silence, rather than wait for the time-out.
    pub(crate) fn is_quick(&self) -> bool {
        self.kind != Kind::Thief && self.id.is_multiple_of(2)
    }

    /// A token of the backend, for any zone.
    fn mint(&mut self, elapsed_us: u64, zones: usize) -> ConnectToken {
        let zone = self.chance.below(u32::try_from(zones).unwrap_or(1)) as usize;
        let mut user_data = [0; USER_DATA_BYTES];
        if self.kind == Kind::Spectator {
            user_data[0] = SPECTATOR;
        }
        let random: [u8; TOKEN_RANDOM_BYTES] = self.chance.bytes();
        // any zone will do, this one first
        let addresses: Vec<_> = (zone..zones).chain(0..zone).map(zone_address).collect();
        ConnectTokenClaims {
            protocol_id: PROTOCOL_ID,
            server_addresses: &addresses,
            client_id: self.id,
            user_data: &user_data,
            now_unix: unix(elapsed_us),
            lifetime_seconds: 30,
            timeout_seconds: 5,
        }
        .mint(&SERVER_KEY, &random)
        .expect("valid claims")
    }

    /// Begins a session: by its newest resume token if it has one, else by a token of the backend for any zone.
    pub(crate) fn begin(&mut self, elapsed_us: u64, boot: u32, plan: &Plan) {
        let now = self.now(elapsed_us);
        let resumed = self.client.as_ref().and_then(|client| client.resume_token(now));
        let token = resumed.unwrap_or_else(|| self.mint(elapsed_us, plan.zones));
        self.begin_with(elapsed_us, boot, token);
    }

    pub(crate) fn begin_with(&mut self, elapsed_us: u64, boot: u32, token: ConnectToken) {
        // every other time from the same port
        if self.starts == 0 || self.chance.permille(500) {
            let [_, high, middle, low] = u32::try_from(self.id).unwrap_or(0).to_be_bytes();
            let host = [NET, high, middle, low];
            let port = 10_000 + u16::try_from(self.starts % 50_000).unwrap_or(0);
            self.address = SocketAddr::from((host, port));
        }
        self.starts += 1;
        let now = self.now(elapsed_us);
        self.client = Some(Client::new(token.clone(), TICK_HZ, now, self.chance.bytes()));
        self.token = Some(token);
        self.ledger = self.ledger.next(self.kind == Kind::Spectator);
        (self.was_connected, self.boot) = (false, boot);
        self.next_input = 0;
        self.returns_at = None;
    }

    /// Something has reached a zone from its address. What others repeat in its name reaches other zones as well.
    pub(crate) fn note_arrival(&mut self, boot: u32, zone: usize, tick: u64, bytes: &[u8]) {
        let Self { client: Some(client), token: Some(token), ledger, .. } = self else { return };
        let is_there = client.server_address() == zone_address(zone);
        if self.kind != Kind::Honest || !is_there || !ledger.awaits_arrivals() {
            return;
        }
        let Ok(header) = PacketHeader::parse(bytes) else { return };
        if header.kind != PacketKind::Payload {
            return;
        }
        let mut opened = bytes.to_vec();
        let body = PacketKey::new(&token.client_to_server_key, PROTOCOL_ID).open(&header, &mut opened);
        if let Some(message) = body.ok().and_then(|body| Inputs::decode(body).ok()) {
            ledger.arrived(boot, zone, tick, &message);
        }
    }

    /// It is told that there is no place for it.
    pub(crate) fn is_denied(&mut self) {
        self.denied = Some(self.starts);
    }

    /// It is in. Returns whether it was told before that there is no place, and came again.
    pub(crate) fn comes_in(&mut self, elapsed_us: u64) -> bool {
        (self.was_connected, self.connected_us) = (true, elapsed_us);
        self.denied.take().is_some_and(|denied| denied < self.starts)
    }

    /// It has no session any more: it begins another one in a while.
    pub(crate) fn give_up(&mut self, elapsed_us: u64) {
        let pause = 200_000 + u64::from(self.chance.below(2_000_000));
        self.returns_at.get_or_insert(elapsed_us + pause);
    }

    /// When it has something to do by itself; at least some time from now.
    pub(crate) fn next_wake(&self, elapsed_us: u64) -> u64 {
        let soonest = elapsed_us + 100;
        if elapsed_us < self.away_until {
            return self.away_until.max(soonest);
        }
        let mut wake = self.returns_at.unwrap_or(u64::MAX);
        let Some(client) = &self.client else { return wake.max(soonest) };
        wake = wake.min(client.poll_timeout().map_or(u64::MAX, |due| self.skew.elapsed_us(due)));
        if self.is_connected() {
            let now = self.now(elapsed_us);
            let input = client.next_input_at(now).map_or(u64::MAX, |due| self.skew.elapsed_us(due));
            wake = wake.min(input.max(self.next_input));
        }
        wake.max(soonest)
    }

    /// Whether an input is due; if so, the next is due a while later.
    pub(crate) fn takes_turn(&mut self, elapsed_us: u64) -> bool {
        let now = self.now(elapsed_us);
        let Some(client) = &self.client else { return false };
        let is_due = client.next_input_at(now).is_some_and(|due| due <= now.monotonic);
        if is_due && elapsed_us >= self.next_input && client.state() == ClientState::Connected {
            self.next_input = elapsed_us + INPUT_PERIOD_US;
            return true;
        }
        false
    }
}
