//! The thread of a zone: receives, ticks, sends, and takes orders from the control thread.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use gameserver_core::{ConfigError, Counters, Known, Now, ServerConfig};
use gameserver_game::arena::Arena;
use gameserver_net::{
    Backend, Choice, Config as NetConfig, Datagrams, OpenError, Outgoing, SocketFilter, Trust,
};
use gameserver_protocol::micros;
use gameserver_queue::{Consumer, LockFreeQueue};
use gameserver_sys::{Clock, thread_cpu_time};

use super::board::{Board, Distribution, Figure};
use super::counted::counted;
use super::guard::{Guard, Seen, Verdict, shapes};
use super::orders::{Order, Orders};
use super::pace::Pace;
use super::seat::{Seat, SeatRequest, take_seat};
use crate::clock::now;

/// The game that is served.
type ZoneServer = gameserver_core::ZoneServer<Arena>;

/// Orders that wait for a zone at most. Each tick takes all of them, and people and leaders give them.
const ORDERS_MAX: usize = 64;

/// Datagrams that are written between two looks at the clock.
const TRANSMITS_A_LOOK: usize = 16;
/// Datagrams of a flush between two looks at what has arrived meanwhile. They take half a millisecond at most; a socket buffer
/// of the kernel's own size is full after 1.3 when somebody sends 200 000 datagrams a second.
const TRANSMITS_A_PART: usize = 32;
/// During a flush nothing more is taken in after so many datagrams, so that no flood makes it last: more than come in a tick of
/// one of 200 000 a second. What one look brings, `--receive-buffers` at most, may go beyond it once.
const RECEIVES_A_FLUSH: usize = 4096;

/// What a zone needs.
pub(crate) struct ZoneConfig {
    pub(crate) server: ServerConfig,
    pub(crate) socket: UdpSocket,
    pub(crate) choice: Choice,
    pub(crate) net: NetConfig,
    pub(crate) seat: SeatRequest,
    pub(crate) clock: Clock,
    /// Fresh chance, for the fingerprints by which the kernel knows players in a flood.
    pub(crate) filter_salt: u32,
    /// What its lines of the log are about.
    pub(crate) span: tracing::Span,
}

