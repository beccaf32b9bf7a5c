//! Command line of the operator; every flag has an environment variable beside it.

mod agones;
mod debug;
mod place;
mod rollout;

pub use agones::AgonesArgs;
pub use debug::{BundleArgs, DebugArgs, DebugCommand};
pub use place::PlaceArgs;
pub use rollout::{NamedFleet, RolloutArgs, RolloutCommand};

use anyhow::anyhow;
use clap::builder::NonEmptyStringValueParser;
use clap::{ArgGroup, Parser, Subcommand, ValueEnum};
use operator_core::authority::{Terms, TermsError};
use operator_core::host_ports::PortRange;
use operator_core::regions::{InvalidRegionId, RegionId};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::links::peer::check_address;

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
    /// Make regions known to each other, so that they act as one; take one out of use and back, or out for good.
    Region(RegionArgs),
    /// Ask in which region players who play together get their server.
    ///
    /// A region's operator is asked through its API server, with your rights there. Exit codes: 0, a region fits; 1, no operator
    /// could be asked; 2, what was asked is wrong; 3, no region fits.
    Place(PlaceArgs),
    /// Follow a change of a Fleet's template, hold it, go back to an earlier template, or have a rejected one tried again.
    Rollout(RolloutArgs),
    /// Pack what is known of a region into one file, for whoever looks for a fault.
    Debug(DebugArgs),
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
    /// The operator runs in each of them already, under a `region.id` of its own, and with a `link.service.type` (NodePort or
    /// LoadBalancer) by which the others reach it.
    ///
    /// Nothing changes for a pair that knows each other already, so it can be repeated: after a region has come, a key or an
    /// address has changed, or a cluster did not answer.
    #[command(after_help = JOIN_EXAMPLES, group(named(true)))]
    Join {
        /// Clusters of all regions that are to act as one.
        #[command(flatten)]
        clusters: Clusters,
        /// Address by which others reach a region's links, instead of its Service's: `kr=link.kr.example:8444`. Repeatable.
        #[arg(long = "address", value_name = ADDRESS.form, value_parser = parse_address)]
        addresses: Vec<(RegionId, String)>,
    },
    /// Take a region out for good: the others forget it, and it forgets them.
    ///
    /// A region that is worked on is drained instead; one whose cluster is lost is made again under its regionId, and needs
    /// neither. Placed Fleets whose home it was are of nobody then: in the other regions their game servers stay as they are,
    /// and nobody can change, scale or fail them over. Of three regions, the two that are left move nothing by themselves.
    #[command(after_help = LEAVE_EXAMPLES, group(named(true)))]
    Leave {
        /// The region that leaves.
        #[arg(long, value_name = "REGION")]
        region: RegionId,
        /// Clusters of the regions that stay, and of the one that leaves, if it is still there.
        #[command(flatten)]
        clusters: Clusters,
    },
    /// Take a region out of use: say in each of these regions' own RegionCluster that it shall be left.
    ///
    /// Name the clusters of more than half of all regions, in one go or one after the other; that of the region itself may be one.
    /// It succeeds also when fewer say so by now: the last line tells whether the order is in force, and which regions are missing.
    ///
    /// When a majority of the registered regions says so, nobody is placed there any more, and the others make their game servers
    /// ready for what it has; then its own end, each when it is empty or at the deadline of its Fleet's drain. Its cluster and its
    /// Fleets without placement stay as they are. One that is lost is left then also if its failover is Manual. Nothing changes
    /// where it was said before. It is refused for a region that is not registered or whose failover is Hold, and for the last
    /// one that is not drained.
    #[command(after_help = DRAIN_EXAMPLES, group(named(true)))]
    Drain {
        /// The region that shall be left.
        #[arg(value_name = "REGION")]
        region: RegionId,
        /// Clusters of the regions that say so: of more than half of all, in one go or one after the other. The region that
        /// shall be left may be one of them.
        #[command(flatten)]
        clusters: Clusters,
    },
    /// Take a region into use again: take back in each of these regions' own RegionCluster that it shall be left.
    ///
    /// Name the clusters of regions that say so, until fewer than a majority do: then players are placed there again, and it makes
    /// its part of the game servers ready before the others end theirs.
    #[command(after_help = RETURN_EXAMPLES, group(named(true)))]
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
    /// answer, or because another one is ahead of it. The condition says what differs: read it before you say who counts
    /// (`kubectl describe regionclusters`).
    #[command(after_help = CONFIRM_EXAMPLES, group(named(true)), group(ArgGroup::new("who").required(true)))]
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
    /// Show what each region's cluster knows of the others: how they stand, whether they are drained, by which addresses they are
    /// reached.
    #[command(after_help = LIST_EXAMPLES, group(named(false)))]
    List {
        /// Clusters to ask; that of the kubeconfig's current context if none is named.
        #[command(flatten)]
        clusters: Clusters,
        /// Form of the output.
        #[arg(long, short, default_value = "text")]
        output: OutputFormat,
    },
}

