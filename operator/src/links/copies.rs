//! What regions keep of each other, for a home that comes back from nothing (decision 14): this one's answers to another that
//! asks, and what the others say of this one's own.

use kube::ResourceExt;
use operator_api::RegionClusterSpec;
use operator_core::regions::RegionId;
use operator_core::regions::ahead::Said;
use operator_core::regions::recovery::{Answer, Mark, Own, Told};
use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::digest::page;
use super::facts::{hash, key, mark, mark_of, mark_of_own, name_of, of_copy};
use super::home::{Home, of_fleet, of_region};
use super::kept::{Kept, buried};
use super::limits::{STONES_MAX, is_path};
use super::message::{self, Copies, PublishedFleet};
use super::table::Known;
use super::{Links, Look};

/// Fleets that their homes publish though they are dead, as others are told at once.
const BURIED_MAX: usize = 32;

/// What a peer keeps of this region, as the decision takes it.
pub(crate) type Answers = BTreeMap<RegionId, Answer<PublishedFleet>>;

impl Links {
    /// What this region keeps of the one that asks, from so many Fleets on: first the tombstones, because whoever reads copies without
    /// them has deleted Fleets come back. A copy that is only begun says nothing of its Fleet.
    pub(super) fn copies_of(&self, asking: RegionId, offset: usize) -> Option<Copies> {
        let kept = self.kept()?.0;
        let fleets = self.stores.fleets.state();
        let of_it = fleets.iter().filter_map(|fleet| of_copy(fleet, self.me));
        let of_it = of_it.filter(|copy| copy.spec.home.as_deref() == Some(asking.as_str()));
        let mut copies: Vec<_> = of_it.filter(|copy| copy.version.generation > 0).collect();
        copies
            .sort_unstable_by(|one, other| (&one.namespace, &one.name).cmp(&(&other.namespace, &other.name)));
        let stones = kept.buried.get(&asking).cloned().unwrap_or_default();
        let stones = stones.into_iter().map(|(uid, stone)| stone.published(uid));
        let all: Vec<_> = stones.chain(copies).collect();
        let regions = self.stores.region_clusters.state();
        let region = regions.iter().find(|region| of_region(region, self.me) == Home::CopiedFrom(asking));
        let generation =
            region.and_then(|region| message::Version::of_copy(region)).map(|version| version.generation);
        let registered = self.table.known(self.clock.elapsed()).keys().map(ToString::to_string).collect();
        let versions: Vec<_> = all.iter().map(|fleet| (&fleet.uid, fleet.version, fleet.deleted)).collect();
        let version = hash(&(versions, generation));
        let (fleets, next) = page(all, offset);
        Some(Copies {
            version,
            registered,
            region_cluster: region.map(|region| region.spec.clone()),
            generation: generation.unwrap_or_default(),
            fleets,
            next,
        })
    }

    /// What this region has of its own: every Fleet but the copies, be it placed or no longer, and its tombstones.
    pub(crate) fn own_marks(&self, kept: &Kept) -> Own {
        let fleets = self.stores.fleets.state();
        let own = fleets.iter().filter(|fleet| matches!(of_fleet(fleet, self.me), None | Some(Home::Here)));
        let named = own.map(|fleet| {
            let name = format!("{}/{}", fleet.namespace().unwrap_or_default(), fleet.name_any());
            (name, mark_of_own(fleet))
        });
        Own { fleets: named.collect(), buried: buried(&kept.tombstones) }
    }

    /// What the regions that are read say of this one's Fleets. Names that are none are passed over: the API server is asked by them.
    pub(crate) fn said(&self, look: &Look) -> BTreeMap<RegionId, Said> {
        let prefix = format!("{}/", self.me);
        let of_known = |known: &Known| {
            let digest = known.digest()?;
            let named = |key: &String, mark: Option<Mark>| {
                let name = key.strip_prefix(&prefix).filter(|name| is_path(name))?;
                Some((name.to_owned(), mark?))
            };
            let held = digest.holdings.fleets.iter().filter_map(|(key, held)| named(key, held.mark));
            let buried = digest.buried.iter().filter_map(|(key, mark)| named(key, Some(*mark)));
            Some(Said { copies: held.collect(), buried: buried.collect() })
        };
        look.known.iter().filter_map(|(&region, known)| Some((region, of_known(known)?))).collect()
    }

