//! The game server: see `gameserver --help`.

use std::process::ExitCode;

use clap::Parser;
use gameserver::{Args, run, telemetry};

fn main() -> ExitCode {
    let args = Args::parse();
    telemetry::start(args.log_format);
    let _about = telemetry::about(&args.report).entered();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "the game server cannot go on");
            ExitCode::FAILURE
        }
    }
}
