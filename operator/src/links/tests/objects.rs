//! What regions publish, and what they keep of each other.

use super::*;

/// More than a frame holds.
#[tokio::test]
async fn placed_fleets_come_page_by_page_and_none_before_its_finalizer_is_on_it() {
    let mut regions = three().await;
    for number in 0..40 {
        let finalizers = if number == 39 { json!([]) } else { json!([labels::PLACED_FINALIZER]) };
        let name = format!("arena-{number:02}");
        let metadata = json!({ "name": name, "namespace": "games", "uid": name, "finalizers": finalizers });
        let template = json!({ "metadata": { "annotations": { "long": "x".repeat(4096) } } });
        let spec = json!({ "home": "jp", "replicas": 6, "placement": {}, "template": template });
        let fleet = serde_json::from_value(json!({ "metadata": metadata, "spec": spec })).unwrap();
        regions[0].fleets.apply_watcher_event(&Event::Apply(fleet));
    }
    let jp = "jp".parse().unwrap();
    until("all are here", || regions[1].known("jp").fleets(jp).count() == 39).await;
    let known = regions[1].known("jp");
    assert_eq!(known.fleets(jp).next().unwrap().uid, "arena-00");
    assert_eq!(known.objects.unwrap().region_cluster.as_ref().unwrap().region_id, "jp");
    until("it is known what jp has of them", || {
        regions[1].known("jp").digest().is_some_and(|digest| digest.holdings.fleets.len() == 40)
    })
    .await;
}

/// More than a frame holds.
#[tokio::test]
async fn a_region_is_told_what_another_one_keeps_of_it_and_nobody_else_is() {
    let mut regions = three().await;
    let managed = labels::MANAGED_BY_OPERATOR;
    let of_kr = json!({ labels::HOME: "kr", labels::MANAGED_BY: managed });
    for number in 0..40 {
        let name = format!("arena-{number:02}");
        let metadata = json!({
            "name": name, "namespace": "games", "labels": of_kr,
            "annotations": { labels::VERSION: format!("u-{name} 2 {number}") },
        });
        let template = json!({ "metadata": { "annotations": { "long": "x".repeat(4096) } } });
        let spec = json!({ "home": "kr", "replicas": 6, "placement": {}, "template": template });
        let fleet = serde_json::from_value(json!({ "metadata": metadata, "spec": spec })).unwrap();
        regions[0].fleets.apply_watcher_event(&Event::Apply(fleet));
    }
    let copy = json!({
        "metadata": { "name": "kr", "labels": of_kr, "annotations": { labels::VERSION: "u 0 7" } },
        "spec": { "regionId": "kr", "zones": ["a", "b", "c"], "vpcCidr": "10.10.0.0/16" },
    });
    regions[0].regions.apply_watcher_event(&Event::Apply(serde_json::from_value(copy).unwrap()));
    let copies = |region: &Region| region.known("jp").copies;
    until("it is read", || regions[1].known("jp").reach == Some(Reach::Reads)).await;
    assert!(copies(&regions[1]).is_none(), "nobody has asked");
    for region in &regions[1..] {
        region.links.table.want_copies(true);
    }
    until("both have an answer", || regions[1..].iter().all(|region| copies(region).is_some())).await;
    let (kr, sg) = (copies(&regions[1]).unwrap(), copies(&regions[2]).unwrap());
    assert_eq!((kr.fleets.len(), kr.generation), (40, 7));
    assert_eq!((kr.fleets[39].uid.as_str(), kr.fleets[39].version.home_epoch), ("u-arena-39", 2));
    assert_eq!(kr.region_cluster.as_ref().unwrap().region_id, "kr");
    assert_eq!(kr.registered.iter().collect::<Vec<_>>(), ["kr", "sg"]);
    assert!(sg.fleets.is_empty() && sg.region_cluster.is_none(), "they are not sg's");
    let look = regions[1].links.look(regions[1].links.clock.elapsed());
    assert_eq!(regions[1].links.answers(&look)[&regions[0].links.me].copies.len(), 40);
    regions[1].links.table.want_copies(false);
    assert!(copies(&regions[1]).is_none());
}
