//! Raw io_uring: one ring for one thread, one multishot receive, sends in batches of one submit.
//!
//! Invariants:
//! - The kernel writes receive memory only between the arming of the receive and the ring's end; `Drop` cancels
//!   and ends the ring before the memory goes.
//! - Sends never outlive the submit that carries them: `MSG_DONTWAIT` makes each complete or fail inline, so
//!   a send slot is free again when `io_uring_enter` returns.
//! - No completion is lost: what the queue cannot hold (thousands of failed sends) the kernel keeps until it is polled.

mod buffers;

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::Duration;

use io_uring::types::{CancelBuilder, Fixed, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, register::Restriction, squeue};

use crate::address::{ADDRESS_LEN, RawAddress, same_family};
use crate::gather::Gather;
use crate::socket::Intake;
use crate::{Backend, Config, Counters, Datagrams, MAX_DATAGRAM_BYTES, OpenError, Outgoing, SocketFilter};
use buffers::ReceiveBuffers;

/// Datagrams a submit. More would save nothing: the first players' states leave while the next are still being sealed,
/// and the slots stay in the CPU's cache.
const SEND_SLOTS: usize = SUBMISSIONS as usize;
const SUBMISSIONS: u32 = 128;

/// Completions that the ring holds at most; locked memory is charged per user, so not more than needed.
const COMPLETIONS_MAX: u32 = 8192;

/// Completions that a waiting receive asks for before the coalescing time is over.
const GATHER: usize = 32;

/// System calls within which the kernel must have taken all submissions. One is the rule.
const SUBMIT_ATTEMPTS: u32 = 64;

const BUFFER_GROUP: u16 = 0;
const SOCKET: Fixed = Fixed(0);
const RECEIVE: u64 = u64::MAX;

/// The raw io_uring backend.
pub struct Uring {
    // dropped first: the ring must be gone before what it may write to
    ring: IoUring,
    buffers: ReceiveBuffers,
    header: Box<libc::msghdr>,
    sends: SendSlots,
    socket: UdpSocket,
    local: SocketAddr,
    config: Config,
    can_gather: bool,
    gather: Gather,
    armed: bool,
    /// A completion that came while the ring was opened; the first drain takes it.
    held: Option<cqueue::Entry>,
    /// Packets and bytes out as last told of.
    told: (u64, u64),
    intake: Intake,
    counters: Counters,
}

impl Uring {
    /// Makes a ring over a bound socket, restricts it to what it needs, posts all buffers and arms the receive.
    ///
    /// # Errors
    /// When io_uring is denied (seccomp, sysctl), older than Linux 6.1, or out of locked memory.
    pub fn open(socket: UdpSocket, config: Config) -> Result<Self, OpenError> {
        let local = socket.local_addr().map_err(OpenError::Socket)?;
        // Made first, so that whatever fails from here on ends the ring before the memory that it may write to.
        let buffers = ReceiveBuffers::new(config.depth).map_err(failed_to("map receive buffers"))?;
        let completions = (u32::from(config.depth) * 2).clamp(SUBMISSIONS * 2, COMPLETIONS_MAX);
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_submit_all()
            .setup_r_disabled()
            .setup_cqsize(completions)
            .dontfork()
            .build(SUBMISSIONS)
            .map_err(failed_to("set up a ring"))?;
        let submitter = ring.submitter();
        submitter.register_files(&[socket.as_raw_fd()]).map_err(failed_to("register the socket"))?;
        buffers.register(&submitter, BUFFER_GROUP).map_err(failed_to("register receive buffers"))?;
        submitter.register_restrictions(&mut restrictions()).map_err(failed_to("restrict the ring"))?;
        submitter.register_enable_rings().map_err(failed_to("enable the ring"))?;
        let can_gather = ring.params().is_feature_min_timeout();
        let mut uring = Self {
            ring,
            buffers,
            header: Box::new(receive_header()),
            sends: SendSlots::new(),
            socket,
            local,
            config,
            can_gather,
            gather: Gather::new(config.coalesce),
            armed: false,
            held: None,
            told: (0, 0),
            intake: Intake::default(),
            counters: Counters::default(),
        };
        uring.arm().map_err(failed_to("queue the multishot receive"))?;
        uring.ring.submit().map_err(failed_to("submit the multishot receive"))?;
        uring.check_armed()?;
        Ok(uring)
    }

