//! What a Fleet does so that it has as many game servers as it asks for, case by case.

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
        seen_draining: state == State::Draining,
        updated: true,
        proven: false,
    }
}

fn old(number: u32, state: State) -> ServerView {
    ServerView { updated: false, proven: true, ..server(number, state) }
}

fn used(number: u32) -> ServerView {
    ServerView { in_use: true, ..server(number, State::Ready) }
}

fn plan(desired: u32, servers: &[ServerView]) -> FleetPlan {
    plan_by(Rollout::OnDelete, desired, servers)
}

fn plan_by(rollout: Rollout, desired: u32, servers: &[ServerView]) -> FleetPlan {
    plan_fleet(&fleet_of(rollout, desired, servers, &BTreeSet::new()))
}

fn fleet_of<'a>(
    rollout: Rollout,
    desired: u32,
    servers: &'a [ServerView],
    names_taken: &'a BTreeSet<u32>,
) -> FleetView<'a> {
    FleetView {
        desired,
        servers,
        names_taken,
        settled_in: true,
        rollout,
        most: None,
        stands_still: false,
        holds_old: false,
    }
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
    let fleet = fleet_of(Rollout::OnDelete, 2, &[], &names_taken);
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
            settled_in,
            ..fleet_of(Rollout::OnDelete, desired, &servers, &BTreeSet::new())
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
    let names_taken = BTreeSet::new();
    let fleet = FleetView { settled_in: false, ..fleet_of(Rollout::OnDelete, 0, &servers, &names_taken) };
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
fn the_place_of_one_that_drains_is_free_when_everybody_sees_that_it_does() {
    let ready = |number| server(number, State::Ready);
    let old_ready = |number| old(number, State::Ready);
    for (case, servers, create, drain) in [
        (
            "none in the place of one of which nobody sees yet that it drains",
            vec![
                old_ready(0),
                old_ready(1),
                ServerView { seen_draining: false, ..old(2, State::Draining) },
                ready(3),
            ],
            vec![],
            vec![1],
        ),
        (
            "but in that of one that may never say so",
            vec![
                old_ready(0),
                old_ready(1),
                ServerView { seen_draining: false, heard: false, ..old(2, State::Draining) },
                ready(3),
            ],
            vec![4],
            vec![1],
        ),
        (
            "nor of the last",
            vec![ready(3), ready(4), ServerView { drain_ordered: true, ..old_ready(2) }],
            vec![],
            vec![],
        ),
    ] {
        let planned = plan_by(ROLLING, 3, &servers);
        assert_eq!((planned.create, planned.drain, planned.delete), (create, drain, vec![]), "{case}");
    }
}

