//! The tokio-uring runtime, with many receives posted at a time. Kept to compare with: it allocates per datagram, has
//! no multishot receive, and its timer counts in milliseconds, so that the last of a wait is spent polling.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::{JoinSet, spawn_local, yield_now};

use crate::address::same_family;
use crate::socket::Intake;
use crate::{Backend, Config, Counters, Datagrams, MAX_DATAGRAM_BYTES, OpenError, Outgoing, SocketFilter};

/// Receives posted at a time. Measured: 64 is the best of 1, 64 and 512.
const RECEIVES: usize = 64;

/// Sends in flight at a time.
const SENDS: usize = 64;

/// Submission entries of the ring.
const ENTRIES: u32 = 256;

/// Turns of the runtime that take completions from the ring to the queue: the ring wakes its task, that wakes the
/// receives, and those post again.
const TURNS: usize = 4;

/// The tokio-uring backend.
pub struct TokioUring {
    runtime: tokio_uring::Runtime,
    socket: Rc<tokio_uring::net::UdpSocket>,
    arrivals: Rc<Arrivals>,
    slot: Box<[u8; MAX_DATAGRAM_BYTES]>,
    kernel_socket: UdpSocket,
    local: SocketAddr,
    config: Config,
    intake: Intake,
    counters: Counters,
}

/// What the posted receives brought, until it is delivered.
struct Arrivals {
    queue: RefCell<VecDeque<(SocketAddr, Vec<u8>)>>,
    came: Notify,
    depth: usize,
    dropped: Cell<u64>,
    broken: RefCell<Option<io::Error>>,
}

impl Arrivals {
    fn push(&self, from: SocketAddr, payload: Vec<u8>) {
        let mut queue = self.queue.borrow_mut();
        if queue.len() < self.depth {
            queue.push_back((from, payload));
        } else {
            self.dropped.set(self.dropped.get() + 1);
        }
        self.came.notify_one();
    }
}

impl TokioUring {
    /// Makes a runtime over a bound socket and posts its receives.
    ///
    /// # Errors
    /// When io_uring is denied or out of locked memory.
    pub fn open(socket: UdpSocket, config: Config) -> Result<Self, OpenError> {
        let local = socket.local_addr().map_err(OpenError::Socket)?;
        let kernel_socket = socket.try_clone().map_err(OpenError::Socket)?;
        let runtime = tokio_uring::Runtime::new(tokio_uring::builder().entries(ENTRIES))
            .map_err(|source| OpenError::Uring { step: "start the tokio-uring runtime", source })?;
        let arrivals = Rc::new(Arrivals {
            queue: RefCell::default(),
            came: Notify::new(),
            depth: config.depth.into(),
            dropped: Cell::new(0),
            broken: RefCell::new(None),
        });
        let posting = Rc::clone(&arrivals);
        let socket = runtime.block_on(async move {
            let socket = Rc::new(tokio_uring::net::UdpSocket::from_std(socket));
            for _ in 0..RECEIVES {
                // ends with the runtime, which cancels what is posted
                drop(spawn_local(receive_forever(Rc::clone(&socket), Rc::clone(&posting))));
            }
            yield_now().await;
            socket
        });
        let (slot, intake, counters) =
            (Box::new([0; MAX_DATAGRAM_BYTES]), Intake::default(), Counters::default());
        Ok(Self { runtime, socket, arrivals, slot, kernel_socket, local, config, intake, counters })
    }
}

async fn receive_forever(socket: Rc<tokio_uring::net::UdpSocket>, arrivals: Rc<Arrivals>) {
    loop {
        // one more than fits, by which a longer datagram is known
        let buffer = Vec::with_capacity(MAX_DATAGRAM_BYTES + 1);
        match socket.recv_from(buffer).await {
            (Ok((len, from)), mut buffer) => {
                buffer.truncate(len);
                arrivals.push(from, buffer);
            }
            (Err(error), _) if is_of_one_datagram(&error) => {}
            (Err(error), _) => {
                arrivals.broken.replace(Some(error));
                arrivals.came.notify_one();
                return;
            }
        }
    }
}

/// An ICMP error of an earlier send, or a signal: not a broken socket.
fn is_of_one_datagram(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, HostUnreachable, Interrupted, WouldBlock};
    matches!(error.kind(), ConnectionRefused | HostUnreachable | Interrupted | WouldBlock)
}

async fn gather(arrivals: &Arrivals, wait: Duration, coalesce: Duration) {
    // the timer rounds up to milliseconds; what is left of the wait is for the caller to poll
    let whole = Duration::from_millis(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).saturating_sub(1));
    let empty = arrivals.queue.borrow().is_empty();
    if !whole.is_zero()
        && empty
        && tokio::time::timeout(whole, arrivals.came.notified()).await.is_ok()
        && coalesce < whole
    {
        tokio::time::sleep(coalesce).await;
    }
    for _ in 0..TURNS {
        yield_now().await;
    }
}

impl Datagrams for TokioUring {
    fn backend(&self) -> Backend {
        Backend::TokioUring
    }

    fn local_addr(&self) -> SocketAddr {
        self.local
    }

    fn receive(
        &mut self,
        wait: Duration,
        deliver: &mut dyn FnMut(SocketAddr, &mut [u8]),
    ) -> io::Result<usize> {
        self.runtime.block_on(gather(&self.arrivals, wait, self.config.coalesce));
        if let Some(broken) = self.arrivals.broken.take() {
            return Err(broken);
        }
        let mut delivered = 0;
        for (from, mut payload) in self.arrivals.queue.take() {
            if payload.len() > MAX_DATAGRAM_BYTES {
                self.counters.truncated += 1;
                continue;
            }
            self.counters.packets_in += 1;
            self.counters.bytes_in += payload.len() as u64;
            delivered += 1;
            deliver(from, &mut payload);
        }
        Ok(delivered)
    }

    fn transmit(&mut self, fill: &mut dyn FnMut(&mut [u8]) -> Option<Outgoing>) -> io::Result<usize> {
        let Self { runtime, socket, slot, counters, local, .. } = self;
        runtime.block_on(async {
            let (mut total, mut sends) = (0, JoinSet::new());
            while let Some(Outgoing { to, len }) = fill(&mut slot[..]) {
                total += 1;
                if sends.len() == SENDS
                    && let Some(sent) = sends.join_next().await
                {
                    record(counters, &sent);
                }
                let payload = slot[..len.min(MAX_DATAGRAM_BYTES)].to_vec();
                let (socket, to) = (Rc::clone(socket), same_family(to, *local));
                sends.spawn_local(async move { socket.send_to(payload, to).await.0 });
            }
            while let Some(sent) = sends.join_next().await {
                record(counters, &sent);
            }
            Ok(total)
        })
    }

    fn admit(&mut self, filter: Option<&SocketFilter>) -> io::Result<()> {
        self.intake.admit(&self.kernel_socket, filter)
    }

    fn counters(&mut self) -> Counters {
        self.intake.count(&self.kernel_socket, &mut self.counters);
        self.counters.overflows += self.arrivals.dropped.get();
        self.counters
    }
}

fn record(counters: &mut Counters, sent: &Result<io::Result<usize>, tokio::task::JoinError>) {
    if let Ok(Ok(len)) = sent {
        counters.packets_out += 1;
        counters.bytes_out += *len as u64;
    } else {
        counters.send_errors += 1;
    }
}
