//! A player against a server through a bad network: what it sees of itself and of others, and when its inputs land.

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use common::walk::{STEP, Walk};
use common::world::{BAD, GOOD, Network, World};
use gameserver_client::{Event, Game, Notice};
use proptest::prelude::*;

const EAST: Walk = Walk { east: 1, north: 0 };
const HZ: f64 = 64.0;

fn distance(one: (f64, f64), other: (f64, f64)) -> f64 {
    (one.0 - other.0).hypot(one.1 - other.1)
}

/// Steps through so many seconds and shows each frame to `see`.
fn watch(world: &mut World, seconds: f64, mut see: impl FnMut(&World, Duration, gameserver_client::Frame)) {
    let end = world.elapsed + Duration::from_secs_f64(seconds);
    while world.elapsed < end {
        let seen = world.frames.len();
        world.step();
        if let Some(&(at, frame)) = world.frames.get(seen) {
            see(world, at, frame);
        }
    }
}

/// By how much frame after frame the client's time went faster than real time, at least and at most.
fn rates(world: &World, from: f64) -> (f64, f64) {
    let frames: Vec<_> = world.frames.iter().filter(|(at, _)| at.as_secs_f64() >= from).collect();
    frames.windows(2).fold((f64::MAX, f64::MIN), |(least, most), pair| {
        let rate = (pair[1].1.tick - pair[0].1.tick) / pair[1].0.saturating_sub(pair[0].0).as_secs_f64() / HZ;
        (least.min(rate), most.max(rate))
    })
}

#[test]
fn a_player_sees_itself_where_the_server_will_have_it() {
    let (mut frames, mut corrections) = (0, 0);
    for seed in 1..=5 {
        let mut world = World::new(seed, BAD).with_others(2);
        world.run(60.0);
        let stats = world.client.stats();
        frames += stats.frames;
        corrections += stats.corrections;
        // the newest drawn tick has begun, and is over when the next one is
        let off: Vec<_> = (world.frames.iter())
            .filter_map(|(_, frame)| Some(distance(frame.own?, world.truth(0, frame.tick - 1.0)?)))
            .collect();
        let far = off.iter().filter(|&&off| off > 50.0).count();
        assert!(far * 1000 <= off.len(), "seed {seed}: {far} of {} frames are half a unit off", off.len());
        let worst = off.iter().copied().fold(0.0, f64::max);
        assert!(worst <= 100.0, "seed {seed}: {worst} hundredths off");
        println!(
            "seed {seed}: {stats:?}, {worst:.0} hundredths off at most, {} inputs late",
            world.server.late
        );
        assert!(world.server.late <= 38, "seed {seed}: {} of 3800 inputs come late", world.server.late);
        assert_eq!((stats.time_jumps, stats.clock_steps), (0, 0), "seed {seed}");
    }
    assert!(frames > 5 * 3700, "{frames}");
    assert!(corrections * 1000 <= frames, "{corrections} corrections in {frames} frames");
}

#[test]
fn others_are_drawn_near_their_true_path() {
    let mut off = Vec::new();
    for seed in 1..=5 {
        let mut world = World::new(seed, BAD).with_others(6);
        let mut drawn = Vec::new();
        world.run(3.0);
        watch(&mut world, 57.0, |world, _, frame| {
            let others = world.client.view().at(frame.view_tick).filter(|drawn| drawn.index > 0);
            drawn.extend(others.map(|drawn| (frame.view_tick, drawn)));
        });
        assert!(drawn.len() >= 6 * 3500, "all are drawn all the time: {}", drawn.len());
        for (tick, drawn) in drawn {
            let Some(truth) = world.truth(drawn.index, tick) else { continue };
            off.push(distance(truth, (drawn.x, drawn.y)));
        }
    }
    off.sort_by(f64::total_cmp);
    let most = |per_mille: usize| off[(off.len() - 1) * per_mille / 1000];
    println!(
        "{:.0} hundredths off at 99 %, {:.0} at 99.9 %, {:.0} at most",
        most(990),
        most(999),
        most(1000)
    );
    // who turns right after a snapshot that is lost is half of the way between two wrong: 48 hundredths straight
    assert!(most(990) <= 25.0, "{} hundredths off at 99 %", most(990));
    assert!(most(999) <= 50.0, "{} hundredths off at 99.9 %", most(999));
    assert!(most(1000) <= 150.0, "{} hundredths off", most(1000));
}

#[test]
fn times_that_are_drawn_never_go_back_and_go_evenly() {
    let mut world = World::new(3, BAD).with_others(1);
    world.run(40.0);
    let (least, most) = rates(&world, 0.0);
    assert!((0.93..=1.07).contains(&least) && (0.93..=1.07).contains(&most), "{least} to {most}");
    for pair in world.frames.windows(2) {
        if pair[0].1.view_tick <= 0.0 {
            continue; // the server has only just begun
        }
        let went = pair[1].1.view_tick - pair[0].1.view_tick;
        let real = pair[1].0.saturating_sub(pair[0].0).as_secs_f64() * HZ;
        assert!((0.84..=1.16).contains(&(went / real)), "{went} ticks in {real} at {:?}", pair[0].0);
        let delay = (pair[0].1.tick - pair[0].1.view_tick) / HZ;
        assert!((0.05..0.45).contains(&delay), "{delay} s between the player and the others");
    }
}

