//! Who gets which server: one key one server, whichever replica is asked and whichever dies.

use e2e::allocation::{Matchmaker, given};
use e2e::{PATIENCE, eventually, in_namespace, operator};
use operator_api::Fleet;
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
