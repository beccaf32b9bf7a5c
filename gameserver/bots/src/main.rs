//! Load clients: see `bots --help`.

use std::process::ExitCode;

use clap::Parser;
use gameserver_bots::{Args, run};

fn main() -> ExitCode {
    let args = Args::parse();
    gameserver_bots::start_logging();
    match run(args.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "the bots cannot go on");
            ExitCode::FAILURE
        }
    }
}
