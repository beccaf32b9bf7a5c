//! A change of a Fleet's template: what a trial of it looks at, and what is remembered and told of it.

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::runtime::events::EventType;
use kube::{Resource, ResourceExt};
use operator_api::conditions::{reasons, types};
use operator_api::{
    BlueGreen, Fleet, FleetStatus, Gates, OnFailure, Promotion, Strategy, StrategyType, labels,
};
use operator_core::fleet_plan::Rollout;
use operator_core::journal::Of;
use operator_core::server_state::State;
use operator_core::trial::{self, Canary, Conduct, Course, Phase, Trial, TrialView, Verdict};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::context::Context;
use super::fleet::{Member, name_of};
use super::revisions::{Error, Revision, Revisions};

/// Trials remembered; beyond that the memory starts anew, which makes each of them wait anew.
const REMEMBERED_MAX: usize = 10_000;
/// Reasons of a template that was rejected.
const REJECTED: [&str; 2] = [reasons::ROLLED_BACK, reasons::GATE_FAILED];
/// Servers that are remembered of a trial.
const SERVERS_MAX: usize = 20_000;

/// What is remembered of the trials of this region's Fleets, by their uids, while this replica leads.
#[derive(Default)]
pub(crate) struct Trials(Mutex<HashMap<String, Remembered>>);

#[derive(Clone, Default)]
struct Remembered {
    /// Of which template.
    revision: String,
    trial: Trial,
    /// Uids of its servers that were given up, and of those that were Ready.
    given_up: BTreeSet<String>,
    ever_ready: BTreeSet<String>,
    /// What a verdict was given on is not counted again when the template is tried again.
    counted: Crashes,
    /// The verdict, with the version of the revision on which it is not seen yet.
    judged: Option<(Option<String>, Verdict, Option<String>)>,
}

/// Crashes of a template's servers.
#[derive(Clone, Default)]
struct Crashes {
    /// Restarts of those that are there, by uid.
    restarts: BTreeMap<String, u32>,
    given_up: usize,
}

impl Crashes {
    fn since(&self, counted: &Self) -> u32 {
        let before = |uid: &String| counted.restarts.get(uid).copied().unwrap_or(0);
        let restarts = self.restarts.iter().map(|(uid, restarts)| restarts.saturating_sub(before(uid)));
        restarts.sum::<u32>() + count(self.given_up.saturating_sub(counted.given_up))
    }
}

/// Where a change of the template stands, and what follows.
pub(super) struct Stand {
    pub(super) revisions: Revisions,
    pub(super) course: Course,
    /// Why it was rejected.
    pub(super) rejection: Option<String>,
    /// Why what came of it could not be kept.
    pub(super) unkept: Option<Error>,
}

impl Stand {
    /// The template that servers are to have.
    pub(super) fn target(&self) -> &Revision {
        let Self { revisions, course, .. } = self;
        let proven = if course.goes_back { revisions.proven() } else { None };
        proven.unwrap_or(&revisions.wanted)
    }

    /// What is missing beside a template that is on trial is made from this one.
    pub(super) fn proven(&self) -> &Revision {
        let wanted = &self.revisions.wanted;
        let other = if wanted.verdict == Some(Verdict::Proven) { None } else { self.revisions.proven() };
        other.unwrap_or(wanted)
    }
}

/// Looks at the Fleet's servers, and keeps what comes of it.
pub(super) async fn look(
    context: &Context,
    fleet: &Fleet,
    revisions: Revisions,
    members: &[Member],
    desired: u32,
) -> Stand {
    let uid = fleet.uid().unwrap_or_default();
    let mut remembered = context.trials.recall(&uid, &revisions.wanted.id);
    let wanted = &revisions.wanted;
    // What was written may not have been brought by the watch yet.
    remembered.judged = remembered.judged.filter(|(version, ..)| *version == wanted.version());
    let (verdict, rejection) = match &remembered.judged {
        Some((_, verdict, reason)) => (Some(*verdict), reason.clone()),
        None => (wanted.verdict, wanted.reason().map(str::to_owned)),
    };
    let servers = of_revision(members, &wanted.id);
    if verdict == Some(Verdict::Proven) {
        remembered = Remembered { judged: remembered.judged, ..Remembered::of(&wanted.id) };
    } else {
        remembered.note(&servers);
    }
    let crashes = Crashes { restarts: restarts(&servers), given_up: remembered.given_up.len() };
    let seen = (crashes.since(&remembered.counted), count(remembered.ever_ready.len()));
    let view = TrialView { verdict, ..view(fleet, &revisions, members, (desired, seen)) };
    let (next, course) = trial::look(remembered.trial, &view, context.clock.elapsed());
    let failure = course.failure.map(|failure| failure.to_string());
    note_course(context, fleet, &wanted.name(), (&course, failure.as_deref().or(rejection.as_deref())));
    let kept = match course.verdict {
        Some(verdict) => wanted.judge(context, verdict, failure.as_deref()).await,
        None if course.canary_passed => wanted.pass_canary(context).await.map(|()| true),
        None => Ok(true),
    };
    // What could not be kept is decided again.
    if matches!(kept, Ok(true)) {
        remembered.trial = next;
        if let Some(verdict) = course.verdict {
            remembered.judged = Some((wanted.version(), verdict, failure.clone()));
        }
        if [verdict, course.verdict].contains(&Some(Verdict::Rejected)) {
            remembered.counted = crashes;
        }
    }
    context.trials.remember(uid, remembered);
    Stand { revisions, course, rejection: failure.or(rejection), unkept: kept.err() }
}

