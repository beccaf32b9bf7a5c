//! The control thread: everything about a server that may wait.

mod admin;
mod drain_orders;
mod figures;
mod health;
mod metrics;
mod runtime;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use gameserver_contract::{OperatorMessage, Phase, ServerMessage};
use gameserver_sys::process_cpu_time;
use prometheus::Registry;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::report::{DrainView, Heard, Identity, Replies, ReportClient, ReportHandle};
use crate::sessions::{Ask, Sessions};
use crate::signals::{Coming, Signals};
use crate::zone::{Figure, Order, Zones};
use admin::AdminState;
use drain_orders::DrainOrders;
use figures::{Reporter, Standing, phase};
use gameserver_sys::Clock;
pub(crate) use health::Service;
use health::{Health, Sources};
pub(crate) use runtime::block_on;

/// How often the board is looked at: a phase change is reported at most this late.
const LOOK_PERIOD: Duration = Duration::from_millis(50);

/// How often figures are kept for what health says of the last minute.
const SAMPLE_PERIOD: Duration = Duration::from_secs(1);

/// How long zones may take to say goodbye to their players, which is a tick's work.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// Milliseconds between reports that a replica may ask for.
const REPORT_PERIOD_MS: std::ops::RangeInclusive<u32> = 100..=60_000;

/// What the control loop is told at its start.
pub(crate) struct ControlConfig {
    pub(crate) admin: std::net::TcpListener,
    pub(crate) report: Option<(std::net::SocketAddr, Identity)>,
    pub(crate) service: Service,
    pub(crate) drain_deadline: Duration,
    pub(crate) sessions: Sessions,
    pub(crate) signals: Signals,
    pub(crate) clock: Clock,
}

/// Runs the server until a signal and everything after it.
pub(crate) async fn run(config: ControlConfig, zones: Zones) -> anyhow::Result<()> {
    let signals = config.signals.coming().context("failed to listen for signals")?;
    let (stop_admin, admin_stops) = watch::channel(false);
    let (phase_shown, phase_seen) = watch::channel(Phase::Starting);
    let (outdated_shown, outdated) = watch::channel(false);
    let (_, no_streams) = watch::channel(0);
    let files = config.report.as_ref().map_or_else(Vec::new, |(_, identity)| files_of(identity));
    let (client, report) = match config.report {
        Some((endpoint, identity)) => {
            let (client, handle) = ReportClient::new(endpoint, identity, config.clock);
            (Some(tokio::task::spawn_local(client.run())), Some(handle))
        }
        None => (None, None),
    };
    let open_streams = report.as_ref().map(|report| report.open_streams.clone());
    let registry = Registry::new();
    let boards = zones.boards().clone();
    let started = config.clock.unix().saturating_sub(config.clock.monotonic());
    let shown = metrics::Shown { zones: zones.facts(), capacity: config.service.capacity, started };
    let streams = open_streams.clone().unwrap_or(no_streams);
    let collector = metrics::BoardCollector::new(boards.clone(), shown, phase_seen.clone(), streams)?;
    registry.register(Box::new(collector))?;
    let session_metrics = metrics::SessionMetrics::register(&registry)?;
    config.admin.set_nonblocking(true)?;
    let listener = TcpListener::from_std(config.admin).context("failed to serve the admin address")?;
    let health = Arc::new(Health::new(Sources {
        service: config.service,
        boards: boards.clone(),
        zones: zones.facts(),
        phase: phase_seen.clone(),
        outdated,
        streams: open_streams,
        files,
        clock: config.clock,
    }));
    let state = AdminState::new(registry, Arc::clone(&health), boards, phase_seen, config.clock);
    let admin = tokio::task::spawn_local(admin::serve(listener, state, admin_stops));

    let mut control = Control {
        reporter: Reporter::new(config.clock.monotonic(), process_cpu_time()),
        zones,
        is_drained: false,
        report,
        report_timer: every(Duration::from_secs(1)),
        orders: DrainOrders::default(),
        sessions: config.sessions,
        session_metrics,
        streams: Vec::new(),
        phase: phase_shown,
        outdated: outdated_shown,
        reached_at: None,
        health,
        clock: config.clock,
        drain_deadline: config.drain_deadline,
        ends_at: None,
    };
    let outcome = control.until_ended(signals).await;
    control.say_stopped();
    let Control { zones, report, .. } = control;
    drop(report);
    if let Some(client) = client {
        client.await.context("the report client panicked")?;
    }
    stop_admin.send_replace(true);
    admin.await.context("the admin endpoint panicked")??;
    zones.end()?;
    outcome
}