/// Why a zone cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ZoneError {
    #[error("invalid zone configuration")]
    Config(#[from] ConfigError),
    #[error("failed to open the datagram backend")]
    Open(#[source] OpenError),
    #[error("failed to start the zone thread")]
    Spawn(#[source] io::Error),
    #[error("failed to pin the zone thread to CPU {cpu}")]
    Pin {
        cpu: usize,
        #[source]
        source: io::Error,
    },
    #[error("failed to receive datagrams")]
    Receive(#[source] io::Error),
    #[error("failed to send datagrams")]
    Transmit(#[source] io::Error),
    #[error("the zone thread panicked")]
    Panicked,
    #[error("the zone thread goes on although it was told to stop")]
    Stuck,
}

/// A running zone, as the control thread sees it.
pub(super) struct Zone {
    pub(super) board: Arc<Board>,
    pub(super) backend: Backend,
    pub(super) seat: Seat,
    orders: Orders,
    thread: JoinHandle<Result<(), ZoneError>>,
}

/// What a thread tells when it is ready to run.
pub(super) type Opened = (Arc<Board>, Backend, Seat);

impl Zone {
    /// Starts the thread and waits until its backend is open.
    pub(super) fn start(config: ZoneConfig) -> Result<Self, ZoneError> {
        Self::spawn(config.seat.zone, move |waiting, opened| {
            let _entered = config.span.clone().entered();
            let (mut zone, seat) = ZoneThread::open(config, waiting)?;
            // nobody waits for this any more only when the control thread is gone
            let _told = opened.send((Arc::clone(&zone.board), zone.datagrams.backend(), seat));
            zone.run()
        })
    }

    /// Has `run` be a zone, and waits until it says that it is ready, or has ended.
    pub(super) fn spawn(
        number: usize,
        run: impl FnOnce(Consumer<Order>, SyncSender<Opened>) -> Result<(), ZoneError> + Send + 'static,
    ) -> Result<Self, ZoneError> {
        let (orders, waiting) = LockFreeQueue::spsc(ORDERS_MAX);
        let (opened, shown) = sync_channel(1);
        let builder = std::thread::Builder::new().name(format!("zone-{number}"));
        let thread = builder.spawn(move || run(waiting, opened)).map_err(ZoneError::Spawn)?;
        match shown.recv() {
            Ok((board, backend, seat)) => {
                let orders = Orders::new(orders, Arc::clone(&board));
                Ok(Self { board, backend, seat, orders, thread })
            }
            Err(_closed) => Err(thread
                .join()
                .map_or(ZoneError::Panicked, |outcome| outcome.err().unwrap_or(ZoneError::Panicked))),
        }
    }

    /// Queues an order for the next tick; false when the zone is gone or too far behind to take it now.
    pub(super) fn order(&mut self, order: Order) -> bool {
        self.orders.give(order)
    }

    /// Queues what there was no room for; false when there still is none.
    pub(super) fn offer_untold(&mut self) -> bool {
        self.orders.offer()
    }

    /// Whether it has carried out every order, and its board is newer than that.
    pub(super) fn has_obeyed(&self) -> bool {
        self.orders.are_carried_out()
    }

    /// Whether the drain is complete and the figure that says so is newer than every order.
    pub(super) fn is_drained(&self) -> bool {
        self.has_obeyed() && self.board.get(Figure::Drained) == 1
    }

    /// Whether the thread has ended.
    pub(super) fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for the thread to end.
    pub(super) fn join(self) -> Result<(), ZoneError> {
        self.thread.join().unwrap_or(Err(ZoneError::Panicked))
    }
}

struct ZoneThread {
    server: ZoneServer,
    datagrams: Box<dyn Datagrams>,
    board: Arc<Board>,
    orders: Consumer<Order>,
    applied: u64,
    late_ticks: u64,
    /// For datagrams since the last tick.
    waited: Duration,
    /// When the last tick ended.
    ended: Duration,
    pace: Pace,
    guard: Guard,
    /// What the kernel filters by.
    filter: Option<SocketFilter>,
    clock: Clock,
}

fn tell_of_fallback(refused: &OpenError) {
    let OpenError::Uring { step, source } = refused else {
        tracing::warn!(reason = refused.to_string(), "falling back to recvmmsg and sendmmsg");
        return;
    };
    tracing::warn!(
        step,
        reason = source.to_string(),
        remedy = refused.remedy(),
        "io_uring is not to be had here; recvmmsg and sendmmsg play on"
    );
}

impl ZoneThread {
    /// Takes this thread's place, and only then builds what it works with: memory comes from where the thread is that writes to
    /// it first. Opens the backend here, too, since one thread alone may use it.
    fn open(config: ZoneConfig, orders: Consumer<Order>) -> Result<(Self, Seat), ZoneError> {
        let seat = take_seat(config.seat)?;
        let board = Arc::new(Board::new(Counters::default().rejects().map(|(label, _)| label)));
        let start = config.clock.monotonic();
        let pace = Pace::new(config.server.tick_hz, start);
        let server = ZoneServer::new(config.server)?;
        let opened =
            gameserver_net::open(config.choice, config.socket, config.net).map_err(ZoneError::Open)?;
        if let Some(refused) = &opened.fallback {
            tell_of_fallback(refused);
        }
        let zone = Self {
            server,
            datagrams: opened.datagrams,
            board,
            orders,
            applied: 0,
            late_ticks: 0,
            waited: Duration::ZERO,
            ended: start,
            pace,
            guard: Guard::new(start, config.filter_salt),
            filter: None,
            clock: config.clock,
        };
        Ok((zone, seat))
    }

    fn run(&mut self) -> Result<(), ZoneError> {
        loop {
            self.receive_until_due()?;
            let stopping = self.carry_out_orders();
            self.tick()?;
            if stopping {
                return Ok(());
            }
        }
    }

    /// Takes datagrams until the next tick is due and answers handshakes on the way.
    fn receive_until_due(&mut self) -> Result<(), ZoneError> {
        let mut now = self.clock.monotonic();
        loop {
            let wait = self.pace.until_due(now);
            if wait.is_zero() {
                return Ok(());
            }
            let (count, first) = self.receive(wait)?;
            if count > 0 {
                self.transmit(usize::MAX)?;
            }
            let before = std::mem::replace(&mut now, self.clock.monotonic());
            self.waited += first.unwrap_or(now).saturating_sub(before);
        }
    }

    /// How many datagrams came, and when the first of them was there.
    fn receive(&mut self, wait: Duration) -> Result<(usize, Option<Duration>), ZoneError> {
        let (server, clock) = (&mut self.server, self.clock);
        // read once a batch: a batch spans at most the coalescing time
        let mut arrived: Option<Now> = None;
        let mut deliver = |from: SocketAddr, datagram: &mut [u8]| {
            let now = *arrived.get_or_insert_with(|| now(&clock));
            server.handle_datagram(now, from, datagram);
        };
        let count = self.datagrams.receive(wait, &mut deliver).map_err(ZoneError::Receive)?;
        Ok((count, arrived.map(|now| now.monotonic)))
    }

    /// Sends what there is to send, `most` datagrams at most.
    fn transmit(&mut self, most: usize) -> Result<usize, ZoneError> {
        let (server, clock) = (&mut self.server, self.clock);
        let mut written = 0;
        let mut time = now(&clock);
        let mut fill = |slot: &mut [u8]| {
            if written == most {
                return None;
            }
            // a flush takes milliseconds, and clients tell the time by what a snapshot says of its age
            if written.is_multiple_of(TRANSMITS_A_LOOK) {
                time = now(&clock);
            }
            written += 1;
            server.poll_transmit(time, slot).map(|transmit| Outgoing { to: transmit.to, len: transmit.len })
        };
        self.datagrams.transmit(&mut fill).map_err(ZoneError::Transmit)
    }

    /// Sends everyone's snapshot, and in between takes in what arrives: this is the longest stretch of a tick, and longer than a
    /// socket buffer of the kernel's own size has room for. Returns how long the sending alone took.
    fn flush(&mut self) -> Result<Duration, ZoneError> {
        let (mut received, mut sending) = (0, Duration::ZERO);
        loop {
            if received < RECEIVES_A_FLUSH {
                received += self.receive(Duration::ZERO)?.0;
            }
            let start = self.clock.monotonic();
            let sent = self.transmit(TRANSMITS_A_PART)?;
            sending += self.clock.monotonic().saturating_sub(start);
            if sent < TRANSMITS_A_PART {
                return Ok(sending);
            }
        }
    }

    /// True when the zone is to stop after this tick.
    fn carry_out_orders(&mut self) -> bool {
        let mut stopping = false;
        while let Some(order) = self.orders.pop() {
            match order {
                Order::InstallKey(key) => self.server.install_key(key),
                Order::ReachedAt(address) => self.server.also_reached_at(address),
                Order::Drain => self.server.drain(now(&self.clock)),
                Order::Undrain => self.server.undrain(),
                Order::Stop => {
                    self.server.disconnect_all(now(&self.clock));
                    stopping = true;
                }
            }
            self.applied += 1;
        }
        stopping
    }

    fn tick(&mut self) -> Result<(), ZoneError> {
        let start = self.clock.monotonic();
        let tick = self.pace.start_tick(start);
        self.late_ticks += u64::from(tick.skipped > 0);
        self.server.step(now(&self.clock));
        let worked = self.clock.monotonic();
        let sending = self.flush()?;
        let flushed = self.clock.monotonic();
        let waited = std::mem::take(&mut self.waited);
        let before = std::mem::replace(&mut self.ended, flushed);
        let elsewhere = waited + worked.saturating_sub(start) + sending;
        let received = flushed.saturating_sub(before).saturating_sub(elsewhere);
        for (distribution, time) in [
            (Distribution::TickLateness, tick.lateness),
            (Distribution::TickWait, waited),
            (Distribution::TickReceive, received),
            (Distribution::TickWork, worked.saturating_sub(start)),
            (Distribution::TickFlush, sending),
        ] {
            self.board.record(distribution, micros(time));
        }
        self.publish(start);
        Ok(())
    }

    /// Has the kernel drop what strangers send too much of.
    fn guard(&mut self, now: Duration, seen: Seen) {
        let Some(verdict) = self.guard.look(now, seen) else { return };
        let outcome = match verdict {
            Verdict::Filter { one_in, is_new } => {
                let outcome = self.filter(one_in);
                if is_new && outcome.is_ok() {
                    tracing::warn!("strangers flood this server: the kernel filters what they send");
                }
                outcome
            }
            Verdict::Open => {
                tracing::info!("the flood is over: everybody gets in");
                self.filter = None;
                self.datagrams.admit(None)
            }
        };
        if let Err(error) = outcome {
            tracing::warn!(
                reason = error.to_string(),
                "the kernel filters nothing: all that comes is looked at here"
            );
            self.filter = None;
            self.guard.has_failed(now);
        }
    }

    /// Lets in who is known now, and a share of the strangers' handshakes.
    fn filter(&mut self, one_in: u32) -> io::Result<()> {
        let known = known(&self.server);
        let filter = SocketFilter::new(known, &shapes(), one_in, self.guard.salt());
        let filter = filter.map_err(io::Error::other).inspect_err(|_| {
            // without one all get in; an old one would keep out who is known by now
            let _none_left = self.datagrams.admit(None);
        })?;
        if self.filter.as_ref() != Some(&filter) {
            self.datagrams.admit(Some(&filter))?;
            self.filter = Some(filter);
        }
        Ok(())
    }

    fn publish(&mut self, ticked_at: Duration) {
        let status = self.server.status(now(&self.clock));
        let histograms = self.server.take_histograms();
        let network = self.datagrams.counters();
        let dropped = network.filtered + network.overflows;
        let seen = Seen { let_in: self.server.counters().from_strangers, dropped };
        self.guard(ticked_at, seen);
        let (counters, board) = (self.server.counters(), &self.board);
        board.add(Distribution::InputLatency, &histograms.input_latency_us);
        board.add(Distribution::RoundTrip, &histograms.round_trip_us);
        board.add(Distribution::QueueDepth, &histograms.queue_depth);
        board.set_rejects(counters.rejects().map(|(_, count)| count));
        let counted = counted(counters, &network);
        for (figure, value) in counted.into_iter().chain([
            (Figure::Players, status.players as u64),
            (Figure::Filter, self.guard.state(ticked_at).shown()),
            (Figure::LateTicks, self.late_ticks),
            (Figure::CpuUs, micros(thread_cpu_time())),
            (Figure::TickedAtUs, micros(ticked_at)),
            (Figure::HasKey, self.server.has_key().into()),
            (Figure::Drained, status.drained.into()),
            // after those: whoever reads this tick first and them afterwards sees them as of it or newer
            (Figure::Ticks, self.server.tick()),
            // last: who reads this value sees all of the above at least as new
            (Figure::OrdersApplied, self.applied),
        ]) {
            board.set(figure, value);
        }
    }
}

/// Who gets in while strangers flood the server.
fn known(server: &ZoneServer) -> impl Iterator<Item = (SocketAddr, Trust)> {
    let trusted = |known: Known| match known {
        Known::Session => Trust::Full,
        Known::Handshake => Trust::Handshakes,
    };
    server.known_addresses().map(move |(address, known)| (address, trusted(known)))
}

#[cfg(test)]
mod tests;
