//! `bots bench`: our server and the toy in turn, in the same minutes, under the same load.

use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, ensure};
use gameserver_access::{ServerKey, secure_bytes};
use gameserver_sys::{Clock, observe_cpus, pin_current_thread, run_current_thread_first};
use serde_json::{Value, json};

use crate::args::BenchArgs;
use crate::bot::Place;
use crate::swarm::{Swarm, Ticket};

/// Within which everyone must have joined.
const JOIN_LIMIT: Duration = Duration::from_secs(30);
/// Between the last join and the measuring.
const WARM_UP: Duration = Duration::from_secs(1);
/// Joins at a time, so that a handshake burst is not what is measured.
const JOINS_A_TURN: u32 = 10;

/// Figures of a run that are summed up over runs, as paths into its JSON.
const SUMMARIZED: [&str; 5] =
    ["/latency_us/p50", "/latency_us/p99", "/latency_us/p999", "/server_cpu_percent", "/lateness_us_p99"];

/// Who is measured.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Contender {
    /// Our server over a datagram backend, by its name on the command line.
    Gameserver(String),
    Toy,
}

impl Contender {
    fn name(&self) -> String {
        match self {
            Self::Gameserver(backend) => format!("gameserver-{backend}"),
            Self::Toy => "toy".to_owned(),
        }
    }
}

pub(crate) fn run(args: &BenchArgs) -> anyhow::Result<()> {
    let cpus = observe_cpus()?;
    ensure!(cpus.allowed.len() >= 2, "a bench needs a CPU for the server and one for the bots");
    let mut contenders: Vec<_> = args.backends.iter().cloned().map(Contender::Gameserver).collect();
    contenders.extend(args.toy.as_ref().map(|_| Contender::Toy));
    let mut runs = Vec::new();
    for run in 0..args.runs {
        for contender in &contenders {
            let figures = one_run(args, contender, cpus.allowed[1])
                .with_context(|| format!("run {run} of {} failed", contender.name()))?;
            tracing::info!(run, "{figures}");
            runs.push(figures);
        }
    }
    let results = json!({
        "players": args.players,
        "tick_hz": args.play.tick_hz,
        "input_hz": args.play.input_hz,
        "duration_seconds": args.duration.as_secs_f64(),
        "cpus": cpus.online,
        "kernel": fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim(),
        "runs": runs,
        "summary": contenders.iter().map(|contender| summary(&contender.name(), &runs)).collect::<Vec<_>>(),
    });
    let text = serde_json::to_string_pretty(&results)? + "\n";
    match &args.out {
        Some(path) => fs::write(path, text).with_context(|| format!("failed to write {}", path.display())),
        None => write!(std::io::stdout(), "{text}").context("failed to print the results"),
    }
}

/// Minimum, median and maximum of each figure over the runs of one server that are not void.
fn summary(server: &str, runs: &[Value]) -> Value {
    let is_valid = |figures: &&Value| figures["server"] == server && figures["void"] == json!(false);
    let valid: Vec<_> = runs.iter().filter(is_valid).collect();
    let mut summary = json!({ "server": server, "valid_runs": valid.len() });
    for path in SUMMARIZED {
        let mut values: Vec<f64> =
            valid.iter().filter_map(|figures| figures.pointer(path)?.as_f64()).collect();
        values.sort_by(f64::total_cmp);
        if let (Some(min), Some(max)) = (values.first(), values.last()) {
            summary[&path[1..]] = json!({ "min": min, "median": values[values.len() / 2], "max": max });
        }
    }
    summary
}

fn one_run(args: &BenchArgs, contender: &Contender, bots_cpu: usize) -> anyhow::Result<Value> {
    let key = secure_bytes::<32>();
    let server = Server::start(args, contender, &key)?;
    let ticket = match contender {
        Contender::Gameserver(_) => Ticket::Key(key),
        Contender::Toy => Ticket::Toy,
    };
    // a thread of its own, because a server inherits the CPUs of whoever starts it
    std::thread::scope(|scope| {
        let played = scope.spawn(|| {
            pin_current_thread(bots_cpu).context("failed to pin the bots")?;
            // what else the machine does on the bots' CPU would show as their lateness
            if let Err(error) = run_current_thread_first() {
                tracing::warn!(%error, "the bots share their CPU as everybody does");
            }
            play(args, contender, &server, ticket)
        });
        played.join().map_err(|_panic| anyhow::anyhow!("the bots panicked"))?
    })
}

