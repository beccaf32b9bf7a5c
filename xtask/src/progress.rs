//! What a person sees while long steps run: name, elapsed time, how far. Everything goes to standard error.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::clock;

/// Without a terminal a running step says so again after this long.
const HEARTBEAT: Duration = Duration::from_secs(20);

/// Shows the running steps until dropped.
pub(crate) struct Progress {
    shared: Arc<Shared>,
    ticker: Option<JoinHandle<()>>,
}

struct Shared {
    terminal: bool,
    stop: AtomicBool,
    start: Instant,
    running: Mutex<Vec<Running>>,
    finished: Mutex<Vec<Finished>>,
}

/// A step that succeeded.
#[derive(Debug, Clone)]
pub(crate) struct Finished {
    pub(crate) name: String,
    pub(crate) took: Duration,
    /// Since the first step began.
    pub(crate) ended: Duration,
}

struct Running {
    id: usize,
    name: String,
    note: String,
    start: Instant,
    told: Instant,
}

/// A running step, to note how far it is.
pub(crate) struct Step<'a> {
    shared: &'a Shared,
    id: usize,
}

impl Progress {
    pub(crate) fn new() -> Self {
        let shared = Arc::new(Shared {
            terminal: io::stderr().is_terminal(),
            stop: AtomicBool::new(false),
            start: clock::now(),
            running: Mutex::default(),
            finished: Mutex::default(),
        });
        let ticker = thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                while !shared.stop.load(Ordering::Relaxed) {
                    shared.draw();
                    clock::pause(Duration::from_millis(100));
                }
            }
        });
        Self { shared, ticker: Some(ticker) }
    }

    /// Runs `work` as a step that is shown; a failure carries the step's name.
    pub(crate) fn step<T>(&self, name: &str, work: impl FnOnce(&Step<'_>) -> Result<T>) -> Result<T> {
        let step = self.shared.begin(name);
        let start = clock::now();
        let outcome = work(&step);
        let mark = if outcome.is_ok() { "done" } else { "FAILED" };
        let took = start.elapsed();
        self.shared.end(step.id, &format!("{mark:>6} {:>7}  {name}", seconds(took)));
        if outcome.is_ok() {
            let finished = Finished { name: name.to_owned(), took, ended: self.elapsed() };
            lock(&self.shared.finished).push(finished);
        }
        outcome.with_context(|| format!("{name} failed"))
    }

    /// Says one line between the steps.
    pub(crate) fn say(&self, text: &str) {
        let running = lock(&self.shared.running);
        self.shared.line(text);
        drop(running);
    }

    /// What succeeded so far, in the order of its ends.
    pub(crate) fn finished(&self) -> Vec<Finished> {
        lock(&self.shared.finished).clone()
    }

    /// Time since the first step.
    pub(crate) fn elapsed(&self) -> Duration {
        self.shared.start.elapsed()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(ticker) = self.ticker.take() {
            drop(ticker.join());
        }
        if self.shared.terminal {
            write(&["\r\x1b[K"]);
        }
    }
}

impl Step<'_> {
    /// Replaces the note behind the step's name.
    pub(crate) fn note(&self, note: &str) {
        let mut running = lock(&self.shared.running);
        if let Some(step) = running.iter_mut().find(|step| step.id == self.id) {
            note.clone_into(&mut step.note);
        }
    }
}

impl Shared {
    fn begin(&self, name: &str) -> Step<'_> {
        let mut running = lock(&self.running);
        let id = running.iter().map(|step| step.id).max().unwrap_or(0) + 1;
        let now = clock::now();
        running.push(Running { id, name: name.to_owned(), note: String::new(), start: now, told: now });
        if !self.terminal {
            self.line(&format!("begun          {name}"));
        }
        Step { shared: self, id }
    }

    fn end(&self, id: usize, text: &str) {
        let mut running = lock(&self.running);
        running.retain(|step| step.id != id);
        self.line(text);
    }

    fn line(&self, text: &str) {
        write(&[if self.terminal { "\r\x1b[K" } else { "" }, text, "\n"]);
    }

    fn draw(&self) {
        let mut running = lock(&self.running);
        if running.is_empty() {
            return;
        }
        let describe = |step: &Running| {
            let gap = if step.note.is_empty() { "" } else { ": " };
            format!("{} {}{gap}{}", seconds(step.start.elapsed()), step.name, step.note)
        };
        if self.terminal {
            let all = running.iter().map(describe).collect::<Vec<_>>().join(" | ");
            let spinner = ["-", "\\", "|", "/"][(self.start.elapsed().as_millis() / 100 % 4) as usize];
            let short: String = all.chars().take(width().saturating_sub(3)).collect();
            write(&["\r\x1b[K", spinner, " ", &short]);
            return;
        }
        for step in running.iter_mut().filter(|step| step.told.elapsed() >= HEARTBEAT) {
            step.told = clock::now();
            self.line(&format!("  still {}", describe(step)));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Columns of the terminal behind standard error.
fn width() -> usize {
    rustix::termios::tcgetwinsize(io::stderr()).map_or(100, |size| usize::from(size.ws_col).max(20))
}

fn write(parts: &[&str]) {
    let mut stderr = io::stderr().lock();
    // who closed the stream does not want to hear
    let _unheard = stderr.write_all(parts.concat().as_bytes()).and_then(|()| stderr.flush());
}

/// `12.3 s`
pub(crate) fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn a_failure_says_which_step_and_why_and_only_success_is_finished() {
        let progress = Progress::new();
        let failed = progress.step("cluster kr", |_| Err::<(), _>(anyhow!("no such image")));
        assert_eq!(format!("{:#}", failed.unwrap_err()), "cluster kr failed: no such image");
        progress.step("cluster jp", |_| Ok(())).unwrap();
        let finished: Vec<String> = progress.finished().into_iter().map(|step| step.name).collect();
        assert_eq!(finished, ["cluster jp"]);
    }
}
