//! What this replica decided last, and why: noted by whoever decides, and read by `operator debug bundle`.

use operator_core::journal::{Decision, Entry, Of, Ring};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::runtime::clock::Clock;

/// The last decisions of this replica. Whoever notes one holds nothing meanwhile, and waits for nobody.
pub(crate) struct Journal {
    ring: Mutex<Ring>,
    clock: Clock,
}

impl Journal {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { ring: Mutex::default(), clock }
    }

    /// Notes what was decided about an object, and what that goes by.
    pub(crate) fn note(
        &self,
        of: Of,
        object: impl Into<String>,
        decided: impl Into<String>,
        why: impl Into<String>,
    ) {
        let decision = Decision { of, object: object.into(), decided: decided.into(), why: why.into() };
        self.lock().note(self.clock.unix_ms(), decision);
    }

    /// All that is kept, in the order in which it was decided first.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.lock().entries()
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
