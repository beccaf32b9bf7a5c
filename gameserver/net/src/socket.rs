//! The UDP socket under every kernel backend: bound, non-blocking, with a receive buffer of a checked size.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::num::NonZeroUsize;
use std::os::fd::AsRawFd;
use std::time::Duration;

use socket2::{Domain, Protocol, SockFilter, SockRef, Socket, Type};

use crate::Counters;
use crate::filter::{Instruction, SocketFilter};

/// Binds a UDP socket whose buffers hold a burst. `buffer_bytes` is asked for receiving and sending alike; the
/// second value is the receive buffer that the kernel granted (it doubles what is asked, for its own
/// bookkeeping, and caps it at `net.core.rmem_max` without the right to exceed that): [`is_capped`].
///
/// # Errors
/// When the address cannot be bound.
pub fn bind(address: SocketAddr, buffer_bytes: usize) -> io::Result<(UdpSocket, usize)> {
    let socket = unbound(address, buffer_bytes)?;
    socket.bind(&address.into())?;
    let granted = socket.recv_buffer_size()?;
    Ok((socket.into(), granted))
}

/// Whether a receive buffer that was granted is less than what was asked for.
pub const fn is_capped(asked_bytes: usize, granted_bytes: usize) -> bool {
    granted_bytes / 2 < asked_bytes
}

/// Binds `count` sockets to one address, among which the kernel shares out the datagrams by a hash of both addresses
/// (`SO_REUSEPORT`): what comes from one address to another is at the same socket as long as all of them are open. One
/// socket is bound as by [`bind`]. With port 0 the kernel chooses one for all. The second value is the smallest receive buffer
/// that was granted.
///
/// A second group at the same address, or a socket that is there already, is an error, however close together the two begin.
///
/// # Errors
/// When the address cannot be bound, or is taken.
pub fn bind_group(
    address: SocketAddr,
    buffer_bytes: usize,
    count: NonZeroUsize,
) -> io::Result<(Vec<UdpSocket>, usize)> {
    if count.get() == 1 {
        let (socket, granted) = bind(address, buffer_bytes)?;
        return Ok((vec![socket], granted));
    }
    let holder = PlaceHolder::bind(address)?;
    let (mut sockets, mut granted) = (Vec::with_capacity(count.get()), usize::MAX);
    while sockets.len() < count.get() {
        let socket = unbound(holder.address, buffer_bytes)?;
        socket.set_reuse_port(true)?;
        socket.bind(&holder.address.into())?;
        granted = granted.min(socket.recv_buffer_size()?);
        sockets.push(socket.into());
    }
    Ok((sockets, granted))
}

/// Has an address alone until a group of sockets is there, and takes part in nothing.
///
/// It is bound while it shares with nobody, so it is refused wherever anybody is; and from then on whoever begins likewise is
/// refused, first because of this socket and then because of those of the group. It lets them in by `SO_REUSEPORT` afterwards;
/// they have that before they are bound, as socket(7) wants it of all that share.
struct PlaceHolder {
    address: SocketAddr,
    _socket: UdpSocket,
}

impl PlaceHolder {
    fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = UdpSocket::bind(address)?;
        SockRef::from(&socket).set_reuse_port(true)?;
        Ok(Self { address: socket.local_addr()?, _socket: socket })
    }
}

fn unbound(address: SocketAddr, buffer_bytes: usize) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    force_buffer(&socket, libc::SO_RCVBUFFORCE, buffer_bytes)
        .or_else(|_| socket.set_recv_buffer_size(buffer_bytes))?;
    force_buffer(&socket, libc::SO_SNDBUFFORCE, buffer_bytes)
        .or_else(|_| socket.set_send_buffer_size(buffer_bytes))?;
    Ok(socket)
}

/// What the kernel dropped at the socket, and whether a filter has it do so. The kernel's own counter has 32 bits; these go on
/// where that wraps.
#[derive(Debug, Default)]
pub(crate) struct Intake {
    seen: u32,
    is_filtering: bool,
    /// Because the receive buffer was full.
    overflows: u64,
    /// While there was a filter.
    filtered: u64,
}

impl Intake {
    /// Tells how much was dropped so far.
    pub(crate) fn count(&mut self, socket: &UdpSocket, counters: &mut Counters) {
        if let Ok(dropped) = kernel_drops(socket) {
            self.advance(dropped);
        }
        (counters.overflows, counters.filtered) = (self.overflows, self.filtered);
    }

    fn advance(&mut self, dropped: u32) {
        let more = u64::from(dropped.wrapping_sub(self.seen));
        self.seen = dropped;
        *(if self.is_filtering { &mut self.filtered } else { &mut self.overflows }) += more;
    }

