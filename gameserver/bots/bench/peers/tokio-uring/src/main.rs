//! The same server on tokio-uring: 64 receives are always posted, and a tick's snapshots go out 64 at a time, each by a send of its own, because the
//! runtime knows no other.
//!
//! `peer-tokio-uring PORT TICK_HZ`; says `ready` when it is bound. Speaks the bare protocol of `load/src/wire.rs`.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::future::join_all;
use socket2::{Domain, Socket, Type};
use tokio::time::{MissedTickBehavior, interval};
use tokio_uring::net::UdpSocket;

const SNAPSHOT_BYTES: usize = 340;
const BUFFER_BYTES: usize = 4 << 20;
/// Receives that are posted, and sends that are in flight.
const DEPTH: usize = 64;

type Players = Rc<RefCell<HashMap<u32, Player>>>;

struct Player {
    address: SocketAddr,
    newest: u32,
}

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut argument = || arguments.next().context("usage: peer-tokio-uring PORT TICK_HZ");
    let (port, tick_hz): (u16, u32) = (argument()?.parse()?, argument()?.parse()?);
    let socket = open(port)?;
    println!("ready");
    tokio_uring::start(async {
        let socket = Rc::new(UdpSocket::from_std(socket.into()));
        let players = Players::default();
        for _ in 0..DEPTH {
            tokio_uring::spawn(receive(Rc::clone(&socket), Rc::clone(&players)));
        }
        tick(&socket, &players, Duration::from_secs(1) / tick_hz).await
    })
}

async fn receive(socket: Rc<UdpSocket>, players: Players) {
    let mut buffer = Vec::with_capacity(2048);
    loop {
        let (received, input) = socket.recv_from(buffer).await;
        if let (Ok((_, from)), Some(sequence), Some(id)) = (received, number(&input, 0), number(&input, 4)) {
            let mut players = players.borrow_mut();
            let player = players.entry(id).or_insert(Player { address: from, newest: 0 });
            player.newest = player.newest.max(sequence);
        }
        buffer = input;
        buffer.clear();
    }
}

async fn tick(socket: &UdpSocket, players: &Players, period: Duration) -> anyhow::Result<()> {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut spare: Vec<Vec<u8>> = vec![vec![0; SNAPSHOT_BYTES]; DEPTH];
    loop {
        ticks.tick().await;
        let due: Vec<_> =
            players.borrow().iter().map(|(id, player)| (*id, player.newest, player.address)).collect();
        for chunk in due.chunks(DEPTH) {
            let sends =
                chunk.iter().zip(spare.drain(..chunk.len())).map(|(&(id, newest, to), mut snapshot)| {
                    snapshot[..4].copy_from_slice(&newest.to_be_bytes());
                    snapshot[4..8].copy_from_slice(&id.to_be_bytes());
                    socket.send_to(snapshot, to)
                });
            for (sent, snapshot) in join_all(sends).await {
                sent.context("failed to send")?;
                spare.push(snapshot);
            }
        }
    }
}

fn number(input: &[u8], at: usize) -> Option<u32> {
    input.get(at..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

fn open(port: u16) -> anyhow::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    socket.set_recv_buffer_size(BUFFER_BYTES)?;
    socket.set_send_buffer_size(BUFFER_BYTES)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into()).context("failed to bind")?;
    Ok(socket)
}
