//! What holds of every decision, whatever it is about.

use operator_core::fleet_plan::{BATCH_MAX, FleetPlan, FleetView, Rollout, ServerView, plan_fleet};
use operator_core::host_ports::{PortRange, choose_ports};
use operator_core::scale::{Bounds, FleetFigures, Policy, Reason, decide_scale};
use operator_core::server_state::State;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

fn states() -> impl Strategy<Value = State> {
    prop::sample::select(vec![
        State::Starting,
        State::Ready,
        State::Recovering,
        State::Draining,
        State::Unhealthy,
    ])
}

/// Up to a hundred servers, as wild as they come.
fn servers() -> impl Strategy<Value = Vec<ServerView>> {
    let facts = (states(), any::<[bool; 8]>());
    let servers = prop::collection::btree_map(0_u32..120, facts, 0..100);
    servers.prop_map(|servers| {
        servers.into_iter().map(|(number, (state, facts))| server(number, state, facts)).collect()
    })
}

fn server(number: u32, state: State, facts: [bool; 8]) -> ServerView {
    let [in_use, heard, deleting, drained, drain_ordered, seen_draining, updated, proven] = facts;
    ServerView {
        number,
        state,
        // What is not heard counts as in use; only a starting server cannot have let anybody in.
        in_use: in_use || (!heard && state != State::Starting),
        heard,
        deleting,
        drained: drained && drain_ordered,
        drain_ordered,
        seen_draining: seen_draining && (drain_ordered || state == State::Draining),
        updated,
        proven: proven && !updated,
    }
}

fn rollouts() -> impl Strategy<Value = Rollout> {
    let rolling = (0_u32..20, 0_u32..20)
        .prop_filter("one of them moves", |(surge, unavailable)| surge + unavailable > 0);
    prop_oneof![
        Just(Rollout::OnDelete),
        Just(Rollout::Recreate),
        rolling.prop_map(|(surge, unavailable)| Rollout::Rolling { surge, unavailable }),
    ]
}

/// Most servers of the template, whether none gives way, and whether only those do that are not wanted anyway.
type Held = (Option<u32>, bool, bool);

fn held() -> impl Strategy<Value = Held> {
    (prop::option::of(0_u32..120), any::<bool>(), any::<bool>())
}

fn plan(
    (rollout, held): (Rollout, Held),
    desired: u32,
    servers: &[ServerView],
    names_taken: &BTreeSet<u32>,
    settled_in: bool,
) -> FleetPlan {
    let (most, stands_still, holds_old) = held;
    let fleet =
        FleetView { desired, servers, names_taken, settled_in, rollout, most, stands_still, holds_old };
    plan_fleet(&fleet)
}

fn is_available(server: &ServerView) -> bool {
    let may_have_players = server.in_use && (server.heard || server.state != State::Starting);
    may_have_players || (server.heard && server.state == State::Ready && !server.drain_ordered)
}

fn serves(server: &ServerView) -> bool {
    !server.deleting
        && server.state != State::Unhealthy
        && server.state != State::Draining
        && !server.drain_ordered
}

