//! The terminal client in a pseudo-terminal, against the game server over UDP.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up must stop")]
#![allow(unreachable_pub, reason = "rooms of one test")]

#[path = "../../access/tests/api/mod.rs"]
mod api;
mod common;

use std::process::{Command, Stdio};

use common::pty::{Terminal, client, of_terminal};
use common::relay::Relay;
use common::rival::Rival;
use common::{KEY, Server, await_some, serve};
use gameserver_protocol::derive_server_key;

/// Has this test binary panic while it has the terminal.
const PANIC: &str = "CRANEWING_TERMINAL_TEST_PANIC";

#[test]
fn server_process() {
    serve();
}

fn server() -> Server {
    Server::start("server_process", KEY, 0)
}

fn play(server: &Server, more: &[&str]) -> Terminal {
    let terminal = Terminal::open(client(server.address, more), 100, 30);
    terminal.await_words("joined as a");
    terminal
}

/// The numbers behind these words.
fn place_after(text: &str, words: &str) -> Option<(f64, f64)> {
    let mut numbers = text.split_once(words)?.1.split_whitespace();
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Where the player is confirmed to be.
fn place(text: &str) -> Option<(f64, f64)> {
    place_after(text, "  at ")
}

/// How much farther east than it is confirmed to be the player is predicted to be, if anything is predicted.
fn ahead(text: &str) -> Option<f64> {
    let (x, _) = place(text)?;
    let line = text.lines().find_map(|line| line.split_once("  at "))?.1;
    Some(place_after(line, "~")?.0 - x)
}

/// Columns of the map in which there is this glyph.
fn columns(text: &str, glyph: char) -> Vec<usize> {
    let rows = text.lines().skip(5).take(17);
    rows.flat_map(|row| row.chars().take(65).enumerate().filter(|found| found.1 == glyph))
        .map(|found| found.0)
        .collect()
}

/// A key that walks inward, and by what it changes the place.
fn inward(x: f64) -> (&'static str, f64) {
    if x > 500.0 { ("a", -1.0) } else { ("d", 1.0) }
}

#[test]
fn a_player_joins_walks_where_the_keys_say_and_leaves_the_terminal_as_it_was() {
    let server = server();
    let mut terminal = play(&server, &[]);
    assert!(terminal.is_taken());
    let (x, y) = terminal.await_seen("the player's place", place);
    terminal.await_seen("the player on the map", |text| (!columns(text, '@').is_empty()).then_some(()));
    let (key, sign) = inward(x);
    let dots = columns(&terminal.text(), '.');
    terminal.press(key);
    terminal.await_seen("the walk to be confirmed", |text| {
        let (now, still) = place(text)?;
        ((now - x) * sign > 3.8 && (still - y).abs() < 0.1 && ahead(text).is_none()).then_some(())
    });
    assert_ne!(columns(&terminal.text(), '.'), dots, "the ground has passed by");
    assert!(!terminal.text().contains("refused"), "{}", terminal.text());
    terminal.press("?");
    terminal.await_words("walk; the camera of a spectator");
    terminal.press("q");
    assert!(terminal.wait().success());
    assert!(terminal.is_given_back(), "{}", terminal.text());
    assert!(terminal.text().contains("joining 127.0.0.1"), "what was there before: {}", terminal.text());
}

#[test]
fn a_walk_that_the_server_refuses_is_drawn_as_predicted_and_snaps_to_where_the_server_has_the_player() {
    let server = server();
    let relay = Relay::to(server.address);
    let mut terminal = Terminal::open(client(relay.address, &[]), 100, 30);
    terminal.await_words("joined as a player");
    let (x, y) = terminal.await_seen("the player's place", place);
    // nothing gets through, so the walk is a mere prediction, and shown as one
    relay.hold_inputs(true);
    relay.lose_news(true);
    terminal.press("d");
    terminal.await_seen("the predicted walk", |text| ahead(text).filter(|&ahead| ahead > 1.0));
    terminal.await_seen("the marks of the prediction", |text| (!columns(text, '~').is_empty()).then_some(()));
    assert_eq!(place(&terminal.text()), Some((x, y)), "the confirmed place stays");
    // meanwhile the server puts everybody elsewhere, so the walk is a leap over half the map
    Rival::new(server.address).begin_match();
    relay.hold_inputs(false);
    // a few ticks later the server has refused it
    let lost = relay.lost();
    await_some("some ticks", || (relay.lost() > lost + 4).then_some(()), || terminal.text());
    relay.lose_news(false);
    terminal.await_words("refused: walk: Move distance too large");
    terminal.await_words("snapped back by");
    terminal.await_words("snaps 1");
    terminal.await_seen("the place that the server says", |text| {
        let (east, north) = place(text)?;
        ((east - x).hypot(north - y) > 1.0 && ahead(text).is_none()).then_some(())
    });
    assert!(!terminal.text().contains("resumed"), "{}", terminal.text());
}

#[test]
fn a_spectator_finds_a_player_follows_it_and_sees_it_walk() {
    let server = server();
    let mut player = play(&server, &[]);
    let (x, y) = player.await_seen("the player's place", place);
    let mut spectator = play(&server, &["--spectate"]);
    let camera = |text: &str| place_after(text, "spectator at ");
    assert_eq!(spectator.await_seen("the camera", camera), (500.0, 500.0));

    // at 32 units a column a key is 128 units
    spectator.press("-----");
    spectator.await_words("32 units a column");
    let (mut east, mut north) = (500.0, 500.0);
    while (x - east).abs() > 100.0 || (y - north).abs() > 100.0 {
        let key = match () {
            () if x - east > 100.0 => "d",
            () if east - x > 100.0 => "a",
            () if y - north > 100.0 => "w",
            () => "s",
        };
        spectator.press(key);
        let moved = |text: &str| camera(text).filter(|&place| place != (east, north));
        (east, north) = spectator.await_seen("the camera to move", moved);
    }
    spectator.await_seen("the player", |text| text.contains("P player").then_some(()));
    spectator.press("\t");
    spectator.await_words("following player");
    spectator.press("+++++");
    spectator.await_words("1 units a column");
    let near = |place: (f64, f64), other: (f64, f64)| (place.0 - other.0).hypot(place.1 - other.1) < 0.2;
    spectator.await_seen("the camera to follow", |text| camera(text).filter(|&place| near(place, (x, y))));
    let (key, sign) = inward(x);
    player.press(key);
    let to = player.await_seen("the walk", |text| place(text).filter(|to| (to.0 - x) * sign > 3.8));
    spectator.await_seen("the camera to come along", |text| camera(text).filter(|&place| near(place, to)));

    // a camera that is moved by hand stays where it is, and sees the player go
    spectator.press("w");
    spectator.await_words("free camera");
    let seen = spectator.await_seen("the player off the middle", |text| columns(text, 'P').first().copied());
    player.press(key);
    spectator.await_seen("the player to pass by", |text| {
        let now = columns(text, 'P').first().copied()?;
        (now.abs_diff(seen) >= 3).then_some(())
    });
    assert!(!spectator.text().contains("health"), "{}", spectator.text());
    spectator.press("q");
    assert!(spectator.wait().success() && spectator.is_given_back());
}

#[test]
fn a_server_that_stood_still_is_come_back_to_as_the_same_player() {
    let server = server();
    let terminal = play(&server, &[]);
    let before = terminal.await_seen("the player's place", place);
    // its resume token comes behind the first snapshots
    terminal.await_seen("a measured round trip", |text| (!text.contains("round trip -")).then_some(()));
    let mut spectator = play(&server, &["--spectate"]);
    let is_there = |text: &str| text.contains("spectator at 504.0 500.0").then_some(());
    spectator.press("d");
    spectator.await_seen("the camera to move", is_there);
    server.signal("-STOP");
    terminal.await_words("no word for");
    terminal.await_words("the server is silent; coming back");
    spectator.await_words("the server is silent; coming back");
    server.signal("-CONT");
    terminal.await_words("resumed after");
    let after = terminal.await_seen("the player's place", place);
    assert_eq!(after, before, "the same player");
    spectator.await_words("resumed after");
    spectator.await_seen("the camera where it was", is_there);
}

#[test]
fn a_signal_and_a_panic_give_the_terminal_back() {
    let server = server();
    for name in ["-TERM", "-HUP", "-INT"] {
        let mut terminal = play(&server, &[]);
        assert!(terminal.is_taken());
        terminal.signal(name);
        assert!(terminal.wait().success(), "{name}");
        assert!(terminal.is_given_back(), "{name}: {}", terminal.text());
    }
    let this = std::env::current_exe().unwrap();
    let mut command = of_terminal(this.to_str().unwrap());
    command.args(["panic_in_a_screen", "--exact", "--nocapture"]).env(PANIC, "1");
    let mut terminal = Terminal::open(command, 100, 30);
    assert!(!terminal.wait().success());
    assert!(terminal.is_given_back() && terminal.text().contains("on purpose"), "{}", terminal.text());
}

/// For the test above: panics while it has the terminal, if it is told to.
#[test]
fn panic_in_a_screen() {
    if std::env::var_os(PANIC).is_some() {
        let screen = gameserver_terminal::Screen::take().unwrap();
        // as in a release, which aborts and drops nothing
        std::mem::forget(screen);
        panic!("on purpose");
    }
}

#[test]
fn the_screen_follows_the_size_of_the_terminal_and_has_no_colour_where_none_is_wanted() {
    let server = server();
    let terminal = play(&server, &[]);
    terminal.await_words(" near ");
    assert!(terminal.has_colour());
    terminal.resize(50, 12);
    terminal.await_seen("the small screen", |text| {
        (!text.contains(" near ") && text.contains('@')).then_some(())
    });
    terminal.resize(20, 5);
    terminal.await_words("too small");
    terminal.resize(100, 30);
    terminal.await_words(" near ");

    let mut command = client(server.address, &["--spectate"]);
    command.env("NO_COLOR", "1");
    let terminal = Terminal::open(command, 100, 30);
    terminal.await_words("joined as a spectator");
    assert!(!terminal.has_colour());
}

#[test]
fn whoever_cannot_join_is_told_why() {
    let free = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut nobody = Terminal::open(client(free, &[]), 100, 30);
    assert!(!nobody.wait().success());
    assert!(nobody.text().contains("nobody listens there"), "{}", nobody.text());

    let server = server();
    let mut wrong = of_terminal(env!("CARGO_BIN_EXE_cranewing-terminal"));
    wrong.args(["server", "--address", &server.address.to_string(), "--key", &"cd".repeat(32)]);
    let mut wrong = Terminal::open(wrong, 100, 30);
    assert!(!wrong.wait().success());
    assert!(wrong.text().contains("is this the server's key?") && wrong.is_given_back(), "{}", wrong.text());

    let piped = Command::new(env!("CARGO_BIN_EXE_cranewing-terminal"))
        .args(["server", "--address", "127.0.0.1:1", "--key", &"cd".repeat(32)])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8(piped.stderr).unwrap();
    assert!(!piped.status.success() && said.contains("there is no terminal"), "{said}");
}

#[test]
fn a_server_of_a_fleet_is_found_by_a_kubeconfig_and_entered_by_its_secret() {
    let server = Server::start("server_process", derive_server_key(api::SECRET, "uid-a"), 0);
    let full = api::game_server("full", "uid-b", "127.0.0.1:1".parse().unwrap(), 10);
    let ready = api::game_server("a", "uid-a", server.address, 3);
    let api = api::serve_api(api::list(&[full, ready]));
    let kubeconfig =
        std::env::temp_dir().join(format!("cranewing-terminal-{}.kubeconfig", std::process::id()));
    api::write_kubeconfig(&kubeconfig, api);
    let fleet = |more: &[&str]| {
        let mut command = of_terminal(env!("CARGO_BIN_EXE_cranewing-terminal"));
        command.args(["fleet", "arena", "--namespace", "games", "--context", "test", "--kubeconfig"]);
        command.arg(&kubeconfig).args(more);
        Terminal::open(command, 100, 30)
    };
    for more in [&["--spectate"][..], &["--server", "a", "--player", "7", "--tick-hz", "64"]] {
        let terminal = fleet(more);
        terminal.await_words("joined as a");
        terminal.await_words(&format!("a {}  tick", server.address));
    }
    let mut unknown = fleet(&["--server", "b"]);
    assert!(!unknown.wait().success());
    assert!(unknown.text().contains("Fleet arena has no server b; it has full, a"), "{}", unknown.text());
    std::fs::remove_file(kubeconfig).unwrap();
}

#[test]
fn a_server_that_stops_says_goodbye_and_whoever_wants_to_joins_the_next_one() {
    let server = server();
    let (mut terminal, address) = (play(&server, &[]), server.address);
    server.signal("-TERM");
    terminal.await_words("it is over");
    terminal.await_words("the server said goodbye");
    drop(server);
    terminal.press("r");
    terminal.await_words("nobody listens there");
    let _next = Server::start("server_process", KEY, address.port());
    terminal.press("r");
    terminal.await_words("joined again");
    terminal.await_seen("the player on the map", |text| (!columns(text, '@').is_empty()).then_some(()));
    terminal.press("q");
    assert!(terminal.wait().success() && terminal.is_given_back());
}
