//! What a client predicts of a player whom nobody disturbs is what the server does with it.

use super::*;
use crate::arena::effects::Effects;
use crate::arena::items::ItemKind;
use crate::arena::round::Phase;
use gameserver_protocol::message::{Fields, MAX_OWN_FIELDS};
use proptest::prelude::*;

/// What a player wants, before it is known where it is.
#[derive(Clone, Copy, Debug)]
enum Wish {
    Walk(i32, i32),
    Fixed(Intent),
}

fn wish() -> impl Strategy<Value = Wish> {
    let way = -12_000..12_000;
    let skill = prop_oneof![Just(2001), Just(2002), Just(0), 1001_u32..1004, any::<u32>()];
    prop_oneof![
        6 => (way.clone(), way).prop_map(|(dx, dy)| Wish::Walk(dx, dy)),
        1 => any::<(i32, i32)>().prop_map(|(x, y)| Wish::Fixed(Intent::Move { x, y })),
        2 => (skill, 0_u32..5).prop_map(|(skill, target)| Wish::Fixed(Intent::Cast { skill, target })),
        2 => (0_usize..3).prop_map(|kind| Wish::Fixed(Intent::Use { kind: ItemKind::ALL[kind] })),
        1 => (0_u32..5).prop_map(|item| Wish::Fixed(Intent::PickUp { item })),
        1 => Just(Wish::Fixed(Intent::Stop)),
    ]
}

/// Where a player begins: tick rate, ticks until each effect ends, health, mana, bag.
type Start = (u32, [u64; 5], i32, i32, [u8; 3]);

fn start() -> impl Strategy<Value = Start> {
    let hz = prop_oneof![Just(20), Just(30), Just(64), Just(128), Just(1000), 1_u32..1000];
    let bag = [0_u8..6, 0..6, 0..21];
    (hz, prop::array::uniform5(0_u64..200), 1..=100, 0..=100, bag)
}

/// Everything that can stand in a snapshot.
fn any_own() -> impl Strategy<Value = Own> {
    let along = || 0..=1_000_000_i32;
    let time = || 0_u16..1 << 15;
    let times = (prop::array::uniform5(time()), time(), prop::array::uniform6(time()));
    let rest = (
        0..=100_i32,
        0..=100_i32,
        0_u8..=24,
        any::<[u8; 3]>(),
        any::<(u32, u32)>(),
        0_usize..3,
        any::<u32>(),
    );
    (along(), along(), along(), along(), times, rest).prop_map(
        |(x, y, target_x, target_y, (effects, dead, cooldowns), rest)| {
            let (health, mana, move_quarters, bag, (kills, deaths), phase, phase_left) = rest;
            Own {
                x,
                y,
                target_x,
                target_y,
                health,
                mana,
                move_quarters,
                effects,
                dead,
                cooldowns,
                bag,
                kills,
                deaths: deaths / 2,
                phase: Phase::ALL[phase],
                phase_left,
            }
        },
    )
}

/// An arena in whose first tick a match has begun, with one player.
fn alone((hz, effects, health, mana, bag): Start) -> Arena {
    let rules = ArenaRules { players_min: 1, match_ms: 1500, ..quiet() };
    let mut arena = Arena::with_rules(Setup { capacity: 1, tick_hz: hz, seed: 3 }, rules);
    arena.join(0, 1);
    wait(&mut arena, 1);
    arena.bodies[0].health = health;
    arena.bodies[0].effects = Effects(effects.map(|left| left + 2));
    (arena.players[0].mana, arena.players[0].bag) = (mana, bag);
    arena
}

