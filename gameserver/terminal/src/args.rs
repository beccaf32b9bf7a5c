//! The command line.

use clap::{Args as ClapArgs, Parser, Subcommand};
use gameserver_access::{ClusterArgs, Role, StandaloneArgs};

/// Play on a game server in a terminal, or look on.
///
/// It draws what the server confirmed. What is only predicted is marked with ~ until it is confirmed, and what the server
/// refuses snaps back. Press ? for the keys.
#[derive(Clone, Debug, Parser)]
#[command(name = "cranewing-terminal", version)]
pub struct Args {
    /// Where to play.
    #[command(subcommand)]
    pub place: Place,
}

/// Where to play.
#[derive(Clone, Debug, Subcommand)]
pub enum Place {
    /// On one standalone server whose key is known.
    Server(ServerArgs),
    /// On a server of a Fleet, found and entered by a kubeconfig.
    Fleet(FleetArgs),
}

/// Who comes, and how.
#[derive(Clone, Copy, Debug, ClapArgs)]
pub struct VisitArgs {
    /// Look on without playing: with a camera that goes anywhere, or follows somebody.
    #[arg(long)]
    pub spectate: bool,
    /// Number of the player, by which the server knows it again after it left; a new one without it.
    #[arg(long)]
    pub player: Option<u64>,
    /// Ticks a second of the server.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub tick_hz: u32,
}

impl VisitArgs {
    /// What the visit is for.
    pub fn role(&self) -> Role {
        if self.spectate { Role::Spectator } else { Role::Player }
    }
}

/// Arguments of `cranewing-terminal server`.
#[derive(Clone, Debug, ClapArgs)]
pub struct ServerArgs {
    /// Which server.
    #[command(flatten)]
    pub server: StandaloneArgs,
    /// Who comes.
    #[command(flatten)]
    pub visit: VisitArgs,
}

/// Arguments of `cranewing-terminal fleet`.
#[derive(Clone, Debug, ClapArgs)]
pub struct FleetArgs {
    /// Name of the Fleet.
    pub fleet: String,
    /// Name of the GameServer; without it the fullest that takes players, so that there is somebody to be seen.
    #[arg(long)]
    pub server: Option<String>,
    /// Where the Fleet is.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Who comes.
    #[command(flatten)]
    pub visit: VisitArgs,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(args: &str) -> Result<Args, clap::Error> {
        Args::try_parse_from(args.split(' '))
    }

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_server_needs_an_address_and_a_key_of_one_kind() {
        for (args, is_good) in [
            ("terminal server --address 127.0.0.1:1 --key-file k", true),
            (&format!("terminal server --address 127.0.0.1:1 --key {}", "0f".repeat(32)), true),
            ("terminal server --address 127.0.0.1:1", false),
            ("terminal server --key-file k", false),
            ("terminal server --address 127.0.0.1:1 --key abc", false),
            ("terminal server --address 127.0.0.1:1 --key-file k --tick-hz 0", false),
            ("terminal fleet arena", true),
            ("terminal fleet", false),
            ("terminal", false),
        ] {
            assert_eq!(parse(args).is_ok(), is_good, "{args}");
        }
    }

    #[test]
    fn whoever_says_nothing_comes_to_play() {
        let role = |args| match parse(args).unwrap().place {
            Place::Fleet(args) => args.visit.role(),
            Place::Server(args) => args.visit.role(),
        };
        assert_eq!(role("terminal fleet arena"), Role::Player);
        assert_eq!(role("terminal fleet arena --spectate"), Role::Spectator);
    }
}
