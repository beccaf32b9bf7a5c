//! The players: processes on this host that outlive the command that started them.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::checkout::Checkout;
use crate::down;
use crate::engine::Surroundings;
use crate::process;
use crate::state::{Region, State};

/// The Fleet that the samples make in every region.
const FLEET: &str = "arena";

/// Time from the scheduled send of an input to the first state that acknowledges it, milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Latency {
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

/// What the bots of a region counted since they started.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Counts {
    /// In a match now.
    pub(crate) connected: u64,
    /// Sessions that ended without the bot's wish.
    pub(crate) disconnects: u64,
    /// Joins that a server refused.
    pub(crate) refused: u64,
}

/// One second of a region, as the bots write it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Figures {
    pub(crate) latency_ms: Latency,
    #[serde(flatten)]
    pub(crate) counts: Counts,
}

/// Starts the players of every region, after those of an earlier run have left.
pub(crate) fn start(
    checkout: &Checkout,
    surroundings: &Surroundings,
    state: &State,
    players: u32,
    program: &Path,
) -> Result<()> {
    down::end_marked(&checkout.instance, &["bots"]);
    let regions = u32::try_from(state.regions.len()).unwrap_or(u32::MAX).max(1);
    // a copy, so that compiling anew does not touch what runs
    let own = checkout.state().join("bots");
    fs::copy(program, &own).with_context(|| format!("failed to copy {}", program.display()))?;
    for region in &state.regions {
        let log = process::open_log(&log_file(checkout, &region.id))?;
        let mut command = Command::new(&own);
        command.envs(surroundings.variables());
        arguments(&mut command, checkout, region, players / regions);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        // a group of its own, so that Ctrl-C in this terminal is not meant for it
        command.process_group(0);
        command.spawn().with_context(|| format!("failed to start the players of {}", region.id))?;
    }
    Ok(())
}

/// The one place that knows the bots' flags.
fn arguments(command: &mut Command, checkout: &Checkout, region: &Region, players: u32) {
    command.arg("fleet").arg("--kubeconfig").arg(&region.kubeconfig);
    command.args(["--region", &region.id, "--namespace", "default", "--fleet", FLEET]);
    command.args(["--players", &players.to_string()]);
    command.arg("--stats").arg(stats_file(checkout, &region.id));
}

/// Newest figures of each region.
pub(crate) fn figures(checkout: &Checkout) -> BTreeMap<String, Figures> {
    let Ok(entries) = fs::read_dir(checkout.state()) else { return BTreeMap::new() };
    entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let region = name.strip_prefix("bots-")?.strip_suffix(".jsonl")?.to_owned();
            Some((region, newest(&entry.path())?))
        })
        .collect()
}

/// The last whole line of a file that grows.
fn newest(path: &Path) -> Option<Figures> {
    use std::io::{Read as _, Seek as _, SeekFrom};
    const TAIL: u64 = 16 * 1024;
    let mut file = fs::File::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL))).ok()?;
    let mut text = Vec::new();
    file.read_to_end(&mut text).ok()?;
    let whole = text.rsplitn(2, |byte| *byte == b'\n').last()?;
    whole.split(|byte| *byte == b'\n').rev().find_map(|line| serde_json::from_slice(line).ok())
}

/// What the bots said last.
pub(crate) fn last_words(checkout: &Checkout) -> String {
    crate::cluster::REGION_IDS
        .iter()
        .filter_map(|id| fs::read_to_string(log_file(checkout, id)).ok())
        .flat_map(|text| text.lines().rev().take(4).map(str::to_owned).collect::<Vec<_>>())
        .collect::<Vec<_>>()
        .join("\n")
}

fn stats_file(checkout: &Checkout, region: &str) -> PathBuf {
    checkout.state().join(format!("bots-{region}.jsonl"))
}

fn log_file(checkout: &Checkout, region: &str) -> PathBuf {
    checkout.log(&format!("bots-{region}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_whole_line_counts_and_a_torn_one_does_not() {
        let path = std::env::temp_dir().join(format!("cranewing-bots-test-{}", std::process::id()));
        fs::write(&path, "{\"connected\": 1}\n{\"connected\": 2, \"latency_ms\": {\"p99\": 9.5}}\n{\"conn")
            .unwrap();
        let figures = newest(&path).unwrap();
        assert_eq!(figures.counts.connected, 2);
        assert!((figures.latency_ms.p99 - 9.5).abs() < f64::EPSILON);
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn no_line_is_no_figure() {
        assert_eq!(newest(Path::new("/nowhere")), None);
    }
}
