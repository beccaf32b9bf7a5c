//! Strangers flood a server that people play on: its kernel keeps them out, and whoever wants in gets in meanwhile.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up must stop")]

mod common;

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};

use common::{Player, Players, Server, TempFile, await_some, by_zone, mint, now, socket};
use gameserver::{format_key, random_bytes};
use gameserver_protocol::REQUEST_BYTES;
use gameserver_sys::Clock;

const PLAYERS: u64 = 10;
const LATECOMERS: u64 = 3;
/// Forged handshakes of a flood: so many that one in four to eight gets in. A latecomer asks eight times a second, and is kept out for all ten
/// seconds of its token once in forty thousand times.
const FORGED_A_MS: u128 = 60;
/// What was not sent while the sender was held up is not sent all at once: that of so many milliseconds at most.
const DEBT_MS: u128 = 10;
/// What a flood sends at most, so that it ends by itself in any case.
const DATAGRAMS_MAX: u64 = 20_000_000;

/// Sends as much as there is time for, forged handshakes among it, until it is told to end.
fn flood(server: SocketAddr, is_over: &AtomicBool) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    // the prefix of a payload and a sequence, and nothing that belongs to it
    let garbage = [0x15; 64];
    let forged = [0; REQUEST_BYTES];
    let (clock, mut forged_count) = (Clock::start(), 0);
    for _ in 0..DATAGRAMS_MAX {
        if is_over.load(Ordering::Relaxed) {
            return;
        }
        let due = FORGED_A_MS * clock.monotonic().as_millis();
        forged_count = forged_count.max(due.saturating_sub(FORGED_A_MS * DEBT_MS));
        let is_forged = forged_count < due;
        forged_count += u128::from(is_forged);
        // a full send buffer is no reason to stop
        let _sent = socket.send_to(if is_forged { &forged[..] } else { &garbage }, server);
    }
}

/// The end of a flood, also where the test fails.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Whether this is what the server says of its filter.
fn filter_is(server: &Server, state: &str) -> bool {
    let (_, text) = server.get("/metrics");
    !by_zone(&text, &format!("gameserver_filter_info{{state=\"{state}\"}}")).is_empty()
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
        let _end = End(&is_over);
        let flooding = scope.spawn(|| flood(server.udp, &is_over));
        let filtered = server.logged("strangers flood this server: the kernel filters what they send");
        players.play_until("the filter to be shown", |_| filter_is(&server, "on"));
        play_on(&mut players, "everyone to play on in a flood");
        let share_let_in = |_: &[Player]| server.metric("gameserver_handshakes_let_in_ratio") < 1.0;
        players.play_until("more handshakes than are let in", share_let_in);
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
    players.play_until("no filter to be shown", |_| filter_is(&server, "off"));
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
