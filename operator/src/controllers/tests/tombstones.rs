//! Tombstones of placed Fleets: what they take, and how many are remembered.

use super::ours;
use super::placed_fleets::{Regions, SECOND, published};
use super::recovery::stone;
use crate::links::message::PublishedFleet;
use crate::links::peer::tests::peer;
use std::sync::Arc;

/// Or each second another one would be forgotten and written.
#[tokio::test]
async fn tombstones_for_which_there_is_no_room_cause_no_writes() {
    let mut regions = Regions::new().await;
    let stones = (0..600).map(|at| stone(PublishedFleet { uid: format!("u-{at}"), ..published("jp", 1, 1) }));
    regions.peers.get_mut("jp").unwrap().fleets = stones.collect();
    regions.pass(3).await;
    let of_jp = &regions.kept().buried[&"jp".parse().unwrap()];
    assert_eq!(of_jp.len(), 500, "half of the room is sg's");
    regions.world.api.take_seen();
    regions.pass(5).await;
    assert_eq!(regions.world.api.take_briefs(), Vec::<String>::new());
    let before = of_jp.clone();
    let fresh = stone(PublishedFleet { uid: "fresh".to_owned(), ..published("jp", 1, 1) });
    regions.peers.get_mut("jp").unwrap().fleets = vec![fresh];
    regions.pass(3).await;
    let now = &regions.kept().buried[&"jp".parse().unwrap()];
    assert!(
        now.len() == 500 && now.contains_key("fresh") && !before.contains_key("fresh"),
        "the oldest made way"
    );
    let context = &regions.world.context;
    let more = ["jp", "sg", "eu", "us"].map(|name| Arc::new(peer(name)));
    context.links.table.register(context.clock.elapsed(), more);
    regions.pass(8).await;
    let now = &regions.kept().buried[&"jp".parse().unwrap()];
    assert!(now.len() == 250 && now.contains_key("fresh"), "{}: who joins has room too", now.len());
    regions.world.api.take_seen();
    regions.pass(3).await;
    assert_eq!(regions.world.api.take_briefs(), Vec::<String>::new());
}

/// jp was cut off while its Fleet was deleted at its home and made anew.
#[tokio::test]
async fn a_fleet_that_has_the_name_of_a_dead_one_is_kept_though_both_are_heard_of_at_once() {
    let mut regions = Regions::new().await;
    let (dead, alive) =
        (published("jp", 6, 4), PublishedFleet { uid: "f-anew".to_owned(), ..published("jp", 9, 1) });
    regions.peers.get_mut("jp").unwrap().fleets = vec![dead.clone()];
    regions.pass(5).await;
    let uid = |regions: &Regions| {
        regions.world.api.get(&ours("fleets", "arena")).map(|copy| copy["metadata"]["uid"].clone())
    };
    let before = uid(&regions);
    regions.peers.get_mut("jp").unwrap().fleets = vec![alive, stone(dead)];
    regions.pass(5).await;
    let made = uid(&regions);
    assert!(made.is_some() && made != before, "the dead one's copy has gone");
    assert_eq!(
        regions.world.api.get(&ours("fleets", "arena")).unwrap()["metadata"]["annotations"]["cranewing.dev/version"],
        "f-anew 0 1"
    );
    assert_eq!(regions.share(), Some(3));
}

/// A watch may be behind: what is there by now may be another home's, or of another version.
#[tokio::test]
async fn a_tombstone_takes_only_what_is_as_it_was_seen() {
    let mut regions = Regions::new().await;
    regions.peers.get_mut("jp").unwrap().fleets = vec![published("jp", 6, 1)];
    regions.pass(5).await;
    let path = ours("fleets", "arena");
    regions.peers.get_mut("jp").unwrap().fleets = vec![stone(published("jp", 6, 1))];
    regions.world.api.put(&path, regions.world.api.get(&path).unwrap());
    regions.world.wait(SECOND);
    regions.world.context.links.pulse.beat(regions.world.context.clock.elapsed());
    regions.hear();
    regions.placing.turn(&regions.world.context).await;
    assert!(regions.world.api.get(&path).is_some(), "somebody has just written it");
    regions.world.bring();
    regions.pass(2).await;
    assert_eq!(regions.world.api.get(&path), None);
}
