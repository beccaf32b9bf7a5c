//! One server under one load for a few seconds.

use std::fmt;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::UdpSocket;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::build::Programs;
use super::contenders::{Contender, Kind};
use crate::clock;
use crate::process;

/// Measured in a trial.
pub(super) const DURATION: Duration = Duration::from_secs(2);
const SMOKE_DURATION: Duration = Duration::from_secs(1);
/// Inputs a second of each player.
pub(super) const INPUT_HZ: u32 = 20;
/// Inputs of each player that a tick of our server carries out at most: at 20 Hz there is one, and what once is behind is to catch up.
const INPUTS_A_TICK_MAX: u32 = 4;
/// Within which a server must be bound, a virtual machine of its own included.
const READY_LIMIT: Duration = Duration::from_secs(20);
/// Longest time for a load: everyone joins, plays and is waited for.
const LOAD_LIMIT: Duration = Duration::from_secs(60);

/// Part of the inputs that may be lost.
pub(super) const LOST_MAX: f64 = 0.001;
/// Part of the snapshots that must come.
pub(super) const SNAPSHOTS_MIN: f64 = 0.98;

/// What a trial gave.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Figures {
    /// Players that got in.
    pub(super) joined: u32,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) p999_ms: f64,
    /// Of one core.
    pub(super) cpu_percent: f64,
    /// Resident; none where it was not looked at.
    pub(super) memory_mb: Option<f64>,
    /// Part of the inputs that no snapshot acknowledged.
    lost: f64,
    /// Snapshots a second and player.
    pub(super) snapshots_hz: f64,
    /// Of one, as the client sees it.
    pub(super) snapshot_bytes: f64,
    /// Whether the load itself was late.
    pub(super) void: bool,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} joined, {:.1} ms, p99 {:.1} ms, {:.0} % CPU",
            self.joined, self.p50_ms, self.p99_ms, self.cpu_percent
        )?;
        if self.void { write!(f, ", the load was late") } else { Ok(()) }
    }
}

/// Whether a server holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Verdict {
    Holds,
    Fails {
        why: String,
        /// Whether it is too far off for a hiccup of the machine to be the reason.
        by_far: bool,
    },
    /// The load was late, so nothing is known.
    Void,
}

/// The longest p99 from input to state, ms: an input waits for at most a tick; half a tick is left for the work of the tick and to send what came
/// of it, and 5 ms for what else the machine does.
pub(super) fn p99_limit_ms(tick_hz: u32) -> f64 {
    1.5 * 1000.0 / f64::from(tick_hz) + 5.0
}

impl Figures {
    /// By the rule of the page.
    pub(super) fn verdict(&self, contender: &Contender, tick_hz: u32, players: u32) -> Verdict {
        let limit = p99_limit_ms(tick_hz);
        let fails = |by_far: bool, why: String| Verdict::Fails { why, by_far };
        if self.void {
            return Verdict::Void;
        }
        if self.joined < players {
            return fails(false, format!("{} of {players} joined", self.joined));
        }
        if self.p99_ms >= limit {
            return fails(
                self.p99_ms >= 2.0 * limit,
                format!("p99 {:.1} ms, limit {limit:.1} ms", self.p99_ms),
            );
        }
        if self.lost >= LOST_MAX {
            return fails(false, format!("{:.2} % of the inputs lost", self.lost * 100.0));
        }
        if contender.sends_each_tick() && self.snapshots_hz < SNAPSHOTS_MIN * f64::from(tick_hz) {
            return fails(false, format!("{:.1} snapshots a second", self.snapshots_hz));
        }
        Verdict::Holds
    }