/// How far it goes, and how it is judged.
fn note_course(context: &Context, fleet: &Fleet, template: &str, (course, failure): (&Course, Option<&str>)) {
    let judged = course.verdict.map(|verdict| format!(", {verdict:?}")).unwrap_or_default();
    let back = if course.goes_back { ", back to the last proven template" } else { "" };
    let decided = format!("{:?}{judged}{back}", course.phase);
    let why =
        failure.map_or_else(|| format!("template {template}"), |why| format!("template {template}: {why}"));
    context.journal.note(Of::Rollout, name_of(fleet), decided, why);
}

impl Remembered {
    /// Nothing yet of this template.
    fn of(revision: &str) -> Self {
        Self { revision: revision.to_owned(), ..Self::default() }
    }

    /// What its servers have come to.
    fn note(&mut self, servers: &[&Member]) {
        let room = |of: &BTreeSet<String>| SERVERS_MAX.saturating_sub(of.len());
        let uids = |is: fn(&Member) -> bool| {
            servers.iter().filter(move |member| is(member)).filter_map(|member| member.object.uid())
        };
        let (given_up, ready) = (room(&self.given_up), room(&self.ever_ready));
        self.given_up.extend(uids(Member::has_failed).take(given_up));
        self.ever_ready.extend(uids(|member| member.observed.state == State::Ready).take(ready));
    }
}

impl Trials {
    /// What is remembered of the trial of this template; of another one nothing.
    fn recall(&self, fleet: &str, revision: &str) -> Remembered {
        let trials = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let same = trials.get(fleet).filter(|remembered| remembered.revision == revision);
        same.cloned().unwrap_or_else(|| Remembered::of(revision))
    }

    fn remember(&self, fleet: String, remembered: Remembered) {
        let mut trials = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if trials.len() >= REMEMBERED_MAX && !trials.contains_key(&fleet) {
            trials.clear();
        }
        trials.insert(fleet, remembered);
    }
}

fn of_revision<'a>(members: &'a [Member], revision: &str) -> Vec<&'a Member> {
    members.iter().filter(|member| member.is_of(revision)).collect()
}

fn view(
    fleet: &Fleet,
    revisions: &Revisions,
    members: &[Member],
    (desired, (crashes, ever_ready)): (u32, (u32, u32)),
) -> TrialView {
    let strategy = fleet.spec.strategy.as_ref();
    let old = || {
        let alive = members.iter().filter(|member| !member.is_ending());
        alive.filter(|member| !member.is_of(&revisions.wanted.id))
    };
    // Who is not heard is not known to be in use, so nobody says that only such are left.
    let is_in_use = |member: &&Member| member.observed.heard() && member.observed.in_use();
    let in_use = count(old().filter(is_in_use).count());
    TrialView {
        desired,
        rolls: rollout(fleet, desired) != Rollout::OnDelete,
        is_paused: strategy.is_some_and(|strategy| strategy.paused),
        canary: strategy.and_then(|strategy| canary(strategy, desired)),
        gates: strategy.and_then(|strategy| strategy.gates.as_ref()).map(gates),
        verdict: revisions.wanted.verdict,
        has_proven: revisions.proven().is_some(),
        canary_passed: revisions.wanted.canary_passed,
        conduct: Conduct {
            crashes,
            ever_ready,
            ..conduct(&serving(&of_revision(members, &revisions.wanted.id)))
        },
        old_free: count(old().count()) - in_use,
        old_in_use: in_use,
    }
}

/// Who goes first.
fn canary(strategy: &Strategy, desired: u32) -> Option<Canary> {
    if let Some(BlueGreen { seconds: time, promotion }) = blue_green(strategy) {
        let by_hand = promotion == Promotion::Manual;
        return Some(Canary { servers: desired, time: seconds(time), is_beside: true, by_hand });
    }
    strategy.canary.as_ref().map(|canary| Canary {
        servers: part(&canary.servers, desired, Rounds::Up).max(1),
        time: seconds(canary.seconds),
        is_beside: false,
        by_hand: false,
    })
}

