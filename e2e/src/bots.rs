//! Players: the load client as a process of the test's own.

use serde::Deserialize;
use std::path::PathBuf;
use std::process::Stdio;
use tokio::process::{Child, Command};

use crate::region::Scratch;

/// Players in one region, from when they are started until they are stopped.
pub struct Bots {
    process: Child,
    stats: PathBuf,
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
}

impl Bots {
    /// Starts players who ramp up, hold and ramp down, in seconds each.
    pub fn start(scratch: &Scratch, fleet: &str, players: u32, (up, hold, down): (u32, u32, u32)) -> Self {
        let program = std::env::var("CRANEWING_E2E_BOTS").expect("CRANEWING_E2E_BOTS is not set");
        let name = format!("cranewing-e2e-{}-{}.jsonl", std::process::id(), scratch.namespace);
        let stats = std::env::temp_dir().join(name);
        let region = format!("{}={}", scratch.region.id, scratch.region.kubeconfig);
        let process = Command::new(program)
            .args(["fleet", "--region", &region, "--namespace", &scratch.namespace, "--fleet", fleet])
            .args(["--players", &players.to_string(), "--ramp-up", &up.to_string()])
            .args(["--hold", &hold.to_string(), "--ramp-down", &down.to_string(), "--stats"])
            .arg(&stats)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self { process, stats }
    }

    /// Their newest statistics.
    pub fn stats(&self) -> Option<Stats> {
        let text = std::fs::read_to_string(&self.stats).ok()?;
        text.lines().rev().find_map(|line| serde_json::from_str(line).ok())
    }

    /// Whether they have gone by themselves.
    pub fn have_gone(&mut self) -> bool {
        self.process.try_wait().unwrap().is_some()
    }

    /// Sends them away and gives their last statistics.
    pub async fn stop(mut self) -> Option<Stats> {
        if let Some(pid) = self.process.id() {
            let terminated = Command::new("kill").args(["-TERM", &pid.to_string()]).status().await.unwrap();
            assert!(terminated.success() || self.have_gone());
        }
        let ended = self.process.wait().await.unwrap();
        assert!(ended.success(), "the players ended badly: {ended}");
        let last = self.stats();
        drop(std::fs::remove_file(&self.stats));
        last
    }
}