const JOIN_EXAMPLES: &str = "Examples:
  operator region join --context kr --context jp --context sg
  operator region join --kubeconfig kr=kr.yaml --kubeconfig jp=jp.yaml
  operator region join --context kr --context jp --address kr=link.kr.example:8444

It takes in each cluster the rights to get, create and patch Secrets and to get Services in the operator's namespace, and to list \
nodes where the Service is a NodePort.";
const LEAVE_EXAMPLES: &str = "Examples:
  operator region leave --region jp --context kr --context jp --context sg
  operator region leave --region jp --context kr --context sg    # jp's cluster is gone

It takes in each cluster the rights to get, list and delete Secrets in the operator's namespace.";
const DRAIN_EXAMPLES: &str = "Examples:
  operator region drain kr --context jp --context sg    # two of three: a majority
  operator region drain kr --kubeconfig jp=jp.yaml      # somebody else says the same in sg
  kubectl --context jp get events --field-selector reason=Drained

It takes in each cluster the rights to get, list and patch RegionClusters, and none to Secrets.";
const RETURN_EXAMPLES: &str = "Examples:
  operator region return kr --context jp --context sg --context kr

It takes in each cluster the rights to get, list and patch RegionClusters, and none to Secrets.";
const CONFIRM_EXAMPLES: &str = "Examples:
  operator region confirm kr --take-back --context kr    # as the others have it
  operator region confirm kr --keep --context kr         # as kr's cluster has it

It takes in kr's cluster the rights to list and patch RegionClusters, and none to Secrets.";
const LIST_EXAMPLES: &str = "Examples:
  operator region list --context kr --context jp --context sg
  operator region list                  # as the region of the current context sees the others
  operator region list -o json | jq -r '.regions[].peers[] | select(.standing == \"Gone\").region'

All clusters are read at once. One that is not read within 4 s has a row `unread` with the reason; it fails if none is read. DRAINED is \
yes, no, or `no majority` with the regions that order it.

JSON has `regions`, one a cluster: `cluster` as it was named, `region` (null if it is not known), `unread` (why, only if it was not read) and \
`peers`. Each of these has `region`, `standing`, `failover` and `drained` (true or false), all three null while there is no copy of its \
RegionCluster; `drainOrderedBy`, the regions that say that it shall be left; and `addresses`, null where these cannot be read, for the \
reason in `addressesUnread`.

It takes in each cluster the right to list RegionClusters. Addresses are in Secrets of the operator's namespace: who may not list \
those sees all but them.";

/// That clusters are named, by one flag or the other.
fn named(required: bool) -> ArgGroup {
    ArgGroup::new("named").required(required).multiple(true)
}

