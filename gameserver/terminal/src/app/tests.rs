//! What keys ask for, and what comes of what the server says.

use super::*;
use crate::scene::Me;
use crate::scene::samples::{me, other, own, scene, spectator};
use gameserver_client::Watched;
use gameserver_game::arena::own::Own;

const START: Duration = Duration::from_secs(1);

fn playing() -> Scene {
    scene(
        Eye::Player(me()),
        vec![
            other(30, Kind::Npc, 503.0, 500.0),
            other(11, Kind::Player, 505.0, 500.0),
            other(12, Kind::Player, 510.0, 500.0),
            other(50, Kind::Item(ItemKind::Coin), 501.0, 500.0),
            other(51, Kind::Item(ItemKind::Potion), 502.0, 500.0),
        ],
    )
}

fn go(east: i32, north: i32, is_long: bool) -> Action {
    Action::Go { way: Way { east, north }, is_long }
}

fn asked(app: &mut App, action: Action, scene: &Scene) -> Option<Wish> {
    match app.act(action, scene) {
        Some(Order::Ask(wish)) => Some(wish),
        None => None,
        other => panic!("{other:?}"),
    }
}

fn last(app: &App) -> &str {
    app.log.last(1).next().map_or("", |line| &line.text)
}

#[test]
fn each_key_of_a_player_asks_for_one_thing_and_decides_nothing() {
    let walk = |x, y| Some(Wish::Do(Intent::Move { x, y }));
    let cast = |skill, target| Some(Wish::Do(Intent::Cast { skill, target }));
    for (action, expected) in [
        (go(1, 0, false), walk(504_000, 500_000)),
        (go(0, -1, true), walk(500_000, 490_500)),
        (Action::Stop, Some(Wish::Do(Intent::Stop))),
        (Action::PickUp, Some(Wish::Do(Intent::PickUp { item: 50 }))),
        (Action::Use(ItemKind::Coin), Some(Wish::Do(Intent::Use { kind: ItemKind::Coin }))),
        (Action::Cast { skill: 0 }, cast(0, 11)),
        (Action::Cast { skill: 3 }, cast(1003, 11)),
        (Action::Cast { skill: 4 }, cast(2001, 0)),
        (Action::Cast { skill: 9 }, None),
        (Action::Next { is_back: false }, None),
        (Action::Help, None),
        (Action::Rejoin, None),
    ] {
        assert_eq!(asked(&mut App::default(), action, &playing()), expected, "{action:?}");
    }
    // nobody and nothing is near, and off the map: the server will say so
    let corner = Own { x: 0, y: 0, ..own() };
    let alone = scene(Eye::Player(Me { confirmed: corner, predicted: None, drawn: (0.0, 0.0) }), Vec::new());
    for (action, expected) in [
        (go(-1, 0, false), walk(-4000, 0)),
        (Action::PickUp, Some(Wish::Do(Intent::PickUp { item: 0 }))),
        (Action::Cast { skill: 0 }, cast(0, 0)),
    ] {
        assert_eq!(asked(&mut App::default(), action, &alone), expected, "{action:?}");
    }
}

#[test]
fn a_walk_goes_on_from_where_it_is_predicted_to_have_come() {
    let predicted = Own { x: 502_000, ..own() };
    let scene = scene(Eye::Player(Me { predicted: Some(predicted), ..me() }), Vec::new());
    let wish = asked(&mut App::default(), go(1, 0, false), &scene);
    assert_eq!(wish, Some(Wish::Do(Intent::Move { x: 506_000, y: 500_000 })));
}

#[test]
fn tab_goes_through_the_living_players_before_npcs_and_around() {
    let mut scene = playing();
    scene.others.push(Other { bits: 1, ..other(13, Kind::Player, 501.0, 500.0) });
    let mut app = App::default();
    let mut step = |is_back| {
        assert_eq!(app.act(Action::Next { is_back }, &scene), None);
        app.aim
    };
    assert_eq!([false, false, false, false].map(&mut step), [11, 12, 30, 11], "never the dead one");
    assert_eq!([true, true].map(&mut step), [30, 12]);
    app.aim = 99;
    app.act(Action::Next { is_back: false }, &scene);
    assert_eq!(app.aim, 11, "whoever was aimed at is gone");
    app.act(Action::Next { is_back: false }, &spectator(0, Vec::new()));
    assert_eq!(app.aim, 0, "there is nobody");
}

#[test]
fn a_spectator_moves_its_camera_follows_and_never_plays() {
    let scene = spectator(0, vec![other(11, Kind::Player, 505.0, 500.0)]);
    let mut app = App::default();
    let place = |x, y| Some(Wish::Watch(Watch::Place { x, y }));
    assert_eq!(asked(&mut app, go(1, 0, false), &scene), place(50_400, 50_000));
    app.asked.push(1, Wish::Watch(Watch::Place { x: 50_400, y: 50_000 }));
    assert_eq!(asked(&mut app, go(1, 0, false), &scene), place(50_800, 50_000), "the first is on its way");
    app.asked.clear();
    for _ in 0..9 {
        assert_eq!(app.act(Action::ZoomOut, &scene), None);
    }
    assert_eq!(app.units_per_column(), 32);
    assert_eq!(asked(&mut app, go(0, 1, true), &scene), place(50_000, 100_000), "no further than the map");
    let follow = Some(Wish::Watch(Watch::Entity { id: 11 }));
    assert_eq!(asked(&mut app, Action::Next { is_back: false }, &scene), follow);
    assert_eq!(app.watch, Some(Watch::Entity { id: 11 }), "to be asked for again after a return");
    for action in [Action::Stop, Action::Cast { skill: 0 }, Action::PickUp, Action::Use(ItemKind::Coin)] {
        assert_eq!(app.act(action, &scene), None, "{action:?}");
    }
    app.see(START, &spectator(12, Vec::new()));
    assert_eq!(app.aim, 12, "whom the server says it follows");
}

