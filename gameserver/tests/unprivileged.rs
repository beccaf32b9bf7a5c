//! A server whose user has no rights: it plays on with what the kernel gives it, and says what that is and what to do about it.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up must stop")]

mod common;
#[path = "../net/tests/unprivileged/mod.rs"]
mod unprivileged;

use std::fs::File;
use std::os::fd::AsRawFd as _;

use common::{Players, Server, TempFile, command_of};
use gameserver::{format_key, random_bytes};
use serde_json::Value;
use unprivileged::{
    DEFAULT_LIMIT_BYTES, give_up_rights_on_this_thread, may_exceed_buffer_limit, most_buffer_bytes, not_run,
    rings_are_charged, rings_that_fit, where_so_much_is_locked_at_most,
};

const ZONES: usize = 16;
/// So many that the rings of sixteen zones do not fit.
const RECEIVE_BUFFERS: u16 = 32_768;
/// All are at one kind of zone once in ten thousand million times.
const PLAYERS: u64 = 80;

fn program() -> File {
    File::open(env!("CARGO_BIN_EXE_gameserver")).unwrap()
}

/// A server that is started by its open file: its user may not look into the directory where it is.
fn start(program: &File, args: &[&str]) -> Server {
    Server::spawn(command_of(&format!("/proc/self/fd/{}", program.as_raw_fd()), args))
}

/// Numbers of the zones that a metric says are of this backend.
fn zones_of(server: &Server, backend: &str) -> Vec<usize> {
    let (_, text) = server.get("/metrics");
    let line =
        |zone: usize| format!("\ngameserver_backend_info{{backend=\"{backend}\",zone=\"{zone}\"}} 1\n");
    (0..ZONES).filter(|&zone| text.contains(&line(zone))).collect()
}

#[test]
fn where_locked_memory_suffices_for_some_zones_those_play_over_io_uring_and_the_others_over_recvmmsg() {
    const TEST: &str =
        "where_locked_memory_suffices_for_some_zones_those_play_over_io_uring_and_the_others_over_recvmmsg";
    if !rings_are_charged() {
        return not_run(TEST, "this kernel charges no locked memory for rings");
    }
    let program = program();
    where_so_much_is_locked_at_most(DEFAULT_LIMIT_BYTES, move |is_nobody_else| {
        if !is_nobody_else {
            return not_run(TEST, "only root may be a user to whom nothing else is charged");
        }
        let key = random_bytes().unwrap();
        let file = TempFile::new("key", format_key(&key));
        let (zones, buffers) = (ZONES.to_string(), RECEIVE_BUFFERS.to_string());
        let args = ["--key-file", file.path(), "--capacity", "100"];
        let many = ["--zones", &zones, "--receive-buffers", &buffers];
        let server = start(&program, &[&args[..], &many[..]].concat());

        let (rings, others) = (zones_of(&server, "uring"), zones_of(&server, "mmsg"));
        assert!(rings.len() >= rings_that_fit(DEFAULT_LIMIT_BYTES, RECEIVE_BUFFERS.into()), "{rings:?}");
        assert!(!others.is_empty(), "all {ZONES} fit");
        let all: Vec<_> = rings.iter().chain(&others).copied().collect();
        assert_eq!(all, (0..ZONES).collect::<Vec<_>>(), "the first have rings");

        // what is said of all is what should be looked into
        assert_eq!(server.logged("listening")["backend"], "mmsg");
        let told = "io_uring is not to be had here; recvmmsg and sendmmsg play on";
        let said: Vec<_> = server.log().into_iter().filter(|line| line["message"] == told).collect();
        let zone_of = |line: &Value| usize::try_from(line["span"]["zone"].as_u64().unwrap()).unwrap();
        assert_eq!(said.iter().map(zone_of).collect::<Vec<_>>(), others);
        assert!(said.iter().all(|line| line["remedy"].as_str().unwrap().contains("memlock")), "{said:#?}");
        let health: Value = serde_json::from_str(&server.get("/health").1).unwrap();
        assert_eq!(health["service"]["backend"], "mmsg");
        let shown = |zone: &usize| health["zones"][zone]["backend"].as_str().unwrap().to_owned();
        assert!(
            rings.iter().all(|zone| shown(zone) == "uring")
                && others.iter().all(|zone| shown(zone) == "mmsg")
        );

        let mut players = Players::new(PLAYERS, server.udp, &key);
        players.play_until("everyone's tenth move", |players| {
            players.iter().all(|player| player.latencies.len() >= 10)
        });
        let here = server.by_zone("gameserver_players");
        let at = |zones: &[usize]| zones.iter().map(|&zone| here[zone]).sum::<f64>();
        assert!(at(&rings) > 0.0 && at(&others) > 0.0, "{here:?}");
        players.leave();
        server.signal("-TERM");
        assert!(server.wait().0.success());
    });
}

/// What a server says of its socket's buffer: what it has, and the line that says that it is less than was asked for.
fn buffer_of(server: &Server) -> (u64, Option<Value>) {
    let granted = server.logged("listening")["receive_buffer_bytes"].as_u64().unwrap();
    let cap = "the kernel caps the socket buffer (net.core.rmem_max)";
    (granted, server.log().into_iter().find(|line| line["message"] == cap))
}

#[test]
fn a_server_has_the_socket_buffer_that_it_asks_for_or_says_what_to_do_about_it() {
    const TEST: &str = "a_server_has_the_socket_buffer_that_it_asks_for_or_says_what_to_do_about_it";
    let Some(most) = most_buffer_bytes() else {
        return not_run(TEST, "the kernel tells no limit of buffers here");
    };
    let more_kib = most / 1024 * 4;
    let more = more_kib as u64 * 1024;
    let ask = ["--socket-buffer-kib".to_owned(), more_kib.to_string()];
    if may_exceed_buffer_limit() {
        assert_eq!(buffer_of(&Server::start(&ask.each_ref().map(|arg| &**arg))), (2 * more, None));
    }
    let program = program();
    let without_rights = std::thread::spawn(move || {
        if !give_up_rights_on_this_thread() && may_exceed_buffer_limit() {
            return not_run(TEST, "there is nobody else here to be");
        }
        let (granted, said) = buffer_of(&start(&program, &ask.each_ref().map(|arg| &**arg)));
        assert_eq!(granted, 2 * most as u64);
        let said = said.unwrap();
        assert_eq!((said["asked"].as_u64(), said["granted"].as_u64()), (Some(more), Some(granted / 2)));
        assert!(granted / 2 < more && said["remedy"].as_str().unwrap().contains("rmem_max"), "{said}");
    });
    without_rights.join().unwrap();
}
