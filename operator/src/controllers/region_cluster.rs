//! RegionCluster: how the region that this operator runs in is (A2, A3), and how it sees the others.

use gameserver_contract::Histogram;
use k8s_openapi::api::core::v1::Node;
use kube::runtime::controller::Action;
use kube::{Api, ResourceExt};
use operator_api::conditions::{Decided, merge_conditions, reasons, stand_alike, types};
use operator_api::{
    Fleet, RegionCluster, RegionClusterStatus, RegionHealth, ServerCounts, ZoneStatus, labels,
};
use operator_core::region::{Counts, Health, judge_health};
use operator_core::server_state::State;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

use super::StepError;
use super::context::Context;
use super::figures;
use super::fleet_rollout::is_rejected;
use super::observe::{Observed, observe_server};
use super::pace::{News, Turn};
use super::{region_copies, wheel};
use crate::links::home::{Home, of_region};
use crate::links::{Look, is_ready, to_api};
use crate::reports::live::Snapshot;

/// How often a region is looked at.
const PERIOD: Duration = Duration::from_secs(1);

/// Why a region publishes none of its placed Fleets, or not all.
const NOT_PUBLISHED: [&str; 6] = [
    reasons::TAKING_BACK,
    reasons::RESTORED_FROM_OLD,
    reasons::NAMESPACE_MISSING,
    reasons::NAMESPACE_CLOSED,
    reasons::NAME_TAKEN,
    reasons::CREATE_FAILED,
];

/// A step that failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("failed to write the status")]
    Status(#[source] kube::Error),
}

impl StepError for Error {
    fn step(&self) -> &'static str {
        "status"
    }
}

/// observe -> judge -> status. Of another region's object only the copy that we made has more than a condition.
pub(crate) async fn reconcile(region: Arc<RegionCluster>, context: Arc<Context>) -> Result<Action, Error> {
    if region.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    // observe (no client required)
    let look = context.links.look(context.clock.elapsed());
    if look.is_listening(context.links.me) {
        return Ok(Action::requeue(PERIOD));
    }
    // status (client required)
    let old = region.status.clone().unwrap_or_default();
    let home = of_region(&region, context.links.me);
    let new = match home {
        Home::Here => compute_status(&context, &region, (&observe_all(&context), &look), &old),
        Home::CopiedFrom(home) => match (look.known.get(&home), look.judgements.get(&home)) {
            (Some(known), Some(judgement)) => {
                let (now, drained) = (context.clock.wall(), wheel::decide_drained(&look.orders, home));
                region_copies::compute_status(&now, &region, (known, judgement), drained, &old)
            }
            // No longer registered: the copy goes.
            _ => return Ok(Action::requeue(PERIOD)),
        },
        Home::Elsewhere => region_copies::inert(&context.clock.wall(), &region, &old),
    };
    // What another region says of itself is written at our pace.
    let turned = old.standing != new.standing
        || old.peers != new.peers
        || (home == Home::Here && old.health != new.health);
    let news = if turned || !stand_alike(&old.conditions, &new.conditions) {
        News::Transition
    } else {
        News::Figure
    };
    let uid = region.uid().unwrap_or_default();
    if new != old && context.pace.ask(context.clock.elapsed(), &uid, news) == Turn::Now {
        let api: Api<RegionCluster> = Api::all(context.client.clone());
        match context.apply_status_in(&api, &*region, &new).await {
            // Deleted meanwhile: nobody is left to be told.
            Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => {
                return Ok(Action::await_change());
            }
            written => written.map_err(Error::Status)?,
        }
        region_copies::tell_standing(&context, &region, (old.standing, &new)).await;
        wheel::tell_drained(&context, &region, (&old, &new)).await;
    }
    Ok(Action::requeue(PERIOD))
}

/// Exports what the region has until the future is dropped, whether it has a RegionCluster or not.
pub(crate) async fn export_figures(context: &Context) {
    loop {
        export(context, &observe_all(context));
        sleep(PERIOD).await;
    }
}

fn observe_all(context: &Context) -> Vec<Observed> {
    let servers = context.stores.game_servers.store().state();
    let alive = servers.iter().filter(|server| server.metadata.deletion_timestamp.is_none());
    alive.map(|server| observe_server(context, server)).collect()
}

fn export(context: &Context, observed: &[Observed]) {
    for state in [State::Starting, State::Ready, State::Recovering, State::Draining, State::Unhealthy] {
        let name = super::observe::to_api(state).as_str();
        context.metrics.game_servers.with_label_values(&[name]).set(i64::from(count(observed, state)));
    }
    let players = observed.iter().map(|server| i64::from(server.players())).sum();
    context.metrics.players.set(players);
    let in_use = observed.iter().filter(|server| server.in_use()).count();
    context.metrics.in_use.set(i64::try_from(in_use).unwrap_or(i64::MAX));
    let fleets = context.stores.fleets.store().state();
    context.metrics.wanted.set(i64::from(wanted(&fleets)));
    let short = fleets.iter().filter(|fleet| is_short(fleet)).count();
    context.metrics.fleets_short.set(i64::try_from(short).unwrap_or(i64::MAX));
    let rejected = fleets.iter().filter(|fleet| is_rejected(fleet)).count();
    context.metrics.fleets_rejected.set(i64::try_from(rejected).unwrap_or(i64::MAX));
    // Also without a RegionCluster that would have the condition: somebody has to be woken.
    let shown = context.recovery.decided().map(|decided| decided.reason);
    for reason in NOT_PUBLISHED {
        let holds = i64::from(shown == Some(reason));
        context.metrics.not_published.with_label_values(&[reason]).set(holds);
    }
}

