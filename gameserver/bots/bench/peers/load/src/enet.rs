//! Clients of ENet, by its translation into Rust: a host of one peer for each, as its tutorial has it, on a socket of its own.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use rusty_enet::{Event, Host, HostSettings, Packet, PeerID, ReadWrite};

use crate::crowd::{Crowd, INPUT_BYTES, Input, read_snapshot, write_input};
use crate::sockets::Sockets;

pub(crate) struct Enet {
    server: SocketAddr,
    sockets: Sockets,
    clients: Vec<Client>,
    /// Clients for which something has come that is not taken yet.
    touched: Vec<u32>,
}

struct Client {
    number: u32,
    /// It reads and writes memory, because only sockets with something to read are read.
    host: Host<ReadWrite<SocketAddr, io::Error>>,
    peer: PeerID,
    is_connected: bool,
}

impl Client {
    fn new(server: SocketAddr, number: u32) -> anyhow::Result<Self> {
        let settings = HostSettings { peer_limit: 1, channel_limit: 1, ..HostSettings::default() };
        let mut host = Host::new(ReadWrite::new(), settings)
            .map_err(|error| anyhow!("failed to open a host: {error:?}"))?;
        let peer = host.connect(server, 1, number).context("a host has no peer")?.id();
        Ok(Self { number, host, peer, is_connected: false })
    }

    /// Takes what has come, answers it, and does what is due.
    fn serve(&mut self, sockets: &Sockets, seen: &mut dyn FnMut(u32, u32, usize)) -> io::Result<()> {
        while let Some(event) = self.host.service()? {
            match event {
                Event::Receive { packet, .. } => {
                    if let Some((client, newest)) = read_snapshot(packet.data()) {
                        seen(client, newest, packet.data().len());
                    }
                }
                Event::Connect { .. } => self.is_connected = true,
                Event::Disconnect { .. } => self.is_connected = false,
            }
        }
        self.pass_on(sockets)
    }

    fn pass_on(&mut self, sockets: &Sockets) -> io::Result<()> {
        while let Some((_, datagram)) = self.host.socket_mut().read() {
            sockets.send(self.number, &datagram)?;
        }
        Ok(())
    }
}

impl Enet {
    pub(crate) fn open(server: SocketAddr, clients: u32) -> anyhow::Result<Self> {
        let sockets = Sockets::open(server, clients)?;
        let clients =
            (0..clients).map(|number| Client::new(server, number)).collect::<anyhow::Result<_>>()?;
        Ok(Self { server, sockets, clients, touched: Vec::new() })
    }
}

impl Crowd for Enet {
    fn join(&mut self, now: Duration) -> io::Result<bool> {
        // those who are in already get snapshots all the time, so no longer than until each has had a turn
        for _ in 0..self.clients.len() {
            if !self.receive(now, &mut |_, _, _| ())? {
                break;
            }
        }
        for client in &mut self.clients {
            client.serve(&self.sockets, &mut |_, _, _| ())?;
        }
        Ok(self.clients.iter().all(|client| client.is_connected))
    }

    fn joined(&self) -> u32 {
        let joined = self.clients.iter().filter(|client| client.is_connected).count();
        u32::try_from(joined).unwrap_or(u32::MAX)
    }

    fn send(&mut self, _now: Duration, inputs: &mut dyn FnMut() -> Option<Input>) -> io::Result<()> {
        let mut message = [0; INPUT_BYTES];
        while let Some(input) = inputs() {
            let Some(client) = self.clients.get_mut(input.0 as usize) else { continue };
            write_input(input, &mut message);
            // a peer that is gone shows as inputs that are lost
            let _gone = client.host.peer_mut(client.peer).send(0, &Packet::unreliable(&message[..]));
            client.host.flush();
            client.pass_on(&self.sockets)?;
        }
        Ok(())
    }

    fn receive(&mut self, _now: Duration, seen: &mut dyn FnMut(u32, u32, usize)) -> io::Result<bool> {
        let Self { server, sockets, clients, touched } = self;
        let has_received = sockets.receive(&mut |number, datagram| {
            if let Some(client) = clients.get_mut(number as usize) {
                client.host.socket_mut().write(*server, datagram.to_vec());
                touched.push(number);
            }
        })?;
        for number in touched.drain(..) {
            clients[number as usize].serve(sockets, seen)?;
        }
        Ok(has_received)
    }
}
