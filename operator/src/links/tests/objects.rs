//! What regions publish, and what they keep of each other.

use super::ways::distant_address;
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
            "annotations": { labels::VERSION: format!("u-{name} 2 {}", number + 1) },
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

/// A copy of kr's Fleet of so many bytes, of this version.
fn copy(name: &str, version: &str, bytes: usize) -> Event<Fleet> {
    let metadata = json!({
        "name": name, "namespace": "games", "annotations": { labels::VERSION: version },
        "labels": { labels::HOME: "kr", labels::MANAGED_BY: labels::MANAGED_BY_OPERATOR },
    });
    let template = json!({ "metadata": { "annotations": { "long": "x".repeat(bytes) } } });
    let spec = json!({ "home": "kr", "replicas": 6, "placement": {}, "template": template });
    Event::Apply(serde_json::from_value(json!({ "metadata": metadata, "spec": spec })).unwrap())
}

/// What lies behind the pages that are read might be a tombstone of what is on them.
#[tokio::test]
async fn an_answer_that_is_not_read_to_its_end_does_not_count_and_tombstones_come_first() {
    let (mut jp, mut kr) = (Region::start("jp").await, Region::start("kr").await);
    jp.register(&[kr.peer()]).await;
    kr.register(&[jp.peer()]).await;
    let stone =
        json!({ "namespace": "games", "name": "gone", "version": { "homeEpoch": 1, "generation": 3 } });
    let state = json!({ "buried": { "kr": { "u-gone": stone } } }).to_string();
    let ballot = json!({
        "metadata": { "name": labels::BALLOT, "resourceVersion": "2" }, "data": { "state.json": state },
    });
    jp.ballots.apply_watcher_event(&Event::Apply(serde_json::from_value(ballot).unwrap()));
    for number in 0..40 {
        jp.fleets.apply_watcher_event(&copy(
            &format!("arena-{number:02}"),
            &format!("u-{number} 0 1"),
            30_000,
        ));
    }
    let heard = || kr.known("jp").last.map_or(0, |(digest, _)| digest.sequence);
    until("it is read", || heard() > 0).await;
    kr.links.table.want_copies(true);
    for _ in 0..2 {
        let before = heard();
        until("it was asked for that before it is heard again", || heard() > before).await;
    }
    assert!(kr.known("jp").copies.is_none(), "a page holds one, and not all pages are read");
    for number in 0..40 {
        let version = if number < 20 { "u 0 0".to_owned() } else { format!("u-{number} 0 1") };
        jp.fleets.apply_watcher_event(&copy(&format!("arena-{number:02}"), &version, 30_000));
    }
    until("all of it is read", || kr.known("jp").copies.is_some()).await;
    let kept = kr.known("jp").copies.unwrap();
    let names: Vec<_> = kept.fleets.iter().map(|fleet| (fleet.name.as_str(), fleet.deleted)).collect();
    assert_eq!(
        (names[0], names[1]),
        (("gone", true), ("arena-20", false)),
        "a copy that is only begun says nothing"
    );
    assert_eq!(names.len(), 21);
    let page = jp.links.copies_of(kr.links.me, 0).unwrap();
    assert!(page.fleets[0].deleted, "on the first page");
}

/// All of its Fleets take five seconds, and who is not heard for four is silent.
#[tokio::test]
async fn a_peer_that_is_far_away_is_heard_while_it_says_what_it_has() {
    let (mut jp, mut kr) = (Region::start("jp").await, Region::start("kr").await);
    jp.register(&[kr.peer()]).await;
    for number in 0..20 {
        let metadata = json!({
            "name": format!("arena-{number:02}"), "namespace": "games", "uid": format!("u-{number}"),
            "finalizers": [labels::PLACED_FINALIZER],
        });
        let template = json!({ "metadata": { "annotations": { "long": "x".repeat(30_000) } } });
        let spec = json!({ "home": "jp", "replicas": 6, "placement": {}, "template": template });
        let fleet = serde_json::from_value(json!({ "metadata": metadata, "spec": spec })).unwrap();
        jp.fleets.apply_watcher_event(&Event::Apply(fleet));
    }
    let far = distant_address(jp.address, Duration::from_millis(130)).await;
    kr.register(&[known_as("jp", &[far], &jp.keys)]).await;
    until("it is read", || kr.known("jp").reach == Some(Reach::Reads)).await;
    let id = jp.links.me;
    until("all are here", || {
        assert_eq!(kr.known("jp").reach, Some(Reach::Reads), "at no moment it is not");
        kr.known("jp").fleets(id).count() == 20
    })
    .await;
}