fn play(args: &BenchArgs, contender: &Contender, server: &Server, ticket: Ticket) -> anyhow::Result<Value> {
    let clock = Clock::start();
    let mut swarm = Swarm::new(1, args.play.into(), clock)?;
    let place = Place { region: 0, server: Rc::from(contender.name()) };
    let mut sent = 0;
    while swarm.stats[0].totals.joins < u64::from(args.players) {
        for _ in 0..JOINS_A_TURN.min(args.players - sent) {
            swarm.join(place.clone(), server.address, ticket)?;
            sent += 1;
        }
        swarm.turn()?;
        let joined = swarm.stats[0].totals.joins;
        ensure!(clock.monotonic() < JOIN_LIMIT, "only {joined} of {} bots joined", args.players);
    }
    play_for(&mut swarm, clock, WARM_UP)?;
    swarm.stats[0].start_measuring();
    let (before, cpu_before, begun) = (swarm.stats[0].totals, server.cpu_time()?, clock.monotonic());
    play_for(&mut swarm, clock, args.duration)?;
    let elapsed = clock.monotonic().saturating_sub(begun);
    let cpu = server.cpu_time()?.saturating_sub(cpu_before);
    let mut figures = swarm.stats[0].summary();
    figures["server"] = json!(contender.name());
    figures["server_cpu_percent"] = json!(100.0 * cpu.as_secs_f64() / elapsed.as_secs_f64());
    figures["measured_inputs"] = json!(swarm.stats[0].totals.inputs - before.inputs);
    swarm.leave_all();
    Ok(figures)
}

fn play_for(swarm: &mut Swarm, clock: Clock, duration: Duration) -> anyhow::Result<()> {
    let end = clock.monotonic() + duration;
    while clock.monotonic() < end {
        swarm.turn()?;
    }
    Ok(())
}

/// A server process, killed and reaped when dropped.
struct Server {
    child: Child,
    address: SocketAddr,
    key_file: PathBuf,
}

impl Server {
    fn start(args: &BenchArgs, contender: &Contender, key: &[u8; 32]) -> anyhow::Result<Self> {
        let address = free_address()?;
        let key_file = std::env::temp_dir().join(format!("bots-bench-{}.key", std::process::id()));
        fs::write(&key_file, ServerKey(*key).digits()).context("failed to write the key file")?;
        let tick_hz = args.play.tick_hz.to_string();
        let mut command = match contender {
            Contender::Gameserver(backend) => {
                let mut command = Command::new(&args.gameserver);
                command
                    .args(["--bind-address", "127.0.0.1", "--port", &address.port().to_string()])
                    .args(["--admin-address", "127.0.0.1:0", "--pin", "always", "--tick-hz", &tick_hz])
                    .args(["--net", backend])
                    .args(["--capacity", &args.players.to_string()])
                    .arg("--key-file")
                    .arg(&key_file);
                command
            }
            Contender::Toy => {
                let toy = args.toy.as_ref().context("--toy is needed to run it")?;
                let mut command = Command::new(toy);
                command.args(["--address", &address.to_string(), "--tick-hz", &tick_hz]);
                command
            }
        };
        let program = command.get_program().to_owned();
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("failed to start {}", program.display()))?;
        Ok(Self { child, address, key_file })
    }

    /// CPU time of the process so far: fields 14 and 15 of `/proc/PID/stat`, in hundredths of a second, which is what
    /// Linux shows on every machine.
    fn cpu_time(&self) -> anyhow::Result<Duration> {
        let path = format!("/proc/{}/stat", self.child.id());
        let stat = fs::read_to_string(&path).with_context(|| format!("failed to read {path}"))?;
        parse_cpu_time(&stat).with_context(|| format!("failed to understand {path}"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // an error says that it has ended by itself or that the file is gone, which is what is wanted
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
        let _removed = fs::remove_file(&self.key_file);
    }
}

fn parse_cpu_time(stat: &str) -> Option<Duration> {
    // the name in field 2 may hold spaces; it ends with the last parenthesis
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    Some(Duration::from_millis(ticks * 10))
}

fn free_address() -> anyhow::Result<SocketAddr> {
    let probe = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).context("failed to find a free port")?;
    Ok(probe.local_addr()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_user_and_system_time_whatever_the_name() {
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194304 1 0 0 0 150 50 0 0 20 0 3 0 1 1 1";
        assert_eq!(parse_cpu_time(stat), Some(Duration::from_secs(2)));
        assert_eq!(parse_cpu_time("nonsense"), None);
    }

    #[test]
    fn a_summary_leaves_void_runs_out() {
        let run = |p99, void| json!({ "server": "toy", "latency_us": { "p99": p99 }, "void": void });
        let runs = [run(30, false), run(10, false), run(20, false), run(999, true)];
        let summary = summary("toy", &runs);
        assert_eq!(summary["valid_runs"], json!(3));
        assert_eq!(summary["latency_us/p99"], json!({ "min": 10.0, "median": 20.0, "max": 30.0 }));
    }
}
