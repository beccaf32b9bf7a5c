//! How often a status is written: transitions at once, figures alone at most each five seconds an object.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Least time between two writes of figures.
const FIGURES_PERIOD: Duration = Duration::from_secs(5);
/// Objects remembered; beyond that the memory starts anew, which costs one early write each.
const REMEMBERED_MAX: usize = 50_000;

/// Remembers when each object's status was last written.
#[derive(Default)]
pub(crate) struct Pace {
    written: Mutex<HashMap<String, Duration>>,
}

/// Whether to write now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Write.
    Now,
    /// Look again after this long.
    Later(Duration),
}

impl Pace {
    /// Asks to write the status of the object with this uid; an answer of `Now` counts as written.
    pub(crate) fn ask(&self, now: Duration, uid: &str, transition: bool) -> Turn {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if !transition && let Some(last) = written.get(uid) {
            let since = now.saturating_sub(*last);
            if let Some(left) = FIGURES_PERIOD.checked_sub(since).filter(|left| !left.is_zero()) {
                return Turn::Later(left);
            }
        }
        if written.len() >= REMEMBERED_MAX {
            written.clear();
        }
        written.insert(uid.to_owned(), now);
        Turn::Now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transitions_are_written_at_once_and_figures_wait() {
        let (pace, at) = (Pace::default(), Duration::from_secs);
        assert_eq!(pace.ask(at(0), "a", false), Turn::Now);
        assert_eq!(pace.ask(at(2), "a", false), Turn::Later(at(3)));
        assert_eq!(pace.ask(at(2), "b", false), Turn::Now, "each object has its own pace");
        assert_eq!(pace.ask(at(3), "a", true), Turn::Now);
        assert_eq!(pace.ask(at(5), "a", false), Turn::Later(at(3)), "a transition counts as written");
        assert_eq!(pace.ask(at(8), "a", false), Turn::Now);
    }
}