/// What is read at each connect to an operator.
fn files_of(identity: &Identity) -> Vec<PathBuf> {
    vec![identity.ca_file.clone(), identity.token_file.clone()]
}

struct Control {
    zones: Zones,
    /// Whether the drain is complete that was ordered last, as of the newest look.
    is_drained: bool,
    report: Option<ReportHandle>,
    report_timer: Interval,
    reporter: Reporter,
    orders: DrainOrders,
    sessions: Sessions,
    session_metrics: metrics::SessionMetrics,
    /// Those that were welcomed, until they are seen to be gone.
    streams: Vec<Replies>,
    phase: watch::Sender<Phase>,
    /// Servers of its Fleet are to be of another template than its own.
    outdated: watch::Sender<bool>,
    /// Where players reach it, by the last that it was told.
    reached_at: Option<IpAddr>,
    health: Arc<Health>,
    clock: Clock,
    drain_deadline: Duration,
    /// When whoever is still here is disconnected; set by the first signal.
    ends_at: Option<Duration>,
}

impl Control {
    async fn until_ended(&mut self, mut signals: Coming) -> anyhow::Result<()> {
        let (mut look, mut sample) = (every(LOOK_PERIOD), every(SAMPLE_PERIOD));
        loop {
            tokio::select! {
                () = signals.next() => self.signalled(),
                Some(message) = hear(self.report.as_mut()) => self.heard(message),
                _ = self.report_timer.tick() => self.send_report(),
                _ = look.tick() => self.look(),
                _ = sample.tick() => self.health.sample(),
            }
            if self.zones.any_finished() {
                // on its own: why is what `join` says. The players of the others are told goodbye
                self.stop_zones().await;
                return Ok(());
            }
            if self.ends_at.is_some_and(|end| self.clock.monotonic() >= end || self.is_empty_for_good()) {
                self.say_who_is_left();
                self.stop_zones().await;
                return Ok(());
            }
        }
    }

    fn signalled(&mut self) {
        let now = self.clock.monotonic();
        if self.ends_at.is_some() {
            tracing::info!("second signal: stopping at once");
            self.ends_at = Some(now);
            return;
        }
        tracing::info!(players = self.players(), "draining before the end");
        self.ends_at = Some(now.saturating_add(self.drain_deadline));
        let order = self.orders.terminate();
        self.carry_out(order);
    }

    fn heard(&mut self, Heard { message, stream }: Heard) {
        match message {
            OperatorMessage::Welcome(welcome) => {
                if welcome.allocates {
                    stream.say(self.sessions.holding());
                    self.streams.retain(|stream| !stream.is_gone());
                    self.streams.push(stream);
                }
                if !welcome.tells_outdated {
                    self.told_outdated(false);
                }
                // a replica that says nothing of it may only not know the node yet, or the word
                if let Some(address) = welcome.reached_at {
                    self.reached_at = Some(address);
                    self.zones.tell(Order::ReachedAt(address));
                }
                self.zones.tell(Order::InstallKey(welcome.server_key));
                let period_ms =
                    welcome.report_period_ms.clamp(*REPORT_PERIOD_MS.start(), *REPORT_PERIOD_MS.end());
                let period = Duration::from_millis(period_ms.into());
                if period != self.report_timer.period() {
                    self.report_timer = every(period);
                }
            }
            OperatorMessage::Drain { order } => {
                tracing::info!(order, "ordered to drain");
                let order = self.orders.drain(order);
                self.carry_out(order);
            }
            OperatorMessage::Undrain { order } => {
                tracing::info!(order, "the drain is taken back");
                let order = self.orders.undrain(order);
                self.carry_out(order);
            }
            OperatorMessage::Outdated { is_outdated } => self.told_outdated(is_outdated),
            OperatorMessage::Greet { reign } => self.asked(Ask::Greet { reign }, &stream),
            OperatorMessage::Propose { reign, key } => self.asked(Ask::Propose { reign, key }, &stream),
            OperatorMessage::Release { reign, key } => self.asked(Ask::Release { reign, key }, &stream),
            OperatorMessage::Replicas { .. } | OperatorMessage::Refused { .. } => {}
        }
    }

