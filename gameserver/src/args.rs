//! The command line: every setting, checked at the start. What the operator sets has an environment twin.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, Parser, ValueEnum};
use gameserver_contract::{ADMIN_PORT, env};
use gameserver_core::{DEFAULT_REPLICATION_HZ, snapshot_bytes_for};
use gameserver_net::{Choice, Config as NetConfig};
use gameserver_sys::{NODES_MAX, NumaRequest, PinRequest};

/// A server-authoritative game server over encrypted UDP.
///
/// Without CRANEWING_REPORT_ENDPOINT it runs standalone: it makes a key (or reads --key-file), prints how to send
/// bots and how to play, and reports to nobody.
#[derive(Clone, Debug, Parser)]
#[command(version)]
pub struct Args {
    /// What players reach.
    #[command(flatten)]
    pub game: GameArgs,
    /// How datagrams move.
    #[command(flatten)]
    pub network: NetworkArgs,
    /// Whom the server reports to.
    #[command(flatten)]
    pub report: ReportArgs,
    /// What it is allocated for.
    #[command(flatten)]
    pub sessions: SessionArgs,
    /// Address of /metrics, /health, /livez and /readyz.
    #[arg(long, default_value_t = SocketAddr::from(([0, 0, 0, 0], ADMIN_PORT)), help_heading = "Operation")]
    pub admin_address: SocketAddr,
    /// How logs are written.
    #[arg(long, value_enum, default_value_t = LogFormat::Text, help_heading = "Operation")]
    pub log_format: LogFormat,
    /// Seconds that players are given to leave after SIGTERM; then they are told and disconnected. Less than the pod's
    /// termination grace period: the operator derives it from that. A second signal tells them at once.
    #[arg(long, env = env::DRAIN_DEADLINE, default_value = "290", value_parser = parse_seconds, help_heading = "Operation")]
    pub drain_deadline: Duration,
}

/// What players reach.
#[derive(Clone, Debug, ClapArgs)]
#[command(next_help_heading = "Game")]
pub struct GameArgs {
    /// Address to bind.
    #[arg(long, default_value = "0.0.0.0")]
    pub bind_address: IpAddr,
    /// UDP port to bind; 0 takes any.
    #[arg(long, env = env::PORT, default_value_t = 7777)]
    pub port: u16,
    /// Address by which players reach this host.
    #[arg(long, env = env::HOST_IP)]
    pub host_ip: Option<IpAddr>,
    /// UDP port by which players reach this host; the bound port by default.
    #[arg(long, env = env::HOST_PORT)]
    pub host_port: Option<u16>,
    /// Players at most, of all zones together.
    #[arg(long, env = env::CAPACITY, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub capacity: u32,
    /// Zones: threads with a world and a socket each, 1 to 64, all behind the one port. The kernel chooses by a player's
    /// address to which of them it comes. Each uses up to one CPU.
    #[arg(long, default_value = "1", value_parser = parse_zones)]
    pub zones: NonZeroUsize,
    /// Players of one zone at most; without it each has room for all. Less saves 18 KB of memory a place and zone, and refuses
    /// whom the kernel takes to a zone that is full. All zones together must have room for `--capacity`.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub zone_capacity: Option<u32>,
    /// Ticks a second.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub tick_hz: u32,
    /// Seconds of silence after which a player is given up.
    #[arg(long, default_value = "10", value_parser = parse_seconds)]
    pub timeout: Duration,
    /// Inputs that one tick carries out at most. When players ask for more, they get the same share each, and what has waited
    /// for an eighth of a second is refused as `overloaded`.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_commands_per_tick: u32,
    /// Bytes of a datagram with a snapshot at most, 200 to 1200; what does not fit comes with the next. Without it as many as
    /// give a player 400 bytes a tick with all headers: 64 kbit/s at 20 ticks a second, 205 at 64.
    #[arg(long, value_parser = clap::value_parser!(u16).range(200..=1200))]
    pub snapshot_bytes: Option<u16>,
    /// How often a second a player is told of others at least; 20 at 64 ticks a second are each third tick. Between these
    /// turns it is told only of what its client cannot know.
    #[arg(long, default_value_t = DEFAULT_REPLICATION_HZ, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub replication_hz: u32,
    /// Seconds by which clients may draw others behind the newest state: how far a shot reaches back beyond half a round
    /// trip. Never more than a quarter of a second together.
    #[arg(long, default_value = "0.1", value_parser = parse_seconds)]
    pub interpolation: Duration,
    /// Standalone only: file with the server key, 64 hexadecimal digits. A fresh key without it.
    #[arg(long)]
    pub key_file: Option<PathBuf>,
}

