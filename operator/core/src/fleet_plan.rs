//! What to do so that a Fleet has as many game servers as it asks for.
//!
//! Rules: what is in use is never drained by scaling; what is not is drained first and deleted only after its
//! acknowledgement and only while nobody is on it; a server that nobody has heard counts as in use and as unavailable;
//! a leader that has not heard its servers yet deletes nothing. Numbers are the lowest free ones, so that a create
//! whose answer was lost is repeated under the same name and never doubles. A change of the template takes no server away of
//! which Ready ones and ones in use would fall below what the Fleet allows (B22, C21).

use std::collections::BTreeSet;

use crate::server_state::State;

/// A game server of the Fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each named by the rule that reads it")]
pub struct ServerView {
    /// Number in its name.
    pub number: u32,
    /// Where it stands.
    pub state: State,
    /// Players, or a promise to some.
    pub in_use: bool,
    /// A report stream is up, so that `in_use` is known.
    pub heard: bool,
    /// Deletion has been asked for.
    pub deleting: bool,
    /// The drain that was ordered is complete.
    pub drained: bool,
    /// This leader ordered the drain and has not taken it back.
    pub drain_ordered: bool,
    /// Its published state says that it drains, so that whoever counts servers there counts it no more.
    pub seen_draining: bool,
    /// It was made from the template that servers are to have.
    pub updated: bool,
    /// It was made from the last proven template.
    pub proven: bool,
}

impl ServerView {
    /// Whether it counts for players: they are on it, or could come.
    fn is_available(&self) -> bool {
        let may_have_players = self.in_use && (self.heard || self.state != State::Starting);
        may_have_players || (self.heard && self.state == State::Ready && !self.drain_ordered)
    }
}

/// How servers that were made from an earlier template give way. What is in use does not; it ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rollout {
    /// They stay; the template is for servers made from then on.
    OnDelete,
    /// All of them go, and new ones come when they are gone.
    Recreate,
    /// New ones come while old ones go.
    Rolling {
        /// That many more than are wanted at most, old ones in use included.
        surge: u32,
        /// Ready ones and ones in use are no fewer than what is wanted less this, by what the rollout takes away.
        unavailable: u32,
    },
}

/// What the Fleet asks for and has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetView<'a> {
    /// Servers wanted.
    pub desired: u32,
    /// Servers that exist, in any order, those being deleted included.
    pub servers: &'a [ServerView],
    /// Numbers whose names are taken by something else, such as a pod that still ends.
    pub names_taken: &'a BTreeSet<u32>,
    /// Every server that was known has been heard, or long enough was waited for it.
    pub settled_in: bool,
    /// How a change of the template is carried out.
    pub rollout: Rollout,
    /// Most servers of the template that they are to have; what is missing beyond that is made from the last proven one. None: all.
    pub most: Option<u32>,
    /// No server gives way to another template.
    pub stands_still: bool,
    /// In a rolling update no proven one does that is not beyond those wanted; new ones come beside them.
    pub holds_old: bool,
}

impl FleetView<'_> {
    fn is_old(&self, server: &ServerView) -> bool {
        self.rollout != Rollout::OnDelete && !server.updated
    }

    /// Servers that are to be there for players at every moment, as far as what is taken away goes.
    fn floor(&self) -> usize {
        count(match self.rollout {
            Rollout::OnDelete | Rollout::Recreate => 0,
            Rollout::Rolling { .. } if self.holds_old => self.desired,
            Rollout::Rolling { unavailable, .. } => self.desired.saturating_sub(unavailable),
        })
    }

    fn holds_old(&self) -> bool {
        self.holds_old && matches!(self.rollout, Rollout::Rolling { .. })
    }

    /// Servers that are to be of the template.
    fn new_wanted(&self) -> usize {
        count(self.most.map_or(self.desired, |most| most.min(self.desired)))
    }
}

fn count(servers: u32) -> usize {
    usize::try_from(servers).unwrap_or(usize::MAX)
}

/// Most objects that one plan creates or deletes; the rest follows at once in the next.
pub const BATCH_MAX: usize = 64;

/// What to do now. Numbers are those of the servers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FleetPlan {
    /// Servers to create.
    pub create: Vec<u32>,
    /// Servers to create from the last proven template.
    pub create_proven: Vec<u32>,
    /// Servers to tell that they shall take no new players.
    pub drain: Vec<u32>,
    /// Servers to tell that they are wanted again.
    pub undrain: Vec<u32>,
    /// Servers to delete.
    pub delete: Vec<u32>,
    /// Servers that would go if they were not in use or unheard.
    pub waiting: u32,
    /// Servers of an earlier template that give way, those that drain already and those in use included.
    pub old: u32,
    /// Servers of an earlier template that nobody relies on any more: they are to take nothing new.
    pub outdated: Vec<u32>,
    /// The batch limit cut the plan: plan again when it is carried out.
    pub partial: bool,
}

impl FleetPlan {
    /// It is to go.
    fn ends(&self, server: &ServerView) -> bool {
        self.drain.contains(&server.number) || self.delete.contains(&server.number)
    }
}

