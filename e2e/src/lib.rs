//! What the end-to-end tests stand on: regions that exist, an operator in them, and conditions to wait for.
//!
//! The clusters come from the environment (`CRANEWING_E2E_KUBECONFIG_KR` and so on); the suite never makes one.
//!
//! Invariants:
//! - An installation that this suite did not make is never touched: a region that has one is refused.
//! - A test has its region for itself, or shares regions that are joined with tests that touch nothing else there, and makes what it
//!   needs in a namespace of its own.
//! - What a test made is removed also when it fails; then events, objects and logs are printed first.
//! - Nothing waits for a while: a condition comes, or its ceiling fails the test with what was seen last.
//! - A test that needs more than a kubeconfig says so where it cannot run ([`needs`]); it never passes in silence.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must panic")]
#![expect(clippy::disallowed_methods, clippy::print_stderr, reason = "tests measure, and show what they did")]

pub mod allocation;
pub mod bots;
pub mod bundle;
pub mod command;
pub mod crowd;
mod describe;
pub mod helm;
mod joint;
pub mod kstatus;
pub mod needs;
pub mod node;
pub mod operator;
pub mod placement;
mod pool;
pub mod region;
pub mod regions;
pub mod reports;
pub mod samples;
pub mod scratch;
mod strangers;
pub mod terraform;
pub mod trial;
pub mod wait;

pub use needs::Need;
pub use region::{PATIENCE, Region};
pub use scratch::Scratch;
pub use trial::{in_bare_region, in_joined_regions, in_namespace, in_three_bare_regions, in_three_regions};
pub use wait::{Watch, eventually, say};
