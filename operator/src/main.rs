//! The operator's binary.

use clap::Parser;
use operator::args::{Args, Command};
use operator::placement::Failure;
use operator::rollout::TakesAPerson;
use std::io::{Write as _, stderr, stdout};
use std::process::ExitCode;

fn main() -> ExitCode {
    let Err(error) = run(Args::parse().command) else { return ExitCode::SUCCESS };
    // Who closed the stream does not want to hear.
    let _unheard = writeln!(stderr(), "Error: {error:?}");
    if error.is::<TakesAPerson>() {
        return TakesAPerson::CODE.into();
    }
    error.downcast_ref().map_or(ExitCode::FAILURE, |failure: &Failure| failure.code().into())
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Crd => operator::print_crds(&mut stdout().lock()),
        Command::Seccomp(args) => operator::seccomp::run(&args, &mut stdout().lock()),
        Command::Run(args) => operator::run(*args),
        Command::Responder(args) => operator::responder::run(&args),
        Command::Place(args) => {
            Ok(operator::placement::run(&args, &mut stdout().lock(), &mut stderr().lock())?)
        }
        Command::Region(args) => operator::region::run(args.command, &mut stdout().lock()),
        Command::Rollout(args) => operator::rollout::run(&args.command, &mut stdout().lock()),
        Command::Debug(args) => {
            operator::debug::run(&args.command, &mut stdout().lock(), &mut stderr().lock())
        }
    }
}
