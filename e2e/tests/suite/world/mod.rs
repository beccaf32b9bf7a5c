//! Many regions as one. These tests need all regions each, and come last: nobody waits until all are free more than once.

mod failover;
pub(crate) mod placed_fleets;
mod recovery;
mod regions;
mod wheel;
