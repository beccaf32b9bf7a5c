//! Regions that are joined, asked and taken out, against API servers that keep a record.

use super::*;
use crate::mock_api::MockApi;
use serde_json::{Value, json};

const NAMESPACE: &str = "cranewing-system";

fn path(rest: &str) -> String {
    format!("/api/v1/namespaces/{NAMESPACE}/{rest}")
}

fn service(of_type: &str) -> Value {
    json!({
        "metadata": { "name": "cranewing-link" },
        "spec": { "type": of_type, "ports": [{ "port": 8444, "nodePort": 30844 }] },
        "status": { "loadBalancer": { "ingress": [{ "ip": "203.0.113.9" }, { "hostname": "link.example" }] } },
    })
}

fn node(name: &str, ready: bool, addresses: &[(&str, &str)]) -> Value {
    let addresses: Vec<Value> =
        addresses.iter().map(|(type_, address)| json!({ "type": type_, "address": address })).collect();
    let status = if ready { "True" } else { "False" };
    json!({
        "metadata": { "name": name },
        "status": { "addresses": addresses, "conditions": [{ "type": "Ready", "status": status }] },
    })
}

/// A region's cluster whose operator has started, with two nodes.
async fn cluster(region: &str) -> (MockApi, Cluster) {
    let api = MockApi::default();
    let last = region.bytes().map(u32::from).sum::<u32>() % 200;
    api.put("/api/v1/nodes/b", node("b", true, &[("InternalIP", &format!("192.0.2.{last}"))]));
    api.put("/api/v1/nodes/a", node("a", false, &[("InternalIP", "192.0.2.254")]));
    api.put(&path("services/cranewing-link"), service("NodePort"));
    drop(Identity::open(api.client(), NAMESPACE, region).await.unwrap());
    let cluster = Cluster::read(api.client(), NAMESPACE).await.unwrap();
    api.take_seen();
    (api, cluster)
}

async fn three() -> (Vec<MockApi>, Vec<Cluster>) {
    let mut all = (Vec::new(), Vec::new());
    for region in ["jp", "kr", "sg"] {
        let (api, cluster) = cluster(region).await;
        all.0.push(api);
        all.1.push(cluster);
    }
    all
}

async fn said(work: impl AsyncFnOnce(&mut Vec<u8>) -> anyhow::Result<()>) -> (String, Result<(), String>) {
    let mut out = Vec::new();
    let done = work(&mut out).await.map_err(|error| format!("{error:#}"));
    (String::from_utf8(out).unwrap(), done)
}

async fn join(clusters: &[Cluster]) -> String {
    let (text, done) = said(async |out| join::join(clusters, &[], out).await).await;
    done.unwrap();
    text
}

fn writes(api: &MockApi) -> usize {
    api.take_seen().iter().filter(|seen| seen.method != "GET").count()
}

fn peers(api: &MockApi) -> Vec<String> {
    let secrets: Vec<Secret> = api.all("secrets");
    secrets.into_iter().filter_map(|secret| secret.metadata.labels?.remove(labels::PEER)).collect()
}

#[tokio::test]
async fn joining_tells_every_region_of_every_other_one_and_again_changes_nothing() {
    let (apis, clusters) = three().await;
    let text = join(&clusters).await;
    assert_eq!(text.lines().count(), 6, "{text}");
    assert!(text.contains("kr: jp added (192.0.2.18:30844)\n"), "{text}");
    for (api, cluster) in apis.iter().zip(&clusters) {
        assert_eq!(writes(api), 2);
        let of_others: Vec<&Cluster> =
            clusters.iter().filter(|other| other.region != cluster.region).collect();
        for other in of_others {
            let secret = api.get(&path(&format!("secrets/cranewing-peer-{}", other.region))).unwrap();
            let peer =
                crate::links::peer::Peer::from_secret(&serde_json::from_value(secret).unwrap()).unwrap();
            assert_eq!((peer.region, &peer.keys), (other.region, &other.keys));
        }
    }
    let text = join(&clusters).await;
    assert!(text.lines().all(|line| line.contains(" unchanged (")), "{text}");
    assert!(apis.iter().all(|api| writes(api) == 0));

    apis[0].put(&path("services/cranewing-link"), service("LoadBalancer"));
    let text = join(&clusters).await;
    assert!(text.contains("kr: jp updated (203.0.113.9:8444, link.example:8444)\n"), "{text}");
    assert!(text.contains("jp: kr unchanged"), "{text}");
}

