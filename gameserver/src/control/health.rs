//! `/health`: what somebody who looks at a server first wants to know, check by check.
//!
//! Invariants:
//! - Checks run side by side, each with a deadline: one that hangs is itself `degraded` and delays nobody beyond that.
//! - What may hang (files) is read on threads of its own, a few at most, whatever is asked how often.
//! - Nothing is decided by it: the kubelet goes by `/livez` and `/readyz`, the operator by reports.

mod levels;
mod recent;
mod run;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use gameserver_contract::{Backend, Phase};
use gameserver_sys::{Clock, observe_memory};
use serde::Serialize;
use tokio::sync::{Semaphore, watch};

use crate::zone::{Board, Boards, Distribution, Figure, ZoneFacts};
use levels::Status;
use recent::{Recent, Sample};
use run::{Check, Checked, apart, millis, run};

/// What a check may take before it counts as slow.
const DEADLINE: Duration = Duration::from_secs(1);
/// Threads that read files for one check at most; who asks beyond that waits for one of them.
const READERS: usize = 2;

/// What stays the same as long as the process runs.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Service {
    pub(crate) version: &'static str,
    pub(crate) contract_version: u16,
    pub(crate) namespace: Option<String>,
    pub(crate) game_server: Option<String>,
    pub(crate) fleet: Option<String>,
    #[serde(serialize_with = "as_label")]
    pub(crate) backend: Backend,
    pub(crate) tick_hz: u32,
    pub(crate) capacity: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde calls")]
fn as_label<S: serde::Serializer>(backend: &Backend, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(backend.as_str())
}

/// The body of the answer; `docs/health.md` is its schema.
#[derive(Debug, Serialize)]
pub(crate) struct HealthReport {
    status: Status,
    service: Service,
    phase: Phase,
    outdated: bool,
    uptime_seconds: f64,
    players: u64,
    zones: Vec<ZoneShown>,
    duration_ms: f64,
    checks: Vec<Checked>,
}

#[derive(Debug, Serialize)]
struct ZoneShown {
    zone: usize,
    players: u64,
    #[serde(serialize_with = "as_label")]
    backend: Backend,
    numa: NumaShown,
}

#[derive(Debug, Serialize)]
struct NumaShown {
    placement: &'static str,
    node: Option<usize>,
    memory: &'static str,
}

/// What the checks look at.
pub(crate) struct Sources {
    pub(crate) service: Service,
    pub(crate) boards: Boards,
    /// By number of the zone.
    pub(crate) zones: Vec<ZoneFacts>,
    pub(crate) phase: watch::Receiver<Phase>,
    /// Servers of its Fleet are to be of another template than its own.
    pub(crate) outdated: watch::Receiver<bool>,
    /// Open report streams; `None` for a standalone server.
    pub(crate) streams: Option<watch::Receiver<usize>>,
    /// Files that are read at each connect to an operator.
    pub(crate) files: Vec<PathBuf>,
    pub(crate) clock: Clock,
}

/// The health of this process.
pub(crate) struct Health {
    sources: Sources,
    past: Mutex<Past>,
    memory_readers: Arc<Semaphore>,
    file_readers: Arc<Semaphore>,
}

/// What was before.
#[derive(Debug)]
struct Past {
    /// By number of the zone.
    zones: Vec<Recent>,
    /// When there was last a report stream; the start before the first.
    connected_at: Duration,
}

impl Health {
    pub(crate) fn new(sources: Sources) -> Self {
        let readers = || Arc::new(Semaphore::new(READERS));
        let now = sources.clock.monotonic();
        let zones = sources.boards.iter().map(|_| Recent::new(now)).collect();
        let past = Mutex::new(Past { zones, connected_at: now });
        Self { sources, past, memory_readers: readers(), file_readers: readers() }
    }

    /// Notes how things stand now; to be called about once a second.
    pub(crate) fn sample(&self) {
        let now = self.sources.clock.monotonic();
        let mut past = self.past();
        if self.streams().is_some_and(|open| open > 0) {
            past.connected_at = now;
        }
        for (recent, board) in past.zones.iter_mut().zip(self.sources.boards.iter()) {
            recent.push(&sample(board, now));
        }
    }

