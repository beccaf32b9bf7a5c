//! How far a change of a Fleet's template goes by itself, and when it goes back.
//!
//! A new template is on trial until it is proven: first with as many servers as its canary has, then with what the strategy lets move, and at
//! the end for [`PROVING`] with all of them. Gates judge it all that time by what its own servers do, and by nothing else (C21). The
//! verdict is given once and kept by the caller: a template that was rejected stays so until somebody says otherwise.
//!
//! What is remembered from look to look is a [`Trial`]. Whoever begins with none (a new leader) waits anew where time is waited for: it never
//! goes further than the one before did, and never gives a verdict sooner.

use std::time::Duration;

/// How long all servers of a template behave before it is proven, where there are gates: what these look at is of the last minute.
pub const PROVING: Duration = Duration::from_secs(60);
/// Ticks of the last minute from which on their times count: the first of a server are as slow as its caches are cold.
pub const TICKS_MIN: u64 = 1000;
/// How often gates are looked at, though nothing else is heard.
const LOOKS_APART: Duration = Duration::from_secs(5);
/// Inputs of the last minute from which on their rejections count: fewer are somebody's first steps.
pub const INPUTS_MIN: u64 = 1000;
/// Players who came or were refused in the last minute from which on the refused ones count.
pub const JOINS_MIN: u64 = 20;

/// What is known of a template for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All servers have had it, and no gate failed.
    Proven,
    /// A gate failed.
    Rejected,
}

/// Servers that go first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Canary {
    /// How many.
    pub servers: u32,
    /// For how long they must be Ready together.
    pub time: Duration,
    /// They come beside all others, of which none gives way for them.
    pub is_beside: bool,
    /// They pass by somebody's word alone, after that time.
    pub by_hand: bool,
}

/// What a new template must not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gates {
    /// For how long some of its servers may be there and not get Ready.
    pub progress: Duration,
    /// Most that the 99th percentile of tick work may be.
    pub tick_p99: Option<Duration>,
    /// Most crashes of its servers.
    pub crashes: Option<u32>,
    /// Most percent of inputs that are rejected.
    pub rejects_percent: Option<u32>,
    /// Most percent of those who come that are refused.
    pub join_failures_percent: Option<u32>,
    /// Goes back to the last proven template when one fails; else it stands still.
    pub rolls_back: bool,
}

/// What the servers of a template do, those of the last minute where it says no other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conduct {
    /// Servers that are there.
    pub alive: u32,
    /// Of these, how many take players.
    pub ready: u32,
    /// How many different ones took players at some time of the trial.
    pub ever_ready: u32,
    /// Restarts of the containers of those that are there, and servers given up during the trial.
    pub crashes: u32,
    /// Ticks that were told of.
    pub ticks: u64,
    /// 99th percentile of tick work; none before a tick was told of.
    pub tick_p99: Option<Duration>,
    /// Inputs carried out.
    pub inputs: u64,
    /// Inputs rejected.
    pub rejects: u64,
    /// Players who came.
    pub joins: u64,
    /// Handshakes refused, for whatever reason.
    pub refused: u64,
}

/// What a Fleet asks for and has, as far as a trial goes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each named by the rule that reads it")]
pub struct TrialView {
    /// Servers wanted.
    pub desired: u32,
    /// Servers of earlier templates give way by themselves.
    pub rolls: bool,
    /// Nothing moves.
    pub is_paused: bool,
    /// Who goes first.
    pub canary: Option<Canary>,
    /// What is looked at.
    pub gates: Option<Gates>,
    /// Verdict on the template, once there is one.
    pub verdict: Option<Verdict>,
    /// There is another template that is proven.
    pub has_proven: bool,
    /// Its canary has passed, as is known for good.
    pub canary_passed: bool,
    /// Of servers of the template.
    pub conduct: Conduct,
    /// Servers of other templates that are not in use, those that drain included.
    pub old_free: u32,
    /// Servers of other templates that are in use.
    pub old_in_use: u32,
}

/// What is remembered of a trial; times are on the caller's monotonic clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trial {
    canary_passed: bool,
    /// Since when the canary has been Ready.
    held_since: Option<Duration>,
    /// Since when all have had it that can.
    proving_since: Option<Duration>,
    /// How many have ever been Ready, and since when no more, while some are not.
    progress: Option<(u32, Duration)>,
}

/// Where a change of the template stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// All servers are of the template, or none that is not is to give way.
    Done,
    /// Servers of earlier templates stay as long as they like.
    OnDelete,
    /// The first servers of it prove themselves.
    Canary,
    /// They have, and somebody is to say that the others follow.
    AwaitsPromotion,
    /// Servers give way.
    Rolling,
    /// All that are left of earlier templates are in use.
    WaitingForPlayers,
    /// All servers are of it, or in use, and prove themselves.
    Proving,
    /// Somebody said that nothing moves.
    Paused,
    /// It was rejected, and servers are made from the last proven one again.
    RolledBack,
    /// It was rejected, and nothing moves.
    GateFailed,
}