#[tokio::test]
async fn what_keeps_regions_from_joining_is_named_with_what_to_do() {
    let (api, jp) = cluster("jp").await;
    let (_, kr) = cluster("kr").await;
    let pair = [jp, kr];
    let address = |text: &str| vec![("jp".parse().unwrap(), text.to_owned())];
    for (name, service, addresses, expected) in [
        (
            "not reachable",
            service("ClusterIP"),
            Vec::new(),
            "set `link.service.type` of its chart to NodePort",
        ),
        ("not reachable", service("ClusterIP"), Vec::new(), "or give one by --address jp=HOST:PORT"),
        ("a bad address", service("NodePort"), address("link.example"), "`link.example` is not host:port"),
        (
            "a stranger's",
            service("NodePort"),
            vec![("us".parse().unwrap(), "a:1".to_owned())],
            "no cluster of that",
        ),
    ] {
        api.put(&path("services/cranewing-link"), service);
        let (text, done) = said(async |out| join::join(&pair, &addresses, out).await).await;
        let error = done.unwrap_err();
        assert!(error.contains(expected), "{name}: {error}");
        assert_eq!((text.as_str(), writes(&api)), ("", 0), "{name}");
    }
    api.put(&path("services/cranewing-link"), service("ClusterIP"));
    let (text, done) = said(async |out| join::join(&pair, &address("link.example:1"), out).await).await;
    assert!(done.is_ok() && text.contains("kr: jp added (link.example:1)"), "{text}");

    let (_, twin) = cluster("jp").await;
    for (clusters, expected) in [
        (vec![twin], "it takes two regions"),
        (vec![cluster("jp").await.1, cluster("jp").await.1], "are one region"),
    ] {
        let (_, done) = said(async |out| join::join(&clusters, &[], out).await).await;
        assert!(done.as_ref().unwrap_err().contains(expected), "{done:?}");
    }
    let bare = MockApi::default();
    let error = Cluster::read(bare.client(), NAMESPACE).await.err().unwrap().to_string();
    assert!(error.contains("no Secret cranewing-system/cranewing-link: install the operator"), "{error}");
}

#[tokio::test]
async fn leaving_takes_a_region_out_of_the_others_and_the_others_out_of_it() {
    let (apis, clusters) = three().await;
    join(&clusters).await;
    let jp = clusters[0].region;
    let (text, done) = said(async |out| leave::leave(jp, &clusters, Vec::new(), out).await).await;
    done.unwrap();
    assert_eq!(text, "jp: forgot kr, sg\nkr: forgot jp\nsg: forgot jp\n");
    assert_eq!(
        apis.iter().map(peers).collect::<Vec<_>>(),
        [vec![], vec!["sg".to_owned()], vec!["kr".to_owned()]]
    );
    let (text, _) = said(async |out| leave::leave(jp, &clusters, Vec::new(), out).await).await;
    assert_eq!(text.matches("nothing to forget").count(), 3, "{text}");
}

#[tokio::test]
async fn a_region_whose_cluster_is_gone_is_forgotten_all_the_same() {
    let (apis, clusters) = three().await;
    join(&clusters).await;
    let (gone, left) = (clusters[0].region, &clusters[1..]);
    let lost = vec!["context jp: failed to ask the API server".to_owned()];
    let (text, done) = said(async |out| leave::leave(gone, left, lost, out).await).await;
    assert!(text.ends_with("jp: not reached; what its cluster knows of the others stays there\n"), "{text}");
    assert!(done.unwrap_err().contains("context jp: failed to ask"));
    assert!(apis[1..].iter().all(|api| !peers(api).contains(&"jp".to_owned())));
}

#[tokio::test]
async fn the_list_shows_whom_each_region_knows_and_how_it_stands() {
    let (apis, clusters) = three().await;
    join(&clusters).await;
    for api in &apis {
        let copy = json!({
            "metadata": { "name": "kr", "labels": { "cranewing.dev/home": "kr" } },
            "spec": { "regionId": "kr", "zones": ["a", "b", "c"], "vpcCidr": "10.10.0.0/16" },
            "status": { "standing": "Gone" },
        });
        api.put("/apis/cranewing.dev/v1alpha1/regionclusters/kr", copy);
    }
    let (text, done) = said(async |out| list::list(&clusters, out).await).await;
    done.unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "REGION    PEER      STANDING     ADDRESSES");
    assert_eq!(lines[1], "jp        kr        Gone         192.0.2.21:30844");
    assert!(lines[2].starts_with("jp        sg        unknown"), "{text}");
    assert_eq!(lines.len(), 7);
}
