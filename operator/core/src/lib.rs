//! Decisions of the operator, and nothing else: no Kubernetes client, no clock, no log, no I/O.
//!
//! Every function here takes all it needs as values and answers with a value that carries its reason; the shell
//! carries the decision out, logs it, counts it and publishes it. Times are durations on the caller's monotonic clock.

pub mod allocation;
pub mod authority;
pub mod awake;
pub mod backoff;
pub mod drain;
pub mod fleet_plan;
pub mod host_ports;
pub mod journal;
pub mod lease;
pub mod probes;
pub mod region;
pub mod regions;
pub mod responder;
pub mod rolling;
pub mod round_trip;
pub mod scale;
pub mod server_state;
pub mod trial;
