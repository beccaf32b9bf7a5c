//! Rollouts that are held, taken back and tried again.

use super::*;

#[tokio::test]
async fn pausing_writes_one_field_and_what_is_so_already_is_not_written() {
    let api = with_history(50);
    let paused = |paused: bool| {
        vec![("PATCH fleets/duel".to_owned(), json!({ "spec": { "strategy": { "paused": paused } } }))]
    };
    for (command, told, written) in [
        ("resume duel", "it was not paused", Vec::new()),
        (
            "pause duel",
            "paused; let it go on by `operator rollout resume duel --namespace games`",
            paused(true),
        ),
        ("pause duel", "it was paused before", Vec::new()),
        (
            "resume duel",
            "resumed; follow it by `operator rollout status duel --namespace games`",
            paused(false),
        ),
    ] {
        assert_eq!(text(&api, command).await, format!("fleets/duel: {told}\n"), "{command}");
        assert_eq!(writes(&api), written, "{command}");
    }
    let mut whole = placed(json!({}));
    whole["spec"]["strategy"] = json!({ "type": "Recreate" });
    put_fleet(&api, whole);
    text(&api, "pause duel").await;
    assert_eq!(writes(&api), paused(true), "a placed Fleet at its home");
    assert_eq!(text(&api, "resume duel").await, "fleets/duel: resumed; its shares follow\n");
}

#[tokio::test]
async fn what_cannot_be_paused_says_why() {
    let with_strategy = |strategy: Value| {
        let mut fleet = fleet(50);
        fleet["spec"]["strategy"] = strategy;
        fleet
    };
    let nothing = "has no strategy that could be paused: its old servers stay as they are; set spec.strategy.type to RollingUpdate";
    let copied = json!({ "cranewing.dev/home": "kr", "app.kubernetes.io/managed-by": "cranewing-operator" });
    for (name, fleet, expected) in [
        ("without a strategy", with_strategy(Value::Null), nothing),
        ("on delete", with_strategy(json!({ "type": "OnDelete" })), nothing),
        ("a share", share(), "(HOME), and run this there for the placed Fleet"),
        ("a share's parent", share(), "is a share of the placed Fleet war"),
        ("a copy", placed(copied), "is a copy of the Fleet whose home is region kr; run this in that"),
    ] {
        for command in ["pause duel", "resume duel"] {
            let api = with_history(50);
            put_fleet(&api, fleet.clone());
            let error = refused(&api, command).await;
            assert!(error.contains(expected), "{name}: {error}");
            assert_eq!(writes(&api), NOTHING, "{name}");
        }
    }
}

#[tokio::test]
async fn undo_puts_back_the_newest_earlier_template_that_is_proven() {
    for (name, capacity, command, told, expected) in [
        ("past one that was not judged", 50, "undo duel", "back to revision 1 (ffffa1)", 30),
        ("of the second", 40, "undo duel", "back to revision 1 (ffffa1)", 30),
        ("of one that is not kept yet", 60, "undo duel", "back to revision 1 (ffffa1)", 30),
        ("to the first", 50, "undo duel --to-revision 1", "back to revision 1 (ffffa1)", 30),
        (
            "to one that was rejected",
            40,
            "undo duel --to-revision 3",
            "back to revision 3 (0000c3), which was rejected and is tried again",
            50,
        ),
    ] {
        let api = with_history(capacity);
        let follow = "follow it by `operator rollout status duel --namespace games`";
        assert_eq!(text(&api, command).await, format!("fleets/duel: {told}; {follow}\n"), "{name}");
        let written = writes(&api);
        assert_eq!(written.len(), 1, "{name}");
        assert_eq!(written[0].0, "PUT fleets/duel", "{name}");
        assert_eq!(get_fleet(&api)["spec"]["template"], template(expected), "{name}");
    }
}

