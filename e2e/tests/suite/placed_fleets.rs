//! Placed Fleets: one Fleet shared out over three regions, when its weights change and when a region is cut off.

use e2e::bots::Bots;
use e2e::node::{self, Lost};
use e2e::regions::Joined;
use e2e::{Need, PATIENCE, Scratch, Watch, eventually, in_three_regions, say};
use kube::api::{DeleteParams, ListParams};
use operator_api::{Fleet, GameServer};
use std::collections::BTreeMap;
use std::time::Duration;

/// Ends the cut, whatever becomes of the test.
const CUT_MAX: Duration = Duration::from_secs(180);
const PLAYERS: u32 = 8;

/// Fleet `arena` of six servers, whose home jp is, with this list of regions.
fn arena(regions: &str) -> String {
    format!(
        "{{apiVersion: cranewing.dev/v1alpha1, kind: Fleet, metadata: {{name: arena}}, spec: {{replicas: 6, home: jp, placement: {{regions: {regions}}}, template: {{spec: {{capacity: 16, drain: {{deadlineSeconds: 5}}, template: {{spec: {{containers: [{{name: gameserver, resources: {{requests: {{cpu: 10m, memory: 16Mi}}}}}}]}}}}}}}}}}}}"
    )
}

/// Servers that each of these regions has Ready and asks for.
type Shares = BTreeMap<&'static str, usize>;

async fn await_shares(places: &[&Scratch], expected: &[(&'static str, usize)]) {
    let expected: Shares = expected.iter().copied().collect();
    eventually(&format!("the shares are {expected:?}"), PATIENCE, || async {
        let mut found = Shares::new();
        for place in places.iter().filter(|place| expected.contains_key(place.region.id)) {
            let share = place.api::<Fleet>().get_opt(&format!("arena-{}", place.region.id)).await;
            let share = share.map_err(|error| error.to_string())?.ok_or("there is no share")?;
            let (asked, status) = (share.spec.replicas.unwrap_or(0), share.status.unwrap_or_default());
            if status.ready_replicas == asked && status.replicas == asked {
                found.insert(place.region.id, usize::try_from(asked).unwrap());
            }
        }
        if found == expected { Ok(()) } else { Err(format!("{found:?}")) }
    })
    .await;
}

/// Rules 3, 4 and 8: shares follow the spec and the regions that count; who is cut off keeps its servers and its players.
#[tokio::test]
async fn a_fleet_is_shared_out_over_the_regions_that_count() {
    in_three_regions("placed", &[Need::Engine, Need::Bots], async |places| {
        let joined = Joined::join(places).await;
        let of = |id: &str| places.iter().find(|place| place.region.id == id).unwrap();
        let (kr, jp, sg) = (of("kr"), of("jp"), of("sg"));
        let all = [kr, jp, sg];

        drop(jp.apply::<Fleet>(&arena("[]")).await);
        await_shares(&all, &[("kr", 2), ("jp", 2), ("sg", 2)]).await;
        jp.await_condition::<Fleet>("arena", "Ready", "True").await;
        drop(jp.apply::<Fleet>(&arena("[{regionId: jp, weight: 4}, {regionId: kr}, {regionId: sg}]")).await);
        await_shares(&all, &[("kr", 1), ("jp", 4), ("sg", 1)]).await;
        drop(jp.apply::<Fleet>(&arena("[]")).await);
        await_shares(&all, &[("kr", 2), ("jp", 2), ("sg", 2)]).await;

        let mut crowd = Vec::new();
        for place in all {
            let fleet = format!("arena-{}", place.region.id);
            let bots = Bots::start(place, &fleet, PLAYERS, (1, 900, 1));
            bots.await_playing(PLAYERS.into()).await;
            crowd.push(bots);
        }
        let before = kr.identities("arena-kr").await;
        let watch = Watch::new();
        let cut = node::cut(&kr.region, &[&jp.region, &sg.region], Lost::Everything, CUT_MAX).await;
        await_shares(&[jp, sg], &[("jp", 3), ("sg", 3)]).await;
        say(&format!("measured: a lost region's servers are Ready elsewhere after {:.1} s", watch.seconds()));
        await_shares(&[kr], &[("kr", 2)]).await;
        drop(cut);
        joined
            .await_standings("all are members again", |standings| {
                standings
                    .iter()
                    .all(|((from, to), standing)| standing == if from == to { "Member" } else { "Connected" })
            })
            .await;
        await_shares(&all, &[("kr", 2), ("jp", 2), ("sg", 2)]).await;
        assert_eq!(kr.identities("arena-kr").await, before, "the same servers all the while");
        for bots in crowd {
            bots.await_playing(PLAYERS.into()).await;
            let stats = bots.stop().await;
            assert_eq!((stats.disconnects, stats.refused, stats.mismatches), (0, 0, 0), "{stats:?}");
        }

        drop(jp.api::<Fleet>().delete("arena", &DeleteParams::default()).await.unwrap());
        for place in all {
            eventually("nothing of it is left", PATIENCE, || async {
                let fleets = place.api::<Fleet>().list(&ListParams::default()).await;
                let servers = place.api::<GameServer>().list(&ListParams::default()).await;
                let fleets = fleets.map_err(|error| error.to_string())?.items.len();
                let servers = servers.map_err(|error| error.to_string())?.items.len();
                if (fleets, servers) == (0, 0) { Ok(()) } else { Err(format!("{fleets} {servers}")) }
            })
            .await;
        }
        joined.part().await;
    })
    .await;
}

/// Rule 1: one file may be applied everywhere.
#[tokio::test]
async fn a_fleet_that_is_applied_away_from_its_home_is_inert() {
    in_three_regions("elsewhere", &[], async |places| {
        let kr = places.iter().find(|place| place.region.id == "kr").unwrap();
        drop(kr.apply::<Fleet>(&arena("[]")).await);
        kr.await_condition::<Fleet>("arena", "NotHome", "True").await;
        assert!(kr.api::<Fleet>().get_opt("arena-kr").await.unwrap().is_none());
    })
    .await;
}