    /// Whether servers of its Fleet are to be of another template: it takes no further session then.
    fn told_outdated(&mut self, is_outdated: bool) {
        if self.outdated.send_if_modified(|shown| std::mem::replace(shown, is_outdated) != is_outdated) {
            if is_outdated {
                tracing::info!(
                    "outdated: servers are to be of another template, and no further session is taken"
                );
            } else {
                tracing::info!("not outdated any more");
            }
            self.session_metrics.outdated.set(is_outdated.into());
            self.send_report();
        }
    }

    /// An allocator asks. What cannot be saved is not said: the stream ends, and it asks somebody else.
    fn asked(&mut self, ask: Ask, stream: &Replies) {
        let before = self.sessions.count();
        let is_open = !self.orders.is_draining() && !*self.outdated.borrow();
        match self.sessions.ask(self.clock.monotonic(), ask, is_open) {
            Ok(said) => said.into_iter().for_each(|said| stream.say(said)),
            Err(error) => {
                tracing::error!(
                    error = error.to_string(),
                    cause = cause(&error),
                    "an allocator gets no answer"
                );
                stream.end();
            }
        }
        if self.sessions.count() != before {
            self.send_report();
        }
    }

    /// Ends the sessions for which nobody came or is here any more.
    fn end_sessions(&mut self) {
        let over = match self.sessions.look(self.clock.monotonic(), self.players()) {
            Ok(over) => over,
            // it is looked at again soon; each time would be too often to say
            Err(error) => {
                return tracing::debug!(
                    error = error.to_string(),
                    cause = cause(&error),
                    "a session cannot end"
                );
            }
        };
        for (key, end) in &over {
            tracing::info!(session = &**key, why = end.as_str(), "a session is over");
            self.session_metrics.ended.with_label_values(&[end.as_str()]).inc();
            for stream in &self.streams {
                stream.say(ServerMessage::Over { key: key.clone() });
            }
        }
        if !over.is_empty() {
            self.send_report();
        }
    }

    /// Players of all zones.
    fn players(&self) -> u64 {
        self.zones.boards().sum(Figure::Players)
    }

    /// A drain was ordered or taken back.
    fn carry_out(&mut self, order: Option<Order>) {
        if let Some(order) = order {
            self.zones.tell(order);
        }
        self.look();
    }

    /// Tells zones what they had no room for, and publishes what changed: the phase at once, a completed drain to every
    /// stream.
    fn look(&mut self) {
        self.is_drained = self.zones.look();
        let phase = phase(self.zones.boards(), self.orders.is_draining(), false);
        let changed = self.phase.send_if_modified(|shown| std::mem::replace(shown, phase) != phase);
        if changed {
            tracing::info!(?phase, "phase");
            self.send_report();
        }
        if let Some(report) = &self.report {
            let order = self.orders.in_force();
            // who is to come for a session has a token that is younger than the drain
            let is_over = self.is_drained && self.sessions.count() == 0;
            let view = DrainView { order, acked: order.filter(|_| is_over) };
            report.drain.send_if_modified(|shown| std::mem::replace(shown, view) != view);
        }
        self.end_sessions();
        self.session_metrics.held.set(self.sessions.count().into());
    }

