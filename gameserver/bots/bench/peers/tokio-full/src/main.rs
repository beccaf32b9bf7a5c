//! Our own game server's core and arena on the socket that one takes first in Rust: tokio's, a datagram a call, on a runtime of one thread.
//!
//! It is started by our own bots in the place of our game server and understands what they tell that one. What is between both is how datagrams
//! move, and what a shell around the core does besides.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use gameserver_core::{DEFAULT_INTERPOLATION, DEFAULT_REPLICATION_HZ, ServerConfig, snapshot_bytes_for};
use gameserver_game::arena::Arena;
use gameserver_protocol::{KEY_BYTES, Key, Now, PROTOCOL_ID};
use gameserver_sys::{Clock, observe_cpus, pin_current_thread};
use ring::rand::{SecureRandom as _, SystemRandom};
use socket2::{Domain, Socket, Type};
use tokio::net::UdpSocket;
use tokio::time::{MissedTickBehavior, interval};

type ZoneServer = gameserver_core::ZoneServer<Arena>;

const BUFFER_BYTES: usize = 4 << 20;
/// As our game server has it.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of the longest datagram that comes or goes.
const DATAGRAM_BYTES: usize = 2048;
/// Lines of who asks for figures that are read.
const ASKED_LINES_MAX: usize = 100;

/// Our game server's core on plain tokio; arguments as `gameserver` has them.
#[derive(Debug, Parser)]
struct Args {
    #[arg(long)]
    bind_address: IpAddr,
    #[arg(long)]
    port: u16,
    /// Where whoever asks for figures is told none.
    #[arg(long)]
    admin_address: SocketAddr,
    /// Taken, and always so.
    #[arg(long)]
    pin: String,
    /// Taken, and of no effect.
    #[arg(long)]
    net: String,
    #[arg(long)]
    tick_hz: u32,
    #[arg(long)]
    capacity: u32,
    #[arg(long)]
    key_file: PathBuf,
    #[arg(long, default_value_t = DEFAULT_REPLICATION_HZ)]
    replication_hz: u32,
    #[arg(long, default_value_t = 1000)]
    max_commands_per_tick: u32,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let cpu = observe_cpus()?.allowed.first().copied().context("no CPU to run on")?;
    pin_current_thread(cpu).context("failed to pin the thread")?;
    let clock = Clock::start();
    let socket = open(SocketAddr::new(args.bind_address, args.port))?;
    let admin = TcpListener::bind(args.admin_address).context("failed to bind the admin address")?;
    // the end of the process is its end
    std::thread::spawn(move || answer(&admin));
    let mut server = ZoneServer::new(config(&args, socket.local_addr()?, clock)?)?;
    server.install_key(key(&args.key_file)?);
    play(&mut server, &socket, args.tick_hz, clock).await
}

async fn play(server: &mut ZoneServer, socket: &UdpSocket, tick_hz: u32, clock: Clock) -> anyhow::Result<()> {
    let mut ticks = interval(Duration::from_secs(1) / tick_hz);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut datagram = [0; DATAGRAM_BYTES];
    loop {
        tokio::select! {
            _ = ticks.tick() => server.step(now(clock)),
            received = socket.recv_from(&mut datagram) => {
                let ((length, from), arrived) = (received?, now(clock));
                server.handle_datagram(arrived, from, &mut datagram[..length]);
                // what else is there costs no further turn of the runtime
                while let Ok((length, from)) = socket.try_recv_from(&mut datagram) {
                    server.handle_datagram(arrived, from, &mut datagram[..length]);
                }
            }
        }
        while let Some(transmit) = server.poll_transmit(now(clock), &mut datagram) {
            socket.send_to(&datagram[..transmit.len], transmit.to).await?;
        }
    }
}

fn now(clock: Clock) -> Now {
    Now { monotonic: clock.monotonic(), unix: clock.unix() }
}

fn config(args: &Args, local: SocketAddr, clock: Clock) -> anyhow::Result<ServerConfig> {
    let mut random = [0; 32];
    SystemRandom::new().fill(&mut random).ok().context("failed to get random bytes from the system")?;
    Ok(ServerConfig {
        protocol_id: PROTOCOL_ID,
        public_addresses: vec![local],
        capacity: args.capacity as usize,
        tick_hz: args.tick_hz,
        timeout: TIMEOUT,
        boot_unix_ms: u64::try_from(clock.unix().as_millis())?,
        random,
        max_commands_per_tick: args.max_commands_per_tick as usize,
        snapshot_bytes: snapshot_bytes_for(args.tick_hz, args.replication_hz),
        replication_hz: args.replication_hz,
        interpolation: DEFAULT_INTERPOLATION,
        registry: None,
    })
}

/// The key in a file, as 64 hexadecimal digits.
fn key(path: &Path) -> anyhow::Result<Key> {
    let text = fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))?;
    let mut key = [0; KEY_BYTES];
    for (at, byte) in key.iter_mut().enumerate() {
        let digits = text.get(2 * at..2 * at + 2).context("the key is too short")?;
        *byte = u8::from_str_radix(digits, 16).context("the key has other than hexadecimal digits")?;
    }
    Ok(key)
}

fn open(address: SocketAddr) -> anyhow::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
    socket.set_recv_buffer_size(BUFFER_BYTES)?;
    socket.set_send_buffer_size(BUFFER_BYTES)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into()).context("failed to bind")?;
    Ok(UdpSocket::from_std(socket.into())?)
}

/// Has whoever asks for figures know that the server runs, and no more.
fn answer(admin: &TcpListener) {
    for mut stream in admin.incoming().flatten() {
        // to the end of what is asked: what is not read would be answered by a reset
        let asked = BufReader::new(&stream).lines().map_while(Result::ok);
        let _end = asked.take(ASKED_LINES_MAX).find(String::is_empty);
        // who has gone away needs no answer
        let _told = stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
    }
}
