//! The templates that a Fleet has had: ControllerRevisions, in which Kubernetes keeps those of its own kinds.
//!
//! Invariants:
//! - A template has one revision, which is found by what it says and not by its hash: an operator that knows more fields finds it as well, so
//!   that a new version of the operator moves no server.
//! - The revision of the Fleet's own template has the highest number: numbers tell which came before which.
//! - The verdict on a template stands on its revision. A template that was rejected and is asked for anew is on trial anew.
//! - One of which there are servers is kept, and so is the last that was proven.

use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::apimachinery::pkg::runtime::RawExtension;
use kube::api::{DeleteParams, ObjectMeta, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, Resource, ResourceExt};
use operator_api::{Fleet, GameServerTemplate, labels};
use operator_core::trial::Verdict;
use serde::Deserialize as _;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use tracing::info;

use super::context::Context;

/// Earlier templates kept where a Fleet does not say how many.
const HISTORY: usize = 10;

/// A step that failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("failed to keep the template as ControllerRevision {0}")]
    Keep(String, #[source] kube::Error),
    #[error(
        "a ControllerRevision {0} is there that is not of this Fleet's template; one that is left of an older Fleet goes by itself, delete any other"
    )]
    NameTaken(String),
    #[error("failed to delete ControllerRevision {0}")]
    Delete(String, #[source] kube::Error),
}

/// A template that a Fleet has or had.
#[derive(Clone, Debug)]
pub(super) struct Revision {
    /// Its short hash, as servers bear it.
    pub(super) id: String,
    pub(super) verdict: Option<Verdict>,
    /// Its canary has passed in the trial that goes on.
    pub(super) canary_passed: bool,
    object: Arc<ControllerRevision>,
}

impl Revision {
    fn of(object: Arc<ControllerRevision>) -> Option<Self> {
        let id = object.labels().get(labels::REVISION)?.clone();
        let verdict = match object.annotations().get(labels::VERDICT).map(String::as_str) {
            Some(labels::PROVEN) => Some(Verdict::Proven),
            Some(labels::REJECTED) => Some(Verdict::Rejected),
            _ => None,
        };
        let canary_passed = object.annotations().contains_key(labels::CANARY);
        Some(Self { id, verdict, canary_passed, object })
    }

    /// Counts up with each change of the template.
    pub(super) fn number(&self) -> i64 {
        self.object.revision
    }

    /// Why it was rejected.
    pub(super) fn reason(&self) -> Option<&str> {
        self.object.annotations().get(labels::VERDICT_REASON).map(String::as_str)
    }

    /// What it says, as far as this operator understands it.
    pub(super) fn template(&self) -> Option<GameServerTemplate> {
        let RawExtension(data) = self.object.data.as_ref()?;
        GameServerTemplate::deserialize(data.get("template")?).ok()
    }

    /// The version in which it was seen.
    pub(super) fn version(&self) -> Option<String> {
        self.object.resource_version()
    }

    /// As messages name it: `3 (ab12cd34)`.
    pub(super) fn name(&self) -> String {
        format!("{} ({})", self.number(), self.id)
    }
}

/// The templates of a Fleet.
#[derive(Clone, Debug)]
pub(super) struct Revisions {
    /// That of the Fleet as it is.
    pub(super) wanted: Revision,
    /// The others, by their numbers.
    pub(super) earlier: Vec<Revision>,
}

impl Revisions {
    /// The last other one that is proven.
    pub(super) fn proven(&self) -> Option<&Revision> {
        self.earlier.iter().rev().find(|revision| revision.verdict == Some(Verdict::Proven))
    }

    /// Those of a Fleet; that of its template is made, or becomes the last one, if that is not so. One that nobody will judge, because there
    /// is none before it or nothing is rolled out, is proven as it is made.
    pub(super) async fn keep(context: &Context, fleet: &Fleet, is_judged: bool) -> Result<Self, Error> {
        let mut earlier = found(context, fleet);
        let position = earlier.iter().rposition(|revision| is_of(revision, &fleet.spec.template));
        let known = position.map(|position| earlier.remove(position));
        let newest = earlier.last().map_or(0, Revision::number);
        let wanted = match known {
            Some(wanted) if wanted.number() > newest => wanted,
            Some(wanted) => wanted.again(context, newest + 1).await?,
            None => make(context, fleet, newest + 1, earlier.is_empty() || !is_judged).await?,
        };
        Ok(Self { wanted, earlier })
    }