#[test]
fn a_template_that_never_gets_ready_takes_no_more_than_may_be_unavailable() {
    let servers =
        [old(0, State::Ready), old(1, State::Ready), server(3, State::Starting), server(4, State::Starting)];
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

#[test]
fn the_canary_takes_its_places_and_the_rest_stays_and_is_made_of_what_is_proven() {
    let ready = |number| server(number, State::Ready);
    let old_ready = |number| old(number, State::Ready);
    let tight = Rollout::Rolling { surge: 0, unavailable: 1 };
    for (case, rollout, servers, create, create_proven, drain) in [
        (
            "it comes beside the others",
            ROLLING,
            vec![old_ready(0), old_ready(1), old_ready(2)],
            vec![3],
            vec![],
            vec![2],
        ),
        (
            "and no more come, nor go",
            ROLLING,
            vec![old_ready(0), old_ready(1), ready(3)],
            vec![],
            vec![],
            vec![],
        ),
        (
            "it comes in the place of one",
            tight,
            vec![old_ready(0), old_ready(1), old_ready(2)],
            vec![],
            vec![],
            vec![2],
        ),
        ("when that is gone", tight, vec![old_ready(0), old_ready(1)], vec![2], vec![], vec![]),
        (
            "another one that is lost is made as it was",
            ROLLING,
            vec![old_ready(0), ready(3)],
            vec![],
            vec![1],
            vec![],
        ),
        ("the canary is made again", ROLLING, vec![old_ready(0), old_ready(1)], vec![2], vec![], vec![]),
        ("all are lost", ROLLING, vec![], vec![0], vec![1, 2], vec![]),
    ] {
        let names_taken = BTreeSet::new();
        let fleet = FleetView { most: Some(1), ..fleet_of(rollout, 3, &servers, &names_taken) };
        let planned = plan_fleet(&fleet);
        assert_eq!(
            (planned.create, planned.create_proven, planned.drain),
            (create, create_proven, drain),
            "{case}"
        );
    }
}

#[test]
fn an_old_one_that_drains_is_taken_back_where_one_is_to_be_of_what_is_proven() {
    let servers = [old(0, State::Ready), old(1, State::Draining), server(3, State::Ready)];
    let names_taken = BTreeSet::new();
    let fleet = FleetView { most: Some(1), ..fleet_of(ROLLING, 3, &servers, &names_taken) };
    let planned = plan_fleet(&fleet);
    assert_eq!((planned.undrain, planned.create_proven, planned.drain), (vec![1], vec![], vec![]));
    let servers = servers.map(|server| ServerView { proven: false, ..server });
    let fleet = FleetView { most: Some(1), ..fleet_of(ROLLING, 3, &servers, &names_taken) };
    let planned = plan_fleet(&fleet);
    assert_eq!((planned.undrain, planned.create_proven), (vec![], vec![2]), "not one of half-way");
}

#[test]
fn who_stands_still_lets_none_give_way_and_makes_what_is_missing_of_what_is_proven() {
    let servers = [old(0, State::Ready), old(1, State::Ready), server(3, State::Ready)];
    let names_taken = BTreeSet::new();
    for (desired, create_proven, drain) in [(3, vec![], vec![]), (4, vec![2], vec![]), (1, vec![], vec![3])] {
        let fleet = FleetView {
            most: Some(1),
            stands_still: true,
            ..fleet_of(ROLLING, desired, &servers, &names_taken)
        };
        let planned = plan_fleet(&fleet);
        let found = (planned.create, planned.create_proven, planned.drain);
        assert_eq!(found, (vec![], create_proven, drain), "{desired}");
    }
}

/// What is planned for `desired` servers that come beside those that are held, or no longer are.
fn plan_beside(desired: u32, holds_old: bool, servers: &[ServerView]) -> FleetPlan {
    let rollout = Rollout::Rolling { surge: desired, unavailable: 0 };
    let (most, names_taken) = (holds_old.then_some(desired), BTreeSet::new());
    plan_fleet(&FleetView { most, holds_old, ..fleet_of(rollout, desired, servers, &names_taken) })
}

#[test]
fn new_ones_come_beside_old_ones_that_are_held_and_then_all_of_these_go_at_once() {
    let blue = [0, 1, 2].map(|number| old(number, State::Ready));
    let green =
        |numbers: &[u32]| numbers.iter().map(|number| server(*number, State::Ready)).collect::<Vec<_>>();
    let with_green = |numbers: &[u32]| [&blue[..], &green(numbers)].concat();
    for (case, desired, holds_old, servers, create, create_proven, drain) in [
        ("all come", 3, true, with_green(&[]), vec![3, 4, 5], vec![], vec![]),
        ("and no old one goes", 3, true, with_green(&[3, 4, 5]), vec![], vec![], vec![]),
        ("one that is lost comes again", 3, true, with_green(&[3, 5]), vec![4], vec![], vec![]),
        ("also an old one", 3, true, with_green(&[3, 4, 5])[1..].to_vec(), vec![], vec![0], vec![]),
        ("then all old ones go", 3, false, with_green(&[3, 4, 5]), vec![], vec![], vec![2, 1, 0]),
        ("with one more both grow by it", 4, true, with_green(&[3, 4, 5]), vec![6], vec![7], vec![]),
        ("with one less one of each goes", 2, true, with_green(&[3, 4, 5]), vec![], vec![], vec![5, 2]),
    ] {
        let planned = plan_beside(desired, holds_old, &servers);
        let found = (planned.create, planned.create_proven, planned.drain);
        assert_eq!(found, (create, create_proven, drain), "{case}");
        assert_eq!(planned.delete, Vec::<u32>::new(), "{case}");
    }
}

#[test]
fn what_is_held_is_what_was_proven_and_what_is_left_of_others_goes_or_ends_by_itself() {
    let proven = [4, 5].map(|number| old(number, State::Ready));
    let draft = |number| ServerView { proven: false, ..old(number, State::Ready) };
    let in_use = |number| ServerView { updated: false, ..used(number) };
    let drafts = [&proven[..], &[draft(0), draft(1)]].concat();
    let planned = plan_beside(2, true, &drafts);
    assert_eq!(
        (planned.drain, planned.create),
        (vec![1, 0], vec![2, 3]),
        "a template that was changed meanwhile"
    );
    assert_eq!(planned.outdated, [0, 1]);
    let left = [&proven[..], &[in_use(0), in_use(1)]].concat();
    let planned = plan_beside(2, true, &left);
    assert_eq!((planned.drain, planned.create), (vec![], vec![2, 3]), "those in use take no place of theirs");
    assert_eq!(planned.outdated, [0, 1], "and take nothing new");
    let names_taken = BTreeSet::new();
    let paused = FleetView {
        stands_still: true,
        holds_old: true,
        most: Some(2),
        ..fleet_of(Rollout::Rolling { surge: 1, unavailable: 0 }, 1, &left, &names_taken)
    };
    let green = [server(2, State::Ready), server(3, State::Ready)];
    let servers = [&left[..], &green].concat();
    let planned = plan_fleet(&FleetView { servers: &servers, ..paused });
    assert_eq!(planned.drain, [3, 5], "with one less one of each goes, also while it is paused");
}

#[test]
fn old_ones_are_outdated_unless_they_are_to_stay_or_too_few_others_are_there() {
    let in_use = |number| ServerView { updated: false, ..used(number) };
    let ends = ServerView { deleting: true, ..old(4, State::Ready) };
    let mixed = vec![old(0, State::Ready), in_use(1), old(2, State::Draining), server(3, State::Ready), ends];
    let all_old = vec![old(0, State::Ready), old(1, State::Ready), old(2, State::Ready)];
    let starting = [&all_old[..], &[server(3, State::Starting)]].concat();
    let all_in_use = vec![in_use(0), in_use(1), in_use(2), server(3, State::Ready), server(4, State::Ready)];
    let rolling = Rollout::Rolling { surge: 1, unavailable: 1 };
    // stands still, holds old ones, most of the template
    let all = (false, false, None);
    for (case, rollout, servers, (stands_still, holds_old, most), expected) in [
        ("two are to be there, of which one is new", rolling, &mixed, all, vec![1, 2]),
        ("no new one is there", rolling, &all_old, all, vec![2]),
        ("it does not start", rolling, &starting, all, vec![2]),
        ("those in use are let end", rolling, &all_in_use, all, vec![0, 1, 2]),
        ("at once", Rollout::Recreate, &mixed, all, vec![0, 1, 2]),
        ("on delete", Rollout::OnDelete, &mixed, all, vec![]),
        ("paused", rolling, &mixed, (true, false, None), vec![]),
        ("beside each other", rolling, &mixed, (false, true, Some(3)), vec![]),
        ("its canary", rolling, &mixed, (false, false, Some(1)), vec![]),
    ] {
        let names_taken = BTreeSet::new();
        let view = fleet_of(rollout, 3, servers, &names_taken);
        let planned = plan_fleet(&FleetView { most, stands_still, holds_old, ..view });
        assert_eq!(planned.outdated, expected, "{case}");
    }
}

#[test]
fn a_batch_is_of_both_templates_together() {
    let names_taken = BTreeSet::new();
    let fleet = FleetView { most: Some(10), ..fleet_of(ROLLING, 1000, &[], &names_taken) };
    let planned = plan_fleet(&fleet);
    assert_eq!((planned.create.len(), planned.create_proven.len()), (10, BATCH_MAX - 10));
    assert!(planned.partial);
}
