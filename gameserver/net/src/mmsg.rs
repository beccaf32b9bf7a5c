//! recvmmsg and sendmmsg: what is left where io_uring is denied. As fast per datagram, at more system calls.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use crate::address::{ADDRESS_LEN, RawAddress, same_family};
use crate::gather::Gather;
use crate::socket::{self, Intake, Readiness, wait_ready};
use crate::{Backend, Config, Counters, Datagrams, MAX_DATAGRAM_BYTES, Outgoing, SocketFilter};

/// Datagrams a system call. Measured: 1000 a call is no faster than 64.
const BATCH: usize = BATCH_LEN as usize;
const BATCH_LEN: libc::c_uint = 64;

/// How long a full send buffer is waited for, once a transmit, before datagrams are dropped.
const SEND_WAIT: Duration = Duration::from_millis(1);

/// The recvmmsg and sendmmsg backend.
pub struct Mmsg {
    socket: UdpSocket,
    local: SocketAddr,
    config: Config,
    gather: Gather,
    receiving: Batch,
    sending: Batch,
    intake: Intake,
    counters: Counters,
}

impl Mmsg {
    /// Takes over a bound, non-blocking socket.
    ///
    /// # Errors
    /// When the socket is not bound.
    pub fn open(socket: UdpSocket, config: Config) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self {
            local: socket.local_addr()?,
            socket,
            config,
            gather: Gather::new(config.coalesce),
            receiving: Batch::new(),
            sending: Batch::new(),
            intake: Intake::default(),
            counters: Counters::default(),
        })
    }

    /// Waits until something is readable, then lets more arrive for the configured while.
    fn wait(&self, wait: Duration) -> io::Result<bool> {
        let begun = now();
        if !wait_ready(&self.socket, Readiness::Readable, wait)? {
            return Ok(false);
        }
        let left = wait.saturating_sub(begun.elapsed()).min(self.gather.time());
        if !left.is_zero() {
            socket::pause(left);
        }
        Ok(true)
    }

    /// Sends the first `count` slots; what the kernel refuses is dropped and counted.
    fn flush(&mut self, count: usize, may_wait: &mut bool) -> io::Result<()> {
        let mut from = 0;
        while from < count {
            match self.sending.send(&self.socket, from, count) {
                Ok(sent) => {
                    self.counters.packets_out += sent as u64;
                    self.counters.bytes_out +=
                        self.sending.lens[from..from + sent].iter().map(|&len| len as u64).sum::<u64>();
                    from += sent;
                }
                Err(full) if full.kind() == io::ErrorKind::WouldBlock => {
                    if *may_wait {
                        *may_wait = false;
                        wait_ready(&self.socket, Readiness::Writable, SEND_WAIT)?;
                    } else {
                        self.counters.send_errors += (count - from) as u64;
                        return Ok(());
                    }
                }
                Err(interrupted) if interrupted.kind() == io::ErrorKind::Interrupted => {}
                Err(broken) if broken.raw_os_error() == Some(libc::EBADF) => return Err(broken),
                // the error is about the first datagram of the rest: skip that one
                Err(_) => {
                    self.counters.send_errors += 1;
                    from += 1;
                }
            }
        }
        Ok(())
    }
}

impl Datagrams for Mmsg {
    fn backend(&self) -> Backend {
        Backend::Mmsg
    }

    fn local_addr(&self) -> SocketAddr {
        self.local
    }

    fn receive(
        &mut self,
        wait: Duration,
        deliver: &mut dyn FnMut(SocketAddr, &mut [u8]),
    ) -> io::Result<usize> {
        if !wait.is_zero() && !self.wait(wait)? {
            return Ok(0);
        }
        let mut delivered = 0;
        while delivered < usize::from(self.config.depth) {
            let received = match self.receiving.receive(&self.socket) {
                Ok(received) => received,
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => break,
                    // an ICMP error of an earlier send: not a broken socket
                    io::ErrorKind::ConnectionRefused | io::ErrorKind::HostUnreachable => continue,
                    _ => return Err(error),
                },
            };
            for index in 0..received {
                match self.receiving.datagram(index) {
                    Some((from, payload)) => {
                        self.counters.packets_in += 1;
                        self.counters.bytes_in += payload.len() as u64;
                        delivered += 1;
                        deliver(from, payload);
                    }
                    None => self.counters.truncated += 1,
                }
            }
            if received < BATCH {
                break;
            }
        }
        if !wait.is_zero() {
            self.gather.learn(wait, delivered);
        }
        Ok(delivered)
    }

    fn transmit(&mut self, fill: &mut dyn FnMut(&mut [u8]) -> Option<Outgoing>) -> io::Result<usize> {
        let (mut total, mut may_wait) = (0, true);
        loop {
            let mut count = 0;
            while count < BATCH
                && let Some(outgoing) = fill(&mut self.sending.slots[count])
            {
                let to = same_family(outgoing.to, self.local);
                self.sending.addresses[count] = to.into();
                self.sending.lens[count] = outgoing.len.min(MAX_DATAGRAM_BYTES);
                count += 1;
            }
            self.flush(count, &mut may_wait)?;
            total += count;
            if count < BATCH {
                return Ok(total);
            }
        }
    }

    fn admit(&mut self, filter: Option<&SocketFilter>) -> io::Result<()> {
        self.intake.admit(&self.socket, filter)
    }

    fn counters(&mut self) -> Counters {
        self.intake.count(&self.socket, &mut self.counters);
        self.counters
    }
}

