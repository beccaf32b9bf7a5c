//! Screens by table: what of a moment is shown where, and how.

use std::ffi::OsStr;
use std::time::Duration;

use gameserver_client::{Event, RejectReason};
use gameserver_game::arena::effects::Effect;
use gameserver_game::arena::intents::Intent;
use gameserver_game::arena::items::ItemKind;
use gameserver_game::arena::own::Own;
use gameserver_game::arena::round::Phase;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier};

use super::*;
use crate::asked::Wish;
use crate::keys::Action;
use crate::log::Tone;
use crate::scene::samples::{me, other, own, scene, spectator};
use crate::scene::{Eye, Kind, Me, Other};

const NOW: Duration = Duration::from_secs(65);

fn render(app: &App, scene: &Scene, theme: Theme, width: u16, height: u16) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, app, scene, theme)).unwrap();
    terminal.backend().buffer().clone()
}

fn lines(buffer: &Buffer) -> Vec<String> {
    let row = |y| (0..buffer.area.width).map(|x| buffer[(x, y)].symbol()).collect::<String>();
    (0..buffer.area.height).map(|y| row(y).trim_end().to_owned()).collect()
}

fn screen(app: &App, scene: &Scene) -> String {
    lines(&render(app, scene, Theme::new(true), 100, 30)).join("\n")
}

/// Where a glyph is on the map of a screen of 100 by 30, relative to the middle: columns east, rows north.
fn spots(buffer: &Buffer, glyph: &str) -> Vec<(i32, i32)> {
    // the map has the left 66 columns and the rows 4 to 22, with a frame
    let (middle_x, middle_y) = (1 + 64 / 2, 5 + 17 / 2);
    let map = (5..22).flat_map(|y| (1..65).map(move |x| (x, y)));
    let found = map.filter(|&(x, y)| buffer[(x, y)].symbol() == glyph);
    found.map(|(x, y)| (i32::from(x) - middle_x, middle_y - i32::from(y))).collect()
}

fn map_of(app: &App, scene: &Scene, glyph: &str) -> Vec<(i32, i32)> {
    spots(&render(app, scene, Theme::new(true), 100, 30), glyph)
}

fn playing(others: Vec<Other>) -> Scene {
    scene(Eye::Player(me()), others)
}

#[test]
fn everything_is_on_the_map_where_it_is_two_units_a_row() {
    let scene = playing(vec![
        other(11, Kind::Player, 503.0, 500.0),
        other(30, Kind::Npc, 498.0, 504.0),
        other(50, Kind::Item(ItemKind::Potion), 500.0, 496.0),
        other(51, Kind::Item(ItemKind::ManaPotion), 510.0, 502.0),
        other(52, Kind::Item(ItemKind::Coin), 490.0, 500.0),
        Other { bits: 1, ..other(12, Kind::Player, 506.0, 498.0) },
        other(13, Kind::Player, 533.0, 500.0),
    ]);
    let app = App::default();
    for (glyph, expected) in [
        ("@", (0, 0)),
        ("P", (3, 0)),
        ("n", (-2, 2)),
        ("!", (0, -2)),
        ("?", (10, 1)),
        ("$", (-10, 0)),
        ("%", (6, -1)),
    ] {
        assert_eq!(map_of(&app, &scene, glyph), [expected], "{glyph}");
    }
    let mut far = App::default();
    far.act(Action::ZoomOut, &scene);
    assert_eq!(
        map_of(&far, &scene, "P"),
        [(1, 0), (16, 0)],
        "twice as far, and there is one more to be seen"
    );
}

#[test]
fn the_ground_passes_by_and_ends_at_the_edge_of_the_map() {
    let at = |x: i32, y: i32| {
        let own = Own { x: x * 1000, y: y * 1000, target_x: x * 1000, target_y: y * 1000, ..own() };
        let drawn = (f64::from(x) * 100.0, f64::from(y) * 100.0);
        scene(Eye::Player(Me { confirmed: own, predicted: Some(own), drawn }), Vec::new())
    };
    let app = App::default();
    let east = |scene: &Scene| map_of(&app, scene, ".").iter().map(|spot| spot.0).max();
    assert_eq!(east(&at(500, 500)).unwrap() - east(&at(501, 500)).unwrap(), 1, "one to the west");
    assert!(map_of(&app, &at(500, 500), "#").is_empty());
    let beyond = map_of(&app, &at(0, 0), "#");
    assert!(
        beyond.contains(&(-1, 0)) && beyond.contains(&(0, -1)) && !beyond.contains(&(0, 0)),
        "{beyond:?}"
    );
    assert!(map_of(&app, &at(1000, 1000), "#").contains(&(1, 0)));
}

