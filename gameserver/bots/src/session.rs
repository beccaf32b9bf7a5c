//! What a bot speaks: the game's protocol, or the bare one of the toy server that benches compare with.

use std::net::SocketAddr;
use std::time::Duration;

use gameserver_access::secure_bytes;
use gameserver_client::{ClientState, ConnectToken, Event, Now};
use gameserver_game::arena::Arena;
use gameserver_game::arena::intents::Intent;
use gameserver_game::arena::rules::MAP_SIZE;

use crate::random::Random;

/// How far a bot aims, in thousandths of a unit: well within what one may walk in a second.
const STRIDE: i32 = 3_000;
/// Bytes of a toy input, as large as a sealed input of the game.
const TOY_INPUT_BYTES: usize = 64;
/// A toy client without news says so this often until the server answers.
const TOY_RETRY: Duration = Duration::from_millis(100);

type Client = gameserver_client::Client<Arena>;

/// How far a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Joining,
    Playing,
    /// The server said no, or nothing.
    Refused,
    /// The server, or the way there, is gone.
    Lost,
}

/// A client's end of one protocol or the other.
pub(crate) enum Session {
    Game(Box<Client>),
    Toy(Toy),
}

impl Session {
    pub(crate) fn game(token: ConnectToken, tick_hz: u32, now: Now) -> Self {
        Self::Game(Box::new(Client::new(token, tick_hz, now, secure_bytes()).blind()))
    }

    pub(crate) fn toy(server: SocketAddr) -> Self {
        Self::Toy(Toy {
            server,
            sent: 0,
            acknowledged: 0,
            news: true,
            due: Duration::ZERO,
            joined: false,
            event: None,
        })
    }

    /// Takes a datagram; says whether it was a snapshot that counts, which is one that came in time.
    pub(crate) fn handle_datagram(&mut self, now: Now, datagram: &mut [u8]) -> bool {
        match self {
            Self::Game(client) => {
                let before = client.stats().snapshots;
                client.handle_datagram(now, datagram);
                client.stats().snapshots > before
            }
            Self::Toy(toy) => toy.handle_datagram(datagram),
        }
    }

    pub(crate) fn update(&mut self, now: Now) {
        if let Self::Game(client) = self {
            client.update(now);
        }
    }

    pub(crate) fn poll_transmit(&mut self, now: Now, buffer: &mut [u8]) -> Option<usize> {
        match self {
            Self::Game(client) => client.poll_transmit(now, buffer).map(|transmit| transmit.len),
            Self::Toy(toy) => toy.poll_transmit(now.monotonic, buffer),
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Duration> {
        match self {
            Self::Game(client) => client.poll_timeout(),
            Self::Toy(toy) => (!toy.joined).then_some(toy.due),
        }
    }

    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        match self {
            Self::Game(client) => client.poll_event(),
            Self::Toy(toy) => toy.event.take(),
        }
    }

    /// Walks a little, at the tick for which an input that is sent now is just in time, or as soon as possible; `None`
    /// while the bot does not know where it is.
    pub(crate) fn send_input(&mut self, now: Now, is_aimed: bool, random: &mut Random) -> Option<u32> {
        match self {
            Self::Game(client) => {
                let (x, y) = client.own().map(|(_, own)| (own.x, own.y))?;
                let intent = Intent::Move { x: stride(x, random), y: stride(y, random) };
                Some(if is_aimed { client.send(now, intent) } else { client.send_soon(now, intent) })
            }
            Self::Toy(toy) => {
                toy.sent += 1;
                toy.news = true;
                Some(toy.sent)
            }
        }
    }

    /// Where the player is confirmed to be, thousandths of a unit, and the tick at which it was there.
    pub(crate) fn place(&self) -> Option<(u64, i32, i32)> {
        match self {
            Self::Game(client) => client.own().map(|(tick, own)| (tick, own.x, own.y)),
            Self::Toy(toy) => Some((toy.acknowledged.into(), 0, 0)),
        }
    }

    /// When an input is just in time for the next tick; `None` when that is not known.
    pub(crate) fn next_input_at(&self, now: Now) -> Option<Duration> {
        match self {
            Self::Game(client) => client.next_input_at(now),
            Self::Toy(_) => None,
        }
    }

    pub(crate) fn disconnect(&mut self) {
        if let Self::Game(client) = self {
            client.disconnect();
        }
    }

    pub(crate) fn state(&self) -> State {
        match self {
            Self::Game(client) => match client.state() {
                ClientState::Connecting => State::Joining,
                ClientState::Connected => State::Playing,
                ClientState::Denied => State::Refused,
                ClientState::Disconnected { .. } => State::Lost,
            },
            Self::Toy(toy) if toy.joined => State::Playing,
            Self::Toy(_) => State::Joining,
        }
    }

    pub(crate) fn server(&self) -> SocketAddr {
        match self {
            Self::Game(client) => client.server_address(),
            Self::Toy(toy) => toy.server,
        }
    }
}

fn stride(from: i32, random: &mut Random) -> i32 {
    (from + random.within(STRIDE)).clamp(0, MAP_SIZE)
}

/// The toy's protocol: an input is its number (u32, big endian) and padding; a state begins with the number of the
/// newest input of its player. Nothing is repeated, sealed or checked.
pub(crate) struct Toy {
    server: SocketAddr,
    sent: u32,
    acknowledged: u32,
    news: bool,
    due: Duration,
    joined: bool,
    event: Option<Event>,
}

impl Toy {
    fn handle_datagram(&mut self, datagram: &[u8]) -> bool {
        let Some(head) = datagram.first_chunk() else { return false };
        self.joined = true;
        let acknowledged = u32::from_be_bytes(*head);
        if acknowledged > self.acknowledged {
            self.acknowledged = acknowledged;
            self.event = Some(Event::Confirmed { input_seq: acknowledged, tick: u64::from(acknowledged) });
        }
        true
    }

    fn poll_transmit(&mut self, now: Duration, buffer: &mut [u8]) -> Option<usize> {
        if !self.joined && now >= self.due {
            self.due = now + TOY_RETRY;
            self.news = true;
        }
        if !std::mem::take(&mut self.news) {
            return None;
        }
        let input = buffer.get_mut(..TOY_INPUT_BYTES)?;
        input.fill(0);
        input[..4].copy_from_slice(&self.sent.to_be_bytes());
        Some(TOY_INPUT_BYTES)
    }
}
