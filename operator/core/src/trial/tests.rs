//! How far a change of a template goes by itself, case by case.

use super::*;

const GATES: Gates = Gates {
    progress: Duration::from_secs(600),
    tick_p99: None,
    crashes: None,
    rejects_percent: None,
    join_failures_percent: None,
    rolls_back: true,
};
const CANARY: Canary = Canary { servers: 1, time: Duration::from_secs(30), is_beside: false, by_hand: false };

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Four are wanted, of which so many of the new template are there and Ready, and the others are free.
fn view(alive: u32, ready: u32) -> TrialView {
    TrialView {
        desired: 4,
        rolls: true,
        is_paused: false,
        canary: None,
        gates: None,
        verdict: None,
        has_proven: true,
        canary_passed: false,
        conduct: Conduct { alive, ready, ever_ready: ready, ..Conduct::default() },
        old_free: 4 - alive,
        old_in_use: 0,
    }
}

/// Phases of looks at these seconds, each with what it remembers of those before.
fn phases(looks: &[(u64, TrialView)]) -> Vec<Phase> {
    let mut trial = Trial::default();
    looks
        .iter()
        .map(|(second, view)| {
            let course;
            (trial, course) = look(trial, view, at(*second));
            course.phase
        })
        .collect()
}

fn now(view: &TrialView) -> Course {
    look(Trial::default(), view, at(0)).1
}

#[test]
fn without_gates_a_template_is_proven_when_all_have_it() {
    let rolling = now(&view(2, 2));
    assert_eq!((rolling.phase, rolling.verdict, rolling.most), (Phase::Rolling, None, None));
    let done = now(&view(4, 4));
    assert_eq!((done.phase, done.verdict), (Phase::Done, Some(Verdict::Proven)));
    let last = TrialView { old_in_use: 1, old_free: 0, ..view(3, 3) };
    assert_eq!(
        (now(&last).phase, now(&last).verdict),
        (Phase::WaitingForPlayers, Some(Verdict::Proven)),
        "what is in use holds no verdict up"
    );
    for (desired, old_in_use, phase) in [(0, 0, Phase::Done), (2, 2, Phase::WaitingForPlayers)] {
        let nobody = TrialView { desired, old_in_use, old_free: 0, ..view(0, 0) };
        assert_eq!((now(&nobody).phase, now(&nobody).verdict), (phase, None), "nobody has it yet");
    }
    let proven = TrialView { verdict: Some(Verdict::Proven), ..view(2, 2) };
    assert_eq!((now(&proven).phase, now(&proven).verdict), (Phase::Rolling, None), "it is given once");
}

#[test]
fn who_does_not_roll_proves_nothing_and_moves_nothing() {
    for (old_free, phase) in [(0, Phase::Done), (3, Phase::OnDelete)] {
        let course = now(&TrialView { rolls: false, gates: Some(GATES), old_free, ..view(1, 0) });
        assert_eq!((course.phase, course.verdict), (phase, None));
    }
}

#[test]
fn the_canary_must_be_ready_together_for_its_time() {
    let of = |alive, ready| TrialView { canary: Some(CANARY), ..view(alive, ready) };
    assert_eq!((now(&of(0, 0)).phase, now(&of(0, 0)).most), (Phase::Canary, Some(1)));
    assert_eq!(now(&of(1, 1)).look_again, Some(at(30)));
    let looks = [(0, of(1, 0)), (10, of(1, 1)), (39, of(1, 1)), (40, of(1, 1)), (41, of(1, 0))];
    let canary = Phase::Canary;
    assert_eq!(phases(&looks), [canary, canary, canary, Phase::Rolling, Phase::Rolling], "it passes once");
    let breaks = [(0, of(1, 1)), (20, of(1, 0)), (31, of(1, 1)), (60, of(1, 1)), (61, of(1, 1))];
    assert_eq!(phases(&breaks), [canary, canary, canary, canary, Phase::Rolling], "and waits anew");
    let (_, course) = look(Trial { held_since: Some(at(0)), ..Trial::default() }, &of(1, 1), at(30));
    assert!(course.canary_passed, "which is kept");
    let kept = TrialView { canary_passed: true, ..of(1, 1) };
    assert_eq!(now(&kept).phase, Phase::Rolling, "whoever leads next lets it go on");
    assert_eq!(now(&of(2, 2)).phase, Phase::Canary, "more than the canary is no canary that has held");
    let small = TrialView { desired: 1, ..of(0, 0) };
    assert_eq!(now(&small).most, None, "there would be nobody but the canary");
    let first = TrialView { has_proven: false, ..of(0, 0) };
    assert_eq!(now(&first).most, None, "there is nothing of which the others could be");
}

