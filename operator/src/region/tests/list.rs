//! The list of what regions know of each other, also while one of them does not answer.

use super::*;
use crate::args::OutputFormat;
use crate::mock_api::NO_ANSWER;
use crate::region::list::{Seen, look, tell};
use std::time::Duration;

async fn looked(cluster: &Cluster) -> Seen {
    let Cluster { region, client, namespace } = cluster;
    let again = Cluster { region: *region, client: client.clone(), namespace: namespace.clone() };
    look(format!("context {region}"), None, async { Ok(again) }).await
}

async fn listed(clusters: &[Cluster], output: OutputFormat) -> String {
    let seen = futures::future::join_all(clusters.iter().map(looked)).await;
    let (text, done) = said(async |out| tell(&seen, output, out)).await;
    done.unwrap();
    text
}

/// For people.
pub(super) async fn shown(clusters: &[Cluster]) -> String {
    listed(clusters, OutputFormat::Text).await
}

async fn json(clusters: &[Cluster]) -> Value {
    serde_json::from_str(&listed(clusters, OutputFormat::Json).await).unwrap()
}

/// A copy of kr's RegionCluster.
fn put_copy(api: &MockApi, drained: &str) {
    let drained = json!({
        "type": "Drained", "status": drained, "reason": "", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z",
    });
    let copy = json!({
        "metadata": { "name": "kr", "labels": { "cranewing.dev/home": "kr" } },
        "spec": { "regionId": "kr", "zones": ["a", "b", "c"], "vpcCidr": "10.10.0.0/16", "failover": "Manual" },
        "status": { "standing": "Gone", "conditions": [drained] },
    });
    api.put(&region_path("kr"), copy);
}

#[tokio::test]
async fn the_list_shows_whom_each_region_knows_and_how_it_stands() {
    let (apis, clusters) = three().await;
    join(&clusters).await;
    for api in &apis {
        put_copy(api, "True");
    }
    let text = shown(&clusters).await;
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "REGION    PEER      STANDING     FAILOVER   DRAINED      ADDRESSES");
    assert_eq!(lines[1], "jp        kr        Gone         Manual     yes          192.0.2.21:30844");
    assert!(lines[2].starts_with("jp        sg        unknown      unknown    unknown      "), "{text}");
    assert_eq!(lines.len(), 7);
    let (api, alone) = cluster("us").await;
    put_region(&api, "us", "us", &json!({}));
    let text = shown(&[alone]).await;
    assert!(
        text.ends_with(
            "\nus        -         -            -          -            (it has joined no other region)\n"
        ),
        "{text}"
    );
}

#[tokio::test]
async fn the_list_names_the_regions_whose_order_is_no_majority() {
    let (apis, clusters) = with_regions().await;
    put_region(&apis[0], "jp", "jp", &json!({ "drains": ["kr"] }));
    put_copy(&apis[0], "False");
    let text = shown(&clusters[..1]).await;
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "REGION    PEER      STANDING     FAILOVER   DRAINED          ADDRESSES");
    assert_eq!(lines[1], "jp        kr        Gone         Manual     no majority: jp  192.0.2.21:30844");
    assert_eq!(lines[2], "jp        sg        Connected    Automatic  no               192.0.2.18:30844");
}

#[tokio::test]
async fn the_list_is_json_under_names_that_stay() {
    let (apis, clusters) = with_regions().await;
    put_region(&apis[0], "jp", "jp", &json!({ "drains": ["kr"] }));
    apis[0].remove(&region_path("sg"));
    apis[1].fail(|seen| seen.path.contains("/secrets").then_some(403));
    apis[2].fail(|_| Some(500));
    let peer = |region: &str, standing: Value, failover: Value, drained: Value| {
        json!({
            "region": region, "standing": standing, "failover": failover, "drained": drained,
            "drainOrderedBy": [], "addresses": null,
        })
    };
    let with = |mut peer: Value, fields: Value| {
        peer.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        peer
    };
    let connected = |region| peer(region, json!("Connected"), json!("Automatic"), json!(false));
    let no_right = json!({ "addressesUnread": "no right to list Secrets" });
    let found = json(&clusters).await;
    let expected = json!([
        { "cluster": "context jp", "region": "jp", "peers": [
            with(connected("kr"), json!({ "drainOrderedBy": ["jp"], "addresses": ["192.0.2.21:30844"] })),
            with(peer("sg", Value::Null, Value::Null, Value::Null), json!({ "addresses": ["192.0.2.18:30844"] })),
        ] },
        { "cluster": "context kr", "region": "kr", "peers": [
            with(connected("jp"), no_right.clone()), with(connected("sg"), no_right),
        ] },
    ]);
    assert_eq!(found["regions"][0], expected[0]);
    assert_eq!(found["regions"][1], expected[1]);
    let sg = &found["regions"][2];
    assert_eq!((&sg["region"], &sg["peers"]), (&json!("sg"), &json!([])));
    let why = sg["unread"].as_str().unwrap();
    assert!(why.starts_with("context sg: failed to list its RegionClusters: "), "{why}");
}

/// Its API server stands still, or it cannot even be opened.
#[tokio::test(start_paused = true)]
async fn a_region_that_does_not_answer_is_a_row_of_the_list_and_holds_nobody_up() {
    let (apis, clusters) = with_regions().await;
    apis[1].fail(|_| Some(NO_ANSWER));
    let began = tokio::time::Instant::now();
    let kr = look("kr=kr.yaml".to_owned(), Some(clusters[1].region), async {
        Cluster::read(apis[1].client(), NAMESPACE, By::Either).await
    });
    let sg = look("context sg".to_owned(), None, async { bail!("context sg: no such context") });
    let seen = futures::join!(looked(&clusters[0]), looked(&clusters[1]), kr, sg);
    assert_eq!(began.elapsed(), Duration::from_secs(4), "all at once");
    let seen = [seen.0, seen.1, seen.2, seen.3];
    let (text, done) = said(async |out| tell(&seen, OutputFormat::Text, out)).await;
    done.unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[1].starts_with("jp        kr        Connected "), "{text}");
    for (line, expected) in lines[3..].iter().zip([
        "kr        -         unread       -          -            context kr: no answer within 4 s",
        "kr        -         unread       -          -            kr=kr.yaml: no answer within 4 s",
        "?         -         unread       -          -            context sg: no such context",
    ]) {
        assert_eq!(*line, expected);
    }
    let (text, done) = said(async |out| tell(&seen[3..], OutputFormat::Text, out)).await;
    assert_eq!(text, "", "there is no table of nothing");
    assert_eq!(done.unwrap_err(), "no cluster was read: context sg: no such context");
}

#[test]
fn where_no_cluster_is_named_that_of_the_current_context_is_asked() {
    let named = |arguments: &[&str]| {
        let arguments = ["operator", "region", "list"].iter().chain(arguments);
        let Command::Region(region) = Args::parse_from(arguments).command else { unreachable!() };
        let RegionCommand::List { clusters, .. } = region.command else { unreachable!() };
        named(&clusters).iter().map(Named::what).collect::<Vec<_>>()
    };
    assert_eq!(named(&[]), ["the current context"]);
    assert_eq!(named(&["--kubeconfig", "kr=a", "--context", "jp"]), ["context jp", "kr=a"]);
}
