//! Placed Fleets: one Fleet shared out over three regions, by weight, by its AutoScaler, and template by template. What becomes of it
//! when a region is lost: `failover`.

use e2e::bots::Bots;
use e2e::{Need, PATIENCE, Scratch, eventually, in_joined_regions};
use futures::future::join_all;
use kube::api::{DeleteParams, ListParams};
use operator_api::{AutoScaler, Fleet, GameServer};
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
    in_joined_regions("placed", &[], async |places| {
        let of = |id: &str| places.iter().find(|place| place.region.id == id).unwrap();
        let (kr, jp, sg) = (of("kr"), of("jp"), of("sg"));
        let all = [kr, jp, sg];

        drop(jp.apply::<Fleet>(&arena("[{regionId: jp, weight: 4}, {regionId: kr}, {regionId: sg}]")).await);
        await_shares(&all, &[("kr", 1), ("jp", 4), ("sg", 1)]).await;
        jp.await_condition::<Fleet>("arena", "Ready", "True").await;
        drop(jp.apply::<Fleet>(&arena("[]")).await);
        await_shares(&all, &[("kr", 2), ("jp", 2), ("sg", 2)]).await;

        delete_everywhere(jp, places).await;
    })
    .await;
}

/// Deletes the Fleet at its home, and waits until nothing of it is left anywhere.
pub(crate) async fn delete_everywhere(home: &Scratch, places: &[Scratch]) {
    drop(home.api::<Fleet>().delete("arena", &DeleteParams::default()).await.unwrap());
    for place in places {
        await_nothing(place).await;
    }
}

async fn await_nothing(place: &Scratch) {
    eventually("nothing of it is left", PATIENCE, || async {
        let fleets = place.api::<Fleet>().list(&ListParams::default()).await;
        let servers = place.api::<GameServer>().list(&ListParams::default()).await;
        let fleets = fleets.map_err(|error| error.to_string())?.items.len();
        let servers = servers.map_err(|error| error.to_string())?.items.len();
        if (fleets, servers) == (0, 0) { Ok(()) } else { Err(format!("{fleets} {servers}")) }
    })
    .await;
}

/// Rule 3: a region drains its share, and nobody is thrown off; nothing is left when they have gone.
#[tokio::test]
async fn a_fleet_that_is_deleted_goes_around_those_who_play() {
    in_joined_regions("leaving", &[Need::Bots], async |places| {
        let of = |id: &str| places.iter().find(|place| place.region.id == id).unwrap();
        let (kr, jp, sg) = (of("kr"), of("jp"), of("sg"));
        let patient = arena("[]").replace("replicas: 6", "replicas: 3");
        let patient = patient.replace("deadlineSeconds: 5", "deadlineSeconds: 600");
        drop(jp.apply::<Fleet>(&patient).await);
        await_shares(&[kr, jp, sg], &[("kr", 1), ("jp", 1), ("sg", 1)]).await;
        let bots = Bots::start(kr, "arena-kr", 8, (1, 600, 1));
        bots.await_playing(8).await;
        eventually("it is shown that they play in kr", PATIENCE, || async {
            let servers = kr.servers("arena-kr").await?;
            let players =
                servers.iter().filter_map(|server| Some(server.status.as_ref()?.players)).sum::<i32>();
            if players == 8 { Ok(()) } else { Err(format!("{players} players")) }
        })
        .await;

        drop(jp.api::<Fleet>().delete("arena", &DeleteParams::default()).await.unwrap());
        for place in [jp, sg] {
            await_nothing(place).await;
        }
        bots.await_playing(8).await;
        let stats = bots.stop().await;
        assert_eq!((stats.disconnects, stats.refused, stats.mismatches), (0, 0, 0), "{stats:?}");
        await_nothing(kr).await;
    })
    .await;
}