    /// From the last line of a load, with what was seen of the server between its other two.
    fn of_load(line: &str, used: Option<Used>) -> Result<Self> {
        let said: Value = serde_json::from_str(line).with_context(|| format!("the load said `{line}`"))?;
        let number = |path: &str| said.pointer(path).and_then(Value::as_f64).unwrap_or(0.0);
        let joined = u32::try_from(said["joined"].as_u64().unwrap_or(0))?;
        if said["latency_us"].is_null() {
            bail!("only {joined} of {} joined", said["clients"]);
        }
        let used = used.unwrap_or_default();
        Ok(Self {
            joined,
            p50_ms: number("/latency_us/p50") / 1e3,
            p99_ms: number("/latency_us/p99") / 1e3,
            p999_ms: number("/latency_us/p999") / 1e3,
            cpu_percent: used.cpu_percent,
            memory_mb: Some(used.memory_mb),
            lost: number("/lost") / number("/inputs").max(1.0),
            snapshots_hz: number("/snapshots")
                / (number("/seconds") * number("/clients")).max(f64::MIN_POSITIVE),
            snapshot_bytes: number("/snapshot_bytes"),
            void: said["void"].as_bool().unwrap_or(false),
        })
    }

    #[cfg(test)]
    pub(super) fn for_test(line: &str) -> Self {
        Self::of_load(line, None).unwrap()
    }

    /// From the file of `bots bench`, which holds one run.
    fn of_bots(text: &str, players: u32) -> Result<Self> {
        let said: Value = serde_json::from_str(text).context("the bots' results are not understood")?;
        let run = &said["runs"][0];
        let number = |path: &str| run.pointer(path).and_then(Value::as_f64).unwrap_or(0.0);
        let disconnects = run["totals"]["disconnects"].as_u64().unwrap_or(0);
        Ok(Self {
            joined: players.saturating_sub(u32::try_from(disconnects)?),
            p50_ms: number("/latency_us/p50") / 1e3,
            p99_ms: number("/latency_us/p99") / 1e3,
            p999_ms: number("/latency_us/p999") / 1e3,
            cpu_percent: number("/server_cpu_percent"),
            memory_mb: None,
            lost: number("/totals/lost") / number("/totals/inputs").max(1.0),
            snapshots_hz: number("/snapshots_hz"),
            snapshot_bytes: number("/snapshot_bytes"),
            void: run["void"].as_bool().unwrap_or(false),
        })
    }
}

/// What a process used.
#[derive(Debug, Clone, Copy, Default)]
struct Used {
    cpu_percent: f64,
    memory_mb: f64,
}

/// A trial as the page counts it.
pub(super) fn run(programs: &Programs, contender: &Contender, tick_hz: u32, players: u32) -> Result<Figures> {
    trial(programs, contender, tick_hz, players, contender.warm_up, DURATION)
}

/// A short one, without time to warm up.
pub(super) fn smoke(
    programs: &Programs,
    contender: &Contender,
    tick_hz: u32,
    players: u32,
) -> Result<Figures> {
    trial(programs, contender, tick_hz, players, Duration::from_millis(500), SMOKE_DURATION)
}

fn trial(
    programs: &Programs,
    contender: &Contender,
    tick_hz: u32,
    players: u32,
    warm_up: Duration,
    duration: Duration,
) -> Result<Figures> {
    if matches!(contender.kind, Kind::Ours { .. } | Kind::Core) {
        return bots(programs, contender, tick_hz, players, duration);
    }
    let port = free_port()?;
    let server = Server::start(&programs.server(contender, port, tick_hz)?, &programs.log(contender))?;
    let mut load = limited(LOAD_LIMIT, &programs.load(contender, cpu(1)?));
    load.args(["--server", &format!("127.0.0.1:{port}"), "--clients", &players.to_string()]);
    load.args(["--input-hz", &INPUT_HZ.to_string(), "--warm-up-ms", &warm_up.as_millis().to_string()]);
    load.args(["--duration-ms", &duration.as_millis().to_string()]);
    let mut load = load.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let said = load.stdout.take().context("the load is piped")?;
    let (mut begun, mut used, mut last) = (None, None, String::new());
    for line in BufReader::new(said).lines() {
        let line = line.context("failed to hear the load")?;
        match line.as_str() {
            "begin" => begun = Some((clock::now(), server.cpu_time()?)),
            "end" => used = begun.map(|(at, cpu)| server.used(at.elapsed(), cpu)).transpose()?,
            _ => last = line,
        }
    }
    let ended = load.wait().context("failed to wait for the load")?;
    if !ended.success() {
        bail!("the load of {players} players failed: {ended}");
    }
    Figures::of_load(&last, used)
}

