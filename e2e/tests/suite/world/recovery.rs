//! A home that is restored from an old copy of its etcd. One that comes back from nothing: `xtask/tests/instances.rs`.

use e2e::regions::Joined;
use e2e::{Need, PATIENCE, Scratch, Watch, eventually, in_three_regions, node, say};
use operator_api::Fleet;
use std::collections::BTreeMap;

use super::placed_fleets::{arena, await_shares, delete_everywhere};

/// Fleet `arena` with so many servers.
async fn ask_for(jp: &Scratch, replicas: usize) {
    drop(jp.apply::<Fleet>(&arena("[]").replace("replicas: 6", &format!("replicas: {replicas}"))).await);
}

async fn asked_for(jp: &Scratch) -> Result<Option<i32>, String> {
    let fleet = jp.api::<Fleet>().get("arena").await.map_err(|error| error.to_string())?;
    Ok(fleet.spec.replicas)
}

/// Rules 1 and 2: an old copy moves nothing, and whoever a person names counts for all.
#[tokio::test]
#[ignore = "long: cargo xtask test --level full"]
async fn a_home_whose_etcd_is_an_old_copy_moves_nothing_until_a_person_says_who_counts() {
    in_three_regions("oldcopy", &[Need::Engine], async |places| {
        let joined = Joined::join(places).await;
        let of = |id: &str| places.iter().find(|place| place.region.id == id).unwrap();
        let (kr, jp, sg) = (of("kr"), of("jp"), of("sg"));
        let all = [kr, jp, sg];
        let await_each = async |each: usize| {
            await_shares(&all, &[("kr", each), ("jp", each), ("sg", each)]).await;
        };
        ask_for(jp, 6).await;
        await_each(2).await;

        // who counts, how many there are in the copy, how many after it, how many in the end
        for (word, [before, after, end]) in [("--take-back", [6, 9, 9]), ("--keep", [9, 12, 9])] {
            let copy = node::copy_etcd(&jp.region).await;
            ask_for(jp, after).await;
            await_each(after / 3).await;
            let mut servers = BTreeMap::new();
            for place in [kr, sg] {
                let name = format!("arena-{}", place.region.id);
                servers.insert(place.region.id, place.identities(&name).await);
            }

            let watch = Watch::new();
            copy.restore();
            eventually("jp has what it had", PATIENCE, || async {
                let asked = asked_for(jp).await?;
                if asked == i32::try_from(before).ok() { Ok(()) } else { Err(format!("{asked:?}")) }
            })
            .await;
            jp.await_condition::<Fleet>("arena", "NotPublished", "True").await;
            say(&format!(
                "measured: an old copy is known as one {:.1} s after it was put back",
                watch.seconds()
            ));
            await_shares(&[kr, sg], &[("kr", after / 3), ("sg", after / 3)]).await;

            let watch = Watch::new();
            let said = joined.try_operator_in(&["jp"], &["confirm", "jp", word]);
            assert!(said.as_ref().is_ok_and(|said| said.contains("RestoredFromOld")), "{said:?}");
            eventually("the Fleet is as whoever counts has it", PATIENCE, || async {
                let asked = asked_for(jp).await?;
                if asked == i32::try_from(end).ok() { Ok(()) } else { Err(format!("{asked:?}")) }
            })
            .await;
            await_each(end / 3).await;
            jp.await_condition::<Fleet>("arena", "Ready", "True").await;
            say(&format!(
                "measured: {word}: all shares are right {:.1} s after it was said",
                watch.seconds()
            ));
            if after == end {
                for place in [kr, sg] {
                    let name = format!("arena-{}", place.region.id);
                    assert_eq!(
                        place.identities(&name).await,
                        servers[place.region.id],
                        "{}",
                        place.region.id
                    );
                }
            }
        }
        delete_everywhere(jp, places).await;
        joined.part().await;
    })
    .await;
}
