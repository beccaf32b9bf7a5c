//! A real seccomp filter, as a container runtime's default profile has it: the calls are answered with an error.
#![allow(dead_code, reason = "each test file denies what it needs")]

use std::io;

/// Denies io_uring to the calling thread and to whatever it spawns from now on; other threads keep it.
pub(crate) fn deny_io_uring_on_this_thread() {
    deny_on_this_thread(&[libc::SYS_io_uring_setup, libc::SYS_io_uring_enter], libc::EPERM);
}

/// Has the calling thread, and whatever it spawns from now on, get `error` for each of `calls`.
#[expect(unsafe_code, reason = "prctl and seccomp have no safe wrapper")]
pub(crate) fn deny_on_this_thread(calls: &[libc::c_long], error: i32) {
    let deny = libc::SECCOMP_RET_ERRNO | u32::try_from(error).unwrap();
    // the number of the system call is the first word of `struct seccomp_data`
    let mut program = vec![statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0)];
    for (index, &call) in calls.iter().enumerate() {
        // over the calls after it and over the statement that allows
        let to_deny = u8::try_from(calls.len() - index).unwrap();
        program.push(jump_if_equal(u32::try_from(call).unwrap(), to_deny));
    }
    program.push(statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW));
    program.push(statement(libc::BPF_RET | libc::BPF_K, deny));
    let filter =
        libc::sock_fprog { len: u16::try_from(program.len()).unwrap(), filter: program.as_mut_ptr() };
    // SAFETY: PR_SET_NO_NEW_PRIVS takes integers only.
    let no_new_privileges = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    assert_eq!(no_new_privileges, 0, "{}", io::Error::last_os_error());
    // SAFETY: `filter` points at `program`; both are this function's own and the kernel copies them in the call.
    let installed =
        unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter) };
    assert_eq!(installed, 0, "{}", io::Error::last_os_error());
}

fn statement(code: u32, k: u32) -> libc::sock_filter {
    libc::sock_filter { code: u16::try_from(code).unwrap(), jt: 0, jf: 0, k }
}

fn jump_if_equal(k: u32, jt: u8) -> libc::sock_filter {
    libc::sock_filter { jt, ..statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, k) }
}