impl GameArgs {
    /// What no argument says by itself.
    ///
    /// # Errors
    /// When zones together have fewer places than the process says it has: players would be sent to it and denied.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let places = self.zone_capacity.unwrap_or(self.capacity) as usize * self.zones.get();
        anyhow::ensure!(
            places >= self.capacity as usize,
            "--zone-capacity times --zones is {places}, less than --capacity, {}: raise one of the first two or lower the last",
            self.capacity
        );
        Ok(())
    }

    /// As asked for, or as many as go with the rates.
    pub(crate) fn snapshot_bytes(&self) -> u16 {
        self.snapshot_bytes.unwrap_or_else(|| snapshot_bytes_for(self.tick_hz, self.replication_hz))
    }
}

/// How datagrams move.
#[derive(Clone, Debug, ClapArgs)]
#[command(next_help_heading = "Network")]
pub struct NetworkArgs {
    /// Datagram backend. `auto` takes io_uring where the kernel and the sandbox allow it, else recvmmsg; the others
    /// fail loudly when they cannot be had.
    #[arg(long, value_enum, default_value_t = NetArg::Auto)]
    pub net: NetArg,
    /// Receive buffers of each zone's ring, and datagrams that one look takes in at most: a power of two from 16 to 32768.
    /// Fewer lock less memory: 204 KiB a zone with these, 108 with half of them.
    #[arg(long, default_value = "4096", value_parser = parse_receive_buffers)]
    pub receive_buffers: u16,
    /// Socket buffer to ask for, in KiB; the log says what the kernel granted.
    #[arg(long, default_value_t = 4096, value_parser = clap::value_parser!(u32).range(64..=1_048_576))]
    pub socket_buffer_kib: u32,
    /// Whether the zone thread stays on one CPU. `auto`: when the pod owns its CPUs.
    #[arg(long, value_enum, default_value_t = PinArg::Auto)]
    pub pin: PinArg,
    /// Which NUMA node the zone thread and its memory are on. `auto`: the one that all CPUs of the pod are of; `local`: the
    /// one where the thread starts; `node=N`: that one; `interleaved`: memory from all of them in turn; `off`: as the
    /// kernel has it. What the sandbox denies is logged, and the server runs all the same.
    #[arg(long, env = env::NUMA, default_value = "auto", value_name = "auto|local|interleaved|node=N|off", value_parser = parse_numa)]
    pub numa: NumaRequest,
}

/// Whom the server reports to. Set by the operator; standalone without an endpoint.
#[derive(Clone, Debug, Default, ClapArgs)]
#[command(next_help_heading = "Reports")]
pub struct ReportArgs {
    /// `IP:port` of the operator's report Service.
    #[arg(long, env = env::REPORT_ENDPOINT, requires_all = ["report_ca_file", "report_token_file", "game_server"])]
    pub report_endpoint: Option<SocketAddr>,
    /// PEM bundle that signs the operator's certificates; read on every connect.
    #[arg(long, env = env::REPORT_CA_FILE)]
    pub report_ca_file: Option<PathBuf>,
    /// Service account token; read on every connect.
    #[arg(long, env = env::REPORT_TOKEN_FILE)]
    pub report_token_file: Option<PathBuf>,
    /// Namespace of the GameServer object.
    #[arg(long, env = env::NAMESPACE, default_value = "default")]
    pub namespace: String,
    /// Name of the GameServer object.
    #[arg(long, env = env::GAME_SERVER)]
    pub game_server: Option<String>,
    /// Uid of the GameServer object.
    #[arg(long, env = env::GAME_SERVER_UID)]
    pub game_server_uid: Option<String>,
    /// Name of the Fleet, for the log.
    #[arg(long, env = env::FLEET)]
    pub fleet: Option<String>,
}

