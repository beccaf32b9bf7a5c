//! Datagrams in batches: bytes and addresses, and nothing of what they mean.
//!
//! One trait, [`Datagrams`], and a backend for each way a kernel allows: `uring` (raw io_uring, the default),
//! `mmsg` (recvmmsg and sendmmsg, where io_uring is denied), `tokio-uring` (to compare with) and `memory` (in-process queues for tests and
//! simulation). All pass the same test suite in `tests/backends.rs`.
//!
//! Invariants:
//! - A backend belongs to one thread and never locks or logs per datagram; `uring` and `mmsg` never allocate.
//! - Every buffer is bounded; what does not fit is dropped and counted in [`Counters`].
//! - `unsafe` of the workspace lives here and in `gameserver-sys`; each block names the owner of the memory.

mod address;
mod filter;
mod gather;
pub mod memory;
mod mmsg;
mod pages;
mod socket;
mod tokio_uring;
mod uring;

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

pub use filter::{KNOWN_MAX, Shape, SocketFilter, TooManyKnown, Trust};
pub use mmsg::Mmsg;
pub use socket::{bind, bind_group, is_capped};
pub use tokio_uring::TokioUring;
pub use uring::Uring;

/// Largest datagram in bytes that a backend sends or receives (UDP payload of a 1500 byte Ethernet frame over
/// IPv4). Longer ones are dropped and counted as [`Counters::truncated`].
pub const MAX_DATAGRAM_BYTES: usize = 1472;

/// How datagrams move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// Raw io_uring: multishot receive over a provided-buffer ring.
    Uring,
    /// The tokio-uring runtime.
    TokioUring,
    /// recvmmsg and sendmmsg.
    Mmsg,
    /// In-process queues.
    Memory,
}

/// Which backend [`open`] takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// `uring` where the kernel and the sandbox allow it, else `mmsg`; the reason is in [`Opened::fallback`].
    Auto,
    /// `uring` or an error.
    Uring,
    /// `tokio-uring` or an error.
    TokioUring,
    /// `mmsg`.
    Mmsg,
}

/// Sizes and times of a backend.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Datagrams that one [`Datagrams::receive`] delivers at most, and receive buffers that `uring` posts at a time; `tokio-uring`
    /// posts 64 and queues as many as this. A power of two from 16 to 32768; CPU cache and locked memory are the price of more.
    pub depth: u16,
    /// How long a receive that waits gathers datagrams at most, so that one wake-up serves many; less where much comes. Never beyond
    /// the wait.
    pub coalesce: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self { depth: 4096, coalesce: Duration::from_millis(1) }
    }
}

impl Config {
    /// Whether a backend can be opened with this.
    ///
    /// # Errors
    /// When the depth is out of range.
    pub fn check(&self) -> Result<(), OpenError> {
        let is_depth = self.depth.is_power_of_two() && (16..=32_768).contains(&self.depth);
        if is_depth { Ok(()) } else { Err(OpenError::Depth(self.depth)) }
    }
}

/// Totals since the backend was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Datagrams delivered.
    pub packets_in: u64,
    /// Datagrams accepted by the kernel.
    pub packets_out: u64,
    /// Payload bytes delivered.
    pub bytes_in: u64,
    /// Payload bytes accepted by the kernel.
    pub bytes_out: u64,
    /// Datagrams that the kernel dropped because the socket buffer was full, while there was no filter.
    pub overflows: u64,
    /// Datagrams that the kernel dropped while there was a filter ([`Datagrams::admit`]): by it, or because the socket buffer was
    /// full all the same. The kernel counts both together.
    pub filtered: u64,
    /// Datagrams that could not be sent: send buffer full, no route, bad address.
    pub send_errors: u64,
    /// Datagrams longer than [`MAX_DATAGRAM_BYTES`] or from an address family that is not IP.
    pub truncated: u64,
    /// Times the kernel ran out of posted buffers and the multishot receive was armed again.
    pub rearms: u64,
}

/// Destination and length of a datagram that was written into a send slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Where it goes.
    pub to: SocketAddr,
    /// Bytes written, at most the length of the slot.
    pub len: usize,
}

/// A UDP socket of one thread, in batches.
pub trait Datagrams {
    /// Which backend this is.
    fn backend(&self) -> Backend;

    /// Address that the socket is bound to.
    fn local_addr(&self) -> SocketAddr;

