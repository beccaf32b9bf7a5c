//! A rollout that is followed until it is done, takes a person, or the time is over.

use super::*;
use crate::mock_api::NO_ANSWER;
use std::time::Duration;
use tokio::time::{Instant, sleep};

fn condition(generation: i64, type_: &str, status: &str, (reason, message): (&str, &str)) -> Value {
    json!({
        "type": type_, "status": status, "reason": reason, "message": message,
        "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": generation,
    })
}

fn rolled_out(status: &str, reason: &str, message: &str) -> Value {
    condition(3, "RolledOut", status, (reason, message))
}

fn stalled(generation: i64, status: &str) -> Value {
    condition(generation, "Stalled", status, ("PodFailed", "no such image"))
}

fn put_standing(api: &MockApi, conditions: &[Value]) {
    let mut fleet = fleet(50);
    fleet["status"] = json!({
        "replicas": 5, "updatedReplicas": 2, "readyReplicas": 4, "inUseReplicas": 1, "revision": "0000c3",
        "observedGeneration": 3, "conditions": conditions,
    });
    put_fleet(api, fleet);
}

#[tokio::test(start_paused = true)]
async fn each_change_is_told_until_all_servers_are_of_the_present_template() {
    let api = MockApi::default();
    put_standing(&api, &[condition(2, "RolledOut", "True", ("AsSpecified", "of the spec before"))]);
    let changes = async {
        for conditions in [
            vec![rolled_out("False", "RollingOut", "1 of 4"), stalled(2, "True")],
            vec![rolled_out("False", "RollingOut", "3 of 4"), stalled(3, "False")],
            vec![rolled_out("False", "RollingOut", "3 of 4"), stalled(3, "True")],
            vec![rolled_out("False", "WaitingForPlayers", "3 of 4")],
            vec![rolled_out("True", "AsSpecified", "all 4"), stalled(3, "True")],
        ] {
            sleep(Duration::from_millis(2500)).await;
            put_standing(&api, &conditions);
        }
    };
    let (text, ()) = tokio::join!(text(&api, "status duel"), changes);
    assert_eq!(
        text,
        "fleets/duel: the operator has not said yet how its present spec stands\n\
         fleets/duel: RollingOut: 1 of 4\n\
         fleets/duel: RollingOut: 3 of 4\n\
         fleets/duel: Stalled: PodFailed: no such image\n\
         fleets/duel: WaitingForPlayers: 3 of 4\n\
         fleets/duel: AsSpecified: all 4\n"
    );
    assert_eq!(writes(&api), NOTHING);
}

#[tokio::test(start_paused = true)]
async fn what_takes_a_person_ends_it_and_what_may_pass_is_waited_for() {
    for (reason, todo) in [
        ("RolledBack", "or have it tried again by `operator rollout retry duel --namespace games`"),
        ("GateFailed", "take it back by `operator rollout undo duel --namespace games`"),
        (
            "AwaitsPromotion",
            "let its old servers give way by `operator rollout promote duel --namespace games`",
        ),
        ("OnDelete", "delete its old servers"),
    ] {
        let api = MockApi::default();
        put_standing(&api, &[rolled_out("False", reason, "that is so")]);
        let began = Instant::now();
        let error = refused(&api, "status duel --timeout 5m").await;
        assert!(
            error.starts_with(&format!("fleets/duel is not rolled out: {reason}: that is so; ")),
            "{error}"
        );
        assert!(error.contains(todo), "{error}");
        assert_eq!(began.elapsed(), Duration::ZERO, "{reason}");
    }
    for reason in ["RollingOut", "WaitingForPlayers", "CanaryRuns", "PreviewRuns", "Proving", "Paused"] {
        let api = MockApi::default();
        put_standing(&api, &[rolled_out("False", reason, "that is so"), stalled(3, "True")]);
        let began = Instant::now();
        let (text, done) = said(&api, "status duel --timeout 5m").await;
        let stall = "Stalled: PodFailed: no such image";
        assert_eq!(text, format!("fleets/duel: {reason}: that is so\nfleets/duel: {stall}\n"));
        let error = format!("fleets/duel is not rolled out within 300 s: {reason}: that is so; {stall}");
        assert_eq!(done.unwrap_err(), error);
        assert_eq!(began.elapsed().as_secs(), 300, "{reason}");
    }
}