/// Which gate failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Servers do not get Ready: so many of so many are, for as long as that.
    Progress(u32, u32, Duration),
    /// Tick work is longer, with its most.
    TickP99(Duration, Duration),
    /// More crashes, with their most.
    Crashes(u32, u32),
    /// More of so many inputs were rejected, with their most in percent.
    Rejects(u64, u64, u32),
    /// More of so many who came were refused, with their most in percent.
    JoinFailures(u64, u64, u32),
}

/// What to do with a Fleet's servers now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent orders, each named by the rule that reads it")]
pub struct Course {
    /// Where it stands.
    pub phase: Phase,
    /// Servers are made from the last proven template, and those of the Fleet's give way.
    pub goes_back: bool,
    /// Most servers of the template; what is missing beyond that is made from the last proven one. None: all.
    pub most: Option<u32>,
    /// No server gives way.
    pub stands_still: bool,
    /// No server of another template gives way but those beyond what is wanted.
    pub holds_old: bool,
    /// The canary has just passed, for the caller to keep.
    pub canary_passed: bool,
    /// A verdict that was just reached, for the caller to keep.
    pub verdict: Option<Verdict>,
    /// Why it was rejected just now.
    pub failure: Option<Failure>,
    /// When it may stand elsewhere though nothing else changes.
    pub look_again: Option<Duration>,
}

impl Course {
    const fn at(phase: Phase) -> Self {
        Self {
            phase,
            goes_back: false,
            most: None,
            stands_still: false,
            holds_old: false,
            canary_passed: false,
            verdict: None,
            failure: None,
            look_again: None,
        }
    }

    /// Nothing moves: what is missing is made from what is proven, if there is something.
    const fn still(phase: Phase, view: &TrialView) -> Self {
        let most = if view.has_proven { Some(view.conduct.alive) } else { None };
        Self { stands_still: true, most, ..Self::at(phase) }
    }

    fn rejected(view: &TrialView) -> Self {
        let may_go_back = view.has_proven && !view.is_paused;
        if may_go_back && view.gates.is_none_or(|gates| gates.rolls_back) {
            Self { goes_back: true, ..Self::at(Phase::RolledBack) }
        } else {
            Self::still(Phase::GateFailed, view)
        }
    }
}

/// Looks at a Fleet's template, and says what is to be remembered of it.
pub fn look(trial: Trial, view: &TrialView, now: Duration) -> (Trial, Course) {
    if !view.rolls {
        let phase = if view.old_free + view.old_in_use > 0 { Phase::OnDelete } else { Phase::Done };
        return (Trial::default(), Course::at(phase));
    }
    match view.verdict {
        Some(Verdict::Rejected) => (Trial::default(), Course::rejected(view)),
        Some(Verdict::Proven) => (Trial::default(), proven(view)),
        None => on_trial(trial, view, now),
    }
}

fn proven(view: &TrialView) -> Course {
    match (view.old_free, view.old_in_use) {
        (0, 0) => Course::at(Phase::Done),
        _ if view.is_paused => Course::still(Phase::Paused, view),
        (0, _) => Course::at(Phase::WaitingForPlayers),
        _ => Course::at(Phase::Rolling),
    }
}

fn on_trial(mut trial: Trial, view: &TrialView, now: Duration) -> (Trial, Course) {
    let conduct = &view.conduct;
    // Of a template before which nothing is proven nothing can be gone back to.
    let gates = view.gates.filter(|_| view.has_proven);
    let first = canary(view).filter(|_| !trial.canary_passed);
    let holds_old = first.is_some_and(|first| first.is_beside);
    if view.is_paused && !is_through(view) {
        let stopped = Trial { canary_passed: trial.canary_passed, ..Trial::default() };
        return (stopped, Course { holds_old, ..Course::still(Phase::Paused, view) });
    }
    if conduct.alive == 0 && view.old_free == 0 && view.old_in_use >= view.desired && !holds_old {
        // Nobody has it yet: there is nothing to judge it by.
        return (trial, proven(view));
    }
    trial.progress = match trial.progress {
        _ if conduct.alive <= conduct.ready => None,
        Some((most, since)) if conduct.ever_ready <= most => Some((most, since)),
        _ => Some((conduct.ever_ready, now)),
    };
    if let Some(failure) = gates.and_then(|gates| failing(&gates, conduct, trial.progress, now)) {
        let (verdict, failure) = (Some(Verdict::Rejected), Some(failure));
        return (Trial::default(), Course { verdict, failure, ..Course::rejected(view) });
    }
    let soon = |left: Option<Duration>| [left, gates.map(|_| LOOKS_APART)].into_iter().flatten().min();
    let mut canary_passed = false;
    if let Some(canary) = first {
        let left = held(&mut trial.held_since, conduct.ready >= canary.servers, canary.time, now);
        let (has_held, left) = (left == Some(Duration::ZERO), left.filter(|left| !left.is_zero()));
        if !has_held || canary.by_hand {
            let phase = if has_held { Phase::AwaitsPromotion } else { Phase::Canary };
            let most = Some(canary.servers);
            return (trial, Course { most, holds_old, look_again: soon(left), ..Course::at(phase) });
        }
        (canary_passed, trial.canary_passed) = (true, true);
    }
    let (next, course) = to_the_end(trial, view, now, if gates.is_some() { PROVING } else { Duration::ZERO });
    (next, Course { canary_passed, look_again: soon(course.look_again), ..course })
}