    /// A kernel that does not know the multishot receive says so at once; learn it here, not in the loop.
    fn check_armed(&mut self) -> Result<(), OpenError> {
        let first = self.ring.completion().next();
        if let Some(entry) = first.as_ref().filter(|entry| is_refusal(entry)) {
            return Err(failed_to("arm the multishot receive")(io::Error::from_raw_os_error(
                -entry.result(),
            )));
        }
        // Anything else is a datagram, or says that there were more than buffers: both are for the ordinary drain.
        self.held = first;
        Ok(())
    }

    /// Queues the multishot receive; the next submit carries it.
    #[expect(unsafe_code, reason = "a submission entry carries pointers")]
    fn arm(&mut self) -> io::Result<()> {
        let entry = opcode::RecvMsgMulti::new(SOCKET, &raw const *self.header, BUFFER_GROUP)
            .build()
            .user_data(RECEIVE);
        // SAFETY: `header` is boxed and owned by `self`, and lives until the ring has ended (field order); the
        // buffers that the kernel picks are those of `self.buffers`, likewise.
        let pushed = unsafe { self.ring.submission().push(&entry) };
        pushed.map_err(io::Error::other)?;
        self.armed = true;
        Ok(())
    }

    fn wait(&self, wait: Duration) -> io::Result<()> {
        let timeout = Timespec::from(wait);
        let args = SubmitArgs::new().timespec(&timeout);
        let outcome = if self.can_gather {
            let gather = wait.min(self.gather.time()).as_micros();
            let args = args.min_wait_usec(u32::try_from(gather).unwrap_or(u32::MAX));
            self.ring.submitter().submit_with_args(GATHER, &args)
        } else {
            self.ring.submitter().submit_with_args(1, &args)
        };
        tolerate(outcome)
    }

    /// Runs the kernel's deferred work without waiting.
    fn poll(&self) -> io::Result<()> {
        tolerate(self.ring.submit())
    }

    /// Hands over what has completed; returns how many datagrams that were.
    fn drain(&mut self, deliver: &mut dyn FnMut(SocketAddr, &mut [u8])) -> io::Result<usize> {
        let mut delivered = 0;
        for entry in self.held.take().into_iter().chain(self.ring.completion()) {
            if entry.user_data() != RECEIVE {
                // only failures of sends complete: successes are skipped
                self.sends.record_failure(entry.user_data(), &mut self.counters);
                continue;
            }
            if !cqueue::more(entry.flags()) {
                self.armed = false;
            }
            if let Some(buffer) = cqueue::buffer_select(entry.flags()) {
                let filled = usize::try_from(entry.result()).unwrap_or(0);
                match self.buffers.datagram(buffer, filled) {
                    Some((from, payload)) => {
                        self.counters.packets_in += 1;
                        self.counters.bytes_in += payload.len() as u64;
                        delivered += 1;
                        deliver(from, payload);
                    }
                    None => self.counters.truncated += 1,
                }
                self.buffers.give_back(buffer);
            } else if is_fatal(entry.result()) {
                return Err(io::Error::from_raw_os_error(-entry.result()));
            }
        }
        self.buffers.publish();
        if !self.armed {
            self.counters.rearms += 1;
            self.arm()?;
        }
        Ok(delivered)
    }

    fn work_is_pending(&mut self) -> bool {
        let queue = self.ring.submission();
        queue.taskrun() || queue.cq_overflow() || !queue.is_empty()
    }

