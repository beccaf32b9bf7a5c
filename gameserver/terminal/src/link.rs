//! The socket, and the session over it.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use anyhow::{Context, bail};
use gameserver_access::secure_bytes;
use gameserver_client::{Client, ClientState, ConnectToken, Event, Now};
use gameserver_game::arena::Arena;
use gameserver_sys::Clock;

use crate::asked::Wish;
use crate::destination::Destination;
use crate::returning::{Begun, Step, next_step};
use crate::words;

/// The longest datagram that a server sends, and room to spare.
const BUFFER_BYTES: usize = 2048;
/// Datagrams that are taken in one turn at most.
const RECEIVES_MAX: usize = 256;
/// So often the host may say that nobody listens there, before that is believed.
const REFUSALS_MAX: u32 = 3;

/// What has become of the session in a turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Nothing that has to be told.
    Goes,
    /// The server was lost, and is come back to.
    Lost,
    /// Back after so long.
    Returned(Duration),
    /// In again, after the end.
    Rejoined,
    /// It is over, because.
    Ended(String),
}

/// A session with a server, on a socket of its own.
pub(crate) struct Link {
    destination: Destination,
    pub(crate) client: Client<Arena>,
    clock: Clock,
    socket: UdpSocket,
    begun: Begun,
    /// Since when the server is lost.
    lost_at: Option<Duration>,
    has_ended: bool,
    is_rejoining: bool,
    refusals: u32,
}

impl Link {
    /// Sets out for a server.
    pub(crate) fn open(destination: Destination) -> anyhow::Result<Self> {
        let clock = Clock::start();
        let now = time(clock);
        let token =
            destination.visit.mint(&destination.key, now.unix).context("failed to mint a connect token")?;
        Ok(Self {
            client: client(&destination, token, now),
            socket: socket_to(destination.visit.server)?,
            destination,
            clock,
            begun: Begun::ByToken,
            lost_at: None,
            has_ended: false,
            is_rejoining: false,
            refusals: 0,
        })
    }

    pub(crate) fn destination(&self) -> &Destination {
        &self.destination
    }

    pub(crate) fn now(&self) -> Now {
        time(self.clock)
    }

    /// Waits until something has come or `wait` is over, and takes what is there.
    pub(crate) fn receive(&mut self, wait: Duration) -> anyhow::Result<()> {
        // zero would be for ever
        let wait = wait.max(Duration::from_millis(1));
        self.socket.set_read_timeout(Some(wait)).context("failed to set how long to wait")?;
        let mut buffer = [0; BUFFER_BYTES];
        for _ in 0..RECEIVES_MAX {
            match self.socket.recv(&mut buffer) {
                Ok(len) => {
                    let now = self.now();
                    self.refusals = 0;
                    self.client.handle_datagram(now, &mut buffer[..len]);
                }
                Err(error) if is_refusal(&error) => self.refusals += 1,
                Err(error) if is_nothing(&error) => break,
                Err(error) => return Err(error).context("failed to receive"),
            }
            // the rest is there already or comes with the next turn
            self.socket.set_nonblocking(true).context("failed to change the socket")?;
        }
        self.socket.set_nonblocking(false).context("failed to change the socket")
    }

    /// Sends what there is to send. What cannot be sent is lost, as on any other part of the way.
    pub(crate) fn transmit(&mut self) {
        let (now, mut buffer) = (self.now(), [0; BUFFER_BYTES]);
        while let Some(transmit) = self.client.poll_transmit(now, &mut buffer) {
            if self.socket.send(&buffer[..transmit.len]).is_err_and(|error| is_refusal(&error)) {
                self.refusals += 1;
            }
        }
    }

