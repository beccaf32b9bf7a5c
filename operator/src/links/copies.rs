//! What regions keep of each other, for a home that comes back from nothing (decision 14): this one's answers to another that
//! asks, and what the others say of this one's own.

use kube::ResourceExt;
use operator_api::{RegionClusterSpec, labels};
use operator_core::regions::RegionId;
use operator_core::regions::recovery::{Answer, Mark, Own, Said, Told};
use std::collections::BTreeMap;

use super::digest::page;
use super::facts::{FLEETS_MAX, hash, key, mark, mark_of, mark_of_own, name_of, of_copy};
use super::home::{Home, of_fleet, of_region};
use super::kept::{Kept, buried};
use super::message::{Copies, PublishedFleet};
use super::table::Known;
use super::{Links, Look};

/// Regions that are believed to be registered with one that answers.
const REGISTERED_MAX: usize = 64;

/// What a peer keeps of this region, as the decision takes it.
pub(crate) type Answers = BTreeMap<RegionId, Answer<PublishedFleet>>;

impl Links {
    /// What this region keeps of the one that asks, from so many Fleets on.
    pub(super) fn copies_of(&self, asking: RegionId, offset: usize) -> Option<Copies> {
        let kept = self.kept()?.0;
        let fleets = self.stores.fleets.state();
        let of_it = fleets.iter().filter_map(|fleet| of_copy(fleet, self.me));
        let mut all: Vec<_> =
            of_it.filter(|copy| copy.spec.home.as_deref() == Some(asking.as_str())).collect();
        all.sort_unstable_by(|one, other| (&one.namespace, &one.name).cmp(&(&other.namespace, &other.name)));
        let stones = kept.buried.get(&asking).cloned().unwrap_or_default();
        all.extend(stones.into_iter().map(|(uid, stone)| stone.published(uid)));
        let regions = self.stores.region_clusters.state();
        let region = regions.iter().find(|region| of_region(region, self.me) == Home::CopiedFrom(asking));
        let generation = region
            .and_then(|region| region.annotations().get(labels::VERSION)?.rsplit_once(' ')?.1.parse().ok());
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

    /// What the regions that are read say of this one's Fleets.
    pub(crate) fn said(&self, look: &Look) -> BTreeMap<RegionId, Said> {
        let prefix = format!("{}/", self.me);
        let of_known = |known: &Known| {
            let digest = known.digest()?;
            let named =
                |key: &String, mark: Option<Mark>| Some((key.strip_prefix(&prefix)?.to_owned(), mark?));
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

    fn answer(&self, copies: &Copies) -> Answer<PublishedFleet> {
        let mut answer = Answer {
            copies: BTreeMap::new(),
            stones: Vec::new(),
            registered: copies
                .registered
                .iter()
                .take(REGISTERED_MAX)
                .filter_map(|region| region.parse().ok())
                .collect(),
        };
        for fleet in copies.fleets.iter().filter(|fleet| is_name(&fleet.namespace) && is_name(&fleet.name)) {
            let mark = mark_of(fleet);
            if fleet.deleted {
                answer.stones.push((name_of(fleet), mark));
            } else if fleet.spec.home.as_deref() == Some(self.me.as_str()) && fleet.spec.placement.is_some() {
                answer.copies.insert(name_of(fleet), Told { mark, what: fleet.clone() });
            }
        }
        answer
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

/// Fleets that others publish though this region knows them to be deleted: their homes were restored from an old copy.
pub(super) fn unwelcome(look: &Look, kept: &Kept) -> BTreeMap<String, Mark> {
    let dead = kept.dead();
    let told = look.known.iter().flat_map(|(home, known)| known.fleets(*home).map(|fleet| (*home, fleet)));
    let marked = told
        .filter(|(_, fleet)| !fleet.deleted)
        .map(|(home, fleet)| (home, fleet, mark(&fleet.uid, fleet.version)));
    let is_dead = |home, fleet: &PublishedFleet, mark| {
        dead.get(&home).is_some_and(|dead| dead.has(&name_of(fleet), mark))
    };
    let found = marked.filter(|(home, fleet, mark)| is_dead(*home, fleet, *mark));
    found.take(FLEETS_MAX).map(|(_, fleet, mark)| (key(fleet), mark)).collect()
}

/// What may be asked of the API server by that name.
fn is_name(text: &str) -> bool {
    let is_part =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'.';
    !text.is_empty() && text.len() <= 63 && text.bytes().all(is_part) && !text.starts_with('.')
}
