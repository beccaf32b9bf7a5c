//! Where a game server stands, from its pod and its report stream.
//!
//! Rules: a server takes players only while its own report says so; what was Ready and falls silent is Recovering
//! first and Unhealthy after its time; what cannot be placed on a node stays Starting, because a replacement could not
//! be placed either. The pod's end is the server's end.

use gameserver_contract::Phase;
use std::time::Duration;

/// State of a game server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// Not yet reported.
    Starting,
    /// Takes players.
    Ready,
    /// Was Ready and is silent, or its container restarts in place.
    Recovering,
    /// Takes no new players and ends when empty.
    Draining,
    /// Given up.
    Unhealthy,
}

/// The pod as the API server shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pod<'a> {
    /// There is none.
    Missing,
    /// Waits for a node; the scheduler's message when it found none.
    Unscheduled(Option<&'a str>),
    /// Has a node; containers may still be starting.
    Placed {
        /// Time for which this replica has seen it there.
        seen_for: Duration,
        /// Why the container waits.
        waiting: Option<Waiting<'a>>,
    },
    /// Deleted or evicted, still within its grace period.
    Terminating,
    /// Ended for good, with the kubelet's reason.
    Ended(&'a str),
}

/// Why the kubelet does not run a container yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting<'a> {
    /// Such as `ImagePullBackOff`.
    pub reason: &'a str,
    /// The cause in the runtime's words; empty if it gives none.
    pub message: &'a str,
}

/// The report stream as this replica sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    /// Phase in the newest report.
    pub phase: Phase,
    /// Time since the newest report arrived.
    pub silent_for: Duration,
}

/// Times of `spec.health`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// From the moment in which the pod was seen on a node to its first report.
    pub startup: Duration,
    /// Without a report, until Recovering.
    pub silence: Duration,
    /// In Recovering, until Unhealthy.
    pub recovery: Duration,
}

/// Why a server stands where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why<'a> {
    /// The pod has not been created.
    NoPodYet,
    /// No node takes the pod; the scheduler's message.
    Unschedulable(&'a str),
    /// The scheduler has not looked at the pod yet.
    Scheduling,
    /// The container is starting; why it waits, if the kubelet says.
    ContainerStarting(Option<Waiting<'a>>),
    /// The server's own word.
    Reported(Phase),
    /// No report for this long.
    Silent(Duration),
    /// Never reported within `health.startupSeconds`; why the container waits, if it does.
    NeverReported(Option<Waiting<'a>>),
    /// The pod is gone or going though the server was not told to go.
    PodLost,
    /// The pod ended, with the kubelet's reason.
    PodEnded(&'a str),
    /// It was given up before; nothing brings it back.
    GivenUp,
}

/// A state with its reason and the time after which to look again even if nothing happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing<'a> {
    /// State.
    pub state: State,
    /// Reason.
    pub why: Why<'a>,
    /// When the state may change by time alone.
    pub look_again: Option<Duration>,
}

/// Decides where a server stands. `previous` is the last state that was published. A stream that this replica never
/// saw counts as silent since `watched_for`, the time for which this replica has been listening.
pub fn decide_state<'a>(
    previous: Option<State>,
    pod: &Pod<'a>,
    stream: Option<Stream>,
    watched_for: Duration,
    patience: Patience,
) -> Standing<'a> {
    let settled = |state, why| Standing { state, why, look_again: None };
    if previous == Some(State::Unhealthy) {
        return settled(State::Unhealthy, Why::GivenUp);
    }
    let was_up = matches!(previous, Some(State::Ready | State::Recovering | State::Draining));
    match *pod {
        Pod::Missing if was_up => settled(State::Unhealthy, Why::PodLost),
        Pod::Missing => settled(State::Starting, Why::NoPodYet),
        Pod::Terminating => settled(State::Unhealthy, Why::PodLost),
        Pod::Ended(reason) => settled(State::Unhealthy, Why::PodEnded(reason)),
        Pod::Unscheduled(Some(message)) => settled(State::Starting, Why::Unschedulable(message)),
        Pod::Unscheduled(None) => settled(State::Starting, Why::Scheduling),
        Pod::Placed { seen_for, waiting } => match stream {
            Some(stream) if stream.silent_for < patience.silence => {
                decide_reported(was_up, stream.phase, waiting)
            }
            _ if was_up => decide_silent(stream.map_or(watched_for, |stream| stream.silent_for), patience),
            _ => decide_starting(seen_for, waiting, patience),
        },
    }
}

/// Nothing to look at again: whoever keeps the streams notices when one falls silent.
fn decide_reported(was_up: bool, phase: Phase, waiting: Option<Waiting<'_>>) -> Standing<'_> {
    let (state, why) = match phase {
        Phase::Ready => (State::Ready, Why::Reported(Phase::Ready)),
        Phase::Draining => (State::Draining, Why::Reported(Phase::Draining)),
        // A restarted container reports Starting before it is Ready again.
        phase if was_up => (State::Recovering, Why::Reported(phase)),
        _ => (State::Starting, Why::ContainerStarting(waiting)),
    };
    Standing { state, why, look_again: None }
}

fn decide_silent(silent_for: Duration, patience: Patience) -> Standing<'static> {
    let limit = patience.silence + patience.recovery;
    let why = Why::Silent(silent_for);
    match limit.checked_sub(silent_for) {
        Some(left) if !left.is_zero() => Standing { state: State::Recovering, why, look_again: Some(left) },
        _ => Standing { state: State::Unhealthy, why, look_again: None },
    }
}

