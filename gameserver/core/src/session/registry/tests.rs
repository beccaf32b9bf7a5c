//! Rules of the registry: one token, one session; one player, one place; nobody waits.

use std::time::Duration;

use super::*;

const UNIX: u64 = 1_790_000_000;

pub(super) fn at(seconds: u64) -> Now {
    Now { monotonic: Duration::from_secs(seconds), unix: Duration::from_secs(UNIX + seconds) }
}

pub(super) fn registry(players: usize) -> Arc<Registry> {
    Arc::new(Registry::new(players, UNIX * 1000, &[1; 32]))
}

pub(super) fn member(registry: &Arc<Registry>) -> Member {
    Member::new(Arc::clone(registry), 10).expect("one of few")
}

/// By a backend's token, which is named by its number.
pub(super) fn visitor(client_id: u64, tag: u128) -> Visitor {
    let address = SocketAddr::from(([10, 0, 0, 1], 1000));
    Visitor { client_id, tag, mark: None, address, expire_unix: UNIX + 30 }
}

/// By a resume token of `session`.
pub(super) fn returning(client_id: u64, session: u64, serial: u64) -> Visitor {
    let tag = u128::from(serial) << 64 | u128::from(session);
    Visitor { mark: Some(ResumeMark { session, serial }), ..visitor(client_id, tag) }
}

/// Shows the token and answers the challenge, where there is a place.
pub(super) fn come(member: &mut Member, now: Now, visitor: &Visitor) -> Result<u64, Refusal> {
    let session = member.next_serial(now);
    assert_eq!(member.present(now, visitor)?, Room::Free);
    assert_eq!(member.enter(now, visitor, session)?, Room::Free);
    Ok(session)
}

#[test]
fn serials_grow_whatever_the_clock_does_and_two_servers_share_them() {
    let registry = registry(10);
    let (one, two) = (member(&registry), member(&registry));
    let first = one.next_serial(at(10));
    assert_eq!(first, ((UNIX + 10) * 1000) << 20);
    assert_eq!(two.next_serial(at(10)), first + 1);
    assert_eq!(one.next_serial(at(5)), first + 2, "the clock went back");
    assert_eq!(two.next_serial(at(11)), ((UNIX + 11) * 1000) << 20);
}

#[test]
fn sequences_outside_of_sessions_never_repeat_between_servers() {
    let registry = registry(10);
    let (one, two) = (member(&registry), member(&registry));
    let start = 1 << 63 | (UNIX * 1000) << 20;
    assert_eq!([one.next_global(), two.next_global(), one.next_global()], [start, start + 1, start + 2]);
    assert_ne!(one.number(), two.number());
}

#[test]
fn a_token_opens_one_session_whichever_servers_it_is_shown_to() {
    let registry = registry(10);
    let (mut one, mut two) = (member(&registry), member(&registry));
    let token = visitor(1, 7);
    assert_eq!(
        (one.present(at(0), &token), two.present(at(0), &token)),
        (Ok(Room::Free), Ok(Room::Free)),
        "nobody is in yet"
    );
    let session = one.next_serial(at(0));
    assert_eq!(two.enter(at(0), &token, session), Ok(Room::Free));
    assert_eq!(one.enter(at(0), &token, session), Err(Refusal::AlreadyConnected));
    two.leave(at(1), 1, session, Parting::Lost);
    assert_eq!(one.enter(at(1), &token, session), Err(Refusal::TokenReused), "the handshake was under way");
    assert_eq!(one.present(at(1), &token), Err(Refusal::TokenReused));
}

#[test]
fn a_player_is_at_one_server() {
    let registry = registry(10);
    let (mut one, mut two) = (member(&registry), member(&registry));
    let session = come(&mut one, at(0), &visitor(1, 1)).expect("nobody is here");
    assert_eq!(come(&mut two, at(0), &visitor(1, 2)), Err(Refusal::AlreadyConnected));
    assert!(come(&mut two, at(0), &visitor(2, 3)).is_ok());
    one.leave(at(1), 1, session, Parting::Lost);
    assert!(come(&mut two, at(1), &visitor(1, 4)).is_ok());
}

