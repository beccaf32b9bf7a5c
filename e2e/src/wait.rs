//! Waiting for conditions, and saying what was measured.

use std::io::Write as _;
use std::time::{Duration, Instant};

/// How often a condition is looked at.
const PERIOD: Duration = Duration::from_millis(200);

/// Waits until `look` answers `Ok`. Panics after `limit` with what it last answered.
pub async fn eventually<T, F, Looking>(what: &str, limit: Duration, mut look: F) -> T
where
    F: FnMut() -> Looking,
    Looking: Future<Output = Result<T, String>>,
{
    let began = Instant::now();
    loop {
        let last = match look().await {
            Ok(value) => {
                eprintln!("  {what}: after {:.1} s", began.elapsed().as_secs_f64());
                return value;
            }
            Err(last) => last,
        };
        assert!(began.elapsed() < limit, "{what}: not within {} s; last seen: {last}", limit.as_secs());
        tokio::time::sleep(PERIOD).await;
    }
}

/// Puts a line into the output of the run, also when the test passes.
pub fn say(line: &str) {
    // the handle itself is never captured, and a line of its own begins at the left; nobody to read it is no failure
    drop(writeln!(std::io::stdout().lock(), "\n{line}"));
}

/// A stopwatch.
pub struct Watch(Instant);

impl Watch {
    /// Starts it.
    #[expect(clippy::new_without_default, reason = "a stopwatch that is started by default would mislead")]
    pub fn new() -> Self {
        Self(Instant::now())
    }

    /// Seconds since then.
    pub fn seconds(&self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }
}
