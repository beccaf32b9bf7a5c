//! GameServer: makes its pod, and publishes where it stands.

use gameserver_contract::Backend;
use k8s_openapi::api::core::v1::{Pod, Toleration};
use kube::api::PostParams;
use kube::runtime::controller::Action;
use kube::runtime::events::EventType;
use kube::{Api, Resource, ResourceExt};
use operator_api::conditions::{Decided, merge_conditions, reasons, stand_alike, types};
use operator_api::{GameServer, GameServerState, GameServerStatus, PortStatus};
use operator_core::host_ports::NoFreePort;
use operator_core::server_state::State;
use std::sync::Arc;
use std::time::Duration;
use tracing::info;

use super::StepError;
use super::context::Context;
use super::observe::{Observed, is_owned_by, observe_server, to_api};
use super::pace::{News, Turn};
use super::pod::{build_pod, host_ports_of};
use crate::reports::keys::{KeyError, SecretOf};
use crate::runtime::clock::since;
use crate::runtime::telemetry::chain;

/// How long a server may be on its way before that is worth a write of its own.
const STARTING_IS_NEWS_AFTER: Duration = Duration::from_secs(30);
/// How soon to look again for a free port or name.
const RETRY_PERIOD: Duration = Duration::from_secs(2);

/// Reasons for which a server does not come up unless somebody does something.
pub(super) const STALLING: [&str; 4] =
    [reasons::UNSCHEDULABLE, reasons::NO_FREE_PORT, reasons::CREATE_FAILED, reasons::NAME_TAKEN];

