//! The hand on the wheel: a living region is left by the order of a majority, and comes back.

use e2e::bots::Bots;
use e2e::regions::{Joined, region_cluster};
use e2e::{Need, PATIENCE, Scratch, Watch, eventually, in_three_regions, say};
use kube::ResourceExt;
use kube::api::DeleteParams;
use operator_api::{Fleet, GameServer};
use std::collections::{BTreeMap, BTreeSet};

const PLAYERS: u32 = 8;

/// Fleet `arena` of six servers, whose home jp is. Servers that are drained wait for their players longer than the test takes.
const ARENA: &str = "{apiVersion: cranewing.dev/v1alpha1, kind: Fleet, metadata: {name: arena}, spec: {replicas: 6, home: jp, placement: {}, template: {spec: {capacity: 16, drain: {deadlineSeconds: 600}, template: {spec: {containers: [{name: gameserver, resources: {requests: {cpu: 10m, memory: 16Mi}}}]}}}}}}";

/// Waits until each of these regions asks for so many servers of the Fleet, and so many are Ready.
async fn await_shares(places: &[&Scratch], expected: [i32; 3]) {
    eventually(&format!("the shares are {expected:?}"), PATIENCE, || async {
        let mut found = Vec::new();
        for (place, expected) in places.iter().zip(expected) {
            let share = place.api::<Fleet>().get(&format!("arena-{}", place.region.id)).await;
            let share = share.map_err(|error| error.to_string())?;
            let ready = share.status.map_or(0, |status| status.ready_replicas);
            found.push((share.spec.replicas.unwrap_or(0), ready >= expected));
        }
        if found == expected.map(|expected| (expected, true)) { Ok(()) } else { Err(format!("{found:?}")) }
    })
    .await;
}

/// Names of the servers of `arena-kr` on which somebody plays, once it is shown where all do.
async fn played_on(kr: &Scratch) -> BTreeSet<String> {
    eventually("it is shown where all play in kr", PATIENCE, || async {
        let servers = kr.servers("arena-kr").await?;
        let players = |server: &GameServer| server.status.as_ref().map_or(0, |status| status.players);
        let all: i32 = servers.iter().map(players).sum();
        let names = servers.iter().filter(|server| players(server) > 0).map(ResourceExt::name_any).collect();
        if all.unsigned_abs() == PLAYERS { Ok(names) } else { Err(format!("{all} players")) }
    })
    .await
}

/// Whom the region that is asked chooses for players that kr is nearest to, and what speaks against kr.
fn place(joined: &Joined<'_>, at: &str) -> Result<(String, String), String> {
    let latencies = ["--latency", "kr=5", "--latency", "jp=30", "--latency", "sg=60"];
    let said = joined.try_place(at, &[&latencies[..], &["--output", "json"]].concat())?;
    let answer: serde_json::Value =
        serde_json::from_str(&said).map_err(|error| format!("{error}: {said}"))?;
    let regions: BTreeMap<_, _> = answer["regions"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|region| (region["region"].as_str().unwrap_or_default(), &region["reason"]))
        .collect();
    let against = regions.get("kr").and_then(|reason| reason.as_str()).unwrap_or_default();
    Ok((answer["region"].as_str().unwrap_or_default().to_owned(), against.to_owned()))
}

async fn await_placement(joined: &Joined<'_>, expected: (&str, &str)) {
    eventually(&format!("each region places in {}", expected.0), PATIENCE, || async {
        for at in ["kr", "jp", "sg"] {
            let (chosen, against) = place(joined, at)?;
            if (chosen.as_str(), against.as_str()) != expected {
                return Err(format!("{at}: {chosen}, against kr: {against}"));
            }
        }
        Ok(())
    })
    .await;
}