#[test]
fn what_is_only_predicted_is_marked_and_the_confirmed_stays_in_sight() {
    let predicted = Own { x: 502_000, mana: 70, ..own() };
    let walking = Own { target_x: 504_000, mana: 95, ..own() };
    let me = Me { confirmed: walking, predicted: Some(predicted), drawn: (50_200.0, 50_000.0) };
    let mut scene = scene(Eye::Player(me), Vec::new());
    scene.open_inputs = 1;
    let mut app = App::default();
    app.asked.push(1, Wish::Do(Intent::Move { x: 506_000, y: 500_000 }));
    let buffer = render(&app, &scene, Theme::new(true), 100, 30);
    assert_eq!(spots(&buffer, "@"), [(-2, 0)], "where the server has it");
    assert_eq!(spots(&buffer, "~"), [(0, 0), (4, 0)], "where it may be, and where it asked to go");
    assert_eq!(spots(&buffer, "+"), [(2, 0)], "where the server lets it go");
    let cell = &buffer[(33, 13)];
    assert!(cell.fg == Color::LightCyan && cell.modifier.contains(Modifier::ITALIC), "{cell:?}");
    let text = lines(&buffer).join("\n");
    for part in ["at 500.0 500.0 ~502.0 500.0", "95 ~70", "~1 open"] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    let still = screen(&App::default(), &playing(Vec::new()));
    assert!(!still.contains('~'), "nothing is open:\n{still}");
}

