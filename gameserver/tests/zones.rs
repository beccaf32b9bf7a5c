//! Several zones behind one port: players are spread over them, each is at one of them, and the process is one.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up must stop")]

mod common;

use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::process::{Child, Command, ExitStatus, Stdio};

use common::{Player, Players, Server, TempFile, await_some, mint, now, refused, sockets_of_zones};
use gameserver::{format_key, random_bytes};
use gameserver_client::ClientState::{Connected, Denied};
use gameserver_sys::Clock;

const ZONES: usize = 3;
/// One of three zones is left without any of so many players once in three million times.
const PLAYERS: u64 = 40;

fn key() -> ([u8; 32], TempFile) {
    let key = random_bytes().unwrap();
    (key, TempFile::new("key", format_key(&key)))
}

/// A server with three zones.
fn start(file: &TempFile, args: &[&str]) -> Server {
    let mut all = vec!["--zones", "3", "--key-file", file.path()];
    all.extend(args);
    Server::start(&all)
}

/// How a program that is to end did so, and what it said. One that goes on is ended.
fn end_of(command: &mut Command) -> (ExitStatus, String) {
    struct Running(Child);
    impl Drop for Running {
        fn drop(&mut self) {
            let _killed = self.0.kill();
            let _reaped = self.0.wait();
        }
    }
    let mut child = Running(command.stderr(Stdio::piped()).spawn().unwrap());
    let stderr = child.0.stderr.take().unwrap();
    let reader = std::thread::spawn(move || std::io::read_to_string(stderr).unwrap());
    let status = await_some("the program to end", || child.0.try_wait().unwrap());
    (status, reader.join().unwrap())
}

/// What became of players, to say what was seen.
fn states(players: &[Player]) -> BTreeMap<String, usize> {
    let mut states = BTreeMap::new();
    for player in players {
        *states.entry(format!("{:?}", player.client.state())).or_default() += 1;
    }
    states
}

fn players_are_spread_and_each_is_at_one_zone(net: &str) {
    let (key, file) = key();
    let server = start(&file, &["--net", net]);
    let mut players = Players::new(PLAYERS, server.udp, &key);
    players.play_until("everyone's tenth move", |players| {
        players.iter().all(|player| player.latencies.len() >= 10)
    });
    let here = server.by_zone("gameserver_players");
    assert!(here.len() == 3 && here.iter().all(|&players| players > 0.0), "{here:?}");
    assert!((here.iter().sum::<f64>() - 40.0).abs() < f64::EPSILON, "{here:?}");
    // a datagram at a zone that does not have its session would be one of these
    for reason in ["no_session", "token_reused", "moving"] {
        let strays = refused(&server, reason);
        assert_eq!(strays, [0.0; ZONES], "{reason}: all that a player sends is at the zone that it came to");
    }
    for counted in ["inputs_total", "snapshots_total", "tick_work_seconds_count", "zone_cpu_seconds_total"] {
        let counted = server.by_zone(&format!("gameserver_{counted}"));
        assert!(counted.len() == 3 && counted.iter().all(|&count| count > 0.0), "{counted:?}");
    }
    server.signal("-TERM");
    server.logged("draining before the end");
    players.leave();
    let (status, log) = server.wait();
    assert!(status.success(), "{log:#?}");
    assert_eq!(log.last().unwrap()["message"], "stopped");
}

#[test]
fn players_are_spread_over_zones_of_io_uring_and_each_is_at_one() {
    players_are_spread_and_each_is_at_one_zone("uring");
}

#[test]
fn players_are_spread_over_zones_of_mmsg_and_each_is_at_one() {
    players_are_spread_and_each_is_at_one_zone("mmsg");
}

#[test]
fn players_are_spread_over_zones_of_tokio_uring_and_each_is_at_one() {
    players_are_spread_and_each_is_at_one_zone("tokio-uring");
}

/// One socket at each zone.
fn socket_of_each_zone(server: &Server) -> [UdpSocket; ZONES] {
    let sockets: Vec<_> = sockets_of_zones::<ZONES>(server, 1).into_iter().flatten().collect();
    sockets.try_into().unwrap()
}

#[test]
fn a_token_that_opened_a_session_in_one_zone_opens_none_in_another() {
    let (key, file) = key();
    let server = start(&file, &[]);
    let [here, there, _] = socket_of_each_zone(&server);
    let mut players = Players::new(0, server.udp, &key);
    let token = mint(1, server.udp, &key, now(&players.clock));
    players.add(token.clone(), here);
    players.play_until("the bearer", |players| players[0].is_playing());
    players.add(token, there);
    players.play_until("a refusal", |players| {
        assert!(players[0].is_playing() && !players[1].is_playing(), "{:?}", states(players));
        refused(&server, "token_reused")[1] > 0.0
    });
    assert_eq!(server.by_zone("gameserver_players"), [1.0, 0.0, 0.0]);
}