/// Plans for one Fleet.
pub fn plan_fleet(fleet: &FleetView<'_>) -> FleetPlan {
    let mut plan = FleetPlan::default();
    let alive = |server: &&ServerView| is_alive(server);
    let mut serving: Vec<&ServerView> =
        fleet.servers.iter().filter(alive).filter(|server| !is_draining(server)).collect();
    let mut draining: Vec<&ServerView> =
        fleet.servers.iter().filter(alive).filter(|s| is_draining(s)).collect();
    // Last made goes first, an old one before a new one, while it is not proven the other way round; what has not started costs nobody
    // anything.
    let goes_first = |server: &&ServerView| fleet.is_old(server) != (fleet.stands_still || fleet.holds_old());
    serving.sort_by_key(|server| (server.state == State::Starting, goes_first(server), server.number));
    draining.sort_by_key(|server| (server.drained, server.number));

    plan.delete.extend(unhealthy(fleet));
    let places = Places::of(fleet, &serving, &draining);
    plan.old = u32::try_from(places.old).unwrap_or(u32::MAX);
    let again = |is_wanted: &dyn Fn(&ServerView) -> bool, missing: usize| {
        let wanted = draining.iter().filter(|server| is_wanted(server));
        wanted.take(missing).map(|server| server.number).collect::<Vec<_>>()
    };
    let new = again(&|server| !fleet.is_old(server), places.missing);
    let proven = again(&|server| fleet.is_old(server) && server.proven, places.missing_proven);
    let create = places.missing - new.len();
    let create_proven = places.missing_proven - proven.len();
    plan.partial |= create + create_proven > BATCH_MAX;
    let mut numbers = free_numbers(fleet).take(BATCH_MAX);
    plan.create = numbers.by_ref().take(create).collect();
    plan.create_proven = numbers.take(create_proven).collect();
    plan.undrain = [new, proven].concat();
    draining.retain(|server| !plan.undrain.contains(&server.number));
    // what is held is not what new ones are too many by
    let may_go: Vec<&ServerView> =
        serving.iter().copied().filter(|server| !(fleet.holds_old() && fleet.is_old(server))).collect();
    release_surplus(&mut plan, &may_go, places.surplus, fleet.settled_in);
    replace_old(&mut plan, fleet, &serving);
    plan.outdated = outdated(fleet);
    for server in draining {
        if server.drained && !server.in_use && fleet.settled_in {
            plan.delete.push(server.number);
        } else if !server.drain_ordered {
            // Ordered by an earlier leader: confirm it, so that this one hears the acknowledgement.
            plan.drain.push(server.number);
        }
    }
    if plan.delete.len() > BATCH_MAX {
        plan.delete.truncate(BATCH_MAX);
        plan.partial = true;
    }
    plan
}

/// How many servers there may be, and are not, or are beyond that.
struct Places {
    missing: usize,
    /// Of the last proven template.
    missing_proven: usize,
    surplus: usize,
    old: usize,
}

impl Places {
    /// As many new ones as are to come, beside as many proven ones as are wanted, whatever is left of other templates.
    fn beside(fleet: &FleetView<'_>, serving: &[&ServerView], old: usize) -> Self {
        let (wanted, new) = (count(fleet.desired), fleet.new_wanted());
        let updated = serving.iter().filter(|server| !fleet.is_old(server)).count();
        let proven = serving.iter().filter(|server| fleet.is_old(server) && server.proven).count();
        Self {
            missing: new.saturating_sub(updated),
            missing_proven: wanted.saturating_sub(proven),
            surplus: updated.saturating_sub(new),
            old,
        }
    }

    fn of(fleet: &FleetView<'_>, serving: &[&ServerView], draining: &[&ServerView]) -> Self {
        let count_old =
            |servers: &[&ServerView]| servers.iter().filter(|server| fleet.is_old(server)).count();
        let (wanted, new) = (count(fleet.desired), fleet.new_wanted());
        let (old, old_draining) = (count_old(serving), count_old(draining));
        if fleet.holds_old() {
            return Self::beside(fleet, serving, old + old_draining);
        }
        let updated = serving.len() - old;
        let (room, taken) = match fleet.rollout {
            // new ones come in the places of those that are gone
            Rollout::Recreate if !fleet.stands_still => (wanted, serving.len() + old_draining),
            Rollout::OnDelete | Rollout::Recreate => (wanted, serving.len()),
            Rollout::Rolling { surge, .. } => {
                let more = if old > 0 { count(surge) } else { 0 };
                // one that drains gives its place free when everybody can see that it does; one that is not heard may never say so
                let unseen = draining.iter().filter(|server| server.heard && !server.seen_draining).count();
                (wanted.saturating_add(more), serving.len() + unseen)
            }
        };
        let missing = match fleet.rollout {
            Rollout::OnDelete => wanted.saturating_sub(taken),
            _ => new.saturating_sub(updated).min(room.saturating_sub(taken)),
        };
        // where all are to be of the template, these are none
        let missing_proven = wanted.saturating_sub(taken + missing);
        Self { missing, missing_proven, surplus: serving.len().saturating_sub(room), old: old + old_draining }
    }
}

