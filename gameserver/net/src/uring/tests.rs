//! What a ring may do once it is set up, and what the kernel refuses it.

use super::*;
use crate::bind;

fn open() -> Uring {
    let (socket, _) = bind("127.0.0.1:0".parse().unwrap(), 1 << 16).unwrap();
    Uring::open(socket, Config { depth: 16, ..Config::default() }).expect("a kernel with io_uring")
}

/// What the kernel says to an operation.
#[expect(unsafe_code, reason = "a submission entry may carry pointers")]
fn outcome(uring: &mut Uring, entry: squeue::Entry) -> i32 {
    const ASKED: u64 = 77;
    // SAFETY: the entries of these tests carry no pointers.
    unsafe { uring.ring.submission().push(&entry.user_data(ASKED)) }.unwrap();
    uring.ring.submit_and_wait(1).unwrap();
    let answer = uring.ring.completion().find(|entry| entry.user_data() == ASKED);
    answer.expect("an answer").result()
}

#[test]
fn a_ring_does_nothing_but_receive_and_send() {
    let mut uring = open();
    for entry in [opcode::Nop::new().build(), opcode::Fsync::new(SOCKET).build()] {
        assert_eq!(outcome(&mut uring, entry), -libc::EACCES);
    }
    // nor on another file than its socket, whatever that is
    let socket = io_uring::types::Fd(uring.socket.as_raw_fd());
    let other = opcode::Send::new(socket, std::ptr::null(), 0).build();
    assert_eq!(outcome(&mut uring, other), -libc::EACCES);
}

#[test]
fn a_ring_takes_no_more_files_and_no_other_restrictions() {
    let uring = open();
    let submitter = uring.ring.submitter();
    let files = submitter.register_files_sparse(1).unwrap_err();
    assert_eq!(files.raw_os_error(), Some(libc::EACCES));
    assert!(submitter.register_restrictions(&mut restrictions()).is_err());
}

#[test]
fn a_ring_holds_no_more_completions_than_memory_is_locked_for() {
    let (socket, _) = bind("127.0.0.1:0".parse().unwrap(), 1 << 16).unwrap();
    let uring = Uring::open(socket, Config { depth: 32_768, ..Config::default() }).unwrap();
    assert!(uring.ring.params().cq_entries() <= COMPLETIONS_MAX);
}
