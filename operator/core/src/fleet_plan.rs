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
    /// It was made from the template as it is now.
    pub updated: bool,
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
}

impl FleetView<'_> {
    fn is_old(&self, server: &ServerView) -> bool {
        self.rollout != Rollout::OnDelete && !server.updated
    }
}

/// Most objects that one plan creates or deletes; the rest follows at once in the next.
pub const BATCH_MAX: usize = 64;

/// What to do now. Numbers are those of the servers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FleetPlan {
    /// Servers to create.
    pub create: Vec<u32>,
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
    /// The batch limit cut the plan: plan again when it is carried out.
    pub partial: bool,
}

/// Plans for one Fleet.
pub fn plan_fleet(fleet: &FleetView<'_>) -> FleetPlan {
    let mut plan = FleetPlan::default();
    let alive = |server: &&ServerView| !server.deleting && server.state != State::Unhealthy;
    let mut serving: Vec<&ServerView> =
        fleet.servers.iter().filter(alive).filter(|server| !is_draining(server)).collect();
    let mut draining: Vec<&ServerView> =
        fleet.servers.iter().filter(alive).filter(|s| is_draining(s)).collect();
    // Last made goes first, an old one before a new one; what has not started costs nobody anything.
    serving.sort_by_key(|server| (server.state == State::Starting, fleet.is_old(server), server.number));
    draining.sort_by_key(|server| (server.drained, server.number));

    plan.delete.extend(unhealthy(fleet));
    let places = Places::of(fleet, &serving, &draining);
    plan.old = u32::try_from(places.old).unwrap_or(u32::MAX);
    if places.missing > 0 {
        let wanted_again = |server: &&&ServerView| !fleet.is_old(server);
        plan.undrain =
            draining.iter().filter(wanted_again).take(places.missing).map(|server| server.number).collect();
        draining.retain(|server| !plan.undrain.contains(&server.number));
        let create = places.missing - plan.undrain.len();
        plan.partial |= create > BATCH_MAX;
        plan.create = free_numbers(fleet).take(create.min(BATCH_MAX)).collect();
    }
    release_surplus(&mut plan, &serving, places.surplus, fleet.settled_in);
    replace_old(&mut plan, fleet, &serving);
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
    surplus: usize,
    old: usize,
}

impl Places {
    fn of(fleet: &FleetView<'_>, serving: &[&ServerView], draining: &[&ServerView]) -> Self {
        let count_old =
            |servers: &[&ServerView]| servers.iter().filter(|server| fleet.is_old(server)).count();
        let wanted = usize::try_from(fleet.desired).unwrap_or(usize::MAX);
        let (old, old_draining) = (count_old(serving), count_old(draining));
        let (room, missing) = match fleet.rollout {
            Rollout::OnDelete => (wanted, wanted.saturating_sub(serving.len())),
            // new ones come in the places of those that are gone
            Rollout::Recreate => (wanted, wanted.saturating_sub(serving.len() + old_draining)),
            Rollout::Rolling { surge, .. } => {
                let more = if old > 0 { usize::try_from(surge).unwrap_or(usize::MAX) } else { 0 };
                let room = wanted.saturating_add(more);
                let updated = serving.len() - old;
                (room, wanted.saturating_sub(updated).min(room.saturating_sub(serving.len())))
            }
        };
        Self { missing, surplus: serving.len().saturating_sub(room), old: old + old_draining }
    }
}

