//! A walker who is drawn ahead of what the server says.

#[path = "../../tests/common/walk.rs"]
#[allow(unreachable_pub, reason = "the tests of the whole client share it")]
mod walk;

use walk::{Field, START, STEP, Walk, Walker};

use super::*;

const EAST: Walk = Walk { east: 1, north: 0 };
const HALT: Walk = Walk { east: 0, north: 0 };

fn walker(x: i32) -> Walker {
    Walker { x: START + x, ..Walker::new() }
}

/// Inputs that are due at these ticks.
fn inputs(due: &[(u64, Walk)]) -> UnsettledInputs<Walk> {
    let mut inputs = UnsettledInputs::default();
    for &(due, walk) in due {
        inputs.push(due, due, walk, |_| panic!("few enough"));
    }
    inputs
}

/// A prediction of a walker who stood at the start at tick 100.
fn prediction() -> Prediction<Field> {
    let mut prediction = Prediction::new(64);
    let distance = prediction.confirm(0.0, 100, walker(0), &UnsettledInputs::default(), false);
    assert!(distance.abs() < 1e-9, "nothing was drawn");
    prediction
}

/// Hundredths of a unit east of the start where the walker is drawn.
fn draw(prediction: &mut Prediction<Field>, now: f64, at: f64, inputs: &UnsettledInputs<Walk>) -> f64 {
    prediction.draw(now, at, 4.0, 0, inputs).expect("it is known").0 - f64::from(START)
}

fn assert_near(name: &str, value: f64, expected: f64) {
    assert!((value - expected).abs() < 1e-6, "{name}: {value} instead of {expected}");
}

#[test]
fn open_inputs_happen_at_their_tick_in_their_order_and_late_ones_at_once() {
    let step = f64::from(STEP);
    for (name, due, at, steps) in [
        ("none", &[][..], 110.0, 0.0),
        ("one to come", &[(105, EAST)], 104.9, 0.0),
        ("half of its first step", &[(105, EAST)], 105.5, 0.5),
        ("a few steps", &[(105, EAST)], 109.0, 4.0),
        ("a late one", &[(90, EAST)], 104.0, 3.0),
        ("one and its end", &[(102, EAST), (105, HALT)], 110.0, 3.0),
        ("one that waits for that before it", &[(105, EAST), (103, HALT)], 110.0, 0.0),
        ("two of one tick", &[(105, HALT), (105, EAST)], 107.0, 2.0),
    ] {
        assert_near(name, draw(&mut prediction(), 1.0, at, &inputs(due)), steps * step);
    }
}

#[test]
fn a_player_whose_server_is_silent_stands_after_a_quarter_of_a_second() {
    let (mut prediction, inputs) = (prediction(), inputs(&[(101, EAST)]));
    draw(&mut prediction, 1.0, 1000.0, &inputs);
    // 16 ticks, the 4 that it is ahead and the tick that has begun
    assert_eq!(prediction.predicted().map(|(tick, _)| tick), Some(121));
    prediction.draw(1.0, 1e300, 1e300, 0, &inputs);
    assert_eq!(prediction.predicted().map(|(tick, _)| tick), Some(100 + 16 + 128 + 1), "two seconds ahead");
    draw(&mut prediction, 1.0, 50.0, &inputs);
    assert_eq!(prediction.predicted().map(|(tick, _)| tick), Some(100), "never before what is confirmed");
}

#[test]
fn a_correction_is_measured_at_the_tick_that_was_drawn_and_smoothed_over_a_tenth_of_a_second() {
    let (mut prediction, inputs) = (prediction(), inputs(&[(103, EAST)]));
    let before = draw(&mut prediction, 1.0, 108.0, &inputs);
    let right = prediction.confirm(1.0, 102, walker(0), &inputs, false);
    assert_near("as predicted", right, 0.0);
    let distance = prediction.confirm(1.0, 102, walker(-60), &inputs, false);
    assert_near("pushed", distance, 60.0);
    for (after, left) in [(0.0, 60.0), (0.05, 30.0), (0.1, 0.0), (5.0, 0.0)] {
        let place = draw(&mut prediction, 1.0 + after, 108.0, &inputs);
        assert_near("on the way to where it is", place, before - 60.0 + left);
    }
}

#[test]
fn corrections_on_top_of_each_other_never_make_a_jump() {
    let (mut prediction, inputs) = (prediction(), inputs(&[]));
    let mut last = draw(&mut prediction, 1.0, 108.0, &inputs);
    for turn in 0..20 {
        let now = 1.0 + f64::from(turn) * 0.03;
        last = {
            let place = draw(&mut prediction, now, 108.0, &inputs);
            assert!((place - last).abs() <= 60.0, "from {last} to {place}");
            place
        };
        prediction.confirm(now, 102, walker(if turn % 2 == 0 { 60 } else { 0 }), &inputs, false);
        assert_near("the same moment", draw(&mut prediction, now, 108.0, &inputs), last);
    }
}

#[test]
fn a_refusal_or_another_place_snaps() {
    for (name, to, was_rejected) in [("refused", -60, true), ("put elsewhere", -600, false)] {
        let (mut prediction, inputs) = (prediction(), inputs(&[]));
        draw(&mut prediction, 1.0, 108.0, &inputs);
        prediction.confirm(1.0, 102, walker(to), &inputs, was_rejected);
        assert_near(name, draw(&mut prediction, 1.0, 108.0, &inputs), f64::from(to));
    }
}

#[test]
fn a_jump_of_the_clients_time_is_not_drawn_as_one() {
    let (mut prediction, inputs) = (prediction(), inputs(&[(101, EAST)]));
    let before = draw(&mut prediction, 1.0, 118.0, &inputs);
    let place = |prediction: &mut Prediction<Field>, now| {
        prediction.draw(now, 108.0, 4.0, 1, &inputs).expect("known").0 - f64::from(START)
    };
    assert_near("at once", place(&mut prediction, 1.0), before);
    assert_near("later", place(&mut prediction, 1.1), before - 10.0 * f64::from(STEP));
}