    /// Lets time pass, and comes back if the server was lost.
    pub(crate) fn turn(&mut self) -> anyhow::Result<Turn> {
        let now = self.now();
        self.client.update(now);
        if self.has_ended {
            return Ok(Turn::Goes);
        }
        let token = self.client.resume_token(now);
        let (state, silence) = (self.client.state(), self.client.silence(now));
        // a server that restarts in place is away for a moment, and is come back to
        if state == ClientState::Connecting && self.begun == Begun::ByToken && self.is_refused() {
            self.has_ended = true;
            return Ok(Turn::Ended(words::NOBODY.to_owned()));
        }
        Ok(match (next_step(self.begun, state, silence, token.is_some()), token) {
            (Step::Resume, Some(token)) => {
                self.lost_at.get_or_insert_with(|| now.monotonic.saturating_sub(silence));
                self.restart(token, Begun::ByResume)?;
                Turn::Lost
            }
            (Step::JoinAgain, _) => {
                self.lost_at.get_or_insert_with(|| now.monotonic.saturating_sub(silence));
                let token = self.destination.visit.mint(&self.destination.key, now.unix)?;
                self.restart(token, Begun::Again)?;
                Turn::Lost
            }
            (Step::End(reason), _) => {
                self.has_ended = true;
                Turn::Ended(reason)
            }
            _ if state == ClientState::Connected => {
                let is_rejoined = std::mem::take(&mut self.is_rejoining);
                match self.lost_at.take() {
                    Some(lost_at) => Turn::Returned(now.monotonic.saturating_sub(lost_at)),
                    None if is_rejoined => Turn::Rejoined,
                    None => Turn::Goes,
                }
            }
            _ => Turn::Goes,
        })
    }

    /// The same visit in a new session.
    fn restart(&mut self, token: ConnectToken, begun: Begun) -> anyhow::Result<()> {
        self.socket = socket_to(self.destination.visit.server)?;
        self.client = client(&self.destination, token, self.now());
        (self.begun, self.has_ended, self.refusals) = (begun, false, 0);
        Ok(())
    }

    /// Sets out again after the end.
    pub(crate) fn rejoin(&mut self) -> anyhow::Result<()> {
        let token = self.destination.visit.mint(&self.destination.key, self.now().unix)?;
        (self.lost_at, self.is_rejoining) = (None, true);
        self.restart(token, Begun::ByToken)
    }

    /// Asks for something and returns under which number.
    pub(crate) fn ask(&mut self, wish: Wish) -> Option<u32> {
        let now = self.now();
        if self.client.state() != ClientState::Connected {
            return None;
        }
        match wish {
            Wish::Do(intent) => Some(self.client.send(now, intent)),
            Wish::Watch(watch) => self.client.watch(watch),
        }
    }

    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        self.client.poll_event()
    }

    /// Whether the client is in, and the server has told it something.
    ///
    /// # Errors
    /// When it will not be let in, and why.
    pub(crate) fn is_in(&self) -> anyhow::Result<bool> {
        if self.is_refused() {
            bail!(words::NOBODY);
        }
        match self.client.state() {
            ClientState::Connecting => Ok(false),
            ClientState::Connected => Ok(self.client.snapshot().is_some()),
            ClientState::Denied => bail!(words::DENIED),
            ClientState::Disconnected { reason } => bail!(words::end(reason)),
        }
    }

    /// Whether the host says that nobody listens there.
    fn is_refused(&self) -> bool {
        self.refusals >= REFUSALS_MAX
    }

    /// Says goodbye.
    pub(crate) fn leave(&mut self) {
        self.client.disconnect();
        self.transmit();
    }
}

fn time(clock: Clock) -> Now {
    Now { monotonic: clock.monotonic(), unix: clock.unix() }
}

fn client(destination: &Destination, token: ConnectToken, now: Now) -> Client<Arena> {
    let client = Client::new(token, destination.tick_hz, now, secure_bytes());
    match destination.visit.role {
        gameserver_access::Role::Player => client,
        gameserver_access::Role::Spectator => client.spectator(),
    }
}

fn socket_to(server: SocketAddr) -> anyhow::Result<UdpSocket> {
    let any = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).context("failed to open a UDP socket")?;
    socket.connect(server).with_context(|| format!("failed to set out for {server}"))?;
    Ok(socket)
}

/// The host says that nobody listens there.
fn is_refusal(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ConnectionRefused
}

/// Nothing has come, or a signal.
fn is_nothing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}