/// Everything that a plan asks for happens, and everybody answers.
fn carry_out(servers: &mut Vec<ServerView>, plan: &FleetPlan) {
    for server in servers.iter_mut() {
        if plan.undrain.contains(&server.number) {
            (server.drain_ordered, server.drained, server.state) = (false, false, State::Ready);
            server.seen_draining = false;
        } else if server.drain_ordered || plan.drain.contains(&server.number) {
            (server.drain_ordered, server.drained, server.state) = (true, true, State::Draining);
            server.seen_draining = true;
        }
    }
    servers.retain(|server| !plan.delete.contains(&server.number) && !server.deleting);
    let made = |numbers: &[u32], updated| {
        let ready = move |&number: &u32| ServerView {
            number,
            state: State::Ready,
            in_use: false,
            heard: true,
            deleting: false,
            drained: false,
            drain_ordered: false,
            seen_draining: false,
            updated,
            proven: !updated,
        };
        numbers.iter().map(ready).collect::<Vec<_>>()
    };
    servers.extend(made(&plan.create, true));
    servers.extend(made(&plan.create_proven, false));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_plan_takes_a_server_that_is_in_use(
        servers in servers(), desired in 0_u32..120, settled_in: bool, rollout in rollouts(), held in held(),
    ) {
        let plan = plan((rollout, held), desired, &servers, &BTreeSet::new(), settled_in);
        for server in &servers {
            let draining = server.state == State::Draining || server.drain_ordered;
            if plan.drain.contains(&server.number) && !draining {
                prop_assert!(server.heard && !server.in_use, "drained in use: {server:?}");
            }
            if plan.delete.contains(&server.number) {
                let given_up = server.state == State::Unhealthy;
                let drained = draining && server.drained && settled_in;
                let never_started = server.state == State::Starting && !server.heard && settled_in;
                prop_assert!(given_up || drained || never_started, "deleted: {server:?}");
            }
        }
    }

    #[test]
    fn a_plan_is_bounded_and_does_one_thing_to_each_server(
        servers in servers(),
        desired in 0_u32..1000,
        names_taken in prop::collection::btree_set(0_u32..200, 0..20),
        settled_in: bool,
        rollout in rollouts(),
        held in held(),
    ) {
        let plan = plan((rollout, held), desired, &servers, &names_taken, settled_in);
        let made: Vec<u32> = plan.create.iter().chain(&plan.create_proven).copied().collect();
        prop_assert!(made.len() <= BATCH_MAX && plan.delete.len() <= BATCH_MAX);
        let exists = |number: &u32| servers.iter().any(|server| server.number == *number);
        prop_assert!(!made.iter().any(|number| exists(number) || names_taken.contains(number)));
        let touched: Vec<u32> =
            [&made, &plan.drain, &plan.undrain, &plan.delete].into_iter().flatten().copied().collect();
        let distinct: BTreeSet<u32> = touched.iter().copied().collect();
        prop_assert_eq!(distinct.len(), touched.len());
        let alive = |server: &&ServerView| !server.deleting && server.state != State::Unhealthy;
        // beside each other there are as many of each
        let sets = if held.2 && matches!(rollout, Rollout::Rolling { .. }) { 2 } else { 1 };
        prop_assert!(plan.undrain.len() + made.len() <= sets * desired as usize);
        prop_assert!(plan.drain.len() <= servers.iter().filter(alive).count());
    }

    #[test]
    fn a_fleet_without_players_settles_at_what_is_wanted_and_then_rests(
        mut servers in servers(), desired in 0_u32..120, rollout in rollouts(), held in held(),
    ) {
        for server in &mut servers {
            (server.in_use, server.heard) = (false, true);
            if matches!(server.state, State::Starting | State::Recovering) {
                server.state = State::Ready;
            }
        }
        // with one more or less at a time each server takes some rounds
        for _round in 0..500 {
            let plan = plan((rollout, held), desired, &servers, &BTreeSet::new(), true);
            if (FleetPlan { old: 0, outdated: vec![], ..plan.clone() }) == FleetPlan::default() {
                break;
            }
            carry_out(&mut servers, &plan);
        }
        // those that do not give way are old for good
        let rests = FleetPlan { old: 0, outdated: vec![], ..plan((rollout, held), desired, &servers, &BTreeSet::new(), true) };
        prop_assert_eq!(rests, FleetPlan::default());
        let (most, stands_still, holds_old) = held;
        if held == (None, false, false) {
            prop_assert_eq!(plan((rollout, held), desired, &servers, &BTreeSet::new(), true), FleetPlan::default());
            prop_assert!(rollout == Rollout::OnDelete || servers.iter().all(|server| server.updated));
        }
        let holds_old = holds_old && matches!(rollout, Rollout::Rolling { .. });
        let stay_more = stands_still || holds_old;
        prop_assert!(servers.len() == desired as usize || stay_more && servers.len() > desired as usize);
        let old = servers.iter().filter(|server| !server.updated).count();
        let stay = desired.saturating_sub(most.unwrap_or(desired)) as usize;
        let stay = if holds_old { desired as usize } else { stay };
        prop_assert!(rollout == Rollout::OnDelete || stands_still || old <= stay, "{} are old", old);
    }

    #[test]
    fn a_rollout_neither_takes_too_many_away_nor_makes_too_many(
        servers in servers(), desired in 0_u32..120, settled_in: bool, surge in 0_u32..20, unavailable in 0_u32..20,
        held in held(),
    ) {
        let rollout = Rollout::Rolling { surge, unavailable };
        let plan = plan((rollout, held), desired, &servers, &BTreeSet::new(), settled_in);
        let serving = servers.iter().filter(|server| serves(server)).count();
        let (most_new, _, holds_old) = held;
        let of = |updated: bool, proven: bool| {
            let is_of = move |server: &&ServerView| server.updated == updated && server.proven == proven;
            servers.iter().filter(|server| serves(server)).filter(is_of)
        };
        let most = (desired + surge) as usize;
        let made = plan.create.len() + plan.create_proven.len();
        if holds_old {
            // beside each other there are as many of each, whatever is left of others
            let (new, proven) = (of(true, false).count(), of(false, true).count());
            prop_assert!(new + plan.create.len() <= (desired as usize).max(new));
            prop_assert!(proven + plan.create_proven.len() <= (desired as usize).max(proven));
            prop_assert!(made + plan.undrain.len() <= 2 * desired as usize);
        } else {
            prop_assert!(serving + made + plan.undrain.len() <= most.max(serving));
        }
        // nor for whoever goes by what is published
        let seen = servers.iter().filter(|server| {
            let drains = server.state == State::Draining || server.drain_ordered;
            !server.deleting
                && server.state != State::Unhealthy
                && !(drains && (server.seen_draining || !server.heard))
        });
        let seen = seen.count();
        prop_assert!(holds_old || seen + made <= most.max(seen), "{seen} are seen, and {made} are made");
        let goes = |server: &ServerView| {
            serves(server) && (plan.drain.contains(&server.number) || plan.delete.contains(&server.number))
        };
        if holds_old {
            let stay = of(false, true).filter(|server| !goes(server)).count();
            prop_assert!(stay >= of(false, true).count().min(desired as usize), "{} proven ones stay", stay);
        }
        let new_wanted = most_new.map_or(desired, |most| most.min(desired)) as usize;
        // beyond that it scales down, whatever the template
        if serving <= most && !(holds_old && of(true, false).count() > new_wanted) {
            let alive = servers.iter().filter(|server| !server.deleting && server.state != State::Unhealthy);
            let before: Vec<&ServerView> = alive.filter(|server| is_available(server)).collect();
            let after = before.iter().filter(|server| !goes(server)).count();
            let floor = desired.saturating_sub(unavailable) as usize;
            prop_assert!(after >= floor.min(before.len()), "{} of {} are left", after, before.len());
        }
    }

    #[test]
    fn ports_differ_fit_the_range_and_are_the_least_used(
        used in prop::collection::btree_map(6990_u16..7030, 0_u32..4, 0..40),
        last in 7000_u16..7020,
        nodes in 0_u32..4,
        wanted in 0_usize..8,
    ) {
        let range = PortRange { first: 7000, last };
        let users = |port: &u16| used.get(port).copied().unwrap_or(0);
        let free: Vec<u16> = (7000..=last).filter(|port| users(port) < nodes.max(1)).collect();
        match choose_ports(range, &used, nodes, wanted) {
            Err(_) => prop_assert!(free.len() < wanted),
            Ok(ports) => {
                let distinct: BTreeSet<u16> = ports.iter().copied().collect();
                prop_assert_eq!((ports.len(), distinct.len()), (wanted, wanted));
                prop_assert!(ports.iter().all(|port| free.contains(port)));
                let most = ports.iter().map(users).max().unwrap_or(0);
                let passed_over = free.iter().filter(|port| !distinct.contains(port));
                prop_assert!(passed_over.map(users).all(|users| users >= most));
            }
        }
    }

    #[test]
    fn pods_made_one_after_the_other_never_share_a_port_on_a_node(nodes in 1_u32..4, pods in 1_usize..40) {
        let range = PortRange { first: 7000, last: 7009 };
        let mut used = BTreeMap::new();
        for made in 0..pods {
            let chosen = choose_ports(range, &used, nodes, 1);
            let full = made >= 10 * nodes as usize;
            prop_assert_eq!(chosen.is_err(), full, "refused just when every port of every node is out");
            if let Ok(ports) = chosen {
                *used.entry(ports[0]).or_insert(0) += 1;
            }
        }
        prop_assert!(used.values().all(|&pods| pods <= nodes));
    }

    #[test]
    fn a_scaler_stays_in_its_bounds_and_takes_nothing_in_use_or_unknown(
        replicas in 0_u32..50,
        in_use in 0_u32..50,
        since in prop::option::of(0_u64..200),
        (min, more) in (0_u32..20, 0_u32..40),
        policies in prop::collection::vec(policy(), 1..4),
    ) {
        let bounds = Bounds { min, max: min + more };
        let since_last_scale = since.map(Duration::from_secs);
        let decision = decide_scale(FleetFigures { replicas, in_use, since_last_scale }, bounds, &policies);
        prop_assert!((bounds.min..=bounds.max).contains(&decision.desired));
        let within = (bounds.min..=bounds.max).contains(&replicas);
        if within && decision.desired < replicas {
            prop_assert!(decision.desired >= in_use, "a server in use is wished away: {decision:?}");
            prop_assert!(policies.iter().all(|policy| policy.value.is_some()), "by a missing figure: {decision:?}");
        }
        if decision.scale {
            prop_assert_ne!(decision.desired, replicas);
            prop_assert_ne!(decision.reason, Reason::CoolingDown);
        }
        if within {
            let step_up = policies.iter().map(|policy| policy.step_up).max().unwrap_or(0);
            prop_assert!(decision.desired <= replicas.saturating_add(step_up));
        }
        prop_assert_eq!(decision.wishes.len(), policies.len());
    }
}

fn policy() -> impl Strategy<Value = Policy> {
    let value = prop::option::of(0_u64..200);
    (value, any::<bool>(), 1_u64..150, 0_u64..150, 0_u64..120, 1_u32..5, 1_u32..5).prop_map(
        |(value, shared, up_threshold, below, cooldown, step_up, step_down)| Policy {
            value,
            shared,
            up_threshold,
            down_threshold: up_threshold.saturating_sub(below.max(1)),
            cooldown: Duration::from_secs(cooldown),
            step_up,
            step_down,
        },
    )
}
