//! One measured stretch of bots on one server.

use std::rc::Rc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use anyhow::Context;
use gameserver_sys::{Clock, pin_current_thread, run_current_thread_first};
use serde_json::{Value, json};

use super::failure::Failure;
use super::scrape::Scrape;
use super::server::Server;
use super::{Cpus, jain};
use crate::bot::{Place, Play};
use crate::flood;
use crate::stats::Totals;
use crate::swarm::{Swarm, Ticket};

/// Within which everyone must have joined, where nobody says otherwise.
pub(super) const JOIN_LIMIT: Duration = Duration::from_secs(30);
/// Between the last join and the measuring.
const WARM_UP: Duration = Duration::from_secs(1);
/// The same for those who play just in time: while a thousand join inputs are held up, and clients are told to be earlier for a while.
const WARM_UP_IN_PHASE: Duration = Duration::from_secs(8);
/// How long everyone plays on after what is measured, so that the last inputs are answered too; `bench/peers` gives as much.
const GRACE: Duration = Duration::from_millis(250);
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
    /// Within which everyone must have joined.
    pub(super) join_limit: Duration,
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
                    let plan = plan.lasting(self.warm_up() + self.duration + GRACE);
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
        play_until(&mut swarm, clock, clock.monotonic() + self.warm_up())?;
        let scraped = scrape(server)?;
        swarm.turn()?;
        let before = Mark::take(&swarm, server, clock)?;
        let end = before.at + self.duration;
        swarm.stats[0].measure(before.at..end);
        play_until(&mut swarm, clock, end)?;
        let after = Mark::take(&swarm, server, clock)?;
        let memory_mb = server.memory_mb()?;
        // the server is as loaded while the last answers come as it was before
        play_until(&mut swarm, clock, end + GRACE)?;
        if let Some(how) = server.ended()? {
            return Err(Failure::ServerEnded(how).into());
        }
        let mut figures = self.figures(&swarm, &before, &after);
        figures["server_memory_mb"] = json!(memory_mb);
        if let (Some(before), Some(after)) = (scraped, scrape(server)?) {
            figures["zone"] = after.since(&before).figures(self.play.tick_hz);
        }
        swarm.leave_all();
        Ok(figures)
    }

    /// What the bots saw: inputs by when they were due, the rest between the two marks.
    fn figures(&self, swarm: &Swarm, before: &Mark, after: &Mark) -> Value {
        let elapsed = after.at.saturating_sub(before.at);
        let cpu = after.cpu.saturating_sub(before.cpu);
        let mut figures = swarm.stats[0].summary();
        figures["server"] = json!(self.name);
        figures["server_cpu_percent"] = json!(100.0 * cpu.as_secs_f64() / elapsed.as_secs_f64());
        let measured = &swarm.stats[0].measured;
        let (inputs, answered) = (measured.sent, measured.answered());
        figures["measured"] = json!({ "inputs": inputs, "answered": answered, "lost": measured.lost() });
        // what is never answered has no latency
        figures["answered_percent"] = json!(percent(answered, inputs));
        let snapshots = after.totals.snapshots - before.totals.snapshots;
        figures["snapshots_hz"] = json!(self.snapshots_hz(snapshots, elapsed));
        // without UDP and IP
        let bytes = after.totals.snapshot_bytes - before.totals.snapshot_bytes;
        figures["snapshot_bytes"] = json!(bytes / snapshots.max(1));
        let shares: Vec<_> = after
            .applied
            .iter()
            .zip(&before.applied)
            .map(|(after, before)| after.saturating_sub(*before))
            .collect();
        figures["jain"] = json!(jain(&shares));
        figures
    }

    /// Of each player.
    #[expect(clippy::cast_precision_loss, reason = "snapshots of a run are a small number")]
    fn snapshots_hz(&self, snapshots: u64, elapsed: Duration) -> f64 {
        snapshots as f64 / f64::from(self.players.max(1)) / elapsed.as_secs_f64()
    }

    fn join(&self, swarm: &mut Swarm, server: &Server, ticket: Ticket, clock: Clock) -> anyhow::Result<()> {
        let place = Place { region: 0, server: Rc::from(self.name.as_str()) };
        let mut sent = 0;
        loop {
            let joined = swarm.stats[0].totals.joins;
            if joined >= u64::from(self.players) {
                return Ok(());
            }
            let is_over = clock.monotonic() >= self.join_limit;
            let failure = Failure::while_joining(joined, self.players, server.ended()?, is_over);
            if let Some(failure) = failure {
                return Err(failure.into());
            }
            for _ in 0..JOINS_A_TURN.min(self.players - sent) {
                swarm.join(place.clone(), server.address, ticket)?;
                sent += 1;
            }
            swarm.turn()?;
        }
    }
}

/// What was counted so far.
struct Mark {
    at: Duration,
    cpu: Duration,
    totals: Totals,
    /// By bot.
    applied: Vec<u64>,
}

impl Mark {
    fn take(swarm: &Swarm, server: &Server, clock: Clock) -> anyhow::Result<Self> {
        let (cpu, totals, applied) = (server.cpu_time()?, swarm.stats[0].totals, swarm.applied());
        Ok(Self { at: clock.monotonic(), cpu, totals, applied })
    }
}

/// Of a server that lets nobody read its figures, however loaded it is, nothing good is known.
fn scrape(server: &Server) -> anyhow::Result<Option<Scrape>> {
    match server.scrape() {
        Ok(scrape) => Ok(scrape),
        Err(error) => {
            Err(Failure::ServerEnded(server.ended()?.unwrap_or_else(|| format!("{error:#}"))).into())
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "inputs of a run are a small number")]
fn percent(part: u64, whole: u64) -> f64 {
    100.0 * part as f64 / whole.max(1) as f64
}

fn play_until(swarm: &mut Swarm, clock: Clock, end: Duration) -> anyhow::Result<()> {
    while clock.monotonic() < end {
        swarm.turn()?;
    }
    Ok(())
}
