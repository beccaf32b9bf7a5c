//! What waits at a server, or is remembered by it, is no more than there is room for, whatever comes.

mod common;

use std::time::Duration;

use common::config;
use common::raw::{Bench, Peer};
use gameserver_core::{Fill, ServerConfig};
use gameserver_protocol::PacketKind;
use gameserver_protocol::message::MAX_INPUTS;

const CAPACITY: usize = 8;
/// As many may be on their way in, and 64.
const HANDSHAKES: usize = CAPACITY + 64;
/// Of the process: within the lifetime of a token everybody may leave and come seven times.
const REMEMBERED: usize = 8 * CAPACITY + 1024;

fn bench() -> Bench {
    Bench::with_config(ServerConfig { capacity: CAPACITY, ..config() })
}

/// One player, and a server that has told it where it is.
fn alone() -> (Bench, Peer) {
    let mut bench = bench();
    let mut peer = bench.peer(1, 1000);
    peer.connect(&mut bench);
    bench.tick();
    (bench, peer)
}

/// So many strangers ask to be let in, each of them three times, and nobody sends the answers.
fn asked(count: u16) -> Fill {
    let mut bench = bench();
    for stranger in 0..count {
        let peer = bench.peer(stranger.into(), 1000 + stranger);
        for _ in 0..3 {
            bench.server.handle_datagram(bench.now(), peer.address, &mut peer.request());
        }
    }
    bench.server.fill()
}

/// A player asks for twice as much as may be open, all for a tick half a second away.
fn hurried() -> Fill {
    let (mut bench, mut peer) = alone();
    for sequence in 1..=2 * u32::try_from(MAX_INPUTS).expect("small") {
        let packet = peer.moves(0, &[(sequence, 32, 500_000, 500_000)]);
        bench.exchange(peer.address, &packet);
    }
    bench.server.fill()
}

/// A player asks a hundred times for what is refused, and says of nothing that it has heard it.
fn refused() -> Fill {
    let (mut bench, mut peer) = alone();
    for sequence in 1..=100 {
        let packet = peer.moves(0, &[(sequence, 0, -1, 0)]);
        bench.exchange(peer.address, &packet);
        bench.elapsed += Duration::from_micros(15_625);
        bench.tick();
    }
    bench.server.fill()
}

/// Tokens of those who came first have expired before it is forgotten that they were here.
const TOKENS_EXPIRE: Duration = Duration::from_secs(30);

/// More players than are remembered come and go.
fn passed() -> Fill {
    let mut bench = bench();
    let mut most = Fill::default();
    for visitor in 0..u16::try_from(REMEMBERED + 50).expect("small") {
        if usize::from(visitor) == REMEMBERED {
            bench.elapsed += TOKENS_EXPIRE;
        }
        let mut peer = bench.peer(visitor.into(), 1000 + visitor);
        let answers = bench.exchange(peer.address, &peer.request());
        if let [challenge] = &answers[..] {
            let response = peer.response(std::slice::from_ref(challenge));
            bench.exchange(peer.address, &response);
            let goodbye = peer.seal(PacketKind::Disconnect, &[]);
            bench.exchange(peer.address, &goodbye);
        }
        let fill = bench.server.fill();
        most.known_players = most.known_players.max(fill.known_players);
        most.departures = most.departures.max(fill.departures);
        most.tokens = most.tokens.max(fill.tokens);
    }
    most
}

#[test]
fn each_queue_and_table_fills_up_to_its_bound_and_no_further() {
    let (asked, crowded) = (asked(200), asked(1200));
    let passed = passed();
    for (name, found, expected) in [
        ("inputs of a player", hurried().inputs, MAX_INPUTS),
        ("refusals that a player has not heard of", refused().rejections, 32),
        ("handshakes", asked.handshakes, HANDSHAKES),
        ("answers", asked.answers, 2 * HANDSHAKES),
        ("tokens", crowded.tokens, REMEMBERED),
        ("tokens of those who came and went", passed.tokens, REMEMBERED),
        ("players who came and went", passed.known_players, REMEMBERED),
        ("their departures", passed.departures, REMEMBERED),
    ] {
        assert_eq!(found, expected, "{name}");
    }
}
