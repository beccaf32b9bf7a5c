//! A server on a node: it is where it was asked to be, and where a container denies that it says so and people play on it all the same.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up must stop")]

mod common;
#[path = "../net/tests/seccomp/mod.rs"]
mod seccomp;

use common::{Players, Server, TempFile, command};
use gameserver::{format_key, random_bytes};
use gameserver_contract::env;
use serde_json::Value;

const POLICIES: [libc::c_long; 3] = [libc::SYS_mbind, libc::SYS_set_mempolicy, libc::SYS_get_mempolicy];

/// What a line about a memory policy that is not in force says.
const IN_VAIN: &str = "the memory policy is not to be had here; memory comes from where the thread is";
const NOT_NEEDED: &str = "no memory policy is set here, and none is needed on the node of the memory";

/// A server with a key of its own, on which two players have moved ten times each.
fn played_on(args: &[&str]) -> Server {
    let key = random_bytes().unwrap();
    let file = TempFile::new("key", format_key(&key));
    let mut all = vec!["--key-file", file.path()];
    all.extend(args);
    let server = Server::start(&all);
    let mut players = Players::new(2, server.udp, &key);
    players.play_until("everyone's tenth move", |players| {
        players.iter().all(|player| player.latencies.len() >= 10)
    });
    players.leave();
    server
}

/// The metric that says where the memory of the zone is: its labels.
fn labels(server: &Server) -> String {
    let (_, text) = server.get("/metrics");
    let labels = text
        .lines()
        .find_map(|line| line.strip_prefix("gameserver_numa_info{")?.strip_suffix(",zone=\"0\"} 1"));
    labels.unwrap_or_else(|| panic!("no place is shown in\n{text}")).to_owned()
}

/// A node of this machine on which the server may run.
fn node() -> usize {
    let facts = gameserver_sys::observe_numa().unwrap();
    facts.topology.node_of_cpu(facts.allowed[0]).unwrap().id
}

/// Runs `test` on a thread of its own, to which and to whose servers these calls are denied.
fn where_denied(calls: Vec<libc::c_long>, error: i32, test: impl FnOnce() + Send + 'static) {
    let denied = std::thread::spawn(move || {
        seccomp::deny_on_this_thread(&calls, error);
        test();
    });
    denied.join().unwrap();
}

/// What the log says about memory policies.
fn said(server: &Server) -> Vec<Value> {
    let is_about_policies = |line: &Value| [IN_VAIN, NOT_NEEDED].iter().any(|&said| line["message"] == said);
    server.log().into_iter().filter(is_about_policies).collect()
}

/// The one line of that.
fn said_once(server: &Server) -> Value {
    match &said(server)[..] {
        [line] => line.clone(),
        lines => panic!("one line and not {lines:#?}"),
    }
}

#[test]
fn a_zone_is_on_the_node_that_it_was_asked_to_be_on() {
    let node = node();
    let mut command = command(&[]);
    command.env(env::NUMA, format!("node={node}"));
    let server = Server::spawn(command);
    let bound = server.logged("the zone thread is bound to the CPUs of a node");
    assert_eq!((bound["node"].as_u64(), bound["reason"].as_str()), (Some(node as u64), Some("requested")));
    let labels = labels(&server);
    assert!(labels.starts_with(&format!("placement=\"on-node\",node=\"{node}\",memory=")), "{labels}");
}

#[test]
fn a_zone_takes_its_place_before_it_builds_what_it_works_with() {
    // tables that cannot be built end the server, and by then it has its place
    let output = command(&["--timeout", "0"]).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    let (place, end) = (text.find("the zone's memory"), text.find("timeout must be more than zero"));
    assert!(!output.status.success() && place.is_some() && place < end, "{text}");
}

#[test]
fn a_node_that_is_not_there_is_told_and_the_server_runs() {
    let server = played_on(&["--numa", "node=63"]);
    let unbound = server.logged("the zone thread is bound to no node, though it was to be");
    assert_eq!(unbound["reason"], "the node is not there");
    assert_eq!(labels(&server), "placement=\"unbound\",node=\"\",memory=\"default\"");
}

/// As runtimes deny it (EPERM), and as a kernel without NUMA or a sandbox answers.
#[test]
fn where_memory_policies_are_denied_a_server_plays_on_and_says_what_to_do() {
    for (error, reason, remedy) in [
        (libc::EPERM, "the container forbids memory policies", "seccomp profile that allows mbind"),
        (libc::ENOSYS, "the kernel knows no memory policies", "kernel and in a sandbox that have NUMA"),
    ] {
        where_denied(POLICIES.to_vec(), error, move || {
            let server = played_on(&["--numa", "interleaved"]);
            assert_eq!(labels(&server), "placement=\"interleaved\",node=\"\",memory=\"denied\"");
            let line = said_once(&server);
            let of_line = |field: &str| line[field].as_str().unwrap().to_owned();
            assert_eq!([of_line("level"), of_line("message"), of_line("reason")], ["WARN", IN_VAIN, reason]);
            assert!(
                of_line("remedy").contains(remedy) && of_line("remedy").contains("--numa auto"),
                "{line}"
            );

            // a thread that stays on the node of its memory needs none
            for on_node in ["local".to_owned(), format!("node={}", node())] {
                let server = played_on(&["--numa", &on_node]);
                let of_node = format!("placement=\"on-node\",node=\"{}\",memory=\"denied\"", node());
                assert_eq!(labels(&server), of_node, "{on_node}");
                let line = said_once(&server);
                assert_eq!(
                    (&line["level"], &line["message"]),
                    (&"INFO".into(), &NOT_NEEDED.into()),
                    "{line}"
                );
            }

            let server = played_on(&["--numa", "off"]);
            assert_eq!(labels(&server), "placement=\"unbound\",node=\"\",memory=\"default\"");
            assert_eq!(said(&server), Vec::<Value>::new(), "what was not asked for is not missed");

            // the default: on a node or, where there is one or the CPUs are of several, on none; nothing is missing in either
            let server = played_on(&[]);
            assert!(said(&server).iter().all(|line| line["level"] == "INFO"), "{:#?}", said(&server));
        });
    }
}

#[test]
fn where_a_cpu_set_is_denied_too_both_are_told_and_the_server_plays_on() {
    let mut calls = POLICIES.to_vec();
    calls.push(libc::SYS_sched_setaffinity);
    where_denied(calls, libc::EPERM, || {
        let server = played_on(&["--numa", &format!("node={}", node())]);
        let unbound = server.logged("the zone thread is not bound to the CPUs of its node and runs on");
        assert_eq!((&unbound["level"], unbound["node"].as_u64()), (&"WARN".into(), Some(node() as u64)));
        let line = said_once(&server);
        assert_eq!(
            (&line["level"], &line["message"]),
            (&"WARN".into(), &IN_VAIN.into()),
            "memory may be far"
        );
    });
}
