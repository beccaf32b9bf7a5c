//! A socket for each client, as our bots have: over loopback the server's core pays for what a datagram costs where it arrives, and that is more
//! with a thousand sockets that somebody waits for than with a few.
//!
//! Only sockets with something to read are read.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context as _;
use gameserver_sys::raise_file_limit;
use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};

/// Sockets that are read before inputs are looked for again; each takes some microseconds.
const EVENTS: usize = 16;
/// Bytes of the longest datagram that comes.
const DATAGRAM_BYTES: usize = 2048;
/// Files that are open besides the sockets, and room to spare.
const OTHER_FILES: u64 = 64;

/// The sockets of all clients, by their numbers.
pub(crate) struct Sockets {
    poll: Poll,
    events: Events,
    all: Vec<UdpSocket>,
    buffer: Vec<u8>,
}

impl Sockets {
    pub(crate) fn open(server: SocketAddr, clients: u32) -> anyhow::Result<Self> {
        raise_file_limit(u64::from(clients) + OTHER_FILES).context("failed to have so many sockets")?;
        let poll = Poll::new()?;
        let open = |client: u32| -> anyhow::Result<UdpSocket> {
            let mut socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0).into())?;
            socket.connect(server)?;
            poll.registry().register(&mut socket, Token(client as usize), Interest::READABLE)?;
            Ok(socket)
        };
        let all = (0..clients).map(open).collect::<anyhow::Result<_>>().context("failed to open a client")?;
        Ok(Self { poll, events: Events::with_capacity(EVENTS), all, buffer: vec![0; DATAGRAM_BYTES] })
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u32 {
        u32::try_from(self.all.len()).unwrap_or(u32::MAX)
    }

    /// Sends from a client's socket; what is not sent counts as lost.
    pub(crate) fn send(&self, client: u32, datagram: &[u8]) -> io::Result<()> {
        let Some(socket) = self.all.get(client as usize) else { return Ok(()) };
        match socket.send(datagram) {
            Err(error) if !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::ConnectionRefused) => {
                Err(error)
            }
            _ => Ok(()),
        }
    }

    /// Takes all that some of the sockets hold, and says whose each datagram is. False when nothing was there.
    pub(crate) fn receive(&mut self, take: &mut dyn FnMut(u32, &mut [u8])) -> io::Result<bool> {
        match self.poll.poll(&mut self.events, Some(Duration::ZERO)) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        for event in &self.events {
            let Token(client) = event.token();
            let (Some(socket), Ok(client)) = (self.all.get(client), u32::try_from(client)) else { continue };
            drain(socket, &mut self.buffer, &mut |datagram| take(client, datagram))?;
        }
        Ok(!self.events.is_empty())
    }
}

/// To the end: the poll tells of a socket only once for all that came.
fn drain(socket: &UdpSocket, buffer: &mut [u8], take: &mut dyn FnMut(&mut [u8])) -> io::Result<()> {
    loop {
        match socket.recv(buffer) {
            Ok(length) => take(&mut buffer[..length]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_has_an_address_of_its_own_and_gets_what_is_sent_there() {
        let server = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut sockets = Sockets::open(server.local_addr().unwrap(), 3).unwrap();
        let mut addresses = Vec::new();
        for client in 0..3 {
            sockets.send(client, &[client.to_be_bytes()[3]]).unwrap();
            let mut datagram = [0; 8];
            let (length, from) = server.recv_from(&mut datagram).unwrap();
            assert_eq!(datagram[..length], [client.to_be_bytes()[3]]);
            addresses.push(from);
        }
        // two for one of them, of which the poll tells once; over loopback they are there when they are sent
        for (to, what) in [(addresses[2], 20), (addresses[1], 10), (addresses[2], 21)] {
            server.send_to(&[what], to).unwrap();
        }
        let mut seen = Vec::new();
        assert!(sockets.receive(&mut |client, datagram| seen.push((client, datagram.to_vec()))).unwrap());
        seen.sort();
        assert_eq!(seen, [(1, vec![10]), (2, vec![20]), (2, vec![21])]);
        assert!(!sockets.receive(&mut |_, _| ()).unwrap());
    }
}