    /// Deletes those that are more than the Fleet keeps, but for those of which there are servers.
    pub(super) async fn prune(
        &self,
        context: &Context,
        fleet: &Fleet,
        of_servers: &BTreeSet<&str>,
    ) -> Result<(), Error> {
        let limit = fleet.spec.revision_history_limit.and_then(|limit| usize::try_from(limit).ok());
        let surplus = self.earlier.len().saturating_sub(limit.unwrap_or(HISTORY));
        let proven = self.proven().map(|revision| revision.id.as_str());
        let is_needed = |revision: &&Revision| {
            of_servers.contains(revision.id.as_str()) || proven == Some(revision.id.as_str())
        };
        for revision in self.earlier.iter().take(surplus).filter(|revision| !is_needed(revision)) {
            revision.delete(context).await?;
        }
        Ok(())
    }
}

impl Revision {
    /// Keeps how it was judged; false if it was changed meanwhile, and is to be looked at again.
    pub(super) async fn judge(
        &self,
        context: &Context,
        verdict: Verdict,
        reason: Option<&str>,
    ) -> Result<bool, Error> {
        let word = match verdict {
            Verdict::Proven => labels::PROVEN,
            Verdict::Rejected => labels::REJECTED,
        };
        let annotations = json!({ labels::VERDICT: word, labels::VERDICT_REASON: reason });
        let is_kept =
            self.patch(context, json!({ "metadata": { "annotations": annotations } })).await?.is_some();
        info!(revision = self.name(), verdict = word, reason, is_kept, "judged a template");
        Ok(is_kept)
    }

    /// Keeps that its canary has passed: a new leader lets it go on.
    pub(super) async fn pass_canary(&self, context: &Context) -> Result<(), Error> {
        let annotations = json!({ labels::CANARY: labels::CANARY_PASSED });
        drop(self.patch(context, json!({ "metadata": { "annotations": annotations } })).await?);
        info!(revision = self.name(), "the canary of a template has passed");
        Ok(())
    }

    /// It is asked for again, as the last one. What was rejected is tried anew.
    async fn again(&self, context: &Context, number: i64) -> Result<Self, Error> {
        let mut patch = json!({ "revision": number });
        if self.verdict != Some(Verdict::Proven) {
            patch["metadata"]["annotations"] = json!({
                labels::VERDICT: Value::Null, labels::VERDICT_REASON: Value::Null, labels::CANARY: Value::Null,
            });
        }
        let object = if let Some(object) = self.patch(context, patch).await? {
            info!(revision = self.name(), number, "an earlier template is asked for again");
            object
        } else {
            // Most often changed by this, and the watch has not brought it.
            let name = self.object.name_any();
            let found = self.api(context).get(&name).await;
            found.map_err(|source| Error::Keep(name, source))?
        };
        Ok(Self::of(Arc::new(object)).unwrap_or_else(|| self.clone()))
    }

    /// Changes it if it still is as it was seen; none if it is not.
    async fn patch(&self, context: &Context, mut patch: Value) -> Result<Option<ControllerRevision>, Error> {
        patch["metadata"]["resourceVersion"] = json!(self.object.resource_version());
        let name = self.object.name_any();
        let patched = self.api(context).patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await;
        match patched {
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(None),
            patched => patched.map(Some).map_err(|source| Error::Keep(name, source)),
        }
    }

    async fn delete(&self, context: &Context) -> Result<(), Error> {
        let name = self.object.name_any();
        let preconditions = Some(Preconditions { uid: self.object.uid(), resource_version: None });
        let params = DeleteParams { preconditions, ..DeleteParams::background() };
        match self.api(context).delete(&name, &params).await {
            Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(()),
            deleted => deleted.map(drop).map_err(|source| Error::Delete(name, source)),
        }
    }

    fn api(&self, context: &Context) -> Api<ControllerRevision> {
        Api::namespaced(context.client.clone(), &self.object.namespace().unwrap_or_default())
    }
}

/// Those that are there, by their numbers.
fn found(context: &Context, fleet: &Fleet) -> Vec<Revision> {
    let (namespace, name, uid) = (fleet.namespace(), fleet.name_any(), fleet.uid().unwrap_or_default());
    let is_ours = |object: &Arc<ControllerRevision>| {
        object.labels().get(labels::FLEET) == Some(&name)
            && object.namespace() == namespace
            && is_owned_by(object, &uid)
            && object.metadata.deletion_timestamp.is_none()
    };
    let all = context.stores.revisions.store().state();
    let mut found: Vec<Revision> = all.into_iter().filter(is_ours).filter_map(Revision::of).collect();
    found.sort_by(|one, other| (one.number(), &one.id).cmp(&(other.number(), &other.id)));
    found
}