/// What the server is allocated for.
#[derive(Clone, Debug, ClapArgs)]
#[command(next_help_heading = "Sessions")]
pub struct SessionArgs {
    /// Sessions that the server is allocated for at once.
    #[arg(long = "sessions", env = env::SESSIONS, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=250))]
    pub limit: u32,
    /// Seconds that a session is waited for until somebody comes; then the server is free again.
    #[arg(long, env = env::JOIN_DEADLINE, default_value = "60", value_parser = parse_seconds)]
    pub join_deadline: Duration,
    /// Directory that lasts as long as the pod. A server that starts again finds there what it was allocated for; without one that is
    /// forgotten.
    #[arg(long, env = env::STATE_DIR)]
    pub state_dir: Option<PathBuf>,
    /// Uid of the pod: what another has left in the directory does not count.
    #[arg(long, env = env::POD_UID, default_value = "")]
    pub pod_uid: String,
}

impl Args {
    /// Places of each zone. By default whatever the kernel chooses, nobody is refused while the process has a place.
    pub fn places_of_a_zone(&self) -> u32 {
        self.game.capacity.min(self.game.zone_capacity.unwrap_or(u32::MAX))
    }

    /// Addresses by which players reach the server, as connect tokens must name them. Empty: any token will do.
    pub fn public_addresses(&self, bound_port: u16) -> Vec<SocketAddr> {
        let port = self.game.host_port.unwrap_or(bound_port);
        self.game.host_ip.map(|ip| SocketAddr::new(ip, port)).into_iter().collect()
    }
}

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// Values of `--net`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum NetArg {
    /// The best that is allowed.
    Auto,
    /// Raw io_uring.
    Uring,
    /// The tokio-uring runtime; to compare with.
    TokioUring,
    /// recvmmsg and sendmmsg.
    Mmsg,
}

impl From<NetArg> for Choice {
    fn from(arg: NetArg) -> Self {
        match arg {
            NetArg::Auto => Self::Auto,
            NetArg::Uring => Self::Uring,
            NetArg::TokioUring => Self::TokioUring,
            NetArg::Mmsg => Self::Mmsg,
        }
    }
}

/// Values of `--pin`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PinArg {
    /// When the pod owns its CPUs.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl From<PinArg> for PinRequest {
    fn from(arg: PinArg) -> Self {
        match arg {
            PinArg::Auto => Self::Auto,
            PinArg::Always => Self::Always,
            PinArg::Never => Self::Never,
        }
    }
}

fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|error| format!("not a number of seconds: {error}"))?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// Zones of a process at most: a CPU each, and 64 series of each figure. Below [`gameserver_core::MAX_SERVERS`].
const ZONES_MAX: usize = 64;

fn parse_zones(text: &str) -> Result<NonZeroUsize, String> {
    let zones: NonZeroUsize = text.parse().map_err(|error| format!("not a number of zones: {error}"))?;
    if zones.get() > ZONES_MAX { Err(format!("{zones} is not from 1 to {ZONES_MAX}")) } else { Ok(zones) }
}

fn parse_receive_buffers(text: &str) -> Result<u16, String> {
    let depth = text.parse().map_err(|error| format!("not a number of buffers: {error}"))?;
    let config = NetConfig { depth, ..NetConfig::default() };
    config.check().map(|()| depth).map_err(|error| error.to_string())
}

