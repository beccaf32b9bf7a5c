//! Waiting for conditions.

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