#[test]
fn who_comes_back_elsewhere_waits_until_its_server_has_let_go() {
    let registry = registry(10);
    let (mut one, mut two) = (member(&registry), member(&registry));
    let session = come(&mut one, at(0), &visitor(1, 1)).expect("nobody is here");
    let back = returning(1, session, session + 1);
    assert_eq!(one.pop_eviction(at(1)), None);
    assert_eq!(come(&mut two, at(1), &back), Err(Refusal::Moving));
    assert_eq!(come(&mut two, at(1), &back), Err(Refusal::Moving), "it is told once");
    assert_eq!((one.pop_eviction(at(1)), one.pop_eviction(at(1))), (Some(1), None));
    assert!(come(&mut two, at(1), &back).is_ok());
    assert_eq!(two.pop_eviction(at(1)), None);
    // what the first does afterwards is not about the new session
    one.leave(at(2), 1, session, Parting::Goodbye);
    assert_eq!(come(&mut one, at(2), &visitor(1, 9)), Err(Refusal::AlreadyConnected));
}

#[test]
fn a_session_that_ended_by_itself_is_not_ended_again_when_its_player_is_back() {
    let registry = registry(10);
    let (mut one, mut two) = (member(&registry), member(&registry));
    let session = come(&mut one, at(0), &visitor(1, 1)).expect("nobody is here");
    assert_eq!(come(&mut two, at(1), &returning(1, session, session + 1)), Err(Refusal::Moving));
    one.leave(at(1), 1, session, Parting::Lost);
    assert!(come(&mut one, at(1), &visitor(1, 2)).is_ok());
    assert_eq!(one.pop_eviction(at(1)), None);
}

#[test]
fn resume_tokens_count_by_the_session_and_the_serial() {
    let registry = registry(10);
    let mut here = member(&registry);
    let first = come(&mut here, at(0), &visitor(1, 1)).expect("nobody is here");
    let (older, used, newer) = (first + 1, first + 2, first + 3);
    let second = come(&mut here, at(1), &returning(1, first, used)).expect("of the present session");
    for (session, serial, outcome) in [
        (first, older, Err(Refusal::ResumeOutdated)),
        (first, used, Err(Refusal::TokenReused)),
        (second, second + 1, Ok(Room::Free)),
        (first, newer, Ok(Room::Free)),
        (first - 1, newer, Err(Refusal::ResumeOutdated)),
        (0, newer, Err(Refusal::ResumeOutdated)),
    ] {
        assert_eq!(here.present(at(1), &returning(1, session, serial)), outcome, "{session} {serial}");
    }
    let third =
        come(&mut here, at(2), &returning(1, first, newer)).expect("newer than the one that was used");
    assert_eq!(come(&mut here, at(2), &returning(1, second, second + 9)), Err(Refusal::ResumeOutdated));
    here.leave(at(3), 1, third, Parting::Goodbye);
    for session in [first, second, third, 0] {
        let outdated = Err(Refusal::ResumeOutdated);
        assert_eq!(here.present(at(3), &returning(1, session, third + 9)), outdated, "void");
    }
    assert!(come(&mut here, at(3), &visitor(1, 5)).is_ok());
}

/// Each time that a player comes back it gets a new token, which is remembered until it expires.
#[test]
fn a_player_comes_back_four_times_in_a_row_and_then_every_ten_seconds() {
    let registry = registry(2);
    let mut here = member(&registry);
    let mut session = come(&mut here, at(0), &visitor(1, 1)).expect("nobody is here");
    let mut came = 0;
    for second in 0..60 {
        for _ in 0..10 {
            let serial = here.next_serial(at(second));
            let back = Visitor { expire_unix: UNIX + second + 30, ..returning(1, session, serial) };
            match come(&mut here, at(second), &back) {
                Ok(next) => (session, came) = (next, came + 1),
                Err(refusal) => assert_eq!(refusal, Refusal::OverBudget),
            }
        }
    }
    assert_eq!(came, 4 + 5);
    assert!(
        come(&mut here, at(60), &Visitor { expire_unix: UNIX + 90, ..visitor(2, 2) }).is_ok(),
        "there is room"
    );
}

#[test]
fn who_left_is_forgotten_when_the_last_of_its_tokens_has_expired_and_no_earlier() {
    let registry = registry(10);
    let mut here = member(&registry);
    let session = come(&mut here, at(0), &visitor(1, 1)).expect("nobody is here");
    here.leave(at(5), 1, session, Parting::Goodbye);
    let back = returning(1, session, session + 1);
    assert_eq!(here.present(at(35), &back), Err(Refusal::ResumeOutdated));
    assert_eq!(here.present(at(36), &back), Ok(Room::Free), "no token of that session is good by now");
}