    /// Puts a filter in the place of the one that is there, or takes that out.
    pub(crate) fn admit(&mut self, socket: &UdpSocket, filter: Option<&SocketFilter>) -> io::Result<()> {
        self.count(socket, &mut Counters::default());
        let Some(filter) = filter else { return self.detach(socket) };
        let program: Vec<_> = filter.program().iter().copied().map(raw_instruction).collect();
        let socket_ref = SockRef::from(socket);
        // Both together may be more than a socket may have (`net.core.optmem_max`, 20 KiB before Linux 6.7).
        let attached = socket_ref.attach_filter(&program).or_else(|error| {
            self.detach(socket)?;
            if error.raw_os_error() == Some(libc::ENOMEM) {
                socket_ref.attach_filter(&program)
            } else {
                Err(error)
            }
        });
        self.is_filtering |= attached.is_ok();
        attached
    }

    fn detach(&mut self, socket: &UdpSocket) -> io::Result<()> {
        if std::mem::take(&mut self.is_filtering) {
            SockRef::from(socket).detach_filter()?;
        }
        Ok(())
    }
}

fn raw_instruction(instruction: Instruction) -> SockFilter {
    let Instruction { code, if_true, if_false, operand } = instruction;
    SockFilter::new(code, if_true, if_false, operand)
}

/// Index of the drop count in what `SO_MEMINFO` returns (`SK_MEMINFO_DROPS`), and how many values there are.
const MEMINFO_DROPS: usize = 8;
const MEMINFO_VALUES: usize = 9;

#[expect(unsafe_code, reason = "socket2 does not know SO_MEMINFO")]
fn kernel_drops(socket: &UdpSocket) -> io::Result<u32> {
    let mut values = [0_u32; MEMINFO_VALUES];
    let mut bytes = libc::socklen_t::try_from(size_of_val(&values)).unwrap_or(0);
    // SAFETY: `values` and `bytes` are this function's own and outlive the call, which writes at most `bytes`
    // bytes into `values`.
    let outcome = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            values.as_mut_ptr().cast(),
            &raw mut bytes,
        )
    };
    if outcome < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(values[MEMINFO_DROPS])
}

#[expect(unsafe_code, reason = "socket2 does not know the forcing variants")]
fn force_buffer(socket: &Socket, option: libc::c_int, bytes: usize) -> io::Result<()> {
    let value = libc::c_int::try_from(bytes).map_err(io::Error::other)?;
    let length = libc::socklen_t::try_from(size_of_val(&value)).unwrap_or(0);
    // SAFETY: `value` is this function's own and outlives the call, which only reads `length` bytes of it.
    let outcome = unsafe {
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, option, (&raw const value).cast(), length)
    };
    if outcome < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Which way a socket must become ready.
#[derive(Clone, Copy)]
pub(crate) enum Readiness {
    Readable,
    Writable,
}

/// Waits until the socket is ready or `wait` is over; true when ready. A signal ends the wait early.
#[expect(unsafe_code, reason = "std has no poll with a timeout")]
pub(crate) fn wait_ready(socket: &UdpSocket, readiness: Readiness, wait: Duration) -> io::Result<bool> {
    let events = match readiness {
        Readiness::Readable => libc::POLLIN,
        Readiness::Writable => libc::POLLOUT,
    };
    let mut poll = libc::pollfd { fd: socket.as_raw_fd(), events, revents: 0 };
    let timeout = timespec(wait);
    // SAFETY: `poll` and `timeout` are this function's own and outlive the call; one pollfd is passed as one.
    let outcome = unsafe { libc::ppoll(&raw mut poll, 1, &raw const timeout, std::ptr::null()) };
    if outcome >= 0 {
        return Ok(outcome > 0);
    }
    match io::Error::last_os_error() {
        interrupted if interrupted.kind() == io::ErrorKind::Interrupted => Ok(false),
        broken => Err(broken),
    }
}

/// Lets `pause` go by; a signal ends it early.
#[expect(unsafe_code, reason = "a pause at the edge that a signal may end")]
pub(crate) fn pause(pause: Duration) {
    let timeout = timespec(pause);
    // SAFETY: no descriptors are passed (a null pointer with count zero); `timeout` outlives the call.
    unsafe { libc::ppoll(std::ptr::null_mut(), 0, &raw const timeout, std::ptr::null()) };
}

fn timespec(duration: Duration) -> libc::timespec {
    libc::timespec {
        tv_sec: libc::time_t::try_from(duration.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_drop_count_goes_on_where_the_kernel_counter_wraps() {
        let mut intake = Intake::default();
        intake.advance(u32::MAX - 1);
        intake.advance(3);
        assert_eq!(intake.overflows, u64::from(u32::MAX) + 4);
    }

    #[test]
    fn a_full_receive_buffer_is_counted() {
        let (socket, _) = bind("127.0.0.1:0".parse().unwrap(), 4096).unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (mut intake, mut counters) = (Intake::default(), Counters::default());
        intake.count(&socket, &mut counters);
        assert_eq!(counters.overflows, 0);
        for _ in 0..64 {
            sender.send_to(&[0; 1000], socket.local_addr().unwrap()).unwrap();
        }
        intake.count(&socket, &mut counters);
        assert!(counters.overflows > 0);
        assert_eq!(counters.filtered, 0);
    }
}
