//! What servers at one registry see of each other, in every order in which their threads may run.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p gameserver-core --lib interleavings`; without that it is not there.

use loom::thread;

use super::tests::{at, come, member, registry, returning, visitor};
use super::*;

/// Whom a server is to let go, until there is nobody.
fn evicted(server: &mut Member) -> Vec<u64> {
    std::iter::from_fn(|| server.pop_eviction(at(2))).collect()
}

#[test]
fn whoever_moves_is_let_go_however_close_it_comes_to_one_before() {
    loom::model(|| {
        let registry = registry(2);
        let (mut here, mut there) = (member(&registry), member(&registry));
        let sessions = [1, 2].map(|client| come(&mut here, at(0), &visitor(client, client.into())).unwrap());
        let mut moves = |client: u64, session| {
            let returning = returning(client, session, u64::MAX - client);
            let session = there.next_serial(at(1));
            there.enter(at(1), &returning, session)
        };
        assert_eq!(moves(1, sessions[0]), Err(Refusal::Moving));
        let letting_go = thread::spawn(move || {
            let gone = evicted(&mut here);
            (here, gone)
        });
        let second = moves(2, sessions[1]);
        let (mut here, mut gone) = letting_go.join().unwrap();
        gone.extend(evicted(&mut here));
        // who finds another thread at the tables is told to come again
        let expected: &[u64] = if second == Err(Refusal::Busy) { &[1] } else { &[1, 2] };
        gone.sort_unstable();
        assert_eq!(gone, expected, "{second:?}");
    });
}

#[test]
fn a_token_opens_one_session_and_a_place_is_given_once_in_every_order() {
    for clients in [[1, 1], [1, 2]] {
        loom::model(move || {
            let registry = registry(1);
            let servers = clients.map(|client| {
                let (mut server, visitor) = (member(&registry), visitor(client, client.into()));
                assert_eq!(server.present(at(0), &visitor), Ok(Room::Free));
                (server, visitor)
            });
            let entering = servers.map(|(mut server, visitor)| {
                thread::spawn(move || {
                    let session = server.next_serial(at(0));
                    let entered = server.enter(at(0), &visitor, session);
                    // whose server goes is gone, too
                    (server, entered)
                })
            });
            let entered = entering.map(|server| server.join().unwrap()).map(|(_, entered)| entered);
            let inside = entered.iter().filter(|&&entered| entered == Ok(Room::Free)).count();
            assert_eq!(inside, 1, "{clients:?}: {entered:?}");
        });
    }
}

#[test]
fn no_serial_and_no_sequence_is_given_twice_and_each_server_sees_them_grow() {
    for next in [|server: &Member| server.next_serial(at(0)), Member::next_global] {
        loom::model(move || {
            let registry = registry(1);
            let servers = [(); 2].map(|()| {
                let server = member(&registry);
                thread::spawn(move || [next(&server), next(&server)])
            });
            let [ours, theirs] = servers.map(|server| server.join().unwrap());
            assert!(ours[0] < ours[1] && theirs[0] < theirs[1], "{ours:?} {theirs:?}");
            assert!(ours.iter().all(|number| !theirs.contains(number)), "{ours:?} {theirs:?}");
        });
    }
}