    /// Sends the filled slots in one submit.
    #[expect(unsafe_code, reason = "submission entries carry pointers")]
    fn flush(&mut self, count: usize) -> io::Result<()> {
        if count == 0 {
            return Ok(());
        }
        for index in 0..count {
            let entry = self.sends.entry(index);
            // a receive that waits to be armed again may hold one place
            if self.ring.submission().is_full() {
                self.submit_all()?;
            }
            // SAFETY: the slot and its address are owned by `self.sends`, whose memory never moves; they are not
            // touched before `submit_all` below has returned, after which the kernel holds no pointer to them
            // (MSG_DONTWAIT, see the module head).
            let pushed = unsafe { self.ring.submission().push(&entry) };
            pushed.map_err(io::Error::other)?;
            self.counters.packets_out += 1;
            self.counters.bytes_out += u64::from(self.sends.lens[index]);
        }
        self.submit_all()
    }

    /// Hands the whole submission queue to the kernel. A kernel that is short of memory may take it in parts.
    fn submit_all(&mut self) -> io::Result<()> {
        for _ in 0..SUBMIT_ATTEMPTS {
            if self.ring.submission().is_empty() {
                return Ok(());
            }
            tolerate(self.ring.submit())?;
        }
        Err(io::Error::other("the kernel does not take submissions"))
    }
}

impl Drop for Uring {
    fn drop(&mut self) {
        let limit = Timespec::from(Duration::from_secs(1));
        // NotFound only says that nothing was in flight
        let _cancelled = self.ring.submitter().register_sync_cancel(Some(limit), CancelBuilder::any());
        let _returned = self.ring.submitter().unregister_buf_ring(BUFFER_GROUP);
    }
}

impl Datagrams for Uring {
    fn backend(&self) -> Backend {
        Backend::Uring
    }

    fn local_addr(&self) -> SocketAddr {
        self.local
    }

    fn receive(
        &mut self,
        wait: Duration,
        deliver: &mut dyn FnMut(SocketAddr, &mut [u8]),
    ) -> io::Result<usize> {
        let waits = !wait.is_zero() && self.held.is_none();
        if waits {
            self.wait(wait)?;
        } else if self.work_is_pending() {
            self.poll()?;
        }
        let mut delivered = self.drain(deliver)?;
        while delivered < usize::from(self.config.depth) && self.work_is_pending() {
            self.poll()?;
            match self.drain(deliver)? {
                0 => break,
                more => delivered += more,
            }
        }
        if waits {
            self.gather.learn(wait, delivered);
        }
        Ok(delivered)
    }

    fn transmit(&mut self, fill: &mut dyn FnMut(&mut [u8]) -> Option<Outgoing>) -> io::Result<usize> {
        let mut total = 0;
        loop {
            let mut count = 0;
            while count < SEND_SLOTS
                && let Some(outgoing) = fill(&mut self.sends.slots[count])
            {
                self.sends.address(count, outgoing, self.local);
                count += 1;
            }
            self.flush(count)?;
            total += count;
            if count < SEND_SLOTS {
                return Ok(total);
            }
        }
    }

    fn admit(&mut self, filter: Option<&SocketFilter>) -> io::Result<()> {
        self.intake.admit(&self.socket, filter)
    }

    fn counters(&mut self) -> Counters {
        self.intake.count(&self.socket, &mut self.counters);
        // A send that failed is known only after it was counted. Totals never go back: what was told of stays until
        // it is true.
        let Counters { packets_out, bytes_out, .. } = self.counters;
        self.told = (self.told.0.max(packets_out), self.told.1.max(bytes_out));
        Counters { packets_out: self.told.0, bytes_out: self.told.1, ..self.counters }
    }
}

/// What is sent in one submit: memory that stays where it is, numbered by slot.
struct SendSlots {
    slots: Box<[[u8; MAX_DATAGRAM_BYTES]]>,
    addresses: Box<[RawAddress]>,
    lens: Box<[u16]>,
}

impl SendSlots {
    fn new() -> Self {
        Self {
            slots: vec![[0; MAX_DATAGRAM_BYTES]; SEND_SLOTS].into_boxed_slice(),
            addresses: vec![RawAddress::default(); SEND_SLOTS].into_boxed_slice(),
            lens: vec![0; SEND_SLOTS].into_boxed_slice(),
        }
    }