#[test]
fn a_server_that_sends_late_is_not_taken_for_a_late_one() {
    let mut world = World::new(1, GOOD);
    world.server.flush_takes = Duration::from_millis(12);
    world.run(3.0);
    let shown = world.client.server_tick(common::at(world.elapsed)).expect("known");
    let truth = world.server_tick();
    assert!((shown - truth).abs() < 0.1, "{shown} instead of {truth}");
}

#[test]
fn inputs_land_just_before_their_tick() {
    let mut world = World::new(1, GOOD);
    world.run(4.0);
    let late = world.server.late;
    world.run(10.0);
    assert_eq!(world.server.late, late);
    let early: Vec<_> = world.server.early.iter().copied().collect();
    assert!(early.iter().all(|early| (0..=2).contains(early)), "whole ticks early: {early:?}");
    assert_eq!(world.client.unsettled_inputs() as u64, 4 + 1, "a round trip, a snapshot and a margin");
}

#[test]
fn a_starved_server_has_its_inputs_earlier_and_in_time_again_within_three_seconds() {
    let mut world = World::new(1, GOOD);
    world.run(20.0);
    let (late, stats) = (world.server.late, world.client.stats());
    assert_eq!(world.client.stats().hurry, 0);
    let before = world.frames.last().expect("frames").1.tick - 20.0 * HZ;
    world.network.there_ms += 50;
    let speeding = world.elapsed.as_secs_f64();
    world.run(3.0);
    assert!(world.server.late > late, "its inputs came late at first");
    let (least, most) = rates(&world, speeding);
    assert!(most > 1.05, "the client's time went faster: {most}");
    assert!((0.93..=1.07).contains(&least) && most <= 1.07, "but not by more: {least} to {most}");
    let late = world.server.late;
    world.run(17.0);
    assert_eq!(world.server.late, late, "all are in time again");
    let gained = world.frames.last().expect("frames").1.tick - 40.0 * HZ - before;
    assert!((2.2..6.0).contains(&gained), "{gained} ticks for 3.2 of delay");
    assert!(world.client.stats().hurry_corrections > stats.hurry_corrections);
    assert_eq!(world.client.stats().time_jumps, 0);
    // and when the way is short again, inputs wait no longer than they must
    world.network.there_ms -= 50;
    world.run(10.0);
    let back = world.frames.last().expect("frames").1.tick - 50.0 * HZ - before;
    assert!(back.abs() < 1.5, "{back} ticks more than before");
}

#[test]
fn a_server_that_stalls_is_found_again() {
    let mut world = World::new(1, BAD).with_others(2);
    world.run(20.0);
    world.stalled_until = world.elapsed + Duration::from_millis(300);
    world.run(10.0);
    assert_eq!(world.client.stats().clock_steps, 0);
    let late = world.server.late;
    world.run(10.0);
    assert!(world.server.late - late <= 6, "{} of 640 inputs are late", world.server.late - late);
    let frames = &world.frames;
    assert!(frames.windows(2).all(|pair| pair[1].1.view_tick > pair[0].1.view_tick), "others never go back");
    let truth = world.server_tick();
    let shown = world.client.server_tick(common::at(world.elapsed)).expect("known");
    assert!((shown - truth).abs() < 0.5, "{shown} instead of {truth}");
}

#[test]
fn a_refused_walk_snaps_back() {
    let mut world = World::new(1, GOOD);
    world.run(2.0);
    let wall = world.server.field.own(0).expect("there").x;
    world.server.field.wall = Some(wall);
    (world.walk, world.turns) = (EAST, None);
    world.events.clear();
    while !world.events.iter().any(|event| matches!(event, Event::Corrected { .. })) {
        world.step();
    }
    let own = |world: &World| world.frames.last().and_then(|(_, frame)| frame.own).expect("drawn").0;
    let predicted = world.frames.iter().rev().take(8).filter_map(|(_, frame)| frame.own).map(|own| own.0);
    let furthest = predicted.fold(0.0, f64::max);
    assert!(furthest > f64::from(wall + 2 * STEP), "it was drawn where it was going: {furthest}");
    world.plays = false;
    world.run(0.02);
    let open = f64::from(i32::try_from(world.client.unsettled_inputs()).expect("few") * STEP);
    assert!(own(&world) <= f64::from(wall) + open, "nothing is drawn of what was refused: {}", own(&world));
    world.run(0.3);
    let frame = world.frames[world.frames.len() - 10].1;
    let truth = world.truth(0, frame.tick - 1.0).expect("over by now");
    let is_true = distance(frame.own.expect("drawn"), truth);
    assert!(is_true < 1e-6, "and in the end it is where the server has it: {is_true} off");
}

