//! Whose an object is: this region's, another one's of which we made a copy, or another one's that somebody put here.

use kube::{Resource, ResourceExt};
use operator_api::{Fleet, RegionCluster, RegionStanding, labels};
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

/// Whether an object is that of the region in whose cluster it lies, as the operator there says by its status: for whoever does not
/// know which region that is. A copy has round trips, also where none is known yet; what somebody else put there has no standing.
pub(crate) fn is_said_to_be_own(region: &RegionCluster) -> bool {
    region.status.as_ref().is_some_and(|status| {
        let takes_part = matches!(status.standing, Some(RegionStanding::Member | RegionStanding::Isolated));
        takes_part && status.round_trips.is_none()
    })
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn an_object_is_of_the_region_that_it_names_unless_we_copied_it_from_another() {
        let copied = |home| json!({ labels::HOME: home, labels::MANAGED_BY: labels::MANAGED_BY_OPERATOR });
        let jp = "jp".parse().unwrap();
        for (case, name, region_id, labels, expected) in [
            ("our own", "seoul", "kr", json!({}), Home::Here),
            ("a copy", "jp", "jp", copied("jp"), Home::CopiedFrom(jp)),
            ("a copy that says that it is our own", "jp", "kr", copied("jp"), Home::CopiedFrom(jp)),
            ("of a name that no copy has", "tokyo", "jp", copied("jp"), Home::Elsewhere),
            ("labelled by somebody else", "jp", "jp", json!({ labels::HOME: "jp" }), Home::Elsewhere),
            ("somebody else's", "jp", "jp", json!({}), Home::Elsewhere),
            ("labelled as a copy of our own", "kr", "kr", copied("kr"), Home::Here),
        ] {
            let region = json!({
                "metadata": { "name": name, "labels": labels },
                "spec": { "regionId": region_id, "zones": ["a", "b", "c"], "vpcCidr": "10.10.0.0/16" },
            });
            let region = serde_json::from_value(region).unwrap();
            assert_eq!(of_region(&region, "kr".parse().unwrap()), expected, "{case}");
        }
    }

    #[test]
    fn what_its_operator_says_tells_a_regions_own_object_from_all_others() {
        for (case, status, expected) in [
            ("it takes part", json!({ "standing": "Member" }), true),
            ("it is cut off", json!({ "standing": "Isolated" }), true),
            ("a copy of one that is cut off", json!({ "standing": "Isolated", "roundTrips": {} }), false),
            ("a copy", json!({ "standing": "Connected", "roundTrips": { "link": 30 } }), false),
            ("a copy, whatever it lacks", json!({ "standing": "Gone" }), false),
            ("nobody has looked at it", json!({ "observedGeneration": -1 }), false),
            ("another region's", json!({ "observedGeneration": 1 }), false),
            ("without a status", Value::Null, false),
        ] {
            let region = json!({
                "metadata": { "name": "kr" }, "status": status,
                "spec": { "regionId": "kr", "zones": ["a", "b", "c"], "vpcCidr": "10.10.0.0/16" },
            });
            assert_eq!(is_said_to_be_own(&serde_json::from_value(region).unwrap()), expected, "{case}");
        }
    }
}