/// When old servers give way to those beside them, where that is the strategy.
fn blue_green(strategy: &Strategy) -> Option<BlueGreen> {
    let is_meant = strategy.type_ == StrategyType::BlueGreen;
    is_meant.then(|| strategy.blue_green.clone().unwrap_or_default())
}

/// Those that have not been told to go.
fn serving<'a>(servers: &[&'a Member]) -> Vec<&'a Member> {
    servers.iter().copied().filter(|member| !member.is_ending() && !member.is_draining()).collect()
}

fn restarts(servers: &[&Member]) -> BTreeMap<String, u32> {
    let of = |member: &Member| Some((member.object.uid()?, member.restarts()));
    serving(servers).into_iter().filter_map(of).collect()
}

/// What the servers of a template do that serve: how many they are, and figures of those that are Ready.
fn conduct(serving: &[&Member]) -> Conduct {
    let ready: Vec<_> = serving.iter().filter(|member| member.observed.state == State::Ready).collect();
    let (mut ticks, mut conduct) = (gameserver_contract::Histogram::default(), Conduct::default());
    for live in ready.iter().filter_map(|member| member.observed.live.as_ref()) {
        ticks.merge(&live.tick_us);
        conduct.inputs += live.input_latency_us.count();
        conduct.rejects += live.growth.rejects;
        conduct.joins += live.growth.joins;
        conduct.refused += live.growth.refused;
    }
    Conduct {
        alive: count(serving.len()),
        ready: count(ready.len()),
        ticks: ticks.count(),
        tick_p99: ticks.quantile(gameserver_contract::TICK_QUANTILE).map(Duration::from_micros),
        ..conduct
    }
}

fn gates(gates: &Gates) -> trial::Gates {
    let most = |most: Option<i32>| most.and_then(|most| u32::try_from(most).ok());
    trial::Gates {
        progress: seconds(gates.progress_deadline_seconds),
        tick_p99: most(gates.tick_p99_milliseconds).map(|most| Duration::from_millis(most.into())),
        crashes: most(gates.crashes),
        rejects_percent: most(gates.rejects_percent),
        join_failures_percent: most(gates.join_failures_percent),
        rolls_back: gates.on_failure == OnFailure::Rollback,
    }
}

/// How a change of the template is carried out, in servers.
pub(super) fn rollout(fleet: &Fleet, desired: u32) -> Rollout {
    let Some(strategy) = &fleet.spec.strategy else { return Rollout::OnDelete };
    match strategy.type_ {
        StrategyType::OnDelete => Rollout::OnDelete,
        StrategyType::Recreate => Rollout::Recreate,
        // what keeps old ones is the trial
        StrategyType::BlueGreen => Rollout::Rolling { surge: desired.max(1), unavailable: 0 },
        StrategyType::RollingUpdate => {
            let surge = part(&strategy.rolling_update.max_surge, desired, Rounds::Up);
            let unavailable = part(&strategy.rolling_update.max_unavailable, desired, Rounds::Down);
            // percent of a few may be nothing, and something must move
            let unavailable = if surge == 0 { unavailable.max(1) } else { unavailable };
            Rollout::Rolling { surge, unavailable }
        }
    }
}

#[derive(Clone, Copy)]
enum Rounds {
    Up,
    Down,
}

/// A number of servers, or percent of those wanted.
fn part(of: &IntOrString, desired: u32, rounds: Rounds) -> u32 {
    let percent = |text: &str| text.strip_suffix('%')?.parse::<u32>().ok();
    match (of, rounds) {
        (IntOrString::Int(count), _) => u32::try_from(*count).unwrap_or(0),
        // at most 100 of 10 000
        (IntOrString::String(text), rounds) => {
            let more = if matches!(rounds, Rounds::Up) { 99 } else { 0 };
            (desired * percent(text).unwrap_or(0).min(100) + more) / 100
        }
    }
}

fn seconds(seconds: i32) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

fn count(servers: usize) -> u32 {
    u32::try_from(servers).unwrap_or(u32::MAX)
}

