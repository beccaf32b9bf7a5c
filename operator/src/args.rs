//! Command line of the operator; every flag has an environment variable beside it.

use clap::builder::NonEmptyStringValueParser;
use clap::{Parser, Subcommand, ValueEnum};
use operator_core::host_ports::PortRange;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Runs fleets of dedicated game servers in one region's cluster.
#[derive(Debug, Parser)]
#[command(name = "operator", version, max_term_width = 110)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print the CustomResourceDefinitions as YAML.
    Crd,
    /// Print the seccomp profile of game servers, or keep it on a node.
    Seccomp(SeccompArgs),
    /// Run the controllers and the report endpoint.
    Run(Box<RunArgs>),
}

/// Settings of `operator seccomp`.
#[derive(Clone, Debug, Parser)]
pub struct SeccompArgs {
    /// Write the profile as `gameserver.json` into this directory, and keep it there until SIGTERM. The file stays.
    #[arg(long, value_name = "DIR")]
    pub install: Option<PathBuf>,
    /// Form of the logs.
    #[arg(long, env = "CRANEWING_LOG_FORMAT", default_value = "text")]
    pub log_format: LogFormat,
}

/// Settings of `operator run`.
#[derive(Clone, Debug, Parser)]
pub struct RunArgs {
    /// regionId of the region that this cluster is, such as `kr`.
    #[arg(long, env = "CRANEWING_REGION_ID")]
    pub region_id: String,
    /// Namespace that the operator runs in.
    #[arg(long, env = "CRANEWING_NAMESPACE", help_heading = "Identity")]
    pub namespace: String,
    /// Name of this replica, unique in the namespace: its pod's name.
    #[arg(long, env = "CRANEWING_POD_NAME", help_heading = "Identity")]
    pub pod_name: String,
    /// Name of the Lease by which replicas agree who leads.
    #[arg(long, env = "CRANEWING_LEASE", default_value = "cranewing-operator", help_heading = "Identity")]
    pub lease: String,

    /// Image of game servers whose template names none.
    #[arg(long, env = "CRANEWING_GAMESERVER_IMAGE", help_heading = "Game servers")]
    pub gameserver_image: String,
    /// Host ports to give out, both ends included.
    #[arg(long, env = "CRANEWING_HOST_PORTS", default_value = "7000-7999", value_parser = parse_port_range, help_heading = "Game servers")]
    pub host_ports: PortRange,
    /// Seccomp profile of game servers whose template names none: a file below the kubelet's directory of profiles,
    /// such as `cranewing/gameserver.json`. Without it they get the container runtime's own, which denies io_uring.
    #[arg(long, env = "CRANEWING_SECCOMP_PROFILE", value_parser = NonEmptyStringValueParser::new(), help_heading = "Game servers")]
    pub seccomp_profile: Option<String>,

    /// Name of the Service of the report endpoint, in the operator's namespace.
    #[arg(
        long,
        env = "CRANEWING_REPORT_SERVICE",
        default_value = "cranewing-report",
        help_heading = "Reports"
    )]
    pub report_service: String,
    /// Address of the report endpoint.
    #[arg(long, env = "CRANEWING_REPORT_LISTEN", default_value = "0.0.0.0:8443", help_heading = "Reports")]
    pub report_listen: SocketAddr,

    /// Address of `/metrics`, `/livez` and `/readyz`.
    #[arg(long, env = "CRANEWING_ADMIN_LISTEN", default_value = "0.0.0.0:8080", help_heading = "Telemetry")]
    pub admin_listen: SocketAddr,
    /// Form of the logs.
    #[arg(long, env = "CRANEWING_LOG_FORMAT", default_value = "text", help_heading = "Telemetry")]
    pub log_format: LogFormat,
    /// What to log, in the syntax of `tracing`'s EnvFilter.
    #[arg(long, env = "CRANEWING_LOG", default_value = "info", help_heading = "Telemetry")]
    pub log: String,
}

/// Form of the logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Reads `7000-7999`.
fn parse_port_range(text: &str) -> Result<PortRange, String> {
    let (first, last) =
        text.split_once('-').ok_or("two ports with a dash between them, such as 7000-7999")?;
    let port = |text: &str| match text.trim().parse() {
        Ok(0) | Err(_) => Err(format!("`{text}` is not a port from 1 to 65535")),
        Ok(port) => Ok(port),
    };
    let range = PortRange { first: port(first)?, last: port(last)? };
    if range.first > range.last {
        return Err(format!("{} is above {}", range.first, range.last));
    }
    Ok(range)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Args::command().debug_assert();
    }

    #[test]
    fn port_ranges_are_read_and_bad_ones_say_why() {
        assert_eq!(parse_port_range("7000-7999"), Ok(PortRange { first: 7000, last: 7999 }));
        for bad in ["7000", "7999-7000", "0-10", "a-b", "70000-70001", ""] {
            assert!(parse_port_range(bad).is_err(), "{bad}");
        }
    }
}
