//! Three regions by the environment production: an apply that is killed and repeated, one region out of three, and what becomes of
//! the rest when another cannot be reached.
//!
//! Figures are printed as a line `terraform: {...}`, from which `cargo xtask bench terraform` makes a page.

use e2e::bots::Bots;
use e2e::region::OPERATOR_NAMESPACE;
use e2e::regions::region_cluster;
use e2e::terraform::{COUNTED, Environment, GAMES, requests};
use e2e::{Need, PATIENCE, Region, Watch, eventually, in_three_bare_regions, node, say};
use futures::future::join_all;
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::ListParams;
use operator_api::Fleet;
use serde_json::{Value, json};
use std::collections::BTreeMap;

use super::{OPENTOFU, TERRAFORM, assert_nothing_is_left, has_terraform, pods, settled};

/// Players in each region.
const PLAYERS: u32 = 8;

/// A Fleet of all regions, whose home is jp.
fn arena() -> Value {
    json!({ "arena": {
        "spec": "{home: jp, replicas: 9, placement: {}, template: {spec: {capacity: 16, drain: {deadlineSeconds: 60}, template: {spec: {containers: [{name: gameserver, resources: {requests: {cpu: 10m, memory: 16Mi}}}]}}}}}",
    }})
}

/// B35, A19: from nothing to players in three regions, changed one by one, and back to nothing.
#[tokio::test]
#[ignore = "long: cargo xtask test --level full"]
async fn three_regions_come_change_drain_and_go_also_with_one_unreachable() {
    in_three_bare_regions("terraform", &[Need::Terraform, Need::Bots, Need::Engine], async |places| {
        let regions: Vec<&Region> = places.iter().map(|place| &place.region).collect();
        let of = |id: &str| *regions.iter().find(|region| region.id == id).unwrap();
        let (kr, jp, sg) = (of("kr"), of("jp"), of("sg"));
        let first = if has_terraform() { TERRAFORM } else { OPENTOFU };
        killed_and_repeated(Environment::new("production", first, &regions).await, kr).await;

        let mut environment = Environment::new("production", OPENTOFU, &regions).await;
        environment.change(|values| values["placed_fleets"] = arena());
        a_third_by_one_entry(&mut environment, (kr, [jp, sg])).await;
        let players = from_nothing(&environment, &regions, &mut BTreeMap::new()).await;
        changed(&mut environment, (kr, &regions)).await;
        taken_out(&mut environment, (kr, [jp, sg]), players).await;
        gone_with_one_unreachable(&mut environment, (jp, sg)).await;
    })
    .await;
}

/// How long it takes, and what it asks of the API servers; `CRANEWING_E2E_ROUNDS` times.
#[tokio::test]
#[ignore = "long: cargo xtask test --level full"]
async fn three_regions_from_nothing_to_players_and_back() {
    in_three_bare_regions("figures", &[Need::Terraform, Need::Bots], async |places| {
        let regions: Vec<&Region> = places.iter().map(|place| &place.region).collect();
        for place in places {
            place.apply_everywhere(COUNTED).await;
        }
        let rounds = std::env::var("CRANEWING_E2E_ROUNDS").map_or(1, |rounds| rounds.parse().unwrap());
        for _round in 0..rounds {
            let mut environment = Environment::new("production", OPENTOFU, &regions).await;
            environment.change(|values| values["placed_fleets"] = arena());
            environment.change(|values| values["guard"] = json!(false));
            environment.count(&regions);
            let mut figures = BTreeMap::new();
            let players = from_nothing(&environment, &regions, &mut figures).await;
            for bots in players {
                let stats = bots.stop().await;
                assert_eq!((stats.disconnects, stats.mismatches), (0, 0), "{stats:?}");
            }
            let watch = Watch::new();
            for outcome in join_all(regions.iter().map(|region| environment.try_destroy(region))).await {
                drop(outcome.unwrap());
            }
            figures.extend([("destroy, s".to_owned(), watch.seconds())]);
            for region in &regions {
                assert_nothing_is_left(region).await;
            }
            say(&format!("terraform: {}", json!(figures)));
        }
    })
    .await;
}

