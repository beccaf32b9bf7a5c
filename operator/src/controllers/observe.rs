//! A game server as it is: its object, its pod and its report stream put together.

use gameserver_contract::Phase;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use operator_api::conditions::reasons;
use operator_api::{GameServer, GameServerState};
use operator_core::server_state::{self, Patience, Standing, State, Waiting, Why, decide_state};
use std::sync::Arc;
use std::time::Duration;

use super::context::Context;
use crate::reports::live::Snapshot;

/// Characters of the runtime's words that go into a status.
const RUNTIME_WORDS_MAX: usize = 256;

/// A game server as it is.
pub(crate) struct Observed {
    pub(crate) state: State,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
    pub(crate) look_again: Option<Duration>,
    /// The pod must be made.
    pub(crate) needs_pod: bool,
    pub(crate) pod: Option<Arc<Pod>>,
    pub(crate) live: Option<Snapshot>,
}

impl Observed {
    /// A report stream is up.
    pub(crate) fn heard(&self) -> bool {
        self.live.as_ref().is_some_and(|live| live.connected)
    }

    /// Players are on it, or are to come, or it is not known whether some are (rules 13).
    pub(crate) fn in_use(&self) -> bool {
        match &self.live {
            Some(live) if live.connected => live.players > 0 || live.sessions > 0,
            _ => self.state != State::Starting,
        }
    }

    /// Connected players.
    pub(crate) fn players(&self) -> u32 {
        self.live.as_ref().map_or(0, |live| live.players)
    }
}

/// Puts together what is known of a game server. Reads stores and live figures only, and remembers since when its pod
/// has been on a node.
pub(crate) fn observe_server(context: &Context, server: &GameServer) -> Observed {
    let namespace = server.namespace().unwrap_or_default();
    let uid = server.uid().unwrap_or_default();
    let named = context.stores.pods.store().get(&ObjectRef::new(&server.name_any()).within(&namespace));
    let taken = named.as_ref().is_some_and(|pod| !is_owned_by(pod, &uid));
    let pod = named.filter(|pod| is_owned_by(pod, &uid));
    let live = context.live.get(context.clock.elapsed(), &uid);
    let awake = context.live.awake(context.clock.elapsed());
    let placed_for = |pod: &Pod| context.placements.placed_for(awake, pod, context.stores.pods.store());
    let view = view_pod(pod.as_deref(), placed_for);
    let published = server.status.as_ref().and_then(|status| status.state).map(to_core);
    let previous = last_known(published, live.as_ref());
    let stream = live.as_ref().map(|live| live.stream);
    let standing = decide_state(previous, &view, stream, context.led_for(), patience(server));
    let (reason, message) = explain(&standing, taken);
    Observed {
        state: standing.state,
        reason,
        message,
        look_again: standing.look_again,
        needs_pod: standing.why == Why::NoPodYet && !taken,
        pod,
        live,
    }
}

pub(crate) fn is_owned_by(pod: &Pod, uid: &str) -> bool {
    pod.owner_references().iter().any(|owner| owner.uid == uid)
}

/// The last state that is known: what was published, or the server's own word where our write of it has not come back
/// to us yet. Without this a pod that dies in that moment would be made again as if nobody had ever played on it.
fn last_known(published: Option<State>, live: Option<&Snapshot>) -> Option<State> {
    let took_players = live.is_some_and(|live| matches!(live.stream.phase, Phase::Ready | Phase::Draining));
    match published {
        None | Some(State::Starting) if took_players => Some(State::Ready),
        published => published,
    }
}

/// State as the API spells it.
pub(crate) const fn to_api(state: State) -> GameServerState {
    match state {
        State::Starting => GameServerState::Starting,
        State::Ready => GameServerState::Ready,
        State::Recovering => GameServerState::Recovering,
        State::Draining => GameServerState::Draining,
        State::Unhealthy => GameServerState::Unhealthy,
    }
}

const fn to_core(state: GameServerState) -> State {
    match state {
        GameServerState::Starting => State::Starting,
        GameServerState::Ready => State::Ready,
        GameServerState::Recovering => State::Recovering,
        GameServerState::Draining => State::Draining,
        GameServerState::Unhealthy => State::Unhealthy,
    }
}

/// Times of `spec.health`.
pub(super) fn patience(server: &GameServer) -> Patience {
    let health = &server.spec.health;
    let seconds = |seconds: i32| Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    Patience {
        startup: seconds(health.startup_seconds),
        silence: seconds(health.silence_seconds),
        recovery: seconds(health.recovery_seconds),
    }
}