#[test]
fn who_comes_beside_the_others_holds_them_until_all_have_been_ready_for_its_time() {
    let beside = Canary { servers: 4, is_beside: true, ..CANARY };
    let of = |ready| TrialView { canary: Some(beside), old_free: 4, ..view(4, ready) };
    let course = now(&of(3));
    assert_eq!((course.phase, course.most, course.holds_old), (Phase::Canary, Some(4), true));
    let looks = [(0, of(4)), (29, of(4)), (30, of(4))];
    assert_eq!(phases(&looks), [Phase::Canary, Phase::Canary, Phase::Rolling]);
    let held = Trial { held_since: Some(at(0)), ..Trial::default() };
    let (_, course) = look(held, &of(4), at(30));
    assert_eq!(
        (course.most, course.holds_old, course.canary_passed),
        (None, false, true),
        "then all give way"
    );
    let alone = TrialView { old_free: 0, ..of(4) };
    assert_eq!(now(&alone).phase, Phase::Done, "there is nobody to come beside");
    let all_in_use = TrialView { old_in_use: 4, old_free: 0, ..view(0, 0) };
    let all_in_use = TrialView { canary: Some(beside), ..all_in_use };
    assert_eq!(
        (now(&all_in_use).phase, now(&all_in_use).holds_old),
        (Phase::Canary, true),
        "they come beside those too"
    );
    let paused = now(&TrialView { is_paused: true, ..of(3) });
    assert_eq!((paused.phase, paused.stands_still, paused.holds_old), (Phase::Paused, true, true));
    let nobody = TrialView { desired: 0, canary: Some(Canary { servers: 0, ..beside }), ..of(0) };
    assert_eq!(now(&nobody).phase, Phase::Rolling, "nobody is to be held for nobody");
    let first = TrialView { has_proven: false, ..of(0) };
    assert!(!now(&first).holds_old, "nor for the first template");
    let gates = Gates { crashes: Some(0), ..GATES };
    let bad = Conduct { alive: 4, crashes: 1, ..Conduct::default() };
    let course = now(&TrialView { gates: Some(gates), conduct: bad, ..of(4) });
    assert_eq!((course.phase, course.goes_back), (Phase::RolledBack, true), "gates judge it meanwhile");
}

#[test]
fn who_is_promoted_by_hand_waits_for_that_and_is_judged_meanwhile() {
    let by_hand = Canary { servers: 4, is_beside: true, by_hand: true, ..CANARY };
    let of = |ready| TrialView { canary: Some(by_hand), old_free: 4, ..view(4, ready) };
    let looks = [(0, of(4)), (30, of(4)), (90_000, of(4)), (90_001, of(3)), (90_002, of(4))];
    let (canary, waits) = (Phase::Canary, Phase::AwaitsPromotion);
    assert_eq!(phases(&looks), [canary, waits, waits, canary, canary], "it passes by no time");
    let held = Trial { held_since: Some(at(0)), ..Trial::default() };
    let (_, course) = look(held, &of(4), at(30));
    assert_eq!((course.holds_old, course.canary_passed, course.look_again), (true, false, None));
    let gated = TrialView { gates: Some(GATES), ..of(4) };
    assert_eq!(look(held, &gated, at(30)).1.look_again, Some(LOOKS_APART), "not at once and again and again");
    let promoted = TrialView { canary_passed: true, ..of(4) };
    assert_eq!((now(&promoted).phase, now(&promoted).holds_old), (Phase::Rolling, false));
}

