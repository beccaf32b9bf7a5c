//! The bare protocol of peers that are only a transport, as the toy speaks it.
//!
//! An input is its number and its client's (u32, big endian both) and zeroes up to 64 bytes, as much as a sealed input of our game. A
//! snapshot is the same two numbers, of which the first is that of the newest input, and zeroes up to 340 bytes. The first input joins; nothing is repeated, sealed or checked, and nobody leaves.
//!
//! A few sockets carry all clients: system calls of the load are then batches, and a server finds a client by its number.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context as _;
use gameserver_net::{Config, Datagrams as _, Mmsg, Outgoing, bind};

use crate::crowd::{Crowd, INPUT_BYTES, Input, read_snapshot, write_input};

const SOCKETS: u32 = 8;
/// What a socket holds while the load sleeps or takes from another.
const BUFFER_BYTES: usize = 4 << 20;
/// Datagrams that are taken before inputs are looked for again; each takes less than a microsecond.
const DEPTH: u16 = 256;

pub(crate) struct Wire {
    server: SocketAddr,
    clients: u32,
    sockets: Vec<Mmsg>,
    /// Inputs of each socket until they are sent.
    outgoing: Vec<Vec<Input>>,
    /// The socket that is taken from next.
    turn: usize,
}

impl Wire {
    pub(crate) fn open(server: SocketAddr, clients: u32) -> anyhow::Result<Self> {
        let open = |_| -> anyhow::Result<Mmsg> {
            let (socket, _) = bind((Ipv4Addr::LOCALHOST, 0).into(), BUFFER_BYTES)?;
            Mmsg::open(socket, Config { depth: DEPTH, coalesce: Duration::ZERO }).map_err(Into::into)
        };
        let sockets: Vec<Mmsg> =
            (0..SOCKETS).map(open).collect::<anyhow::Result<_>>().context("failed to open a socket")?;
        let outgoing = vec![Vec::new(); sockets.len()];
        Ok(Self { server, clients, sockets, outgoing, turn: 0 })
    }
}

impl Crowd for Wire {
    fn join(&mut self, _now: Duration) -> io::Result<bool> {
        Ok(true)
    }

    fn joined(&self) -> u32 {
        self.clients
    }

    fn send(&mut self, _now: Duration, inputs: &mut dyn FnMut() -> Option<Input>) -> io::Result<()> {
        while let Some(input) = inputs() {
            // neighbours are due one after the other, so that they make a batch
            let socket = u64::from(input.0) * u64::from(SOCKETS) / u64::from(self.clients);
            self.outgoing[usize::try_from(socket).unwrap_or(0)].push(input);
        }
        for (socket, outgoing) in self.sockets.iter_mut().zip(&mut self.outgoing) {
            if outgoing.is_empty() {
                continue;
            }
            let mut outgoing = outgoing.drain(..);
            socket.transmit(&mut |slot| {
                write_input(outgoing.next()?, slot);
                Some(Outgoing { to: self.server, len: INPUT_BYTES })
            })?;
        }
        Ok(())
    }

    fn receive(&mut self, _now: Duration, seen: &mut dyn FnMut(u32, u32, usize)) -> io::Result<bool> {
        self.turn = (self.turn + 1) % self.sockets.len();
        let received = self.sockets[self.turn].receive(Duration::ZERO, &mut |_, snapshot| {
            if let Some((client, newest)) = read_snapshot(snapshot) {
                seen(client, newest, snapshot.len());
            }
        })?;
        Ok(received > 0)
    }

    fn parts(&self) -> usize {
        self.sockets.len()
    }
}
