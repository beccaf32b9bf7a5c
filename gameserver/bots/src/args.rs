//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, Parser, Subcommand};
use gameserver_access::{ClusterArgs, StandaloneArgs};

/// Bots that join game servers, move, check every confirmation and measure the latency from input to state.
#[derive(Clone, Debug, Parser)]
#[command(name = "bots", version)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Play on one standalone server whose key is known.
    Server(ServerArgs),
    /// Play on the Fleets of one or several regions, filling the fullest server first.
    Fleet(FleetArgs),
    /// Measure one server beside a bare toy server, in turn, in the same minutes.
    Bench(BenchArgs),
    /// Measure one server with as many inputs as a tick carries out and with several times as many, in turn.
    Overload(OverloadArgs),
    /// Measure what players notice of garbage beside them, in pairs with and without.
    Hostile(HostileArgs),
    /// Send garbage to a server on this machine's loopback.
    Flood(FloodArgs),
}

/// How each bot plays.
#[derive(Clone, Copy, Debug, ClapArgs)]
pub struct PlayArgs {
    /// Inputs a second of each bot.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=200))]
    pub input_hz: u32,
    /// Send each input just in time for a tick, as a game's client does, instead of at a phase of each bot's own.
    #[arg(long)]
    pub in_phase: bool,
    /// Ticks a second of the servers, by which the speed of a bot is checked.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub tick_hz: u32,
}

/// Arguments of `bots server`.
#[derive(Clone, Debug, ClapArgs)]
pub struct ServerArgs {
    /// Which server.
    #[command(flatten)]
    pub server: StandaloneArgs,
    /// Bots.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub players: u32,
    /// Seconds to play; until a signal without it.
    #[arg(long, value_parser = parse_seconds)]
    pub duration: Option<Duration>,
    /// Seconds over which the bots join.
    #[arg(long, default_value = "1", value_parser = parse_seconds)]
    pub ramp_up: Duration,
    /// File to which one JSON object a second is appended.
    #[arg(long)]
    pub stats: Option<PathBuf>,
    /// How each bot plays.
    #[command(flatten)]
    pub play: PlayArgs,
}

/// Arguments of `bots fleet`.
#[derive(Clone, Debug, ClapArgs)]
pub struct FleetArgs {
    /// A region by its id and the kubeconfig that leads there, such as `kr=/path/kubeconfig`; once per region. Just
    /// an id takes the context of that name, or --context, in --kubeconfig or the kubeconfig that kubectl would take.
    #[arg(long = "region", required = true, value_parser = parse_region)]
    pub regions: Vec<RegionArg>,
    /// Where the Fleet is; a region that names a kubeconfig takes that one.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Name of the Fleet.
    #[arg(long)]
    pub fleet: String,
    /// Bots over all regions together, shared out evenly.
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub players: u32,
    /// Places that are left free on each server, for people who want to look in. 0 to 10000.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=10_000))]
    pub leave_free: u32,
    /// Seconds from none to all.
    #[arg(long, default_value = "60", value_parser = parse_seconds)]
    pub ramp_up: Duration,
    /// Seconds at all; with --cycle also at none.
    #[arg(long, default_value = "60", value_parser = parse_seconds)]
    pub hold: Duration,
    /// Seconds from all to none.
    #[arg(long, default_value = "60", value_parser = parse_seconds)]
    pub ramp_down: Duration,
    /// Begin again after the ramp down, until a signal.
    #[arg(long)]
    pub cycle: bool,
    /// File to which one JSON object a second and region is appended.
    #[arg(long)]
    pub stats: Option<PathBuf>,
    /// How each bot plays.
    #[command(flatten)]
    pub play: PlayArgs,
}

/// A region and how to reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegionArg {
    /// Its id.
    pub id: String,
    /// Its kubeconfig.
    pub kubeconfig: Option<PathBuf>,
}

