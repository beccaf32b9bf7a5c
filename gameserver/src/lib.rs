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
mod sessions;
mod signals;
pub mod telemetry;
mod zone;

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use gameserver_contract::{Backend, CONTRACT_VERSION, Hello, TOKEN_LIFETIME_SECONDS};
use gameserver_core::{Registry, ServerConfig};
use gameserver_net::Config as NetConfig;
use gameserver_protocol::PROTOCOL_ID;
use gameserver_sys::Clock;

pub use args::{Args, GameArgs, LogFormat, NetArg, NetworkArgs, PinArg, ReportArgs, SessionArgs};
pub use key::{KeyError, format_key, parse_key, random_bytes};
pub use report::{FrameError, encode_frame, read_frame};

use control::{ControlConfig, Service};
use report::Identity;
use sessions::{Patience, Sessions};
use signals::Signals;
use zone::{Order, SeatRequest, ZoneConfig, ZoneFacts, Zones};

/// Runs a game server until SIGTERM or SIGINT, and its orderly end.
///
/// # Errors
/// When it cannot start (address taken, backend denied that was asked for) or a zone fails.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let signals = Signals::listen().context("failed to listen for signals")?;
    args.game.check()?;
    let clock = Clock::start();
    let bind = SocketAddr::new(args.game.bind_address, args.game.port);
    let buffer_bytes = args.network.socket_buffer_kib as usize * 1024;
    let (sockets, granted) = gameserver_net::bind_group(bind, buffer_bytes, args.game.zones)
        .with_context(|| format!("failed to bind UDP {bind}"))?;
    let local = sockets[0].local_addr()?;
    if gameserver_net::is_capped(buffer_bytes, granted) {
        // half of what the kernel says is for its own bookkeeping
        tell_of_cap(buffer_bytes, granted / 2);
    }
    // while one of them is open, the kernel takes no player of a zone that has ended to another
    let _open = sockets.iter().map(UdpSocket::try_clone).collect::<Result<Vec<_>, _>>()?;
    let admin = TcpListener::bind(args.admin_address)
        .with_context(|| format!("failed to bind the admin address {}", args.admin_address))?;
    let boot_unix_ms = u64::try_from(clock.unix().as_millis()).unwrap_or(u64::MAX);
    let mut zones = Zones::start(zone_configs(args, sockets, local, boot_unix_ms, clock)?)?;
    let backend = backend_of_all(&zones.facts());
    tracing::info!(
        udp = %local,
        admin = %admin.local_addr()?,
        backend = backend.as_str(),
        zones = args.game.zones,
        tick_hz = args.game.tick_hz,
        capacity = args.game.capacity,
        receive_buffer_bytes = granted,
        version = env!("CARGO_PKG_VERSION"),
        "listening"
    );
    let report = report_identity(args, backend, boot_unix_ms);
    if report.is_none() {
        start_standalone(args, local, &mut zones)?;
    }
    let (service, drain_deadline) = (service(args, backend), args.drain_deadline);
    let sessions = sessions_of(&args.sessions, clock);
    let config = ControlConfig { admin, report, service, drain_deadline, sessions, signals, clock };
    control::block_on(control::run(config, zones)).context("failed to start the control thread's runtime")?
}

/// A burst that does not fit is lost, and nobody sees it before it is.
fn tell_of_cap(asked: usize, granted: usize) {
    tracing::warn!(
        asked,
        granted,
        remedy = "raise net.core.rmem_max and net.core.wmem_max of the node, or ask for less by --socket-buffer-kib",
        "the kernel caps the socket buffer (net.core.rmem_max)"
    );
}

/// One for each socket. The zones share a registry, and with it the places for players.
fn zone_configs(
    args: &Args,
    sockets: Vec<UdpSocket>,
    local: SocketAddr,
    boot_unix_ms: u64,
    clock: Clock,
) -> anyhow::Result<Vec<ZoneConfig>> {
    let zones = sockets.len();
    let registry = Registry::new(args.game.capacity as usize, boot_unix_ms, &random_bytes()?);
    let registry = Arc::new(registry);
    let config = |(zone, socket)| {
        let network = &args.network;
        Ok(ZoneConfig {
            server: ServerConfig {
                protocol_id: PROTOCOL_ID,
                public_addresses: args.public_addresses(local.port()),
                capacity: args.places_of_a_zone() as usize,
                tick_hz: args.game.tick_hz,
                timeout: args.game.timeout,
                boot_unix_ms,
                random: random_bytes()?,
                max_commands_per_tick: args.game.max_commands_per_tick as usize,
                snapshot_bytes: args.game.snapshot_bytes(),
                replication_hz: args.game.replication_hz,
                interpolation: args.game.interpolation,
                registry: Some(Arc::clone(&registry)),
            },
            socket,
            choice: network.net.into(),
            net: NetConfig { depth: network.receive_buffers, ..NetConfig::default() },
            seat: SeatRequest { pin: network.pin.into(), numa: network.numa, zone, zones },
            clock,
            filter_salt: u32::from_ne_bytes(random_bytes()?),
            span: telemetry::about_zone(&args.report, zone),
        })
    };
    sockets.into_iter().enumerate().map(config).collect()
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
        sessions: args.sessions.limit,
        hears_outdated: true,
    };
    let (ca_file, token_file) = (report.report_ca_file.clone()?, report.report_token_file.clone()?);
    Some((report.report_endpoint?, Identity { hello, ca_file, token_file }))
}

/// What an earlier process of the pod was allocated for, or nothing.
fn sessions_of(args: &SessionArgs, clock: Clock) -> Sessions {
    // whoever was lost may come back with a token for as long
    let linger = Duration::from_secs(TOKEN_LIFETIME_SECONDS);
    let patience = Patience { join: args.join_deadline, linger };
    Sessions::open(clock.monotonic(), args.state_dir.as_deref(), &args.pod_uid, args.limit, patience)
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

fn start_standalone(args: &Args, local: SocketAddr, zones: &mut Zones) -> anyhow::Result<()> {
    let key = key::standalone_key(args.game.key_file.as_deref())?;
    zones.tell(Order::InstallKey(key));
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

/// How the process as a whole is said to move datagrams. Locked memory may suffice for the rings of some zones alone; then the
/// others play on by recvmmsg, and that is what should be looked into.
fn backend_of_all(zones: &[ZoneFacts]) -> Backend {
    let worst = zones
        .iter()
        .map(|zone| zone.backend)
        .reduce(|one, other| if other == Backend::Mmsg { other } else { one });
    worst.unwrap_or(Backend::Mmsg)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    use clap::Parser as _;

    #[test]
    fn no_zone_has_the_chance_of_another() {
        let args = Args::parse_from(["gameserver", "--zones", "8", "--capacity", "8"]);
        let sockets = (0..8).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
        let local = SocketAddr::from(([127, 0, 0, 1], 7777));
        let configs = zone_configs(&args, sockets, local, 1, Clock::start()).unwrap();
        let distinct =
            |chance: fn(&ZoneConfig) -> Vec<u8>| configs.iter().map(chance).collect::<BTreeSet<_>>().len();
        assert_eq!(distinct(|config| config.server.random.to_vec()), 8, "keys of challenges");
        assert_eq!(
            distinct(|config| config.filter_salt.to_ne_bytes().to_vec()),
            8,
            "fingerprints in a flood"
        );
    }
}
