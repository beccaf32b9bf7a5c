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
use crate::images::Images;
use crate::lock::Lock;
use crate::node_image;
use crate::observe::{self, Overview};
use crate::packages;
use crate::process;
use crate::progress::{Progress, seconds};
use crate::state::{Region, State};
use crate::tools::{self, Tools};
use crate::view;

/// How long players may take to be in all regions after everything is installed.
const PLAYERS_LIMIT: Duration = Duration::from_secs(180);

/// Players over all regions, if nobody says otherwise.
const PLAYERS: u32 = 600;

/// How something is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Output {
    /// For people
    Text,
    /// One JSON object
    Json,
}

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
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// Use this existing cluster for a region and create none: `kr=CONTEXT`, or `CONTEXT` for the next of kr, jp, sg (repeatable)
    #[arg(long = "context", value_name = "[REGION=]CONTEXT")]
    contexts: Vec<String>,
    /// Operator image that clusters given by --context can pull
    #[arg(long, requires = "contexts", value_name = "IMAGE")]
    operator_image: Option<String>,
    /// Game server image that clusters given by --context can pull
    #[arg(long, requires = "contexts", value_name = "IMAGE")]
    gameserver_image: Option<String>,
    /// Players over all regions
    #[arg(long, default_value_t = PLAYERS)]
    players: u32,
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
            contexts: Vec::new(),
            operator_image: None,
            gameserver_image: None,
            players: PLAYERS,
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
    let (surroundings, state) = if args.contexts.is_empty() {
        converge_local(checkout, args, progress)
    } else {
        converge_foreign(checkout, args, progress)
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
    show(&observe::overview(&checkout, &surroundings, &state), &surroundings, &state, args.output)
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
    let (built, clusters) = std::thread::scope(|scope| {
        let built = scope.spawn(|| Images::build(checkout, progress));
        let clusters =
            cluster::ensure_all(checkout, &surroundings, progress, &state.regions, args.nodes, &node_image);
        (built.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), clusters)
    });
    clusters?;
    let images = built?;
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
    Ok((surroundings, state))
}

fn converge_foreign(checkout: &Checkout, args: &Args, progress: &Progress) -> Result<(Surroundings, State)> {
    packages::ensure_go(checkout)?;
    let tools = Tools::build(checkout, progress)?;
    let engine = Engine::choose()?;
    let surroundings = Surroundings::new(checkout, engine, &tools)?;
    let state = State { engine, nodes: 0, regions: foreign_regions(checkout, &args.contexts)? };
    keep_shape(checkout, &state)?;
    for region in &state.regions {
        write_kubeconfig(&surroundings, region)?;
        deploy::refuse_strangers(checkout, &surroundings, region)?;
    }
    state.save(checkout)?;
    let images = Images::build(checkout, progress)?;
    let references = References {
        operator: args.operator_image.clone().unwrap_or_else(|| images.operator.reference.clone()),
        gameserver: args.gameserver_image.clone().unwrap_or_else(|| images.gameserver.reference.clone()),
    };
    for region in &state.regions {
        progress.step(&format!("install in {}", region.id), |_| {
            if args.operator_image.is_none() || args.gameserver_image.is_none() {
                load_foreign(checkout, &surroundings, region, &images)?;
            }
            deploy::install(checkout, &surroundings, region, &references)
        })?;
    }
    start_players(checkout, &surroundings, &state, args.players, &images.bots, progress)?;
    Ok((surroundings, state))
}

/// Puts our images into a kind cluster that somebody else made.
fn load_foreign(
    checkout: &Checkout,
    surroundings: &Surroundings,
    region: &Region,
    images: &Images,
) -> Result<()> {
    let context = region.context.as_deref().unwrap_or_default();
    let Some(cluster) = context.strip_prefix("kind-") else {
        bail!(
            "{context} is no kind cluster, so images cannot be put into it: push {} and {} to a registry that it can pull from, \
             and name them by --operator-image and --gameserver-image",
            images.operator.archive.display(),
            images.gameserver.archive.display()
        );
    };
    let local = Region { cluster: Some(cluster.to_owned()), ..region.clone() };
    cluster::load(checkout, surroundings, &local, &images.archives())
}

