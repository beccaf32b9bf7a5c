//! `bots fleet` against an API that shows two servers, and those servers: the fullest is filled first, keys are
//! derived per server, and everyone leaves when the ramp is over.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up must stop")]

#[path = "../../access/tests/api/mod.rs"]
mod api;
mod common;

use api::{SECRET, game_server, list, serve_api, write_kubeconfig};
use clap::Parser;
use common::Server;
use gameserver_bots::{Args, run};
use gameserver_protocol::derive_server_key;
use serde_json::{Value, json};

#[test]
fn the_fullest_server_is_filled_first_with_tokens_of_its_own_key_and_everyone_leaves_at_the_end() {
    let empty = Server::start(10, derive_server_key(SECRET, "uid-a"));
    let used = Server::start(10, derive_server_key(SECRET, "uid-b"));
    let api = serve_api(list(&[
        game_server("a", "uid-a", empty.address, 0),
        game_server("b", "uid-b", used.address, 2),
    ]));
    let directory = std::env::temp_dir().join(format!("bots-fleet-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let (kubeconfig, stats) = (directory.join("kubeconfig"), directory.join("stats.jsonl"));
    write_kubeconfig(&kubeconfig, api);

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

#[test]
fn where_nobody_can_play_it_is_an_error_that_says_why() {
    let api = serve_api(list(&[]));
    let directory = std::env::temp_dir().join(format!("bots-nobody-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let kubeconfig = directory.join("kubeconfig");
    write_kubeconfig(&kubeconfig, api);
    let kubeconfig = kubeconfig.display().to_string();
    for (region, expected) in [
        ("test", "no server of Fleet arena in test let anybody in"),
        ("nosuch", "failed to reach region nosuch: without --context its context is called like the region"),
    ] {
        let args = ["bots", "fleet", "--kubeconfig", &kubeconfig, "--region", region, "--namespace", "games"];
        let rest =
            ["--fleet", "arena", "--players", "1", "--ramp-up", "0", "--hold", "3", "--ramp-down", "0"];
        let error = run(Args::parse_from(args.iter().chain(&rest)).command).unwrap_err();
        assert!(error.to_string().contains(expected), "{error:#}");
    }
    std::fs::remove_dir_all(directory).unwrap();
}
