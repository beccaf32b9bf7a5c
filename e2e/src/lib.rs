//! What the end-to-end tests stand on: regions that exist, an operator in them, and conditions to wait for.
//!
//! The clusters come from the environment (`CRANEWING_E2E_KUBECONFIG_KR` and so on); the suite never makes one. Every
//! test makes a namespace of its own and removes it; a condition that does not come prints events, objects and the
//! operator's log.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must panic")]
#![expect(clippy::disallowed_methods, clippy::print_stderr, reason = "tests measure, and show what they did")]

pub mod bots;
pub mod helm;
pub mod operator;
pub mod region;
pub mod wait;

pub use region::{Region, Scratch};
pub use wait::eventually;
