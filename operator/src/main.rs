//! The operator's binary.

use clap::Parser;
use operator::args::{Args, Command};

fn main() -> anyhow::Result<()> {
    match Args::parse().command {
        Command::Crd => operator::print_crds(&mut std::io::stdout().lock()),
        Command::Seccomp(args) => operator::seccomp::run(&args, &mut std::io::stdout().lock()),
        Command::Run(args) => operator::run(*args),
        Command::Responder(args) => operator::responder::run(&args),
        Command::Place(args) => {
            operator::placement::run(&args, &mut std::io::stdout().lock(), &mut std::io::stderr().lock())
        }
        Command::Region(args) => operator::region::run(args.command, &mut std::io::stdout().lock()),
    }
}
