//! Short runs of fixed seeds, and that each rule is seen to break.

use gameserver_simulator::{Deeds, Faults, Mutation, Plan, Rule, Summary, TICK_HZ, run};

fn plan(seed: u64, clients: usize, seconds: u64, faults: Faults) -> Plan {
    Plan { seed, clients, zones: 1, ticks: seconds * u64::from(TICK_HZ), faults, mutation: None }
}

/// Runs it, and fails with how to run it again.
#[track_caller]
fn passes(plan: Plan) -> Summary {
    run(plan).unwrap_or_else(|failure| panic!("{failure}"))
}

/// The digests were taken from a debug build, and hold in every build and on every machine: `cargo xtask test` runs this
/// in both profiles.
#[test]
fn the_same_seed_gives_the_same_worlds_and_the_same_bytes_in_every_build() {
    let lossy = Faults { bursts: true, vanishing: true, ..Faults::default() };
    for (seed, seconds, faults, state_hash, sent_hash) in [
        (1, 4, Faults::default(), 0xea87_622e_954e_29e0, 0x2bcc_fc6d_0f6b_230c),
        (2, 4, lossy, 0x111d_f249_2307_6fc2, 0x3b7e_3a8d_6c61_4f5f),
        // hostile players, and a crash after which they come in with what they stole
        (3, 16, Faults::ALL, 0x52bf_3f7f_6dbb_a5fc, 0x6426_3a9e_e146_d64d),
    ] {
        let summary = passes(plan(seed, 20, seconds, faults));
        let found = (summary.state_hash, summary.sent_hash);
        assert_eq!(found, (state_hash, sent_hash), "seed {seed}: ({:#x}, {:#x})", found.0, found.1);
    }
}

/// What hostile players do is a fault like others: nobody does any of it where it is not asked for.
#[test]
fn nobody_is_hostile_unless_that_is_to_go_wrong() {
    let summary = passes(plan(12, 60, 4, Faults { hostile: false, ..Faults::ALL }));
    assert_eq!(summary.deeds, Deeds::default());
}

#[test]
fn another_seed_gives_other_bytes() {
    let hash = |seed| passes(plan(seed, 4, 2, Faults::default())).sent_hash;
    assert_eq!(hash(3), hash(3));
    assert_ne!(hash(3), hash(4));
}

/// More seeds are for `cargo xtask simulate`. Sixty players are as many as it takes for one of each hostile kind, and each does
/// what it is there for: not in every seed, since some never get a place.
#[test]
fn fixed_seeds_pass_with_everything_that_goes_wrong_and_each_hostile_kind_at_work() {
    for (seed, clients, zones) in [(1, 30, 1), (5, 30, 2), (13, 60, 3)] {
        let summary = passes(Plan { zones, ..plan(seed, clients, 15, Faults::ALL) });
        let kinds = clients / 10;
        for (deed, count) in &summary.deeds.each()[..kinds] {
            assert!(*count > 0, "seed {seed}: nothing {deed}: {:?}", summary.deeds);
        }
    }
}

#[test]
fn everything_that_is_checked_happens_in_a_run_in_which_everything_goes_wrong() {
    let summary = passes(Plan { zones: 2, ..plan(16, 30, 18, Faults::ALL) });
    let Summary { crashes, drains, vanished, resumes, thefts, .. } = summary;
    let Summary { refused, settled, entities_compared, .. } = summary;
    let Summary { full_ticks, overloaded, denied, let_in_later, .. } = summary;
    for (what, count) in [
        ("crashes", crashes),
        ("drains", drains),
        ("vanished", vanished),
        ("resumes", resumes),
        ("thefts", thefts),
        ("refused", refused),
        ("settled", settled / 1000),
        ("entities compared", entities_compared / 5_000),
        ("full ticks", full_ticks),
        ("inputs refused as overloaded", overloaded),
        ("denied for want of a place", denied),
        ("let in when there was one", let_in_later),
    ] {
        assert!(count > 0, "{what}: {summary:?}");
    }
}

