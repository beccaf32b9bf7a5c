//! What an allocator hears of a server, from its first word to the end of a session.

use super::*;
use gameserver_contract::Holding;
use gameserver_contract::claims::KEY_BYTES_MAX;

const PATIENCE: Patience = Patience { join: Duration::from_secs(60), linger: Duration::from_secs(30) };

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn sessions(limit: u32) -> Sessions {
    Sessions::open(at(0), None, "pod", limit, PATIENCE)
}

fn propose(sessions: &mut Sessions, second: u64, key: &str, is_open: bool) -> Verdict {
    let ask = Ask::Propose { reign: 1, key: key.into() };
    match sessions.ask(at(second), ask, is_open).unwrap() {
        Some(ServerMessage::Judged { key: of, judgement }) => {
            assert_eq!(&*of, key);
            judgement.verdict
        }
        other => panic!("a proposal is judged: {other:?}"),
    }
}

fn over(sessions: &mut Sessions, second: u64, players: u64) -> Vec<(String, End)> {
    let over = sessions.look(at(second), players).unwrap();
    over.into_iter().map(|(key, end)| (key.to_string(), end)).collect()
}

#[test]
fn whoever_greets_hears_what_is_held_and_what_is_over() {
    let mut sessions = sessions(2);
    propose(&mut sessions, 0, "a", true);
    propose(&mut sessions, 30, "b", true);
    assert_eq!(over(&mut sessions, 60, 0), [("a".to_owned(), End::Unused)]);
    let said = sessions.ask(at(61), Ask::Greet { reign: 7 }, true).unwrap();
    let holding = Holding { reign: 7, keys: ["b".into()].into(), ended: ["a".into()].into() };
    assert_eq!(said, Some(ServerMessage::Holding(holding)));
}

#[test]
fn a_session_that_is_released_or_over_makes_room_for_the_next() {
    let mut sessions = sessions(1);
    assert_eq!(propose(&mut sessions, 0, "a", true), Verdict::Taken);
    assert_eq!(propose(&mut sessions, 0, "b", true), Verdict::Full);
    assert_eq!(sessions.ask(at(1), Ask::Release { reign: 1, key: "a".into() }, true).unwrap(), None);
    assert_eq!(propose(&mut sessions, 50, "b", true), Verdict::Taken);
    assert_eq!(
        over(&mut sessions, 100, 0),
        [],
        "it has waited since it was taken, and not for the one before"
    );
    assert_eq!(over(&mut sessions, 110, 0), [("b".to_owned(), End::Unused)]);
    assert_eq!((propose(&mut sessions, 111, "b", true), sessions.count()), (Verdict::Ended, 0));
}

#[test]
fn a_server_that_drains_takes_nothing_new() {
    let mut sessions = sessions(2);
    assert_eq!(propose(&mut sessions, 0, "a", true), Verdict::Taken);
    assert_eq!(propose(&mut sessions, 0, "b", false), Verdict::Full);
    assert_eq!(propose(&mut sessions, 0, "a", false), Verdict::Taken);
}

#[test]
fn what_is_no_key_is_taken_by_nobody() {
    let mut sessions = sessions(2);
    for name in [String::new(), "x".repeat(KEY_BYTES_MAX + 1)] {
        assert_eq!(propose(&mut sessions, 0, &name, true), Verdict::Full, "{} bytes", name.len());
    }
    assert_eq!(sessions.count(), 0);
}
