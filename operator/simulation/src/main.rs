//! Runs the regions of the simulation from seeds, and draws the first of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Parser;
use operator_simulation::{Plan, Shock, Trace, plots, run};
use serde::Serialize;

/// Runs many regions in virtual time, and prints one line of what came of it
#[derive(Debug, Parser)]
struct Args {
    /// Registered regions
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(3..=20))]
    regions: u8,
    /// The first seed, whose run is drawn
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many seeds from that one on
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    seeds: u32,
    /// How many things happen in a run
    #[arg(long, default_value_t = 16)]
    shocks: u16,
    /// Virtual seconds of calm between them
    #[arg(long, default_value_t = 60)]
    calm_seconds: u16,
    /// Where the picture goes, if one is wanted
    #[arg(long)]
    svg: Option<PathBuf>,
}

/// Sums over all seeds; of seconds the most.
#[derive(Debug, Default, Serialize)]
struct Totals {
    regions: u8,
    seeds: u32,
    seconds: u64,
    shocks: BTreeMap<&'static str, usize>,
    views: usize,
    records: u64,
    share_changes: u64,
    scalings: u64,
    short_seconds_max: u64,
    waiting_seconds_max: u64,
    players_max: u32,
}

impl Totals {
    fn add(&mut self, trace: &Trace) {
        self.seeds += 1;
        self.seconds += trace.samples.len() as u64;
        for shock in Shock::ALL {
            *self.shocks.entry(shock.name()).or_default() += trace.count(shock);
        }
        self.views += trace.views.len();
        self.records += trace.records;
        self.share_changes += trace.share_changes;
        self.scalings += trace.scalings;
        self.short_seconds_max = self.short_seconds_max.max(trace.short_seconds_max);
        self.waiting_seconds_max = self.waiting_seconds_max.max(trace.waiting_seconds_max);
        let players = trace.samples.iter().map(|sample| sample.playing + sample.waiting).max();
        self.players_max = self.players_max.max(players.unwrap_or_default());
    }
}

#[expect(clippy::print_stdout, reason = "what it is for")]
fn main() -> Result<()> {
    let args = Args::parse();
    let mut totals = Totals { regions: args.regions, ..Totals::default() };
    for seed in (args.seed..).take(args.seeds as usize) {
        let plan = Plan {
            seed,
            regions: args.regions.into(),
            shocks: args.shocks.into(),
            calm_seconds: args.calm_seconds.into(),
            has_days: true,
            mutation: None,
        };
        let trace = run(plan).with_context(|| format!("{} regions, seed {seed}", args.regions))?;
        if let Some(path) = args.svg.as_ref().filter(|_| seed == args.seed) {
            let title = format!("{} regions, seed {seed}", args.regions);
            fs::write(path, plots::draw(&trace, &title)?)
                .with_context(|| format!("failed to write {}", path.display()))?;
        }
        totals.add(&trace);
    }
    println!("regions: {}", serde_json::to_string(&totals)?);
    Ok(())
}
