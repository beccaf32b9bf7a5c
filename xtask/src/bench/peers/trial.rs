//! One server under one load for a few seconds.

use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::net::UdpSocket;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::build::Programs;
use super::contenders::{Contender, Kind};
use super::said::{self, Said, Used};
use super::server::{READY_LIMIT, Server, check_started, cpu};
use crate::process;

/// Measured in a trial.
pub(super) const DURATION: Duration = Duration::from_secs(2);
const SMOKE_WARM_UP: Duration = Duration::from_millis(500);
const SMOKE_DURATION: Duration = Duration::from_secs(1);
/// Inputs a second of each player.
pub(super) const INPUT_HZ: u32 = 20;
/// Inputs of each player that a tick of our server carries out at most: at 20 Hz there is one, and what once is behind is to catch up.
const INPUTS_A_TICK_MAX: u32 = 4;
/// Within which everyone must have joined, whatever they speak.
pub(super) const JOIN_LIMIT: Duration = Duration::from_secs(15);
/// Longest time for a load: everyone joins, plays and is waited for.
const LOAD_LIMIT: Duration = Duration::from_secs(60);

/// Who is loaded, and how.
pub(super) struct Setup<'a> {
    pub(super) programs: &'a Programs,
    pub(super) contender: &'a Contender,
    pub(super) tick_hz: u32,
    pub(super) players: u32,
    warm_up: Duration,
    duration: Duration,
}

impl<'a> Setup<'a> {
    /// As the page counts it.
    pub(super) fn whole(
        programs: &'a Programs,
        contender: &'a Contender,
        tick_hz: u32,
        players: u32,
    ) -> Self {
        Self { programs, contender, tick_hz, players, warm_up: contender.warm_up, duration: DURATION }
    }

    /// A short one, without time to warm up.
    pub(super) fn smoke(
        programs: &'a Programs,
        contender: &'a Contender,
        tick_hz: u32,
        players: u32,
    ) -> Self {
        let (warm_up, duration) = (SMOKE_WARM_UP, SMOKE_DURATION);
        Self { programs, contender, tick_hz, players, warm_up, duration }
    }

    /// Plays. An error is one of ours, such as a program that is missing.
    pub(super) fn run(&self) -> Result<Said> {
        match self.contender.kind {
            Kind::Ours { .. } | Kind::Core => self.bots(),
            _ => self.load(),
        }
    }

    fn load(&self) -> Result<Said> {
        let port = free_port()?;
        let log = self.programs.log(self.contender);
        let command = self.programs.server(self.contender, port, self.tick_hz)?;
        let Some(mut server) = Server::start(&command, &log)? else {
            let (seconds, log) = (READY_LIMIT.as_secs(), log.display());
            return Ok(Said::Unusable(format!(
                "the server ended or was not ready in {seconds} s; the log: {log}"
            )));
        };
        let millis = |duration: Duration| duration.as_millis().to_string();
        let mut load = self.programs.load(self.contender, cpu(1)?);
        load.args(["--server", &format!("127.0.0.1:{port}"), "--clients", &self.players.to_string()]);
        load.args(["--input-hz", &INPUT_HZ.to_string(), "--join-limit-ms", &millis(JOIN_LIMIT)]);
        load.args(["--warm-up-ms", &millis(self.warm_up), "--duration-ms", &millis(self.duration)]);
        let mut load = limited(&load);
        let load = load.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(process::open_log(&log)?);
        let mut load = load.spawn().context("failed to start timeout")?;
        let heard = hear(load.stdout.take().context("the load is piped")?, &server);
        let ended = load.wait().context("failed to wait for the load")?;
        check_started(ended).context("failed to start the load")?;
        Ok(match (server.ended()?, ended.success(), heard) {
            (Some(status), ..) => Said::ServerEnded(status.to_string()),
            (None, true, Some((last, used))) => said::of_load(&last, used),
            (None, ..) => Said::Unusable(format!("the load failed: {ended}; the log: {}", log.display())),
        })
    }

    fn bots(&self) -> Result<Said> {
        let out = std::env::temp_dir().join(format!("cranewing-peers-{}.json", std::process::id()));
        let mut bots = self.programs.bots(self.contender)?;
        bots.args(["--runs", "1", "--players", &self.players.to_string()]);
        bots.args(["--tick-hz", &self.tick_hz.to_string(), "--input-hz", &INPUT_HZ.to_string()]);
        bots.args(["--duration", &self.duration.as_secs().to_string()]);
        bots.args(["--join-limit", &JOIN_LIMIT.as_secs().to_string()]);
        // the limit of a zone is a matter of its configuration, and none of the others has one
        bots.args(["--max-commands-per-tick", &(INPUTS_A_TICK_MAX * self.players).to_string()]);
        if self.contender.sends_each_tick() {
            bots.args(["--replication-hz", &self.tick_hz.to_string()]);
        }
        bots.arg("--out").arg(&out);
        let ended = limited(&bots).stdin(Stdio::null()).output().context("failed to start timeout")?;
        check_started(ended.status).context("failed to start the bots")?;
        // there also when bots fail, if that is the server's doing
        let text = fs::read_to_string(&out);
        let _removed = fs::remove_file(&out);
        Ok(text.map_or_else(
            |_no_file| {
                let said = String::from_utf8_lossy(&ended.stderr);
                let last = said.lines().last().unwrap_or_default().trim();
                Said::Unusable(format!("the bots failed ({}): {last}", ended.status))
            },
            |text| said::of_bots(&text, self.players),
        ))
    }
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

/// The same command, that is ended after a while and with this program.
fn limited(command: &Command) -> Command {
    let seconds = LOAD_LIMIT.as_secs().to_string();
    let head = ["--foreground", "--kill-after=1", &seconds, "setpriv", "--pdeathsig=KILL"];
    process::wrapped("timeout", &head, command)
}

fn free_port() -> Result<u16> {
    let probe = UdpSocket::bind(("127.0.0.1", 0)).context("failed to find a free port")?;
    Ok(probe.local_addr()?.port())
}