    /// What the peers that were asked keep of this region.
    pub(crate) fn answers(&self, look: &Look) -> Answers {
        let known = look.known.iter();
        known.filter_map(|(&region, known)| Some((region, self.answer(known.copies.as_ref()?)))).collect()
    }

    /// The table has limited them.
    fn answer(&self, copies: &Copies) -> Answer<PublishedFleet> {
        let registered = copies.registered.iter().filter_map(|region| region.parse().ok()).collect();
        let mut answer = Answer { copies: BTreeMap::new(), stones: Vec::new(), registered };
        for fleet in &copies.fleets {
            let mark = mark_of(fleet);
            if fleet.deleted {
                answer.stones.push((name_of(fleet), mark));
            } else if fleet.spec.home.as_deref() == Some(self.me.as_str()) && fleet.spec.placement.is_some() {
                answer.copies.insert(name_of(fleet), Told { mark, what: fleet.clone() });
            }
        }
        answer
    }

    /// Tombstones of this region that the peers that were asked keep: of each uid the latest, and no more than are remembered. Those
    /// come first that most of the peers keep, so that no peer crowds out what the others know.
    pub(crate) fn stones_told(look: &Look) -> Vec<PublishedFleet> {
        let copies = look.known.values().filter_map(|known| known.copies.as_ref());
        let mut found: BTreeMap<&str, (usize, &PublishedFleet)> = BTreeMap::new();
        for stone in copies.flat_map(|copies| &copies.fleets).filter(|fleet| fleet.deleted) {
            let (count, latest) = found.entry(&stone.uid).or_insert((0, stone));
            *count += 1;
            if latest.version < stone.version {
                *latest = stone;
            }
        }
        let mut found: Vec<_> = found.into_values().collect();
        found.sort_by_key(|(count, _)| Reverse(*count));
        found.into_iter().take(STONES_MAX).map(|(_, stone)| stone.clone()).collect()
    }

    /// This region's RegionCluster as those that were asked keep it: the latest.
    pub(crate) fn own_region_told(&self, look: &Look) -> Option<(RegionId, RegionClusterSpec)> {
        let told = look.known.iter().filter_map(|(&region, known)| {
            let copies = known.copies.as_ref()?;
            let spec = copies.region_cluster.clone()?;
            (spec.region_id == self.me.as_str()).then_some((copies.generation, region, spec))
        });
        told.max_by_key(|(generation, region, _)| (*generation, *region))
            .map(|(_, region, spec)| (region, spec))
    }
}

