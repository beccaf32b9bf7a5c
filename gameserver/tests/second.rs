//! A client in another language, by another hand, plays on the real program and sees what clients of this one see.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up must stop")]

#[path = "../protocol/tests/second/build.rs"]
mod build;
mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use common::{Player, Players, Server, TempFile, mint, now};
use gameserver::{format_key, random_bytes};
use gameserver_client::RejectReason;
use gameserver_protocol::message::Entity;
use serde_json::Value;

/// Enough that some are near wherever one stands.
const PLAYERS: u32 = 64;
const SECONDS: &str = "10";

type Told = BTreeMap<(u64, u32), Entity>;

/// The second implementation at play. Killed when dropped.
struct Second(Child);

impl Drop for Second {
    fn drop(&mut self) {
        let _killed = self.0.kill();
        let _reaped = self.0.wait();
    }
}

fn int<T: TryFrom<i64>>(value: &Value) -> T {
    let wide = value.as_i64().unwrap_or_else(|| panic!("{value} is no integer"));
    T::try_from(wide).unwrap_or_else(|_out_of_range| panic!("{wide} is out of range"))
}

fn rows<const N: usize>(report: &Value, name: &str) -> Vec<[i64; N]> {
    let rows = report[name].as_array().unwrap().iter();
    rows.map(|row| std::array::from_fn(|at| int(&row[at]))).collect()
}

/// What it was told of others, by tick and index.
fn seen(report: &Value) -> Told {
    let entity = |row: [i64; 10]| {
        let [tick, index, id, kind, x, y, fields @ ..] = row;
        let int = |wide| i32::try_from(wide).unwrap();
        let entity = Entity {
            id: u32::try_from(id).unwrap(),
            kind: u8::try_from(kind).unwrap(),
            x: int(x),
            y: int(y),
            fields: fields.map(int),
        };
        ((u64::try_from(tick).unwrap(), u32::try_from(index).unwrap()), entity)
    };
    rows(report, "seen").into_iter().map(entity).collect()
}

/// What all players together were told; two who were told of one entity at one tick were told the same.
fn told(players: &mut [Player]) -> Told {
    let mut all = Told::new();
    for (key, entity) in players.iter_mut().flat_map(|player| player.told.take().unwrap()) {
        assert_eq!(*all.entry(key).or_insert(entity), entity, "{key:?}");
    }
    all
}

