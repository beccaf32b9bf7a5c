//! Arguments of `operator debug`.

use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::time::Duration;

use super::{OneCluster, parse_duration};

/// Settings of `operator debug`.
#[derive(Clone, Debug, Parser)]
pub struct DebugArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: DebugCommand,
}

/// What to do for whoever looks for a fault.
#[derive(Clone, Debug, Subcommand)]
pub enum DebugCommand {
    /// Pack what is known of a region into one .tar.gz: objects, events, logs, and of each replica of the operator its stream index, its
    /// last decisions and its metrics.
    ///
    /// No Secret is read. Values of environment variables that are not the operator's own are left out, and so is what looks like a
    /// key, a token or a password. What cannot be read is a line in errors.txt of the bundle and no failure. The file is yours alone
    /// to read (mode 600): look through it before you pass it on.
    #[command(after_help = BUNDLE_EXAMPLES)]
    Bundle(BundleArgs),
}

/// Settings of `operator debug bundle`.
#[derive(Clone, Debug, Parser)]
pub struct BundleArgs {
    /// The region's.
    #[command(flatten)]
    pub cluster: OneCluster,
    /// Namespace with game servers to look at, for who may not look at all. Repeatable.
    #[arg(long, value_name = "NAMESPACE")]
    pub games: Vec<String>,
    /// How far back logs go: a number with d, h, m or s.
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = parse_duration)]
    pub since: Duration,
    /// Bytes of each log at most, the newest: a number, or one with Ki or Mi.
    #[arg(long, value_name = "BYTES", default_value = "1Mi", value_parser = parse_bytes)]
    pub log_bytes: u64,
    /// Game servers whose logs are read at most: those that are not ready first, then those that restarted, then the newest.
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub server_logs: usize,
    /// Bytes of the whole bundle at most, before it is packed. What has no room is a line in errors.txt.
    #[arg(long, value_name = "BYTES", default_value = "256Mi", value_parser = parse_bytes)]
    pub max_bytes: u64,
    /// Where to write it; a file that is there is not replaced. Without it: cranewing-debug-TIME.tar.gz.
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

const BUNDLE_EXAMPLES: &str = "Examples:
  operator debug bundle --context kr
  operator debug bundle --context kr --games ranked --since 15m --output kr.tar.gz
  tar xzf kr.tar.gz --wildcards '*/errors.txt' --to-stdout

It takes the rights on docs/debug-bundle.md; what is not allowed is left out.";

/// Reads `1048576`, `64Ki`, `1Mi`.
fn parse_bytes(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not a number of bytes, such as 65536, 64Ki or 1Mi");
    let units = [("Ki", 1024), ("Mi", 1024 * 1024)];
    let in_unit = units.iter().find_map(|(unit, size)| Some((text.strip_suffix(unit)?, *size)));
    let (number, size) = in_unit.unwrap_or((text, 1));
    let number: u64 = number.parse().map_err(|_not_a_number| wrong())?;
    number.checked_mul(size).filter(|bytes| *bytes > 0).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::super::{Args, Command};
    use super::*;

    #[test]
    fn bytes_have_a_binary_unit_or_none_and_bad_ones_say_what_is_meant() {
        for (text, bytes) in [("65536", 65_536), ("64Ki", 65_536), ("1Mi", 1_048_576)] {
            assert_eq!(parse_bytes(text), Ok(bytes));
        }
        for bad in ["", "0", "-1", "1.5Mi", "1M", "1Gi", "Ki", "99999999999999999Mi"] {
            let said = parse_bytes(bad).unwrap_err();
            assert!(said.contains("such as 65536, 64Ki or 1Mi"), "{said}");
        }
    }

    #[test]
    fn a_bundle_has_bounds_where_none_are_given() {
        let args = Args::try_parse_from(["operator", "debug", "bundle"]).unwrap();
        let Command::Debug(DebugArgs { command: DebugCommand::Bundle(bundle) }) = args.command else {
            panic!("it is `debug bundle`")
        };
        assert_eq!((bundle.since, bundle.log_bytes), (Duration::from_secs(3600), 1024 * 1024));
        assert_eq!((bundle.server_logs, bundle.max_bytes), (50, 256 * 1024 * 1024));
        assert_eq!((bundle.cluster.namespace.as_str(), bundle.games.len()), ("cranewing-system", 0));
    }
}
