//! Clients of renet: its own client and netcode session, over a socket each, because a server knows a client by its address.
//!
//! Only sockets with something to read are read, and a session's clock goes on when it has something to send, as it would once a frame.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context as _;
use gameserver_sys::raise_file_limit;
use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};
use renet::{ConnectionConfig, DefaultChannel, RenetClient};
use renetcode::{ClientAuthentication, ConnectToken, NetcodeClient};

use crate::crowd::{Crowd, INPUT_BYTES, Input, read_snapshot, write_input};

/// As `peer-renet` has it.
const PROTOCOL_ID: u64 = 7;
const PRIVATE_KEY: [u8; 32] = [7; 32];
const TOKEN_SECONDS: u64 = 300;
const TIMEOUT_SECONDS: i32 = 15;
/// Sockets that are read before inputs are looked for again; each takes some microseconds.
const EVENTS: usize = 64;
/// Clients that are joining at a time, so that the handshakes are answered.
const JOINING_MAX: usize = 50;

struct Client {
    socket: UdpSocket,
    netcode: NetcodeClient,
    renet: RenetClient,
    /// When its sessions were last told the time.
    told: Duration,
}

pub(crate) struct Renet {
    poll: Poll,
    events: Events,
    clients: Vec<Client>,
    joined: u32,
    buffer: Vec<u8>,
}

impl Renet {
    pub(crate) fn open(server: SocketAddr, clients: u32, unix: Duration) -> anyhow::Result<Self> {
        raise_file_limit(u64::from(clients) + 64).context("failed to have so many sockets")?;
        let poll = Poll::new()?;
        let open = |id: u32| -> anyhow::Result<Client> {
            let mut socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0).into())?;
            socket.connect(server)?;
            poll.registry().register(&mut socket, Token(id as usize), Interest::READABLE)?;
            let id = u64::from(id) + 1;
            let token = ConnectToken::generate(
                unix,
                PROTOCOL_ID,
                TOKEN_SECONDS,
                id,
                TIMEOUT_SECONDS,
                vec![server],
                None,
                &PRIVATE_KEY,
            )?;
            let netcode = NetcodeClient::new(unix, ClientAuthentication::Secure { connect_token: token })?;
            Ok(Client {
                socket,
                netcode,
                renet: RenetClient::new(ConnectionConfig::default()),
                told: Duration::ZERO,
            })
        };
        let clients =
            (0..clients).map(open).collect::<anyhow::Result<_>>().context("failed to open a client")?;
        Ok(Self { poll, events: Events::with_capacity(EVENTS), clients, joined: 0, buffer: vec![0; 2048] })
    }
}

impl Client {
    /// Tells the sessions the time and sends what they have.
    fn update(&mut self, now: Duration) -> io::Result<()> {
        let since = now.saturating_sub(self.told);
        self.told = now;
        if self.netcode.is_connected() {
            self.renet.set_connected();
        }
        self.renet.update(since);
        if let Some((packet, _)) = self.netcode.update(since) {
            send(&self.socket, packet)?;
        }
        for packet in self.renet.get_packets_to_send() {
            // a session that is gone shows as inputs that are lost
            if let Ok((_, packet)) = self.netcode.generate_payload_packet(&packet) {
                send(&self.socket, packet)?;
            }
        }
        Ok(())
    }

    fn receive(&mut self, buffer: &mut [u8], seen: &mut dyn FnMut(u32, u32, usize)) -> io::Result<()> {
        loop {
            match self.socket.recv(buffer) {
                Ok(length) => {
                    if let Some(payload) = self.netcode.process_packet(&mut buffer[..length]) {
                        self.renet.process_packet(payload);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
                Err(error) => return Err(error),
            }
        }
        while let Some(snapshot) = self.renet.receive_message(DefaultChannel::Unreliable) {
            if let Some((client, newest)) = read_snapshot(&snapshot) {
                seen(client, newest, snapshot.len());
            }
        }
        Ok(())
    }
}

impl Crowd for Renet {
    fn join(&mut self, now: Duration) -> io::Result<bool> {
        self.receive(now, &mut |_, _, _| ())?;
        self.joined = 0;
        let mut joining = 0;
        for client in &mut self.clients {
            if client.netcode.is_connected() {
                self.joined += 1;
            } else if joining < JOINING_MAX {
                joining += 1;
            } else {
                break;
            }
            client.update(now)?;
        }
        Ok(self.joined as usize == self.clients.len())
    }

    fn joined(&self) -> u32 {
        self.joined
    }

    fn send(&mut self, now: Duration, inputs: &mut dyn FnMut() -> Option<Input>) -> io::Result<()> {
        while let Some(input) = inputs() {
            let Some(client) = self.clients.get_mut(input.0 as usize) else { continue };
            let mut message = vec![0; INPUT_BYTES];
            write_input(input, &mut message);
            client.renet.send_message(DefaultChannel::Unreliable, message);
            client.update(now)?;
        }
        Ok(())
    }

    fn receive(&mut self, _now: Duration, seen: &mut dyn FnMut(u32, u32, usize)) -> io::Result<bool> {
        match self.poll.poll(&mut self.events, Some(Duration::ZERO)) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        for event in &self.events {
            if let Some(client) = self.clients.get_mut(event.token().0) {
                client.receive(&mut self.buffer, seen)?;
            }
        }
        Ok(!self.events.is_empty())
    }

    fn parts(&self) -> usize {
        1
    }
}

fn send(socket: &UdpSocket, packet: &[u8]) -> io::Result<()> {
    match socket.send(packet) {
        Err(error) if !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::ConnectionRefused) => {
            Err(error)
        }
        _ => Ok(()),
    }
}