/// Where it stands, as the condition says it: the reason, and for people what is the case and what to do.
pub(super) fn describe(fleet: &Fleet, stand: &Stand, members: &[Member]) -> (&'static str, String) {
    let Stand { revisions, course, rejection, unkept: _ } = stand;
    let (name, template) = (fleet.name_any(), revisions.wanted.name());
    let new = of_revision(members, &revisions.wanted.id).iter().filter(|member| !member.is_ending()).count();
    let old = members.iter().filter(|member| !member.is_ending()).count() - new;
    let rejected = || {
        let why = rejection.as_deref().unwrap_or("nobody said why");
        format!("template {template} was rejected: {why}")
    };
    let parent = fleet.labels().get(labels::PARENT);
    let change = match parent {
        Some(parent) => format!("change the template of {parent} at its home"),
        None => "change the template".to_owned(),
    };
    let again = format!("{change}, or try it again by `operator rollout retry {name}`");
    let resume = match parent {
        Some(parent) => format!("go on by `operator rollout resume {parent}` at its home"),
        None => format!("go on by `operator rollout resume {name}`"),
    };
    match course.phase {
        Phase::Done => (reasons::AS_SPECIFIED, format!("all game servers are of template {template}")),
        Phase::OnDelete => (
            reasons::ON_DELETE,
            format!("{old} game servers are of earlier templates than {template}, and stay until they end"),
        ),
        Phase::Canary | Phase::AwaitsPromotion => first(fleet, course, (&template, new)),
        Phase::Rolling => (
            reasons::ROLLING_OUT,
            format!(
                "{new} game servers are of template {template}; {old} of earlier ones give way, those in use when they end"
            ),
        ),
        Phase::WaitingForPlayers => (
            reasons::WAITING_FOR_PLAYERS,
            format!(
                "{old} game servers of earlier templates than {template} are in use, and go when they end"
            ),
        ),
        Phase::Proving => (
            reasons::PROVING,
            format!(
                "all game servers that are not in use are of template {template}; it is proven if no gate fails for {} s",
                trial::PROVING.as_secs()
            ),
        ),
        Phase::Paused => (
            reasons::PAUSED,
            format!(
                "paused, with {new} game servers of template {template} and {old} of earlier ones; {resume}"
            ),
        ),
        Phase::RolledBack => (
            reasons::ROLLED_BACK,
            format!("{}; servers are made from {} again; {again}", rejected(), stand.target().name()),
        ),
        Phase::GateFailed => (reasons::GATE_FAILED, format!("{}; nothing moves; {again}", rejected())),
    }
}

/// How the servers stand that go first.
fn first(fleet: &Fleet, course: &Course, (template, new): (&str, usize)) -> (&'static str, String) {
    let strategy = fleet.spec.strategy.as_ref();
    let most = course.most.unwrap_or_default();
    let name = fleet.name_any();
    match strategy.and_then(blue_green) {
        Some(_) if course.phase == Phase::AwaitsPromotion => (
            reasons::AWAITS_PROMOTION,
            format!(
                "{new} game servers of template {template} are ready beside the earlier ones, which give way by `operator rollout promote {name}`"
            ),
        ),
        Some(BlueGreen { seconds, .. }) => (
            reasons::PREVIEW_RUNS,
            format!(
                "{new} of {most} game servers of template {template} are there beside the earlier ones; these have to be ready for {seconds} s"
            ),
        ),
        None => {
            let seconds =
                strategy.and_then(|strategy| strategy.canary.as_ref()).map_or(0, |canary| canary.seconds);
            (
                reasons::CANARY_RUNS,
                format!(
                    "{new} of {most} canary servers of template {template} are there; the others follow when these have been ready for {seconds} s"
                ),
            )
        }
    }
}

/// Its template was rejected, as it says.
pub(super) fn is_rejected(fleet: &Fleet) -> bool {
    let mut conditions = fleet.status.iter().flat_map(|status| &status.conditions);
    conditions.any(|condition| {
        condition.type_ == types::ROLLED_OUT && REJECTED.contains(&condition.reason.as_str())
    })
}

/// Tells when it stands elsewhere than it was last said to.
pub(super) async fn announce(context: &Context, fleet: &Fleet, old: &FleetStatus, new: &FleetStatus) {
    let told = |status: &FleetStatus| {
        let found = status.conditions.iter().find(|condition| condition.type_ == types::ROLLED_OUT);
        found.map(|condition| (condition.reason.clone(), condition.message.clone()))
    };
    let (Some((before, _)), Some((reason, message))) = (told(old), told(new)) else { return };
    if before == reason {
        return;
    }
    let type_ = if REJECTED.contains(&reason.as_str()) { EventType::Warning } else { EventType::Normal };
    let reason = if reason == reasons::AS_SPECIFIED { types::ROLLED_OUT.to_owned() } else { reason };
    // No two changes are of one version of the Fleet, so each is an Event of its own.
    let changed = ObjectReference { resource_version: fleet.resource_version(), ..fleet.object_ref(&()) };
    context.event_of_change(&fleet.object_ref(&()), changed, (type_, &reason, message)).await;
}