    fn send_report(&mut self) {
        let Some(report) = &self.report else { return };
        let now = (self.clock.monotonic(), process_cpu_time());
        let standing = Standing {
            phase: *self.phase.borrow(),
            newest_order: self.orders.newest(),
            sessions: self.sessions.count(),
            outdated: *self.outdated.borrow(),
            reached_at: self.reached_at,
        };
        let message = self.reporter.report(now, self.zones.boards(), standing);
        // an error says that no stream is open
        let _streams = report.reports.send(Arc::new(message));
    }

    /// Nobody is here and nobody can come: with an operator, no token is left either; without one nobody is owed
    /// anything but to whom is here.
    fn is_empty_for_good(&self) -> bool {
        self.is_drained || (self.report.is_none() && self.zones.are_empty())
    }

    fn say_who_is_left(&self) {
        let players = self.players();
        if players > 0 {
            tracing::warn!(players, "the drain deadline is over: disconnecting who is left");
        }
    }

    /// Has all zones say goodbye and end; one that does not is left behind, or nobody would hear why the process ends.
    async fn stop_zones(&mut self) {
        self.zones.tell(Order::Stop);
        let mut retry = every(LOOK_PERIOD);
        let until = self.clock.monotonic().saturating_add(STOP_LIMIT);
        while !self.zones.all_finished() && self.clock.monotonic() < until {
            retry.tick().await;
            self.zones.look();
        }
    }

    fn say_stopped(&mut self) {
        self.phase.send_replace(phase(self.zones.boards(), true, true));
        self.send_report();
        tracing::info!("stopped");
    }
}

/// The next message of an operator; never, for a server without one.
async fn hear(report: Option<&mut ReportHandle>) -> Option<Heard> {
    match report {
        Some(report) => report.inbound.recv().await,
        None => std::future::pending().await,
    }
}

fn cause(error: &dyn std::error::Error) -> Option<String> {
    error.source().map(ToString::to_string)
}

fn every(period: Duration) -> Interval {
    let mut timer = interval(period);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    timer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sessions::Patience;
    use crate::zone::Fake;
    use gameserver_contract::Backend;

    fn config() -> ControlConfig {
        let service = Service {
            version: "1.2.3",
            contract_version: 1,
            namespace: None,
            game_server: None,
            fleet: None,
            backend: Backend::Memory,
            tick_hz: 64,
            capacity: 10,
        };
        let admin = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let (report, drain_deadline, clock) = (None, Duration::from_secs(3600), Clock::start());
        let patience = Patience { join: drain_deadline, linger: drain_deadline };
        let sessions = Sessions::open(clock.monotonic(), None, "", 1, patience);
        let signals = Signals::listen().unwrap();
        ControlConfig { admin, report, service, drain_deadline, sessions, signals, clock }
    }

    #[test]
    fn a_zone_that_ends_by_itself_ends_the_others_and_the_process_says_which_it_was() {
        let _no_signals = crate::signals::ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (tell, told) = std::sync::mpsc::channel();
        let fakes = [Fake::Tells(tell.clone()), Fake::Fails, Fake::Tells(tell)];
        let (ended, outcome) = std::sync::mpsc::channel();
        // on a thread of its own, so that one that goes on fails this test and does not hold it up
        let _detached = std::thread::spawn(move || {
            let zones = Zones::fake(&fakes).unwrap();
            ended.send(block_on(run(config(), zones)).unwrap()).unwrap();
        });
        let outcome = outcome.recv_timeout(Duration::from_secs(20)).expect("it ends");
        assert_eq!(outcome.unwrap_err().to_string(), "zone 1 failed");
        let mut told: Vec<_> = told.try_iter().collect();
        told.sort();
        assert_eq!(
            told,
            [0, 2].map(|zone| (zone, "Stop".to_owned())),
            "players of the others are told goodbye"
        );
    }
}
