//! Command line of the operator; every flag has an environment variable beside it.

use anyhow::anyhow;
use clap::builder::NonEmptyStringValueParser;
use clap::{Parser, Subcommand, ValueEnum};
use operator_core::authority::{Terms, TermsError};
use operator_core::host_ports::PortRange;
use operator_core::regions::{InvalidRegionId, RegionId};
use std::fmt::Display;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

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
    /// Run the controllers, the report endpoint and the links to other regions.
    Run(Box<RunArgs>),
    /// Answer the probes by which other regions see that this one is there.
    Responder(ResponderArgs),
    /// Make regions known to each other, so that they act as one; or take one out.
    Region(RegionArgs),
    /// Ask in which region players who play together get their server.
    ///
    /// A region's operator is asked through its API server, with your rights there. Exit code 1: no region fits, or nobody said.
    Place(PlaceArgs),
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

/// Settings of `operator responder`.
#[derive(Clone, Debug, Parser)]
pub struct ResponderArgs {
    /// UDP address to answer at.
    #[arg(long, env = "CRANEWING_RESPONDER_LISTEN", default_value = "0.0.0.0:7443")]
    pub listen: SocketAddr,
    /// Form of the logs.
    #[arg(long, env = "CRANEWING_LOG_FORMAT", default_value = "text")]
    pub log_format: LogFormat,
}

/// Settings of `operator region`.
#[derive(Clone, Debug, Parser)]
pub struct RegionArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: RegionCommand,
}

/// What to do with regions.
#[derive(Clone, Debug, Subcommand)]
pub enum RegionCommand {
    /// Tell each of these regions' clusters how the others are reached and by which keys they are known.
    ///
    /// Nothing changes for a pair that knows each other already, so it can be repeated: after a region has come, a key or an
    /// address has changed, or a cluster did not answer.
    #[command(after_help = JOIN_EXAMPLES)]
    Join {
        /// Clusters of all regions that are to act as one.
        #[command(flatten)]
        clusters: Clusters,
        /// Address by which others reach a region's links, instead of its Service's: `kr=link.kr.example:8444`. Repeatable.
        #[arg(long = "address", value_name = "REGION=HOST:PORT", value_parser = parse_pair::<String>)]
        addresses: Vec<(RegionId, String)>,
    },
    /// Take a region out: the others forget it, and it forgets them.
    #[command(after_help = LEAVE_EXAMPLES)]
    Leave {
        /// The region that leaves.
        #[arg(long, value_name = "REGION")]
        region: RegionId,
        /// Clusters of the regions that stay, and of the one that leaves, if it is still there.
        #[command(flatten)]
        clusters: Clusters,
    },
    /// Say in each of these regions' own RegionCluster that a region shall be left.
    ///
    /// When a majority of the registered regions says so, nobody is placed there any more, and the others make their game servers
    /// ready for what it has; then its own end, each when it is empty or at the deadline of its Fleet's drain. Its clusters and
    /// Fleets stay as they are. One that is lost leaves the view, also if its failover is Manual. Nothing changes where it was
    /// said before. It is refused for a region that is not registered or holds, and for the last one that is not drained.
    #[command(after_help = DRAIN_EXAMPLES)]
    Drain {
        /// The region that shall be left.
        #[arg(value_name = "REGION")]
        region: RegionId,
        /// Clusters of the regions that say so: of more than half of all, in one go or one after the other. The region that
        /// shall be left may be one of them.
        #[command(flatten)]
        clusters: Clusters,
    },
    /// Take back in each of these regions' own RegionCluster that a region shall be left.
    ///
    /// When no majority says so any more, players are placed there again, and it makes its part of the game servers ready before
    /// the others end theirs.
    #[command(after_help = RETURN_EXAMPLES)]
    Return {
        /// The region that comes back.
        #[arg(value_name = "REGION")]
        region: RegionId,
        /// Clusters of the regions that take it back.
        #[command(flatten)]
        clusters: Clusters,
    },
    /// Say who counts where a region and the others differ on what is that region's own.
    ///
    /// For a region whose RegionCluster has the condition NotPublished: because its cluster is new and not enough of the others
    /// answer, or because another one is ahead of it.
    #[command(after_help = CONFIRM_EXAMPLES, group(clap::ArgGroup::new("who").required(true)))]
    Confirm {
        /// The region whose Fleets are in question.
        #[arg(value_name = "REGION")]
        region: RegionId,
        /// The others count: their copies replace what is in the region's cluster, where they are not older.
        #[arg(long, group = "who")]
        take_back: bool,
        /// The region's cluster counts. Placed Fleets that only the others have are deleted everywhere.
        #[arg(long, group = "who")]
        keep: bool,
        /// The region's cluster; others may be named too.
        #[command(flatten)]
        clusters: Clusters,
    },
    /// Show what each region's cluster knows of the others.
    #[command(after_help = LIST_EXAMPLES)]
    List {
        /// Clusters to ask.
        #[command(flatten)]
        clusters: Clusters,
    },
}

