//! The templates that a Fleet has and had, as its operator keeps them.

use k8s_openapi::api::apps::v1::ControllerRevision;
use kube::ResourceExt as _;
use kube::api::ListParams;
use operator_api::{Fleet, GameServerTemplate, labels};
use serde_json::Value;
use std::fmt;

use super::{Subject, failed};

/// A template that a Fleet has or had.
pub(super) struct Revision {
    /// Name of the ControllerRevision.
    pub(super) object: String,
    /// Counts up with each change of the template.
    pub(super) number: i64,
    pub(super) hash: String,
    /// How it was judged, if it was yet.
    pub(super) verdict: Option<String>,
    /// Why it was rejected.
    pub(super) reason: Option<String>,
    pub(super) created: Option<String>,
    /// The template as it was written.
    pub(super) written: Value,
    /// The template as this program understands it.
    pub(super) template: Result<GameServerTemplate, serde_json::Error>,
}

impl Revision {
    fn read(object: &ControllerRevision) -> Self {
        let annotation = |name: &str| object.annotations().get(name).cloned();
        let written = object.data.as_ref().and_then(|data| data.0.get("template"));
        let written = written.cloned().unwrap_or_default();
        Self {
            object: object.name_any(),
            number: object.revision,
            hash: object.labels().get(labels::REVISION).cloned().unwrap_or_default(),
            verdict: annotation(labels::VERDICT),
            reason: annotation(labels::VERDICT_REASON),
            created: object.creation_timestamp().map(|created| created.0.to_string()),
            template: serde_json::from_value(written.clone()),
            written,
        }
    }

    pub(super) fn is_of(&self, template: &GameServerTemplate) -> bool {
        self.template.as_ref().is_ok_and(|own| own == template)
    }

    fn is_proven(&self) -> bool {
        self.verdict.as_deref() == Some(labels::PROVEN)
    }

    pub(super) fn is_rejected(&self) -> bool {
        self.verdict.as_deref() == Some(labels::REJECTED)
    }
}

/// `3 (ab12cd34)`.
impl fmt::Display for Revision {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({})", self.number, self.hash)
    }
}

/// That of the Fleet's template as it is written; none if the operator has not kept it yet.
pub(super) fn present<'a>(revisions: &'a [Revision], fleet: &Fleet) -> Option<&'a Revision> {
    revisions.iter().rev().find(|revision| revision.is_of(&fleet.spec.template))
}

/// The newest one before the present one that is proven; if none is, the newest that was not rejected.
pub(super) fn earlier<'a>(revisions: &'a [Revision], fleet: &Fleet) -> Option<&'a Revision> {
    let present = present(revisions, fleet).map(|present| present.number);
    let earlier = || revisions.iter().rev().filter(|of| present.is_none_or(|present| of.number < present));
    let proven = earlier().find(|revision| revision.is_proven());
    proven.or_else(|| earlier().find(|revision| !revision.is_rejected()))
}

impl Subject {
    /// Those of this very Fleet, the newest last: an older one of its name may have left some.
    pub(super) async fn revisions(&self, fleet: &Fleet) -> anyhow::Result<Vec<Revision>> {
        let of_name = ListParams::default().labels(&labels::fleet_selector(&self.name));
        let found = self.controller_revisions().list(&of_name).await;
        let found = found.map_err(|error| {
            failed(error, &format!("list the revisions of {self}"), "list controllerrevisions")
        })?;
        let uid = fleet.metadata.uid.as_ref();
        let own = found.items.iter().filter(|revision| {
            let is_owned = revision.owner_references().iter().any(|owner| Some(&owner.uid) == uid);
            is_owned && revision.metadata.deletion_timestamp.is_none()
        });
        let mut revisions: Vec<Revision> = own.map(Revision::read).collect();
        revisions.sort_by(|one, other| (one.number, &one.hash).cmp(&(other.number, &other.hash)));
        Ok(revisions)
    }
}
