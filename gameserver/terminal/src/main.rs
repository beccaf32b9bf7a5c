//! The terminal client: see `cranewing-terminal --help`.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use gameserver_terminal::{Args, run};

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // whoever cannot be told cannot be told that either
            let _told = writeln!(std::io::stderr(), "cranewing-terminal: {error:#}");
            ExitCode::FAILURE
        }
    }
}
