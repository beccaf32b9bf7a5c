//! Another player, without a terminal.

use std::net::{SocketAddr, UdpSocket};

use gameserver_access::{Role, Visit};
use gameserver_client::{Client, ClientState, Event, Now};
use gameserver_game::arena::Arena;
use gameserver_game::arena::notices::Notice;
use gameserver_sys::Clock;

use super::{KEY, await_some};

/// Who has just set out for the server.
pub struct Rival {
    clock: Clock,
    client: Client<Arena>,
    socket: UdpSocket,
}

impl Rival {
    pub fn new(server: SocketAddr) -> Self {
        let clock = Clock::start();
        let now = Now { monotonic: clock.monotonic(), unix: clock.unix() };
        let token = Visit::of_somebody_new(server, Role::Player).mint(&KEY, now.unix).unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        Self { clock, client: Client::new(token, 64, now, [7; 32]), socket }
    }

    fn turn(&mut self) {
        let (mut buffer, clock) = ([0; 2048], self.clock);
        let now = || Now { monotonic: clock.monotonic(), unix: clock.unix() };
        while let Ok(len) = self.socket.recv(&mut buffer) {
            self.client.handle_datagram(now(), &mut buffer[..len]);
        }
        self.client.update(now());
        while let Some(transmit) = self.client.poll_transmit(now(), &mut buffer) {
            self.socket.send_to(&buffer[..transmit.len], transmit.to).unwrap();
        }
    }

    /// Comes in, with which a match begins that puts everybody elsewhere.
    pub fn begin_match(&mut self) {
        let is_begun = |event| match event {
            Event::Notice(told) => matches!(Notice::read(&told), Some(Notice::MatchStarted { .. })),
            _ => false,
        };
        await_some(
            "a match",
            || {
                self.turn();
                let mut events = std::iter::from_fn(|| self.client.poll_event());
                events.any(is_begun).then_some(())
            },
            String::new,
        );
        assert_eq!(self.client.state(), ClientState::Connected);
    }
}