#[test]
fn nobody_waits_for_whoever_stays_at_the_tables() {
    let registry = registry(10);
    let mut here = member(&registry);
    let session = come(&mut here, at(0), &visitor(1, 1)).expect("nobody is here");
    let held = registry.tables.lock().expect("nobody else is there");
    assert_eq!(here.present(at(1), &visitor(2, 2)), Err(Refusal::Busy));
    assert_eq!(here.enter(at(1), &visitor(2, 2), session + 1), Err(Refusal::Busy));
    here.leave(at(1), 1, session, Parting::Lost);
    here.flush(at(1));
    drop(held);
    assert!(come(&mut here, at(1), &visitor(1, 3)).is_ok(), "who could not be told is told first");
    assert!(here.leaving.is_empty());
}

#[test]
fn nobody_comes_in_while_as_many_have_left_untold_as_there_are_places() {
    let registry = registry(10);
    let mut here = member(&registry);
    let sessions: Vec<_> = (0..10)
        .map(|client| come(&mut here, at(0), &visitor(client, client.into())).expect("room"))
        .collect();
    let held = registry.tables.lock().expect("nobody else is there");
    for (client, &session) in (0..).zip(&sessions) {
        here.leave(at(1), client, session, Parting::Lost);
    }
    drop(held);
    assert_eq!(here.enter(at(1), &visitor(20, 20), 1), Err(Refusal::Busy));
    here.flush(at(1));
    assert_eq!(here.enter(at(1), &visitor(20, 20), 1), Ok(Room::Free));
}

#[test]
fn a_process_is_full_whichever_servers_its_players_came_to() {
    let registry = registry(3);
    let (mut one, mut two) = (member(&registry), member(&registry));
    let first = come(&mut one, at(0), &visitor(1, 1)).expect("a place");
    come(&mut one, at(0), &visitor(2, 2)).expect("a place");
    let late = visitor(4, 4);
    assert_eq!(two.present(at(0), &late), Ok(Room::Free));
    let third = come(&mut one, at(0), &visitor(3, 3)).expect("the last place");
    assert_eq!(two.enter(at(0), &late, 1), Ok(Room::Full), "taken since it was asked for");
    assert_eq!(two.present(at(0), &visitor(5, 5)), Ok(Room::Full), "though nobody is here");
    // who is in comes back all the same, and needs no second place
    let back = returning(1, first, first + 9);
    assert_eq!(two.present(at(1), &back), Ok(Room::Free));
    assert_eq!(two.enter(at(1), &back, third + 1), Err(Refusal::Moving));
    assert_eq!(one.pop_eviction(at(1)), Some(1));
    assert_eq!(two.enter(at(1), &back, third + 1), Ok(Room::Free));
    assert_eq!(two.enter(at(1), &late, third + 2), Ok(Room::Full));
    one.leave(at(2), 3, third, Parting::Lost);
    assert_eq!(two.enter(at(2), &late, third + 2), Ok(Room::Free), "a place is free again, wherever it was");
}

#[test]
fn the_tables_are_bounded_and_rather_let_nobody_in_than_forget_too_early() {
    let registry = registry(1);
    let mut here = member(&registry);
    let max = 8 + 1024;
    for client in 0..max {
        let session = come(&mut here, at(0), &visitor(client, client.into())).expect("there is room");
        here.leave(at(0), client, session, Parting::Lost);
    }
    assert_eq!(come(&mut here, at(1), &visitor(max, max.into())), Err(Refusal::TooManyHandshakes));
    let late = Visitor { expire_unix: UNIX + 60, ..visitor(max, max.into()) };
    assert!(come(&mut here, at(31), &late).is_ok(), "all of them have expired");
}

#[test]
fn a_server_that_ends_gives_its_players_back() {
    let registry = registry(10);
    let (mut one, mut two) = (member(&registry), member(&registry));
    let session = come(&mut one, at(0), &visitor(1, 1)).expect("nobody is here");
    assert_eq!(come(&mut two, at(0), &returning(1, session, session + 1)), Err(Refusal::Moving));
    drop(one);
    assert!(come(&mut two, at(0), &returning(1, session, session + 1)).is_ok());
    let mut three = member(&registry);
    assert_eq!(three.pop_eviction(at(0)), None);
}

#[test]
fn a_registry_has_so_many_servers_at_most() {
    let registry = registry(1);
    let members: Vec<_> = (0..MAX_SERVERS).map(|_| Member::new(Arc::clone(&registry), 1)).collect();
    assert!(members.iter().all(Option::is_some));
    assert!(Member::new(registry, 1).is_none());
}