    fn address(&mut self, index: usize, outgoing: Outgoing, local: SocketAddr) {
        self.addresses[index] = same_family(outgoing.to, local).into();
        self.lens[index] = u16::try_from(outgoing.len.min(MAX_DATAGRAM_BYTES)).unwrap_or(0);
    }

    fn entry(&self, index: usize) -> squeue::Entry {
        let address = &self.addresses[index];
        let len = u32::from(self.lens[index]);
        opcode::Send::new(SOCKET, self.slots[index].as_ptr(), len)
            .flags(libc::MSG_DONTWAIT)
            .dest_addr(address.as_ptr().cast())
            .dest_addr_len(address.len())
            .build()
            .flags(squeue::Flags::SKIP_SUCCESS)
            .user_data(index as u64)
    }

    /// Takes back what was counted as sent. The slot may meanwhile hold another datagram, so bytes are those of
    /// the slot now: wrong by at most one datagram a failure.
    fn record_failure(&self, slot: u64, counters: &mut Counters) {
        let len = usize::try_from(slot).ok().and_then(|index| self.lens.get(index)).copied().unwrap_or(0);
        counters.send_errors += 1;
        counters.packets_out = counters.packets_out.saturating_sub(1);
        counters.bytes_out = counters.bytes_out.saturating_sub(len.into());
    }
}

/// What is submitted to this ring does nothing but what this backend does, whoever wrote it there. It binds this ring and not the
/// process, which may make others and has one, of its control thread (`docs/threat-model.md`).
fn restrictions() -> [Restriction; 7] {
    let flags = squeue::Flags::BUFFER_SELECT | squeue::Flags::SKIP_SUCCESS | squeue::Flags::FIXED_FILE;
    [
        Restriction::sqe_op(opcode::RecvMsgMulti::CODE),
        Restriction::sqe_op(opcode::Send::CODE),
        Restriction::sqe_flags_allowed(flags.bits()),
        // on the registered socket alone
        Restriction::sqe_flags_required(squeue::Flags::FIXED_FILE.bits()),
        Restriction::register_op(REGISTER_ENABLE_RINGS),
        Restriction::register_op(REGISTER_SYNC_CANCEL),
        Restriction::register_op(UNREGISTER_BUFFER_RING),
    ]
}

// `enum io_uring_register_op` of <linux/io_uring.h>; the crate does not export its values.
const REGISTER_ENABLE_RINGS: u8 = 12;
const UNREGISTER_BUFFER_RING: u8 = 23;
const REGISTER_SYNC_CANCEL: u8 = 24;

#[expect(unsafe_code, reason = "msghdr has private padding on some targets, so it cannot be written out")]
fn receive_header() -> libc::msghdr {
    // SAFETY: msghdr is a plain C struct of integers and pointers, for which all zeroes is a valid value.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_namelen = ADDRESS_LEN;
    header
}

fn failed_to(step: &'static str) -> impl FnOnce(io::Error) -> OpenError {
    move |source| OpenError::Uring { step, source }
}

/// A timeout, a signal and a full completion queue are reasons to look at what has completed, not errors.
fn tolerate(outcome: io::Result<usize>) -> io::Result<()> {
    match outcome {
        Err(error)
            if !matches!(
                error.raw_os_error(),
                Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN)
            ) =>
        {
            Err(error)
        }
        _ => Ok(()),
    }
}

/// The kernel does not take the receive at all.
fn is_refusal(entry: &cqueue::Entry) -> bool {
    entry.result() < 0 && !cqueue::more(entry.flags()) && is_fatal(entry.result())
}

/// Out of buffers, or an ICMP error of an earlier send: armed again. Anything else means the socket is gone.
fn is_fatal(result: i32) -> bool {
    result < 0
        && !matches!(
            -result,
            libc::ENOBUFS | libc::EINTR | libc::EAGAIN | libc::ECONNREFUSED | libc::EHOSTUNREACH
        )
}

#[cfg(test)]
mod tests;