/// `placed_for` says for how long a pod has been seen on its node.
fn view_pod(pod: Option<&Pod>, placed_for: impl FnOnce(&Pod) -> Duration) -> server_state::Pod<'_> {
    let Some(pod) = pod else { return server_state::Pod::Missing };
    let status = pod.status.as_ref();
    if pod.metadata.deletion_timestamp.is_some() {
        return server_state::Pod::Terminating;
    }
    if let Some(phase @ ("Failed" | "Succeeded")) = status.and_then(|status| status.phase.as_deref()) {
        return server_state::Pod::Ended(status.and_then(|status| status.reason.as_deref()).unwrap_or(phase));
    }
    if pod.spec.as_ref().is_none_or(|spec| spec.node_name.is_none()) {
        let refused = status.and_then(|status| status.conditions.as_ref()).into_iter().flatten();
        let mut refused =
            refused.filter(|condition| condition.type_ == "PodScheduled" && condition.status == "False");
        return server_state::Pod::Unscheduled(refused.find_map(|condition| condition.message.as_deref()));
    }
    let waiting =
        status.and_then(|status| status.container_statuses.as_ref()).into_iter().flatten().find_map(
            |container| {
                let waiting = container.state.as_ref()?.waiting.as_ref()?;
                let message = waiting.message.as_deref().unwrap_or_default();
                Some(Waiting { reason: waiting.reason.as_deref()?, message })
            },
        );
    server_state::Pod::Placed { seen_for: placed_for(pod), waiting }
}

fn explain(standing: &Standing<'_>, name_taken: bool) -> (&'static str, String) {
    match standing.why {
        Why::NoPodYet if name_taken => {
            (reasons::CREATING, "waits for an older pod of the same name to end".to_owned())
        }
        Why::NoPodYet => (reasons::CREATING, "its pod is being created".to_owned()),
        Why::Unschedulable(message) => {
            let message = message.trim_end_matches(['.', ' ']);
            (reasons::UNSCHEDULABLE, format!("no node takes the pod: {message}; add nodes or ask for less"))
        }
        Why::Scheduling => (reasons::CREATING, "waits for the scheduler".to_owned()),
        Why::ContainerStarting(None) => (reasons::CREATING, "its container is starting".to_owned()),
        Why::ContainerStarting(Some(waiting)) => (reasons::CREATING, why_it_waits(waiting)),
        Why::Reported(phase) => (reasons::REPORTED, format!("reported as {phase:?}").to_lowercase()),
        Why::Silent(_) => (reasons::SILENT, "no report came in time".to_owned()),
        Why::NeverReported(Some(waiting)) => (reasons::POD_FAILED, why_it_waits(waiting)),
        Why::NeverReported(None) => {
            (reasons::SILENT, "no report came within health.startupSeconds; see the pod's logs".to_owned())
        }
        Why::GivenUp => (reasons::POD_LOST, "it was given up and waits to be deleted".to_owned()),
        Why::PodLost => (reasons::POD_LOST, "the pod was deleted or evicted".to_owned()),
        Why::PodEnded(reason) => (reasons::POD_FAILED, format!("the pod ended: {reason}; see its logs")),
    }
}

/// The runtime's words are cut: a status is no place for a whole log.
fn why_it_waits(waiting: Waiting<'_>) -> String {
    let Waiting { reason, message } = waiting;
    let message: String = message.chars().take(RUNTIME_WORDS_MAX).collect();
    let colon = if message.is_empty() { "" } else { ": " };
    format!("its container waits: {reason}{colon}{message}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reports::live::Facts;
    use gameserver_contract::{Backend, Histogram};
    use operator_core::rolling::Totals;
    use operator_core::server_state::Stream;

    fn heard(phase: Phase) -> Snapshot {
        Snapshot {
            facts: Facts {
                version: "0.1.0".to_owned(),
                backend: Backend::Mmsg,
                boot_unix_ms: 1,
                capacity: 1,
                sessions: 1,
                hears_outdated: false,
            },
            stream: Stream { phase, silent_for: Duration::ZERO },
            connected: true,
            sessions: 0,
            has_reported: true,
            reached_at: None,
            players: 0,
            cpu_millis: 0,
            tick_us: Histogram::default(),
            input_latency_us: Histogram::default(),
            queue_depth: Histogram::default(),
            growth: Totals::default(),
            drain_ordered: false,
            drained: false,
        }
    }

    #[test]
    fn a_container_that_waits_says_why_and_not_more_than_fits() {
        let waits = |message: &str| why_it_waits(Waiting { reason: "CreateContainerError", message });
        assert_eq!(waits(""), "its container waits: CreateContainerError");
        assert_eq!(
            waits("cannot load seccomp profile"),
            "its container waits: CreateContainerError: cannot load seccomp profile"
        );
        assert!(waits(&"x".repeat(5000)).len() < 400);
    }

    #[test]
    fn what_to_do_follows_on_the_schedulers_words_with_one_punctuation_mark() {
        for words in
            ["0/3 nodes are available: 3 Insufficient cpu.", "0/3 nodes are available: 3 Insufficient cpu"]
        {
            let standing =
                Standing { state: State::Starting, why: Why::Unschedulable(words), look_again: None };
            let expected = "no node takes the pod: 0/3 nodes are available: 3 Insufficient cpu; add nodes or ask for less";
            assert_eq!(explain(&standing, false), (reasons::UNSCHEDULABLE, expected.to_owned()));
        }
    }

    #[test]
    fn a_servers_own_word_counts_before_our_write_of_it_comes_back() {
        assert_eq!(last_known(None, None), None);
        assert_eq!(last_known(None, Some(&heard(Phase::Starting))), None);
        assert_eq!(last_known(Some(State::Starting), Some(&heard(Phase::Ready))), Some(State::Ready));
        assert_eq!(last_known(Some(State::Recovering), Some(&heard(Phase::Ready))), Some(State::Recovering));
    }
}
