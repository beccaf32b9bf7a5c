//! Placed Fleets: one Fleet shared out over three regions. What becomes of it when one of them is lost: `failover`.

use e2e::regions::Joined;
use e2e::{PATIENCE, Scratch, eventually, in_three_regions};
use kube::api::{DeleteParams, ListParams};
use operator_api::{Fleet, GameServer};
use std::collections::BTreeMap;

/// Fleet `arena` of six servers, whose home jp is, with this list of regions.
pub(crate) fn arena(regions: &str) -> String {
    format!(
        "{{apiVersion: cranewing.dev/v1alpha1, kind: Fleet, metadata: {{name: arena}}, spec: {{replicas: 6, home: jp, placement: {{regions: {regions}}}, template: {{spec: {{capacity: 16, drain: {{deadlineSeconds: 5}}, template: {{spec: {{containers: [{{name: gameserver, resources: {{requests: {{cpu: 10m, memory: 16Mi}}}}}}]}}}}}}}}}}}}"
    )
}

/// Servers that each of these regions has Ready and asks for.
type Shares = BTreeMap<&'static str, usize>;

pub(crate) async fn await_shares(places: &[&Scratch], expected: &[(&'static str, usize)]) {
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

/// Rule 3: shares follow the spec, and go with the Fleet.
#[tokio::test]
async fn a_fleet_is_shared_out_over_the_regions_that_count() {
    in_three_regions("placed", &[], async |places| {
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

        delete_everywhere(jp, places).await;
        joined.part().await;
    })
    .await;
}

/// Deletes the Fleet at its home, and waits until nothing of it is left anywhere.
pub(crate) async fn delete_everywhere(home: &Scratch, places: &[Scratch]) {
    drop(home.api::<Fleet>().delete("arena", &DeleteParams::default()).await.unwrap());
    for place in places {
        eventually("nothing of it is left", PATIENCE, || async {
            let fleets = place.api::<Fleet>().list(&ListParams::default()).await;
            let servers = place.api::<GameServer>().list(&ListParams::default()).await;
            let fleets = fleets.map_err(|error| error.to_string())?.items.len();
            let servers = servers.map_err(|error| error.to_string())?.items.len();
            if (fleets, servers) == (0, 0) { Ok(()) } else { Err(format!("{fleets} {servers}")) }
        })
        .await;
    }
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
