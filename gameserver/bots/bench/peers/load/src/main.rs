//! The load of every peer: clients that send inputs open loop, and when each input was first acknowledged.
//!
//! One thread on one CPU, and a socket for each client. It measures how late it is itself: a run in which it was is void.
//!
//! Says `begin` and `end` when measuring does, and then one line of JSON.

mod crowd;
mod enet;
mod measure;
mod renet;
mod sealed;
mod sockets;
mod wire;

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::{Parser, ValueEnum};
use gameserver_sys::{Clock, observe_cpus, pin_current_thread, run_current_thread_first};

use crate::crowd::Crowd;
use crate::enet::Enet;
use crate::measure::{Measure, Schedule};
use crate::renet::Renet;
use crate::sealed::Sealed;
use crate::wire::Wire;

/// Sleep of a turn with nothing to take: inputs that are due meanwhile make a batch, and none is late by more.
const SLEEP: Duration = Duration::from_micros(250);
/// How long everyone plays on after what is measured: longer than any input takes that is in time.
const GRACE: Duration = Duration::from_millis(250);

/// What the clients speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Protocol {
    /// Bare datagrams, for peers that are only a transport.
    Wire,
    /// The same datagrams, each of them sealed.
    Sealed,
    /// Sessions of renet over netcode.
    Renet,
    /// Sessions of ENet.
    Enet,
}

/// Loads one server and prints what was measured.
#[derive(Debug, Parser)]
struct Args {
    #[arg(long, value_enum, default_value = "wire")]
    protocol: Protocol,
    /// Address of the server.
    #[arg(long)]
    server: SocketAddr,
    /// Clients.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=50_000))]
    clients: u32,
    /// Inputs a second of each client.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=200))]
    input_hz: u32,
    /// Milliseconds within which everyone must have joined.
    #[arg(long, default_value_t = 15_000)]
    join_limit_ms: u64,
    /// Milliseconds played before measuring.
    #[arg(long, default_value_t = 1000)]
    warm_up_ms: u64,
    /// Milliseconds measured.
    #[arg(long, default_value_t = 2000)]
    duration_ms: u64,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let cpus = observe_cpus()?.allowed;
    ensure!(cpus.len() >= 2, "a CPU for the server and one for the load are needed");
    pin_current_thread(cpus[1]).context("failed to pin the load")?;
    // what else the machine does on this CPU would show as lateness
    if let Err(error) = run_current_thread_first() {
        say(&format!("shares its CPU as everybody does: {error}"))?;
    }
    let clock = Clock::start();
    let mut crowd: Box<dyn Crowd> = match args.protocol {
        Protocol::Wire => Box::new(Wire::open(args.server, args.clients)?),
        Protocol::Sealed => Box::new(Sealed::open(args.server, args.clients)?),
        Protocol::Renet => Box::new(Renet::open(args.server, args.clients, clock.unix())?),
        Protocol::Enet => Box::new(Enet::open(args.server, args.clients)?),
    };
    let join_limit = Duration::from_millis(args.join_limit_ms);
    while !crowd.join(clock.monotonic())? {
        if clock.monotonic() > join_limit {
            return say(&format!("{{\"clients\": {}, \"joined\": {}}}", args.clients, crowd.joined()));
        }
        pause(SLEEP);
    }
    let measure = play(&args, clock, crowd.as_mut())?;
    say(&measure.json().to_string())
}

/// Has everyone play and measures the middle of it.
fn play(args: &Args, clock: Clock, crowd: &mut dyn Crowd) -> anyhow::Result<Measure> {
    let start = clock.monotonic();
    let period = Duration::from_secs(1) / args.input_hz;
    let schedule = Schedule { clients: args.clients, period, start };
    let begin = start + Duration::from_millis(args.warm_up_ms);
    let end = begin + Duration::from_millis(args.duration_ms);
    let mut measure = Measure::new(schedule, begin, end);
    let (mut next, mut has_begun, mut has_ended) = (0_u64, false, false);
    loop {
        let now = clock.monotonic();
        if !has_begun && now >= begin {
            has_begun = true;
            say("begin")?;
        }
        if !has_ended && now >= end {
            has_ended = true;
            say("end")?;
        }
        if now >= end + GRACE {
            return Ok(measure);
        }
        let mut due = || {
            let due = schedule.due(next);
            if due > now {
                return None;
            }
            measure.sent(due, now);
            let input = schedule.input(next);
            next += 1;
            Some(input)
        };
        crowd.send(now, &mut due)?;
        let received = crowd.receive(now, &mut |client, newest, bytes| {
            measure.snapshot(client, newest, bytes, clock.monotonic());
        })?;
        if !received {
            pause(SLEEP);
        }
    }
}

fn say(line: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).context("nobody hears the load")
}

#[expect(clippy::disallowed_methods, reason = "a bounded pause between turns is what makes clients cheap")]
fn pause(sleep: Duration) {
    std::thread::sleep(sleep);
}