const JOIN_EXAMPLES: &str = "Examples:
  operator region join --context kr --context jp --context sg
  operator region join --kubeconfig kr=kr.yaml --kubeconfig jp=jp.yaml
  operator region join --context kr --context jp --address kr=link.example:8444";
const LEAVE_EXAMPLES: &str = "Examples:
  operator region leave --region jp --context kr --context jp --context sg
  operator region leave --region jp --context kr --context sg    # jp's cluster is gone";
const DRAIN_EXAMPLES: &str = "Examples:
  operator region drain kr --context jp --context sg              # two of three: a majority
  operator region drain kr --kubeconfig jp=jp.yaml                # whoever has rights in sg says the same there
  kubectl --context jp get events --field-selector reason=Drained";
const RETURN_EXAMPLES: &str = "Examples:
  operator region return kr --context jp --context sg --context kr";
const CONFIRM_EXAMPLES: &str = "Examples:
  operator region confirm kr --take-back --context kr    # as the others have it
  operator region confirm kr --keep --context kr         # as kr's cluster has it";
const LIST_EXAMPLES: &str = "Examples:
  operator region list --context kr --context jp --context sg";

/// Clusters to reach.
#[derive(Clone, Debug, clap::Args)]
pub struct Clusters {
    /// Context of the kubeconfig that `KUBECONFIG` names. Repeatable.
    #[arg(long = "context", value_name = "CONTEXT", required_unless_present = "kubeconfigs")]
    pub contexts: Vec<String>,
    /// File whose current context is the cluster of that region. Repeatable.
    #[arg(long = "kubeconfig", value_name = "REGION=PATH", value_parser = parse_pair::<String>)]
    pub kubeconfigs: Vec<(RegionId, String)>,
    /// Namespace of the operator in each of them.
    #[arg(long, default_value = "cranewing-system")]
    pub namespace: String,
}

/// Settings of `operator place`.
#[derive(Clone, Debug, Parser)]
#[command(after_help = PLACE_EXAMPLES)]
pub struct PlaceArgs {
    /// Context of any region's cluster in the kubeconfig that `KUBECONFIG` names, instead of its current one.
    #[arg(long)]
    pub context: Option<String>,
    /// Namespace of the operator there.
    #[arg(long, default_value = "cranewing-system")]
    pub namespace: String,
    /// Latency of one player to a region, in milliseconds. Repeatable.
    #[arg(
        long = "latency",
        value_name = "REGION=MS",
        value_parser = parse_pair::<u32>,
        required_unless_present = "players",
        conflicts_with = "players"
    )]
    pub latencies: Vec<(RegionId, u32)>,
    /// JSON file with the players instead: `[{"id": "ann", "latenciesMs": {"kr": 5, "jp": 30}}]`.
    #[arg(long, value_name = "FILE")]
    pub players: Option<PathBuf>,
    /// Milliseconds that each player accepts at most; 100 by default.
    #[arg(long, value_name = "MS")]
    pub max_latency: Option<u32>,
    /// Region that the players belong to, which takes them even while it sees no majority of the others.
    #[arg(long, value_name = "REGION")]
    pub own_region: Option<RegionId>,
    /// Show every region and what speaks against it, instead of the chosen one alone.
    #[arg(long)]
    pub explain: bool,
    /// Form of the output; json is the operator's whole answer.
    #[arg(long, default_value = "text")]
    pub output: OutputFormat,
}

/// Form of what a command prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// For people and shells.
    Text,
    /// One JSON object.
    Json,
}

const PLACE_EXAMPLES: &str = "Examples:
  operator place --latency kr=5 --latency jp=30                  # prints kr
  operator place --context jp --players party.json --max-latency 80 --explain
  region=$(operator place --players party.json) || echo nowhere";

/// Settings of `operator run`.
#[derive(Clone, Debug, Parser)]
pub struct RunArgs {
    /// regionId of the region that this cluster is, such as `kr`.
    #[arg(long, env = "CRANEWING_REGION_ID")]
    pub region_id: RegionId,
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
    /// Life of the certificate authority by which game servers trust the report endpoint: a number with d, h, m or s.
    /// At least nine overlaps.
    #[arg(long, env = "CRANEWING_REPORT_CA_LIFETIME", default_value = "365d", value_parser = parse_duration, help_heading = "Reports")]
    pub report_ca_lifetime: Duration,
    /// Time that game servers get to learn of a new authority before it is used, and as long again before the old one
    /// leaves the bundle. At least 5m.
    #[arg(long, env = "CRANEWING_REPORT_CA_OVERLAP", default_value = "1h", value_parser = parse_duration, help_heading = "Reports")]
    pub report_ca_overlap: Duration,
    /// Life of each replica's certificate, which is renewed when two thirds of it are over. At least 5m.
    #[arg(long, env = "CRANEWING_REPORT_CERTIFICATE_LIFETIME", default_value = "24h", value_parser = parse_duration, help_heading = "Reports")]
    pub report_certificate_lifetime: Duration,