#[tokio::test]
async fn once_says_how_it_stands_and_fails_unless_it_is_rolled_out() {
    let api = MockApi::default();
    put_standing(&api, &[rolled_out("False", "RollingOut", "2 of 4"), stalled(3, "True")]);
    let (text, done) = said(&api, "status duel --once").await;
    assert_eq!(text, "fleets/duel: RollingOut: 2 of 4\nfleets/duel: Stalled: PodFailed: no such image\n");
    let words =
        "fleets/duel is not rolled out; follow it by `operator rollout status duel --namespace games`";
    assert_eq!(done.unwrap_err(), words);

    put_standing(&api, &[rolled_out("False", "RolledBack", "2 crashes")]);
    let (text, done) = said(&api, "status duel --once").await;
    assert_eq!(text, "fleets/duel: RolledBack: 2 crashes\n");
    assert!(done.unwrap_err().starts_with("fleets/duel is not rolled out; take it back by `"));

    put_standing(&api, &[rolled_out("True", "AsSpecified", "all 4"), stalled(3, "True")]);
    let (text, done) = said(&api, "status duel --once").await;
    assert_eq!((text.as_str(), done), ("fleets/duel: AsSpecified: all 4\n", Ok(())));

    let mut short = get_fleet(&api);
    short["status"]["readyReplicas"] = json!(3);
    put_fleet(&api, short);
    let (text, done) = said(&api, "status duel --once").await;
    let standing = "fleets/duel: AsSpecified: all 4; 3 of 4 are ready\n";
    assert!(
        text.starts_with(standing) && done.is_err(),
        "of a template is not all that is asked for: {text}"
    );
}

#[tokio::test]
async fn whoever_asks_about_a_share_is_told_what_can_be_done_about_a_share() {
    let api = MockApi::default();
    for (reason, todo) in [
        (
            "RolledBack",
            "give the placed Fleet war another template at its home, or have this one tried again here",
        ),
        ("OnDelete", "or give the placed Fleet war another strategy at its home"),
    ] {
        put_standing(&api, &[rolled_out("False", reason, "that is so")]);
        let mut share = get_fleet(&api);
        share["metadata"]["labels"] = json!({ "cranewing.dev/parent": "war" });
        put_fleet(&api, share);
        let error = refused(&api, "status duel").await;
        assert!(error.contains(todo), "{error}");
    }
}

#[tokio::test]
async fn once_is_json_under_names_that_stay() {
    let api = MockApi::default();
    for (conditions, rolled_out, reason, message, stalled) in [
        (
            vec![rolled_out("False", "RollingOut", "2 of 4"), stalled(3, "True")],
            false,
            json!("RollingOut"),
            "2 of 4",
            json!("PodFailed: no such image"),
        ),
        (vec![rolled_out("True", "AsSpecified", "all 4")], true, json!("AsSpecified"), "all 4", Value::Null),
        (
            Vec::new(),
            false,
            Value::Null,
            "the operator has not said yet how its present spec stands",
            Value::Null,
        ),
    ] {
        put_standing(&api, &conditions);
        let (text, done) = said(&api, "status duel --once -o json").await;
        assert_eq!(done.is_ok(), rolled_out, "{text}");
        let expected = json!({
            "fleet": "duel", "namespace": "games", "revision": "0000c3", "rolledOut": rolled_out,
            "reason": reason, "message": message, "stalled": stalled,
            "replicas": 5, "updatedReplicas": 2, "readyReplicas": 4, "inUseReplicas": 1,
        });
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_fails_for_a_while_is_told_and_waited_for() {
    let api = MockApi::default();
    put_standing(&api, &[rolled_out("False", "RollingOut", "2 of 4")]);
    let changes = async {
        sleep(Duration::from_millis(1500)).await;
        api.fail(|_| Some(500));
        sleep(Duration::from_secs(25)).await;
        api.heal();
        sleep(Duration::from_secs(2)).await;
        put_standing(&api, &[rolled_out("True", "AsSpecified", "all 4")]);
    };
    let (text, ()) = tokio::join!(text(&api, "status duel"), changes);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "fleets/duel: RollingOut: 2 of 4");
    assert!(
        lines[1].starts_with("fleets/duel: not read, tried again for 30 s: the API server answered 500"),
        "{text}"
    );
    assert_eq!(lines[2..], ["fleets/duel: RollingOut: 2 of 4", "fleets/duel: AsSpecified: all 4"]);
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_goes_on_failing_ends_it_and_a_fleet_that_is_gone_at_once() {
    let api = MockApi::default();
    put_standing(&api, &[rolled_out("False", "RollingOut", "2 of 4")]);
    api.fail(|_| Some(500));
    let began = Instant::now();
    let (text, done) = said(&api, "status duel").await;
    assert_eq!((text.lines().count(), began.elapsed().as_secs()), (1, 30), "{text}");
    assert!(done.unwrap_err().starts_with("failed to read fleets/duel: "));

    api.heal();
    let gone = async {
        sleep(Duration::from_millis(3500)).await;
        api.remove(&format!("{FLEETS}/duel"));
    };
    let began = Instant::now();
    let ((_, done), ()) = tokio::join!(said(&api, "status duel"), gone);
    assert!(done.unwrap_err().starts_with("there is no Fleet games/duel; "));
    assert_eq!(began.elapsed().as_secs(), 4);

    api.fail(|_| Some(NO_ANSWER));
    let error = refused(&api, "status duel --timeout 5m").await;
    assert_eq!(error, "fleets/duel was not heard of within 300 s; see that its API server answers");
}
