//! `up` and `status`.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::bots;
use crate::checkout::Checkout;
use crate::clock;
use crate::cluster::{self, REGION_IDS};
use crate::deploy::{self, References};
use crate::engine::{self, Engine, Surroundings};
use crate::foreign;
use crate::images::Images;
use crate::lock::Lock;
use crate::node_image;
use crate::observe::{self, Output, Overview};
use crate::packages;
use crate::process;
use crate::progress::{Progress, seconds};
use crate::state::{State, ids};
use crate::tools::{self, Tools};
use crate::view;

/// How long players may take to be in all regions after everything is installed.
const PLAYERS_LIMIT: Duration = Duration::from_secs(180);

/// Players over all regions, if nobody says otherwise.
pub(crate) const PLAYERS: u32 = 600;

/// `cargo xtask up`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Install missing Debian packages without a question
    #[arg(long)]
    yes: bool,
    /// Nodes a region: 1, or 3 so that each zone has one
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=3))]
    nodes: u8,
    /// End once players are in all regions, instead of showing them live; everything stays up
    #[arg(long)]
    once: bool,
    /// What `--once` prints
    #[arg(long, value_enum, default_value_t = Output::Text, requires = "once")]
    output: Output,
    /// Players over all regions
    #[arg(long, default_value_t = PLAYERS)]
    players: u32,
    #[command(flatten, next_help_heading = "On clusters that exist")]
    foreign: foreign::Args,
}

/// `cargo xtask status`
#[derive(Debug, clap::Args)]
pub(crate) struct StatusArgs {
    /// How it is printed
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// Show it live
    #[arg(long, conflicts_with = "output")]
    watch: bool,
}

impl Default for Args {
    fn default() -> Self {
        Self {
            yes: true,
            nodes: 1,
            once: true,
            output: Output::Text,
            players: PLAYERS,
            foreign: foreign::Args::default(),
        }
    }
}

/// Brings everything up, or what is missing of it, and shows it.
pub(crate) fn run(args: &Args) -> Result<()> {
    let checkout = Checkout::locate()?;
    let (surroundings, state) = {
        let _lock = Lock::instance(&checkout, "cargo xtask up")?;
        let progress = Progress::new();
        let (surroundings, state, overview) = bring_up(&checkout, args, &progress)?;
        progress.say(&format!("players in {} after {}", ids(&state.regions), seconds(progress.elapsed())));
        drop(progress);
        if args.once {
            return show(&overview, &surroundings, &state, args.output);
        }
        (surroundings, state)
    };
    view::run(&checkout, &surroundings, &state)
}

/// Makes what is missing and waits until there are players in every region.
pub(crate) fn bring_up(
    checkout: &Checkout,
    args: &Args,
    progress: &Progress,
) -> Result<(Surroundings, State, Overview)> {
    let (surroundings, state) = if args.foreign.is_given() {
        converge_foreign(checkout, args, progress)
    } else {
        converge_local(checkout, args, progress)
    }?;
    let waited = format!("players in {}", ids(&state.regions));
    let overview = progress
        .step(&waited, |step| await_players(checkout, &surroundings, &state, |text| step.note(text)))?;
    Ok((surroundings, state, overview))
}

/// Prints what runs now.
pub(crate) fn status(args: &StatusArgs) -> Result<()> {
    let checkout = Checkout::locate()?;
    let Some(state) = State::load(&checkout)? else {
        bail!("nothing is up for this checkout ({}); `cargo xtask up` starts it", checkout.instance);
    };
    checkout.claim()?;
    let surroundings = Surroundings::new(&checkout, state.engine, &Tools::built(&checkout)?)?;
    if args.watch {
        return view::run(&checkout, &surroundings, &state);
    }
    show(
        &observe::overview(&checkout, &surroundings, &state, observe::LOOK_LIMIT),
        &surroundings,
        &state,
        args.output,
    )
}

/// Prints what runs; people are told how to look further.
fn show(overview: &Overview, surroundings: &Surroundings, state: &State, output: Output) -> Result<()> {
    observe::print(overview, output)?;
    if output == Output::Text {
        print!("\n{}", surroundings.way_in(&state.regions));
    }
    Ok(())
}

/// `cargo xtask tools`: everything that is built once, also what only tests need.
pub(crate) fn prepare() -> Result<()> {
    let checkout = Checkout::locate()?;
    let progress = Progress::new();
    ground(&checkout, true, &progress)?;
    tools::build_metrics_server(&checkout, &progress)?;
    tools::build_terraform(&checkout, &progress)?;
    Ok(())
}

