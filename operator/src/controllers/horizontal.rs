//! HorizontalPodAutoscaler: one that scales a Fleet which an older AutoScaler scales already gets the condition Conflict,
//! until no such AutoScaler is left. It cannot be stopped, only told; nothing else of it is ever written.

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::api::{Patch, PatchParams};
use kube::runtime::controller::Action;
use kube::runtime::events::EventType;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Api, Resource, ResourceExt};
use operator_api::conditions::{reasons, types};
use operator_api::{AutoScaler, Fleet};
use serde_json::json;
use std::sync::Arc;

use super::StepError;
use super::context::Context;

/// A step that failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("failed to tell a HorizontalPodAutoscaler that another scaler was there first")]
    Tell(#[source] kube::Error),
}

impl StepError for Error {
    fn step(&self) -> &'static str {
        "tell"
    }
}

/// observe -> tell, if it is news.
pub(crate) async fn reconcile(
    horizontal: Arc<HorizontalPodAutoscaler>,
    context: Arc<Context>,
) -> Result<Action, Error> {
    if horizontal.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let told = horizontal.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let told = told.into_iter().any(|told| told.type_ == types::CONFLICT && told.status == "True");
    let older = scalers_of(&context, &horizontal).into_iter().find(|scaler| is_older(scaler, &horizontal));
    match older {
        Some(scaler) if !told => {
            let (name, fleet) = (scaler.name_any(), &scaler.spec.fleet);
            let message = format!("AutoScaler {name} scales Fleet {fleet} already; delete one of them");
            tell(&context, &horizontal, ("True", reasons::OLDER_SCALER), &message).await?;
            context.event(&horizontal.object_ref(&()), EventType::Warning, types::CONFLICT, message).await;
        }
        None if told => {
            let message = "no AutoScaler that was there before scales the Fleet any more";
            tell(&context, &horizontal, ("False", reasons::NO_OLDER_SCALER), message).await?;
        }
        Some(_) | None => {}
    }
    Ok(Action::await_change())
}

async fn tell(
    context: &Context,
    horizontal: &HorizontalPodAutoscaler,
    (status, reason): (&str, &str),
    message: &str,
) -> Result<(), Error> {
    let condition = json!({
        "type": types::CONFLICT, "status": status, "reason": reason, "message": message,
        "lastTransitionTime": context.clock.wall(),
    });
    let patch = json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": { "name": horizontal.name_any(), "uid": horizontal.uid() },
        "status": { "conditions": [condition] },
    });
    let namespace = horizontal.namespace().unwrap_or_default();
    let api: Api<HorizontalPodAutoscaler> = Api::namespaced(context.client.clone(), &namespace);
    let params = PatchParams::apply("cranewing-autoscaler").force();
    match api.patch_status(&horizontal.name_any(), &params, &Patch::Apply(patch)).await {
        // Deleted meanwhile: nobody is left to be told.
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(()),
        written => written.map(drop).map_err(Error::Tell),
    }
}

/// Whether both scale one Fleet.
pub(super) fn are_rivals(scaler: &AutoScaler, horizontal: &HorizontalPodAutoscaler) -> bool {
    let target = &horizontal.spec.scale_target_ref;
    let group = target.api_version.as_deref().and_then(|version| version.split('/').next());
    horizontal.namespace() == scaler.namespace()
        && target.kind == Fleet::kind(&())
        && group == Some(operator_api::GROUP)
        && target.name == scaler.spec.fleet
}

/// Whether the AutoScaler was there first; of two of one second the HorizontalPodAutoscaler was.
pub(super) fn is_older(scaler: &AutoScaler, horizontal: &HorizontalPodAutoscaler) -> bool {
    let time = |meta: &kube::api::ObjectMeta| meta.creation_timestamp.clone().map(|time| time.0);
    time(&scaler.metadata) < time(&horizontal.metadata)
}

fn scalers_of(context: &Context, horizontal: &HorizontalPodAutoscaler) -> Vec<Arc<AutoScaler>> {
    let mut scalers = context.stores.auto_scalers.store().state();
    scalers.retain(|scaler| scaler.metadata.deletion_timestamp.is_none() && are_rivals(scaler, horizontal));
    scalers.sort_by_key(|scaler| scaler.metadata.creation_timestamp.clone().map(|time| time.0));
    scalers
}

/// Those that an AutoScaler concerns, itself gone or not.
pub(super) fn rivals_of(
    horizontals: &Store<HorizontalPodAutoscaler>,
    scaler: &AutoScaler,
) -> Vec<ObjectRef<HorizontalPodAutoscaler>> {
    let all = horizontals.state();
    let rivals = all.iter().filter(|horizontal| are_rivals(scaler, horizontal));
    rivals.map(|horizontal| ObjectRef::from_obj(&**horizontal)).collect()
}
