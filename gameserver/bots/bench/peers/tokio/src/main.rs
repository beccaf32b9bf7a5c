//! The server that one writes first in Rust: tokio's UdpSocket on a runtime of one thread, a ticker, a map of players.
//!
//! `peer-tokio PORT TICK_HZ`; says `ready` when it is bound. Speaks the bare protocol of `load/src/wire.rs`.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context as _;
use socket2::{Domain, Socket, Type};
use tokio::net::UdpSocket;
use tokio::time::{MissedTickBehavior, interval};

const SNAPSHOT_BYTES: usize = 340;
const BUFFER_BYTES: usize = 4 << 20;

struct Player {
    address: SocketAddr,
    newest: u32,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut argument = || arguments.next().context("usage: peer-tokio PORT TICK_HZ");
    let (port, tick_hz): (u16, u32) = (argument()?.parse()?, argument()?.parse()?);
    let socket = open(port)?;
    println!("ready");
    let mut players: HashMap<u32, Player> = HashMap::new();
    let mut ticks = interval(Duration::from_secs(1) / tick_hz);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let (mut input, mut snapshot) = ([0; 2048], [0; SNAPSHOT_BYTES]);
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                for (id, player) in &players {
                    snapshot[..4].copy_from_slice(&player.newest.to_be_bytes());
                    snapshot[4..8].copy_from_slice(&id.to_be_bytes());
                    socket.send_to(&snapshot, player.address).await?;
                }
            }
            received = socket.recv_from(&mut input) => {
                let (length, from) = received?;
                take(&mut players, &input[..length], from);
                // what else is there costs no further turn of the runtime
                while let Ok((length, from)) = socket.try_recv_from(&mut input) {
                    take(&mut players, &input[..length], from);
                }
            }
        }
    }
}

fn take(players: &mut HashMap<u32, Player>, input: &[u8], from: SocketAddr) {
    let (Some(sequence), Some(id)) = (number(input, 0), number(input, 4)) else { return };
    let player = players.entry(id).or_insert(Player { address: from, newest: 0 });
    player.newest = player.newest.max(sequence);
}

fn number(input: &[u8], at: usize) -> Option<u32> {
    input.get(at..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

fn open(port: u16) -> anyhow::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    socket.set_recv_buffer_size(BUFFER_BYTES)?;
    socket.set_send_buffer_size(BUFFER_BYTES)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into()).context("failed to bind")?;
    Ok(UdpSocket::from_std(socket.into())?)
}