/// Arguments of `bots bench`.
#[derive(Clone, Debug, ClapArgs)]
pub struct BenchArgs {
    /// The game server program.
    #[arg(long)]
    pub gameserver: PathBuf,
    /// The toy server program (`cargo build --release -p gameserver-bots --bin toy`); the game server alone without it.
    #[arg(long)]
    pub toy: Option<PathBuf>,
    /// Datagram backends of the game server to measure, as its `--net` names them.
    #[arg(long, value_delimiter = ',', default_value = "uring")]
    pub backends: Vec<String>,
    /// How often a second the game server tells a player of others at least, as its `--replication-hz`; as many as its ticks
    /// are a snapshot for each player at each tick. The game server's own default without it.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub replication_hz: Option<u32>,
    /// Inputs that a tick of the game server carries out at most, as its `--max-commands-per-tick`. The game server's own
    /// default without it.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_commands_per_tick: Option<u32>,
    /// Bots on a server.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub players: u32,
    /// Runs of each server, taken in turn.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub runs: u32,
    /// Seconds measured in a run, after everyone has joined.
    #[arg(long, default_value = "5", value_parser = parse_seconds)]
    pub duration: Duration,
    /// Seconds within which everyone must have joined.
    #[arg(long, default_value = "30", value_parser = parse_seconds)]
    pub join_limit: Duration,
    /// File for the results, JSON, or for what a server did so that there are none; standard output without it.
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// How each bot plays.
    #[command(flatten)]
    pub play: PlayArgs,
}

/// Ticks of a server, and how much one of them carries out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scene {
    /// Ticks a second, 1 to 1000.
    pub tick_hz: u32,
    /// Inputs that a tick carries out at most, 1 to 5000.
    pub limit: u32,
}

/// Arguments of `bots overload`.
#[derive(Clone, Debug, ClapArgs)]
pub struct OverloadArgs {
    /// The game server program.
    #[arg(long)]
    pub gameserver: PathBuf,
    /// Datagram backend of the game server, as its `--net` names it.
    #[arg(long, default_value = "uring")]
    pub backend: String,
    /// What is measured in turn: ticks a second of the server, and inputs that each carries out at most. There are as many bots as may
    /// ask for that often enough. The bots' own core has time for some 40 000 inputs a second.
    #[arg(long, value_delimiter = ',', value_parser = parse_scene, default_value = "10:1000,30:300,64:150")]
    pub scenes: Vec<Scene>,
    /// How many times the limit is asked for.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(2..=8))]
    pub times: u32,
    /// Runs of each, taken in turn.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub runs: u32,
    /// Seconds measured in a run, after everyone has joined.
    #[arg(long, default_value = "5", value_parser = parse_seconds)]
    pub duration: Duration,
    /// File for the results, JSON; standard output without it.
    #[arg(long)]
    pub out: Option<PathBuf>,
}

/// Arguments of `bots hostile`.
#[derive(Clone, Debug, ClapArgs)]
pub struct HostileArgs {
    /// The game server program.
    #[arg(long)]
    pub gameserver: PathBuf,
    /// Datagram backend of the game server, as its `--net` names it.
    #[arg(long, default_value = "uring")]
    pub backend: String,
    /// Bots on the server.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub players: u32,
    /// Socket buffers of the server to measure with, as it asks for them, in KiB. The kernel makes each twice as large:
    /// 104 become its usual 212 992 bytes.
    #[arg(long, value_delimiter = ',', default_value = "4096,104", value_parser = clap::value_parser!(u32).range(64..=1_048_576))]
    pub socket_buffers_kib: Vec<u32>,
    /// Datagrams of garbage a second.
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub rate: u32,
    /// Addresses from which garbage comes.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub sources: u16,
    /// Runs of each, taken in turn.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub runs: u32,
    /// Seconds measured in a run, after everyone has joined, half a minute at most.
    #[arg(long, default_value = "5", value_parser = parse_half_a_minute)]
    pub duration: Duration,
    /// File for the results, JSON; standard output without it.
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// How each bot plays.
    #[command(flatten)]
    pub play: PlayArgs,
}

