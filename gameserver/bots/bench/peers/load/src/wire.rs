//! The bare protocol of peers that are only a transport, as the toy speaks it.
//!
//! An input is its number and its client's (u32, big endian both) and zeroes up to 64 bytes, as much as a sealed input of our game. A
//! snapshot is the same two numbers, of which the first is that of the newest input, and zeroes up to 340 bytes. The first input joins; nothing is repeated, sealed or checked, and nobody leaves.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use crate::crowd::{Crowd, INPUT_BYTES, Input, read_snapshot, write_input};
use crate::sockets::Sockets;

pub(crate) struct Wire {
    sockets: Sockets,
}

impl Wire {
    pub(crate) fn open(server: SocketAddr, clients: u32) -> anyhow::Result<Self> {
        Ok(Self { sockets: Sockets::open(server, clients)? })
    }
}

impl Crowd for Wire {
    fn join(&mut self, _now: Duration) -> io::Result<bool> {
        Ok(true)
    }

    fn joined(&self) -> u32 {
        self.sockets.count()
    }

    fn send(&mut self, _now: Duration, inputs: &mut dyn FnMut() -> Option<Input>) -> io::Result<()> {
        let mut datagram = [0; INPUT_BYTES];
        while let Some(input) = inputs() {
            write_input(input, &mut datagram);
            self.sockets.send(input.0, &datagram)?;
        }
        Ok(())
    }

    fn receive(&mut self, _now: Duration, seen: &mut dyn FnMut(u32, u32, usize)) -> io::Result<bool> {
        self.sockets.receive(&mut |_, snapshot| {
            if let Some((client, newest)) = read_snapshot(snapshot) {
                seen(client, newest, snapshot.len());
            }
        })
    }
}