/// Lets old servers go of which enough others are there.
fn replace_old(plan: &mut FleetPlan, fleet: &FleetView<'_>, serving: &[&ServerView]) {
    let floor = match fleet.rollout {
        Rollout::OnDelete => return,
        Rollout::Recreate => 0,
        Rollout::Rolling { unavailable, .. } => fleet.desired.saturating_sub(unavailable),
    };
    let floor = usize::try_from(floor).unwrap_or(usize::MAX);
    let goes = |plan: &FleetPlan, server: &ServerView| {
        plan.drain.contains(&server.number) || plan.delete.contains(&server.number)
    };
    let stays = fleet.servers.iter().filter(|server| !server.deleting && server.state != State::Unhealthy);
    let mut available = stays.filter(|server| server.is_available() && !goes(plan, server)).count();
    let old = serving.iter().rev().filter(|server| fleet.is_old(server));
    for server in old.filter(|server| !goes(plan, server)).collect::<Vec<_>>() {
        if server.state == State::Starting && !server.heard {
            if fleet.settled_in {
                plan.delete.push(server.number);
            }
        } else if server.heard && !server.in_use {
            let counts = usize::from(server.is_available());
            if counts == 0 || available > floor {
                plan.drain.push(server.number);
                available -= counts;
            }
        }
    }
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
mod tests {
    use super::*;

    fn server(number: u32, state: State) -> ServerView {
        ServerView {
            number,
            state,
            in_use: false,
            heard: state != State::Starting,
            deleting: false,
            drained: false,
            drain_ordered: state == State::Draining,
            updated: true,
        }
    }

    fn old(number: u32, state: State) -> ServerView {
        ServerView { updated: false, ..server(number, state) }
    }

    fn used(number: u32) -> ServerView {
        ServerView { in_use: true, ..server(number, State::Ready) }
    }

    fn plan(desired: u32, servers: &[ServerView]) -> FleetPlan {
        plan_by(Rollout::OnDelete, desired, servers)
    }

    fn plan_by(rollout: Rollout, desired: u32, servers: &[ServerView]) -> FleetPlan {
        plan_fleet(&FleetView { desired, servers, names_taken: &BTreeSet::new(), settled_in: true, rollout })
    }

    #[test]
    fn a_settled_fleet_plans_nothing() {
        for servers in [vec![], vec![server(0, State::Ready), used(1)], vec![server(0, State::Starting)]] {
            let desired = u32::try_from(servers.len()).unwrap();
            assert_eq!(plan(desired, &servers), FleetPlan::default(), "{servers:?}");
        }
    }

    #[test]
    fn missing_servers_get_the_lowest_free_numbers() {
        assert_eq!(plan(3, &[]).create, [0, 1, 2]);
        assert_eq!(plan(3, &[server(1, State::Ready)]).create, [0, 2]);
        let deleting = ServerView { deleting: true, ..server(0, State::Ready) };
        assert_eq!(plan(1, &[deleting]).create, [1], "a name is free only when its object is gone");
        let names_taken = BTreeSet::from([0, 2]);
        let rollout = Rollout::OnDelete;
        let fleet =
            FleetView { desired: 2, servers: &[], names_taken: &names_taken, settled_in: true, rollout };
        assert_eq!(plan_fleet(&fleet).create, [1, 3], "nor while a pod of that name still ends");
    }

    #[test]
    fn what_is_given_up_is_deleted_and_replaced_in_one_plan() {
        let planned = plan(2, &[server(0, State::Ready), server(1, State::Unhealthy)]);
        assert_eq!((planned.delete, planned.create), (vec![1], vec![2]));
    }

    #[test]
    fn a_recovering_server_is_not_replaced() {
        assert_eq!(plan(1, &[server(0, State::Recovering)]), FleetPlan::default());
    }

    #[test]
    fn free_servers_are_drained_last_made_first() {
        let planned = plan(1, &[server(0, State::Ready), server(1, State::Ready), server(2, State::Ready)]);
        assert_eq!((planned.drain, planned.delete, planned.waiting), (vec![2, 1], vec![], 0));
    }

    #[test]
    fn servers_in_use_are_never_drained() {
        let planned = plan(0, &[used(0), server(1, State::Ready), used(2)]);
        assert_eq!((planned.drain, planned.delete, planned.waiting), (vec![1], vec![], 2));
    }

    #[test]
    fn an_unheard_server_counts_as_in_use() {
        let silent = ServerView { heard: false, ..server(0, State::Recovering) };
        let planned = plan(0, &[silent]);
        assert_eq!((planned.drain, planned.delete, planned.waiting), (vec![], vec![], 1));
    }

    #[test]
    fn what_never_started_goes_first_and_at_once() {
        let planned = plan(1, &[server(0, State::Ready), server(1, State::Starting)]);
        assert_eq!((planned.drain, planned.delete), (vec![], vec![1]));
    }

    #[test]
    fn no_ready_server_goes_in_the_place_of_one_that_may_not_go_yet() {
        let mut servers: Vec<_> = (0..2).map(|number| server(number, State::Ready)).collect();
        servers.extend((2..5).map(|number| server(number, State::Starting)));
        for (desired, settled_in, drain, delete, waiting) in [
            (2, false, vec![], vec![], 3),
            (2, true, vec![], vec![4, 3, 2], 0),
            (1, false, vec![1], vec![], 3),
            (4, false, vec![], vec![], 1),
        ] {
            let planned = plan_fleet(&FleetView {
                desired,
                servers: &servers,
                names_taken: &BTreeSet::new(),
                settled_in,
                rollout: Rollout::OnDelete,
            });
            let found = (planned.drain, planned.delete, planned.waiting);
            assert_eq!(found, (drain, delete, waiting), "{desired}, settled in: {settled_in}");
        }
    }

    #[test]
    fn a_drained_server_is_deleted_only_after_its_acknowledgement() {
        assert_eq!(plan(0, &[server(0, State::Draining)]), FleetPlan::default());
        let drained = ServerView { drained: true, ..server(0, State::Draining) };
        assert_eq!(plan(0, std::slice::from_ref(&drained)).delete, [0]);
        let used = ServerView { in_use: true, ..drained };
        assert_eq!(plan(0, &[used]), FleetPlan::default(), "whatever was acknowledged once");
    }

    #[test]
    fn a_draining_server_is_taken_back_before_one_is_made() {
        let planned = plan(3, &[server(0, State::Ready), server(1, State::Draining)]);
        assert_eq!((planned.undrain, planned.create), (vec![1], vec![2]));
    }

    #[test]
    fn the_next_leader_confirms_a_drain_that_it_did_not_order() {
        let inherited = ServerView { drain_ordered: false, ..server(1, State::Draining) };
        let planned = plan(1, &[server(0, State::Ready), inherited]);
        assert_eq!((planned.drain, planned.undrain), (vec![1], vec![]));
    }

    #[test]
    fn an_ordered_drain_counts_before_the_server_says_so() {
        let ordered = ServerView { drain_ordered: true, ..server(1, State::Ready) };
        assert_eq!(plan(1, &[server(0, State::Ready), ordered]), FleetPlan::default());
    }

    #[test]
    fn a_fresh_leader_deletes_nothing_that_may_be_in_use() {
        let servers = [
            server(0, State::Starting),
            ServerView { heard: false, ..server(1, State::Ready) },
            ServerView { drained: true, ..server(2, State::Draining) },
        ];
        let fleet = FleetView {
            desired: 0,
            servers: &servers,
            names_taken: &BTreeSet::new(),
            settled_in: false,
            rollout: Rollout::OnDelete,
        };
        let planned = plan_fleet(&fleet);
        assert_eq!((planned.delete, planned.drain, planned.waiting), (vec![], vec![], 2));
    }

    #[test]
    fn large_plans_are_cut_into_batches() {
        let planned = plan(1000, &[]);
        assert_eq!((planned.create.len(), planned.partial), (BATCH_MAX, true));
        let many: Vec<_> = (0..100).map(|number| server(number, State::Unhealthy)).collect();
        let planned = plan(0, &many);
        assert_eq!((planned.delete.len(), planned.partial), (BATCH_MAX, true));
    }

    const ROLLING: Rollout = Rollout::Rolling { surge: 1, unavailable: 1 };

    #[test]
    fn on_delete_leaves_old_servers_as_they_are() {
        let servers = [old(0, State::Ready), old(1, State::Ready)];
        assert_eq!(plan_by(Rollout::OnDelete, 2, &servers), FleetPlan::default());
    }

    #[test]
    fn a_rolling_update_goes_as_far_as_surge_and_unavailable_let_it() {
        let ready = |number| server(number, State::Ready);
        let (old_ready, old_used) =
            (|number| old(number, State::Ready), |number| ServerView { updated: false, ..used(number) });
        for (case, rollout, servers, create, drain) in [
            (
                "one more and one less at first",
                ROLLING,
                vec![old_ready(0), old_ready(1), old_ready(2)],
                vec![3],
                vec![2],
            ),
            (
                "no further while the new one is not ready",
                ROLLING,
                vec![old_ready(0), old_ready(1), old(2, State::Draining), server(3, State::Starting)],
                vec![4],
                vec![],
            ),
            (
                "the next when it is",
                ROLLING,
                vec![old_ready(0), old_ready(1), old(2, State::Draining), ready(3)],
                vec![4],
                vec![1],
            ),
            (
                "none less",
                Rollout::Rolling { surge: 1, unavailable: 0 },
                vec![old_ready(0), old_ready(1), old_ready(2)],
                vec![3],
                vec![],
            ),
            (
                "none more",
                Rollout::Rolling { surge: 0, unavailable: 1 },
                vec![old_ready(0), old_ready(1), old_ready(2)],
                vec![],
                vec![2],
            ),
            (
                "what is in use stays and takes a place",
                ROLLING,
                vec![old_used(0), old_used(1), old_used(2)],
                vec![3],
                vec![],
            ),
            (
                "and no more come than one beyond",
                ROLLING,
                vec![old_used(0), old_used(1), old_used(2), ready(3)],
                vec![],
                vec![],
            ),
            ("it is done", ROLLING, vec![ready(3), ready(4), ready(5)], vec![], vec![]),
        ] {
            let planned = plan_by(rollout, 3, &servers);
            assert_eq!((planned.create, planned.drain, planned.delete), (create, drain, vec![]), "{case}");
        }
    }

    #[test]
    fn a_template_that_never_gets_ready_takes_no_more_than_may_be_unavailable() {
        let servers = [
            old(0, State::Ready),
            old(1, State::Ready),
            server(3, State::Starting),
            server(4, State::Starting),
        ];
        assert_eq!(plan_by(ROLLING, 3, &servers).drain, Vec::<u32>::new());
    }

    #[test]
    fn an_old_server_that_has_not_started_goes_at_once_and_a_drained_old_one_is_not_taken_back() {
        let planned =
            plan_by(ROLLING, 2, &[old(0, State::Ready), old(1, State::Starting), old(2, State::Draining)]);
        assert_eq!((planned.delete, planned.undrain, planned.create), (vec![1], vec![], vec![3]));
    }

    #[test]
    fn recreate_lets_all_go_that_are_free_and_makes_new_ones_in_the_places_of_those_that_are_gone() {
        let used = |number| ServerView { updated: false, ..used(number) };
        let planned = plan_by(Rollout::Recreate, 3, &[old(0, State::Ready), old(1, State::Ready), used(2)]);
        assert_eq!((planned.drain, planned.create), (vec![1, 0], vec![]));
        let planned = plan_by(Rollout::Recreate, 3, &[old(0, State::Draining), used(2)]);
        assert_eq!((planned.drain, planned.create), (vec![], vec![1]));
        assert_eq!(plan_by(Rollout::Recreate, 3, &[used(2)]).create, [0, 1]);
    }

    #[test]
    fn scaling_down_in_the_middle_takes_old_servers_first() {
        let servers =
            [server(3, State::Ready), old(0, State::Ready), server(4, State::Ready), old(1, State::Ready)];
        assert_eq!(plan_by(ROLLING, 2, &servers).drain, [1, 0]);
    }
}