/// Lets old servers go of which enough others are there.
fn replace_old(plan: &mut FleetPlan, fleet: &FleetView<'_>, serving: &[&ServerView]) {
    if fleet.rollout == Rollout::OnDelete || fleet.stands_still && !fleet.holds_old() {
        return;
    }
    let old = serving.iter().rev().filter(|server| fleet.is_old(server) && !plan.ends(server));
    let old: Vec<&ServerView> = old.copied().collect();
    let proven = old.iter().filter(|server| server.proven).count();
    let (mut may_go, mut proven_may_go) = if fleet.holds_old() {
        (old.len(), proven.saturating_sub(count(fleet.desired)))
    } else {
        // as many stay as are not to be of the template
        let updated = serving.iter().filter(|server| !fleet.is_old(server)).count();
        let stay = count(fleet.desired).saturating_sub(updated.max(fleet.new_wanted()));
        (old.len().saturating_sub(stay), proven)
    };
    let mut leave = Leave::of(plan, fleet);
    for server in old {
        if may_go == 0 {
            break;
        }
        if (server.proven && proven_may_go == 0) || !leave.take(plan, server) {
            continue;
        }
        may_go -= 1;
        proven_may_go -= usize::from(server.proven);
    }
}

/// Servers go as long as enough others are there.
struct Leave {
    available: usize,
    floor: usize,
    settled_in: bool,
}

impl Leave {
    fn of(plan: &FleetPlan, fleet: &FleetView<'_>) -> Self {
        let stays = fleet.servers.iter().filter(|server| is_alive(server) && !plan.ends(server));
        let available = stays.filter(|server| server.is_available()).count();
        Self { available, floor: fleet.floor(), settled_in: fleet.settled_in }
    }

    /// Lets this one go if it may; answers whether it does.
    fn take(&mut self, plan: &mut FleetPlan, server: &ServerView) -> bool {
        if server.state == State::Starting && !server.heard {
            if self.settled_in {
                plan.delete.push(server.number);
            }
            return self.settled_in;
        }
        let counts = usize::from(server.is_available());
        let may_go = server.heard && !server.in_use && (counts == 0 || self.available > self.floor);
        if may_go {
            plan.drain.push(server.number);
            self.available -= counts;
        }
        may_go
    }
}

/// Old ones on which nobody relies: neither those that are to stay as they are, nor, while too few of the template are there, as many others as
/// there have to be, free ones first.
fn outdated(fleet: &FleetView<'_>) -> Vec<u32> {
    let some_stay = fleet.stands_still || fleet.holds_old() || fleet.most.is_some();
    let floor = if some_stay { count(fleet.desired) } else { fleet.floor() };
    let (mut old, updated): (Vec<&ServerView>, Vec<_>) =
        fleet.servers.iter().filter(|server| !server.deleting).partition(|server| fleet.is_old(server));
    let there = updated.iter().filter(|server| is_alive(server) && server.is_available()).count();
    let mut relied_on = floor.saturating_sub(there);
    old.sort_by_key(|server| (server.in_use, !server.proven, server.number));
    old.retain(|server| {
        let is_relied_on = is_alive(server) && server.is_available() && relied_on > 0;
        relied_on -= usize::from(is_relied_on);
        !(is_relied_on || some_stay && server.proven)
    });
    let mut numbers: Vec<u32> = old.into_iter().map(|server| server.number).collect();
    numbers.sort_unstable();
    numbers
}

fn is_alive(server: &ServerView) -> bool {
    !server.deleting && server.state != State::Unhealthy
}

fn is_draining(server: &ServerView) -> bool {
    server.state == State::Draining || server.drain_ordered
}

fn unhealthy(fleet: &FleetView<'_>) -> Vec<u32> {
    let given_up = |server: &&ServerView| !server.deleting && server.state == State::Unhealthy;
    fleet.servers.iter().filter(given_up).map(|server| server.number).collect()
}

/// Lets `surplus` servers go: those that never started are deleted, those that are free are drained, the rest waits.
fn release_surplus(plan: &mut FleetPlan, serving: &[&ServerView], surplus: usize, settled_in: bool) {
    let (mut left, mut held) = (surplus, 0);
    for server in serving.iter().rev() {
        if left == 0 {
            break;
        }
        match server.state {
            // It goes once that is sure, and until then none that players can use goes in its place.
            State::Starting if !settled_in => {
                held += 1;
                left -= 1;
            }
            // Without its key, which comes over the stream, it cannot have let anybody in.
            State::Starting if !server.heard => {
                plan.delete.push(server.number);
                left -= 1;
            }
            _ if server.heard && !server.in_use => {
                plan.drain.push(server.number);
                left -= 1;
            }
            _ => {}
        }
    }
    plan.waiting = u32::try_from(left + held).unwrap_or(u32::MAX);
}

fn free_numbers(fleet: &FleetView<'_>) -> impl Iterator<Item = u32> {
    let mut taken = fleet.names_taken.clone();
    taken.extend(fleet.servers.iter().map(|server| server.number));
    (0..).filter(move |number| !taken.contains(number))
}

#[cfg(test)]
mod tests;
