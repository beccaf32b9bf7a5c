//! The process's clock in the form that the core takes.

use gameserver_core::Now;
use gameserver_sys::Clock;

/// Both times of `clock`, as the core takes them.
pub(crate) fn now(clock: &Clock) -> Now {
    Now { monotonic: clock.monotonic(), unix: clock.unix() }
}
