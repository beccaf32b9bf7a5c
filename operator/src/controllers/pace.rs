//! How often a status is written: transitions at once, counts each second, figures alone each five seconds an object.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// What a new status says that the old one did not, by what matters most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// It stands elsewhere: written at once.
    Transition,
    /// Servers were counted anew, as a Fleet that becomes ready does with each of them.
    Count,
    /// Players and latencies moved.
    Figure,
}

impl News {
    /// Least time since the last write of the object.
    const fn gap(self) -> Duration {
        match self {
            Self::Transition => Duration::ZERO,
            Self::Count => Duration::from_secs(1),
            Self::Figure => Duration::from_secs(5),
        }
    }
}

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
    pub(crate) fn ask(&self, now: Duration, uid: &str, news: News) -> Turn {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = written.get(uid) {
            let since = now.saturating_sub(*last);
            if let Some(left) = news.gap().checked_sub(since).filter(|left| !left.is_zero()) {
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
    fn transitions_are_written_at_once_counts_each_second_and_figures_each_five() {
        let (pace, at) = (Pace::default(), Duration::from_secs);
        assert_eq!(pace.ask(at(0), "a", News::Figure), Turn::Now);
        assert_eq!(pace.ask(at(2), "a", News::Figure), Turn::Later(at(3)));
        assert_eq!(pace.ask(at(2), "b", News::Figure), Turn::Now, "each object has its own pace");
        assert_eq!(pace.ask(at(3), "a", News::Transition), Turn::Now);
        assert_eq!(pace.ask(at(3), "a", News::Count), Turn::Later(at(1)));
        assert_eq!(pace.ask(at(5), "a", News::Figure), Turn::Later(at(3)), "a transition counts as written");
        assert_eq!(pace.ask(at(5), "a", News::Count), Turn::Now);
        assert_eq!(pace.ask(at(10), "a", News::Figure), Turn::Now);
    }
}