/// Game servers that Fleets ask for. Of a placed Fleet its share counts, which is a Fleet too.
fn wanted(fleets: &[Arc<Fleet>]) -> i32 {
    let own = fleets.iter().filter(|fleet| fleet.spec.placement.is_none());
    own.map(|fleet| fleet.spec.replicas.unwrap_or(0)).sum()
}

/// Whether a Fleet has fewer Ready game servers than it asks for, as its status says.
fn is_short(fleet: &Fleet) -> bool {
    let ready = fleet.status.as_ref().map_or(0, |status| status.ready_replicas);
    fleet.spec.placement.is_none() && ready < fleet.spec.replicas.unwrap_or(0)
}

fn count(observed: &[Observed], state: State) -> i32 {
    i32::try_from(observed.iter().filter(|server| server.state == state).count()).unwrap_or(i32::MAX)
}

fn compute_status(
    context: &Context,
    region: &RegionCluster,
    (observed, look): (&[Observed], &Look),
    old: &RegionClusterStatus,
) -> RegionClusterStatus {
    let servers = ServerCounts {
        total: i32::try_from(observed.len()).unwrap_or(i32::MAX),
        starting: count(observed, State::Starting),
        ready: count(observed, State::Ready),
        recovering: count(observed, State::Recovering),
        draining: count(observed, State::Draining),
        unhealthy: count(observed, State::Unhealthy),
    };
    let wanted = wanted(&context.stores.fleets.store().state());
    let zones = zones_of(region, &context.stores.nodes.store().state());
    let mut latency = Histogram::default();
    let ready = observed.iter().filter(|server| server.state == State::Ready);
    for live in ready.clone().filter_map(|server| server.live.as_ref()) {
        latency.merge(&live.input_latency_us);
    }
    let places = |of_one: &dyn Fn(&Snapshot) -> u32| {
        let live = ready.clone().filter_map(|server| server.live.as_ref());
        live.map(|live| i64::from(of_one(live))).sum()
    };
    let health = judge(servers, wanted);
    let covered = zones.iter().filter(|zone| zone.nodes > 0).count();
    let generation = region.metadata.generation;
    let own = &look.judgements[&context.links.me];
    let mut decided = decide_conditions(health, servers, wanted, &zones);
    // Alone there is nobody to be connected with.
    decided.extend((!look.known.is_empty()).then(|| region_copies::decide_connected(own, true)));
    decided.extend(wheel::decide_drained(&look.orders, context.links.me));
    decided.extend(context.recovery.decided());
    RegionClusterStatus {
        standing: Some(to_api(own.standing, true)),
        peers: look.known.keys().map(ToString::to_string).collect(),
        health: Some(health),
        players: observed.iter().map(|server| i64::from(server.players())).sum(),
        capacity: places(&|live| live.facts.capacity),
        headroom: places(&|live| live.facts.capacity.saturating_sub(live.players)),
        servers,
        mean_input_latency: latency
            .mean()
            .map(|us| figures::latency(old.mean_input_latency.as_deref(), us, figures::MEAN)),
        zones_covered: Some(format!("{covered}/{}", zones.len())),
        operator_version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        observed_generation: generation,
        conditions: merge_conditions(&context.clock.wall(), generation, &old.conditions, decided),
        zones,
        ..RegionClusterStatus::default()
    }
}

fn judge(servers: ServerCounts, wanted: i32) -> RegionHealth {
    let number = |count: i32| u32::try_from(count).unwrap_or(0);
    let counts = Counts {
        wanted: number(wanted),
        ready: number(servers.ready),
        recovering: number(servers.recovering),
        unhealthy: number(servers.unhealthy),
    };
    match judge_health(counts) {
        Health::Healthy => RegionHealth::Healthy,
        Health::Degraded => RegionHealth::Degraded,
        Health::Unhealthy => RegionHealth::Unhealthy,
    }
}

fn zones_of(region: &RegionCluster, nodes: &[Arc<Node>]) -> Vec<ZoneStatus> {
    let in_zone = |zone: &String| {
        nodes
            .iter()
            .filter(|node| node.labels().get(labels::NODE_ZONE) == Some(zone) && is_ready(node))
            .count()
    };
    let zones = region.spec.zones.iter();
    zones
        .map(|zone| ZoneStatus {
            name: zone.clone(),
            nodes: i32::try_from(in_zone(zone)).unwrap_or(i32::MAX),
        })
        .collect()
}

fn decide_conditions(
    health: RegionHealth,
    servers: ServerCounts,
    wanted: i32,
    zones: &[ZoneStatus],
) -> Vec<Decided> {
    let message = format!("{} of {wanted} game servers take players", servers.ready);
    let reason = if health == RegionHealth::Healthy { reasons::AS_SPECIFIED } else { reasons::CREATING };
    let bare: Vec<&str> =
        zones.iter().filter(|zone| zone.nodes == 0).map(|zone| zone.name.as_str()).collect();
    let (zones_reason, zones_message) = if bare.is_empty() {
        (reasons::AS_SPECIFIED, "every zone has a ready node".to_owned())
    } else {
        (reasons::ZONE_WITHOUT_NODE, format!("no ready node in {}", bare.join(", ")))
    };
    vec![
        Decided::new(types::READY, health != RegionHealth::Unhealthy, reason, message),
        Decided::new(types::ZONES_COVERED, bare.is_empty(), zones_reason, zones_message),
    ]
}