fn start_players(
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
fn await_players(
    checkout: &Checkout,
    surroundings: &Surroundings,
    state: &State,
    tell: impl Fn(&str),
) -> Result<Overview> {
    let found = clock::poll(PLAYERS_LIMIT, Duration::from_millis(500), || {
        let overview = observe::overview(checkout, surroundings, state);
        tell(&overview.counts());
        overview.has_players_everywhere().then_some(overview)
    });
    found.with_context(|| {
        format!(
            "after {} there are still no players in every region ({}).\nThe bots' last words:\n{}\n\
             To look further: cargo xtask status; logs are in {}",
            seconds(PLAYERS_LIMIT),
            observe::overview(checkout, surroundings, state).counts(),
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

/// The regions that `--context` names; no two have the same id.
fn foreign_regions(checkout: &Checkout, contexts: &[String]) -> Result<Vec<Region>> {
    let mut regions: Vec<Region> = Vec::new();
    for (index, argument) in contexts.iter().enumerate() {
        let (id, context) = region_of(argument, index)?;
        if let Some(other) = regions.iter().find(|region| region.id == id) {
            let first = other.context.as_deref().unwrap_or_default();
            bail!("--context names region {id} twice, as {first} and as {context}: write REGION=CONTEXT");
        }
        let kubeconfig = checkout.state().join(format!("{id}.kubeconfig"));
        regions.push(Region { id, kubeconfig, cluster: None, context: Some(context) });
    }
    Ok(regions)
}

/// Region id and context of one `--context`.
fn region_of(argument: &str, index: usize) -> Result<(String, String)> {
    if let Some((id, context)) = argument.split_once('=') {
        return Ok((id.to_owned(), context.to_owned()));
    }
    let id = REGION_IDS
        .get(index)
        .with_context(|| format!("name the region of context {argument}: REGION={argument}"))?;
    Ok(((*id).to_owned(), argument.to_owned()))
}

/// One file with this context alone, so that everything after it treats all regions alike.
fn write_kubeconfig(surroundings: &Surroundings, region: &Region) -> Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut kubectl = surroundings.command("kubectl");
    match std::env::var_os("KUBECONFIG") {
        Some(own) => kubectl.env("KUBECONFIG", own),
        None => kubectl.env_remove("KUBECONFIG"),
    };
    let text = process::output(kubectl.args([
        "config",
        "view",
        "--minify",
        "--flatten",
        "--raw",
        "--context",
        region.context.as_deref().unwrap_or_default(),
    ]))?;
    if let Some(directory) = region.kubeconfig.parent() {
        std::fs::create_dir_all(directory)
            .with_context(|| format!("failed to create {}", directory.display()))?;
    }
    std::fs::OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&region.kubeconfig)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("failed to write {}", region.kubeconfig.display()))
}

/// Their ids, as in a sentence.
pub(crate) fn ids(regions: &[Region]) -> String {
    regions.iter().map(|region| region.id.as_str()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_names_its_region_or_takes_the_next() {
        assert_eq!(region_of("eu=prod", 0).unwrap(), ("eu".to_owned(), "prod".to_owned()));
        assert_eq!(region_of("prod", 1).unwrap(), ("jp".to_owned(), "prod".to_owned()));
    }

    #[test]
    fn no_region_is_named_twice() {
        let checkout = Checkout::locate().unwrap();
        let contexts = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let regions = foreign_regions(&checkout, &contexts(&["a", "eu=b"])).unwrap();
        assert_eq!(regions.iter().map(|region| region.id.as_str()).collect::<Vec<_>>(), ["kr", "eu"]);
        let refusal = foreign_regions(&checkout, &contexts(&["a", "kr=b"])).unwrap_err().to_string();
        assert!(refusal.contains("region kr twice, as a and as b"), "{refusal}");
    }

    #[test]
    fn a_fourth_context_without_a_region_is_refused() {
        assert!(region_of("prod", 3).is_err());
    }
}
