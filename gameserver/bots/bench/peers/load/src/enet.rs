//! Clients of ENet, by its translation into Rust: peers of a few hosts, because a server knows a client by its number.

use std::collections::HashSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use gameserver_net::bind;
use rusty_enet::{Event, Host, HostSettings, Packet, PeerID};

use crate::crowd::{Crowd, INPUT_BYTES, Input, read_snapshot, write_input};

/// A host goes through all its peers whenever it is served.
const PEERS_A_HOST: u32 = 64;
const BUFFER_BYTES: usize = 4 << 20;
/// Events that are taken before inputs are looked for again.
const EVENTS: usize = 64;

pub(crate) struct Enet {
    hosts: Vec<Host<UdpSocket>>,
    /// Client to its peer; its host is by its number.
    peers: Vec<PeerID>,
    connected: HashSet<(usize, PeerID)>,
    /// The host that is served next.
    turn: usize,
}

impl Enet {
    pub(crate) fn open(server: SocketAddr, clients: u32) -> anyhow::Result<Self> {
        let mut hosts = Vec::new();
        let mut peers = Vec::new();
        for client in 0..clients {
            if client % PEERS_A_HOST == 0 {
                let (socket, _) = bind((Ipv4Addr::LOCALHOST, 0).into(), BUFFER_BYTES)?;
                let settings = HostSettings {
                    peer_limit: PEERS_A_HOST as usize,
                    channel_limit: 1,
                    ..HostSettings::default()
                };
                hosts.push(
                    Host::new(socket, settings)
                        .map_err(|error| anyhow!("failed to open a host: {error:?}"))?,
                );
            }
            let host = hosts.last_mut().context("there is a host")?;
            peers.push(host.connect(server, 1, client).context("a host has too many peers")?.id());
        }
        Ok(Self { hosts, peers, connected: HashSet::new(), turn: 0 })
    }

    /// Takes what one host has; true if there may be more.
    fn serve(&mut self, at: usize, seen: &mut dyn FnMut(u32, u32, usize)) -> io::Result<bool> {
        for _ in 0..EVENTS {
            match self.hosts[at].service()? {
                Some(Event::Receive { packet, .. }) => {
                    if let Some((client, newest)) = read_snapshot(packet.data()) {
                        seen(client, newest, packet.data().len());
                    }
                }
                Some(Event::Connect { peer, .. }) => _ = self.connected.insert((at, peer.id())),
                Some(Event::Disconnect { peer, .. }) => _ = self.connected.remove(&(at, peer.id())),
                None => return Ok(false),
            }
        }
        Ok(true)
    }
}

impl Crowd for Enet {
    fn join(&mut self, _now: Duration) -> io::Result<bool> {
        for at in 0..self.hosts.len() {
            while self.serve(at, &mut |_, _, _| ())? {}
        }
        Ok(self.connected.len() == self.peers.len())
    }

    fn joined(&self) -> u32 {
        u32::try_from(self.connected.len()).unwrap_or(u32::MAX)
    }

    fn send(&mut self, _now: Duration, inputs: &mut dyn FnMut() -> Option<Input>) -> io::Result<()> {
        let mut touched = None;
        while let Some(input) = inputs() {
            let at = (input.0 / PEERS_A_HOST) as usize;
            if let Some(before) = touched.replace(at).filter(|before| *before != at) {
                self.hosts[before].flush();
            }
            let mut message = [0; INPUT_BYTES];
            write_input(input, &mut message);
            // a peer that is gone shows as inputs that are lost
            let _gone = self.hosts[at]
                .peer_mut(self.peers[input.0 as usize])
                .send(0, &Packet::unreliable(&message[..]));
        }
        if let Some(last) = touched {
            self.hosts[last].flush();
        }
        Ok(())
    }

    fn receive(&mut self, _now: Duration, seen: &mut dyn FnMut(u32, u32, usize)) -> io::Result<bool> {
        self.turn = (self.turn + 1) % self.hosts.len();
        let mut has_seen = false;
        self.serve(self.turn, &mut |client, newest, bytes| {
            has_seen = true;
            seen(client, newest, bytes);
        })?;
        Ok(has_seen)
    }

    fn parts(&self) -> usize {
        self.hosts.len()
    }
}
