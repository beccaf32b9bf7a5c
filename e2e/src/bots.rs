//! Players: the load client as a process of the test's own.

use serde::Deserialize;
use std::fs::File;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::process::{Child, Command};

use crate::region::{PATIENCE, Region};
use crate::scratch::Scratch;
use crate::wait::eventually;

/// Players in one region, from when they are started until they are stopped.
pub struct Bots {
    process: Child,
    stats: PathBuf,
    log: PathBuf,
}

/// One line of their statistics.
#[derive(Clone, Debug, Deserialize)]
pub struct Stats {
    /// Connected now.
    pub players: u64,
    /// Joined since the start.
    pub joins: u64,
    /// Refused since the start.
    pub refused: u64,
    /// Lost against their will since the start.
    pub disconnects: u64,
    /// Confirmations that broke a rule since the start.
    pub mismatches: u64,
    /// From input to state in the last second.
    pub latency_us: Latency,
}

/// Microseconds from when an input was due to the first state that tells its outcome; zero when none came.
#[derive(Clone, Debug, Deserialize)]
pub struct Latency {
    /// Median.
    pub p50: u64,
}

impl Bots {
    /// Starts players who ramp up, hold and ramp down, in seconds each.
    pub fn start(scratch: &Scratch, fleet: &str, players: u32, times: (u32, u32, u32)) -> Self {
        Self::start_in((&scratch.region, &scratch.namespace), fleet, players, times)
    }

    /// The same in any namespace of a region.
    pub fn start_in(
        (region, namespace): (&Region, &str),
        fleet: &str,
        players: u32,
        (up, hold, down): (u32, u32, u32),
    ) -> Self {
        static STARTED: AtomicU64 = AtomicU64::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let program = std::env::var("CRANEWING_E2E_BOTS").expect("CRANEWING_E2E_BOTS is not set");
        let file = |extension: &str| {
            let name = format!("cranewing-{}-{number}.{extension}", std::process::id());
            std::env::temp_dir().join(name)
        };
        let (stats, log) = (file("jsonl"), file("log"));
        let said = File::create(&log).unwrap();
        let region = format!("{}={}", region.id, region.kubeconfig);
        let process = Command::new(program)
            .args(["fleet", "--region", &region, "--namespace", namespace, "--fleet", fleet])
            .args(["--players", &players.to_string(), "--ramp-up", &up.to_string()])
            .args(["--hold", &hold.to_string(), "--ramp-down", &down.to_string(), "--stats"])
            .arg(&stats)
            .stdin(Stdio::null())
            .stdout(said.try_clone().unwrap())
            .stderr(said)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self { process, stats, log }
    }

    /// Their newest statistics.
    pub fn stats(&self) -> Option<Stats> {
        let text = std::fs::read_to_string(&self.stats).ok()?;
        text.lines().rev().find_map(|line| serde_json::from_str(line).ok())
    }

    /// Waits until so many play, and see what comes of their inputs.
    pub async fn await_playing(&self, players: u64) {
        eventually(&format!("{players} players"), PATIENCE, || async {
            match self.stats() {
                Some(stats) if stats.players == players && stats.latency_us.p50 > 0 => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    }

    /// Sends them away, if they have not gone by themselves, and gives their last statistics.
    pub async fn stop(mut self) -> Stats {
        if let Some(pid) = self.process.id() {
            // one that has gone meanwhile is gone
            let _sent = Command::new("kill").args(["-TERM", &pid.to_string()]).status().await.unwrap();
        }
        let ended = self.process.wait().await.unwrap();
        assert!(ended.success(), "the players ended badly: {ended}");
        self.stats().unwrap()
    }
}

impl Drop for Bots {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the players said:\n{}", std::fs::read_to_string(&self.log).unwrap_or_default());
        }
        for file in [&self.stats, &self.log] {
            drop(std::fs::remove_file(file));
        }
    }
}
