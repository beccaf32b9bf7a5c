//! Installations that somebody else made. The suite takes everything of the product out of a region, so it must not begin in theirs.

use std::collections::BTreeSet;

use crate::command::kubectl;
use crate::helm::{self, helm};
use crate::region::{OPERATOR_NAMESPACE, Region};

/// What was found of the product in a region that nobody has used yet.
struct Found {
    /// Helm releases in the operator's namespace.
    releases: BTreeSet<String>,
    /// Those of them that this suite made, now or in a run that was cut off.
    ours: BTreeSet<String>,
    /// Definitions of the product's kinds.
    definitions: BTreeSet<String>,
}

/// Refuses a region with an installation that this suite did not make.
pub(crate) async fn refuse(region: &Region) {
    let list = ["list", "--all", "--short"];
    let own = [&list[..], &["--selector", helm::MARK]].concat();
    let lines = |text: String| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
    let definitions = kubectl(region, &["get", "customresourcedefinitions", "--output=name"]).await;
    let found = Found {
        releases: lines(helm(region, &list).await),
        ours: lines(helm(region, &own).await),
        definitions: lines(definitions).into_iter().filter(|name| name.ends_with(".cranewing.dev")).collect(),
    };
    if let Some(theirs) = theirs(&found) {
        panic!(
            "{} has an installation that this suite did not make: {theirs} (namespace {OPERATOR_NAMESPACE}). The suite would take it out, \
             with every Fleet: use another cluster, or take it out yourself (`helm uninstall`, `kubectl delete --filename crds/`)",
            region.id
        );
    }
}

/// What is not ours, in words: releases without our mark, and definitions that none of our releases can have brought.
fn theirs(found: &Found) -> Option<String> {
    let mut theirs: Vec<&str> = found.releases.difference(&found.ours).map(String::as_str).collect();
    if found.ours.is_empty() {
        theirs.extend(found.definitions.iter().map(String::as_str));
    }
    (!theirs.is_empty()).then(|| theirs.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_installation_without_our_mark_is_somebody_elses() {
        for (releases, ours, definitions, said) in [
            (&[][..], &[][..], &[][..], None),
            (&["cranewing", "cranewing-crds"], &["cranewing", "cranewing-crds"], &["crd/fleets"], None),
            (&["cranewing-crds"], &["cranewing-crds"], &["crd/fleets"], None),
            (&["cranewing", "cranewing-crds"], &[], &[], Some("cranewing, cranewing-crds")),
            (&["cranewing", "cranewing-crds"], &["cranewing"], &["crd/fleets"], Some("cranewing-crds")),
            (&[], &[], &["crd/fleets"], Some("crd/fleets")),
        ] {
            let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
            let found = Found { releases: set(releases), ours: set(ours), definitions: set(definitions) };
            assert_eq!(theirs(&found).as_deref(), said, "{releases:?} {ours:?} {definitions:?}");
        }
    }
}
