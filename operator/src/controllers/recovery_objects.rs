//! Makes what a home takes back (decision 14): its RegionCluster, its placed Fleets and their AutoScalers, as copies have them.
//!
//! Invariants:
//! - Nothing is taken from another region's Fleet, nor from what a person has applied, and nothing is made where the namespace
//!   does not take it.
//! - A Fleet is there only after its AutoScaler, or it would tell the others that there is none.

use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::core::Status;
use kube::runtime::events::EventType;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, Resource as _, ResourceExt};
use operator_api::conditions::reasons;
use operator_api::{AutoScaler, Fleet, RegionCluster, labels};
use operator_core::regions::recovery::{Back, Plan};
use operator_core::regions::shares::Version;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use tracing::{info, warn};

use super::context::Context;
use super::fleet_copies::ask_namespace;
use super::placed_scalers::leading;
use super::placed_write::delete;
use super::region_copies::replacing;
use crate::links::Look;
use crate::links::facts::name_of;
use crate::links::home::{Home, of_fleet, of_region};
use crate::links::message::PublishedFleet;
use crate::links::scalers::ScalerRecord;

/// Makes what comes back, and owns what it says.
const FIELD_MANAGER: &str = "cranewing-recovery";
/// Of what the API server says, as much as goes into an Event.
const REASON_CHARS_MAX: usize = 512;

/// Why a Fleet cannot be brought back, and what to do.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fault {
    pub(super) reason: &'static str,
    pub(super) words: String,
}

pub(super) fn params() -> PatchParams {
    PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() }
}

fn creating() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() }
}

/// The region's own RegionCluster: the first, if there are several.
pub(super) fn own_region(context: &Context) -> Option<Arc<RegionCluster>> {
    let regions = context.stores.region_clusters.store().state();
    let own = regions.into_iter().filter(|region| of_region(region, context.links.me) == Home::Here);
    own.min_by_key(|region| region.name_any())
}

/// The region's RegionCluster, if it has none of its own. What a person applies later under another name stands beside it. One that
/// the API server does not take keeps no Fleet from coming back: a person applies another.
pub(super) async fn take_back_region(context: &Context, look: &Look) -> kube::Result<()> {
    let Some((from, spec)) = context.links.own_region_told(look).filter(|_| own_region(context).is_none())
    else {
        return Ok(());
    };
    let name = Some(context.links.me.to_string());
    let metadata = ObjectMeta { name, ..ObjectMeta::default() };
    let api: Api<RegionCluster> = Api::all(context.client.clone());
    match api.create(&creating(), &RegionCluster { metadata, spec, status: None }).await {
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        Err(kube::Error::Api(status)) if is_refusal(&status) => {
            warn!(%from, refusal = status.message, "this region's RegionCluster cannot be brought back; apply one");
            Ok(())
        }
        made => made.map(|_| info!(%from, "took this region's RegionCluster back")),
    }
}

/// Not for this moment alone.
fn is_refusal(status: &Status) -> bool {
    matches!(status.code, 400 | 403 | 404 | 422)
}

/// Answers what stands in the way of which Fleet; none while one waits for its AutoScaler to be seen. What the API server does not
/// take is that Fleet's alone.
pub(super) async fn carry_out(
    context: &Context,
    plan: &Plan<PublishedFleet>,
) -> kube::Result<Option<BTreeMap<String, Fault>>> {
    let (mut faults, mut waits) = (BTreeMap::new(), false);
    for (fleet, back) in &plan.fleets {
        let done = match bring_back(context, fleet, back).await {
            Err(kube::Error::Api(status)) if is_refusal(&status) => {
                let words = status.message.chars().take(REASON_CHARS_MAX).collect::<String>();
                let words = format!("the API server does not take it: {words}");
                Brought::Not(Fault { reason: reasons::CREATE_FAILED, words })
            }
            done => done?,
        };
        match done {
            Brought::Back => {}
            Brought::Waits => waits = true,
            Brought::Not(fault) => drop(faults.insert(fleet.clone(), fault)),
        }
    }
    for fleet in &plan.delete {
        if let Some(own) = own_fleet(context, fleet) {
            let api = Api::namespaced(context.client.clone(), &own.namespace().unwrap_or_default());
            delete(&api, &*own).await?;
            info!(fleet, "deleted a Fleet that was deleted before");
        }
    }
    Ok((!waits).then_some(faults))
}

pub(super) fn show(version: Version) -> String {
    format!("epoch {} generation {}", version.home_epoch, version.generation)
}

fn found(context: &Context, fleet: &str) -> Option<Arc<Fleet>> {
    let (namespace, name) = fleet.split_once('/')?;
    context.stores.fleets.store().get(&ObjectRef::new(name).within(namespace))
}

fn own_fleet(context: &Context, fleet: &str) -> Option<Arc<Fleet>> {
    found(context, fleet).filter(|found| matches!(of_fleet(found, context.links.me), None | Some(Home::Here)))
}

/// How it went with one Fleet.
enum Brought {
    Back,
    /// For its AutoScaler, which was just made: without it the Fleet would say that there is none.
    Waits,
    Not(Fault),
}

