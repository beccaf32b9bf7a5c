//! Runs the simulation from a seed, says how it goes each ten seconds, and at the end what came of it in one line.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use gameserver_simulator::{Faults, Plan, Summary, TICK_HZ, run_with};

/// Between two lines about how it goes.
const PROGRESS: Duration = Duration::from_secs(10);

/// Runs zone servers and players in virtual time and checks at each tick what must hold
#[derive(Debug, Parser)]
struct Args {
    /// What all chance follows from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Players
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u16).range(1..=20_000))]
    clients: u16,
    /// Zone servers of the process
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=16))]
    zones: u8,
    /// Virtual hours
    #[arg(long, default_value_t = 0.1, conflicts_with = "ticks")]
    hours: f64,
    /// Ticks, 64 a second, instead of hours
    #[arg(long)]
    ticks: Option<u64>,
    /// What goes wrong: all, none, or some of crashes, drains, vanishing, bursts, hostile and scarcity, with commas between
    #[arg(long, default_value_t = Faults::ALL)]
    faults: Faults,
}

impl Args {
    fn plan(&self) -> Plan {
        let seconds = Duration::try_from_secs_f64(self.hours * 3600.0).unwrap_or_default().as_secs();
        Plan {
            seed: self.seed,
            clients: self.clients.into(),
            zones: self.zones.into(),
            ticks: self.ticks.unwrap_or_else(|| seconds * u64::from(TICK_HZ)),
            faults: self.faults,
            mutation: None,
        }
    }
}

/// What has been simulated, and how fast.
fn line(summary: &Summary, took: Duration) -> String {
    let Summary { ticks, state_hash, sent_hash, player_seconds, sessions, resumes, settled, .. } = *summary;
    let Summary { entities_compared, datagrams_up, datagrams_down, refused, .. } = *summary;
    let deeds = summary.deeds.each().map(|(deed, count)| format!("{count} {deed}")).join(", ");
    let Summary { crashes, drains, vanished, thefts, full_ticks, overloaded, denied, let_in_later, .. } =
        *summary;
    let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX).max(1);
    let rate = player_seconds * 1000 / milliseconds;
    format!(
        "tick {ticks}: {player_seconds} player seconds in {:.1} s ({}.{:02} player hours a second), {sessions} sessions, \
         {resumes} early returns, {settled} settled, {entities_compared} entities compared, {datagrams_up} datagrams up, \
         {datagrams_down} down, {refused} refused, {crashes} crashes, {drains} drains, {vanished} vanished, \
         {thefts} thefts, {full_ticks} full ticks, {overloaded} overloaded, {denied} denied, {let_in_later} let in later, \
         hostile: {deeds}, state {state_hash:016x}, sent {sent_hash:016x}",
        took.as_secs_f64(),
        rate / 3600,
        rate % 3600 / 36,
    )
}

#[expect(clippy::disallowed_methods, reason = "how fast it goes is told at the edge; no run follows from it")]
fn clock() -> Instant {
    Instant::now()
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "what it is for")]
fn main() -> ExitCode {
    let args = Args::parse();
    let plan = args.plan();
    let ticks = plan.ticks;
    let (start, mut shown) = (clock(), clock());
    let outcome = run_with(plan, |summary| {
        if shown.elapsed() >= PROGRESS {
            shown = clock();
            let percent = summary.ticks * 100 / ticks.max(1);
            eprintln!("seed {}, {percent} %: {}", args.seed, line(summary, start.elapsed()));
        }
    });
    match outcome {
        Ok(summary) => {
            println!("seed {}: {}", args.seed, line(&summary, start.elapsed()));
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_well_formed() {
        Args::command().debug_assert();
    }

    #[test]
    fn hours_are_ticks_and_faults_have_names() {
        let plan = |arguments: &[&str]| {
            Args::try_parse_from([&["simulator"], arguments].concat()).map(|args| args.plan()).ok()
        };
        assert_eq!(plan(&["--hours", "2"]).map(|plan| plan.ticks), Some(2 * 3600 * 64));
        assert_eq!(plan(&["--ticks", "7"]).map(|plan| plan.ticks), Some(7));
        let faults = Faults { crashes: true, hostile: true, ..Faults::default() };
        assert_eq!(plan(&["--faults", "crashes,hostile"]).map(|plan| plan.faults), Some(faults));
        assert_eq!(plan(&["--faults", "none"]).map(|plan| plan.faults), Some(Faults::default()));
        assert!(plan(&["--faults", "floods"]).is_none() && plan(&["--hours", "1", "--ticks", "1"]).is_none());
    }
}
