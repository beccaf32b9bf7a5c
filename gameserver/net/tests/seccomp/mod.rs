//! A real seccomp filter, as a container runtime's default profile has it: io_uring is answered with EPERM.

use std::io;

/// Denies io_uring to the calling thread and to whatever it spawns from now on; other threads keep it.
#[expect(unsafe_code, reason = "prctl and seccomp have no safe wrapper")]
pub(crate) fn deny_io_uring_on_this_thread() {
    let deny = libc::SECCOMP_RET_ERRNO | u32::try_from(libc::EPERM).unwrap();
    let number = |call: libc::c_long| u32::try_from(call).unwrap();
    let mut program = [
        // the number of the system call is the first word of `struct seccomp_data`
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0),
        jump_if_equal(number(libc::SYS_io_uring_setup), 2),
        jump_if_equal(number(libc::SYS_io_uring_enter), 1),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW),
        statement(libc::BPF_RET | libc::BPF_K, deny),
    ];
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