/// Everything that local regions stand on: packages, tools, node image.
pub(crate) fn ground(checkout: &Checkout, yes: bool, progress: &Progress) -> Result<(Surroundings, String)> {
    let engine = Engine::choose()?;
    packages::ensure(checkout, engine, yes, progress)?;
    engine::prepare_host()?;
    let tools = Tools::build(checkout, progress)?;
    let surroundings = Surroundings::new(checkout, engine, &tools)?;
    let node_image = node_image::ensure(checkout, &surroundings, progress)?;
    Ok((surroundings, node_image))
}

fn converge_local(checkout: &Checkout, args: &Args, progress: &Progress) -> Result<(Surroundings, State)> {
    let (surroundings, node_image) = ground(checkout, args.yes, progress)?;
    let state = State {
        engine: surroundings.engine,
        nodes: args.nodes,
        regions: REGION_IDS.iter().map(|id| cluster::planned(checkout, id)).collect(),
    };
    keep_shape(checkout, &state)?;
    state.save(checkout)?;
    // what compiles and what boots do not wait for each other
    let images = Images::build_beside(checkout, progress, || {
        cluster::ensure_all(checkout, &surroundings, progress, &state.regions, args.nodes, &node_image)
    })?;
    images.offer(checkout)?;
    let references = References {
        operator: images.operator.reference.clone(),
        gameserver: images.gameserver.reference.clone(),
    };
    cluster::in_parallel(&state.regions, |_, region| {
        progress.step(&format!("install in {}", region.id), |_| {
            cluster::load(checkout, &surroundings, region, &images.archives())?;
            deploy::install(checkout, &surroundings, region, &references)
        })
    })?;
    progress.step("join the pod networks", |_| cluster::route(checkout, &surroundings, &state.regions))?;
    start_players(checkout, &surroundings, &state, args.players, &images.bots, progress)?;
    progress
        .step("join the regions", |_| deploy::join(checkout, &state.regions, &images.operator_program))?;
    Ok((surroundings, state))
}

fn converge_foreign(checkout: &Checkout, args: &Args, progress: &Progress) -> Result<(Surroundings, State)> {
    packages::ensure_go(checkout)?;
    let tools = Tools::build(checkout, progress)?;
    let engine = Engine::choose()?;
    let surroundings = Surroundings::new(checkout, engine, &tools)?;
    let state = State { engine, nodes: 0, regions: args.foreign.regions(checkout)? };
    keep_shape(checkout, &state)?;
    for region in &state.regions {
        foreign::reach(checkout, &surroundings, region)?;
    }
    state.save(checkout)?;
    let images = Images::build(checkout, progress)?;
    images.offer(checkout)?;
    let references = args.foreign.references(&images);
    for region in &state.regions {
        progress.step(&format!("install in {}", region.id), |_| {
            args.foreign.load(checkout, &surroundings, region, &images)?;
            deploy::install(checkout, &surroundings, region, &references)
        })?;
    }
    start_players(checkout, &surroundings, &state, args.players, &images.bots, progress)?;
    Ok((surroundings, state))
}

pub(crate) fn start_players(
    checkout: &Checkout,
    surroundings: &Surroundings,
    state: &State,
    players: u32,
    program: &Path,
    progress: &Progress,
) -> Result<()> {
    progress.step("start the players", |_| bots::start(checkout, surroundings, state, players, program))?;
    cluster::in_parallel(&state.regions, |_, region| {
        progress.step(&format!("operator in {}", region.id), |_| {
            deploy::await_operator(checkout, surroundings, region)
        })
    })
}

/// Waits until every region has players; the bots' last words are the reason if it does not come to that.
pub(crate) fn await_players(
    checkout: &Checkout,
    surroundings: &Surroundings,
    state: &State,
    tell: impl Fn(&str),
) -> Result<Overview> {
    let found = clock::poll(PLAYERS_LIMIT, Duration::from_millis(500), || {
        let overview = observe::overview(checkout, surroundings, state, observe::WAIT_LIMIT);
        tell(&overview.counts());
        overview.has_players_everywhere().then_some(overview)
    });
    found.with_context(|| {
        format!(
            "after {} there are still no players in every region ({}).\nThe bots' last words:\n{}\n\
             To look further: cargo xtask status; logs are in {}",
            seconds(PLAYERS_LIMIT),
            observe::overview(checkout, surroundings, state, observe::WAIT_LIMIT).counts(),
            process::tail(&bots::last_words(checkout)),
            checkout.state().join("logs").display()
        )
    })
}

/// An instance does not change its engine, its nodes or its kind of clusters while it is up.
fn keep_shape(checkout: &Checkout, planned: &State) -> Result<()> {
    match State::load(checkout)? {
        Some(present) if present != *planned => bail!(
            "this checkout is already up in another shape ({} nodes a region, {}); take it down first: cargo xtask down",
            present.nodes,
            ids(&present.regions)
        ),
        _ => Ok(()),
    }
}