/// Fleets that others publish though this region knows them to be deleted: their homes were restored from an old copy. Of each home
/// one after the other, so that none with many keeps another from being told.
pub(super) fn unwelcome(look: &Look, kept: &Kept) -> BTreeMap<String, Mark> {
    let dead = kept.dead();
    let of_home = |(home, known): (&RegionId, &Known)| {
        let Some(dead) = dead.get(home) else { return Vec::new() };
        let alive = known.fleets(*home).filter(|fleet| !fleet.deleted);
        let marked = alive.map(|fleet| (name_of(fleet), key(fleet), mark(&fleet.uid, fleet.version)));
        let found = marked.filter(|(name, _, mark)| dead.has(name, *mark));
        found.take(BURIED_MAX).map(|(_, key, mark)| (key, mark)).enumerate().collect()
    };
    let mut found: Vec<_> = look.known.iter().flat_map(of_home).collect();
    found.sort_by_key(|(place, _)| *place);
    found.into_iter().take(BURIED_MAX).map(|(_, buried)| buried).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::links::LinkStores;
    use crate::links::kept::Tombstone;
    use crate::links::message::{Digest, Objects};
    use crate::links::peer::tests::peer;
    use crate::runtime::clock::Clock;
    use crate::runtime::metrics::Metrics;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use k8s_openapi::jiff::Timestamp;
    use operator_core::regions::shares::{Held, Holdings, Version};
    use std::sync::Arc;
    use std::time::Duration;

    fn id(name: &str) -> RegionId {
        name.parse().unwrap()
    }

    /// kr, which has registered jp and sg.
    fn kr() -> Links {
        let links = Links::new(id("kr"), LinkStores::empty(), Metrics::new().unwrap(), Clock::start());
        links.table.register(Duration::ZERO, ["jp", "sg"].map(|name| Arc::new(peer(name))));
        links
    }

    fn hear(links: &Links, name: &str, digest: Digest) {
        let wall = Time(Timestamp::from_second(1).unwrap());
        let digest = Digest { sequence: 1, ..digest };
        links.table.heard((Duration::ZERO, wall), id(name), digest, Duration::from_millis(1));
    }

    fn published(home: &str, name: &str, uid: &str, home_epoch: u64) -> PublishedFleet {
        let mut fleet = PublishedFleet {
            namespace: "games".to_owned(),
            name: name.to_owned(),
            uid: uid.to_owned(),
            version: Version { home_epoch, generation: 1 },
            ..PublishedFleet::default()
        };
        fleet.spec.home = Some(home.to_owned());
        fleet
    }

    fn stone(uid: &str, home_epoch: u64) -> PublishedFleet {
        PublishedFleet { deleted: true, ..published("kr", "arena", uid, home_epoch) }
    }

    #[test]
    fn what_a_peer_has_of_names_that_are_none_is_not_heard() {
        let links = kr();
        let held = Held { mark: Some(mark("u", Version::default())), ..Held::default() };
        let long = format!("kr/games/{}", "x".repeat(64));
        let keys = [
            "kr/games/arena",
            "kr/games/x y",
            "kr/games/x?watch=true",
            "kr/../arena",
            "kr/games/../x",
            "kr/games/",
            "kr/arena",
            &long,
            "jp/games/arena",
        ];
        let fleets = keys.iter().map(|key| ((*key).to_owned(), held)).collect();
        let buried = keys.iter().map(|key| ((*key).to_owned(), held.mark.unwrap())).collect();
        let holdings = Holdings { fleets, ..Holdings::default() };
        hear(&links, "jp", Digest { holdings, buried, ..Digest::default() });
        let said = links.said(&links.look(Duration::ZERO));
        for heard in [&said[&id("jp")].copies, &said[&id("jp")].buried] {
            assert_eq!(heard.keys().collect::<Vec<_>>(), ["games/arena"]);
        }
    }

    #[test]
    fn no_home_keeps_another_from_being_told_what_is_dead() {
        let (links, mut dead) = (kr(), Kept::default());
        for (home, count) in [("jp", 100), ("sg", 3)] {
            let fleets: Vec<_> = (0..count)
                .map(|at| published(home, &format!("arena-{at:03}"), &format!("u-{at}"), 0))
                .collect();
            let stones = fleets.iter().map(|fleet| (fleet.uid.clone(), Tombstone::of(fleet, 0)));
            dead.buried.insert(id(home), stones.collect());
            links.table.keep(id(home), Objects { fleets, ..Objects::default() });
        }
        let found = unwelcome(&links.look(Duration::ZERO), &dead);
        let of = |home: &str| found.keys().filter(|key| key.starts_with(home)).count();
        assert_eq!((of("jp/"), of("sg/")), (29, 3));
    }

    #[test]
    fn tombstones_that_most_peers_keep_are_taken_first_and_each_once() {
        let links = kr();
        links.table.want_copies(true);
        let many = (0..1000).map(|number| stone(&format!("a-{number}"), 1));
        let answers = [
            ("jp", many.take(999).chain([stone("u", 1)]).collect()),
            ("sg", vec![stone("u", 2), stone("v", 1)]),
        ];
        for (name, fleets) in answers {
            links.table.keep_copies(id(name), Copies { fleets, ..Copies::default() });
        }
        let told = Links::stones_told(&links.look(Duration::ZERO));
        assert_eq!(told.len(), 1000);
        assert_eq!((told[0].uid.as_str(), told[0].version.home_epoch), ("u", 2), "both keep it; the latest");
        assert_eq!(told.iter().filter(|stone| stone.uid == "u").count(), 1);
    }
}
