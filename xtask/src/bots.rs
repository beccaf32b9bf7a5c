//! The players: a process on this host that outlives the command that started them.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::checkout::Checkout;
use crate::clock;
use crate::engine::Surroundings;
use crate::marked;
use crate::process;
use crate::state::{Region, State};

/// The Fleet that the samples make in every region.
const FLEET: &str = "arena";

/// How old a line may be before it says nothing about now.
const AGE_MAX_MS: u64 = 10_000;

/// Seconds from none to all players, at all, from all to none, and at none; then again, so that the AutoScaler acts both ways.
pub(crate) const RAMP_SECONDS: u64 = 60;

/// Time from the scheduled send of an input to the first state that acknowledges it, milliseconds, in the last second.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Latency {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) max: f64,
    /// How late the bots sent what was due, 99th percentile: what they measure is of this machine and not of the servers where that is much.
    pub(crate) late: f64,
}

/// Milliseconds from which on what late bots measured says little of the servers.
const LATE: f64 = 10.0;

impl Latency {
    /// Whether the bots were too late themselves for the rest to mean much.
    pub(crate) fn is_late(&self) -> bool {
        self.late >= LATE
    }
}

/// What the bots of a region count.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Counts {
    /// In a match now.
    pub(crate) players: u64,
    /// That many shall be in a match now.
    pub(crate) target: u64,
    /// Sessions that ended without the bot's wish, since the start.
    pub(crate) disconnects: u64,
    /// Joins that a server refused, since the start.
    pub(crate) refused: u64,
}

/// One second of a region.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Figures {
    /// None if no bot measured in that second.
    pub(crate) latency_ms: Option<Latency>,
    pub(crate) counts: Counts,
}

/// A line of the bots' file.
#[derive(Debug, Deserialize)]
struct Line {
    region: String,
    at_unix_ms: u64,
    latency_us: Quantiles,
    #[serde(default)]
    lateness_us_p99: u64,
    #[serde(flatten)]
    counts: Counts,
}

/// All 0 if nothing was measured.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct Quantiles {
    p50: u64,
    p99: u64,
    p999: u64,
    max: u64,
}

/// Starts the players of all regions, after those of an earlier run have left.
pub(crate) fn start(
    checkout: &Checkout,
    surroundings: &Surroundings,
    state: &State,
    players: u32,
    program: &Path,
) -> Result<()> {
    marked::end(&checkout.instance, &["bots"]);
    let own = copy_of(program, &checkout.state())?;
    let _absent = fs::remove_file(stats_file(checkout));
    // of the runs before, one log stays
    let _first = fs::rename(log_file(checkout), log_file(checkout).with_extension("log.1"));
    let log = process::open_log(&log_file(checkout))?;
    let mut command = Command::new(&own);
    command.envs(surroundings.variables());
    arguments(&mut command, checkout, &state.regions, players);
    command.stdin(Stdio::null()).stdout(log.try_clone().context("failed to share the log")?).stderr(log);
    // a group of its own, so that Ctrl-C in this terminal is not meant for it
    command.process_group(0);
    command.spawn().context("failed to start the players")?;
    Ok(())
}

/// The players' own copy of `program` in `folder`, so that compiling anew does not touch what runs. It takes the place of
/// the one before by its name, because one that still runs, or has not quite ended, cannot be written to.
fn copy_of(program: &Path, folder: &Path) -> Result<PathBuf> {
    let (own, new) = (folder.join("bots"), folder.join("bots.new"));
    fs::copy(program, &new).with_context(|| format!("failed to copy {}", program.display()))?;
    fs::rename(&new, &own).with_context(|| format!("failed to replace {}", own.display()))?;
    Ok(own)
}

/// The one place that knows the bots' flags.
fn arguments(command: &mut Command, checkout: &Checkout, regions: &[Region], players: u32) {
    command.args(["fleet", "--namespace", "default", "--fleet", FLEET, "--cycle"]);
    for region in regions {
        command.arg("--region").arg(format!("{}={}", region.id, region.kubeconfig.display()));
    }
    command.args(["--players", &players.to_string()]);
    // so that whoever looks in as a spectator finds a place where somebody plays
    command.args(["--leave-free", "1"]);
    for part in ["--ramp-up", "--hold", "--ramp-down"] {
        command.args([part, &RAMP_SECONDS.to_string()]);
    }
    command.arg("--stats").arg(stats_file(checkout));
}

