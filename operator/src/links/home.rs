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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

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
}