#[test]
fn who_comes_back_from_an_address_of_another_zone_is_in_no_other_any_more() {
    let (key, file) = key();
    let server = start(&file, &[]);
    let mut players = Players::new(0, server.udp, &key);
    let mut token = mint(1, server.udp, &key, now(&players.clock));
    for (zone, socket) in socket_of_each_zone(&server).into_iter().enumerate() {
        let before = players.players.pop();
        players.add(token, socket);
        players.play_until("the player to be in", |players| players[0].is_playing());
        if let Some(before) = before {
            // that zone had let go when this one took the player, so all that it sent has arrived
            let mut bytes = [0; 2048];
            while before.socket.recv(&mut bytes).is_ok() {}
            players.play_until("ten moves", |players| players[0].latencies.len() >= 10);
            assert!(before.socket.recv(&mut bytes).is_err(), "zone {} goes on with it", zone - 1);
        }
        players
            .play_until("a token", |players| players[0].client.resume_token(now(&Clock::start())).is_some());
        token = players.players[0].client.resume_token(now(&players.clock)).unwrap();
    }
    let all_of = |name: &str| server.by_zone(&format!("gameserver_{name}"));
    players.play_until("one player in the last zone", |_| all_of("players") == [0.0, 0.0, 1.0]);
    assert_eq!((all_of("moves_total"), all_of("resumes_total")), (vec![1.0, 1.0, 0.0], vec![0.0, 1.0, 1.0]));
}

#[test]
fn a_process_has_as_many_places_as_it_says_whichever_zones_its_players_come_to() {
    let (key, file) = key();
    let server = start(&file, &["--capacity", "7"]);
    // all in one zone, which has room for everybody whom the process has room for
    let [here, there, _] = sockets_of_zones(&server, 8);
    let mut players = Players::new(0, server.udp, &key);
    let come = |players: &mut Players, socket| {
        let number = players.players.len();
        let token = mint(number as u64 + 1, server.udp, &key, now(&players.clock));
        players.add(token, socket);
        players
            .play_until("an answer", |players| matches!(players[number].client.state(), Connected | Denied));
        players.players[number].client.state()
    };
    let answers: Vec<_> = here.into_iter().map(|socket| come(&mut players, socket)).collect();
    assert_eq!(
        answers,
        [Connected, Connected, Connected, Connected, Connected, Connected, Connected, Denied]
    );
    let mut there = there.into_iter();
    assert_eq!(come(&mut players, there.next().unwrap()), Denied, "a zone in which nobody is");
    // or six are seen before the seventh is shown, and nobody has left yet
    players.play_until("all seven to be shown", |_| server.by_zone("gameserver_players") == [7.0, 0.0, 0.0]);
    players.players[0].client.disconnect();
    players.play_until("who left to be gone", |_| server.by_zone("gameserver_players") == [6.0, 0.0, 0.0]);
    assert_eq!(come(&mut players, there.next().unwrap()), Connected);
    assert_eq!(come(&mut players, there.next().unwrap()), Denied);
    players.play_until("seven again", |_| server.by_zone("gameserver_players") == [6.0, 1.0, 0.0]);
    assert!((server.metric("gameserver_capacity") - 7.0).abs() < f64::EPSILON);
}

#[test]
fn a_zone_with_fewer_places_than_the_process_is_full_by_itself() {
    let (key, file) = key();
    let server = start(&file, &["--capacity", "6", "--zone-capacity", "2"]);
    let [here, there, _] = sockets_of_zones(&server, 3);
    let mut players = Players::new(0, server.udp, &key);
    for (number, socket) in (1..).zip(here.into_iter().chain(there)) {
        players.add(mint(number, server.udp, &key, now(&players.clock)), socket);
    }
    players.play_until("an answer to everyone", |players| {
        players.iter().all(|player| matches!(player.client.state(), Connected | Denied))
    });
    players.play_until("two in each", |_| server.by_zone("gameserver_players") == [2.0, 2.0, 0.0]);
    players
        .play_until("one refused by each", |_| server.by_zone("gameserver_denials_total") == [1.0, 1.0, 0.0]);
}

