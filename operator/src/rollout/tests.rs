//! Rollouts that are followed, held and taken back, against an API server that keeps a record.

mod change;
mod status;

use super::*;
use crate::args::{Args, Command};
use crate::mock_api::MockApi;
use clap::Parser as _;
use serde_json::{Value, json};

const FLEETS: &str = "/apis/cranewing.dev/v1alpha1/namespaces/games/fleets";
const REVISIONS: &str = "/apis/apps/v1/namespaces/games/controllerrevisions";
/// What is written where nothing is.
const NOTHING: [(String, Value); 0] = [];

/// What `operator rollout` says, and its error if it fails.
async fn said(api: &MockApi, command: &str) -> (String, Result<(), String>) {
    let arguments = ["operator", "rollout"].into_iter().chain(command.split(' '));
    let Command::Rollout(args) = Args::try_parse_from(arguments).unwrap().command else { unreachable!() };
    let mut out = Vec::new();
    let done = carry_out(&api.client(), &args.command, &mut out).await;
    (String::from_utf8(out).unwrap(), done.map_err(|error| format!("{error:#}")))
}

async fn text(api: &MockApi, command: &str) -> String {
    let (text, done) = said(api, command).await;
    done.unwrap();
    text
}

async fn refused(api: &MockApi, command: &str) -> String {
    let (text, done) = said(api, command).await;
    assert_eq!(text, "", "the error says it all");
    done.unwrap_err()
}

/// What was written: how, where and what.
fn writes(api: &MockApi) -> Vec<(String, Value)> {
    let seen = api.take_seen().into_iter().filter(|seen| seen.method != "GET");
    seen.map(|seen| (seen.brief(), seen.body)).collect()
}

fn template(capacity: i32) -> Value {
    json!({ "metadata": {}, "spec": { "capacity": capacity } })
}

fn fleet(capacity: i32) -> Value {
    json!({
        "apiVersion": "cranewing.dev/v1alpha1", "kind": "Fleet",
        "metadata": { "name": "duel", "namespace": "games", "uid": "uid-duel", "generation": 3 },
        "spec": { "replicas": 4, "template": template(capacity), "strategy": { "type": "RollingUpdate" } },
    })
}

fn put_fleet(api: &MockApi, fleet: Value) {
    api.put(&format!("{FLEETS}/duel"), fleet);
}

fn get_fleet(api: &MockApi) -> Value {
    api.get(&format!("{FLEETS}/duel")).unwrap()
}

/// A share of the placed Fleet `war`.
fn share() -> Value {
    let mut share = fleet(50);
    share["metadata"]["labels"] = json!({ "cranewing.dev/parent": "war" });
    share
}

/// A Fleet with placement, whose home is region kr.
fn placed(labels: Value) -> Value {
    let mut placed = fleet(50);
    placed["metadata"]["labels"] = labels;
    placed["spec"]["home"] = json!("kr");
    placed["spec"]["placement"] = json!({ "regions": [{ "regionId": "kr" }, { "regionId": "sg" }] });
    placed
}

fn put_revision(
    api: &MockApi,
    owner: &str,
    (number, hash): (i64, &str),
    template: &Value,
    annotations: &Value,
) {
    let owner = json!({
        "apiVersion": "cranewing.dev/v1alpha1", "kind": "Fleet", "name": "duel", "uid": owner,
    });
    let revision = json!({
        "apiVersion": "apps/v1", "kind": "ControllerRevision",
        "metadata": {
            "name": format!("duel-{hash}"), "namespace": "games", "annotations": annotations,
            "labels": { "cranewing.dev/fleet": "duel", "cranewing.dev/revision": hash },
            "ownerReferences": [owner], "creationTimestamp": format!("2026-01-0{number}T10:00:00Z"),
        },
        "data": { "template": template }, "revision": number,
    });
    api.put(&format!("{REVISIONS}/duel-{hash}"), revision);
}

fn rejected(reason: &str) -> Value {
    json!({ "cranewing.dev/verdict": "Rejected", "cranewing.dev/verdict-reason": reason })
}

/// A Fleet of this capacity, and three templates of it: of 30, proven; of 40, not judged; of 50, rejected. One is left of an older Fleet.
fn with_history(capacity: i32) -> MockApi {
    let api = MockApi::default();
    put_fleet(&api, fleet(capacity));
    let proven = json!({ "cranewing.dev/verdict": "Proven" });
    put_revision(&api, "uid-duel", (3, "0000c3"), &template(50), &rejected("2 crashes\nof at most 1"));
    put_revision(&api, "uid-duel", (1, "ffffa1"), &template(30), &proven);
    put_revision(&api, "uid-duel", (2, "bbbbb2"), &template(40), &json!({}));
    put_revision(&api, "uid-older", (9, "999999"), &template(99), &json!({}));
    api
}