fn bots(
    programs: &Programs,
    contender: &Contender,
    tick_hz: u32,
    players: u32,
    duration: Duration,
) -> Result<Figures> {
    let out = std::env::temp_dir().join(format!("cranewing-peers-{}.json", std::process::id()));
    let mut bots = programs.bots(contender)?;
    bots.args(["--runs", "1", "--players", &players.to_string(), "--tick-hz", &tick_hz.to_string()]);
    bots.args(["--input-hz", &INPUT_HZ.to_string(), "--duration", &duration.as_secs().to_string()]);
    // the limit of a zone is a matter of its configuration, and none of the others has one
    bots.args(["--max-commands-per-tick", &(INPUTS_A_TICK_MAX * players).to_string()]);
    if contender.sends_each_tick() {
        bots.args(["--replication-hz", &tick_hz.to_string()]);
    }
    bots.arg("--out").arg(&out);
    process::output_within(LOAD_LIMIT, &bots)?;
    let text = fs::read_to_string(&out).with_context(|| format!("failed to read {}", out.display()));
    let _removed = fs::remove_file(&out);
    Figures::of_bots(&text?, players)
}

/// The same command, ended after a while.
fn limited(limit: Duration, command: &Command) -> Command {
    let mut limited = Command::new("timeout");
    limited.arg(format!("{}", limit.as_secs())).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        limited.env(name, value.unwrap_or_default());
    }
    limited
}

fn free_port() -> Result<u16> {
    let probe = UdpSocket::bind(("127.0.0.1", 0)).context("failed to find a free port")?;
    Ok(probe.local_addr()?.port())
}