/// Newest figures of each region; none of a region whose bots say nothing any more.
pub(crate) fn figures(checkout: &Checkout) -> BTreeMap<String, Figures> {
    newest(&stats_file(checkout), clock::unix_ms())
}

/// The last whole line of each region in a file that grows.
fn newest(path: &Path, now_unix_ms: u64) -> BTreeMap<String, Figures> {
    let text = last_bytes(path).unwrap_or_default();
    let Some(end) = text.iter().rposition(|byte| *byte == b'\n') else { return BTreeMap::new() };
    text[..end]
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<Line>(line).ok())
        .filter(|line| now_unix_ms.saturating_sub(line.at_unix_ms) <= AGE_MAX_MS)
        .map(|line| {
            #[expect(clippy::cast_precision_loss, reason = "microseconds of latency are far below 2^52")]
            let ms = |us: u64| us as f64 / 1000.0;
            let (measured, late) = (Some(line.latency_us), ms(line.lateness_us_p99));
            let measured = measured.filter(|us| *us != Quantiles::default());
            let latency_ms = measured.map(|Quantiles { p50, p99, p999, max }| Latency {
                p50: ms(p50),
                p99: ms(p99),
                p999: ms(p999),
                max: ms(max),
                late,
            });
            (line.region, Figures { latency_ms, counts: line.counts })
        })
        .collect()
}

fn last_bytes(path: &Path) -> Option<Vec<u8>> {
    const TAIL: u64 = 64 * 1024;
    let mut file = fs::File::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL))).ok()?;
    let mut text = Vec::new();
    file.read_to_end(&mut text).ok()?;
    Some(text)
}

/// What the bots said last.
pub(crate) fn last_words(checkout: &Checkout) -> String {
    fs::read_to_string(log_file(checkout)).unwrap_or_default()
}

fn stats_file(checkout: &Checkout) -> PathBuf {
    checkout.state().join("bots.jsonl")
}

fn log_file(checkout: &Checkout) -> PathBuf {
    checkout.log("bots")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_takes_the_place_of_one_that_still_runs() {
        let folder = std::env::temp_dir().join(format!("cranewing-copy-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let own = copy_of(Path::new("/bin/sleep"), &folder).unwrap();
        let mut running = Command::new(&own).arg("60").spawn().unwrap();
        let replaced = copy_of(Path::new("/bin/sleep"), &folder);
        running.kill().unwrap();
        running.wait().unwrap();
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(replaced.unwrap(), own);
    }

    fn line(region: &str, at_unix_ms: u64, players: u64) -> String {
        format!(
            r#"{{"region":"{region}","at_unix_ms":{at_unix_ms},"players":{players},"latency_us":{{"p50":7000,"p99":9500}}}}"#
        )
    }

    fn read(text: &str, now_unix_ms: u64) -> BTreeMap<String, Figures> {
        let name = format!("cranewing-bots-{}-{:?}", std::process::id(), std::thread::current().id());
        let path = std::env::temp_dir().join(name);
        fs::write(&path, text).unwrap();
        let figures = newest(&path, now_unix_ms);
        fs::remove_file(path).unwrap();
        figures
    }

    #[test]
    fn the_newest_whole_line_of_each_region_counts_and_a_torn_one_does_not() {
        let lines =
            [line("kr", 1000, 1), line("jp", 1000, 5), line("kr", 2000, 2), "{\"region\":\"jp".to_owned()];
        let figures = read(&lines.join("\n"), 2500);
        assert_eq!((figures["kr"].counts.players, figures["jp"].counts.players), (2, 5));
        assert!((figures["kr"].latency_ms.as_ref().unwrap().p99 - 9.5).abs() < f64::EPSILON);
    }

    #[test]
    fn a_second_in_which_nobody_measured_has_no_latency() {
        let line = line("kr", 1000, 0).replace("7000", "0").replace("9500", "0");
        let figures = read(&format!("{line}\n"), 1000);
        assert_eq!((figures["kr"].counts.players, &figures["kr"].latency_ms), (0, &None));
    }

    #[test]
    fn a_line_of_long_ago_says_nothing_about_now() {
        assert_eq!(read(&format!("{}\n", line("kr", 1000, 1)), 1000 + AGE_MAX_MS + 1), BTreeMap::new());
    }

    #[test]
    fn no_file_is_no_figure() {
        assert_eq!(newest(Path::new("/nowhere"), 0), BTreeMap::new());
    }
}
