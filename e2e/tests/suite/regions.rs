//! Many regions as one: what they know of each other, and what they say when one is cut off.

use e2e::crowd::Crowd;
use e2e::node::{self, Lost};
use e2e::regions::{Joined, Standings, region_cluster};
use e2e::{Need, PATIENCE, Scratch, Watch, eventually, in_three_regions, say};
use std::time::Duration;

use crate::duel_in;
use crate::fleets::await_quiet;

/// Ends every cut, whatever becomes of the test.
const CUT_MAX: Duration = Duration::from_secs(120);
/// Ceiling for the time from a cut until the others agree, ten times what the rules say.
const AGREED_SECONDS_MAX: f64 = 50.0;

/// What `from` says of `to`.
fn says(standings: &Standings, from: &'static str, to: &'static str) -> String {
    standings.get(&(from, to)).cloned().unwrap_or_default()
}

/// A2, A3: every region shows every region, with its figures and its own view; what does not change is not written, however
/// often the others are heard.
#[tokio::test]
async fn regions_that_are_joined_show_each_other() {
    in_three_regions("joined", &[], async |places| {
        duel_in(&places[1], 2).await;
        let joined = Joined::join(places).await;
        for place in places {
            let at = &place.region;
            eventually("the other's servers and round trips are shown", PATIENCE, || async {
                let of_kr = region_cluster(at, "kr").await?.status.unwrap_or_default();
                let servers = (of_kr.servers.total, of_kr.servers.ready);
                let is_copy = at.id != "kr";
                let measured =
                    of_kr.round_trips.is_some_and(|took| took.link.is_some() && took.udp.is_some());
                let is_seen = of_kr.seen_by == ["jp", "sg"] && measured;
                if servers == (2, 2) && is_seen == is_copy {
                    Ok(())
                } else {
                    Err(format!("{}: {of_kr:?}", at.id))
                }
            })
            .await;
        }
        let list = joined.try_operator(&["list"]).unwrap();
        assert!(["kr", "jp", "sg"].iter().all(|id| list.contains(id)), "{list}");
        await_quiet(&places[1]).await;
        joined.part().await;
    })
    .await;
}

/// Players in each region on a Fleet of its own.
async fn crowd_of_duels(places: &[Scratch]) -> Crowd {
    for place in places {
        duel_in(place, 1).await;
    }
    Crowd::gather(places, |_| "duel".to_owned()).await
}

/// A14, A21: the others agree that it is gone, it knows that it is cut off, and all is as before when the cut has healed.
#[tokio::test]
async fn a_region_that_is_cut_off_is_gone_for_the_others_and_isolated_for_itself() {
    in_three_regions("cut", &[Need::Engine, Need::Bots], async |places| {
        let crowd = crowd_of_duels(places).await;
        let joined = Joined::join(places).await;
        let regions: Vec<_> = places.iter().map(|place| &place.region).collect();
        let (kr, others): (Vec<_>, Vec<_>) = regions.into_iter().partition(|region| region.id == "kr");

        let watch = Watch::new();
        let cut = node::cut(kr[0], &others, Lost::Everything, CUT_MAX).await;
        joined
            .await_standings("jp and sg say that kr is gone, and kr that it is isolated", |standings| {
                says(standings, "jp", "kr") == "Gone"
                    && says(standings, "sg", "kr") == "Gone"
                    && says(standings, "kr", "kr") == "Isolated"
            })
            .await;
        let agreed = watch.seconds();
        let standings = joined.standings().await.unwrap();
        for (from, to, expected) in [
            ("jp", "sg", "Connected"),
            ("sg", "jp", "Connected"),
            ("jp", "jp", "Member"),
            ("sg", "sg", "Member"),
            ("kr", "jp", "Unreachable"),
            ("kr", "sg", "Unreachable"),
        ] {
            assert_eq!(says(&standings, from, to), expected, "{from} of {to}: {standings:?}");
        }
        let heartbeat =
            async || region_cluster(others[0], "kr").await.unwrap().status.unwrap().last_heartbeat;
        let heard_last = heartbeat().await;

        let watch = Watch::new();
        drop(cut);
        joined.await_standings("all are members again", all_well).await;
        assert!(
            heartbeat().await.unwrap().0 > heard_last.unwrap().0,
            "it was not heard while it was cut off"
        );
        say(&format!(
            "measured: kr cut off: the others agree after {agreed:.1} s; all well {:.1} s after it healed",
            watch.seconds()
        ));
        assert!(agreed < AGREED_SECONDS_MAX, "agreed after {agreed:.1} s");
        crowd.leave_content().await;
        joined.part().await;
    })
    .await;
}

