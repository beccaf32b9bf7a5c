//! The process of a server, on a CPU of its own, and what it used.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::said::Used;
use crate::clock;
use crate::process;

/// Within which a server must be bound, a virtual machine of its own included.
pub(super) const READY_LIMIT: Duration = Duration::from_secs(20);
/// Exit codes of `timeout`, `setpriv` and `taskset` for a program that cannot be started.
const NOT_STARTED: [i32; 2] = [126, 127];

/// A server on a CPU of its own; killed and reaped when dropped.
pub(super) struct Server {
    child: Child,
    /// Takes what it says, for as long as it lives.
    reader: Option<JoinHandle<()>>,
}

/// What a server had used at a moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    at: Instant,
    cpu: Duration,
}

impl Server {
    /// Starts it and waits until it is bound. None if it ended or was not ready in time: why is in the log, and the next may be. An error if there
    /// is no such program.
    pub(super) fn start(command: &Command, log: &Path) -> Result<Option<Self>> {
        // both put themselves in the place of the next, so that the child is the server
        let cpu = cpu(0)?.to_string();
        let head = ["--pdeathsig=KILL", "taskset", "--cpu-list", &cpu];
        let mut pinned = process::wrapped("setpriv", &head, command);
        let pinned = pinned.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(process::open_log(log)?);
        let mut child = pinned.spawn().context("failed to start setpriv")?;
        let said = child.stdout.take().context("the server is piped")?;
        let (tell, told) = mpsc::channel();
        // it goes on reading, so that a server that says more never waits for anyone
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(said).lines().map_while(Result::ok) {
                if line == "ready" {
                    let _gone = tell.send(());
                }
            }
        });
        let mut server = Self { child, reader: Some(reader) };
        if told.recv_timeout(READY_LIMIT).is_ok() {
            return Ok(Some(server));
        }
        // one that has ended keeps the status with which it did
        let _killed = server.child.kill();
        let ended = server.child.wait().context("failed to wait for a server")?;
        check_started(ended)
            .with_context(|| format!("failed to start {}", command.get_program().display()))?;
        Ok(None)
    }

    /// From here on it counts.
    pub(super) fn mark(&self) -> Result<Mark> {
        Ok(Mark { at: clock::now(), cpu: self.cpu_time()? })
    }

    /// What it used since.
    pub(super) fn used_since(&self, mark: Mark) -> Result<Used> {
        let cpu = self.cpu_time()?.saturating_sub(mark.cpu);
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
        let kilobytes = resident.split_whitespace().next().and_then(|text| text.parse::<f64>().ok());
        Ok(Used {
            cpu_percent: 100.0 * cpu.as_secs_f64() / mark.at.elapsed().as_secs_f64(),
            memory_mb: kilobytes.unwrap_or(0.0) / 1e3,
        })
    }

    /// How it ended, if it did by itself.
    pub(super) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().context("failed to ask for a server")
    }

    /// CPU time so far, in hundredths of a second as Linux counts it.
    fn cpu_time(&self) -> Result<Duration> {
        let path = format!("/proc/{}/stat", self.child.id());
        let stat = fs::read_to_string(&path).with_context(|| format!("failed to read {path}"))?;
        cpu_time(&stat).with_context(|| format!("failed to understand {path}"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // an error says that it has ended by itself, which is what is wanted
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
        // it ends with what it reads
        let _ended = self.reader.take().map(JoinHandle::join);
    }
}

/// A program that is not there measures nobody, however often it is tried.
pub(super) fn check_started(ended: ExitStatus) -> Result<()> {
    if ended.code().is_some_and(|code| NOT_STARTED.contains(&code)) {
        bail!("it is not there or no program ({ended})");
    }
    Ok(())
}

/// User and system time in `/proc/PID/stat`; the name before may hold spaces and ends with the last parenthesis.
fn cpu_time(stat: &str) -> Option<Duration> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    Some(Duration::from_millis(ticks * 10))
}

/// One of the CPUs that this process may use: the first is the server's, the second the load's.
pub(super) fn cpu(at: usize) -> Result<usize> {
    let status =
        fs::read_to_string("/proc/self/status").context("failed to read the CPUs of this process")?;
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap_or_default();
    cpus(list.trim()).nth(at).context("a CPU for the server and one for the load are needed")
}

/// The numbers in a list such as `0-3,8`.
fn cpus(list: &str) -> impl Iterator<Item = usize> {
    let ranges = list.split(',').filter_map(|part| {
        let (begin, end) = part.split_once('-').unwrap_or((part, part));
        Some(begin.parse().ok()?..=end.parse().ok()?)
    });
    ranges.flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_does_not_start_may_do_so_the_next_time_and_one_that_is_not_there_may_not() {
        let log = std::env::temp_dir().join(format!("cranewing-peers-server-{}.log", std::process::id()));
        let start = |program: &str, script: &str| {
            let mut command = Command::new(program);
            command.args(["-c", script]);
            Server::start(&command, &log).map(|server| server.is_some())
        };
        assert!(start("sh", "echo ready; exec sleep 60").unwrap());
        assert!(!start("sh", "echo the port is taken >&2; exit 1").unwrap());
        assert!(start("/no/server", "").is_err());
        fs::remove_file(&log).unwrap();
    }

    #[test]
    fn cpus_are_read_as_linux_lists_them() {
        let all = |list: &str| cpus(list).collect::<Vec<_>>();
        assert_eq!((all("0-1"), all("2,5-7,9")), (vec![0, 1], vec![2, 5, 6, 7, 9]));
        assert_eq!(all(""), Vec::<usize>::new());
    }

    #[test]
    fn cpu_time_is_user_and_system_time_whatever_the_name() {
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194304 1 0 0 0 150 50 0 0 20 0 3 0 1 1 1";
        assert_eq!(cpu_time(stat), Some(Duration::from_secs(2)));
        assert_eq!(cpu_time("nonsense"), None);
    }
}
