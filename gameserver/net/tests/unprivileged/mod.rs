//! A thread without rights whose user nobody else is: what limits such a user, as those of pods, is seen there and not as root.
#![allow(dead_code, reason = "each test file uses what it needs")]

use std::io::{self, Write as _};
use std::net::UdpSocket;
use std::os::fd::AsRawFd as _;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

/// What a user may lock where nobody says otherwise (Linux, and systemd since 250).
pub(crate) const DEFAULT_LIMIT_BYTES: u64 = 8 << 20;

const PAGE_BYTES: u64 = 4096;

/// Runs `test` on a thread of its own, which together with whatever it starts may lock so much memory. It is told whether its user
/// is one of its own, to whom nothing else is charged; only root may make it so.
pub(crate) fn where_so_much_is_locked_at_most(bytes: u64, test: impl FnOnce(bool) + Send + 'static) {
    // the limit is the process's
    static LIMIT: Mutex<()> = Mutex::new(());
    let _one_at_a_time = LIMIT.lock().unwrap_or_else(PoisonError::into_inner);
    let limited = std::thread::spawn(move || {
        lock_at_most(bytes);
        test(give_up_rights_on_this_thread());
    });
    limited.join().unwrap();
}

/// Sets what counts, and not how far that may be raised again: the next test wants more.
#[expect(unsafe_code, reason = "resource limits have no safe wrapper")]
fn lock_at_most(bytes: u64) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is this function's own and outlives the call that writes it.
    let read = unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) };
    assert_eq!(read, 0, "{}", io::Error::last_os_error());
    limit.rlim_cur = bytes;
    // SAFETY: `limit` is this function's own and the kernel reads it in the call.
    let limited = unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const limit) };
    assert_eq!(limited, 0, "at most {} bytes: {}", limit.rlim_max, io::Error::last_os_error());
}

/// The calling thread, and whatever it starts from now on, is of a user that nobody else is: root is bound by no limit. False where
/// this process may not do that, as where it is root of a user namespace in which there is nobody else.
#[expect(unsafe_code, reason = "ids of a thread have no safe wrapper")]
pub(crate) fn give_up_rights_on_this_thread() -> bool {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let user = (1 << 30) + std::process::id() * 8 + COUNT.fetch_add(1, Ordering::Relaxed) % 8;
    // SAFETY: the call itself, which unlike the C library's function changes this thread only, takes integers.
    unsafe { libc::syscall(libc::SYS_setresuid, user, user, user) == 0 }
}

/// Kernels charge rings to the memory that a user may lock since Linux 6.14; older ones open them all the same.
pub(crate) fn rings_are_charged() -> bool {
    let version = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = version.split(['.', '-']).map_while(|number| number.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(6), Some(14))
}

/// Rings with so many receive buffers that fit in `bytes`, by what the kernel charges for one, in whole pages: the ring of
/// completions with the indices of submissions, the submissions, and the ring that lends the buffers.
pub(crate) fn rings_that_fit(bytes: u64, receive_buffers: u64) -> usize {
    let completions = (receive_buffers * 2).clamp(256, 8192);
    let parts = [512 + completions * 16 + 128 * 4, 128 * 64, receive_buffers * 16];
    let ring: u64 = parts.iter().map(|part| part.next_multiple_of(PAGE_BYTES)).sum();
    usize::try_from(bytes / ring).unwrap()
}

/// Lists a test as not run, past the capture of what tests print.
pub(crate) fn not_run(test: &str, reason: &str) {
    let mut past_capture = io::stdout();
    writeln!(past_capture, "not run: {test}: {reason}").unwrap();
}

/// Bytes of a socket's buffer that anybody may ask for; none where the kernel does not tell, as in some containers.
pub(crate) fn most_buffer_bytes() -> Option<usize> {
    std::fs::read_to_string("/proc/sys/net/core/rmem_max").ok()?.trim().parse().ok()
}

/// Whether the calling thread may have more than that (CAP_NET_ADMIN where its network belongs to).
#[expect(unsafe_code, reason = "std has no sizes of buffers")]
pub(crate) fn may_exceed_buffer_limit() -> bool {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let bytes: libc::c_int = 1 << 16;
    let length = libc::socklen_t::try_from(size_of_val(&bytes)).unwrap();
    let (level, option) = (libc::SOL_SOCKET, libc::SO_RCVBUFFORCE);
    // SAFETY: the socket is open, and the kernel reads `bytes`, which outlive the call, and no more than them.
    unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const bytes).cast(), length) == 0 }
}