fn is_owned_by(object: &ControllerRevision, uid: &str) -> bool {
    object.owner_references().iter().any(|owner| owner.uid == uid)
}

fn is_of(revision: &Revision, template: &GameServerTemplate) -> bool {
    revision.template().as_ref() == Some(template)
}

async fn make(context: &Context, fleet: &Fleet, number: i64, is_proven: bool) -> Result<Revision, Error> {
    let made = build(fleet, number, is_proven);
    let name = made.name_any();
    let api: Api<ControllerRevision> =
        Api::namespaced(context.client.clone(), &fleet.namespace().unwrap_or_default());
    let object = match api.create(&PostParams::default(), &made).await {
        // Made before, and the watch has not brought it: whose it is and what it says decides.
        Err(kube::Error::Api(status)) if status.code == 409 => {
            let found = api.get(&name).await.map_err(|source| Error::Keep(name.clone(), source))?;
            let uid = fleet.uid().unwrap_or_default();
            Some(found).filter(|found| is_owned_by(found, &uid))
        }
        made => {
            let made = made.map_err(|source| Error::Keep(name.clone(), source))?;
            info!(revision = made.revision, name, "keeps a template");
            Some(made)
        }
    };
    let revision = object.and_then(|object| Revision::of(Arc::new(object)));
    revision.filter(|revision| is_of(revision, &fleet.spec.template)).ok_or(Error::NameTaken(name))
}

fn build(fleet: &Fleet, number: i64, is_proven: bool) -> ControllerRevision {
    let id = hash(&fleet.spec.template);
    let labels = [
        (labels::FLEET, fleet.name_any()),
        (labels::REVISION, id.clone()),
        (labels::MANAGED_BY, labels::MANAGED_BY_OPERATOR.to_owned()),
    ];
    let proven = is_proven.then(|| [(labels::VERDICT.to_owned(), labels::PROVEN.to_owned())].into());
    ControllerRevision {
        metadata: ObjectMeta {
            name: Some(labels::revision_name(&fleet.name_any(), &id)),
            namespace: fleet.namespace(),
            labels: Some(labels.map(|(label, value)| (label.to_owned(), value)).into()),
            annotations: proven,
            owner_references: fleet.controller_owner_ref(&()).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        data: Some(RawExtension(json!({ "template": fleet.spec.template }))),
        revision: number,
    }
}

/// Short hash of a template: equal templates have equal ones.
fn hash(template: &GameServerTemplate) -> String {
    let json = serde_json::to_vec(template).unwrap_or_default();
    let digest = ring::digest::digest(&ring::digest::SHA256, &json);
    let first = digest.as_ref().first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
    format!("{first:08x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fleet(yaml: &str) -> Fleet {
        serde_yaml::from_str(&format!(
            "apiVersion: cranewing.dev/v1alpha1\nkind: Fleet\nmetadata: {{name: arena, namespace: games, uid: f-1}}\n{yaml}"
        ))
        .unwrap()
    }

    #[test]
    fn the_hash_changes_with_the_template_alone() {
        let of = |yaml| hash(&fleet(yaml).spec.template);
        let base = of("spec: {replicas: 2, template: {spec: {capacity: 64}}}");
        assert_eq!(base, of("spec: {replicas: 9, template: {spec: {capacity: 64}}}"));
        assert_ne!(base, of("spec: {replicas: 2, template: {spec: {capacity: 65}}}"));
    }

    /// As an operator with fewer fields, or with others, has written it.
    #[test]
    fn a_revision_is_of_a_template_by_what_it_says_whatever_its_hash() {
        let fleet = fleet("spec: {template: {spec: {capacity: 64}}}");
        let mut object = build(&fleet, 3, true);
        object.data = Some(RawExtension(json!({ "template": { "spec": { "capacity": 64, "of_old": 1 } } })));
        object.labels_mut().insert(labels::REVISION.to_owned(), "0badcafe".to_owned());
        let revision = Revision::of(Arc::new(object)).unwrap();
        assert!(is_of(&revision, &fleet.spec.template));
        assert_eq!((revision.name().as_str(), revision.verdict), ("3 (0badcafe)", Some(Verdict::Proven)));
    }
}