/// Clusters to reach.
#[derive(Clone, Debug, clap::Args)]
pub struct Clusters {
    /// Context of a region's cluster in the kubeconfig that `KUBECONFIG` names. Repeatable.
    #[arg(long = "context", value_name = "CONTEXT", group = "named")]
    pub contexts: Vec<String>,
    /// File whose current context is the cluster of that region: `kr=kr.yaml`. Repeatable.
    #[arg(long = "kubeconfig", value_name = KUBECONFIG.form, value_parser = parse_kubeconfig, group = "named")]
    pub kubeconfigs: Vec<(RegionId, String)>,
    /// Namespace of the operator in each of them.
    #[arg(long, default_value = "cranewing-system")]
    pub namespace: String,
}

/// A cluster, and where the operator is in it.
#[derive(Clone, Debug, clap::Args)]
pub struct OneCluster {
    /// Context of a region's cluster in the kubeconfig, instead of its current one.
    #[arg(long)]
    pub context: Option<String>,
    /// Kubeconfig instead of the one that `KUBECONFIG` names.
    #[arg(long, value_name = "PATH")]
    pub kubeconfig: Option<PathBuf>,
    /// Namespace of the operator there.
    #[arg(long, default_value = "cranewing-system")]
    pub namespace: String,
}

/// Form of what a command prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// For people and shells.
    Text,
    /// One JSON object.
    Json,
}

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
    /// Address of its node by which players reach a game server, and which `status.address` and connect tokens name.
    #[arg(long, env = "CRANEWING_PLAYER_ADDRESS", default_value = "external", help_heading = "Game servers")]
    pub player_address: PlayerAddress,
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

    /// Address of the allocation endpoint, where matchmakers ask for game servers.
    #[arg(
        long,
        env = "CRANEWING_ALLOCATION_LISTEN",
        default_value = "0.0.0.0:8447",
        help_heading = "Allocation"
    )]
    pub allocation_listen: SocketAddr,
    /// Address of the replica endpoint, by which this region's replicas tell each other which game server they gave to whom. All of them
    /// use the same port.
    #[arg(
        long,
        env = "CRANEWING_REPLICA_LISTEN",
        default_value = "0.0.0.0:8446",
        help_heading = "Allocation"
    )]
    pub replica_listen: SocketAddr,
    /// Where clients of Agones' allocator ask.
    #[command(flatten)]
    pub agones: AgonesArgs,

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
    /// Address at which this replica shows its last decisions and its stream index. It is reached by a port that is forwarded to the
    /// pod, and by nothing on the network.
    #[arg(long, env = "CRANEWING_DEBUG_LISTEN", default_value = "127.0.0.1:8081", value_parser = parse_loopback, help_heading = "Telemetry")]
    pub debug_listen: SocketAddr,
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

/// Address of a node by which players reach it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PlayerAddress {
    /// The node's ExternalIP, and without one that by which its pods know it.
    External,
    /// That by which its pods know it, which is the node's InternalIP.
    Internal,
}

/// Form of the logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// How what belongs to a region is written, with an example.
#[derive(Clone, Copy)]
struct Pair {
    form: &'static str,
    example: &'static str,
}

const ADDRESS: Pair = Pair { form: "REGION=HOST:PORT", example: "kr=link.kr.example:8444" };
const KUBECONFIG: Pair = Pair { form: "REGION=PATH", example: "kr=kr.yaml" };
const LATENCY: Pair = Pair { form: "REGION=MS", example: "kr=5 for 5 ms, a whole number" };

impl Pair {
    /// Reads a region, `=` and what `read` understands. An error says what was given, the form and the example.
    fn parse<T>(self, text: &str, read: impl Fn(&str) -> Option<T>) -> Result<(RegionId, T), String> {
        let Self { form, example } = self;
        let wrong = || format!("`{text}` is not {form}, such as {example}");
        let (region, value) = text.split_once('=').ok_or_else(wrong)?;
        let region = region.parse().map_err(|error: InvalidRegionId| format!("{}; {error}", wrong()))?;
        let value = Some(value).filter(|value| !value.is_empty()).and_then(read).ok_or_else(wrong)?;
        Ok((region, value))
    }
}

