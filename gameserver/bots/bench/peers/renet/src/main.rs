//! A server on renet, in the loop of its README: update, events, messages, send, once a tick. Inputs and snapshots go over its unreliable channel.
//!
//! `peer-renet PORT TICK_HZ`; says `ready` when it is bound. netcode with connect tokens and ChaCha20-Poly1305; 1024 clients at most,
//! which is netcode's own limit there.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context as _;
use gameserver_sys::Clock;
use renet::{ConnectionConfig, DefaultChannel, RenetServer, ServerEvent};
use renet_netcode::{NetcodeServerTransport, ServerAuthentication, ServerConfig};
use socket2::{Domain, Socket, Type};

const SNAPSHOT_BYTES: usize = 340;
const BUFFER_BYTES: usize = 4 << 20;
const CLIENTS_MAX: usize = 1024;
/// As the load has it.
const PROTOCOL_ID: u64 = 7;
const PRIVATE_KEY: [u8; 32] = [7; 32];

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut argument = || arguments.next().context("usage: peer-renet PORT TICK_HZ");
    let (port, tick_hz): (u16, u32) = (argument()?.parse()?, argument()?.parse()?);
    let clock = Clock::start();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    socket.set_recv_buffer_size(BUFFER_BYTES)?;
    socket.set_send_buffer_size(BUFFER_BYTES)?;
    socket.bind(&address.into()).context("failed to bind")?;
    let config = ServerConfig {
        current_time: clock.unix(),
        max_clients: CLIENTS_MAX,
        protocol_id: PROTOCOL_ID,
        public_addresses: vec![address],
        authentication: ServerAuthentication::Secure { private_key: PRIVATE_KEY },
    };
    let mut transport = NetcodeServerTransport::new(config, socket.into())?;
    let mut server = RenetServer::new(ConnectionConfig::default());
    println!("ready");
    let period = Duration::from_secs(1) / tick_hz;
    let (mut last, mut due) = (clock.monotonic(), clock.monotonic() + period);
    let mut newest: HashMap<u64, (u32, u32)> = HashMap::new();
    loop {
        pause(due.saturating_sub(clock.monotonic()));
        let now = clock.monotonic();
        due = (due + period).max(now);
        let since = now.saturating_sub(last);
        last = now;
        server.update(since);
        transport.update(since, &mut server)?;
        while let Some(event) = server.get_event() {
            match event {
                ServerEvent::ClientConnected { client_id } => _ = newest.insert(client_id, (0, 0)),
                ServerEvent::ClientDisconnected { client_id, .. } => _ = newest.remove(&client_id),
            }
        }
        for (&client, (newest, id)) in &mut newest {
            while let Some(input) = server.receive_message(client, DefaultChannel::Unreliable) {
                let (Some(sequence), Some(whose)) = (number(&input, 0), number(&input, 4)) else { continue };
                (*newest, *id) = ((*newest).max(sequence), whose);
            }
            let mut snapshot = vec![0; SNAPSHOT_BYTES];
            snapshot[..4].copy_from_slice(&newest.to_be_bytes());
            snapshot[4..8].copy_from_slice(&id.to_be_bytes());
            server.send_message(client, DefaultChannel::Unreliable, snapshot);
        }
        transport.send_packets(&mut server);
    }
}

fn number(input: &[u8], at: usize) -> Option<u32> {
    input.get(at..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

#[expect(clippy::disallowed_methods, reason = "until the next tick is due, as in renet's own examples")]
fn pause(wait: Duration) {
    std::thread::sleep(wait);
}