fn decide_starting(seen_for: Duration, waiting: Option<Waiting<'_>>, patience: Patience) -> Standing<'_> {
    match patience.startup.checked_sub(seen_for) {
        Some(left) if !left.is_zero() => {
            Standing { state: State::Starting, why: Why::ContainerStarting(waiting), look_again: Some(left) }
        }
        _ => Standing { state: State::Unhealthy, why: Why::NeverReported(waiting), look_again: None },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience {
        startup: Duration::from_secs(60),
        silence: Duration::from_secs(5),
        recovery: Duration::from_secs(30),
    };
    const LONG: Duration = Duration::from_secs(3600);

    fn placed(seen_for: u64) -> Pod<'static> {
        Pod::Placed { seen_for: Duration::from_secs(seen_for), waiting: None }
    }

    #[expect(clippy::unnecessary_wraps, reason = "the table mixes it with servers that have no stream")]
    fn stream(phase: Phase, silent_seconds: u64) -> Option<Stream> {
        Some(Stream { phase, silent_for: Duration::from_secs(silent_seconds) })
    }

    #[test]
    fn state_follows_pod_and_report() {
        use State::{Draining, Ready, Recovering, Starting, Unhealthy};
        for (name, previous, pod, stream, expected) in [
            ("a new server has no pod yet", None, Pod::Missing, None, Starting),
            (
                "a pod that vanished before the first report is made again",
                Some(Starting),
                Pod::Missing,
                None,
                Starting,
            ),
            ("a pod that vanished under players", Some(Ready), Pod::Missing, None, Unhealthy),
            (
                "a pod that nobody can place stays Starting",
                None,
                Pod::Unscheduled(Some("no room")),
                None,
                Starting,
            ),
            ("a placed pod starts", None, placed(1), None, Starting),
            ("a pod that never reports", Some(Starting), placed(60), None, Unhealthy),
            ("its own report makes it Ready", Some(Starting), placed(1), stream(Phase::Ready, 0), Ready),
            (
                "a report that says Starting does not",
                Some(Starting),
                placed(1),
                stream(Phase::Starting, 0),
                Starting,
            ),
            ("silent for less than its patience", Some(Ready), placed(99), stream(Phase::Ready, 4), Ready),
            ("silent for its patience", Some(Ready), placed(99), stream(Phase::Ready, 5), Recovering),
            (
                "silent to the end of its patience",
                Some(Recovering),
                placed(99),
                stream(Phase::Ready, 35),
                Unhealthy,
            ),
            ("back after silence", Some(Recovering), placed(99), stream(Phase::Ready, 0), Ready),
            (
                "a container that restarted in place",
                Some(Ready),
                placed(99),
                stream(Phase::Starting, 0),
                Recovering,
            ),
            ("draining by its own word", Some(Ready), placed(99), stream(Phase::Draining, 1), Draining),
            ("undrained", Some(Draining), placed(99), stream(Phase::Ready, 1), Ready),
            ("an evicted pod", Some(Ready), Pod::Terminating, stream(Phase::Draining, 0), Unhealthy),
            (
                "given up stays given up, or its pod would be made again",
                Some(Unhealthy),
                Pod::Missing,
                None,
                Unhealthy,
            ),
            ("given up, heard again", Some(Unhealthy), placed(99), stream(Phase::Ready, 0), Unhealthy),
            ("a pod that ended", Some(Ready), Pod::Ended("OOMKilled"), None, Unhealthy),
        ] {
            assert_eq!(decide_state(previous, &pod, stream, LONG, PATIENCE).state, expected, "{name}");
        }
    }

    #[test]
    fn a_container_that_its_node_cannot_make_yet_is_waited_for_and_then_replaced() {
        let waiting =
            Some(Waiting { reason: "CreateContainerError", message: "cannot load seccomp profile" });
        let after = |seconds| {
            let pod = Pod::Placed { seen_for: Duration::from_secs(seconds), waiting };
            decide_state(Some(State::Starting), &pod, None, LONG, PATIENCE)
        };
        let (early, late) = (after(59), after(60));
        assert_eq!((early.state, early.why), (State::Starting, Why::ContainerStarting(waiting)));
        assert_eq!(early.look_again, Some(Duration::from_secs(1)));
        // What is given up here is replaced by its Fleet: the next pod may get a node that can make it.
        assert_eq!((late.state, late.why), (State::Unhealthy, Why::NeverReported(waiting)));
    }

    #[test]
    fn a_fresh_replica_counts_silence_from_its_own_start() {
        let after = |seconds| {
            decide_state(Some(State::Ready), &placed(9999), None, Duration::from_secs(seconds), PATIENCE)
                .state
        };
        assert_eq!(after(0), State::Recovering, "not offered before it is heard");
        assert_eq!(after(34), State::Recovering);
        assert_eq!(after(35), State::Unhealthy);
    }

    #[test]
    fn time_alone_is_looked_at_again_just_when_it_can_matter() {
        let ready = decide_state(Some(State::Ready), &placed(9), stream(Phase::Ready, 2), LONG, PATIENCE);
        assert_eq!(ready.look_again, None);
        let silent = decide_state(Some(State::Ready), &placed(9), stream(Phase::Ready, 6), LONG, PATIENCE);
        assert_eq!(silent.look_again, Some(Duration::from_secs(29)));
        let starting = decide_state(None, &placed(10), None, LONG, PATIENCE);
        assert_eq!(starting.look_again, Some(Duration::from_secs(50)));
        assert_eq!(decide_state(None, &Pod::Missing, None, LONG, PATIENCE).look_again, None);
    }
}