#[tokio::test]
async fn the_history_shows_the_templates_of_this_very_fleet_and_which_one_it_has() {
    let api = with_history(40);
    assert_eq!(
        text(&api, "history duel").await,
        "REVISION  HASH    VERDICT   CREATED               NOW  REASON\n\
         1         ffffa1  Proven    2026-01-01T10:00:00Z\n\
         2         bbbbb2  -         2026-01-02T10:00:00Z  *\n\
         3         0000c3  Rejected  2026-01-03T10:00:00Z       2 crashes of at most 1\n"
    );
    let history: Value = serde_json::from_str(&text(&api, "history duel -o json").await).unwrap();
    let revision = |revision: i64, hash: &str, verdict: Value, reason: Value, now: bool| {
        json!({
            "revision": revision, "hash": hash, "verdict": verdict, "verdictReason": reason,
            "created": format!("2026-01-0{revision}T10:00:00Z"), "now": now,
        })
    };
    let expected = json!({
        "fleet": "duel", "namespace": "games", "revisions": [
            revision(1, "ffffa1", json!("Proven"), Value::Null, false),
            revision(2, "bbbbb2", Value::Null, Value::Null, true),
            revision(3, "0000c3", json!("Rejected"), json!("2 crashes\nof at most 1"), false),
        ],
    });
    assert_eq!(history, expected);
    assert_eq!(writes(&api), NOTHING);
    for hash in ["ffffa1", "bbbbb2", "0000c3"] {
        api.remove(&format!("{REVISIONS}/duel-{hash}"));
    }
    assert_eq!(text(&api, "history duel").await, "fleets/duel: no template of it is kept yet\n");
}

#[tokio::test]
async fn who_asks_for_servers_of_a_placed_fleet_is_told_the_names_of_its_shares() {
    let api = with_history(50);
    for (command, regions, shares) in [
        ("status duel", json!([{ "regionId": "jp", "share": 1, "ready": 0, "players": 0 }]), ": duel-jp"),
        ("status duel --once", json!([]), ": duel-kr, duel-sg"),
        ("history duel", json!([]), ": duel-kr, duel-sg"),
        ("retry duel", json!([]), ": duel-kr, duel-sg"),
        ("promote duel", json!([]), ": duel-kr, duel-sg"),
    ] {
        let mut placed = placed(json!({}));
        placed["status"] = json!({ "regions": regions });
        put_fleet(&api, placed);
        let error = refused(&api, command).await;
        assert!(error.contains("fleets/duel is shared out over the regions"), "{command}: {error}");
        assert!(error.ends_with(shares), "{command}: {error}");
    }
    let mut everywhere = placed(json!({}));
    everywhere["spec"]["placement"] = json!({});
    put_fleet(&api, everywhere);
    let error = refused(&api, "history duel").await;
    assert!(error.ends_with(": duel-<regionId>"), "{error}");
}

#[tokio::test]
async fn what_fails_says_what_to_do() {
    for command in [
        "status duel",
        "status duel --once",
        "history duel",
        "pause duel",
        "promote duel",
        "undo duel",
        "retry duel",
    ] {
        let api = with_history(50);
        let error = refused(&api, &format!("{command} -n elsewhere")).await;
        assert!(
            error.contains("there is no Fleet elsewhere/duel; name its namespace by --namespace"),
            "{error}"
        );
        api.fail(|_| Some(403));
        let error = refused(&api, command).await;
        assert!(
            error.starts_with("failed to read fleets/duel; it takes the right to get fleets: "),
            "{error}"
        );
    }
    for (command, failing, right) in [
        ("history duel", "GET", "list controllerrevisions"),
        ("undo duel", "GET", "list controllerrevisions"),
        ("undo duel", "PUT", "update fleets"),
        ("pause duel", "PATCH", "patch fleets"),
        ("retry duel", "PATCH", "patch controllerrevisions"),
    ] {
        let api = with_history(50);
        api.fail(move |seen| {
            let is_failing = seen.method == failing && !(failing == "GET" && seen.path.contains("/fleets"));
            is_failing.then_some(403)
        });
        let error = refused(&api, command).await;
        assert!(error.contains(&format!("; it takes the right to {right}: ")), "{command}: {error}");
    }
}

#[tokio::test]
async fn what_is_to_be_run_next_names_the_same_fleet_in_the_same_cluster() {
    let api = with_history(50);
    let told = text(&api, "pause duel --namespace games --context kr --kubeconfig kr.yaml").await;
    let command = "operator rollout resume duel --namespace games --context kr --kubeconfig kr.yaml";
    assert_eq!(told, format!("fleets/duel: paused; let it go on by `{command}`\n"));
}