async fn bring_back(context: &Context, fleet: &str, back: &Back<PublishedFleet>) -> kube::Result<Brought> {
    let Some((namespace, name)) = fleet.split_once('/') else { return Ok(Brought::Back) };
    let api: Api<Fleet> = Api::namespaced(context.client.clone(), namespace);
    let epoch = back.epoch.to_string();
    if let Some(own) = own_fleet(context, fleet) {
        if let Some((_, told)) = &back.from {
            match bring_scaler(context, told, Some(&own)).await? {
                Brought::Back => {}
                kept_from => return Ok(kept_from),
            }
        }
        let mut metadata = json!({ "uid": own.uid(), "annotations": { labels::HOME_EPOCH: epoch } });
        let mut patch = json!({});
        if let Some((from, told)) = &back.from {
            metadata["resourceVersion"] = json!(own.resource_version());
            metadata["annotations"][labels::WEIGHTS] = json!(told.weights);
            metadata["annotations"][labels::SCALER] = json!(told.scaler);
            patch["spec"] = replacing(&json!(own.spec), json!(told.spec));
            info!(fleet, %from, epoch, "brings a Fleet to what a peer has of it");
        }
        patch["metadata"] = metadata;
        drop(api.patch(name, &params(), &Patch::<Value>::Merge(patch)).await?);
        return Ok(Brought::Back);
    }
    let Some((from, told)) = &back.from else { return Ok(Brought::Back) };
    if found(context, fleet).is_some() {
        let words =
            "another region's Fleet has its name here; delete that, or rename one of the two".to_owned();
        return Ok(Brought::Not(Fault { reason: reasons::NAME_TAKEN, words }));
    }
    // By its people: or a peer that is taken over could have anything run in any namespace of a region that comes back.
    if let Some((reason, words)) = ask_namespace(context, context.links.me, told).await? {
        return Ok(Brought::Not(Fault { reason, words }));
    }
    match bring_scaler(context, told, None).await? {
        Brought::Back => {}
        kept_from => return Ok(kept_from),
    }
    let made = api.create(&creating(), &build(told, &epoch)).await?;
    let note =
        format!("brought back as epoch {epoch}, from the copy that {from} has of {}", show(told.version));
    info!(fleet = name_of(told), note, "a Fleet is back");
    context.event(&made.object_ref(&()), EventType::Normal, "BroughtBack", note).await;
    Ok(Brought::Back)
}

/// The AutoScaler that the copy tells of, before its Fleet. Where a person has applied one for a new Fleet, that one stays.
async fn bring_scaler(
    context: &Context,
    told: &PublishedFleet,
    own: Option<&Fleet>,
) -> kube::Result<Brought> {
    let record = ScalerRecord::read(told.scaler.as_deref());
    let api: Api<AutoScaler> = Api::namespaced(context.client.clone(), &told.namespace);
    let leading = leading(context, &told.namespace, &told.name);
    let Some(spec) = record.spec.filter(|_| !record.name.is_empty()) else {
        // It was deleted after what this cluster knows of it.
        let before = own.map(ScalerRecord::on).unwrap_or_default();
        let gone = leading.filter(|scaler| before.is_of(scaler) && before.number < record.number);
        let Some(gone) = gone else { return Ok(Brought::Back) };
        delete(&api, &*gone).await?;
        return Ok(Brought::Waits);
    };
    let of = ObjectRef::new(&record.name).within(&told.namespace);
    let found = match context.stores.auto_scalers.store().get(&of) {
        Some(other) if other.spec.fleet != told.name => {
            let words = format!(
                "AutoScaler {} is its own by the copy, and here one of Fleet {} has that name; delete that, or rename it",
                record.name, other.spec.fleet
            );
            return Ok(Brought::Not(Fault { reason: reasons::NAME_TAKEN, words }));
        }
        found => found.or(leading),
    };
    match found {
        Some(found) if own.is_none() || found.spec == spec => Ok(Brought::Back),
        Some(found) => {
            let patch = json!({ "metadata": { "uid": found.uid() }, "spec": replacing(&json!(found.spec), json!(spec)) });
            drop(api.patch(&found.name_any(), &params(), &Patch::<Value>::Merge(patch)).await?);
            Ok(Brought::Waits)
        }
        None => {
            let metadata = ObjectMeta {
                name: Some(record.name.clone()),
                namespace: Some(told.namespace.clone()),
                ..ObjectMeta::default()
            };
            match api.create(&creating(), &AutoScaler { metadata, spec, status: None }).await {
                // It is there, and only not seen yet.
                Err(kube::Error::Api(status)) if status.code == 409 => {}
                made => drop(made?),
            }
            info!(name = record.name, fleet = name_of(told), "an AutoScaler is back");
            Ok(Brought::Waits)
        }
    }
}

fn build(told: &PublishedFleet, epoch: &str) -> Fleet {
    let records = [(labels::WEIGHTS, told.weights.clone()), (labels::SCALER, told.scaler.clone())];
    let records = records.into_iter().filter_map(|(name, record)| Some((name.to_owned(), record?)));
    let epoch = (labels::HOME_EPOCH.to_owned(), epoch.to_owned());
    let metadata = ObjectMeta {
        name: Some(told.name.clone()),
        namespace: Some(told.namespace.clone()),
        annotations: Some([epoch].into_iter().chain(records).collect()),
        ..ObjectMeta::default()
    };
    Fleet { metadata, spec: told.spec.clone(), status: None }
}