/// Waits until every region says of kr that it is drained, or that nobody orders it.
async fn await_drained(places: &[&Scratch], expected: Option<&str>) {
    eventually("all say the same of the order", PATIENCE, || async {
        for place in places {
            let conditions = region_cluster(&place.region, "kr").await?.status.unwrap_or_default().conditions;
            let found = conditions.into_iter().find(|condition| condition.type_ == "Drained");
            let words = found.as_ref().map(|found| format!("{} {}", found.status, found.message));
            let is_so = match (&words, expected) {
                (Some(words), Some(expected)) => words.starts_with(expected),
                (None, None) => true,
                _ => false,
            };
            if !is_so {
                return Err(format!("{}: {words:?}", place.region.id));
            }
        }
        Ok(())
    })
    .await;
}

/// Shares move make before break, servers with players are kept until they are empty, nobody is placed there and nobody is
/// thrown off; and all is as before when it returns.
#[tokio::test]
async fn a_region_is_drained_and_comes_back_and_no_player_notices() {
    in_three_regions("wheel", &[Need::Bots], async |places| {
        let joined = Joined::join(places).await;
        let of = |id: &str| places.iter().find(|place| place.region.id == id).unwrap();
        let (kr, jp, sg) = (of("kr"), of("jp"), of("sg"));
        let all = [kr, jp, sg];
        drop(jp.apply::<Fleet>(ARENA).await);
        await_shares(&all, [2, 2, 2]).await;
        let mut crowd = Vec::new();
        for place in all {
            let bots = Bots::start(place, &format!("arena-{}", place.region.id), PLAYERS, (1, 900, 1));
            bots.await_playing(PLAYERS.into()).await;
            crowd.push(bots);
        }
        await_placement(&joined, ("kr", "")).await;
        let played_on = played_on(kr).await;

        let said = joined.try_operator_in(&["jp"], &["drain", "kr"]).unwrap();
        assert!(said.contains("kr is not drained yet: jp says so; 1 of 3"), "{said}");
        await_drained(&all, Some("False jp says so; 1 of 3")).await;
        let watch = Watch::new();
        let said = joined.try_operator_in(&["jp", "sg"], &["drain", "kr"]).unwrap();
        assert!(said.contains("kr is drained: jp, sg say so; 2 of 3"), "{said}");
        await_drained(&all, Some("True jp, sg say so; 2 of 3")).await;
        await_placement(&joined, ("jp", "drained")).await;
        await_shares(&all, [0, 3, 3]).await;
        say(&format!(
            "measured: a drained region's servers are Ready elsewhere after {:.1} s",
            watch.seconds()
        ));
        eventually("what is empty in kr is gone", PATIENCE, || async {
            let left: BTreeSet<_> = kr.servers("arena-kr").await?.iter().map(ResourceExt::name_any).collect();
            if left == played_on { Ok(()) } else { Err(format!("{left:?}, and {played_on:?} are played on")) }
        })
        .await;
        for bots in &crowd {
            bots.await_playing(PLAYERS.into()).await;
        }

        let stats = crowd.remove(0).stop().await;
        assert_eq!((stats.disconnects, stats.mismatches), (0, 0), "kr: {stats:?}");
        eventually("kr is empty", PATIENCE, || async {
            let left = kr.servers("arena-kr").await?.len();
            if left == 0 { Ok(()) } else { Err(format!("{left} servers")) }
        })
        .await;

        let said = joined.try_operator(&["return", "kr"]).unwrap();
        assert!(said.contains("kr is not drained: no region orders it"), "{said}");
        await_drained(&all, None).await;
        await_shares(&all, [2, 2, 2]).await;
        await_placement(&joined, ("kr", "")).await;
        for bots in crowd {
            bots.await_playing(PLAYERS.into()).await;
            let stats = bots.stop().await;
            assert_eq!((stats.disconnects, stats.refused, stats.mismatches), (0, 0, 0), "{stats:?}");
        }
        drop(jp.api::<Fleet>().delete("arena", &DeleteParams::default()).await.unwrap());
        for place in all {
            eventually("nothing of it is left", PATIENCE, || async {
                let found = place.api::<Fleet>().get_opt("arena").await.map_err(|error| error.to_string())?;
                if found.is_none() { Ok(()) } else { Err("it is there".to_owned()) }
            })
            .await;
        }
        joined.part().await;
    })
    .await;
}