/// Negative controls: for each rule something that breaks it.
const CONTROLS: [(Mutation, Rule); 26] = [
    (Mutation::DoublePlayers, Rule::OnePlace),
    (Mutation::ShiftPlayers, Rule::Speed),
    (Mutation::MoveFreely, Rule::Moves),
    (Mutation::CastFreely, Rule::Cooldowns),
    (Mutation::ReachFar, Rule::Reach),
    (Mutation::GiveItems, Rule::Items),
    (Mutation::SpoilTheWorld, Rule::Conservation),
    (Mutation::CorruptCells, Rule::Views),
    (Mutation::RepeatCommands, Rule::SettlesOnce),
    (Mutation::LieAboutOutcomes, Rule::SettlesOnce),
    (Mutation::SendTooMuch, Rule::Budget),
    (Mutation::QueueTooMuch, Rule::Queues),
    (Mutation::TakeInTooMany, Rule::Capacity),
    (Mutation::AnswerTooMuch, Rule::Amplification),
    (Mutation::KeepTokensApart, Rule::StolenTokens),
    (Mutation::HoldInputs, Rule::Latency),
    (Mutation::TurnClockBack, Rule::Nonces),
    (Mutation::ReuseTokens, Rule::Nonces),
    (Mutation::JudgeByName, Rule::SettlesOnce),
    (Mutation::BlameTheLoad, Rule::SettlesOnce),
    (Mutation::RaiseTheLimit, Rule::Limit),
    (Mutation::LowerTheLimit, Rule::Patience),
    (Mutation::LetThemLie, Rule::Patience),
    (Mutation::FavourTheFirst, Rule::Shares),
    (Mutation::OverbookPlaces, Rule::Places),
    (Mutation::HidePlaces, Rule::Places),
];

/// Thieves, and a restart after which they come in with what they stole before it.
fn thefts() -> Plan {
    Plan { zones: 2, ..plan(7, 30, 15, Faults { crashes: true, hostile: true, ..Faults::default() }) }
}

/// Ticks that carry out a third of what is asked for, and places for two of three players.
fn scarcity() -> Plan {
    Plan { zones: 2, ..plan(20, 30, 12, Faults { hostile: true, scarcity: true, ..Faults::default() }) }
}

/// What has to be there for a mutation to show.
fn stage(mutation: Mutation) -> Plan {
    let hostile = Faults { hostile: true, ..Faults::default() };
    let crashes = Faults { crashes: true, ..Faults::default() };
    let plan = match mutation {
        Mutation::MoveFreely | Mutation::ReachFar => plan(1, 60, 12, hostile),
        // three zones of which none has room for all who come to it first
        Mutation::TakeInTooMany => Plan { zones: 3, ..plan(1, 30, 6, Faults::default()) },
        Mutation::KeepTokensApart => Plan { zones: 2, ..plan(1, 30, 12, hostile) },
        Mutation::HoldInputs => plan(1, 8, 14, Faults::default()),
        Mutation::TurnClockBack | Mutation::ReuseTokens => plan(1, 8, 24, crashes),
        Mutation::JudgeByName => thefts(),
        Mutation::RaiseTheLimit
        | Mutation::LowerTheLimit
        | Mutation::FavourTheFirst
        | Mutation::OverbookPlaces => scarcity(),
        _ => plan(1, 20, 12, Faults::default()),
    };
    Plan { mutation: Some(mutation), ..plan }
}

