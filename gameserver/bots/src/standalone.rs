//! `bots server`: play on one server.

use std::collections::BTreeMap;
use std::io::Write;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, bail};
use gameserver_sys::Clock;

use crate::args::{PlayArgs, ServerArgs};
use crate::bot::{Place, Play};
use crate::course::Course;
use crate::ramp::Ramp;
use crate::stats::LineHead;
use crate::stats_file::StatsFile;
use crate::stop::StopSignal;
use crate::swarm::{Swarm, Ticket};

/// How often bots are sent or called back.
const DIRECT_PERIOD: Duration = Duration::from_millis(20);
const REGION: &str = "local";

impl From<PlayArgs> for Play {
    fn from(args: PlayArgs) -> Self {
        let PlayArgs { input_hz, in_phase, tick_hz } = args;
        let input_period = Duration::from_secs(1) / input_hz;
        Self { input_period, tick_hz, is_in_phase: in_phase, inputs_at_once: 1 }
    }
}

pub(crate) fn run(args: &ServerArgs) -> anyhow::Result<()> {
    let (address, key) = (args.server.address, args.server.key()?);
    let stop = StopSignal::listen().context("failed to listen for signals")?;
    let mut file =
        args.stats.as_deref().map(StatsFile::open).transpose().context("failed to open the stats file")?;
    let clock = Clock::start();
    let mut swarm = Swarm::new(1, args.play.into(), clock).context("failed to set up polling")?;
    let forever = Duration::from_secs(u64::from(u32::MAX));
    let hold = args.duration.map_or(forever, |duration| duration.saturating_sub(args.ramp_up));
    let ramp = Ramp { players: args.players, up: args.ramp_up, hold, down: Duration::ZERO, cycle: false };
    let place = Place { region: 0, server: Rc::from(address.to_string()) };

    let direct = |swarm: &mut Swarm, target| {
        let bots = swarm.census(0).values().map(|census| census.bots).sum::<u32>();
        (bots..target).try_for_each(|_| swarm.join(place.clone(), address, Ticket::Key(key.0)))
    };
    let record = |swarm: &mut Swarm, target| {
        let census = swarm.census(0);
        let servers: BTreeMap<_, _> =
            census.into_iter().map(|(name, census)| (name, census.playing)).collect();
        let head = LineHead { region: REGION, unix: clock.unix(), target, servers: &servers };
        let line = swarm.stats[0].take_line(&head);
        tracing::info!("{line}");
        match &mut file {
            Some(file) => file.append(&line).context("failed to write the stats file"),
            None => Ok(()),
        }
    };
    Course { ramp, clock, direct_period: DIRECT_PERIOD }.run(&mut swarm, &stop, direct, record)?;
    let stats = &swarm.stats[0];
    writeln!(std::io::stdout(), "{}", stats.summary()).context("failed to print the summary")?;
    if stats.totals.joins == 0 && stats.totals.refused > 0 {
        bail!(
            "nobody was let in at {address}: nobody listens there, the key is another server's, or it takes nobody"
        );
    }
    Ok(())
}
