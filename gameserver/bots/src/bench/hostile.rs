//! `bots hostile`: players with and without garbage beside them, in pairs, at each size of the socket's buffer.

use serde_json::{Value, json};

use super::server::Launch;
use super::trial::{JOIN_LIMIT, Trial};
use super::{Cpus, cpus, game_run, summary, tell};
use crate::args::HostileArgs;
use crate::flood;

/// Figures that are summed up over runs.
const SUMMARIZED: [&str; 12] = [
    "/latency_us/p50",
    "/latency_us/p99",
    "/latency_us/p999",
    "/answered_percent",
    "/zone/received",
    "/zone/dropped",
    "/zone/filtered",
    "/zone/tick_lateness_ticks_p99",
    "/server_cpu_percent",
    "/lateness_us_p99",
    "/flood/rate",
    "/flood/lateness_us_p99",
];

pub(crate) fn run(args: &HostileArgs) -> anyhow::Result<()> {
    let cpus = cpus()?;
    let flood = flood::Plan { rate: args.rate, sources: args.sources, duration: args.duration };
    let mut runs = Vec::new();
    for run in 0..args.runs {
        for &kib in &args.socket_buffers_kib {
            for flood in [None, Some(flood)] {
                let figures = one_run(args, kib, flood, cpus)?;
                tracing::info!(run, "{figures}");
                runs.push(figures);
            }
        }
    }
    let names =
        args.socket_buffers_kib.iter().flat_map(|&kib| [false, true].map(|is_flood| name(kib, is_flood)));
    let results = json!({
        "players": args.players,
        "tick_hz": args.play.tick_hz,
        "input_hz": args.play.input_hz,
        "rate": args.rate,
        "sources": args.sources,
        "duration_seconds": args.duration.as_secs_f64(),
        "summary": names.map(|name| summary(&name, &runs, &SUMMARIZED)).collect::<Vec<_>>(),
        "runs": runs,
    });
    tell(args.out.as_deref(), &results)
}

fn one_run(args: &HostileArgs, kib: u32, flood: Option<flood::Plan>, cpus: Cpus) -> anyhow::Result<Value> {
    let more = ["--socket-buffer-kib".to_owned(), kib.to_string()];
    let launch = Launch {
        program: &args.gameserver,
        backend: &args.backend,
        capacity: args.players,
        tick_hz: args.play.tick_hz,
        more: &more,
    };
    let trial = Trial {
        name: name(kib, flood.is_some()),
        players: args.players,
        play: args.play.into(),
        duration: args.duration,
        join_limit: JOIN_LIMIT,
        flood,
    };
    game_run(&trial, &launch, cpus)
}

/// By what the kernel makes of the size that is asked for: twice as much, for its own bookkeeping.
fn name(kib: u32, is_flood: bool) -> String {
    format!("{} KiB, {}", 2 * kib, if is_flood { "flood" } else { "calm" })
}
