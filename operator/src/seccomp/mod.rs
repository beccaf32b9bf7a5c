//! The seccomp profile of game servers, and its way onto the nodes: a kubelet reads profiles from files.
//!
//! The file stays when the installer ends. It grants nothing by itself, and game servers outlive upgrades of the
//! operator: a container that restarts in place needs the file again.

mod profile;

use crate::args::SeccompArgs;
use anyhow::Context;
use profile::{Processor, build_profile};
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::interval;

/// Name of the profile's file; pods name it below the kubelet's directory of profiles.
const FILE: &str = "gameserver.json";
/// How often the file is looked at: someone may clean the node.
const LOOK_PERIOD: Duration = Duration::from_secs(10);

/// Prints the profile, or writes it into a directory and keeps it there until SIGTERM or SIGINT.
pub fn run(args: &SeccompArgs, out: &mut dyn Write) -> anyhow::Result<()> {
    let profile = to_json()?;
    match &args.install {
        None => out.write_all(profile.as_bytes()).context("failed to write to the output"),
        Some(directory) => {
            crate::runtime::telemetry::start("info", args.log_format)?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.context("failed to start the runtime")?.block_on(keep(directory, &profile))
        }
    }
}

fn to_json() -> anyhow::Result<String> {
    let json = serde_json::to_string_pretty(&build_profile(Processor::OURS));
    Ok(json.context("failed to print the profile")? + "\n")
}

async fn keep(directory: &Path, profile: &str) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("failed to listen for signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("failed to listen for signals")?;
    let mut looks = interval(LOOK_PERIOD);
    loop {
        tokio::select! {
            _ = looks.tick() => {
                if ensure(directory, profile)? {
                    tracing::info!(directory = %directory.display(), file = FILE, "wrote the seccomp profile");
                }
            }
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
        }
    }
}

/// Writes the file if it is not just that; true if it had to. A reader sees the old file or the new one, whole.
fn ensure(directory: &Path, profile: &str) -> anyhow::Result<bool> {
    let path = directory.join(FILE);
    if fs::read(&path).is_ok_and(|found| found == profile.as_bytes()) {
        return Ok(false);
    }
    let fresh = directory.join(format!(".{FILE}.{}", std::process::id()));
    let write = || {
        let mut file = File::create(&fresh)?;
        file.write_all(profile.as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, &path)
    };
    write().with_context(|| format!("failed to write {}", path.display()))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn the_file_is_written_whole_repaired_and_else_left_alone() {
        let directory = std::env::temp_dir().join(format!("cranewing-seccomp-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let path = directory.join(FILE);
        assert!(ensure(&directory, "one").unwrap(), "it was missing");
        let inode = fs::metadata(&path).unwrap().ino();
        assert!(!ensure(&directory, "one").unwrap(), "it is as it shall be");
        assert_eq!(fs::metadata(&path).unwrap().ino(), inode);
        assert!(ensure(&directory, "two").unwrap(), "a newer operator brings another");
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        assert_ne!(fs::metadata(&path).unwrap().ino(), inode, "replaced, never written over");
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1, "nothing else is left behind");
        fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn a_directory_that_is_not_there_is_named() {
        let error = ensure(Path::new("/nonexistent/seccomp"), "x").unwrap_err().to_string();
        assert_eq!(error, "failed to write /nonexistent/seccomp/gameserver.json");
    }
}