/// An apply that is killed with everything that it started is begun again and ends well; by the other program, if it is here.
async fn killed_and_repeated(mut environment: Environment, region: &Region) {
    let mut begun = environment.begin(region);
    let namespaces: Api<Namespace> = region.all();
    eventually("a part of the region is there", PATIENCE, || async {
        let found = namespaces.get_opt(OPERATOR_NAMESPACE).await.map_err(|error| error.to_string())?;
        found.map(drop).ok_or_else(|| "no namespace".to_owned())
    })
    .await;
    let group = format!("-{}", begun.id().unwrap());
    assert!(std::process::Command::new("kill").args(["-KILL", "--", &group]).status().unwrap().success());
    assert!(!begun.wait().await.unwrap().success(), "it was cut off in the middle");
    // what the cluster has and the state has not
    let (changes, _) = environment.plan(region).await;
    assert!(changes.iter().any(|(_, action)| action == "create"), "{changes:?}");
    environment.apply(region).await;
    settled(&environment, region).await;
    let refusal = environment.try_destroy(region).await.unwrap_err();
    assert!(refusal.contains("kr is not drained"), "{refusal}");
    open_guard(&mut environment, &[region]).await;
    drop(environment.try_destroy(region).await.unwrap());
    assert_nothing_is_left(region).await;
}

/// Says in the states of these regions that they may be removed.
async fn open_guard(environment: &mut Environment, regions: &[&Region]) {
    environment.change(|values| values["guard"] = json!(false));
    for region in regions {
        environment.apply(region).await;
    }
}

/// Two regions that are one, and kr is added to them: of each of the two nothing changes but that it knows kr and takes its Fleets.
async fn a_third_by_one_entry(environment: &mut Environment, (kr, two): (&Region, [&Region; 2])) {
    let mut entry = Value::Null;
    environment.change(|values| entry = values["regions"].as_object_mut().unwrap().remove("kr").unwrap());
    join_all(two.iter().map(|region| environment.apply(region))).await;
    join_all(two.iter().map(|region| environment.wait(region))).await;
    environment.change(|values| values["regions"]["kr"] = entry);
    for region in two {
        let (changes, _) = environment.plan(region).await;
        let of = |module: &str, object: &str| {
            format!("module.{module}[\"{}\"].kubectl_manifest.{object}", region.id)
        };
        let registered = [
            (of("global", "peers[\"kr\"]"), "create".to_owned()),
            (of("region", &format!("game_namespaces[\"{GAMES}\"]")), "update".to_owned()),
        ];
        assert_eq!(changes, registered.into(), "{} is told of kr, and no more", region.id);
    }
    environment.apply(kr).await;
    for region in two {
        environment.apply(region).await;
        settled(environment, region).await;
    }
    for region in [kr, two[0], two[1]] {
        eventually("a third of the Fleet is in each region", PATIENCE, || async {
            let count = pods(region).await.len();
            if count == 3 { Ok(()) } else { Err(format!("{count} game servers in {}", region.id)) }
        })
        .await;
    }
}

