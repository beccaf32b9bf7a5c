//! Many regions as one: what they know of each other, and what they say when one is lost. How long that takes: `failover`.

use e2e::crowd::Crowd;
use e2e::node::{self, Lost};
use e2e::regions::{Joined, Standings, region_cluster};
use e2e::{Need, PATIENCE, Region, Scratch, eventually, in_three_regions};
use std::time::Duration;

use crate::duel_in;
use crate::fleets::await_quiet;

/// Ends every cut, whatever becomes of the test.
const CUT_MAX: Duration = Duration::from_secs(120);

/// What `from` says of `to`.
pub(crate) fn says(standings: &Standings, from: &'static str, to: &'static str) -> String {
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
        let row = |from: &str, to: &str| {
            let is_it = |line: &&str| line.split_whitespace().take(2).eq([from, to]);
            list.lines().find(is_it).is_some_and(|line| line.contains("Connected"))
        };
        for (from, to) in [("kr", "jp"), ("kr", "sg"), ("jp", "kr"), ("jp", "sg"), ("sg", "kr"), ("sg", "jp")]
        {
            assert!(row(from, to), "{from} {to}:\n{list}");
        }
        await_quiet(&places[1]).await;
        joined.part().await;
    })
    .await;
}

pub(crate) fn all_well(standings: &Standings) -> bool {
    standings.iter().all(|((from, to), standing)| standing == if from == to { "Member" } else { "Connected" })
}

/// What each way to lose kr makes of it, one after the other in the same regions.
struct Lesson<'a> {
    joined: Joined<'a>,
    kr: &'a Region,
    others: Vec<&'a Region>,
}

impl Lesson<'_> {
    async fn await_recovery(&self) {
        self.joined.await_standings("all are members again", all_well).await;
    }

    /// Rule 5: players still play there, so it is Degraded and not gone, and nobody is moved.
    async fn without_its_operator(&self) {
        let scale = async |replicas: &str| {
            let replicas = format!("--replicas={replicas}");
            let deployment = ["--namespace", "cranewing-system", "scale", "deployment/cranewing-operator"];
            drop(e2e::command::kubectl(self.kr, &[&deployment[..], &[&replicas]].concat()).await);
        };
        scale("0").await;
        self.joined
            .await_standings("jp and sg say that kr is degraded", |standings| {
                says(standings, "jp", "kr") == "Degraded" && says(standings, "sg", "kr") == "Degraded"
            })
            .await;
        scale("2").await;
        self.await_recovery().await;
    }

    /// Rule 4: who reads nobody is isolated, and those who still read it take its own word for that.
    async fn with_its_own_calls_lost(&self) {
        let cut = node::cut(self.kr, &self.others, Lost::OwnCalls, CUT_MAX).await;
        self.joined
            .await_standings("all say that kr is isolated", |standings| {
                ["kr", "jp", "sg"].into_iter().all(|from| says(standings, from, "kr") == "Isolated")
            })
            .await;
        drop(cut);
        self.await_recovery().await;
    }

    /// A whole cluster that stands still is gone for the others; when it wakes it has no say until it is heard again.
    async fn standing_still(&self) {
        let paused = node::pause(self.kr).await;
        for other in &self.others {
            eventually("kr is gone", PATIENCE, || async {
                let standing = region_cluster(other, "kr").await?.status.and_then(|status| status.standing);
                let said = format!("{standing:?}");
                if said == "Some(Gone)" { Ok(()) } else { Err(said) }
            })
            .await;
        }
        drop(paused);
        self.await_recovery().await;
    }
}

/// Rules 4 and 5; nobody in the regions that are not lost notices, and nobody in kr before it stands still.
#[tokio::test]
async fn a_region_is_degraded_isolated_or_gone_by_what_is_lost_of_it_and_comes_back() {
    in_three_regions("lost", &[Need::Engine, Need::Bots], async |places| {
        for place in places {
            duel_in(place, 1).await;
        }
        let (in_kr, elsewhere): (Vec<_>, Vec<_>) = places.iter().partition(|place| place.region.id == "kr");
        let others = elsewhere.iter().map(|place| &place.region).collect();
        let fleet = |_: &Scratch| "duel".to_owned();
        let crowd_of_kr = Crowd::gather(in_kr.iter().copied(), fleet).await;
        let crowd = Crowd::gather(elsewhere.iter().copied(), fleet).await;
        let lesson = Lesson { joined: Joined::join(places).await, kr: &in_kr[0].region, others };
        lesson.without_its_operator().await;
        lesson.with_its_own_calls_lost().await;
        crowd_of_kr.leave_content().await;
        lesson.standing_still().await;
        crowd.leave_content().await;
        lesson.joined.part().await;
    })
    .await;
}
