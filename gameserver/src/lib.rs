//! The shell around the game server's core: threads, sockets, reports and the end of the process.
//!
//! One OS thread per zone runs the loop (`zone`), the main thread runs everything that may wait (`control`): the admin
//! endpoint, the streams to the operator (`report`) and the signals. They share a board of atomic figures one way and
//! a bounded queue of orders the other.
//!
//! Invariants:
//! - The zone thread never waits for the control thread: orders are polled once a tick from a ring in which neither end waits
//!   for the other, figures are atomics.
//! - Every thread and task has an end and is joined; SIGTERM ends them in order, players first
//!   (`tests/standalone.rs`, `tests/report.rs`).

mod args;
mod clock;
mod control;
mod key;
mod report;
pub mod telemetry;
mod zone;

use std::net::{SocketAddr, TcpListener};

use anyhow::Context;
use gameserver_contract::{Backend, CONTRACT_VERSION, Hello};
use gameserver_core::ServerConfig;
use gameserver_net::Config as NetConfig;
use gameserver_protocol::PROTOCOL_ID;
use gameserver_sys::Clock;

pub use args::{Args, GameArgs, LogFormat, NetArg, NetworkArgs, PinArg, ReportArgs};
pub use key::{KeyError, format_key, parse_key, random_bytes};
pub use report::{FrameError, encode_frame, read_frame};

use control::{ControlConfig, Service};
use report::Identity;
use zone::{Order, Zone, ZoneConfig};

/// Runs a game server until SIGTERM or SIGINT, and its orderly end.
///
/// # Errors
/// When it cannot start (address taken, backend denied that was asked for) or its zone fails.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let clock = Clock::start();
    let bind = SocketAddr::new(args.game.bind_address, args.game.port);
    let buffer_bytes = args.network.socket_buffer_kib as usize * 1024;
    let (socket, granted) =
        gameserver_net::bind(bind, buffer_bytes).with_context(|| format!("failed to bind UDP {bind}"))?;
    let local = socket.local_addr()?;
    if granted < buffer_bytes {
        tracing::warn!(
            asked = buffer_bytes,
            granted,
            "the kernel caps the socket buffer (net.core.rmem_max)"
        );
    }
    let admin = TcpListener::bind(args.admin_address)
        .with_context(|| format!("failed to bind the admin address {}", args.admin_address))?;
    let boot_unix_ms = u64::try_from(clock.unix().as_millis()).unwrap_or(u64::MAX);
    let config = ZoneConfig {
        server: server_config(args, local, boot_unix_ms)?,
        socket,
        choice: args.network.net.into(),
        net: NetConfig { depth: args.network.queue_depth, ..NetConfig::default() },
        pin: args.network.pin.into(),
        numa: args.network.numa,
        clock,
    };
    let mut zone = Zone::start(config)?;
    let backend = backend(zone.backend);
    tracing::info!(
        udp = %local,
        admin = %admin.local_addr()?,
        backend = backend.as_str(),
        tick_hz = args.game.tick_hz,
        capacity = args.game.capacity,
        receive_buffer_bytes = granted,
        version = env!("CARGO_PKG_VERSION"),
        "listening"
    );
    let report = report_identity(args, backend, boot_unix_ms);
    if report.is_none() {
        start_standalone(args, local, &mut zone)?;
    }
    let (service, drain_deadline) = (service(args, backend), args.drain_deadline);
    let config = ControlConfig { admin, report, service, drain_deadline, clock };
    control::block_on(control::run(config, zone)).context("failed to start the control thread's runtime")?
}

fn server_config(args: &Args, local: SocketAddr, boot_unix_ms: u64) -> anyhow::Result<ServerConfig> {
    Ok(ServerConfig {
        protocol_id: PROTOCOL_ID,
        public_addresses: args.public_addresses(local.port()),
        capacity: args.game.capacity as usize,
        tick_hz: args.game.tick_hz,
        timeout: args.game.timeout,
        boot_unix_ms,
        random: random_bytes()?,
        max_commands_per_tick: args.game.max_commands_per_tick as usize,
        snapshot_bytes: args.game.snapshot_bytes(),
        replication_hz: args.game.replication_hz,
        interpolation: args.game.interpolation,
        registry: None,
    })
}

/// Where to report and as whom; `None` for a standalone server.
fn report_identity(args: &Args, backend: Backend, boot_unix_ms: u64) -> Option<(SocketAddr, Identity)> {
    let report = &args.report;
    let hello = Hello {
        contract_version: CONTRACT_VERSION,
        server_version: env!("CARGO_PKG_VERSION").to_owned(),
        token: String::new(),
        namespace: report.namespace.clone(),
        game_server: report.game_server.clone()?,
        game_server_uid: report.game_server_uid.clone().unwrap_or_default(),
        boot_unix_ms,
        backend,
        tick_hz: args.game.tick_hz,
        capacity: args.game.capacity,
        drain_order: None,
    };
    let (ca_file, token_file) = (report.report_ca_file.clone()?, report.report_token_file.clone()?);
    Some((report.report_endpoint?, Identity { hello, ca_file, token_file }))
}

/// What `/health` says of this process.
fn service(args: &Args, backend: Backend) -> Service {
    let report = &args.report;
    Service {
        version: env!("CARGO_PKG_VERSION"),
        contract_version: CONTRACT_VERSION,
        namespace: report.game_server.as_ref().map(|_| report.namespace.clone()),
        game_server: report.game_server.clone(),
        fleet: report.fleet.clone(),
        backend,
        tick_hz: args.game.tick_hz,
        capacity: args.game.capacity,
    }
}

fn start_standalone(args: &Args, local: SocketAddr, zone: &mut Zone) -> anyhow::Result<()> {
    let key = key::standalone_key(args.game.key_file.as_deref())?;
    zone.order(Order::InstallKey(key));
    let key = match &args.game.key_file {
        Some(path) => format!("--key-file {}", path.display()),
        None => format!("--key {}", format_key(&key)),
    };
    let reachable =
        args.public_addresses(local.port()).first().copied().unwrap_or_else(|| on_this_host(local));
    tracing::warn!("standalone: no operator, so nobody restarts, scales or drains this server");
    tracing::info!(
        "send it players: cargo run -p gameserver-bots -- server --address {reachable} {key} --players 10"
    );
    tracing::info!("play on it: cargo run -p gameserver-terminal -- server --address {reachable} {key}");
    Ok(())
}

fn on_this_host(local: SocketAddr) -> SocketAddr {
    let ip = if local.ip().is_unspecified() { [127, 0, 0, 1].into() } else { local.ip() };
    SocketAddr::new(ip, local.port())
}

fn backend(backend: gameserver_net::Backend) -> Backend {
    match backend {
        gameserver_net::Backend::Uring => Backend::Uring,
        gameserver_net::Backend::TokioUring => Backend::TokioUring,
        gameserver_net::Backend::Mmsg => Backend::Mmsg,
        gameserver_net::Backend::Memory => Backend::Memory,
    }
}
