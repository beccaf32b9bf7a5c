//! The commands of this repository: bring up regions, look at them, take them down, test everything.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line tool speaks on its standard streams"
)]

mod archive;
mod bench;
mod bots;
mod charts;
mod checkout;
mod clock;
mod cluster;
mod crds;
mod deploy;
mod down;
mod engine;
mod foreign;
mod images;
mod lock;
mod marked;
mod node_image;
mod observe;
mod packages;
mod process;
mod progress;
mod region;
mod simulate;
mod sources;
mod state;
mod target;
mod terraform;
mod test;
mod tools;
mod up;
mod view;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Fleets of game servers in three regions, on this machine.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Bring up three regions with players in them, then show them live.
    Up(up::Args),
    /// Show what runs now.
    Status(up::StatusArgs),
    /// Work on one region of what `up` made.
    Region(region::Args),
    /// Remove everything that `up` made.
    Down(down::Args),
    /// Test everything; clusters that this needs are made and removed.
    Test(test::Args),
    /// Measure what the pages under docs/benchmarks say, and write them.
    Bench(bench::Args),
    /// Run game servers and players in virtual time from one seed after the other, until the time is over.
    Simulate(simulate::Args),
    /// Print the CRDs into crds/, or check that they are up to date.
    Crds(crds::Args),
    /// Build every tool and the node image into the cache; `up` and `test` do so by themselves.
    Tools,
    /// Write a directory tree as an image archive.
    #[command(hide = true)]
    Image(archive::Args),
}

impl Command {
    /// What to do after a failure, where its own words do not say.
    fn way_on(&self) -> Option<&'static str> {
        match self {
            Self::Up(_) => Some(
                "What is already made stays: `cargo xtask up` goes on from there, `cargo xtask down` removes it.",
            ),
            Self::Down(_) => Some("`cargo xtask down` can be run again."),
            _ => None,
        }
    }
}

fn main() -> ExitCode {
    let command = Cli::parse().command;
    let way_on = command.way_on();
    let outcome = match command {
        Command::Test(args) => test::run(&args),
        Command::Up(args) => up::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Status(args) => up::status(&args).map(|()| ExitCode::SUCCESS),
        Command::Region(args) => region::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Down(args) => down::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Bench(args) => bench::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Simulate(args) => simulate::run(&args),
        Command::Crds(args) => crds::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Tools => up::prepare().map(|()| ExitCode::SUCCESS),
        Command::Image(args) => archive::run(&args).map(|()| ExitCode::SUCCESS),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{}", describe(&error, way_on));
            ExitCode::FAILURE
        }
    }
}

/// A failure, and what to do after it.
fn describe(error: &anyhow::Error, way_on: Option<&str>) -> String {
    [Some(format!("error: {error:#}")), way_on.map(str::to_owned)]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn a_failure_is_told_from_its_first_line_on_and_what_to_do_in_the_last() {
        let error = anyhow::anyhow!("there is no region zz here: kr, jp, sg");
        assert_eq!(describe(&error, None), "error: there is no region zz here: kr, jp, sg");
        assert_eq!(describe(&error, Some("Try again.")).lines().last(), Some("Try again."));
    }

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_makes_its_own_clusters_and_what_uses_others_exclude_each_other() {
        let parses =
            |arguments: &[&str]| Cli::try_parse_from([&["xtask", "test"], arguments].concat()).is_ok();
        assert!(parses(&["--level", "full"]) && parses(&["--context", "a", "--context", "jp=b"]));
        assert!(!parses(&["--fast", "--context", "a"]) && !parses(&["--level", "full", "--context", "a"]));
        assert!(!parses(&["--operator-image", "a"]), "images are for clusters that are named");
    }

    #[test]
    fn the_live_view_is_no_json() {
        let parses = |arguments: &[&str]| Cli::try_parse_from([&["xtask", "up"], arguments].concat()).is_ok();
        assert!(parses(&["--once", "--output", "json"]) && parses(&[]) && !parses(&["--output", "json"]));
    }
}
