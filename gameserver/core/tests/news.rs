//! In which ticks players are told something.

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use common::raw::{Bench, Peer};
use common::{BOOT_UNIX, SERVER_KEY, config};
use gameserver_core::{Game, Now, RejectReason, ServerConfig, ZoneServer};
use gameserver_game::{Audience, Command, Entity, Notice, Outcome, Output, Setup};
use gameserver_protocol::message::{
    FieldList, Fields, Input, InputsHead, MAX_NOTICES, Snapshot, Watch, encode_inputs,
};
use gameserver_protocol::{PacketHeader, PacketKind};

/// A boat that drifts, as its client predicts. A gust moves it on as well, which nobody can know, and a bell rings.
struct Boats {
    tick: u64,
    boats: Vec<Option<Boat>>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Boat(i64);

const GUSTS: u64 = 40;
const BELLS: u64 = 70;

impl Fields for Boat {
    fn to_fields(&self) -> FieldList {
        FieldList::new(&[self.0])
    }
    fn from_fields(fields: &[i64]) -> Option<Self> {
        fields.first().copied().map(Self)
    }
}

impl Game for Boats {
    type Intent = Boat;
    type Own = Boat;
    const MAP_UNITS: i32 = 1000;

    fn new(setup: Setup) -> Self {
        Self { tick: 0, boats: vec![None; setup.capacity as usize] }
    }
    fn entity_capacity(capacity: u32) -> u32 {
        capacity
    }
    fn join(&mut self, player: u32, _client_id: u64) {
        self.boats[player as usize] = Some(Boat(0));
    }
    fn leave(&mut self, player: u32) {
        self.boats[player as usize] = None;
    }
    fn has_joined(&self, player: u32) -> bool {
        self.boats[player as usize].is_some()
    }
    fn step(&mut self, commands: &[Command<Boat>], output: &mut Output) {
        self.tick += 1;
        let gust = i64::from(self.tick.is_multiple_of(GUSTS));
        self.boats.iter_mut().flatten().for_each(|boat| boat.0 += 1 + gust);
        for &Command { player, sequence, intent, .. } in commands {
            let result = if intent.0 < 0 { Err(RejectReason::OutOfBounds) } else { Ok(()) };
            output.outcomes.push(Outcome { player, sequence, result });
        }
        if self.tick.is_multiple_of(BELLS) {
            output.notices.push((Audience::Everyone, Notice { code: 1, figures: [0; 3] }));
        }
    }
    fn tick(&self) -> u64 {
        self.tick
    }
    fn entities(&self) -> impl Iterator<Item = (u32, Entity)> {
        std::iter::empty()
    }
    fn own(&self, player: u32) -> Option<Boat> {
        self.boats[player as usize]
    }
    fn predict(_tick_hz: u32, _tick: u64, own: &mut Boat, _intents: &[Boat]) {
        own.0 += 1;
    }
    fn place(_own: &Boat) -> (i32, i32) {
        (5000, 5000)
    }
    fn state_hash(&self) -> u64 {
        self.tick
    }
    fn violations(&self) -> Vec<String> {
        Vec::new()
    }
}

/// A server of boats with somebody who is at the first place of it.
struct Harbour {
    server: ZoneServer<Boats>,
    peer: Peer,
    now: Now,
    inputs: u32,
}

impl Harbour {
    fn new(is_spectator: bool) -> Self {
        let config = ServerConfig { replication_hz: 1, ..config() };
        let mut server: ZoneServer<Boats> = ZoneServer::new(config).expect("a valid configuration");
        server.install_key(SERVER_KEY);
        let bench = Bench::new();
        let peer = if is_spectator { bench.spectator(1, 1000) } else { bench.peer(1, 1000) };
        let now = Now { monotonic: Duration::ZERO, unix: BOOT_UNIX };
        let mut harbour = Self { server, peer, now, inputs: 0 };
        let request = harbour.peer.request();
        let challenge = harbour.exchange(request);
        let response = harbour.peer.response(&challenge);
        harbour.exchange(response);
        harbour.send(None);
        harbour
    }

    fn exchange(&mut self, mut datagram: Vec<u8>) -> Vec<Vec<u8>> {
        self.server.handle_datagram(self.now, self.peer.address, &mut datagram);
        self.poll()
    }

    fn poll(&mut self) -> Vec<Vec<u8>> {
        let mut buffer = [0; 1200];
        let datagrams = std::iter::from_fn(|| {
            let transmit = self.server.poll_transmit(self.now, &mut buffer)?;
            Some(buffer[..transmit.len].to_vec())
        });
        datagrams.collect()
    }