#[test]
fn each_rule_breaks_when_the_simulation_does_what_it_forbids() {
    let mut missed = Vec::new();
    for (mutation, rule) in CONTROLS {
        match run(stage(mutation)) {
            Err(failure) if failure.broken.rule == rule => {}
            other => missed.push(format!("{mutation:?} should break {rule:?}: {other:?}")),
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

/// What is spoilt is spoilt for one tick, and noticed in it however many there are.
#[test]
fn a_world_is_looked_through_each_tick_however_large_it_is() {
    // a mutation acts for the first time in the ninth tick
    for clients in [60, THOUSANDS] {
        let spoilt =
            Plan { mutation: Some(Mutation::SpoilTheWorld), ..plan(1, clients, 6, Faults::default()) };
        let failure = run(spoilt).expect_err("the world is spoilt");
        assert_eq!((failure.broken.rule, failure.tick), (Rule::Conservation, 9), "{failure}");
    }
}

/// A restarted server has forgotten which tokens were used (docs/adr/0018-resume-tokens.md), so a thief plays in its
/// victim's name for a while. Its inputs are not the victim's, and judged by the name they would look as if they settled
/// twice.
#[test]
fn what_a_thief_does_after_a_restart_is_not_its_victims_doing() {
    assert!(passes(thefts()).thefts > 0);
    let failure =
        run(Plan { mutation: Some(Mutation::JudgeByName), ..thefts() }).expect_err("judged by name");
    assert_eq!(failure.broken.rule, Rule::SettlesOnce);
}

/// The stage of `cargo xtask test` that runs this in release has all of them, in some ten seconds; a debug build a tenth.
const THOUSANDS: usize = if cfg!(debug_assertions) { 200 } else { 2000 };

#[test]
fn two_thousand_players_play_through_all_that_goes_wrong_and_everything_holds() {
    let summary = passes(Plan { zones: 4, ..plan(1, THOUSANDS, 3, Faults::ALL) });
    let players = THOUSANDS as u64;
    assert!(summary.player_seconds > 2 * players && summary.settled > 20 * players, "{summary:?}");
    assert!(summary.entities_compared > 100 * players, "{summary:?}");
    for (deed, count) in summary.deeds.each() {
        assert!(count > 0, "nothing {deed}: {:?}", summary.deeds);
    }
}

/// Of a thousand who come in together one has its response repeated by somebody who saw it pass, and the repetition is
/// there first. It was made of a challenge that had come to the address, so it proves it all the same.
#[test]
fn a_response_proves_its_address_whoever_carries_it_there() {
    let summary = passes(Plan { zones: 2, ticks: 40, ..plan(7, 1000, 1, Faults::ALL) });
    assert!(summary.sessions > 100, "{summary:?}");
}

/// Keys of sessions that two boots have, because a thief shows a token to the second that opened a session at the first;
/// keys of clients; and the servers' own, under which resume tokens are sealed.
#[test]
fn nonces_are_followed_by_key_from_boot_to_boot_and_each_way() {
    let back = Some(Mutation::TurnClockBack);
    for (plan, mutation, said) in [
        (thefts(), back, "somebody at 10."),
        (stage(Mutation::TurnClockBack), back, "resume token "),
        (stage(Mutation::ReuseTokens), Some(Mutation::ReuseTokens), "player "),
    ] {
        let failure = run(Plan { mutation, ..plan }).expect_err(said);
        assert_eq!(failure.broken.rule, Rule::Nonces, "{failure}");
        assert!(failure.broken.what.starts_with(said), "{said}: {failure}");
    }
}

/// Of scarcity alone: nobody falls silent, so whoever has a place keeps it.
#[test]
fn whoever_asks_for_too_much_gets_its_share_and_whoever_comes_too_late_no_place() {
    let summary = passes(scarcity());
    let Summary { full_ticks, overloaded, denied, settled, .. } = summary;
    assert!(full_ticks > 1000 && overloaded > 500 && settled > overloaded, "{summary:?}");
    assert!(denied > 0, "{summary:?}");
    let ample = passes(Plan { faults: Faults { scarcity: false, ..scarcity().faults }, ..scarcity() });
    assert_eq!((ample.full_ticks, ample.overloaded, ample.denied), (0, 0, 0), "{ample:?}");
}

#[test]
fn each_rule_has_a_negative_control() {
    for rule in Rule::ALL {
        assert!(CONTROLS.iter().any(|(_, broken)| *broken == rule), "{rule:?}");
    }
}

#[test]
fn the_stages_of_the_negative_controls_pass_without_them() {
    let mut stages: Vec<Plan> = Vec::new();
    for (mutation, _) in CONTROLS {
        let plan = Plan { mutation: None, ..stage(mutation) };
        if !stages.contains(&plan) {
            passes(plan);
            stages.push(plan);
        }
    }
}

#[test]
fn a_failure_says_what_broke_at_which_tick_of_which_seed_and_how_to_see_it_again() {
    let plan = stage(Mutation::CorruptCells);
    let failure = run(plan).expect_err("cells are corrupt");
    let said = failure.to_string();
    assert!(said.starts_with(&format!("seed 1, tick {}: Views: player ", failure.tick)), "{said}");
    let again = format!(
        "again: cargo run --release -p gameserver-simulator -- --seed 1 --ticks {} --clients 20 --zones 1 --faults none",
        failure.tick
    );
    assert!(said.ends_with(&again), "{said}");
    // up to the tick before all is well
    assert!(run(Plan { ticks: failure.tick - 1, ..plan }).is_ok());
    let again = run(Plan { ticks: failure.tick, ..plan }).expect_err("they are again");
    assert_eq!((again.tick, again.broken), (failure.tick, failure.broken));
}
