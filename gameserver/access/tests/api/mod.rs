//! Just so much of an API server as programs need that look at one Fleet.
#![allow(dead_code, unreachable_pub, reason = "each test file uses what it needs")]

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;

use serde_json::{Value, json};

/// The secret of the Fleet.
pub const SECRET: &[u8; 32] = b"the secret of the Fleet, 32 byte";
/// [`SECRET`] as a Secret shows it.
const SECRET_BASE64: &str = "dGhlIHNlY3JldCBvZiB0aGUgRmxlZXQsIDMyIGJ5dGU=";

/// Serves a list of servers that never changes, and the Secret of their Fleet.
pub fn serve_api(servers: Value) -> SocketAddr {
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

/// A server of Fleet `arena` in namespace `games`, with room for ten.
pub fn game_server(name: &str, uid: &str, address: SocketAddr, players: u32) -> Value {
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

/// The list of these servers.
pub fn list(servers: &[Value]) -> Value {
    json!({
        "apiVersion": "cranewing.dev/v1alpha1", "kind": "GameServerList", "metadata": { "resourceVersion": "1" },
        "items": servers,
    })
}

/// Writes the kubeconfig that leads there.
pub fn write_kubeconfig(path: &Path, api: SocketAddr) {
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "clusters": [{ "name": "test", "cluster": { "server": format!("http://{api}") } }],
        "users": [{ "name": "test", "user": {} }],
        "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "test" } }],
    });
    std::fs::write(path, config.to_string()).unwrap();
}
