//! Who gets which server: one key one server, whichever replica is asked and whichever dies.

use e2e::allocation::{Matchmaker, given};
use e2e::{PATIENCE, Scratch, eventually, helm, in_namespace, operator};
use kube::api::{Patch, PatchParams};
use operator_api::{AllocationState, Fleet, GameServerAllocation};
use serde_json::json;
use std::collections::BTreeSet;

use crate::{duel, scale};

/// Way 6. Whoever asks gets a server of its own and the same whenever it asks again, also from the replica that is left when the
/// other dies; and what is given is not taken away.
#[tokio::test]
async fn a_key_has_one_server_whichever_replica_is_asked_and_whichever_dies() {
    in_namespace("allocated", &[], async |scratch| {
        // whoever is sent here does not come, and what is drained meanwhile takes half a minute
        let patient = "name: gameserver, env: [{name: CRANEWING_JOIN_DEADLINE_SECONDS, value: '3600'}],";
        drop(scratch.apply::<Fleet>(&duel(3, "").replace("name: gameserver,", patient)).await);
        drop(scratch.await_fleet("duel", 3).await);
        let region = &scratch.region;
        operator::await_reports_to_every_replica(region, 2, 3).await;
        let matchmaker = Matchmaker::new(scratch).await;
        let replicas = operator::replica_names(region).await;
        let ask = async |replica: &str, key: &str| {
            eventually(&format!("{replica} answers {key}"), PATIENCE, || async {
                match matchmaker.ask(scratch, (region, replica), ("duel", key, 0)).await {
                    Some(answer @ (200, _)) => Ok(answer),
                    other => Err(format!("{other:?}")),
                }
            })
            .await
        };
        let first = given(ask(&replicas[0], "first").await);
        assert_eq!(given(ask(&replicas[1], "first").await), first);
        let second = given(ask(&replicas[1], "second").await);
        assert_ne!(first, second);

        // what is held is in use, so the third goes
        scale(scratch, "duel", 1).await;
        let left = eventually("the free one goes", PATIENCE, || async {
            let servers = scratch.servers("duel").await?;
            let names: BTreeSet<String> = servers.iter().map(kube::ResourceExt::name_any).collect();
            if names.len() == 2 { Ok(names) } else { Err(format!("{names:?}")) }
        })
        .await;
        assert_eq!(left, BTreeSet::from([first.clone(), second.clone()]));
        let (_, none) = ask(&replicas[0], "third").await;
        assert_eq!(none["state"], "none", "{none}");

        operator::delete(region, &replicas[0]).await;
        for (key, expected) in [("first", &first), ("second", &second)] {
            assert_eq!(&given(ask(&replicas[1], key).await), expected, "{key}");
        }
    })
    .await;
}

/// What an allocation says, once it says this.
async fn await_state(scratch: &Scratch, name: &str, state: AllocationState) -> GameServerAllocation {
    eventually(&format!("{name} is {state:?}"), PATIENCE, || async {
        let found =
            scratch.api::<GameServerAllocation>().get(name).await.map_err(|error| error.to_string())?;
        let says = found.status.as_ref().and_then(|status| status.state);
        if says == Some(state) { Ok(found) } else { Err(format!("{:?}", found.status)) }
    })
    .await
}

/// By kubectl alone: the sample gets a server, one that may not wait gets none, and one that waits gets the next that is there. What
/// was answered goes after its time, and the server stays given.
#[tokio::test]
async fn an_allocation_that_is_made_with_kubectl_gets_a_server_waits_for_one_and_goes_in_time() {
    in_namespace("kubectl-allocated", &[], async |scratch| {
        let patient = "name: gameserver, env: [{name: CRANEWING_JOIN_DEADLINE_SECONDS, value: '3600'}],";
        drop(scratch.apply::<Fleet>(&duel(1, "").replace("name: gameserver,", patient)).await);
        drop(scratch.await_fleet("duel", 1).await);
        let sample = helm::repository("docs/samples/allocation/match.yaml");
        let sample = std::fs::read_to_string(sample).unwrap().replace("fleet: arena", "fleet: duel");
        drop(scratch.apply::<GameServerAllocation>(&sample).await);
        let wait = format!("--timeout={}s", PATIENCE.as_secs());
        scratch.kubectl(&["wait", "--for=condition=Ready", "cwgsa/match", &wait]).await;
        let given = await_state(scratch, "match", AllocationState::Given).await.status.unwrap();
        let server = given.game_server.unwrap();
        assert!(server.name.starts_with("duel-") && server.address.is_some(), "{server:?}");
        assert!(!server.ports.is_empty(), "{server:?}");

        let other = |name: &str, wait: u32, ttl: u32| {
            let named = sample.replace("name: match", &format!("name: {name}"));
            named.replace("waitSeconds: 60", &format!("waitSeconds: {wait}")).replace("300", &ttl.to_string())
        };
        drop(scratch.apply::<GameServerAllocation>(&other("hasty", 0, 1)).await);
        eventually("the hasty one is answered and goes", PATIENCE, || async {
            match scratch.api::<GameServerAllocation>().get_opt("hasty").await {
                Ok(None) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
        drop(scratch.apply::<GameServerAllocation>(&other("patient", 3600, 300)).await);
        drop(await_state(scratch, "patient", AllocationState::Waiting).await);
        scale(scratch, "duel", 2).await;
        let second = await_state(scratch, "patient", AllocationState::Given).await.status.unwrap();
        assert_ne!(second.game_server.unwrap().name, server.name);

        let patch = Patch::Merge(json!({ "spec": { "waitSeconds": 1 } }));
        let changed =
            scratch.api::<GameServerAllocation>().patch("match", &PatchParams::default(), &patch).await;
        assert!(changed.unwrap_err().to_string().contains("immutable"));
        scratch.kubectl(&["delete", "cwgsa", "match"]).await;
        scale(scratch, "duel", 0).await;
        eventually("what is given stays", PATIENCE, || async {
            let fleet = scratch.api::<Fleet>().get("duel").await.map_err(|error| error.to_string())?;
            let status = fleet.status.clone().unwrap_or_default();
            if status.observed_generation == fleet.metadata.generation {
                Ok(())
            } else {
                Err(format!("{status:?}"))
            }
        })
        .await;
        let names: BTreeSet<String> =
            scratch.servers("duel").await.unwrap().iter().map(kube::ResourceExt::name_any).collect();
        assert!(names.contains(&server.name), "{names:?}");
    })
    .await;
}