#[expect(clippy::disallowed_methods, reason = "an edge: the wait is bounded by the time that has passed")]
fn now() -> Instant {
    Instant::now()
}

/// Buffers and addresses of one system call.
struct Batch {
    slots: Box<[[u8; MAX_DATAGRAM_BYTES]]>,
    addresses: [RawAddress; BATCH],
    lens: [usize; BATCH],
    truncated: [bool; BATCH],
}

impl Batch {
    fn new() -> Self {
        Self {
            slots: vec![[0; MAX_DATAGRAM_BYTES]; BATCH].into_boxed_slice(),
            addresses: [RawAddress::default(); BATCH],
            lens: [0; BATCH],
            truncated: [false; BATCH],
        }
    }

    /// The datagram that the last [`Self::receive`] left at `index`, unless it was cut short.
    fn datagram(&mut self, index: usize) -> Option<(SocketAddr, &mut [u8])> {
        if self.truncated[index] {
            return None;
        }
        let from = self.addresses[index].decode()?;
        Some((from, &mut self.slots[index][..self.lens[index]]))
    }

    #[expect(unsafe_code, reason = "std has no recvmmsg")]
    fn receive(&mut self, socket: &UdpSocket) -> io::Result<usize> {
        let mut iovecs = [EMPTY_IOVEC; BATCH];
        let mut headers = [EMPTY_HEADER; BATCH];
        for index in 0..BATCH {
            iovecs[index] =
                libc::iovec { iov_base: self.slots[index].as_mut_ptr().cast(), iov_len: MAX_DATAGRAM_BYTES };
            let header = &mut headers[index].msg_hdr;
            header.msg_name = self.addresses[index].as_mut_ptr().cast();
            header.msg_namelen = ADDRESS_LEN;
            header.msg_iov = &raw mut iovecs[index];
            header.msg_iovlen = 1;
        }
        // SAFETY: every header points at an iovec of this frame, a slot and an address of `self`; all outlive
        // the call, are as long as the header says, and nothing else borrows them meanwhile.
        let received = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                BATCH_LEN,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        let received = count_or_error(received)?;
        for (index, header) in headers[..received].iter().enumerate() {
            self.lens[index] = (header.msg_len as usize).min(MAX_DATAGRAM_BYTES);
            self.truncated[index] = header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0;
        }
        Ok(received)
    }

    #[expect(unsafe_code, reason = "std has no sendmmsg")]
    fn send(&mut self, socket: &UdpSocket, from: usize, to: usize) -> io::Result<usize> {
        let mut iovecs = [EMPTY_IOVEC; BATCH];
        let mut headers = [EMPTY_HEADER; BATCH];
        for index in from..to {
            iovecs[index] =
                libc::iovec { iov_base: self.slots[index].as_mut_ptr().cast(), iov_len: self.lens[index] };
            let header = &mut headers[index].msg_hdr;
            header.msg_name = self.addresses[index].as_mut_ptr().cast();
            header.msg_namelen = self.addresses[index].len();
            header.msg_iov = &raw mut iovecs[index];
            header.msg_iovlen = 1;
        }
        let batch = &mut headers[from..to];
        let batch_len = libc::c_uint::try_from(batch.len()).unwrap_or(BATCH_LEN);
        // SAFETY: every header of `batch` points at an iovec of this frame, a slot and an address of `self`;
        // all outlive the call, which only reads them.
        let sent =
            unsafe { libc::sendmmsg(socket.as_raw_fd(), batch.as_mut_ptr(), batch_len, libc::MSG_DONTWAIT) };
        count_or_error(sent)
    }
}

/// A negative outcome of a system call is an error in `errno`; read before anything else can change that.
fn count_or_error(outcome: libc::c_int) -> io::Result<usize> {
    usize::try_from(outcome).map_err(|_negative| io::Error::last_os_error())
}

const EMPTY_IOVEC: libc::iovec = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };

#[expect(unsafe_code, reason = "msghdr has private padding on some targets, so it cannot be written out")]
const EMPTY_HEADER: libc::mmsghdr = {
    // SAFETY: mmsghdr is a plain C struct of integers and pointers, for which all zeroes is a valid value.
    unsafe { std::mem::zeroed() }
};
