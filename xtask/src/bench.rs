//! `bench`: measures what the pages under `docs/benchmarks` say, and writes them.

mod costs;
mod failover;
mod fleet;
mod hostile;
mod input;
mod links;
mod load;
mod overload;
mod page;
mod peers;
mod ramp;
mod regions;
mod restore;
mod terraform;
mod up;

use anyhow::Result;

use crate::checkout::Checkout;
use crate::down;
use crate::lock::Lock;
use crate::progress::Progress;

/// What there is to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Subject {
    /// From nothing to players in three regions, step by step
    Up,
    /// The same with an empty cache: every tool, image and dependency is downloaded and built
    UpCold,
    /// A Fleet of twenty from apply to all Ready, its writes, and what everything takes in memory
    Fleet,
    /// Six hundred players come and go, and the AutoScaler follows
    Ramp,
    /// Input to state with a thousand bots on one server, beside a bare toy
    Input,
    /// Two thousand bots that ask for four times as much as a tick carries out
    Overload,
    /// A thousand bots with and without two hundred thousand datagrams of garbage a second
    Hostile,
    /// What datagrams, ticks and players cost, stage by stage and in bytes; the page is written after each run
    Costs,
    /// Each way to lose a region, with players in all of them: ten of each want an hour
    Failover,
    /// What it costs regions to read each other
    Links,
    /// A region whose cluster is deleted, from nothing to all as before
    Restore,
    /// Three regions by `terraform/`, from nothing to players and back
    Terraform,
    /// Players a core beside other servers: each run wants twenty minutes, is kept, and the page is of all that are
    Peers,
    /// 3, 7 and 20 regions with a hundred thousand players in virtual time; runs are seeds
    Regions,
}

/// `cargo xtask bench`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What to measure; several are separated by commas
    #[arg(value_enum, value_delimiter = ',', default_values = ["up", "fleet", "ramp", "input"])]
    subjects: Vec<Subject>,
    /// Runs of each; of `up-cold` and `ramp` there is one
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=50))]
    runs: u8,
    /// Of failover this fault alone, as its page calls it; what the page says of the others stays
    #[arg(long, value_parser = clap::builder::PossibleValuesParser::new(failover::names()))]
    fault: Option<String>,
    #[command(flatten, next_help_heading = "Peers")]
    peers: peers::Options,
}

/// Measures on an instance of its own, which is removed afterwards.
pub(crate) fn run(args: &Args) -> Result<()> {
    let checkout = Checkout::locate()?.named("bench");
    let _lock = Lock::instance(&checkout, "cargo xtask bench")?;
    for subject in &args.subjects {
        let measured = match subject {
            Subject::Up => up::warm(&checkout, args.runs),
            Subject::UpCold if up::is_cold() => up::cold(&checkout),
            Subject::UpCold => {
                up::cold_process(&checkout)?;
                continue;
            }
            Subject::Fleet => fleet::measure(&checkout, args.runs),
            Subject::Ramp => ramp::measure(&checkout),
            Subject::Input => input::measure(&checkout, args.runs),
            Subject::Overload => overload::measure(&checkout, args.runs),
            Subject::Hostile => hostile::measure(&checkout, args.runs),
            Subject::Failover => failover::measure(&checkout, args.runs, args.fault.as_deref()),
            Subject::Links => links::measure(&checkout, args.runs),
            Subject::Restore => restore::measure(&checkout, args.runs),
            Subject::Terraform => terraform::measure(&checkout, args.runs),
            Subject::Peers => {
                peers::measure(&checkout, args.runs, &args.peers)?;
                continue;
            }
            Subject::Costs => {
                costs::measure(&checkout, args.runs)?;
                continue;
            }
            Subject::Regions => {
                page::write(&checkout, &regions::measure(&checkout, args.runs)?)?;
                continue;
            }
        };
        let removed = Progress::new()
            .step("remove what was measured", |step| down::remove(&checkout, |text| step.note(text)));
        page::write(&checkout, &measured?)?;
        removed?;
    }
    Ok(())
}
