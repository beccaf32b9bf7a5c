//! What holds in regions of the simulation, whatever happens to them, and that it would be seen if it did not.
//!
//! A failure names its seed; `REGIONS_SEEDS` in the environment runs that many more of each size.

use operator_simulation::{
    Broken, DAY_SECONDS, Mixture, Mutation, PLAYERS_MAX, Plan, Rule, Shock, Trace, plots, run,
};
use std::sync::LazyLock;

/// Regions, seeds and shocks: few for many regions, which take long.
const SIZES: [(usize, u64, usize); 3] = [(3, 20, 8), (7, 3, 8), (20, 1, 3)];

fn plan(seed: u64, regions: usize, shocks: usize) -> Plan {
    Plan { seed, regions, shocks, calm_seconds: 20, has_days: true, mutation: None }
}

/// Runs of all sizes, once for all tests.
static RUNS: LazyLock<Vec<(Plan, Result<Trace, Broken>)>> = LazyLock::new(|| {
    let more = std::env::var("REGIONS_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(0);
    let plans = SIZES
        .into_iter()
        .flat_map(|(regions, seeds, shocks)| (0..seeds + more).map(move |seed| plan(seed, regions, shocks)));
    plans.map(|plan| (plan, run(plan))).collect()
});

#[test]
fn shares_stay_in_bounds_and_servers_suffice_whatever_is_cut_restarted_or_upgraded() {
    for (plan, ended) in RUNS.iter() {
        if let Err(broken) = ended {
            panic!("{} regions, seed {}: {broken}", plan.regions, plan.seed);
        }
    }
}

/// What came together at once in some second.
fn mixtures() -> Vec<(&'static str, Mixture)> {
    let cut = Mixture { cut: true, ..Mixture::default() };
    let mixed = Mixture { mixed: true, ..cut };
    vec![
        ("some get through, with versions mixed", Mixture { partial: true, ..mixed }),
        (
            "a Manual region is cut off, with versions mixed",
            Mixture { manual: true, held_is_cut: true, ..mixed },
        ),
        (
            "one that holds is cut off, with versions mixed",
            Mixture { hold: true, held_is_cut: true, ..mixed },
        ),
        ("all three modes", Mixture { manual: true, hold: true, ..mixed }),
        ("drained in a cut, with versions mixed", Mixture { drained: true, ..mixed }),
        ("a sudden crowd in a cut, with versions mixed", Mixture { launch: true, ..mixed }),
        ("a sudden crowd while a region is Manual", Mixture { launch: true, manual: true, ..cut }),
        ("a sudden crowd while a region holds", Mixture { launch: true, hold: true, ..cut }),
        ("weights follow players in a cut, with versions mixed", Mixture { weighed: true, ..mixed }),
        ("weights follow players while a region is Manual", Mixture { weighed: true, manual: true, ..cut }),
        ("weights follow players while a region holds", Mixture { weighed: true, hold: true, ..cut }),
        ("an upgrade in a cut", Mixture { upgraded: true, ..cut }),
        ("an upgrade and its rollback in one cut", Mixture { upgraded: true, rolled_back: true, ..cut }),
        (
            "and a Manual region, and players who moved",
            Mixture { upgraded: true, rolled_back: true, manual: true, weighed: true, ..cut },
        ),
        (
            "and one that holds, and players who moved",
            Mixture { upgraded: true, rolled_back: true, hold: true, weighed: true, ..cut },
        ),
    ]
}

/// A1: more than that many play at a time.
const PLAYERS_TARGET: u32 = 100_000;

#[test]
fn modes_versions_waves_and_cuts_came_together_in_what_was_run() {
    let traces = || RUNS.iter().filter_map(|(_, ended)| ended.as_ref().ok());
    for (name, mixture) in mixtures() {
        assert!(traces().any(|trace| trace.seconds_with(mixture) > 0), "never: {name}");
    }
    for shock in Shock::ALL {
        assert!(traces().any(|trace| trace.count(shock) > 0), "never: {shock:?}");
    }
    let crowds = traces().flat_map(|trace| &trace.samples).map(|sample| sample.playing + sample.waiting);
    let most = crowds.max().unwrap_or_default();
    assert!((PLAYERS_TARGET..=PLAYERS_MAX).contains(&most), "{most} players");
}

#[test]
fn each_invariant_breaks_when_what_holds_it_is_taken_away() {
    for (mutation, rule) in [
        (Mutation::IgnoreAgreement, Rule::SumWithinBounds),
        (Mutation::IgnoreVersions, Rule::SumWithinBounds),
        (Mutation::IgnoreMaxima, Rule::SumWithinBounds),
        (Mutation::ActWhileIsolated, Rule::LastShare),
        (Mutation::RaiseOneByOne, Rule::TwoChanges),
        (Mutation::NeverRaise, Rule::EnoughServers),
        (Mutation::KeepToThemselves, Rule::EverybodyFits),
        (Mutation::BreakBeforeTheyMake, Rule::MakeBeforeBreak),
        (Mutation::LeaveWhoHolds, Rule::HandOnTheWheel),
        (Mutation::ObeyMinorities, Rule::HandOnTheWheel),
        (Mutation::WeighAnew, Rule::NoThrash),
        (Mutation::WeighAtOnce, Rule::NoThrash),
    ] {
        let plan = |seed| Plan { mutation: Some(mutation), ..plan(seed, 3, 8) };
        let breaks = |seed| run(plan(seed)).is_err_and(|broken| broken.rule == rule);
        assert!((0..20).any(breaks), "{mutation:?} was to break {rule:?}");
    }
}

/// Nothing happens to these regions.
fn undisturbed(regions: usize, seconds: u64, has_days: bool) -> Trace {
    let plan = Plan { calm_seconds: seconds, has_days, ..plan(1, regions, 0) };
    run(plan).unwrap_or_else(|broken| panic!("{regions} regions: {broken}"))
}

#[test]
fn equal_crowds_that_only_jitter_move_no_share() {
    for regions in [3, 7] {
        let settled = undisturbed(regions, 600, false);
        let later = undisturbed(regions, 1800, false);
        assert_eq!(later.share_changes, settled.share_changes, "{regions} regions");
        assert_eq!((later.records, later.scalings), (settled.records, settled.scalings), "{regions} regions");
    }
}

#[test]
fn a_day_moves_each_share_at_most_twice_a_record_and_everybody_plays() {
    for regions in [3, 7] {
        let (one, two) =
            (undisturbed(regions, DAY_SECONDS, true), undisturbed(regions, 2 * DAY_SECONDS, true));
        let records = two.records - one.records;
        let (changes, most) = (two.share_changes - one.share_changes, 2 * records * regions as u64);
        assert!(records > 0 && changes > 0 && changes <= most, "{changes} of {most}, {records} records");
        assert!(records <= DAY_SECONDS / 60, "{records} records");
        let waited = two.samples.iter().skip(60).filter(|sample| sample.waiting > 0).count();
        // for a moment, whoever was sent to where it had become full meanwhile
        assert!(
            waited <= 10,
            "{regions} regions: somebody waited in {waited} seconds after the first minute"
        );
    }
}

#[test]
fn a_seed_gives_the_same_run_and_the_same_picture_to_the_byte() {
    let draw = || {
        let trace = run(plan(1, 3, 8))?;
        let picture = plots::draw(&trace, "twice").unwrap_or_default();
        Ok::<_, Broken>((trace, picture))
    };
    let (first, again) = (draw(), draw());
    assert!(first.as_ref().is_ok_and(|(_, picture)| picture.ends_with("</svg>\n")), "{first:?}");
    assert_eq!(first, again);
    let broken = || run(Plan { mutation: Some(Mutation::NeverRaise), ..plan(1, 3, 8) });
    assert_eq!(broken(), broken());
}