/// Also of a newer operator's Fleet, whose fields this program does not know.
#[tokio::test]
async fn undo_replaces_the_template_and_leaves_all_else_as_it_is() {
    let api = with_history(50);
    let mut whole = fleet(50);
    whole["metadata"]["annotations"] = json!({ "team": "duels" });
    whole["metadata"]["finalizers"] = json!(["cranewing.dev/some"]);
    whole["spec"]["template"]["metadata"] = json!({ "labels": { "mode": "duel" } });
    whole["spec"]["template"]["spec"]["drain"] = json!({ "deadlineSeconds": 60 });
    whole["spec"]["ofTheFuture"] = json!({ "kept": true });
    put_fleet(&api, whole);
    let of_the_future = json!({ "spec": { "capacity": 40, "ofTheFuture": 1 } });
    put_revision(&api, "uid-duel", (2, "bbbbb2"), &of_the_future, &json!({}));
    api.remove(&format!("{REVISIONS}/duel-ffffa1"));
    let mut expected = get_fleet(&api);
    text(&api, "undo duel").await;
    expected["spec"]["template"] = of_the_future;
    let mut found = get_fleet(&api);
    for fleet in [&mut expected, &mut found] {
        fleet["metadata"]["resourceVersion"] = Value::Null;
    }
    assert_eq!(found, expected);
}

#[tokio::test]
async fn what_cannot_be_put_back_is_refused_and_nothing_is_written() {
    let there = "choose one by --to-revision: 1 (ffffa1), 2 (bbbbb2), 3 (0000c3)";
    let copied = json!({ "cranewing.dev/home": "kr", "app.kubernetes.io/managed-by": "cranewing-operator" });
    let shares = "`kubectl get controllerrevisions --namespace games --selector cranewing.dev/fleet=duel-kr --output yaml`";
    for (name, fleet, command, expected) in [
        ("the first", fleet(30), "undo duel", "no revision before the present one that was not rejected; "),
        ("the first", fleet(30), "undo duel", there),
        ("unknown", fleet(50), "undo duel --to-revision 7", "fleets/duel has no revision 7; "),
        ("unknown", fleet(50), "undo duel --to-revision 7", there),
        ("of an older Fleet", fleet(50), "undo duel --to-revision 9", "fleets/duel has no revision 9; "),
        ("a share", share(), "undo duel", "(HOME), and give the placed Fleet its earlier template there"),
        ("placed", placed(json!({})), "undo duel", "the earlier template at its home, region kr; "),
        ("placed", placed(json!({})), "undo duel", shares),
        ("a copy", placed(copied), "undo duel", "the earlier template at its home, region kr; "),
    ] {
        let api = with_history(50);
        put_fleet(&api, fleet);
        let error = refused(&api, command).await;
        assert!(error.contains(expected), "{name}: {error}");
        assert_eq!(writes(&api), NOTHING, "{name}");
    }

    let api = with_history(50);
    for strange in [json!({ "spec": { "capacity": "many" } }), Value::Null] {
        put_revision(&api, "uid-duel", (2, "bbbbb2"), &strange, &json!({}));
        let error = refused(&api, "undo duel --to-revision 2").await;
        let words = "revision 2 (bbbbb2) is no template that this program understands (";
        assert!(error.contains(words), "{error}");
    }
    assert_eq!(writes(&api), NOTHING);

    for hash in ["ffffa1", "bbbbb2", "0000c3"] {
        api.remove(&format!("{REVISIONS}/duel-{hash}"));
    }
    let error = refused(&api, "undo duel").await;
    assert!(error.ends_with("none is kept; write the earlier template into its spec"), "{error}");
}

#[tokio::test]
async fn undo_to_the_present_template_changes_nothing() {
    let api = with_history(40);
    let told = text(&api, "undo duel --to-revision 2").await;
    assert_eq!(told, "fleets/duel: its template is that of revision 2 (bbbbb2) already\n");
    assert_eq!(writes(&api), NOTHING);
}

