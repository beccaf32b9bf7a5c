//! AutoScalers: they follow the players both ways, and nobody is thrown off.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

use e2e::bots::Bots;
use e2e::region::PATIENCE;
use e2e::{Region, Scratch, eventually};
use operator_api::{AutoScaler, Fleet};
use std::time::Duration;

const FLEET: &str = "{apiVersion: cranewing.dev/v1alpha1, kind: Fleet, metadata: {name: arena}, spec: {replicas: 1, template: {spec: {capacity: 20, drain: {deadlineSeconds: 5}, template: {spec: {securityContext: {seccompProfile: {type: Unconfined}}, containers: [{name: gameserver, resources: {requests: {cpu: 10m, memory: 16Mi}}}]}}}}}}";

fn scaler(name: &str) -> String {
    format!(
        "{{apiVersion: cranewing.dev/v1alpha1, kind: AutoScaler, metadata: {{name: {name}}}, spec: {{fleet: arena, min: 1, max: 4, policies: [{{metric: player_count, upThreshold: 14, downThreshold: 8, cooldownSeconds: 4}}]}}}}"
    )
}

async fn replicas(scratch: &Scratch) -> i32 {
    scratch.api::<Fleet>().get("arena").await.unwrap().spec.replicas.unwrap_or(0)
}

/// A15, E5: real players over the encrypted session drive the Fleet up and down again.
#[tokio::test]
async fn servers_follow_the_players_both_ways_and_nobody_is_disconnected() {
    let scratch = Region::with_operator("jp").await.scratch("follow").await;
    drop(scratch.apply::<Fleet>(FLEET).await);
    drop(scratch.await_fleet("arena", 1).await);
    drop(scratch.apply::<AutoScaler>(&scaler("follow")).await);
    let mut bots = Bots::start(&scratch, "arena", 40, (20, 15, 25));
    eventually("three servers for forty players", PATIENCE, || async {
        let (now, stats) = (replicas(&scratch).await, bots.stats());
        if now >= 3 {
            Ok(())
        } else {
            Err(format!("{now} replicas, {stats:?}\n{}", scratch.describe().await))
        }
    })
    .await;
    eventually("forty players", PATIENCE, || async {
        match bots.stats() {
            Some(stats) if stats.players == 40 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    eventually("one server when they left", Duration::from_secs(180), || async {
        let now = replicas(&scratch).await;
        if now == 1 { Ok(()) } else { Err(format!("{now} replicas, {:?}", bots.stats())) }
    })
    .await;
    drop(scratch.await_fleet("arena", 1).await);
    let gone = bots.have_gone();
    let stats = bots.stop().await.unwrap();
    assert_eq!((stats.disconnects, stats.refused), (0, 0), "{stats:?}, gone {gone}");
    assert!(stats.joins >= 40, "{stats:?}");
    scratch.remove().await;
}

#[tokio::test]
async fn the_younger_of_two_scalers_gets_conflict() {
    let scratch = Region::with_operator("jp").await.scratch("conflict").await;
    drop(scratch.apply::<Fleet>(FLEET).await);
    drop(scratch.apply::<AutoScaler>(&scaler("elder")).await);
    condition(&scratch, "elder", "Ready", "True").await;
    drop(scratch.apply::<AutoScaler>(&scaler("younger")).await);
    condition(&scratch, "younger", "Conflict", "True").await;
    condition(&scratch, "elder", "Ready", "True").await;
    scratch.remove().await;
}

#[tokio::test]
async fn a_scaler_without_its_fleet_says_so() {
    let scratch = Region::with_operator("jp").await.scratch("fleetless").await;
    drop(scratch.apply::<AutoScaler>(&scaler("alone")).await);
    condition(&scratch, "alone", "AbleToScale", "False").await;
    scratch.remove().await;
}

async fn condition(scratch: &Scratch, scaler: &str, type_: &str, status: &str) {
    eventually(&format!("{scaler} is {type_}={status}"), PATIENCE, || async {
        let scaler = scratch.api::<AutoScaler>().get(scaler).await.unwrap();
        let conditions = scaler.status.unwrap_or_default().conditions;
        let found = conditions.iter().find(|condition| condition.type_ == type_);
        match found {
            Some(condition) if condition.status == status => Ok(()),
            _ => Err(format!("{conditions:?}\n{}", scratch.describe().await)),
        }
    })
    .await;
}