    /// Address of the link endpoint, which other regions' operators read.
    #[arg(long, env = "CRANEWING_LINK_LISTEN", default_value = "0.0.0.0:8444", help_heading = "Regions")]
    pub link_listen: SocketAddr,
    /// UDP port of the responders on the nodes of this region, which other regions are told; without it there are none.
    #[arg(long, env = "CRANEWING_RESPONDER_PORT", help_heading = "Regions")]
    pub responder_port: Option<u16>,
    /// Address at which matchmakers ask where players go, by HTTP and gRPC.
    #[arg(
        long,
        env = "CRANEWING_PLACEMENT_LISTEN",
        default_value = "0.0.0.0:8445",
        help_heading = "Regions"
    )]
    pub placement_listen: SocketAddr,

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

impl RunArgs {
    /// How long the report endpoint's authorities and certificates last.
    ///
    /// # Errors
    /// When game servers could be left without an authority that they know.
    pub fn report_terms(&self) -> anyhow::Result<Terms> {
        let terms = Terms {
            lifetime: self.report_ca_lifetime,
            overlap: self.report_ca_overlap,
            certificate_lifetime: self.report_certificate_lifetime,
        };
        terms.check().map_err(|error| match error {
            TermsError::OverlapTooShort => anyhow!("--report-ca-overlap must be at least 5m"),
            TermsError::LifetimeTooShort => {
                anyhow!("--report-ca-lifetime must be at least nine times --report-ca-overlap")
            }
            TermsError::CertificateLifetime => {
                anyhow!("--report-certificate-lifetime must be at least 5m and at most --report-ca-lifetime")
            }
        })
    }
}

/// Form of the logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Reads `kr=something`.
fn parse_pair<T: FromStr<Err: Display>>(text: &str) -> Result<(RegionId, T), String> {
    let (region, value) =
        text.split_once('=').filter(|(_, value)| !value.is_empty()).ok_or("REGION=VALUE")?;
    let region = region.parse().map_err(|error: InvalidRegionId| error.to_string())?;
    Ok((region, value.parse().map_err(|error: T::Err| error.to_string())?))
}

/// Reads `365d`, `24h`, `90m`, `300s`.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a number with d, h, m or s, such as 24h");
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds = match unit {
        'd' => 86_400,
        'h' => 3600,
        'm' => 60,
        's' => 1,
        _ => return Err(wrong()),
    };
    let number: u64 = text[..text.len() - unit.len_utf8()].parse().map_err(|_not_a_number| wrong())?;
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(wrong)
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
    fn durations_have_a_unit_and_bad_ones_say_what_is_meant() {
        for (text, seconds) in [("365d", 31_536_000), ("24h", 86_400), ("90m", 5400), ("300s", 300)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)));
        }
        for bad in ["", "5", "m", "-1h", "1.5h", "1w", "1dd", "999999999999999999d", "5µ"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn terms_that_leave_a_gap_are_refused_by_the_flags_name() {
        let terms = |more: &[&str]| {
            let needed = ["operator", "run", "--region-id", "kr", "--namespace", "n", "--pod-name", "p"];
            let image = ["--gameserver-image", "i"];
            let args = Args::try_parse_from(needed.iter().chain(&image).chain(more)).unwrap();
            let Command::Run(args) = args.command else { panic!("it is `run`") };
            args.report_terms().map_err(|error| error.to_string())
        };
        assert!(terms(&[]).is_ok(), "the defaults");
        for (flag, value) in [
            ("--report-ca-overlap", "4m"),
            ("--report-ca-lifetime", "8h"),
            ("--report-certificate-lifetime", "366d"),
        ] {
            let refused = terms(&[flag, value]).unwrap_err();
            assert!(refused.starts_with(flag), "{refused}");
        }
    }

    #[test]
    fn port_ranges_are_read_and_bad_ones_say_why() {
        assert_eq!(parse_port_range("7000-7999"), Ok(PortRange { first: 7000, last: 7999 }));
        for bad in ["7000", "7999-7000", "0-10", "a-b", "70000-70001", ""] {
            assert!(parse_port_range(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_belongs_to_a_region_names_it_first() {
        let kr = "kr".parse().unwrap();
        assert_eq!(parse_pair("kr=a=b:1"), Ok((kr, "a=b:1".to_owned())));
        assert_eq!(parse_pair("kr=5"), Ok((kr, 5)));
        for bad in ["", "kr", "kr=", "=5", "KR=5", "kr=5.5", "kr=-5"] {
            assert!(parse_pair::<u32>(bad).is_err(), "{bad}");
        }
    }
}