/// A step that failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("failed to publish the certificate bundle")]
    Bundle(#[source] kube::Error),
    #[error("failed to make the server's secret")]
    Secret(#[source] KeyError),
    #[error("failed to create the pod")]
    CreatePod(#[source] kube::Error),
    #[error("failed to look at the pod of its name")]
    LookAtPod(#[source] kube::Error),
    #[error("failed to write the status")]
    Status(#[source] kube::Error),
}

impl StepError for Error {
    fn step(&self) -> &'static str {
        match self {
            Self::Bundle(_) => "bundle",
            Self::Secret(_) => "secret",
            Self::CreatePod(_) => "create_pod",
            Self::LookAtPod(_) => "look_at_pod",
            Self::Status(_) => "status",
        }
    }
}

/// observe -> (pod) -> status.
pub(crate) async fn reconcile(server: Arc<GameServer>, context: Arc<Context>) -> Result<Action, Error> {
    let given_up =
        server.status.as_ref().is_some_and(|status| status.state == Some(GameServerState::Unhealthy));
    // What was given up keeps the status that says why, until it is deleted.
    if server.metadata.deletion_timestamp.is_some() || given_up {
        return Ok(Action::await_change());
    }
    // observe (no client required)
    let mut observed = observe_server(&context, &server);
    // apply (client required)
    let created =
        if observed.needs_pod { create_pod(&context, &server).await } else { Ok(Creation::Created) };
    match &created {
        Ok(Creation::Created) => {}
        Ok(Creation::Waits) => observed.look_again = Some(RETRY_PERIOD),
        Ok(Creation::NameTaken) => {
            observed.reason = reasons::NAME_TAKEN;
            "a pod of this name is there that is not this server's; delete it, or name the server otherwise"
                .clone_into(&mut observed.message);
            observed.look_again = Some(RETRY_PERIOD);
        }
        Err(Error::Secret(error @ KeyError::Foreign(_))) => {
            observed.reason = reasons::NAME_TAKEN;
            observed.message = chain(error);
        }
        Ok(Creation::NoFreePort) => {
            observed.reason = reasons::NO_FREE_PORT;
            "every host port of the operator's range is in use on every node; widen --host-ports or add nodes"
                .clone_into(&mut observed.message);
            observed.look_again = Some(RETRY_PERIOD);
        }
        Err(error) => {
            observed.reason = reasons::CREATE_FAILED;
            observed.message = chain(error);
        }
    }
    // status (client required)
    let published = publish(&context, &server, &observed).await;
    // What could not be done is the cause of whatever else went wrong.
    created?;
    let wait = published?;
    let waits_for_name = observed.state == State::Starting && observed.pod.is_none() && !observed.needs_pod;
    let again = [observed.look_again, wait, waits_for_name.then_some(RETRY_PERIOD)];
    Ok(again.into_iter().flatten().min().map_or_else(Action::await_change, Action::requeue))
}

#[derive(PartialEq, Eq)]
enum Creation {
    Created,
    NoFreePort,
    /// An older pod of the name ends.
    Waits,
    /// A pod of the name is there that nobody ends.
    NameTaken,
}

async fn create_pod(context: &Context, server: &GameServer) -> Result<Creation, Error> {
    let namespace = server.namespace().unwrap_or_default();
    // A Fleet's is made by its own controller, before its first server.
    let secret = SecretOf::server(server);
    context.bundles.ensure_for(&namespace, secret.owner.uid.clone()).await.map_err(Error::Bundle)?;
    if Some(&secret.owner.uid) == server.uid().as_ref() {
        context.keys.ensure(&namespace, &secret).await.map_err(Error::Secret)?;
    }
    let reserved = context.ports.reserve(
        (&namespace, &server.name_any()),
        (context.stores.game_servers.store(), context.stores.pods.store(), context.stores.nodes.store()),
        (server.spec.ports.len(), tolerations_of(server)),
    );
    let ports = match reserved {
        Ok(ports) => ports,
        Err(NoFreePort) => return Ok(Creation::NoFreePort),
    };
    let pod = build_pod(server, &ports, &context.pods);
    let api: Api<Pod> = Api::namespaced(context.client.clone(), &namespace);
    match api.create(&PostParams::default(), &pod).await {
        // Under a deterministic name "already there" is the answer to a create whose first answer was lost, if it is ours.
        Err(kube::Error::Api(status)) if status.code == 409 => {
            let found = api.get_opt(&server.name_any()).await.map_err(Error::LookAtPod)?;
            Ok(whose_pod(found.as_ref(), &server.uid().unwrap_or_default()))
        }
        created => created.map(|_| Creation::Created).map_err(Error::CreatePod),
    }
}

fn tolerations_of(server: &GameServer) -> &[Toleration] {
    let template = server.spec.template.as_ref().and_then(|template| template.spec.as_ref());
    template.and_then(|spec| spec.tolerations.as_deref()).unwrap_or_default()
}

/// What a pod of the server's name means for it.
fn whose_pod(found: Option<&Pod>, uid: &str) -> Creation {
    match found {
        Some(pod) if is_owned_by(pod, uid) => Creation::Created,
        Some(pod) if pod.metadata.deletion_timestamp.is_none() => Creation::NameTaken,
        Some(_) | None => Creation::Waits,
    }
}

/// Writes the status if it is news; answers when to look again otherwise.
async fn publish(
    context: &Context,
    server: &GameServer,
    observed: &Observed,
) -> Result<Option<Duration>, Error> {
    let old = server.status.clone().unwrap_or_default();
    let now = context.clock.wall();
    let new = compute_status(server, &old, observed, &now);
    if new == old {
        return Ok(None);
    }
    if !old.was_published()
        && new.state == Some(GameServerState::Starting)
        && observed.reason == reasons::CREATING
    {
        // On its way as most servers are: the pod tells the rest, a write of ours would tell nothing more.
        let age = server.creation_timestamp().map_or(Duration::ZERO, |created| since(&created, &now));
        if let Some(left) = STARTING_IS_NEWS_AFTER.checked_sub(age).filter(|left| !left.is_zero()) {
            return Ok(Some(left));
        }
    }
    let Some(news) = news(&old, &new) else { return Ok(None) };
    let uid = server.uid().unwrap_or_default();
    if let Turn::Later(wait) = context.pace.ask(context.clock.elapsed(), &uid, news) {
        return Ok(Some(wait));
    }
    match context.apply_status(server, &new).await {
        // Deleted meanwhile: nobody is left to be told.
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => return Ok(None),
        written => written.map_err(Error::Status)?,
    }
    if new.state != old.state {
        announce(context, server, &new, observed, &now).await;
    }
    Ok(None)
}

/// What changed, by what matters most; none while a server starts as its status already says.
fn news(old: &GameServerStatus, new: &GameServerStatus) -> Option<News> {
    let is_starting = |status: &GameServerStatus| status.state == Some(GameServerState::Starting);
    if is_starting(old) && is_starting(new) && stand_alike(&old.conditions, &new.conditions) {
        return None;
    }
    let still = |status: &GameServerStatus| GameServerStatus { players: 0, ..status.clone() };
    let is_transition = still(new) != still(old) || (new.players > 0) != (old.players > 0);
    Some(if is_transition { News::Transition } else { News::Figure })
}

/// Where players reach the server: as it says itself, since it takes tokens for that, and else at the address of the node that its pod knows.
fn address(old: &GameServerStatus, observed: &Observed) -> Option<String> {
    let host = observed.pod.as_ref().and_then(|pod| pod.status.as_ref()?.host_ip.clone());
    let told = match observed.live.as_ref().filter(|live| live.has_reported) {
        Some(live) => live.reached_at.map(|address| address.to_string()),
        // what it said to whoever led before still holds
        None => old.address.clone(),
    };
    told.or(host)
}

fn compute_status(
    server: &GameServer,
    old: &GameServerStatus,
    observed: &Observed,
    now: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Time,
) -> GameServerStatus {
    let pod = observed.pod.as_deref();
    let ports = pod.map_or_else(Vec::new, |pod| {
        let names = server.spec.ports.iter().map(|port| port.name.clone());
        names.zip(host_ports_of(pod)).map(|(name, port)| PortStatus { name, port: i32::from(port) }).collect()
    });
    let facts = observed.live.as_ref().map(|live| &live.facts);
    GameServerStatus {
        state: Some(to_api(observed.state)),
        address: address(old, observed),
        ports,
        node_name: pod.and_then(|pod| pod.spec.as_ref()?.node_name.clone()),
        players: i32::try_from(observed.players()).unwrap_or(i32::MAX),
        backend: facts.map(|facts| facts.backend).map(Backend::as_str).map(str::to_owned),
        server_version: facts.map(|facts| facts.version.clone()),
        observed_generation: server.metadata.generation,
        conditions: merge_conditions(
            now,
            server.metadata.generation,
            &old.conditions,
            decide_conditions(observed),
        ),
    }
}

fn decide_conditions(observed: &Observed) -> Vec<Decided> {
    let message = || observed.message.clone();
    let ready = Decided::new(types::READY, observed.state == State::Ready, observed.reason, message());
    let stalled = STALLING.contains(&observed.reason);
    let mut conditions = vec![ready];
    match observed.state {
        State::Starting if stalled => {
            conditions.push(Decided::new(types::STALLED, true, observed.reason, message()));
        }
        State::Starting | State::Draining => {
            conditions.push(Decided::new(types::RECONCILING, true, observed.reason, message()));
        }
        State::Recovering => {
            conditions.push(Decided::new(types::RECOVERING, true, observed.reason, message()));
        }
        State::Unhealthy => {
            conditions.push(Decided::new(types::STALLED, true, observed.reason, message()));
        }
        State::Ready => {}
    }
    conditions
}

async fn announce(
    context: &Context,
    server: &GameServer,
    new: &GameServerStatus,
    observed: &Observed,
    now: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Time,
) {
    let state = to_api(observed.state);
    info!(state = state.as_str(), reason = observed.reason, why = observed.message, "state changed");
    let reference = server.object_ref(&());
    match state {
        GameServerState::Ready => {
            if let Some(created) = server.creation_timestamp() {
                context.metrics.ready_seconds.observe(since(&created, now).as_secs_f64());
            }
            let port = new.ports.first().map_or(0, |port| port.port);
            let address = new.address.as_deref().unwrap_or("an unknown address");
            context
                .event(&reference, EventType::Normal, "Ready", format!("takes players at {address}:{port}"))
                .await;
        }
        GameServerState::Recovering | GameServerState::Unhealthy => {
            context.event(&reference, EventType::Warning, state.as_str(), observed.message.clone()).await;
        }
        GameServerState::Starting | GameServerState::Draining => {}
    }
}