#[test]
fn a_refused_move_is_back_where_the_server_has_it_and_marked() {
    let mut app = App::default();
    app.asked.push(1, Wish::Do(Intent::Move { x: 504_000, y: 500_000 }));
    let ahead = scene(Eye::Player(Me { drawn: (50_200.0, 50_000.0), ..me() }), Vec::new());
    app.see(NOW, &ahead);
    app.tell(NOW, Event::Rejected { input_seq: 1, reason: RejectReason::CannotMove }, &ahead);
    let back = playing(Vec::new());
    app.see(NOW, &back);
    assert_eq!((map_of(&app, &back, "@"), map_of(&app, &back, "~")), (vec![(0, 0)], vec![]));
    assert_eq!(map_of(&app, &back, "x"), [(2, 0), (4, 0)]);
    let text = screen(&app, &back);
    for part in
        ["1:05 refused: walk: Cannot move in current state", "1:05 snapped back by 2.0 units", "snaps 1"]
    {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    app.see(NOW + Duration::from_secs(2), &back);
    assert_eq!(map_of(&app, &back, "x"), []);
}

#[test]
fn who_is_near_is_listed_with_health_and_whom_one_aims_at_stands_out() {
    let mut scene = playing(vec![
        Other { health: 45, bits: Effect::Slow.bit(), ..other(11, Kind::Player, 503.0, 500.0) },
        other(30, Kind::Npc, 520.0, 500.0),
        Other { health: 1, ..other(31, Kind::Npc, 530.0, 500.0) },
        Other { health: 0, bits: 1, ..other(12, Kind::Player, 540.0, 500.0) },
        other(50, Kind::Item(ItemKind::Potion), 501.0, 500.0),
    ]);
    let mut app = App::aiming_at(11);
    let text = screen(&app, &scene);
    for part in [
        ">P player 11 3u █████░░░░░  45",
        " n NPC 30 20u ██████████  60",
        " n NPC 31 30u █░░░░░░░░░   1",
        " % player 12 40u ░░░░░░░░░░   0",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    let buffer = render(&app, &scene, Theme::new(true), 100, 30);
    let aimed: Vec<_> = (0..100).filter(|&x| buffer[(x, 13)].modifier.contains(Modifier::REVERSED)).collect();
    assert_eq!(aimed, [36], "the player on the map");
    app.is_centred_on_aim = true;
    assert_eq!((map_of(&app, &scene, "P"), map_of(&app, &scene, "@")), (vec![(0, 0)], vec![(-3, 0)]));
    scene.others.clear();
    assert!(screen(&app, &scene).contains("│nobody"));
}

#[test]
fn oneself_is_told_with_all_that_the_server_said() {
    let own = Own {
        health: 40,
        mana: 15,
        effects: [0, 0, 32, 0, 0],
        cooldowns: [0, 96, 0, 0, 0, 0],
        bag: [2, 0, 7],
        kills: 3,
        deaths: 1,
        phase: Phase::Running,
        phase_left: 64 * 90,
        ..own()
    };
    let of = |own| scene(Eye::Player(Me { confirmed: own, ..me() }), Vec::new());
    let text = screen(&App::new("arena-1 192.0.2.1:7000".to_owned()), &of(own));
    for part in [
        "arena-1 192.0.2.1:7000  tick 1234  round trip 2.1 ms",
        "health ████░░░░░░  40  mana ██░░░░░░░░  15",
        "coin 7  match  kills 3  deaths 1  90 s left  stunned 0.5 s",
        "f attack  1 bleed 1.5 s  2 slow",
        "potion 2  mana potion 0",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    let dead = Own { health: 0, dead: 160, ..own };
    assert!(screen(&App::default(), &of(dead)).contains("dead for 2.5 s"));
    assert_eq!(map_of(&App::default(), &of(dead), "%"), [(0, 0)]);
}

#[test]
fn a_spectator_is_told_where_it_looks_and_whom_it_follows() {
    let free = screen(&App::default(), &spectator(0, Vec::new()));
    assert!(
        free.contains("spectator at 500.0 500.0  free camera") && free.contains(" camera, 1 units"),
        "{free}"
    );
    assert!(!free.contains("health") && !free.contains('@'), "{free}");
    let scene = spectator(11, vec![other(11, Kind::Player, 505.0, 500.0)]);
    let follows = screen(&App::default(), &scene);
    assert!(follows.contains("following player 11") && follows.contains(" following #11"), "{follows}");
    assert_eq!(map_of(&App::default(), &scene, "P"), [(0, 0)]);
}

#[test]
fn silence_the_end_and_the_keys_are_shown() {
    let mut app = App::default();
    let silent = Scene { silence: Duration::from_millis(2300), ..playing(Vec::new()) };
    assert!(screen(&app, &silent).contains("no word for 2.3 s"));
    app.ended = Some("the server said goodbye".to_owned());
    let over = screen(&app, &silent);
    assert!(over.contains("the server said goodbye") && over.contains("r joins again, q leaves"), "{over}");
    assert!(!over.contains("no word"), "{over}");
    app.act(Action::Help, &silent);
    let help = screen(&app, &silent);
    for (keys, meaning) in crate::keys::HELP {
        assert!(help.contains(keys) && help.contains(meaning), "{keys} in\n{help}");
    }
    let unknown = screen(&App::default(), &scene(Eye::Nobody, Vec::new()));
    assert!(unknown.contains("waiting for the first news"), "{unknown}");
}

#[test]
fn it_fits_into_any_terminal() {
    let mut app = App::aiming_at(11);
    (app.shows_help, app.ended) = (true, Some("over".to_owned()));
    app.log.push(NOW, Tone::Plain, "a line that is longer than many a terminal is wide, and then some");
    let scene = playing(vec![other(11, Kind::Player, 503.0, 500.0)]);
    for width in [1, 2, 5, 23, 24, 40, 63, 64, 80, 200] {
        for height in [1, 2, 3, 7, 8, 17, 18, 24, 60] {
            let text = lines(&render(&app, &scene, Theme::new(true), width, height)).join("\n");
            let is_small = width < 24 || height < 8;
            assert_eq!(text.starts_with("too"), is_small && width > 2, "{width} by {height}:\n{text}");
        }
    }
    let app = App::default();
    for (width, height, near, log) in
        [(100, 30, true, true), (63, 30, false, true), (100, 17, true, false), (24, 8, false, false)]
    {
        let text = lines(&render(&app, &scene, Theme::new(true), width, height)).join("\n");
        assert!(text.contains('@'), "{width} by {height}:\n{text}");
        assert_eq!(
            (text.contains(" near "), text.contains(" log ")),
            (near, log),
            "{width} by {height}:\n{text}"
        );
    }
}

#[test]
fn without_colours_nothing_has_one_and_what_is_marked_still_is() {
    let mut app = App::aiming_at(11);
    app.asked.push(1, Wish::Do(Intent::Move { x: 506_000, y: 500_000 }));
    app.log.push(NOW, Tone::Refused, "refused");
    let scene = playing(vec![other(11, Kind::Player, 503.0, 500.0), other(30, Kind::Npc, 498.0, 500.0)]);
    let has_colour = |theme| {
        let buffer = render(&app, &scene, theme, 100, 30);
        buffer.content.iter().any(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset)
    };
    assert!(has_colour(Theme::new(true)) && !has_colour(Theme::new(false)));
    let buffer = render(&app, &scene, Theme::new(false), 100, 30);
    assert!(buffer[(39, 13)].symbol() == "~" && buffer[(39, 13)].modifier.contains(Modifier::ITALIC));
    assert!(buffer[(36, 13)].modifier.contains(Modifier::REVERSED));
}

#[test]
fn there_are_colours_unless_somebody_says_no() {
    for (no_color, has_colours) in [(None, true), (Some(""), true), (Some("1"), false), (Some("0"), false)] {
        assert_eq!(Theme::of(no_color.map(OsStr::new)), Theme::new(has_colours), "{no_color:?}");
    }
}