fn parse_numa(text: &str) -> Result<NumaRequest, String> {
    let node = |number: &str| number.parse().ok().filter(|&node| node < NODES_MAX).map(NumaRequest::OnNode);
    let request = match text {
        "auto" => Some(NumaRequest::Auto),
        "local" => Some(NumaRequest::Local),
        "interleaved" => Some(NumaRequest::Interleaved),
        "off" => Some(NumaRequest::Off),
        _ => text.strip_prefix("node=").and_then(node),
    };
    let last = NODES_MAX - 1;
    request.ok_or_else(|| format!("not auto, local, interleaved, off, or node=N with N from 0 to {last}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(args: &[&str]) -> Result<Args, clap::Error> {
        Args::try_parse_from(["gameserver"].iter().chain(args))
    }

    #[test]
    fn a_process_has_no_more_places_than_its_zones() {
        let check = |args: &[&str]| parse(args).unwrap().game.check().map_err(|error| error.to_string());
        assert_eq!(check(&["--zones", "4"]), Ok(()));
        assert_eq!(check(&["--zones", "4", "--zone-capacity", "250"]), Ok(()));
        let refused = check(&["--zones", "4", "--zone-capacity", "249"]).unwrap_err();
        assert!(refused.contains("--zone-capacity times --zones is 996"), "{refused}");
    }

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn nothing_is_needed_to_play_standalone() {
        let args = parse(&[]).unwrap();
        assert_eq!((args.game.tick_hz, args.report.report_endpoint, args.game.zones.get()), (64, None, 1));
        assert!(args.public_addresses(7777).is_empty());
    }

    #[test]
    fn a_tick_carries_out_a_thousand_inputs_unless_it_is_told_otherwise() {
        let limit = |args: &[&str]| parse(args).unwrap().game.max_commands_per_tick;
        assert_eq!(limit(&[]), 1000);
        assert_eq!(limit(&["--max-commands-per-tick", "250"]), 250);
        assert!(parse(&["--max-commands-per-tick", "0"]).is_err(), "a server that carries out nothing");
    }

    #[test]
    fn an_endpoint_needs_to_know_how_to_prove_itself() {
        let refused = parse(&["--report-endpoint", "10.0.0.1:1"]).unwrap_err().to_string();
        assert!(refused.contains("--report-token-file"), "{refused}");
    }

    #[test]
    fn values_out_of_range_are_refused() {
        for wrong in [
            ["--tick-hz", "0"],
            ["--capacity", "0"],
            ["--timeout", "-1"],
            ["--zones", "0"],
            ["--zones", "65"],
            ["--net", "dpdk"],
            ["--numa", "node"],
            ["--numa", "node=-1"],
            ["--numa", "node=64"],
            ["--numa", "1"],
            ["--receive-buffers", "8"],
            ["--receive-buffers", "100"],
            ["--receive-buffers", "65536"],
        ] {
            assert!(parse(&wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_node_is_asked_for_by_word_or_number() {
        for (text, expected) in [
            ("auto", NumaRequest::Auto),
            ("local", NumaRequest::Local),
            ("interleaved", NumaRequest::Interleaved),
            ("node=0", NumaRequest::OnNode(0)),
            ("node=63", NumaRequest::OnNode(63)),
            ("off", NumaRequest::Off),
        ] {
            assert_eq!(parse(&["--numa", text]).unwrap().network.numa, expected, "{text}");
        }
        assert_eq!(parse(&[]).unwrap().network.numa, NumaRequest::Auto);
    }

    #[test]
    fn a_zone_has_room_for_all_or_for_as_many_as_is_said() {
        for (args, expected) in [
            (&["--capacity", "50"][..], 50),
            (&["--capacity", "50", "--zones", "4"], 50),
            (&["--capacity", "50", "--zones", "4", "--zone-capacity", "20"], 20),
            (&["--capacity", "50", "--zone-capacity", "60"], 50),
        ] {
            assert_eq!(parse(args).unwrap().places_of_a_zone(), expected, "{args:?}");
        }
    }

    #[test]
    fn players_are_told_the_address_of_the_node() {
        let args = parse(&["--host-ip", "192.0.2.1", "--host-port", "20000"]).unwrap();
        assert_eq!(args.public_addresses(7777), ["192.0.2.1:20000".parse().unwrap()]);
    }
}
