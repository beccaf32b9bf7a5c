//! One measured stretch of bots on one server.

use std::rc::Rc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use anyhow::{Context, ensure};
use gameserver_sys::{Clock, pin_current_thread, run_current_thread_first};
use serde_json::{Value, json};

use super::server::Server;
use super::{Cpus, jain};
use crate::bot::{Place, Play};
use crate::flood;
use crate::swarm::{Swarm, Ticket};

/// Within which everyone must have joined.
const JOIN_LIMIT: Duration = Duration::from_secs(30);
/// Between the last join and the measuring.
const WARM_UP: Duration = Duration::from_secs(1);
/// The same for those who play just in time: while a thousand join inputs are held up, and clients are told to be earlier for a while.
const WARM_UP_IN_PHASE: Duration = Duration::from_secs(8);
/// Joins at a time, so that a handshake burst is not what is measured.
const JOINS_A_TURN: u32 = 10;

/// Who plays how for how long, and what else comes in.
#[derive(Clone, Debug)]
pub(super) struct Trial {
    /// As whose figures they count.
    pub(super) name: String,
    pub(super) players: u32,
    pub(super) play: Play,
    pub(super) duration: Duration,
    /// Garbage that comes in from the warm-up on.
    pub(super) flood: Option<flood::Plan>,
}

impl Trial {
    /// Plays, and returns the figures.
    pub(super) fn run(&self, server: &Server, ticket: Ticket, cpus: Cpus) -> anyhow::Result<Value> {
        // a thread of its own, because a server inherits the CPUs of whoever starts it
        std::thread::scope(|scope| {
            let (joined, all_joined) = channel();
            let played = scope.spawn(move || {
                pin_current_thread(cpus.bots).context("failed to pin the bots")?;
                // what else the machine does on the bots' CPU would show as their lateness
                if let Err(error) = run_current_thread_first() {
                    tracing::warn!(%error, "the bots share their CPU as everybody does");
                }
                self.play(server, ticket, &joined)
            });
            // beside the bots and after them: from here, so that it does not run before everything else as they do
            let flood = match (self.flood, all_joined.recv()) {
                (Some(plan), Ok(())) => {
                    let plan = plan.lasting(self.warm_up() + self.duration);
                    Some(plan.start(server.address, &server.key_file, cpus.flood)?)
                }
                _ => None,
            };
            let mut figures = played.join().map_err(|_panic| anyhow::anyhow!("the bots panicked"))??;
            if let Some(flood) = flood {
                figures["flood"] = flood.finish()?;
            }
            Ok(figures)
        })
    }

    fn warm_up(&self) -> Duration {
        if self.play.is_in_phase { WARM_UP_IN_PHASE } else { WARM_UP }
    }

    fn play(&self, server: &Server, ticket: Ticket, joined: &Sender<()>) -> anyhow::Result<Value> {
        let clock = Clock::start();
        let mut swarm = Swarm::new(1, self.play, clock)?;
        self.join(&mut swarm, server, ticket, clock)?;
        // nobody waits for this any more only when the run is given up
        let _told = joined.send(());
        play_for(&mut swarm, clock, self.warm_up())?;
        let scraped = server.scrape()?;
        swarm.turn()?;
        swarm.stats[0].start_measuring();
        let applied = swarm.applied();
        let (before, cpu_before, begun) = (swarm.stats[0].totals, server.cpu_time()?, clock.monotonic());
        play_for(&mut swarm, clock, self.duration)?;
        let elapsed = clock.monotonic().saturating_sub(begun);
        let cpu = server.cpu_time()?.saturating_sub(cpu_before);
        let mut figures = swarm.stats[0].summary();
        figures["server"] = json!(self.name);
        figures["server_cpu_percent"] = json!(100.0 * cpu.as_secs_f64() / elapsed.as_secs_f64());
        let totals = swarm.stats[0].totals;
        let (inputs, answers) = (totals.inputs - before.inputs, swarm.stats[0].measured.latency_us.len());
        figures["measured_inputs"] = json!(inputs);
        // what is never answered has no latency
        figures["answered_percent"] = json!(percent(answers, inputs));
        let snapshots = totals.snapshots - before.snapshots;
        figures["snapshots_hz"] = json!(self.snapshots_hz(snapshots, elapsed));
        // without UDP and IP
        figures["snapshot_bytes"] = json!((totals.snapshot_bytes - before.snapshot_bytes) / snapshots.max(1));
        let shares: Vec<_> =
            swarm.applied().iter().zip(&applied).map(|(after, before)| after - before).collect();
        figures["jain"] = json!(jain(&shares));
        if let (Some(before), Some(after)) = (scraped, server.scrape()?) {
            figures["zone"] = after.since(&before).figures(self.play.tick_hz);
        }
        swarm.leave_all();
        Ok(figures)
    }

    /// Of each player.
    #[expect(clippy::cast_precision_loss, reason = "snapshots of a run are a small number")]
    fn snapshots_hz(&self, snapshots: u64, elapsed: Duration) -> f64 {
        snapshots as f64 / f64::from(self.players.max(1)) / elapsed.as_secs_f64()
    }

    fn join(&self, swarm: &mut Swarm, server: &Server, ticket: Ticket, clock: Clock) -> anyhow::Result<()> {
        let place = Place { region: 0, server: Rc::from(self.name.as_str()) };
        let mut sent = 0;
        while swarm.stats[0].totals.joins < u64::from(self.players) {
            for _ in 0..JOINS_A_TURN.min(self.players - sent) {
                swarm.join(place.clone(), server.address, ticket)?;
                sent += 1;
            }
            swarm.turn()?;
            let joined = swarm.stats[0].totals.joins;
            ensure!(clock.monotonic() < JOIN_LIMIT, "only {joined} of {} bots joined", self.players);
        }
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "inputs of a run are a small number")]
fn percent(part: u64, whole: u64) -> f64 {
    100.0 * part as f64 / whole.max(1) as f64
}

fn play_for(swarm: &mut Swarm, clock: Clock, duration: Duration) -> anyhow::Result<()> {
    let end = clock.monotonic() + duration;
    while clock.monotonic() < end {
        swarm.turn()?;
    }
    Ok(())
}