pub(crate) fn all_well(standings: &Standings) -> bool {
    standings.iter().all(|((from, to), standing)| standing == if from == to { "Member" } else { "Connected" })
}

/// Rule 5: players still play there, so it is Degraded and not gone, and nobody is moved.
#[tokio::test]
async fn a_region_without_its_operator_is_degraded_and_not_gone() {
    in_three_regions("headless", &[Need::Bots], async |places| {
        let crowd = crowd_of_duels(places).await;
        let joined = Joined::join(places).await;
        let kr = places.iter().find(|place| place.region.id == "kr").unwrap();
        let scale = async |replicas: &str| {
            let replicas = format!("--replicas={replicas}");
            let deployment = ["--namespace", "cranewing-system", "scale", "deployment/cranewing-operator"];
            drop(e2e::command::kubectl(&kr.region, &[&deployment[..], &[&replicas]].concat()).await);
        };
        scale("0").await;
        joined
            .await_standings("jp and sg say that kr is degraded", |standings| {
                says(standings, "jp", "kr") == "Degraded" && says(standings, "sg", "kr") == "Degraded"
            })
            .await;
        scale("2").await;
        joined.await_standings("all are members again", all_well).await;
        crowd.leave_content().await;
        joined.part().await;
    })
    .await;
}

/// Rule 4: who reads nobody is isolated, and those who still read it take its own word for that.
#[tokio::test]
async fn a_region_whose_own_calls_are_lost_is_isolated_by_its_own_word() {
    in_three_regions("mute", &[Need::Engine], async |places| {
        let joined = Joined::join(places).await;
        let regions: Vec<_> = places.iter().map(|place| &place.region).collect();
        let (kr, others): (Vec<_>, Vec<_>) = regions.into_iter().partition(|region| region.id == "kr");
        let cut = node::cut(kr[0], &others, Lost::OwnCalls, CUT_MAX).await;
        joined
            .await_standings("all say that kr is isolated", |standings| {
                ["kr", "jp", "sg"].into_iter().all(|from| says(standings, from, "kr") == "Isolated")
            })
            .await;
        drop(cut);
        joined.await_standings("all are members again", all_well).await;
        joined.part().await;
    })
    .await;
}

/// A whole cluster that stands still is gone for the others; when it wakes it has no say until it is heard again.
#[tokio::test]
async fn a_region_that_stands_still_is_gone_and_comes_back() {
    in_three_regions("frozen", &[Need::Engine], async |places| {
        let joined = Joined::join(places).await;
        let kr = places.iter().find(|place| place.region.id == "kr").unwrap();
        let others = ["jp", "sg"];
        let paused = node::pause(&kr.region).await;
        for place in places.iter().filter(|place| place.region.id != "kr") {
            eventually("kr is gone", PATIENCE, || async {
                let standing =
                    region_cluster(&place.region, "kr").await?.status.and_then(|status| status.standing);
                let said = format!("{standing:?}");
                if said == "Some(Gone)" { Ok(()) } else { Err(said) }
            })
            .await;
        }
        drop(paused);
        joined.await_standings("all are members again", all_well).await;
        let standings = joined.standings().await.unwrap();
        assert!(others.iter().all(|from| says(&standings, from, "kr") == "Connected"), "{standings:?}");
        joined.part().await;
    })
    .await;
}