    fn past(&self) -> MutexGuard<'_, Past> {
        self.past.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn streams(&self) -> Option<usize> {
        self.sources.streams.as_ref().map(|streams| *streams.borrow())
    }

    /// Makes all checks.
    pub(crate) async fn report(&self) -> (StatusCode, HealthReport) {
        let Sources { service, boards, zones, phase, outdated, clock, .. } = &self.sources;
        let begun = clock.monotonic();
        let checks = run(self.checks(), DEADLINE, *clock).await;
        let status = checks.iter().map(|check| check.status).max().unwrap_or(Status::Healthy);
        let now = clock.monotonic();
        let zones: Vec<_> = boards
            .iter()
            .zip(zones)
            .enumerate()
            .map(|(zone, (board, &ZoneFacts { backend, seat }))| ZoneShown {
                zone,
                players: board.get(Figure::Players),
                backend,
                numa: NumaShown { placement: seat.placement, node: seat.node, memory: seat.memory },
            })
            .collect();
        let report = HealthReport {
            status,
            service: service.clone(),
            phase: *phase.borrow(),
            outdated: *outdated.borrow(),
            uptime_seconds: millis(now) / 1e3,
            players: zones.iter().map(|zone| zone.players).sum(),
            zones,
            duration_ms: millis(now.saturating_sub(begun)),
            checks,
        };
        (code(status), report)
    }

    fn checks(&self) -> Vec<Check> {
        let Sources { service, boards, clock, files, .. } = &self.sources;
        let mut checks = Vec::new();
        let since_connected = {
            let past = self.past();
            for (zone, (board, recent)) in boards.iter().zip(&past.zones).enumerate() {
                let of_zone = checks_of_zone(board, recent, *clock, service.tick_hz);
                checks.extend(of_zone.map(|(name, verdict)| Check::known(name, Some(zone), verdict)));
            }
            clock.monotonic().saturating_sub(past.connected_at)
        };
        let reports = levels::reports(self.streams().map(|open| (open, since_connected)));
        checks.push(Check::known("reports", None, reports));
        let memory = apart(Arc::clone(&self.memory_readers), || levels::memory(observe_memory()));
        checks.push(Check::new("memory", memory));
        if !files.is_empty() {
            let files = files.clone();
            let read = move || levels::files(files.iter().map(|file| (file.as_path(), is_there(file))));
            checks.push(Check::new("files", apart(Arc::clone(&self.file_readers), read)));
        }
        checks
    }
}

fn checks_of_zone(
    board: &Board,
    recent: &Recent,
    clock: Clock,
    tick_hz: u32,
) -> [(&'static str, levels::Verdict); 4] {
    let minute = recent.until(&sample(board, clock.monotonic()));
    let ticked_at = Duration::from_micros(board.get(Figure::TickedAtUs));
    // read after it, or a tick would begin later than now
    let age = (board.get(Figure::Ticks) > 0).then(|| clock.monotonic().saturating_sub(ticked_at));
    [
        ("zone", levels::zone(age, tick_hz)),
        ("lateness", levels::lateness(&minute)),
        ("socket", levels::socket(&minute)),
        ("cpu", levels::cpu(&minute)),
    ]
}

/// What a zone shows at this moment.
fn sample(board: &Board, at: Duration) -> Sample {
    Sample {
        at,
        overflows: board.get(Figure::SocketOverflows),
        packets: board.get(Figure::PacketsIn),
        cpu: Duration::from_micros(board.get(Figure::CpuUs)),
        lateness: board.total(Distribution::TickLateness),
    }
}

/// Whether a file can be read and is not empty.
fn is_there(file: &Path) -> io::Result<bool> {
    let mut first = [0];
    Ok(File::open(file)?.read(&mut first)? > 0)
}

/// 200 as long as the server is of use, 503 when somebody should look.
fn code(status: Status) -> StatusCode {
    match status {
        Status::Healthy | Status::Degraded => StatusCode::OK,
        Status::Unhealthy | Status::Critical => StatusCode::SERVICE_UNAVAILABLE,
    }
}

#[cfg(test)]
mod tests;
