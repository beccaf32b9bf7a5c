//! A socket has the receive buffer that was asked for, or as much as the kernel lets its user have, and says which.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up must stop")]

mod unprivileged;

use gameserver_net::{bind, bind_group, is_capped};
use unprivileged::{give_up_rights_on_this_thread, may_exceed_buffer_limit, most_buffer_bytes, not_run};

const TEST: &str = "a_socket_gets_what_is_asked_for_and_without_rights_no_more_than_the_kernels_limit";

/// What the kernel grants: twice what counts, because half is for its own bookkeeping.
fn granted(asked: usize) -> usize {
    let (socket, granted) = bind("127.0.0.1:0".parse().unwrap(), asked).unwrap();
    assert_ne!(socket.local_addr().unwrap().port(), 0);
    let (sockets, of_group) =
        bind_group("127.0.0.1:0".parse().unwrap(), asked, 3.try_into().unwrap()).unwrap();
    assert_eq!((sockets.len(), of_group), (3, granted), "each of a group has as much");
    granted
}

#[test]
fn a_socket_gets_what_is_asked_for_and_without_rights_no_more_than_the_kernels_limit() {
    let Some(most) = most_buffer_bytes() else {
        return not_run(TEST, "the kernel tells no limit of buffers here");
    };
    let more = most + (64 << 10);
    if may_exceed_buffer_limit() {
        assert_eq!(granted(more), 2 * more);
        assert!(!is_capped(more, 2 * more));
    }
    let without_rights = std::thread::spawn(move || {
        if !give_up_rights_on_this_thread() && may_exceed_buffer_limit() {
            return not_run(TEST, "there is nobody else here to be");
        }
        assert!(!may_exceed_buffer_limit());
        for (asked, expected, is_less) in
            [(16 << 10, 32 << 10, false), (most, 2 * most, false), (more, 2 * most, true)]
        {
            let granted = granted(asked);
            assert_eq!((granted, is_capped(asked, granted)), (expected, is_less), "{asked} of {most}");
        }
    });
    without_rights.join().unwrap();
}