/// One of the CPUs that this process may use: the first is the server's, the second the load's.
fn cpu(at: usize) -> Result<usize> {
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

/// A server on a CPU of its own; killed and reaped when dropped.
struct Server {
    child: Child,
}

impl Server {
    /// Starts it and waits until it is bound; what goes wrong there is in the log.
    fn start(command: &Command, log: &Path) -> Result<Self> {
        // both put themselves in the place of the next, so that the child is the server
        let mut pinned = Command::new("setpriv");
        pinned.args(["--pdeathsig=KILL", "taskset", "--cpu-list", &cpu(0)?.to_string()]);
        pinned.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            pinned.env(name, value.unwrap_or_default());
        }
        if let Some(directory) = command.get_current_dir() {
            pinned.current_dir(directory);
        }
        let child =
            pinned.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(process::open_log(log)?).spawn();
        let mut server = Self { child: child.context("failed to start setpriv or taskset")? };
        let said = server.child.stdout.take().context("the server is piped")?;
        let (tell, told) = mpsc::channel();
        // it goes on reading, so that a server that says more never waits for anyone
        std::thread::spawn(move || {
            for line in BufReader::new(said).lines().map_while(Result::ok) {
                if line == "ready" {
                    let _gone = tell.send(());
                }
            }
        });
        told.recv_timeout(READY_LIMIT).ok().with_context(|| {
            format!("the server ended or was not ready in time; its log: {}", log.display())
        })?;
        Ok(server)
    }

    /// CPU time so far, in hundredths of a second as Linux counts it.
    fn cpu_time(&self) -> Result<Duration> {
        let path = format!("/proc/{}/stat", self.child.id());
        let stat = fs::read_to_string(&path).with_context(|| format!("failed to read {path}"))?;
        cpu_time(&stat).with_context(|| format!("failed to understand {path}"))
    }

    fn used(&self, elapsed: Duration, before: Duration) -> Result<Used> {
        let cpu = self.cpu_time()?.saturating_sub(before);
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
        let kilobytes = resident.split_whitespace().next().and_then(|text| text.parse::<f64>().ok());
        Ok(Used {
            cpu_percent: 100.0 * cpu.as_secs_f64() / elapsed.as_secs_f64(),
            memory_mb: kilobytes.unwrap_or(0.0) / 1e3,
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // an error says that it has ended by itself, which is what is wanted
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// User and system time in `/proc/PID/stat`; the name before may hold spaces and ends with the last parenthesis.
fn cpu_time(stat: &str) -> Option<Duration> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    Some(Duration::from_millis(ticks * 10))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::peers::contenders::{ALL, EQUAL_WIRE};

    const LINE: &str = r#"{"clients": 100, "joined": 100, "inputs": 4000, "lost": 0, "snapshots": 12800, "seconds": 2.0,
        "snapshot_bytes": 340, "latency_us": {"p50": 9000, "p99": 20000, "p999": 21000}, "void": false}"#;

    /// Of a hundred players at 64 Hz.
    fn verdict(name: &str, figures: Figures) -> Verdict {
        let contender = ALL.iter().find(|contender| contender.name == name).unwrap();
        figures.verdict(contender, 64, 100)
    }

    fn figures() -> Figures {
        Figures::of_load(LINE, None).unwrap()
    }

    #[test]
    fn a_load_says_what_was_measured() {
        let figures = figures();
        assert_eq!((figures.joined, figures.p99_ms, figures.snapshots_hz), (100, 20.0, 64.0));
        assert!(Figures::of_load("shares its CPU", None).is_err());
        let missing = Figures::of_load(r#"{"clients": 100, "joined": 3}"#, None).unwrap_err();
        assert_eq!(missing.to_string(), "only 3 of 100 joined");
    }

    #[test]
    fn a_server_holds_by_latency_ticks_and_inputs_and_not_by_one_of_them() {
        let fails = |figures: Figures| matches!(verdict("tokio", figures), Verdict::Fails { .. });
        assert_eq!(verdict("tokio", figures()), Verdict::Holds);
        assert!(fails(Figures { p99_ms: 28.5, ..figures() }), "1.5 ticks and 5 ms are 28.4 ms");
        assert!(fails(Figures { lost: 0.002, ..figures() }));
        assert!(fails(Figures { snapshots_hz: 60.0, ..figures() }));
        let missing = verdict("tokio", Figures { joined: 99, ..figures() });
        assert!(
            matches!(missing, Verdict::Fails { by_far: false, .. }),
            "who did not get in may the next time"
        );
        let by_far = |p99_ms| verdict("tokio", Figures { p99_ms, ..figures() });
        assert!(matches!(by_far(57.0), Verdict::Fails { by_far: true, .. }));
        assert!(matches!(by_far(56.0), Verdict::Fails { by_far: false, .. }));
        let late = Figures { p99_ms: 100.0, void: true, ..figures() };
        assert_eq!(verdict("tokio", late), Verdict::Void, "nothing is known of a server whose load was late");
    }

    #[test]
    fn ours_may_send_less_than_a_snapshot_a_tick_but_not_at_equal_wire() {
        let seldom = Figures { snapshots_hz: 28.0, ..figures() };
        assert_eq!(verdict("cranewing", seldom), Verdict::Holds);
        assert!(matches!(verdict(EQUAL_WIRE, seldom), Verdict::Fails { by_far: false, .. }));
    }

    #[test]
    fn bots_that_lost_the_server_did_not_play() {
        let text = r#"{"runs": [{"totals": {"disconnects": 3, "inputs": 1000, "lost": 10}, "latency_us": {"p50": 1000, "p99": 2000,
            "p999": 3000}, "server_cpu_percent": 50.0, "snapshots_hz": 28.5, "snapshot_bytes": 300, "void": false}]}"#;
        let figures = Figures::of_bots(text, 100).unwrap();
        assert_eq!((figures.joined, figures.p99_ms, figures.lost), (97, 2.0, 0.01));
        assert_eq!((figures.snapshots_hz, figures.snapshot_bytes), (28.5, 300.0));
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