    /// Says so in an input, or says nothing.
    fn send(&mut self, fields: Option<&[i64]>) {
        let input = fields.map(|fields| {
            self.inputs += 1;
            Input { sequence: self.inputs, tick: 0, intent: FieldList::new(fields) }
        });
        let mut body = [0; 64];
        let len = encode_inputs(&mut body, &InputsHead::default(), input.iter()).expect("one input");
        let packet = self.peer.seal(PacketKind::Payload, &body[..len]);
        self.exchange(packet);
    }

    /// A tick; whether it had a snapshot, and whether that told of others.
    fn tick(&mut self) -> (bool, bool) {
        self.now.monotonic += Duration::from_micros(15_625);
        self.server.step(self.now);
        let mut snapshot = Snapshot::default();
        let payloads = self.poll().iter().map(|datagram| self.peer.open(datagram)).collect::<Vec<_>>();
        let is_told = payloads.iter().any(|(_, body)| snapshot.decode_into(body).is_ok());
        (is_told, is_told && snapshot.tells_of_others)
    }
}

/// Until which tick somebody who has just come in is told everything each tick.
const FRESH: u64 = 16;
const TICKS: u64 = 240;

/// Ticks in which somebody is told something and in which of others, when this is said before the tick of that number.
fn told(is_spectator: bool, says: &[(u64, &[i64])]) -> [BTreeSet<u64>; 2] {
    let mut harbour = Harbour::new(is_spectator);
    let mut told = [BTreeSet::new(), BTreeSet::new()];
    for tick in 1..=TICKS {
        for (_, fields) in says.iter().filter(|(at, _)| *at == tick) {
            harbour.send(Some(fields));
        }
        let (is_told, of_others) = harbour.tick();
        told[0].extend(is_told.then_some(tick).filter(|&tick| tick > FRESH));
        told[1].extend(of_others.then_some(tick).filter(|&tick| tick > FRESH));
        assert!(tick > FRESH || of_others, "tick {tick}");
    }
    told
}

fn every(ticks: u64) -> impl Iterator<Item = u64> {
    (FRESH + 1..=TICKS).filter(move |tick| tick.is_multiple_of(ticks))
}

#[test]
fn a_player_is_told_when_it_is_its_turn_and_of_what_its_client_cannot_know() {
    let turns: BTreeSet<_> = every(15).collect();
    let of_itself: BTreeSet<_> = every(15).chain(every(GUSTS)).chain(every(BELLS)).collect();
    for (name, fields) in [
        ("an input is carried out", &[7_i64][..]),
        ("the game refuses one", &[-7]),
        ("nobody understands one", &[]),
    ] {
        // in the tick before a turn, which comes all the same
        let [told, of_others] = told(false, &[(104, fields)]);
        assert_eq!(told, of_itself.iter().copied().chain([104]).collect(), "{name}");
        assert_eq!(of_others, turns, "{name}: others are told of in turns");
    }
}

#[test]
fn a_spectator_is_told_when_it_is_its_turn_of_what_happens_to_all_and_where_it_looks() {
    let turns: BTreeSet<_> = every(15).collect();
    let watch = Watch::Place { x: 7, y: 7 }.to_fields();
    let [told, of_others] = told(true, &[(101, watch.as_slice()), (103, &[9, 9, 9, 9])]);
    assert_eq!(
        told,
        every(15).chain(every(BELLS)).chain([101, 103]).collect(),
        "asked, and asked for nonsense"
    );
    assert_eq!(of_others, turns);
}

#[test]
fn of_what_a_player_has_not_heard_of_the_newest_waits_and_the_oldest_gives_way() {
    const TOO_MANY: u64 = 5;
    let mut harbour = Harbour::new(false);
    let rings = MAX_NOTICES as u64 + TOO_MANY;
    let mut waited = BTreeSet::new();
    for tick in 1..=rings * BELLS {
        if tick.is_multiple_of(64) {
            // it is still here, and has heard of no tick
            harbour.send(None);
        }
        harbour.tick();
        waited.insert(harbour.server.fill().notices);
    }
    assert_eq!(waited, (0..=MAX_NOTICES).collect());
    assert_eq!(harbour.server.counters().notices_dropped, TOO_MANY);
}

#[test]
fn the_numbers_of_what_a_player_gets_have_no_gap_though_most_ticks_send_nothing() {
    let mut harbour = Harbour::new(false);
    let mut numbers = Vec::new();
    for _ in 1..=TICKS {
        harbour.now.monotonic += Duration::from_micros(15_625);
        harbour.server.step(harbour.now);
        let datagrams = harbour.poll();
        numbers.extend(
            datagrams.iter().map(|datagram| PacketHeader::parse(datagram).expect("a packet").sequence),
        );
    }
    // with what says that all is well and the resume token; each tick of the first has a snapshot
    assert!((FRESH..TICKS / 3).contains(&(numbers.len() as u64)), "{} datagrams", numbers.len());
    let gaps = numbers.windows(2).filter(|pair| pair[0] + 1 != pair[1]);
    assert_eq!(gaps.count(), 0, "{numbers:?}");
}