/// All regions at the same time, until people play in each of them.
async fn from_nothing(
    environment: &Environment,
    regions: &[&Region],
    figures: &mut BTreeMap<String, f64>,
) -> Vec<Bots> {
    let before = requests(regions[0]).await;
    let watch = Watch::new();
    let applied = join_all(regions.iter().map(|region| environment.apply(region))).await;
    let slowest = applied.into_iter().fold(0.0, f64::max);
    figures.extend([("apply, s".to_owned(), slowest)]);
    let applied = requests(regions[0]).await;
    figures.extend([("requests of an apply, a region".to_owned(), applied - before)]);
    join_all(regions.iter().map(|region| environment.wait(region))).await;
    figures.extend([("all that `wait_for` names, s".to_owned(), watch.seconds())]);
    let start = |region: &&Region| {
        Bots::start_in((region, GAMES), &format!("arena-{}", region.id), PLAYERS, (1, 1200, 1))
    };
    let players: Vec<Bots> = regions.iter().map(start).collect();
    join_all(players.iter().map(|bots| bots.await_playing(u64::from(PLAYERS)))).await;
    figures.extend([("players in all regions, s".to_owned(), watch.seconds())]);
    let before = requests(regions[0]).await;
    let mut planned: f64 = 0.0;
    for region in regions {
        planned = planned.max(settled(environment, region).await);
    }
    figures.extend([("plan of a settled region, s".to_owned(), planned)]);
    let asked = requests(regions[0]).await - before;
    figures.extend([("requests of a plan, a region".to_owned(), asked)]);
    #[expect(clippy::cast_precision_loss, reason = "some dozens of objects")]
    let objects = environment.objects(regions[0]).await.len() as f64;
    figures.extend([("objects a region".to_owned(), objects)]);
    players
}

/// A region's max is one object, in its own state alone, and moves no server.
async fn changed(environment: &mut Environment, (kr, regions): (&Region, &[&Region])) {
    let before = join_all(regions.iter().map(|region| pods(region))).await;
    environment.change(|values| values["regions"][kr.id]["max_game_servers"] = json!(42));
    let (changes, _) = environment.plan(kr).await;
    let address = format!("module.region[\"{}\"].kubectl_manifest.region_cluster", kr.id);
    assert_eq!(changes, [(address, "update".to_owned())].into(), "one object");
    environment.apply(kr).await;
    for region in regions {
        settled(environment, region).await;
    }
    let after = join_all(regions.iter().map(|region| pods(region))).await;
    assert_eq!(before, after, "no server moves");
}

/// A region drains when the others order it; not before that it can be removed; and when its entry is gone, it is, once its last
/// players have left by themselves.
async fn taken_out(environment: &mut Environment, (kr, rest): (&Region, [&Region; 2]), players: Vec<Bots>) {
    let refusal = environment.try_destroy(kr).await.unwrap_err();
    assert!(refusal.contains("kr is not drained"), "{refusal}");
    assert_eq!(pods(kr).await.len(), 3, "nothing of it went");
    environment.change(|values| values["regions"]["kr"]["drained"] = json!(true));
    for region in [rest[0], rest[1], kr] {
        environment.apply(region).await;
    }
    let shares: Api<Fleet> = Api::namespaced(kr.client.clone(), GAMES);
    eventually("kr's share is empty", PATIENCE, || async {
        let share = shares.get("arena-kr").await.map_err(|error| error.to_string())?;
        if share.spec.replicas == Some(0) { Ok(()) } else { Err(format!("{:?}", share.spec.replicas)) }
    })
    .await;

    with_players_it_stays(environment, kr).await;
    let (changes, _) = environment.plan(kr).await;
    assert!(changes.iter().all(|(_, action)| action == "delete") && changes.len() > 20, "{changes:?}");
    let mut players: BTreeMap<&str, Bots> = ["jp", "kr", "sg"].into_iter().zip(players).collect();
    let of_kr = players.remove("kr").unwrap();
    let leave = async {
        await_end_of_games(kr).await;
        of_kr.await_playing(u64::from(PLAYERS)).await;
        of_kr.stop().await
    };
    let (removed, stats) = tokio::join!(environment.try_apply(kr), leave);
    drop(removed.unwrap());
    assert_eq!((stats.disconnects, stats.mismatches), (0, 0), "kr's players left by themselves: {stats:?}");
    assert_nothing_is_left(kr).await;
    for region in rest {
        environment.apply(region).await;
        settled(environment, region).await;
        eventually("nothing is left of kr elsewhere", PATIENCE, || async {
            let found = region_cluster(region, "kr").await;
            found.map_or(Ok(()), |_| Err("its copy is there".to_owned()))
        })
        .await;
    }
    for (id, bots) in players {
        let stats = bots.stop().await;
        assert_eq!((stats.disconnects, stats.mismatches), (0, 0), "{id}: {stats:?}");
    }
}

