//! Arguments of `operator place`.

use clap::Parser;
use operator_core::regions::RegionId;
use std::path::PathBuf;

use super::{LATENCY, OneCluster, OutputFormat, parse_latency};

/// Settings of `operator place`.
#[derive(Clone, Debug, Parser)]
#[command(after_help = PLACE_EXAMPLES)]
pub struct PlaceArgs {
    /// Any region's.
    #[command(flatten)]
    pub cluster: OneCluster,
    /// Latency of one player to a region, in milliseconds: `kr=5`. Repeatable.
    #[arg(
        long = "latency",
        value_name = LATENCY.form,
        value_parser = parse_latency,
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
    #[arg(long, short, default_value = "text")]
    pub output: OutputFormat,
}

const PLACE_EXAMPLES: &str = "Examples:
  operator place --latency kr=5 --latency jp=30                  # prints kr
  operator place --kubeconfig jp.yaml --latency kr=5 --latency jp=30
  operator place --context jp --players party.json --max-latency 80 --explain
  region=$(operator place --players party.json); [ $? = 3 ] && echo nowhere";