/// Players of this implementation play together with one of the other, whose slot is the first that is free. Those who see it
/// leave halfway. Returns what they were told, and its report.
fn play_together() -> (Told, Value) {
    let program = build::program(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/protocol/tests/second")));
    let key = random_bytes().unwrap();
    let file = TempFile::new("key", format_key(&key));
    let capacity = (PLAYERS + 1).to_string();
    let server = Server::start(&["--key-file", file.path(), "--capacity", &capacity]);
    let mut players = Players::new(PLAYERS.into(), server.udp, &key);
    players.play_until("everyone", |players| players.iter().all(Player::is_playing));
    for player in &mut players.players {
        player.told = Some(Vec::new());
    }

    let token = mint(1000, server.udp, &key, now(&players.clock));
    let token = TempFile::new("token", &token.to_bytes()[..]);
    let report = TempFile::new("report", "");
    let mut command = Command::new(program);
    command.args(["play", token.path(), report.path(), SECONDS]).stderr(Stdio::piped());
    let mut second = Second(command.spawn().unwrap());
    let half = players.clock.monotonic() + std::time::Duration::from_secs(5);
    let clock = players.clock;
    players.play_until("half of the play", |_| clock.monotonic() >= half);
    for player in &mut players.players {
        if player.client.view().get(PLAYERS).is_some() {
            player.client.disconnect();
        }
    }
    let mut ended = None;
    players.play_until("the end of the play", |_| {
        ended = second.0.try_wait().unwrap();
        ended.is_some()
    });
    let mut said = String::new();
    std::io::Read::read_to_string(&mut second.0.stderr.take().unwrap(), &mut said).unwrap();
    assert!(ended.unwrap().success(), "{said}");
    let report = serde_json::from_str(&std::fs::read_to_string(&report.0).unwrap()).unwrap();
    (told(&mut players.players), report)
}

/// All but two inputs were carried out: what is no intent, and a move that goes too far. (A machine that stands still for
/// a moment bunches moves.)
fn assert_inputs_are_settled(report: &Value) {
    let rejected = report["rejected"].as_array().unwrap();
    let reason = |name: &str| {
        let of = |one: &&Value| one["sequence"] == report[name];
        rejected.iter().find(of).map(|one| RejectReason::from_code(int(&one["reason"])).unwrap())
    };
    assert_eq!(reason("unknown"), Some(RejectReason::UnknownAction));
    assert_eq!(reason("too_far"), Some(RejectReason::MoveTooFar));
    assert!(int::<u32>(&report["cast"]) > 0 && reason("cast").is_none(), "{rejected:?}");
    let bunched = |one: &&Value| one["reason"] == RejectReason::MoveOnCooldown.code();
    assert_eq!(rejected.iter().filter(bunched).count() + 2, rejected.len(), "{rejected:?}");
    let sent = int::<usize>(&report["sent"]);
    assert_eq!(int::<usize>(&report["confirmed"]) + rejected.len(), sent);
    assert!(sent >= 200, "a machine that is a third as fast as it should be: {sent} inputs");
}

/// Its session lost and doubled packets, and lost nothing by that; then it came back from another port.
fn assert_session_holds(report: &Value) {
    let count = |name: &str| int::<u64>(&report[name]);
    assert!(count("snapshots") >= 300, "{}", report["snapshots"]);
    assert!(count("lost") >= 30 && count("doubled") >= 20, "{} {}", report["lost"], report["doubled"]);
    assert!(count("replays") >= count("doubled"), "each packet that comes twice is refused once");
    assert_eq!((count("forged"), count("malformed")), (0, 0));
    assert_eq!((count("client_index"), count("max_clients")), (PLAYERS.into(), u64::from(PLAYERS) + 1));
    assert!(count("resume_tokens") >= 1);
    assert_eq!(report["resumed_index"], report["client_index"], "it is back in its place");
    let last = rows::<3>(report, "own").last().unwrap()[0];
    let resumed = count("resumed_tick");
    assert!(resumed > u64::try_from(last).unwrap(), "{resumed} {last} {}", report["mismatches"]);
}

#[test]
fn a_second_implementation_plays_and_sees_what_the_first_sees() {
    let (told, report) = play_together();
    assert_inputs_are_settled(&report);
    assert_session_holds(&report);

    assert_eq!(report["mismatches"], Value::Array(Vec::new()), "changes of what it does not know");
    for kind in ["full", "since", "gone"] {
        assert!(int::<u64>(&report["cells"][kind]) > 0, "{}", report["cells"]);
    }
    let seen = seen(&report);
    let common: Vec<_> = seen.iter().filter_map(|(key, one)| Some((key, one, told.get(key)?))).collect();
    assert!(common.len() >= 50, "both were told {} of {} states", common.len(), seen.len());
    for (key, one, other) in common {
        assert_eq!(one, other, "{key:?}");
    }

    // and what others were told of it is what it was told of itself, in hundredths instead of thousandths
    let own = rows::<3>(&report, "own");
    let of_it = own
        .iter()
        .filter_map(|&[tick, x, y]| Some(([x, y], told.get(&(u64::try_from(tick).unwrap(), PLAYERS))?)));
    let places: Vec<_> = of_it.map(|(own, entity)| (own, [entity.x, entity.y])).collect();
    assert!(places.len() >= 20, "others were told of it at {} ticks", places.len());
    for (own, shown) in places {
        assert!(own.iter().zip(shown).all(|(own, shown)| own / 10 == i64::from(shown)), "{own:?} {shown:?}");
    }
}
