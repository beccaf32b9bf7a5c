//! One server under one load for a few seconds.

use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::net::UdpSocket;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::build::Programs;
use super::contenders::{Contender, Kind};
use super::said::{self, Said, Used};
use super::server::{Server, cpu};
use crate::process;

/// Measured in a trial.
pub(super) const DURATION: Duration = Duration::from_secs(2);
const SMOKE_DURATION: Duration = Duration::from_secs(1);
/// Inputs a second of each player.
pub(super) const INPUT_HZ: u32 = 20;
/// Inputs of each player that a tick of our server carries out at most: at 20 Hz there is one, and what once is behind is to catch up.
const INPUTS_A_TICK_MAX: u32 = 4;
/// Longest time for a load: everyone joins, plays and is waited for. Each load gives up joining by itself well before.
const LOAD_LIMIT: Duration = Duration::from_secs(60);
/// Exit codes of `timeout` and `setpriv` for a program that cannot be started.
const NOT_STARTED: [i32; 2] = [126, 127];

/// A trial as the page counts it. An error is one of ours: a program that is missing, or a server that does not even start.
pub(super) fn run(programs: &Programs, contender: &Contender, tick_hz: u32, players: u32) -> Result<Said> {
    trial(programs, contender, tick_hz, players, contender.warm_up, DURATION)
}

/// A short one, without time to warm up.
pub(super) fn smoke(programs: &Programs, contender: &Contender, tick_hz: u32, players: u32) -> Result<Said> {
    trial(programs, contender, tick_hz, players, Duration::from_millis(500), SMOKE_DURATION)
}

fn trial(
    programs: &Programs,
    contender: &Contender,
    tick_hz: u32,
    players: u32,
    warm_up: Duration,
    duration: Duration,
) -> Result<Said> {
    if matches!(contender.kind, Kind::Ours { .. } | Kind::Core) {
        return bots(programs, contender, tick_hz, players, duration);
    }
    let port = free_port()?;
    let log = programs.log(contender);
    let mut server = Server::start(&programs.server(contender, port, tick_hz)?, &log)?;
    let mut load = programs.load(contender, cpu(1)?);
    load.args(["--server", &format!("127.0.0.1:{port}"), "--clients", &players.to_string()]);
    load.args(["--input-hz", &INPUT_HZ.to_string(), "--warm-up-ms", &warm_up.as_millis().to_string()]);
    load.args(["--duration-ms", &duration.as_millis().to_string()]);
    let mut load = limited(&load);
    let load = load.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(process::open_log(&log)?);
    let mut load = load.spawn().context("failed to start timeout")?;
    let heard = hear(load.stdout.take().context("the load is piped")?, &server);
    let ended = load.wait().context("failed to wait for the load")?;
    check_started(ended)?;
    Ok(match (server.ended()?, ended.success(), heard) {
        (Some(status), ..) => Said::ServerEnded(status.to_string()),
        (None, true, Some((last, used))) => said::of_load(&last, used),
        (None, ..) => Said::Nothing(format!("the load failed: {ended}; the log: {}", log.display())),
    })
}

/// The last line of a load, and what the server used between the two in which it says that measuring begins and ends. None if it is no
/// text.
fn hear(load: impl Read, server: &Server) -> Option<(String, Option<Used>)> {
    let (mut begun, mut used, mut last) = (None, None, String::new());
    for line in BufReader::new(load).lines() {
        let line = line.ok()?;
        match line.as_str() {
            // a server that is gone is seen to be so in the end
            "begin" => begun = server.mark().ok(),
            "end" => used = begun.and_then(|mark| server.used_since(mark).ok()),
            _ => last = line,
        }
    }
    Some((last, used))
}

fn bots(
    programs: &Programs,
    contender: &Contender,
    tick_hz: u32,
    players: u32,
    duration: Duration,
) -> Result<Said> {
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
    let ended = limited(&bots).stdin(Stdio::null()).output().context("failed to start timeout")?;
    check_started(ended.status)?;
    let text = fs::read_to_string(&out);
    let _removed = fs::remove_file(&out);
    if !ended.status.success() {
        return said::of_failed_bots(&String::from_utf8_lossy(&ended.stderr));
    }
    Ok(said::of_bots(&text.unwrap_or_default(), players))
}

/// The same command, that is ended after a while and with this program.
fn limited(command: &Command) -> Command {
    let mut limited = Command::new("timeout");
    limited.args(["--foreground", "--kill-after=1", &LOAD_LIMIT.as_secs().to_string()]);
    limited.args(["setpriv", "--pdeathsig=KILL"]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        limited.env(name, value.unwrap_or_default());
    }
    limited
}

/// A load that is not there measures nobody, however often it is tried.
fn check_started(ended: ExitStatus) -> Result<()> {
    if ended.code().is_some_and(|code| NOT_STARTED.contains(&code)) {
        bail!("the load is not there or no program ({ended})");
    }
    Ok(())
}

fn free_port() -> Result<u16> {
    let probe = UdpSocket::bind(("127.0.0.1", 0)).context("failed to find a free port")?;
    Ok(probe.local_addr()?.port())
}