proptest! {
    #[test]
    fn prediction_is_what_the_server_does(
        start in start(),
        wishes in prop::collection::vec(prop::collection::vec(wish(), 0..4), 1..200),
    ) {
        let mut arena = alone(start);
        let mut predicted = arena.own(0).expect("there");
        for wishes in wishes {
            let intents: Vec<_> = wishes.into_iter().map(|wish| match wish {
                Wish::Walk(dx, dy) => {
                    Intent::Move { x: arena.bodies[0].x + dx, y: arena.bodies[0].y + dy }
                }
                Wish::Fixed(intent) => intent,
            }).collect();
            let commands: Vec<_> = intents.iter().map(|&intent| (0, intent)).collect();
            step(&mut arena, &commands);
            Arena::predict(start.0, arena.tick(), &mut predicted, &intents);
            let own = arena.own(0).expect("there");
            if arena.round.phase == Phase::Ended && own.phase_left == 0 || own.health == 0 && own.dead == 0 {
                // what comes now is chance
                break;
            }
            prop_assert_eq!(&predicted, &own, "after tick {}", arena.tick());
            let told = own.to_fields();
            prop_assert!(told.as_slice().len() <= MAX_OWN_FIELDS);
            prop_assert_eq!(Own::from_fields(told.as_slice()), Some(own));
            prop_assert_eq!(Arena::place(&own), (arena.bodies[0].x / 10, arena.bodies[0].y / 10));
        }
    }

    #[test]
    fn whatever_state_comes_predicting_it_does_not_panic_and_leads_to_a_state(
        mut own in any_own(),
        tick in prop_oneof![0_u64..10_000, any::<u64>()],
        hz: u32,
        wishes in prop::collection::vec(wish(), 0..4),
    ) {
        for wish in wishes {
            let intent = match wish {
                Wish::Walk(dx, dy) => Intent::Move { x: own.x + dx, y: own.y + dy },
                Wish::Fixed(intent) => intent,
            };
            Arena::predict(hz, tick, &mut own, &[intent]);
            let told = own.to_fields();
            prop_assert_eq!(Own::from_fields(told.as_slice()), Some(own));
        }
    }

    #[test]
    fn whatever_numbers_come_they_are_a_state_or_none(
        own in any_own(),
        key in 0_usize..15,
        value in prop_oneof![-1_i64..200, 0..1_000_001_i64, any::<i64>()],
    ) {
        let mut fields = own.to_fields().as_slice().to_vec();
        prop_assert_eq!(Own::from_fields(&fields), Some(own));
        fields[key] = value;
        if let Some(own) = Own::from_fields(&fields) {
            let told = own.to_fields();
            prop_assert_eq!(told.as_slice(), &fields[..]);
        }
    }
}

#[test]
fn haste_stun_bleeding_and_the_end_of_a_match_are_predicted_to_the_tick() {
    let mut arena = alone((64, [40, 0, 10, 0, 0], 3, 100, [0; 3]));
    let mut predicted = arena.own(0).expect("there");
    let mut deaths = 0;
    for tick in 0..120 {
        let x = arena.bodies[0].x + if arena.bodies[0].x > 500_000 { -9000 } else { 9000 };
        let intents = [Intent::Cast { skill: 2001, target: 0 }, Intent::Move { x, y: arena.bodies[0].y }];
        step(&mut arena, &intents.map(|intent| (0, intent)));
        Arena::predict(HZ, arena.tick(), &mut predicted, &intents);
        assert_eq!(Some(predicted), arena.own(0), "after {tick} ticks");
        deaths = predicted.deaths;
        match tick {
            9 => assert!(!predicted.has(Effect::Stun) && predicted.target_x == predicted.x, "it cannot walk"),
            12 => assert!(predicted.has(Effect::Haste) && predicted.target_x != predicted.x),
            94 => assert_eq!((predicted.phase, predicted.phase_left), (Phase::Running, 0)),
            95 => assert_eq!((predicted.phase, predicted.phase_left), (Phase::Ended, 639)),
            _ => {}
        }
    }
    assert_eq!(deaths, 0, "it bled for two points");
}

#[test]
fn dying_of_bleeding_is_predicted() {
    let mut arena = alone((64, [60, 0, 0, 0, 0], 1, 100, [0; 3]));
    let mut predicted = arena.own(0).expect("there");
    for _ in 0..60 {
        step(&mut arena, &[]);
        Arena::predict(HZ, arena.tick(), &mut predicted, &[]);
        assert_eq!(Some(predicted), arena.own(0));
    }
    assert_eq!((predicted.health, predicted.deaths), (0, 1));
    assert!(predicted.dead > 250);
}

#[test]
fn numbers_that_are_no_state_of_a_player_say_nothing() {
    let own = arena(1).own(0).expect("there").to_fields();
    let fields = own.as_slice();
    assert!(Own::from_fields(fields).is_some());
    assert_eq!(Own::from_fields(&fields[1..]), None);
    assert_eq!(Own::from_fields(&[fields, &[0]].concat()), None);
    for (key, value) in [
        (0, -1),
        (1, 1_000_001),
        (2, 600_000),
        (3, i64::MAX),
        (4, 101),
        (5, -1),
        (6, 25),
        (7, -1),
        (7, 1 << 60),
        (8, 1 << 30),
        (10, 1 << 30),
        (11, 1 << 24),
        (12, 1 << 32),
        (13, -1),
        (14, 3),
        (14, 1 << 34),
    ] {
        let mut wrong = fields.to_vec();
        wrong[key] = value;
        assert_eq!(Own::from_fields(&wrong), None, "{value} at {key}");
    }
}
