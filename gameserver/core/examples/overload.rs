//! What a tick takes when more is asked for than it carries out, without a network: one JSON object. `cargo xtask bench costs` makes a
//! section of its page of it.
//!
//! `overload PLAYERS LIMIT`: at 64 Hz each player sends two new inputs before every tick, as many as it may in the long run, and repeats what it has not
//! heard of yet; LIMIT of all are carried out. What a server does then (docs/adr/0025-overload.md) has had two seconds to settle before it is measured.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a measuring program reads the clock, prints and takes quotients"
)]

#[path = "../tests/common/mod.rs"]
mod common;

use std::error::Error;
use std::time::{Duration, Instant};

use common::asking::{Crowd, jain};
use common::{TICK_HZ, config};
use gameserver_core::{DEFAULT_REPLICATION_HZ, ServerConfig, Transmit, snapshot_bytes_for};
use serde::Serialize;

/// New inputs of a player in a tick: its limit in the long run.
const ASKS: u32 = 2;
const SETTLE_TICKS: u32 = 2 * TICK_HZ;
const MEASURED_TICKS: u32 = 5 * TICK_HZ;

/// What is printed; times in microseconds.
#[derive(Serialize)]
struct Overload {
    players: usize,
    limit: usize,
    tick_hz: u32,
    /// Of a tick, by the least of all ticks: inputs that were due, and those that were carried out.
    due_min: u64,
    carried_out_min: u64,
    refused_a_tick: f64,
    take_in_us: Quantiles,
    step_us: Quantiles,
    flush_us: Quantiles,
    /// The step and the flush, which is what a tick is on time or late by, and all three.
    work_us: Quantiles,
    all_us: Quantiles,
    /// Of the inputs of each player that were carried out while it was measured.
    jain: f64,
}

#[derive(Serialize)]
struct Quantiles {
    p50: f64,
    p99: f64,
}

impl Quantiles {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64() * 1e6;
        Self { p50: at(50), p99: at(99) }
    }
}

/// What each tick took: taking in, the step, the flush.
type Times = [Duration; 3];

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [players, limit] = arguments.as_slice() else {
        return Err("usage: overload PLAYERS LIMIT, such as overload 1000 1000".into());
    };
    println!("{}", serde_json::to_string(&measure(players.parse()?, limit.parse()?))?);
    Ok(())
}

fn measure(players: usize, limit: usize) -> Overload {
    let config = ServerConfig {
        max_commands_per_tick: limit,
        snapshot_bytes: snapshot_bytes_for(TICK_HZ, DEFAULT_REPLICATION_HZ),
        ..config()
    };
    let mut crowd = Crowd::new(&vec![ASKS; players], config);
    let mut buffers = vec![[0; 1200]; players + 8];
    for _ in 0..SETTLE_TICKS {
        tick(&mut crowd, &mut buffers);
    }
    let before = (crowd.applied(), crowd.shed());
    let (mut times, mut due_min, mut carried_out_min) = (Vec::new(), u64::MAX, u64::MAX);
    for _ in 0..MEASURED_TICKS {
        let (commands, _earlier) = (crowd.commands(), crowd.bench.server.take_histograms());
        times.push(tick(&mut crowd, &mut buffers));
        // one tick has recorded one depth; all of it is due, because inputs are for the next tick that there is
        due_min = due_min.min(crowd.bench.server.take_histograms().queue_depth.sum());
        carried_out_min = carried_out_min.min(crowd.commands() - commands);
    }
    let carried_out: Vec<_> =
        crowd.applied().iter().zip(&before.0).map(|(after, before)| after - before).collect();
    let quantiles = |part: fn(&Times) -> Duration| Quantiles::of(times.iter().map(part).collect());
    Overload {
        players,
        limit,
        tick_hz: TICK_HZ,
        due_min,
        carried_out_min,
        refused_a_tick: (crowd.shed() - before.1) as f64 / f64::from(MEASURED_TICKS),
        take_in_us: quantiles(|[take_in, ..]| *take_in),
        step_us: quantiles(|[_, step, _]| *step),
        flush_us: quantiles(|[.., flush]| *flush),
        work_us: quantiles(|[_, step, flush]| *step + *flush),
        all_us: quantiles(|times| times.iter().sum()),
        jain: jain(&carried_out) as f64 / 1000.0,
    }
}

/// Everyone asks, the world moves on, and all hear of it.
fn tick(crowd: &mut Crowd, buffers: &mut [[u8; 1200]]) -> Times {
    let mut asked = crowd.asked();
    let (now, server) = (crowd.bench.now(), &mut crowd.bench.server);
    let mut transmits: Vec<Transmit> = Vec::with_capacity(buffers.len());

    let started = Instant::now();
    for (from, datagram) in &mut asked {
        server.handle_datagram(now, *from, datagram);
    }
    let take_in = started.elapsed();
    let started = Instant::now();
    server.step(now);
    let step = started.elapsed();
    let started = Instant::now();
    for buffer in &mut *buffers {
        let Some(transmit) = server.poll_transmit(now, buffer) else { break };
        transmits.push(transmit);
    }
    let flush = started.elapsed();

    for (transmit, buffer) in transmits.iter().zip(buffers) {
        crowd.hear(transmit.to, &buffer[..transmit.len]);
    }
    [take_in, step, flush]
}
