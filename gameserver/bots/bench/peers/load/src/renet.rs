//! Clients of renet: its own client and netcode session. A session's clock goes on when it has something to send, as it would once a frame.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use renet::{ConnectionConfig, DefaultChannel, RenetClient};
use renetcode::{ClientAuthentication, ConnectToken, NetcodeClient};

use crate::crowd::{Crowd, INPUT_BYTES, Input, read_snapshot, write_input};
use crate::sockets::Sockets;

/// As `peer-renet` has it.
const PROTOCOL_ID: u64 = 7;
const PRIVATE_KEY: [u8; 32] = [7; 32];
const TOKEN_SECONDS: u64 = 300;
const TIMEOUT_SECONDS: i32 = 15;
/// Clients that are joining at a time, so that the handshakes are answered.
const JOINING_MAX: usize = 50;

struct Client {
    number: u32,
    netcode: NetcodeClient,
    renet: RenetClient,
    /// When its sessions were last told the time.
    told: Duration,
}

pub(crate) struct Renet {
    sockets: Sockets,
    clients: Vec<Client>,
    joined: u32,
}

impl Renet {
    pub(crate) fn open(server: SocketAddr, clients: u32, unix: Duration) -> anyhow::Result<Self> {
        let sockets = Sockets::open(server, clients)?;
        let open = |number: u32| -> anyhow::Result<Client> {
            let id = u64::from(number) + 1;
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
                number,
                netcode,
                renet: RenetClient::new(ConnectionConfig::default()),
                told: Duration::ZERO,
            })
        };
        let clients = (0..clients).map(open).collect::<anyhow::Result<_>>()?;
        Ok(Self { sockets, clients, joined: 0 })
    }
}

impl Client {
    /// Tells the sessions the time and sends what they have.
    fn update(&mut self, sockets: &Sockets, now: Duration) -> io::Result<()> {
        let since = now.saturating_sub(self.told);
        self.told = now;
        if self.netcode.is_connected() {
            self.renet.set_connected();
        }
        self.renet.update(since);
        if let Some((packet, _)) = self.netcode.update(since) {
            sockets.send(self.number, packet)?;
        }
        for packet in self.renet.get_packets_to_send() {
            // a session that is gone shows as inputs that are lost
            if let Ok((_, packet)) = self.netcode.generate_payload_packet(&packet) {
                sockets.send(self.number, packet)?;
            }
        }
        Ok(())
    }

    fn take(&mut self, datagram: &mut [u8], seen: &mut dyn FnMut(u32, u32, usize)) {
        if let Some(payload) = self.netcode.process_packet(datagram) {
            self.renet.process_packet(payload);
        }
        while let Some(snapshot) = self.renet.receive_message(DefaultChannel::Unreliable) {
            if let Some((client, newest)) = read_snapshot(&snapshot) {
                seen(client, newest, snapshot.len());
            }
        }
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
            client.update(&self.sockets, now)?;
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
            client.update(&self.sockets, now)?;
        }
        Ok(())
    }

    fn receive(&mut self, _now: Duration, seen: &mut dyn FnMut(u32, u32, usize)) -> io::Result<bool> {
        let clients = &mut self.clients;
        self.sockets.receive(&mut |number, datagram| {
            if let Some(client) = clients.get_mut(number as usize) {
                client.take(datagram, seen);
            }
        })
    }
}
