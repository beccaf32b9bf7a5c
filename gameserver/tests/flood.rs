//! Strangers flood a server that people play on: its kernel keeps them out, and whoever wants in gets in meanwhile.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up must stop")]

mod common;

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};

use common::{Players, Server, TempFile, await_some, mint, now, socket};
use gameserver::{format_key, random_bytes};

const PLAYERS: u64 = 10;
const LATECOMERS: u64 = 5;
/// What a flood sends at most, so that it ends by itself in any case.
const DATAGRAMS_MAX: u64 = 20_000_000;

/// Sends as much as there is time for, until it is told to end.
fn flood(server: SocketAddr, is_over: &AtomicBool) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    // the prefix of a payload and a sequence, and nothing that belongs to it
    let garbage = [0x15; 64];
    for _ in 0..DATAGRAMS_MAX {
        if is_over.load(Ordering::Relaxed) {
            return;
        }
        // a full send buffer is no reason to stop
        let _sent = socket.send_to(&garbage, server);
    }
}

/// Everyone's next ten moves are confirmed.
fn play_on(players: &mut Players, what: &str) {
    let before: Vec<_> = players.players.iter().map(|player| player.latencies.len()).collect();
    players.play_until(what, |players| {
        players.iter().zip(&before).all(|(player, before)| player.latencies.len() >= before + 10)
    });
}

fn a_flood_is_kept_out_by_the_kernel_and_players_get_in(net: &str) {
    let key = random_bytes().unwrap();
    let file = TempFile::new("key", format_key(&key));
    let server = Server::start(&["--net", net, "--key-file", file.path()]);
    let mut players = Players::new(PLAYERS, server.udp, &key);
    play_on(&mut players, "everyone to play");
    assert!(server.metric("gameserver_filtered_total") < 1.0, "nothing is filtered while all is calm");

    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let flooding = scope.spawn(|| flood(server.udp, &is_over));
        let filtered = server.logged("strangers flood this server: the kernel filters what they send");
        play_on(&mut players, "everyone to play on in a flood");
        for number in 0..LATECOMERS {
            let token = mint(100 + number, server.udp, &key, now(&players.clock));
            players.add(token, socket());
        }
        play_on(&mut players, "latecomers to get in and play");
        is_over.store(true, Ordering::Relaxed);
        flooding.join().unwrap();
        assert!(server.metric("gameserver_filtered_total") > 0.0, "{filtered}");
    });
    await_some("the end of the flood", || {
        players.turn();
        let log = server.log();
        log.into_iter().find(|line| line["message"] == "the flood is over: everybody gets in")
    });
    play_on(&mut players, "everyone to play on afterwards");
    let strangers = server.metric("gameserver_from_strangers_total");
    socket().send_to(&[0x15; 64], server.udp).unwrap();
    await_some("a stranger to be heard", || {
        players.turn();
        (server.metric("gameserver_from_strangers_total") > strangers).then_some(())
    });
    players.leave();
}

#[test]
fn a_flood_is_kept_out_over_io_uring() {
    a_flood_is_kept_out_by_the_kernel_and_players_get_in("uring");
}

#[test]
fn a_flood_is_kept_out_over_mmsg() {
    a_flood_is_kept_out_by_the_kernel_and_players_get_in("mmsg");
}