    /// Waits at most `wait` until a datagram is there (zero: does not wait) and hands all that are queued to
    /// `deliver`, at most [`Config::depth`]. The bytes are the receiver's own until `deliver` returns, so it may
    /// decrypt in place. Returns how many were delivered.
    ///
    /// # Errors
    /// Only when the socket or ring itself is broken; a bad datagram is counted.
    fn receive(
        &mut self,
        wait: Duration,
        deliver: &mut dyn FnMut(SocketAddr, &mut [u8]),
    ) -> io::Result<usize>;

    /// Calls `fill` with free send slots of [`MAX_DATAGRAM_BYTES`] until it returns `None`, and sends all that
    /// was written in as few system calls as possible. Returns how many were handed to the kernel.
    ///
    /// # Errors
    /// Only when the socket or ring itself is broken; a datagram that cannot be sent is dropped and counted,
    /// because the next tick's state supersedes it.
    fn transmit(&mut self, fill: &mut dyn FnMut(&mut [u8]) -> Option<Outgoing>) -> io::Result<usize>;

    /// Has the kernel drop what this filter does not let in before it takes room in the socket's buffer, instead of what the last one
    /// did not; without one it drops nothing. Where there is no kernel between both ends nothing is filtered.
    ///
    /// # Errors
    /// When the kernel refuses the program; then there is none.
    fn admit(&mut self, filter: Option<&SocketFilter>) -> io::Result<()>;

    /// Totals so far. Asks the kernel for its drop count: meant for once a tick, not once a datagram.
    fn counters(&mut self) -> Counters;
}

/// A backend could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The depth is out of range.
    #[error("{0} receive buffers are not a power of two from 16 to 32768")]
    Depth(u16),
    /// io_uring is denied, missing or out of memory.
    #[error("failed to open an io_uring: {step}")]
    Uring {
        /// What was tried.
        step: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The socket cannot be used.
    #[error("failed to use the UDP socket")]
    Socket(#[source] io::Error),
}

impl OpenError {
    /// What a person can do about it, where that is known.
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::Uring { source, .. } => source.raw_os_error().and_then(remedy_of),
            Self::Depth(_) | Self::Socket(_) => None,
        }
    }
}

/// What can be done about a ring that the kernel refuses with this error.
const fn remedy_of(error: i32) -> Option<&'static str> {
    match error {
        libc::ENOMEM => Some("too little memory may be locked: raise memlock (RLIMIT_MEMLOCK) of this user"),
        libc::EPERM | libc::EACCES => {
            Some("io_uring is denied: allow it in the seccomp profile and in kernel.io_uring_disabled")
        }
        libc::ENOSYS => Some("this kernel or sandbox has no io_uring"),
        libc::EINVAL => Some("this kernel is older than Linux 6.1"),
        _ => None,
    }
}

/// An open backend and how it was chosen.
pub struct Opened {
    /// The backend.
    pub datagrams: Box<dyn Datagrams>,
    /// Why `uring` could not be had, when [`Choice::Auto`] took `mmsg`.
    pub fallback: Option<OpenError>,
}

/// Opens a backend over `socket`, on the thread that will use it.
///
/// # Errors
/// When the chosen backend cannot be had; [`Choice::Auto`] fails only when `mmsg` fails too.
pub fn open(choice: Choice, socket: UdpSocket, config: Config) -> Result<Opened, OpenError> {
    config.check()?;
    let fallback = match choice {
        Choice::Mmsg => None,
        Choice::TokioUring => {
            let datagrams = Box::new(TokioUring::open(socket, config)?);
            return Ok(Opened { datagrams, fallback: None });
        }
        Choice::Auto | Choice::Uring => {
            let shared = socket.try_clone().map_err(OpenError::Socket)?;
            match Uring::open(shared, config) {
                Ok(uring) => return Ok(Opened { datagrams: Box::new(uring), fallback: None }),
                Err(refused) if choice == Choice::Uring => return Err(refused),
                Err(refused) => Some(refused),
            }
        }
    };
    let mmsg = Mmsg::open(socket, config).map_err(OpenError::Socket)?;
    Ok(Opened { datagrams: Box::new(mmsg), fallback })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_no_ring_is_told_what_to_do_about_it_where_that_is_known() {
        for (error, said) in [
            (libc::ENOMEM, "memlock"),
            (libc::EPERM, "seccomp"),
            (libc::EACCES, "seccomp"),
            (libc::ENOSYS, "has no io_uring"),
            (libc::EINVAL, "older than Linux 6.1"),
        ] {
            let refused =
                OpenError::Uring { step: "set up a ring", source: io::Error::from_raw_os_error(error) };
            assert!(refused.remedy().is_some_and(|remedy| remedy.contains(said)), "{refused:?}");
        }
        assert_eq!(remedy_of(libc::EIO), None);
        assert_eq!(OpenError::Depth(3).remedy(), None);
    }
}
