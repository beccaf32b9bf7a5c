//! `bots fleet` against an API that shows two servers, and those servers: the fullest is filled first, keys are
//! derived per server, and everyone leaves when the ramp is over.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up must stop")]

mod common;

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use clap::Parser;
use common::Server;
use gameserver_bots::{Args, run};
use gameserver_protocol::derive_server_key;
use serde_json::{Value, json};

const SECRET: &[u8; 32] = b"the secret of the Fleet, 32 byte";
/// [`SECRET`] as a Secret shows it.
const SECRET_BASE64: &str = "dGhlIHNlY3JldCBvZiB0aGUgRmxlZXQsIDMyIGJ5dGU=";

/// Just so much of an API server as a watch of one Fleet needs: a list that never changes, and its Secret.
fn serve_api(servers: Value) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let servers = servers.clone();
            // each ends with its connection, all of them with the process
            std::thread::spawn(move || answer(stream.unwrap(), &servers));
        }
    });
    address
}

fn answer(mut stream: TcpStream, servers: &Value) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    while let Some(Ok(request)) = lines.next() {
        while lines.next().is_some_and(|line| !line.unwrap_or_default().is_empty()) {}
        let path = request.split(' ').nth(1).unwrap();
        let body = if path.starts_with("/apis/cranewing.dev/v1alpha1/namespaces/games/gameservers") {
            assert!(path.contains("labelSelector=cranewing.dev%2Ffleet%3Darena"), "{path}");
            if path.contains("watch=true") {
                // nothing ever happens
                write!(
                    stream,
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
                )
                .unwrap();
                continue;
            }
            servers.to_string()
        } else {
            assert_eq!(path, "/api/v1/namespaces/games/secrets/arena-keys");
            json!({
                "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "arena-keys" },
                "data": { "secret": SECRET_BASE64 },
            })
            .to_string()
        };
        write!(
            stream,
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
    }
}

fn game_server(name: &str, uid: &str, address: SocketAddr, players: u32) -> Value {
    json!({
        "apiVersion": "cranewing.dev/v1alpha1", "kind": "GameServer",
        "metadata": { "name": name, "namespace": "games", "uid": uid, "labels": { "cranewing.dev/fleet": "arena" } },
        "spec": { "capacity": 10 },
        "status": {
            "state": "Ready", "address": address.ip().to_string(), "players": players,
            "ports": [{ "name": "game", "port": address.port() }],
        },
    })
}

#[test]
fn the_fullest_server_is_filled_first_with_tokens_of_its_own_key_and_everyone_leaves_at_the_end() {
    let empty = Server::start(10, derive_server_key(SECRET, "uid-a"));
    let used = Server::start(10, derive_server_key(SECRET, "uid-b"));
    let api = serve_api(json!({
        "apiVersion": "cranewing.dev/v1alpha1", "kind": "GameServerList", "metadata": { "resourceVersion": "1" },
        "items": [game_server("a", "uid-a", empty.address, 0), game_server("b", "uid-b", used.address, 2)],
    }));
    let directory = std::env::temp_dir().join(format!("bots-fleet-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let (kubeconfig, stats) = (directory.join("kubeconfig"), directory.join("stats.jsonl"));
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "clusters": [{ "name": "test", "cluster": { "server": format!("http://{api}") } }],
        "users": [{ "name": "test", "user": {} }],
        "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "test" } }],
    });
    std::fs::write(&kubeconfig, config.to_string()).unwrap();

    let region = format!("kr={}", kubeconfig.display());
    let stats_path = stats.display().to_string();
    let args = [
        "bots",
        "fleet",
        "--region",
        &region,
        "--namespace",
        "games",
        "--fleet",
        "arena",
        "--players",
        "12",
        "--ramp-up",
        "0.5",
        "--hold",
        "3",
        "--ramp-down",
        "0.5",
        "--stats",
        &stats_path,
    ];
    run(Args::parse_from(args).command).unwrap();

    let text = std::fs::read_to_string(&stats).unwrap();
    std::fs::remove_dir_all(directory).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    // "b" had players, so it is full before "a" gets the rest
    let top = lines.iter().find(|line| line["players"] == json!(12)).unwrap_or_else(|| panic!("{lines:#?}"));
    assert_eq!((&top["region"], &top["servers"]), (&json!("kr"), &json!({ "a": 2, "b": 10 })));
    let last = lines.last().unwrap();
    assert_eq!((&last["players"], &last["joins"]), (&json!(0), &json!(12)), "{last}");
    for never in ["refused", "disconnects", "mismatches"] {
        assert_eq!(last[never], json!(0), "{never} in {last}");
    }
}