#[tokio::test]
async fn undo_gives_way_to_whoever_changes_the_fleet_meanwhile() {
    let api = with_history(50);
    let mut is_changed = false;
    api.fail(move |seen| {
        let is_now = seen.method == "PUT" && !is_changed;
        is_changed |= is_now;
        is_now.then_some(409)
    });
    text(&api, "undo duel").await;
    let written = writes(&api);
    assert_eq!(written.len(), 2, "a status was written in between, and it is tried again");
    let version = &written[0].1["metadata"]["resourceVersion"];
    assert!(version.is_string(), "the version that was read guards it: {version}");
    assert_eq!(get_fleet(&api)["spec"]["template"], template(30));

    let api = with_history(50);
    api.fail(|seen| (seen.method == "PUT").then_some(409));
    let error = refused(&api, "undo duel").await;
    assert_eq!(error, "fleets/duel was changed meanwhile, and is left as it is; run this again");
}

/// The Fleet waits for the first servers of this template.
fn waiting_for_first(api: &MockApi, reason: &str) {
    let mut fleet = get_fleet(api);
    fleet["status"] = json!({ "conditions": [{
        "type": "RolledOut", "status": "False", "reason": reason, "message": "that is so",
        "lastTransitionTime": "2026-01-01T10:00:00Z", "observedGeneration": 3,
    }] });
    put_fleet(api, fleet);
}

#[tokio::test(start_paused = true)]
async fn promote_lets_the_others_follow_where_they_wait_for_the_first() {
    for reason in ["AwaitsPromotion", "PreviewRuns", "CanaryRuns"] {
        let api = with_history(40);
        waiting_for_first(&api, reason);
        let taken_up = async {
            tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
            waiting_for_first(&api, "RollingOut");
        };
        let (told, ()) = tokio::join!(text(&api, "promote duel"), taken_up);
        let follow = "follow it by `operator rollout status duel --namespace games`";
        assert_eq!(told, format!("fleets/duel: revision 2 (bbbbb2) is promoted; {follow}\n"), "{reason}");
        let body = json!({ "metadata": { "annotations": { "cranewing.dev/canary": "passed" } } });
        assert_eq!(writes(&api), [("PATCH controllerrevisions/duel-bbbbb2".to_owned(), body)], "{reason}");
    }
    for reason in ["RollingOut", "Paused", "RolledBack"] {
        let api = with_history(40);
        waiting_for_first(&api, reason);
        let told = text(&api, "promote duel").await;
        let nobody = "nobody waits for first servers of its template";
        assert_eq!(told, format!("fleets/duel: {nobody}; {reason}: that is so\n"));
        assert_eq!(writes(&api), NOTHING, "{reason}");
    }
    let api = with_history(60);
    waiting_for_first(&api, "AwaitsPromotion");
    assert!(refused(&api, "promote duel").await.contains("keeps no revision of its template yet"));
    let api = with_history(40);
    waiting_for_first(&api, "AwaitsPromotion");
    let error = refused(&api, "promote duel").await;
    assert!(error.contains("it is promoted, and the operator has not taken that up within 30 s"), "{error}");
}

#[tokio::test]
async fn retry_takes_the_verdict_off_the_present_template_if_that_was_rejected() {
    let api = with_history(50);
    let follow = "follow it by `operator rollout status duel --namespace games`";
    assert_eq!(
        text(&api, "retry duel").await,
        format!("fleets/duel: revision 3 (0000c3) is tried again; {follow}\n")
    );
    let annotations = json!({
        "cranewing.dev/verdict": null, "cranewing.dev/verdict-reason": null, "cranewing.dev/canary": null,
    });
    let body = json!({ "metadata": { "annotations": annotations } });
    assert_eq!(writes(&api), [("PATCH controllerrevisions/duel-0000c3".to_owned(), body)]);

    let nothing = "fleets/duel: its template was not rejected, so there is nothing to try again\n";
    assert_eq!(text(&api, "retry duel").await, nothing, "the verdict is gone");
    for (name, capacity) in [("proven", 30), ("not judged", 40), ("not kept yet", 60)] {
        let api = with_history(capacity);
        assert_eq!(text(&api, "retry duel").await, nothing, "{name}");
        assert_eq!(writes(&api), NOTHING, "{name}");
    }

    let api = with_history(50);
    put_fleet(&api, share());
    let told = text(&api, "retry duel").await;
    assert!(
        told.starts_with("fleets/duel: revision 3 (0000c3) is tried again; "),
        "a share is judged alone: {told}"
    );
}