/// Its entry is gone and its share is to be empty, but people play there: it goes only with an open guard.
async fn with_players_it_stays(environment: &mut Environment, kr: &Region) {
    let mut entry = Value::Null;
    environment.change(|values| entry = values["regions"].as_object_mut().unwrap().remove("kr").unwrap());
    let refusal = environment.try_apply(kr).await.unwrap_err();
    assert!(refusal.contains(&format!("kr has {PLAYERS} players on")), "{refusal}");
    assert!(!refusal.contains("no region says so") && !refusal.contains("too few regions"), "{refusal}");
    assert!(!pods(kr).await.is_empty(), "its game servers stay");
    environment.change(|values| values["regions"]["kr"] = entry);
    open_guard(environment, &[kr]).await;
    environment.change(|values| drop(values["regions"].as_object_mut().unwrap().remove("kr")));
    environment.change(|values| values["guard"] = json!(true));
}

/// Waits until the namespace of games is about to go.
async fn await_end_of_games(region: &Region) {
    let namespaces: Api<Namespace> = region.all();
    eventually("games are about to go", PATIENCE, || async {
        let games =
            namespaces.get_opt(GAMES).await.map_err(|error| error.to_string())?.ok_or("it is gone")?;
        games.metadata.deletion_timestamp.map(drop).ok_or_else(|| "it stays".to_owned())
    })
    .await;
}

/// Both say that jp shall be left, and no Fleet has its home there any more: so it may go, with its guard closed.
async fn drained_by_both(environment: &mut Environment, (jp, sg): (&Region, &Region)) {
    let refusal = environment.try_destroy(jp).await.unwrap_err();
    assert!(refusal.contains("jp is the home of Fleet games/arena"), "{refusal}");
    environment.change(|values| {
        values["placed_fleets"] = json!({});
        values["regions"]["jp"]["drained"] = json!(true);
    });
    for region in [jp, sg] {
        environment.apply(region).await;
    }
    eventually("jp is drained and has no share", PATIENCE, || async {
        let region = region_cluster(jp, "jp").await?;
        let conditions = region.status.map(|status| status.conditions).unwrap_or_default();
        let drained = conditions.iter().find(|condition| condition.type_ == "Drained");
        let fleets: Api<Fleet> = jp.all();
        let left = fleets.list(&ListParams::default()).await.map_err(|error| error.to_string())?.items.len();
        let holds = drained.is_some_and(|condition| condition.status == "True") && left == 0;
        holds.then_some(()).ok_or_else(|| format!("{drained:?}, {left} Fleets"))
    })
    .await;
}

/// What can be reached goes; what cannot is said, stays in its state, and goes when it is back.
async fn gone_with_one_unreachable(environment: &mut Environment, (jp, sg): (&Region, &Region)) {
    drained_by_both(environment, (jp, sg)).await;
    open_guard(environment, &[sg]).await;
    let paused = node::pause(sg).await;
    let (of_jp, of_sg) = tokio::join!(environment.try_destroy(jp), environment.try_destroy(sg));
    drop(of_jp.unwrap());
    assert_nothing_is_left(jp).await;
    let said = of_sg.unwrap_err();
    assert!(said.contains("Error") && !said.contains("Destroy complete"), "{said}");
    drop(paused);
    eventually("sg answers again", PATIENCE, || async {
        let fleets: Api<Fleet> = sg.all();
        fleets.list(&ListParams::default()).await.map(drop).map_err(|error| error.to_string())
    })
    .await;
    drop(environment.try_destroy(sg).await.unwrap());
    assert_nothing_is_left(sg).await;
}
