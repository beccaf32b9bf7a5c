//! Bots that play: they join, move, check every confirmation and measure how long an input takes to show.
//!
//! - `swarm` plays many bots on one thread, each on a socket of its own; it decides nothing about who plays where.
//! - `assignment` and `ramp` decide that, as pure functions.
//! - `standalone` and `fleet` bring both together, for one server and for the Fleets of several regions; `bench`
//!   plays against one server and a bare toy in turn, with more inputs than a tick carries out, or beside garbage.
//! - `flood` makes that garbage, for loopback alone.
//!
//! Invariants:
//! - Latency is measured from the moment an input was *due*, not from when it was sent: a stall is charged to every
//!   input that it delayed (open loop, no coordinated omission).
//! - The bots know how late they are themselves; a run in which that was a millisecond or more at p99 is void.

mod args;
mod assignment;
mod bench;
mod bot;
mod course;
mod fleet;
mod flood;
mod ramp;
mod random;
mod session;
mod standalone;
mod stats;
mod stats_file;
mod stop;
mod swarm;

pub use args::{Args, Command};

use std::io::IsTerminal as _;
use tracing_subscriber::EnvFilter;

/// Logs to standard error at level `info`, or as `RUST_LOG` says.
pub fn start_logging() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_unset| EnvFilter::new("info"));
    let is_terminal = std::io::stderr().is_terminal();
    let logger = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(is_terminal);
    let logger = logger.with_writer(std::io::stderr);
    // a second start (tests in one process) keeps the first
    let _started = logger.with_target(false).try_init();
}

/// Carries out a command.
///
/// # Errors
/// When it cannot start, or when it is known that nobody was let in, which takes ten seconds of silence; else bots that are refused or lose
/// their server are counted.
pub fn run(command: Command) -> anyhow::Result<()> {
    // one socket a bot, and the defaults of most systems stop at 1024
    if let Err(error) = gameserver_sys::raise_file_limit(65_536) {
        tracing::warn!(error = error.to_string(), "failed to raise the limit of open files");
    }
    match command {
        Command::Server(args) => standalone::run(&args),
        Command::Fleet(args) => fleet::run(args),
        Command::Bench(args) => bench::run(&args),
        Command::Overload(args) => bench::run_overload(&args),
        Command::Hostile(args) => bench::run_hostile(&args),
        Command::Flood(args) => flood::run(&args),
    }
}
