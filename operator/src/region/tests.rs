//! Regions that are joined, asked and taken out, against API servers that keep a record.

mod list;

use super::*;
use crate::args::{Args, Command};
use crate::mock_api::MockApi;
use clap::Parser as _;
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
    let cluster = Cluster::read(api.client(), NAMESPACE, By::Key).await.unwrap();
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
    assert_eq!(apis.iter().map(writes).collect::<Vec<_>>(), [2, 2, 2]);
    for (api, cluster) in apis.iter().zip(&clusters) {
        let of_others: Vec<&Cluster> =
            clusters.iter().filter(|other| other.region != cluster.region).collect();
        for other in of_others {
            let secret = api.get(&path(&format!("secrets/cranewing-peer-{}", other.region))).unwrap();
            let peer =
                crate::links::peer::Peer::from_secret(&serde_json::from_value(secret).unwrap()).unwrap();
            let keys = identity(&other.client, NAMESPACE).await.unwrap().public_keys;
            assert_eq!((peer.region, peer.keys), (other.region, keys));
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
        (vec![cluster("jp").await.1, cluster("jp").await.1], "two of these clusters are region jp"),
    ] {
        let (_, done) = said(async |out| join::join(&clusters, &[], out).await).await;
        assert!(done.as_ref().unwrap_err().contains(expected), "{done:?}");
    }
    let bare = MockApi::default();
    let error = Cluster::read(bare.client(), NAMESPACE, By::Key).await.err().unwrap().to_string();
    assert!(error.contains("no Secret cranewing-system/cranewing-link: install the operator"), "{error}");
}

#[tokio::test]
async fn which_region_a_cluster_is_stands_on_the_object_of_which_its_operator_says_that() {
    let open = async |api: &MockApi, by| {
        let cluster = Cluster::read(api.client(), NAMESPACE, by).await;
        cluster.map(|cluster| cluster.region.to_string()).map_err(|error| format!("{error:#}"))
    };
    let (api, _) = cluster("kr").await;
    let error = open(&api, By::RegionCluster).await.unwrap_err();
    assert!(error.contains("no RegionCluster there is said to be the region's own: apply it"), "{error}");
    put_region(&api, "kr", "jp", &json!({}));
    let inert = json!({
        "metadata": { "name": "by-hand" }, "status": { "observedGeneration": 1 },
        "spec": { "regionId": "sg", "zones": ["a", "b", "c"], "vpcCidr": "10.10.0.0/16" },
    });
    api.put(&region_path("by-hand"), inert);
    assert!(open(&api, By::RegionCluster).await.is_err(), "a copy, and another's that somebody put there");
    assert_eq!(open(&api, By::Either).await.unwrap(), "kr", "by its key");
    api.fail(|seen| seen.path.contains("/secrets/").then_some(403));
    let error = open(&api, By::Either).await.unwrap_err();
    assert!(
        error.contains("said to be the region's own") && error.contains("failed to read Secret"),
        "{error}"
    );
    put_region(&api, "kr", "kr", &json!({}));
    for by in [By::RegionCluster, By::Either] {
        assert_eq!(open(&api, by).await.unwrap(), "kr", "{by:?}");
    }
    assert!(open(&api, By::Key).await.unwrap_err().contains("failed to read Secret"));
    put_region(&api, "us", "us", &json!({}));
    let error = open(&api, By::RegionCluster).await.unwrap_err();
    assert!(error.contains("RegionClusters of kr and us are said to be the region's own"), "{error}");
}