#[test]
fn a_drain_shuts_every_zone_and_those_who_are_in_play_on() {
    let (key, file) = key();
    let server = start(&file, &["--drain-deadline", "3600"]);
    // all of them now: players who wait for it fall silent
    let sockets = sockets_of_zones::<ZONES>(&server, 2).map(|of_zone| <[_; 2]>::try_from(of_zone).unwrap());
    let (early, late): (Vec<_>, Vec<_>) = sockets.into_iter().map(|[early, late]| (early, late)).unzip();
    let come = |players: &mut Players, sockets: Vec<UdpSocket>| {
        for socket in sockets {
            let number = players.players.len() as u64 + 1;
            players.add(mint(number, server.udp, &key, now(&players.clock)), socket);
        }
    };
    let mut players = Players::new(0, server.udp, &key);
    come(&mut players, early);
    players.play_until("one in each zone", |players| players.iter().all(Player::is_playing));
    server.signal("-TERM");
    let told = |line: &serde_json::Value| line["message"] == "phase" && line["phase"] == "Draining";
    players.play_until("every zone to drain", |_| {
        server.log().iter().any(told) && server.by_zone("gameserver_orders_waiting") == [0.0; ZONES]
    });
    // a token of the second in which a zone began to drain still counts as older
    let clock = players.clock;
    let drained = now(&clock).unix.as_secs();
    players.play_until("the next second", |_| now(&clock).unix.as_secs() > drained);
    come(&mut players, late);
    players.play_until("a refusal by each zone", |players| {
        let (early, late) = players.split_at(ZONES);
        assert!(early.iter().all(Player::is_playing), "{:?}", states(players));
        assert!(!late.iter().any(Player::is_playing), "{:?}", states(players));
        late.iter().all(|player| player.client.state() == Denied)
    });
    players.play_until("each to count it", |_| server.by_zone("gameserver_denials_total") == [1.0; ZONES]);
    players.leave();
    assert!(server.wait().0.success());
}

#[test]
fn health_and_the_log_say_which_zone_is_meant() {
    let (_key, file) = key();
    let server = start(&file, &[]);
    let (_, body) = server.get("/health");
    let health: serde_json::Value = serde_json::from_str(&body).unwrap();
    let numbers: Vec<_> =
        health["zones"].as_array().unwrap().iter().map(|zone| zone["zone"].as_u64()).collect();
    assert_eq!(numbers, [Some(0), Some(1), Some(2)], "{health:#}");
    let checks = health["checks"].as_array().unwrap();
    for zone in 0..ZONES as u64 {
        let of_zone: Vec<_> =
            checks.iter().filter(|check| check["zone"] == zone).map(|check| &check["name"]).collect();
        assert_eq!(of_zone, ["zone", "lateness", "socket", "cpu"], "{health:#}");
        let memory = |line: &serde_json::Value| {
            line["message"] == "the zone's memory" && line["span"]["zone"].as_u64() == Some(zone)
        };
        assert!(server.log().iter().any(memory), "{:#?}", server.log());
    }
    assert_eq!(server.logged("listening")["zones"], 3);
}

#[test]
fn pinned_zones_are_each_on_a_cpu_of_their_own() {
    let cpus = gameserver_sys::observe_cpus().unwrap().allowed;
    let zones = cpus.len().min(64).to_string();
    let server = Server::start(&["--zones", &zones, "--pin", "always", "--numa", "off", "--capacity", "1"]);
    let log = server.log();
    let pinned = log.iter().filter(|line| line["message"] == "the zone thread is pinned");
    let mut on: Vec<_> = pinned.map(|line| line["cpu"].as_u64().unwrap()).collect();
    on.sort_unstable();
    on.dedup();
    assert_eq!(on.len(), cpus.len().min(64), "{log:#?}");
}

#[test]
fn the_port_of_several_zones_is_refused_to_another_server_whatever_it_has() {
    let (_key, file) = key();
    let server = start(&file, &[]);
    let port = server.udp.port().to_string();
    for zones in ["1", "2"] {
        let mut second = Command::new(env!("CARGO_BIN_EXE_gameserver"));
        second.args(["--bind-address", "127.0.0.1", "--port", &port, "--admin-address", "127.0.0.1:0"]);
        let (status, text) = end_of(second.args(["--zones", zones]));
        assert!(!status.success() && text.contains("failed to bind UDP"), "{zones} zones: {text}");
    }
}

/// Rings are files, and there are none left when the sockets of all zones are bound and some zones run.
#[test]
fn a_zone_that_cannot_start_ends_the_process_and_is_named() {
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -n 160; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_gameserver")]);
    shell.args(["--bind-address", "127.0.0.1", "--port", "0", "--admin-address", "127.0.0.1:0"]);
    shell.args(["--zones", "64", "--net", "uring", "--capacity", "1"]);
    let (status, text) = end_of(&mut shell);
    let last = text.lines().last().unwrap();
    assert!(!status.success() && last.contains("failed to open an io_uring"), "{text}");
    let (_, named) = last.split_once("zone ").unwrap();
    let zone: u32 = named.split(' ').next().unwrap().parse().unwrap();
    assert!(zone > 0 && zone < 64, "some had started: {last}");
}