#[test]
fn every_input_has_one_outcome_and_it_is_the_servers() {
    let mut world = World::new(9, BAD);
    world.server.field.wall = Some(common::walk::START);
    world.run(60.0);
    world.plays = false;
    world.run(2.0);
    let mut outcomes: BTreeMap<u32, Vec<bool>> = BTreeMap::new();
    for event in &world.events {
        match *event {
            Event::Confirmed { input_seq, .. } => outcomes.entry(input_seq).or_default().push(true),
            Event::Rejected { input_seq, .. } => outcomes.entry(input_seq).or_default().push(false),
            _ => {}
        }
    }
    assert!(outcomes.len() > 3700, "{}", outcomes.len());
    for (sequence, outcome) in &outcomes {
        let carried_out = !world.server.refused.contains(sequence);
        assert_eq!(outcome[..], [carried_out], "input {sequence}");
    }
    assert!(world.server.refused.len() > 10, "some were refused: {}", world.server.refused.len());
    assert_eq!(world.client.unsettled_inputs(), 0);
}

#[test]
fn what_happened_is_told_once() {
    let mut world = World::new(4, Network { loss_percent: 30, ..BAD });
    for code in 1..=100 {
        world.run(0.05);
        world.server.notify(code);
        world.server.notify(code);
    }
    world.run(1.0);
    let mut told: Vec<_> = (world.events.iter())
        .filter_map(|event| match event {
            Event::Notice(Notice { code, figures: [1, 2, 3] }) => Some(*code),
            _ => None,
        })
        .collect();
    told.sort_unstable();
    let expected: Vec<u8> = (1..=100).flat_map(|code| [code, code]).collect();
    assert_eq!(told, expected);
}

#[test]
fn a_message_says_how_far_back_its_player_saw_others() {
    for network in [GOOD, BAD] {
        let mut world = World::new(2, network);
        world.run(10.0);
        let frame = world.frames.last().expect("frames").1;
        let lag = frame.tick - frame.view_tick;
        assert!((f64::from(world.server.view_lag) - lag).abs() < 1.5, "{} for {lag}", world.server.view_lag);
    }
}

#[test]
fn a_spectator_sees_others_and_keeps_what_it_knows_of_itself() {
    let mut world = World::new(2, GOOD).with_others(3);
    world.run(2.0);
    let own = world.client.own().map(|(tick, own)| (tick, *own));
    world.server.own = Some(gameserver_protocol::message::FieldList::new(&[5, 5]));
    world.run(2.0);
    let stats = world.client.stats();
    // the last walker may have been under way
    assert!(world.client.own().expect("kept").0 <= own.expect("known").0 + 3);
    assert!((40..=43).contains(&stats.own_unreadable), "{}", stats.own_unreadable);
    assert_eq!(stats.refused, 0);
    assert_eq!(world.seen, 4);
    let mut world = World::new(2, GOOD).with_others(3);
    world.server.own = Some(gameserver_protocol::message::FieldList::default());
    world.run(2.0);
    assert_eq!(world.client.own(), None);
    let frame = world.frames.last().expect("frames").1;
    assert_eq!((frame.own, world.seen), (None, 4));
}

#[test]
fn whoever_plays_without_a_clock_is_served_as_soon_as_possible() {
    let mut world = World::new(2, GOOD);
    world.plays = false;
    world.run(1.0);
    let (sequence, tick) =
        (world.client.send_soon(common::at(world.elapsed), EAST), world.server.field.tick());
    world.run(0.2);
    let confirmed = world.events.iter().find_map(|event| match *event {
        Event::Confirmed { input_seq, tick } if input_seq == sequence => Some(tick),
        _ => None,
    });
    // 20 ms are 1.3 ticks, and there is a snapshot every third
    assert!(confirmed.is_some_and(|confirmed| confirmed - tick <= 2 + 3), "{confirmed:?} after {tick}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever the network does, the client knows just what the server said of the newest tick that it knows.
    #[test]
    fn the_view_is_the_servers_world(
        seed in any::<u64>(), loss_percent in 0..50_u64, jitter_ms in 0..150_u64, snapshot_ticks in 1..6_u64,
    ) {
        let network = Network { loss_percent, jitter_ms, duplicate_percent: 20, ..BAD };
        let mut world = World::new(seed, network).with_others(4);
        world.server.snapshot_ticks = snapshot_ticks;
        let mut known = 0;
        while world.elapsed < Duration::from_secs(6) {
            world.step();
            if world.random.below(150) == 0 {
                let player = 1 + u32::try_from(world.random.below(6)).expect("small");
                if world.server.field.has_joined(player) {
                    world.server.field.leave(player);
                } else {
                    world.server.field.join(player, 1);
                }
            }
            let view = world.client.view();
            let Some(tick) = view.newest_tick().filter(|&tick| tick > known) else { continue };
            known = tick;
            let seen: BTreeMap<_, _> = view.entities().map(|(index, entity)| (index, *entity)).collect();
            prop_assert_eq!(&seen, &world.server.sent[&tick], "at tick {}", tick);
        }
        prop_assert_eq!(world.client.stats().refused, 0);
        prop_assert!(world.client.stats().snapshots > 10);
    }
}