/// Rule 7: an AutoScaler at the home is shared out as bounds, and each region scales by its own players.
#[tokio::test]
async fn players_in_one_region_make_its_share_grow_and_no_other() {
    in_joined_regions("scaled", &[Need::Bots], async |places| {
        let of = |id: &str| places.iter().find(|place| place.region.id == id).unwrap();
        let (kr, jp, sg) = (of("kr"), of("jp"), of("sg"));
        let fleet = "{apiVersion: cranewing.dev/v1alpha1, kind: Fleet, metadata: {name: arena}, spec: {home: jp, placement: {}, template: {spec: {capacity: 20, drain: {deadlineSeconds: 5}, template: {spec: {containers: [{name: gameserver, resources: {requests: {cpu: 10m, memory: 16Mi}}}]}}}}}}";
        let scaler = "{apiVersion: cranewing.dev/v1alpha1, kind: AutoScaler, metadata: {name: crowd}, spec: {fleet: arena, min: 3, max: 9, policies: [{metric: player_count, upThreshold: 14, downThreshold: 8, cooldownSeconds: 4}]}}";
        drop(jp.apply::<AutoScaler>(scaler).await);
        drop(jp.apply::<Fleet>(fleet).await);
        await_shares(&[kr, jp, sg], &[("kr", 1), ("jp", 1), ("sg", 1)]).await;
        jp.await_condition::<AutoScaler>("crowd", "AbleToScale", "True").await;
        for place in [kr, jp, sg] {
            let child = place.api::<AutoScaler>().get(&format!("arena-{}", place.region.id)).await.unwrap();
            assert_eq!((child.spec.min, child.spec.max), (1, 3), "{}", place.region.id);
        }
        assert!(kr.api::<AutoScaler>().get_opt("crowd").await.unwrap().is_none(), "only the child is elsewhere");

        let of_others = async || {
            let generations = [jp, sg].map(async |place| {
                let share = place.api::<Fleet>().get(&format!("arena-{}", place.region.id)).await.unwrap();
                share.metadata.generation
            });
            join_all(generations).await
        };
        let before = of_others().await;
        let bots = Bots::start(kr, "arena-kr", 40, (15, 15, 15));
        await_shares(&[kr], &[("kr", 3)]).await;
        await_shares(&[kr], &[("kr", 1)]).await;
        assert_eq!(of_others().await, before, "the shares of the others were not touched");
        let stats = bots.stop().await;
        assert_eq!((stats.disconnects, stats.refused, stats.mismatches), (0, 0, 0), "{stats:?}");
        assert!(stats.joins >= 40, "{stats:?}");

        drop(jp.api::<AutoScaler>().delete("crowd", &DeleteParams::default()).await.unwrap());
        for place in [kr, jp, sg] {
            let name = format!("arena-{}", place.region.id);
            eventually("its children go", PATIENCE, || async {
                let child = place.api::<AutoScaler>().get_opt(&name).await.map_err(|error| error.to_string())?;
                if child.is_none() { Ok(()) } else { Err(format!("{name} is there")) }
            })
            .await;
        }
        await_shares(&[kr, jp, sg], &[("kr", 1), ("jp", 1), ("sg", 1)]).await;
        delete_everywhere(jp, places).await;
    })
    .await;
}

/// A canary takes a template first, and one that does not become Ready with it keeps it from the others.
#[tokio::test]
async fn a_template_goes_from_region_to_region_and_stays_where_it_fails() {
    in_joined_regions("canary", &[], async |places| {
        let of = |id: &str| places.iter().find(|place| place.region.id == id).unwrap();
        let (kr, jp, sg) = (of("kr"), of("jp"), of("sg"));
        let fleet = |replicas: u32, image: &str| {
            format!(
                "{{apiVersion: cranewing.dev/v1alpha1, kind: Fleet, metadata: {{name: arena}}, spec: {{replicas: {replicas}, home: jp, placement: {{rollout: RegionByRegion, canary: sg}}, template: {{spec: {{capacity: 16, drain: {{deadlineSeconds: 5}}, template: {{spec: {{containers: [{{name: gameserver{image}, resources: {{requests: {{cpu: 10m, memory: 16Mi}}}}}}]}}}}}}}}}}}}"
            )
        };
        drop(jp.apply::<Fleet>(&fleet(3, "")).await);
        await_shares(&[kr, jp, sg], &[("kr", 1), ("jp", 1), ("sg", 1)]).await;
        // servers that are there stay: only one more shows that the template is bad
        drop(jp.apply::<Fleet>(&fleet(6, ", image: 'cranewing/none:0'")).await);
        await_shares(&[kr, jp], &[("kr", 2), ("jp", 2)]).await;
        let image = async |place: &Scratch| {
            let share = place.api::<Fleet>().get(&format!("arena-{}", place.region.id)).await.unwrap();
            serde_json::to_string(&share.spec.template).unwrap().contains("cranewing/none")
        };
        eventually("sg has taken it", PATIENCE, || async {
            if image(sg).await { Ok(()) } else { Err("not yet".to_owned()) }
        })
        .await;
        jp.await_condition::<Fleet>("arena", "Ready", "False").await;
        assert!(!image(kr).await && !image(jp).await, "and nobody else, while sg is not Ready");
        drop(jp.apply::<Fleet>(&fleet(6, "")).await);
        await_shares(&[kr, jp], &[("kr", 2), ("jp", 2)]).await;
        delete_everywhere(jp, places).await;
    })
    .await;
}