fn parse_address(text: &str) -> Result<(RegionId, String), String> {
    ADDRESS.parse(text, |value| check_address(value.to_owned()).ok())
}

fn parse_kubeconfig(text: &str) -> Result<(RegionId, String), String> {
    KUBECONFIG.parse(text, |value| Some(value.to_owned()))
}

fn parse_latency(text: &str) -> Result<(RegionId, u32), String> {
    LATENCY.parse(text, |value| value.parse().ok())
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

/// Reads an address that only the pod's own network reaches.
fn parse_loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text
        .parse()
        .map_err(|_no_address| format!("`{text}` is not ADDRESS:PORT, such as 127.0.0.1:8081"))?;
    if address.ip().is_loopback() {
        return Ok(address);
    }
    Err(format!(
        "{} is no loopback address: whoever reaches it would read it without any right",
        address.ip()
    ))
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
    fn only_who_lists_needs_to_name_no_cluster() {
        let parses = |arguments: &str| {
            Args::try_parse_from(["operator", "region"].into_iter().chain(arguments.split(' '))).is_ok()
        };
        for command in ["join", "leave --region kr", "drain kr", "return kr", "confirm kr --keep"] {
            assert!(
                !parses(command) && parses(&format!("{command} --context a --kubeconfig kr=b")),
                "{command}"
            );
        }
        assert!(parses("list") && parses("list --context a --kubeconfig kr=b --context c -o json"));
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
    fn what_is_shown_without_a_right_is_reached_from_within_the_pod_alone() {
        for (text, is_taken) in [
            ("127.0.0.1:8081", true),
            ("[::1]:8081", true),
            ("0.0.0.0:8081", false),
            ("[::]:8081", false),
            ("10.0.0.1:8081", false),
            ("8081", false),
        ] {
            assert_eq!(parse_loopback(text).is_ok(), is_taken, "{text}");
        }
    }

    #[test]
    fn what_belongs_to_a_region_names_it_first() {
        let kr = "kr".parse().unwrap();
        assert_eq!(parse_kubeconfig("kr=a=b.yaml"), Ok((kr, "a=b.yaml".to_owned())));
        assert_eq!(parse_address("kr=[2001:db8::1]:8444"), Ok((kr, "[2001:db8::1]:8444".to_owned())));
        assert_eq!(parse_latency("kr=5"), Ok((kr, 5)));
        for bad in ["", "kr", "kr=", "=5", "KR=5", "kr=5.5", "kr=-5", "kr=5ms"] {
            assert!(parse_latency(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn who_writes_a_pair_wrong_is_told_what_was_given_its_form_and_an_example_with_the_unit() {
        let said = |arguments: &[&str]| {
            let arguments = ["operator"].iter().chain(arguments);
            Args::try_parse_from(arguments).unwrap_err().to_string()
        };
        for (arguments, expected) in [
            (&["place", "--latency", "kr"][..], "`kr` is not REGION=MS, such as kr=5 for 5 ms"),
            (&["place", "--latency", "kr=5ms"], "`kr=5ms` is not REGION=MS, such as kr=5 for 5 ms"),
            (
                &["place", "--latency", "KR=5"],
                "such as kr=5 for 5 ms, a whole number; a region is named by 1 to 8",
            ),
            (
                &["region", "join", "--context", "kr", "--address", "kr=link"],
                "`kr=link` is not REGION=HOST:PORT, such as kr=link.kr.example:8444",
            ),
            (
                &["region", "list", "--kubeconfig", "kr.yaml"],
                "`kr.yaml` is not REGION=PATH, such as kr=kr.yaml",
            ),
            (&["region", "drain", "kr"], "<--context <CONTEXT>|--kubeconfig <REGION=PATH>>"),
            (
                &["region", "drain", "kr", "--namespace", "a"],
                "<--context <CONTEXT>|--kubeconfig <REGION=PATH>>",
            ),
        ] {
            let said = said(arguments);
            assert!(said.contains(expected), "{arguments:?}: {said}");
        }
    }
}
