//! What is packed for whoever looks for a fault: all that a running region knows, and none of its secrets.

use e2e::allocation::Matchmaker;
use e2e::bundle::{Debugger, Files};
use e2e::{Need, PATIENCE, Scratch, eventually, in_namespace, operator};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::ListParams;
use operator_api::Fleet;
use serde_json::Value;

use crate::duel;

const REPLICAS: usize = 2;
const SERVERS: usize = 2;
/// Shorter ones, such as a port, are somewhere in any bundle.
const SECRET_BYTES_MIN: usize = 12;

/// By somebody with the rights of the page alone: nothing could not be read. A value of a variable, one of an argument and every entry
/// of every Secret are in the cluster, and in no file.
#[tokio::test]
async fn a_bundle_has_what_a_region_knows_and_none_of_its_secrets() {
    in_namespace("bundle", &[Need::Program], async |scratch| {
        let hidden = format!("hunter2-{}", scratch.namespace);
        let container = format!("name: gameserver, env: [{{name: DATABASE, value: {hidden}}}],");
        drop(scratch.apply::<Fleet>(&duel(SERVERS, "").replace("name: gameserver,", &container)).await);
        drop(scratch.await_fleet("duel", SERVERS).await);
        let vault = format!("--from-literal=password={hidden}-too");
        scratch.kubectl(&["create", "secret", "generic", "vault", &vault]).await;
        operator::await_reports_to_every_replica(&scratch.region, REPLICAS, SERVERS).await;
        let replicas = operator::replica_names(&scratch.region).await;
        let matchmaker = Matchmaker::new(scratch).await;
        let server = matchmaker.given_by(scratch, &replicas[0], ("duel", "match")).await;

        let debugger = Debugger::new(scratch).await;
        let files = eventually("everything can be read", PATIENCE, || async {
            let files = debugger.bundle(&[])?;
            if files["errors.txt"].is_empty() { Ok(files) } else { Err(files["errors.txt"].clone()) }
        })
        .await;
        has_objects_and_logs(scratch, &files).await;
        has_what_replicas_know(scratch, &files, &server).await;
        let pods = scratch.kubectl(&["get", "pods", "--output=json"]).await;
        assert!(pods.contains(&hidden), "it is in the cluster, and would be found");
        has_no_secret(scratch, &files, &hidden).await;

        debugger.loses_the_way_to_replicas().await;
        eventually("what is not allowed is told, and the rest is there", PATIENCE, || async {
            let files = debugger.bundle(&["--since", "5m"])?;
            let told = files["errors.txt"].contains("it takes the right to get and create pods/portforward");
            let rest = files.keys().any(|path| path.starts_with("logs/"));
            if told && rest { Ok(()) } else { Err(files["errors.txt"].clone()) }
        })
        .await;
    })
    .await;
}

async fn has_objects_and_logs(scratch: &Scratch, files: &Files) {
    let in_objects = |kind: &str, name: &str| {
        let place = format!("objects/{kind}/");
        let mut of_kind = files.iter().filter(|(path, _)| path.starts_with(&place));
        of_kind.any(|(_, text)| text.contains(&format!("\"name\": \"{name}\"")))
    };
    for (kind, name) in [
        ("fleets.cranewing.dev", "duel"),
        ("gameservers.cranewing.dev", "duel-0"),
        ("pods", "duel-1"),
        ("operator/deployments.apps", "cranewing-operator"),
        ("operator/leases.coordination.k8s.io", "cranewing-operator"),
        ("configmaps/cranewing-system", "cranewing-allocation"),
        ("namespaces", &scratch.namespace),
    ] {
        assert!(in_objects(kind, name), "{kind} {name} is not in {:?}", files.keys());
    }
    for kind in ["controllerrevisions.apps", "events.events.k8s.io", "nodes"] {
        assert!(files.keys().any(|path| path.starts_with(&format!("objects/{kind}/"))), "{kind}");
    }
    for replica in operator::replica_names(&scratch.region).await {
        let log = &files[&format!("logs/cranewing-system/{replica}/operator.log")];
        assert!(log.contains("the operator starts"), "{log}");
    }
    for server in ["duel-0", "duel-1"] {
        let log = &files[&format!("logs/{}/{server}/gameserver.log", scratch.namespace)];
        assert!(log.contains(server), "{log}");
    }
}

async fn has_what_replicas_know(scratch: &Scratch, files: &Files, server: &str) {
    let json = |path: &str| serde_json::from_str::<Value>(&files[path]).unwrap();
    let of_fleet = format!("{}/duel", scratch.namespace);
    let mut decisions = Vec::new();
    for replica in operator::replica_names(&scratch.region).await {
        let index = json(&format!("operator/{replica}/streams.json"));
        let streams = index["streams"].as_array().unwrap().iter();
        let ours = streams.filter(|stream| stream["namespace"] == scratch.namespace.as_str());
        let connected: Vec<_> = ours.filter(|stream| stream["connected"] == true).collect();
        assert_eq!(connected.len(), SERVERS, "{index:#}");
        assert!(connected.iter().any(|stream| stream["gameServer"] == server && stream["sessions"] == 1));
        assert!(files[&format!("operator/{replica}/metrics.txt")].contains(operator::STREAMS));
        let kept = json(&format!("operator/{replica}/decisions.json"));
        decisions.extend(kept["decisions"].as_array().unwrap().clone());
    }
    let decided = |of: &str, object: &str, words: &str| {
        let mut found = decisions.iter().filter(|one| one["of"] == of && one["object"] == object);
        found.any(|one| one["decided"].as_str().unwrap().contains(words))
    };
    assert!(decided("fleetPlan", &of_fleet, "create [0, 1]"), "{decisions:#?}");
    assert!(
        decided("rollout", &of_fleet, "OnDelete") || decided("rollout", &of_fleet, "Done"),
        "{decisions:#?}"
    );
    assert!(decided("allocation", &format!("{}/match", scratch.namespace), server), "{decisions:#?}");
}

/// Of what Secrets hold the certificates are public, and nothing else is.
async fn has_no_secret(scratch: &Scratch, files: &Files, hidden: &str) {
    let secrets: Api<Secret> = scratch.region.all();
    let secrets = secrets.list(&ListParams::default()).await.unwrap().items;
    assert!(secrets.len() >= 4, "a key of the Fleet, one of the links, authorities, and the test's own");
    let mut forbidden = vec!["PRIVATE KEY".to_owned(), "eyJhbGci".to_owned(), hidden.to_owned()];
    for (name, value) in secrets.iter().filter_map(|secret| secret.data.as_ref()).flatten() {
        if value.0.len() >= SECRET_BYTES_MIN {
            forbidden.push(serde_json::to_value(value).unwrap().as_str().unwrap().to_owned());
            let text = String::from_utf8(value.0.clone()).ok().filter(|text| !text.contains("CERTIFICATE"));
            forbidden.extend(text.filter(|_| name != "addresses"));
        }
    }
    for (path, text) in files {
        let found = forbidden.iter().find(|secret| text.contains(secret.as_str()));
        assert_eq!(found, None, "in {path}");
    }
}