/// The canary that the others wait for, if they do.
fn canary(view: &TrialView) -> Option<Canary> {
    let is_waited_for = view.has_proven && !view.canary_passed;
    // there would be nobody else
    let is_beside_some = view.desired > 0 && view.old_free + view.old_in_use > 0;
    let has_others = |canary: &Canary| {
        if canary.is_beside { is_beside_some } else { canary.servers < view.desired }
    };
    view.canary.filter(|canary| is_waited_for && has_others(canary))
}

/// After the canary: until all have it, and have had it for as long as that. Servers that come and go meanwhile do not begin it anew.
fn to_the_end(mut trial: Trial, view: &TrialView, now: Duration, time: Duration) -> (Trial, Course) {
    let is_through = is_through(view);
    trial.proving_since = match trial.proving_since {
        _ if view.old_free > 0 => None,
        None if is_through => Some(now),
        since => since,
    };
    let Some(since) = trial.proving_since else { return (trial, Course::at(Phase::Rolling)) };
    let left = (since + time).saturating_sub(now);
    if is_through && left.is_zero() {
        return (Trial::default(), Course { verdict: Some(Verdict::Proven), ..proven(view) });
    }
    let look_again = (!left.is_zero()).then_some(left);
    (trial, Course { look_again, ..Course::at(Phase::Proving) })
}

/// All servers that can be of the template are, and take players.
const fn is_through(view: &TrialView) -> bool {
    let TrialView { conduct, old_free, old_in_use, .. } = view;
    *old_free == 0 && conduct.ready > 0 && conduct.ready + *old_in_use >= view.desired
}

/// Time for which something that must hold is still to hold; none while it does not.
fn held(held_since: &mut Option<Duration>, holds: bool, time: Duration, now: Duration) -> Option<Duration> {
    *held_since = holds.then(|| held_since.unwrap_or(now));
    held_since.map(|since| (since + time).saturating_sub(now))
}

fn failing(
    gates: &Gates,
    conduct: &Conduct,
    progress: Option<(u32, Duration)>,
    now: Duration,
) -> Option<Failure> {
    let Conduct { alive, ready, ever_ready: _, crashes, ticks, tick_p99, inputs, rejects, joins, refused } =
        *conduct;
    let is_beyond =
        |part: u64, of: u64, percent: u32| u128::from(part) * 100 > u128::from(of) * u128::from(percent);
    let waits = progress.map(|(_, since)| now.saturating_sub(since)).filter(|waits| *waits >= gates.progress);
    let of_crashes = gates.crashes.filter(|most| crashes > *most);
    let of_ticks = tick_p99.zip(gates.tick_p99).filter(|(found, most)| ticks >= TICKS_MIN && found > most);
    let all = inputs.saturating_add(rejects);
    let of_rejects =
        gates.rejects_percent.filter(|&percent| all >= INPUTS_MIN && is_beyond(rejects, all, percent));
    let came = joins.saturating_add(refused);
    let of_joins =
        gates.join_failures_percent.filter(|&percent| came >= JOINS_MIN && is_beyond(refused, came, percent));
    of_crashes
        .map(|most| Failure::Crashes(crashes, most))
        .or_else(|| of_ticks.map(|(found, most)| Failure::TickP99(found, most)))
        .or_else(|| of_rejects.map(|percent| Failure::Rejects(rejects, all, percent)))
        .or_else(|| of_joins.map(|percent| Failure::JoinFailures(refused, came, percent)))
        .or_else(|| waits.map(|waits| Failure::Progress(ready, alive, waits)))
}

impl std::fmt::Display for Failure {
    /// As it follows on `rejected: `.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let millis = |time: &Duration| time.as_secs_f64() * 1000.0;
        match self {
            Self::Progress(ready, alive, waits) => {
                write!(
                    formatter,
                    "{ready} of its {alive} servers are ready, and no more for {} s",
                    waits.as_secs()
                )
            }
            Self::TickP99(found, most) => write!(
                formatter,
                "its ticks take {:.1} ms at the 99th percentile, and may take {:.1} ms",
                millis(found),
                millis(most)
            ),
            Self::Crashes(found, most) => {
                write!(formatter, "its servers crashed {found} times, and may {most} times")
            }
            Self::Rejects(rejects, all, percent) => write!(
                formatter,
                "its servers rejected {rejects} of {all} inputs in a minute, and may {percent} %"
            ),
            Self::JoinFailures(refused, came, percent) => write!(
                formatter,
                "its servers refused {refused} of {came} who came in a minute, and may {percent} %"
            ),
        }
    }
}

#[cfg(test)]
mod tests;
