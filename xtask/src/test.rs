//! `cargo xtask test`

use anyhow::Result;

use crate::checkout::Checkout;
use crate::cluster::{self, REGION_IDS};
use crate::engine::{self, Engine, Surroundings};
use crate::node_image;
use crate::packages;
use crate::progress::Progress;
use crate::state::State;
use crate::tools::Tools;

/// `cargo xtask test`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(long)]
    fast: bool,
}

/// Clusters alone for now.
pub(crate) fn run(_: &Args) -> Result<()> {
    let checkout = Checkout::locate()?;
    let progress = &Progress::new();
    let engine = Engine::choose()?;
    packages::ensure(&checkout, engine, true, progress)?;
    engine::prepare_host()?;
    let tools = Tools::build(&checkout, progress)?;
    let surroundings = Surroundings::new(&checkout, engine, &tools)?;
    let image = node_image::ensure(&checkout, &surroundings, progress)?;
    let state = State {
        engine,
        nodes: 1,
        regions: REGION_IDS.iter().map(|id| cluster::planned(&checkout, id)).collect(),
    };
    state.save(&checkout)?;
    cluster::ensure_all(&checkout, &surroundings, progress, &state.regions, 1, &image)?;
    progress.step("routes", |_| cluster::route(&checkout, &surroundings, &state.regions))
}
