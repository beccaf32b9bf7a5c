//! Whose an object is: this region's, another one's of which we made a copy, or another one's that somebody put here.

use kube::{Resource, ResourceExt};
use operator_api::{Fleet, RegionCluster, labels};
use operator_core::regions::RegionId;

/// Whose an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Home {
    /// This region's.
    Here,
    /// That region's, and we made this copy of it.
    CopiedFrom(RegionId),
    /// Another region's, and somebody put it here.
    Elsewhere,
}

/// Home of a RegionCluster.
pub(crate) fn of_region(region: &RegionCluster, me: RegionId) -> Home {
    match copied_from(region, me).filter(|home| region.name_any() == home.as_str()) {
        Some(home) => Home::CopiedFrom(home),
        None if region.spec.region_id == me.as_str() => Home::Here,
        None => Home::Elsewhere,
    }
}

/// Home of a Fleet; none if it has no placement.
pub(crate) fn of_fleet(fleet: &Fleet, me: RegionId) -> Option<Home> {
    fleet.spec.placement.as_ref()?;
    let home = fleet.spec.home.as_deref().unwrap_or_default();
    Some(match copied_from(fleet, me).filter(|copied| copied.as_str() == home) {
        Some(home) => Home::CopiedFrom(home),
        None if home == me.as_str() => Home::Here,
        None => Home::Elsewhere,
    })
}

fn copied_from(object: &impl Resource, me: RegionId) -> Option<RegionId> {
    let label = |name| object.labels().get(name).map(String::as_str);
    let is_ours = label(labels::MANAGED_BY) == Some(labels::MANAGED_BY_OPERATOR);
    label(labels::HOME)?.parse().ok().filter(|home| is_ours && *home != me)
}