/// Or who may drain a region may read its private key.
#[tokio::test]
async fn orders_and_the_list_take_no_right_to_secrets() {
    let (apis, _) = with_regions().await;
    let mut clusters = Vec::new();
    for api in &apis {
        api.fail(|seen| seen.path.contains("/secrets").then_some(403));
        clusters.push(Cluster::read(api.client(), NAMESPACE, By::RegionCluster).await.unwrap());
    }
    for (command, takes_secrets) in [
        (&["join"][..], true),
        (&["leave", "--region", "kr"], true),
        (&["drain", "kr"], false),
        (&["return", "kr"], false),
        (&["confirm", "kr", "--keep"], false),
        (&["list"], false),
    ] {
        let arguments = ["operator", "region"].iter().chain(command).chain(&["--context", "kr"]);
        let Command::Region(region) = Args::parse_from(arguments).command else { unreachable!() };
        let opened = Cluster::read(apis[1].client(), NAMESPACE, by(&region.command)).await;
        assert_eq!(opened.is_err(), takes_secrets, "{command:?}");
        apis[1].take_seen();
    }
    // Nobody here has heard sg yet, so that there is no copy of it.
    apis[0].remove(&region_path("sg"));
    let (text, done) = give(Order::Drain, "kr", &clusters[..1]).await;
    done.unwrap();
    assert!(text.contains("kr is not drained yet: jp says so; 1 of 3 registered regions"), "{text}");
    let (text, done) = give(Order::Drain, "kr", &clusters).await;
    done.unwrap();
    assert!(
        text.ends_with("kr is drained: jp, kr, sg say so; 3 of 3 registered regions, a majority\n"),
        "{text}"
    );
    give(Order::Return, "kr", &clusters).await.1.unwrap();
    let kr = clusters[1].region;
    let (_, done) = said(async |out| confirm::confirm(kr, true, &clusters, out).await).await;
    assert!(done.unwrap_err().contains("there is nothing to confirm"), "it was looked at");
    for api in &apis {
        let seen = api.take_seen();
        assert!(!seen.iter().any(|seen| seen.path.contains("/secrets")), "{seen:?}");
    }
    let text = list::shown(&clusters).await;
    assert_eq!(text.lines().count(), 7, "{text}");
    assert!(text.lines().skip(1).all(|line| line.ends_with(" (no right to list Secrets)")), "{text}");
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
    let nobody = "xx".parse().unwrap();
    let (text, done) = said(async |out| leave::leave(nobody, &clusters, Vec::new(), out).await).await;
    assert_eq!(text, "", "the error says it all");
    assert!(done.unwrap_err().contains("none of these clusters knows a region xx"));
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

/// RegionCluster of a region in the cluster of another, or in its own.
fn put_region(api: &MockApi, at: &str, of: &str, fields: &Value) {
    let mut spec = json!({ "regionId": of, "zones": ["a", "b", "c"], "vpcCidr": "10.10.0.0/16" });
    spec.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let copied =
        json!({ "cranewing.dev/home": of, "app.kubernetes.io/managed-by": labels::MANAGED_BY_OPERATOR });
    let peers: Vec<_> = ["jp", "kr", "sg"].into_iter().filter(|peer| *peer != at).collect();
    let (labels, status) = if at == of {
        (json!({}), json!({ "standing": "Member", "peers": peers }))
    } else {
        (copied, json!({ "standing": "Connected", "roundTrips": {} }))
    };
    let region = json!({
        "apiVersion": "cranewing.dev/v1alpha1", "kind": "RegionCluster",
        "metadata": { "name": of, "labels": labels }, "spec": spec, "status": status,
    });
    api.put(&region_path(of), region);
}

fn region_path(of: &str) -> String {
    format!("/apis/cranewing.dev/v1alpha1/regionclusters/{of}")
}

fn drains(api: &MockApi, of: &str) -> Value {
    api.get(&region_path(of)).unwrap()["spec"]["drains"].clone()
}

/// jp, kr and sg, joined, each with its own RegionCluster and copies of the others'.
async fn with_regions() -> (Vec<MockApi>, Vec<Cluster>) {
    let (apis, clusters) = three().await;
    join(&clusters).await;
    for (api, at) in apis.iter().zip(["jp", "kr", "sg"]) {
        for of in ["jp", "kr", "sg"] {
            put_region(api, at, of, &json!({}));
        }
        api.take_seen();
    }
    (apis, clusters)
}

async fn give(order: Order, region: &str, clusters: &[Cluster]) -> (String, Result<(), String>) {
    let region = region.parse().unwrap();
    said(async |out| order::give(order, region, (clusters, Vec::new()), out).await).await
}

#[tokio::test]
async fn an_order_is_written_into_each_regions_own_object_alone_and_again_changes_nothing() {
    let (apis, clusters) = with_regions().await;
    let (jp, kr, sg) = (&apis[0], &apis[1], &apis[2]);
    let (text, done) = give(Order::Drain, "kr", &clusters[..1]).await;
    done.unwrap();
    assert_eq!(
        text,
        "jp: RegionCluster jp says now that kr shall be left\n\
         kr is not drained yet: jp says so; 1 of 3 registered regions, and it takes 2 for the order to be in force; \
         run it again with --context or --kubeconfig for 1 more of kr, sg\n"
    );
    assert_eq!((drains(jp, "jp"), drains(jp, "kr"), writes(jp)), (json!(["kr"]), Value::Null, 1));
    assert_eq!(writes(kr) + writes(sg), 0, "nobody writes into another region");

    // jp is not reached this time, and sg has a copy of what it says
    put_region(sg, "sg", "jp", &json!({ "drains": ["kr"] }));
    let (text, done) = give(Order::Drain, "kr", &clusters[2..]).await;
    done.unwrap();
    assert!(
        text.ends_with("kr is drained: jp, sg say so; 2 of 3 registered regions, a majority\n"),
        "{text}"
    );

    let (text, done) = give(Order::Drain, "kr", &clusters).await;
    done.unwrap();
    assert!(text.contains("jp: RegionCluster jp said before that kr shall be left\n"), "{text}");
    assert!(
        text.ends_with("kr is drained: jp, kr, sg say so; 3 of 3 registered regions, a majority\n"),
        "{text}"
    );
    for api in &apis {
        api.take_seen();
    }
    give(Order::Drain, "kr", &clusters).await.1.unwrap();
    assert!(apis.iter().all(|api| writes(api) == 0), "it was said before");

    for of in ["kr", "sg"] {
        put_region(jp, "jp", of, &json!({ "drains": ["kr"] }));
    }
    let (text, done) = give(Order::Return, "kr", &clusters[..1]).await;
    done.unwrap();
    let words = "kr is still drained: kr, sg say so; 2 of 3 registered regions, a majority; run it again with --context or \
                 --kubeconfig for 1 more of kr, sg\n";
    assert!(text.ends_with(words), "{text}");
    let (text, done) = give(Order::Return, "kr", &clusters).await;
    done.unwrap();
    assert!(text.contains("jp: RegionCluster jp did not say that kr shall be left\n"), "{text}");
    assert!(text.ends_with("kr is not drained: no region orders it\n"), "{text}");
    assert_eq!(
        [drains(jp, "jp"), drains(kr, "kr"), drains(sg, "sg")],
        [Value::Null, Value::Null, Value::Null]
    );
}

#[tokio::test]
async fn an_order_that_cannot_be_meant_is_refused_and_nothing_is_written() {
    let many: Vec<String> = (0..16).map(|at| format!("r{at}")).collect();
    let hold = json!({ "failover": "Hold" });
    for (name, order, region, at, of, fields, expected) in [
        (
            "unknown",
            Order::Drain,
            "us",
            "jp",
            "jp",
            json!({}),
            "no region us is registered in these clusters, but jp, kr, sg",
        ),
        ("unknown", Order::Return, "us", "jp", "jp", json!({}), "`operator region join` makes one known"),
        ("it holds", Order::Drain, "kr", "kr", "kr", hold.clone(), "failover of region kr is Hold"),
        (
            "the most",
            Order::Drain,
            "kr",
            "sg",
            "sg",
            json!({ "drains": many }),
            "RegionCluster sg of sg says already of 16 regions that they shall be left, which is the most; return one",
        ),
    ] {
        let (apis, clusters) = with_regions().await;
        let api = &apis[["jp", "kr", "sg"].iter().position(|place| *place == at).unwrap()];
        put_region(api, at, of, &fields);
        let (text, done) = give(order, region, &clusters).await;
        let error = done.unwrap_err();
        assert!(error.contains(expected), "{name}: {error}");
        assert!(text.is_empty() && apis.iter().all(|api| writes(api) == 0), "{name}");
    }

    let (apis, clusters) = with_regions().await;
    put_region(&apis[0], "jp", "kr", &hold);
    let (_, done) = give(Order::Drain, "kr", &clusters[..1]).await;
    let error = done.unwrap_err();
    let words = "is Hold, and while it is nothing of it moves; set spec.failover of the RegionCluster of region kr in its own";
    assert!(error.contains(words), "by the copy, where its own cluster is not reached: {error}");
    let mut own = apis[1].get(&region_path("kr")).unwrap();
    (own["metadata"]["name"], own["spec"]["failover"]) = (json!("seoul"), json!("Hold"));
    apis[1].remove(&region_path("kr"));
    apis[1].put(&region_path("seoul"), own);
    let error = give(Order::Drain, "kr", &clusters).await.1.unwrap_err();
    assert!(error.contains("set spec.failover of RegionCluster seoul in its own cluster"), "{error}");

    apis[2].remove(&region_path("sg"));
    let (_, done) = give(Order::Drain, "jp", &clusters).await;
    let error = done.unwrap_err();
    assert!(
        error.contains("no RegionCluster of region sg in its own cluster; apply it there first"),
        "{error}"
    );
    assert!(apis.iter().all(|api| writes(api) == 0), "also where there is one");

    let (apis, clusters) = with_regions().await;
    for (api, at) in apis.iter().zip(["jp", "kr", "sg"]) {
        put_region(api, at, at, &json!({ "drains": ["jp", "kr"] }));
    }
    let (_, done) = give(Order::Drain, "sg", &clusters).await;
    assert!(done.unwrap_err().contains("no region would be left to place on: every other one is drained"));
    give(Order::Drain, "kr", &clusters).await.1.unwrap();

    let lost = vec!["context jp: failed to ask the API server".to_owned()];
    let sg = "sg".parse().unwrap();
    let (_, done) = said(async |out| order::give(Order::Drain, sg, (&[], lost.clone()), out).await).await;
    assert_eq!(done.unwrap_err(), "no cluster was reached: context jp: failed to ask the API server");
    let (text, done) =
        said(async |out| order::give(Order::Return, sg, (&clusters[1..], lost), out).await).await;
    assert!(text.contains("kr: RegionCluster kr did not say that sg shall be left\n"), "{text}");
    assert!(done.unwrap_err().contains("run it again for these: context jp"));
}

#[tokio::test]
async fn what_others_write_meanwhile_is_neither_lost_nor_in_the_way() {
    let (apis, clusters) = with_regions().await;
    let api = apis[0].clone();
    let mut conflicts = 2;
    apis[0].fail(move |seen| {
        let is_conflict = seen.method == "PATCH" && conflicts > 0;
        conflicts -= i32::from(is_conflict);
        is_conflict.then_some(409)
    });
    give(Order::Drain, "kr", &clusters[..1]).await.1.unwrap();
    assert_eq!(drains(&api, "jp"), json!(["kr"]));
    apis[0].fail(|seen| (seen.method == "PATCH").then_some(409));
    let (_, done) = give(Order::Return, "kr", &clusters[..1]).await;
    assert!(done.unwrap_err().contains("failed to write into jp; run it again"));
}

#[tokio::test]
async fn a_person_says_who_counts_only_where_there_is_something_to_say() {
    let (apis, clusters) = three().await;
    let kr = clusters[1].region;
    let path = "/apis/cranewing.dev/v1alpha1/regionclusters/kr";
    let confirm =
        async |clusters: &[Cluster]| said(async |out| confirm::confirm(kr, true, clusters, out).await).await;
    let own = |status: &str| {
        let condition = json!({
            "type": "NotPublished", "status": status, "reason": "RestoredFromOld", "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        });
        json!({
            "metadata": { "name": "kr", "uid": "u" },
            "spec": { "regionId": "kr", "zones": ["a", "b", "c"], "vpcCidr": "10.10.0.0/16" },
            "status": { "conditions": [condition] },
        })
    };
    for (object, expected) in
        [(Value::Null, "kr has no RegionCluster of its own"), (own("False"), "there is nothing to confirm")]
    {
        if object.is_null() {
            let other = json!({
                "metadata": { "name": "jp" },
                "spec": { "regionId": "jp", "zones": ["a", "b", "c"], "vpcCidr": "10.10.0.0/16" },
            });
            apis[1].put("/apis/cranewing.dev/v1alpha1/regionclusters/jp", other);
        } else {
            apis[1].put(path, object);
        }
        let (_, done) = confirm(&clusters).await;
        assert!(done.as_ref().unwrap_err().contains(expected), "{done:?}");
    }
    let (_, done) = confirm(&clusters[..1]).await;
    assert!(done.as_ref().unwrap_err().contains("no cluster of kr is named"), "{done:?}");
    apis[1].put(path, own("True"));
    let (text, done) = confirm(&clusters).await;
    done.unwrap();
    assert!(text.starts_with("kr: take-back, because of RestoredFromOld"), "{text}");
    let annotations = apis[1].get(path).unwrap()["metadata"]["annotations"].clone();
    assert_eq!(annotations, json!({ "cranewing.dev/confirm": "take-back" }));
    let mut new = own("True");
    new["status"]["conditions"][0]["reason"] = json!("TakingBack");
    apis[1].put(path, new);
    let (_, done) = said(async |out| confirm::confirm(kr, false, &clusters, out).await).await;
    assert!(done.unwrap_err().contains("would delete all placed Fleets of kr"));
}