#[test]
fn with_gates_all_prove_themselves_for_a_minute() {
    let of = |ready| TrialView { gates: Some(GATES), ..view(4, ready) };
    let looks = [(0, of(4)), (59, of(4)), (60, of(4))];
    assert_eq!(phases(&looks), [Phase::Proving, Phase::Proving, Phase::Done]);
    let breaks = [(0, of(4)), (30, of(3)), (60, of(3)), (61, of(4))];
    assert_eq!(
        phases(&breaks),
        [Phase::Proving, Phase::Proving, Phase::Proving, Phase::Done],
        "servers come and go"
    );
}

#[test]
fn a_gate_rejects_by_what_the_new_servers_do() {
    let millis = Duration::from_millis;
    let good = Conduct {
        alive: 2,
        ready: 2,
        ever_ready: 2,
        crashes: 1,
        ticks: TICKS_MIN,
        tick_p99: Some(millis(8)),
        inputs: 990,
        rejects: 10,
        joins: 95,
        refused: 5,
    };
    let gates = Gates {
        tick_p99: Some(millis(8)),
        crashes: Some(1),
        rejects_percent: Some(1),
        join_failures_percent: Some(5),
        ..GATES
    };
    for (case, conduct, failure) in [
        ("at every limit", good, None),
        ("a crash more", Conduct { crashes: 2, ..good }, Some(Failure::Crashes(2, 1))),
        (
            "longer ticks",
            Conduct { tick_p99: Some(millis(9)), ..good },
            Some(Failure::TickP99(millis(9), millis(8))),
        ),
        ("too few ticks to tell", Conduct { tick_p99: Some(millis(9)), ticks: TICKS_MIN - 1, ..good }, None),
        ("nothing is known of its ticks", Conduct { tick_p99: None, ..good }, None),
        (
            "a rejection more",
            Conduct { inputs: 989, rejects: 11, ..good },
            Some(Failure::Rejects(11, 1000, 1)),
        ),
        ("too few inputs to tell", Conduct { inputs: 0, rejects: 999, ..good }, None),
        ("a refusal more", Conduct { joins: 94, refused: 6, ..good }, Some(Failure::JoinFailures(6, 100, 5))),
        ("too few who came", Conduct { joins: 0, refused: 19, ..good }, None),
    ] {
        let found = now(&TrialView { gates: Some(gates), conduct, ..view(2, 2) });
        assert_eq!(found.failure, failure, "{case}");
        let expected = failure.map(|_| Verdict::Rejected);
        assert_eq!((found.verdict, found.goes_back), (expected, failure.is_some()), "{case}");
        let off = now(&TrialView { gates: Some(GATES), conduct, ..view(2, 2) });
        assert_eq!(off.failure, None, "{case}, and nobody asked");
    }
}

#[test]
fn who_does_not_get_ready_is_waited_for_as_long_as_the_deadline_from_the_last_that_did() {
    let of = |alive, ready| TrialView { gates: Some(GATES), ..view(alive, ready) };
    let (rolling, back) = (Phase::Rolling, Phase::RolledBack);
    assert_eq!(phases(&[(0, of(1, 0)), (599, of(1, 0)), (600, of(1, 0))]), [rolling, rolling, back]);
    let one_came = [(0, of(2, 0)), (599, of(2, 1)), (1198, of(2, 1)), (1199, of(2, 1))];
    assert_eq!(phases(&one_came), [rolling, rolling, rolling, back]);
    let ever =
        |ever_ready, view: TrialView| TrialView { conduct: Conduct { ever_ready, ..view.conduct }, ..view };
    let flaps = [(0, of(2, 1)), (300, ever(1, of(2, 0))), (599, of(2, 1)), (600, of(2, 1))];
    assert_eq!(phases(&flaps), [rolling, rolling, rolling, back], "coming back is no progress");
    let replaced =
        [(0, of(2, 1)), (300, ever(2, of(2, 1))), (600, ever(2, of(2, 1))), (900, ever(2, of(2, 1)))];
    assert_eq!(phases(&replaced), [rolling, rolling, rolling, back], "another one is");
    let in_use = |alive, ready| TrialView { desired: 2, old_in_use: 2, old_free: 0, ..of(alive, ready) };
    let waits = [(0, in_use(1, 0)), (600, in_use(1, 0))];
    assert_eq!(phases(&waits), [rolling, back], "also beside those that are in use");
    let none_is_made = [(0, of(0, 0)), (6000, of(0, 0))];
    assert_eq!(phases(&none_is_made), [rolling, rolling], "those in use may hold every place");
    assert_eq!(now(&of(1, 0)).look_again, Some(LOOKS_APART));
}

