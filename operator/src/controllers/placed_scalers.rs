//! AutoScalers of placed Fleets (rule 7). One at the home of the Fleet is shared out: each region has a child of it beside its
//! share, which decides there from what it sees there. Placement owns the child's min and max, and the child the share's replicas.
//!
//! Invariants:
//! - While a share has a child, or its Fleet an AutoScaler, placement does not touch its replicas.
//! - A child that is there keeps its bounds while this region holds what it has; its policies follow the record on the Fleet.

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::ObjectMeta;
use kube::runtime::events::EventType;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, Resource as _, ResourceExt};
use operator_api::{AutoScaler, AutoScalerSpec, Fleet, labels};
use operator_core::regions::RegionId;
use operator_core::regions::shares::Basis;
use operator_core::scale::Bounds;
use std::sync::Arc;
use tracing::info;

use super::auto_scaler::older_scaler;
use super::context::Context;
use super::placed_fleets::{Error, FIELD_MANAGER};
use super::placed_write::{apply, delete};
use crate::links::facts::child_of;
use crate::links::home::{Home, of_fleet};
use crate::links::scalers::ScalerRecord;

/// What an AutoScaler is to the Fleet that it names.
pub(super) enum Role {
    /// The Fleet is of one region, and the AutoScaler sets its replicas.
    Plain,
    /// The Fleet is placed and at home here: the AutoScaler is shared out with it.
    Parent,
    /// Our part of one that is shared out: it sets the replicas of the share.
    Child,
    /// It can do nothing here, for this reason.
    Misplaced(String),
}

/// What this AutoScaler is to this Fleet.
pub(super) fn role(scaler: &AutoScaler, fleet: &Fleet, me: RegionId) -> Role {
    let name = fleet.name_any();
    match of_fleet(fleet, me) {
        Some(Home::Here) => return Role::Parent,
        Some(Home::CopiedFrom(_) | Home::Elsewhere) => {
            let home = fleet.spec.home.as_deref().unwrap_or_default();
            let words =
                format!("Fleet {name} has its home in region {home}; apply this there, and delete it here");
            return Role::Misplaced(words);
        }
        None => {}
    }
    let Some(parent) = fleet.labels().get(labels::PARENT) else { return Role::Plain };
    let owners = |owners: &[OwnerReference]| owners.iter().map(|owner| owner.uid.clone()).collect::<Vec<_>>();
    let of_one_parent = owners(scaler.owner_references()) == owners(fleet.owner_references());
    if scaler.labels().get(labels::PARENT) == Some(parent) && scaler.name_any() == name && of_one_parent {
        return Role::Child;
    }
    let words = format!(
        "Fleet {name} is a region's share of Fleet {parent}; delete this, and set an AutoScaler on that Fleet at its home"
    );
    Role::Misplaced(words)
}

/// The AutoScaler that is shared out with this Fleet: the one that no other scaler of it was there before.
pub(super) fn leading(context: &Context, namespace: &str, fleet: &str) -> Option<Arc<AutoScaler>> {
    let scalers = context.stores.auto_scalers.store().state();
    let mut of_fleet = scalers.into_iter().filter(|scaler| {
        scaler.namespace().as_deref() == Some(namespace)
            && scaler.spec.fleet == fleet
            && scaler.metadata.deletion_timestamp.is_none()
    });
    of_fleet.find(|scaler| older_scaler(context, scaler).is_none())
}

/// Brings the child of this region to what the record on its Fleet says, with these bounds if there are some now. True while
/// replicas are the child's to set.
pub(super) async fn keep_child(
    context: &Context,
    parent: &Fleet,
    share: &Fleet,
    bounds: Option<Bounds>,
    basis: &Basis,
) -> Result<bool, Error> {
    let found = child_of(context.stores.auto_scalers.store(), parent, context.links.me);
    let Some(spec) = ScalerRecord::on(parent).spec else {
        if let Some(found) = &found {
            let failed = |source| Error::Apply(format!("the end of AutoScaler {}", found.name_any()), source);
            let_go(context, parent).await.map_err(failed)?;
            info!(
                name = found.name_any(),
                "let go of the AutoScaler of a share; its replicas stay as they are"
            );
        }
        return Ok(found.is_some() || bounds.is_some());
    };
    let number = |count: u32| i32::try_from(count).unwrap_or(i32::MAX);
    let bounds = bounds.map(|bounds| (number(bounds.min), number(bounds.max)));
    let before = found.as_ref().map(|found| (found.spec.min, found.spec.max));
    let Some((min, max)) = bounds.or(before) else { return Ok(true) };
    let wanted =
        build(parent, &share.name_any(), AutoScalerSpec { fleet: share.name_any(), min, max, ..spec });
    if found.as_ref().is_some_and(|found| found.spec == wanted.spec) {
        return Ok(true);
    }
    let (name, namespace) = (wanted.name_any(), parent.namespace().unwrap_or_default());
    let of = ObjectRef::new(&name).within(&namespace);
    if found.is_none() && context.stores.auto_scalers.store().get(&of).is_some() {
        return Err(Error::ScalerNameTaken(name));
    }
    let api: Api<AutoScaler> = Api::namespaced(context.client.clone(), &namespace);
    let uid = found.as_ref().and_then(|found| found.uid());
    // All of its spec is one value each: nothing of a claim could stay that is not replaced.
    let applied = apply(&api, FIELD_MANAGER, (wanted.clone(), wanted), uid).await;
    let applied = applied.map_err(|source| Error::Apply(format!("AutoScaler {name}"), source))?;
    // Somebody was faster if there is none; the watch says who.
    if let Some(applied) = applied.filter(|_| before != Some((min, max))) {
        tell_bounds(context, parent, &applied, (before, (min, max)), basis).await;
    }
    Ok(true)
}

/// The child with these bounds.
fn build(parent: &Fleet, name: &str, spec: AutoScalerSpec) -> AutoScaler {
    let labels =
        [(labels::PARENT, parent.name_any()), (labels::MANAGED_BY, labels::MANAGED_BY_OPERATOR.to_owned())];
    let metadata = ObjectMeta {
        name: Some(name.to_owned()),
        namespace: parent.namespace(),
        labels: Some(labels.map(|(label, value)| (label.to_owned(), value)).into()),
        owner_references: parent.controller_owner_ref(&()).map(|owner| vec![owner]),
        ..ObjectMeta::default()
    };
    AutoScaler { metadata, spec, status: None }
}

async fn tell_bounds(
    context: &Context,
    parent: &Fleet,
    child: &AutoScaler,
    (before, (min, max)): (Option<(i32, i32)>, (i32, i32)),
    basis: &Basis,
) {
    let before = before.map_or_else(|| "none".to_owned(), |(min, max)| format!("{min}..{max}"));
    let note = format!(
        "AutoScaler {} from {before} to {min}..{max} game servers: view {}, basis {:016x}",
        child.name_any(),
        basis.view.number,
        basis.facts
    );
    info!(note, "moved the bounds of a share");
    let changed = ObjectReference { resource_version: child.resource_version(), ..child.object_ref(&()) };
    context.event_of_change(&parent.object_ref(&()), changed, (EventType::Normal, "BoundsMoved", note)).await;
}

/// Deletes this region's child, if there is one.
pub(super) async fn let_go(context: &Context, parent: &Fleet) -> kube::Result<()> {
    let Some(child) = child_of(context.stores.auto_scalers.store(), parent, context.links.me) else {
        return Ok(());
    };
    let namespace = parent.namespace().unwrap_or_default();
    let api: Api<AutoScaler> = Api::namespaced(context.client.clone(), &namespace);
    delete(&api, &*child).await
}