/// Arguments of `bots flood`.
#[derive(Clone, Debug, ClapArgs)]
pub struct FloodArgs {
    /// Address of the server, on this machine's loopback: no other is ever sent to.
    #[arg(long)]
    pub address: SocketAddr,
    /// File with the key of the server, for a request that is good once and is then sent again and again; without it
    /// every request is forged.
    #[arg(long)]
    pub key_file: Option<PathBuf>,
    /// Datagrams a second.
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub rate: u32,
    /// Addresses from which they come.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub sources: u16,
    /// Seconds, a minute at most.
    #[arg(long, default_value = "5", value_parser = parse_minute)]
    pub duration: Duration,
    /// CPU to run on; any without it.
    #[arg(long)]
    pub cpu: Option<usize>,
}

fn parse_minute(text: &str) -> Result<Duration, String> {
    let duration = parse_seconds(text)?;
    if duration > Duration::from_secs(60) { Err("more than a minute".to_owned()) } else { Ok(duration) }
}

/// So that the flood beside it, which begins before and goes on longer, is within its minute.
fn parse_half_a_minute(text: &str) -> Result<Duration, String> {
    let duration = parse_seconds(text)?;
    if duration > Duration::from_secs(30) { Err("more than half a minute".to_owned()) } else { Ok(duration) }
}

fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|error| format!("not a number of seconds: {error}"))?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

fn parse_scene(text: &str) -> Result<Scene, String> {
    let told = || format!("`{text}` is not ticks a second and inputs a tick, such as 30:500");
    let (tick_hz, limit) = text.split_once(':').ok_or_else(told)?;
    let number = |text: &str| text.parse::<u32>().map_err(|_not_a_number| told());
    let scene = Scene { tick_hz: number(tick_hz)?, limit: number(limit)? };
    if !(1..=1000).contains(&scene.tick_hz) || !(1..=5000).contains(&scene.limit) {
        return Err(format!("`{text}`: ticks are 1 to 1000 a second, inputs 1 to 5000 a tick"));
    }
    Ok(scene)
}

fn parse_region(text: &str) -> Result<RegionArg, String> {
    let (id, kubeconfig) = match text.split_once('=') {
        Some((id, path)) => (id, Some(PathBuf::from(path))),
        None => (text, None),
    };
    if id.is_empty() {
        return Err("a region needs an id, such as kr=/path/kubeconfig".to_owned());
    }
    Ok(RegionArg { id: id.to_owned(), kubeconfig })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_region_is_an_id_with_or_without_a_kubeconfig() {
        let kubeconfig = Some(PathBuf::from("/tmp/kr"));
        assert_eq!(parse_region("kr=/tmp/kr"), Ok(RegionArg { id: "kr".to_owned(), kubeconfig }));
        assert_eq!(parse_region("kr"), Ok(RegionArg { id: "kr".to_owned(), kubeconfig: None }));
        assert!(parse_region("=/tmp/kr").is_err());
    }

    #[test]
    fn a_scene_is_ticks_a_second_and_inputs_a_tick() {
        assert_eq!(parse_scene("30:500"), Ok(Scene { tick_hz: 30, limit: 500 }));
        for no_scene in ["30", "30:", ":500", "a:500", "0:500", "1001:500", "30:0", "30:5001"] {
            assert!(parse_scene(no_scene).is_err(), "{no_scene}");
        }
    }

    #[test]
    fn a_flood_is_bounded_in_rate_sources_and_time() {
        let parse =
            |args: &str| Args::try_parse_from(format!("bots flood --address 127.0.0.1:1 {args}").split(' '));
        assert!(parse("--rate 1000000 --sources 1024 --duration 60").is_ok());
        for beyond in ["--rate 1000001", "--rate 0", "--sources 1025", "--sources 0", "--duration 60.1"] {
            assert!(parse(beyond).is_err(), "{beyond}");
        }
    }

    #[test]
    fn a_server_needs_a_key_of_one_kind() {
        let parse = |args: &str| Args::try_parse_from(args.split(' '));
        assert!(parse("bots server --address 127.0.0.1:1").is_err());
        assert!(parse("bots server --address 127.0.0.1:1 --key-file k").is_ok());
        assert!(parse("bots server --address 127.0.0.1:1 --key abc").is_err(), "not 64 digits");
    }
}