#[test]
fn what_was_rejected_goes_back_if_it_can_and_else_stands_still() {
    let rejected = TrialView { verdict: Some(Verdict::Rejected), gates: Some(GATES), ..view(2, 2) };
    let course = now(&rejected);
    assert_eq!((course.phase, course.goes_back, course.stands_still), (Phase::RolledBack, true, false));
    let stands = Gates { rolls_back: false, ..GATES };
    let course = now(&TrialView { gates: Some(stands), ..rejected.clone() });
    assert_eq!(
        (course.phase, course.goes_back, course.stands_still, course.most),
        (Phase::GateFailed, false, true, Some(2)),
        "and what is missing is made from what is proven"
    );
    let course = now(&TrialView { gates: None, ..rejected.clone() });
    assert_eq!(course.phase, Phase::RolledBack, "whoever took the gates away changed no verdict");
    let course = now(&TrialView { is_paused: true, ..rejected.clone() });
    assert_eq!((course.phase, course.stands_still), (Phase::GateFailed, true), "paused is paused");
    let course = now(&TrialView { has_proven: false, ..rejected });
    assert_eq!((course.phase, course.most), (Phase::GateFailed, None), "there is nothing to go back to");
}

#[test]
fn the_first_template_is_judged_by_nobody() {
    let first = TrialView {
        has_proven: false,
        gates: Some(Gates { crashes: Some(0), ..GATES }),
        conduct: Conduct { alive: 4, crashes: 9, ..Conduct::default() },
        ..view(4, 0)
    };
    assert_eq!(phases(&[(0, first.clone()), (6000, first)]), [Phase::Rolling; 2]);
}

#[test]
fn who_is_paused_stands_still_and_is_not_judged() {
    let gates = Some(Gates { crashes: Some(0), ..GATES });
    let bad = Conduct { alive: 1, ready: 0, crashes: 5, ..Conduct::default() };
    let paused = TrialView { is_paused: true, gates, conduct: bad, ..view(1, 0) };
    let course = now(&paused);
    assert_eq!(
        (course.phase, course.stands_still, course.most, course.verdict),
        (Phase::Paused, true, Some(1), None)
    );
    assert_eq!(now(&TrialView { is_paused: false, ..paused }).phase, Phase::RolledBack, "until it goes on");
    let of = |is_paused| TrialView { is_paused, canary: Some(CANARY), ..view(1, 1) };
    let looks = [(0, of(false)), (29, of(true)), (31, of(false)), (60, of(false)), (61, of(false))];
    let (canary, paused) = (Phase::Canary, Phase::Paused);
    assert_eq!(phases(&looks), [canary, paused, canary, canary, Phase::Rolling], "time stands still too");
    let through = TrialView { is_paused: true, ..view(4, 4) };
    assert_eq!(now(&through).phase, Phase::Done, "there is nothing left to pause");
}

#[test]
fn failures_are_told_with_what_was_found_and_what_may_be() {
    for (failure, expected) in [
        (Failure::Progress(1, 3, at(600)), "1 of its 3 servers are ready, and no more for 600 s"),
        (
            Failure::TickP99(Duration::from_micros(9500), Duration::from_millis(8)),
            "its ticks take 9.5 ms at the 99th percentile, and may take 8.0 ms",
        ),
        (Failure::Crashes(3, 1), "its servers crashed 3 times, and may 1 times"),
        (Failure::Rejects(50, 1000, 1), "its servers rejected 50 of 1000 inputs in a minute, and may 1 %"),
        (Failure::JoinFailures(6, 20, 5), "its servers refused 6 of 20 who came in a minute, and may 5 %"),
    ] {
        assert_eq!(failure.to_string(), expected);
    }
}