#[test]
fn nothing_is_asked_for_before_the_first_news_and_after_the_end() {
    let nobody = scene(Eye::Nobody, Vec::new());
    let mut app = App { ended: Some("over".to_owned()), ..App::default() };
    for action in [go(1, 0, false), Action::Cast { skill: 4 }, Action::PickUp, Action::Stop] {
        assert_eq!(App::default().act(action, &nobody), None, "{action:?}");
        assert_eq!(app.act(action, &playing()), None, "{action:?}");
    }
    assert_eq!(app.act(Action::Rejoin, &nobody), Some(Order::Rejoin));
    assert_eq!(app.act(Action::Leave, &nobody), Some(Order::Leave));
    app.begin_anew();
    assert_eq!((app.act(Action::Rejoin, &nobody), app.ended), (None, None));
}

#[test]
fn a_refused_walk_is_told_with_its_reason_marked_and_snaps_back() {
    let mut app = App::default();
    app.asked.push(1, Wish::Do(Intent::Move { x: 504_000, y: 500_000 }));
    app.asked.push(2, Wish::Do(Intent::Stop));
    let ahead = scene(Eye::Player(Me { drawn: (50_150.0, 50_000.0), ..me() }), Vec::new());
    app.see(START, &ahead);
    assert_eq!((app.snaps, app.marks.len()), (0, 0));
    let reason = RejectReason::CannotMove;
    app.tell(START, Event::Rejected { input_seq: 1, reason }, &ahead);
    app.tell(START, Event::Corrected { tick: 9 }, &ahead);
    assert_eq!(last(&app), "refused: walk: Cannot move in current state");
    assert_eq!(app.asked.open().count(), 1, "it is decided");
    app.see(START, &playing());
    assert_eq!((app.snaps, last(&app)), (1, "snapped back by 1.5 units"));
    let marked: Vec<_> = app.marks.iter().map(|mark| mark.place).collect();
    assert_eq!(
        marked,
        [(50_400.0, 50_000.0), (50_150.0, 50_000.0)],
        "where it was to go, and where it was drawn"
    );
    app.see(START + MARK_SHOWN, &playing());
    assert!(app.marks.is_empty());
}

#[test]
fn only_a_refusal_that_moves_the_player_is_a_snap() {
    let there = scene(Eye::Player(Me { drawn: (60_000.0, 50_000.0), ..me() }), Vec::new());
    let refused = Event::Rejected { input_seq: 1, reason: RejectReason::SkillOnCooldown };
    for (name, event, then, snaps) in [
        ("refused where it stands", Some(refused), playing(), 0),
        ("refused and somewhere else", Some(refused), there.clone(), 1),
        ("walked on", None, there.clone(), 0),
        ("put elsewhere", Some(Event::Notice(Notice::Respawned { x: 1, y: 1 }.into())), there, 0),
    ] {
        let mut app = App::default();
        app.see(START, &playing());
        if let Some(event) = event {
            app.tell(START, event, &playing());
        }
        app.see(START, &then);
        assert_eq!(app.snaps, snaps, "{name}");
    }
}

#[test]
fn what_is_confirmed_or_given_up_is_open_no_more() {
    let mut app = App::default();
    app.asked.push(1, Wish::Do(Intent::Stop));
    app.asked.push(2, Wish::Do(Intent::PickUp { item: 1 }));
    app.tell(START, Event::Confirmed { input_seq: 1, tick: 5 }, &playing());
    assert_eq!((app.asked.open().count(), last(&app)), (1, ""), "what goes well is not told");
    app.tell(START, Event::GivenUp { input_seq: 2 }, &playing());
    assert_eq!(
        (app.asked.open().count(), last(&app)),
        (0, "given up: pick up: the server will not say what became of it")
    );
    app.tell(START, Event::Rejected { input_seq: 9, reason: RejectReason::RateLimited }, &playing());
    assert_eq!(last(&app), "refused: input 9: Too many inputs");
    app.tell(START, Event::Notice(gameserver_client::Notice { code: 250, figures: [0; 3] }), &playing());
    assert_eq!(last(&app), "refused: input 9: Too many inputs", "a notice of a younger server says nothing");
}

#[test]
fn marks_of_refusals_are_bounded() {
    let mut app = App::default();
    for sequence in 0..100 {
        app.asked.push(sequence, Wish::Do(Intent::Move { x: 1, y: 1 }));
        app.tell(
            START,
            Event::Rejected { input_seq: sequence, reason: RejectReason::OutOfBounds },
            &playing(),
        );
    }
    assert_eq!((app.marks.len(), app.log.last(9).count()), (MARKS_MAX, 1));
}

#[test]
fn a_spectator_who_lost_whom_it_followed_keeps_its_aim() {
    let mut app = App { aim: 12, ..App::default() };
    app.see(START, &scene(Eye::Spectator(Watched::default()), Vec::new()));
    assert_eq!(app.aim, 12, "so that tab goes on from there");
}
