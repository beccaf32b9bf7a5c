//! The report endpoint (design way 4): every replica keeps a stream to every game server of its region.
//!
//! - `endpoint`: listens, and runs one task a stream.
//! - `live`: what the streams say, and the orders that go back; the one owner of live figures.
//! - `identity`: who a stream's other end is: a projected token, verified offline against the cluster's keys.
//! - `trust`: the certificate authority of the endpoint.
//! - `keys`: Fleet secrets, and the key of each server that is derived from them.
//! - `replicas`: the addresses of all replicas' endpoints.

pub(crate) mod endpoint;
pub(crate) mod identity;
pub(crate) mod keys;
pub(crate) mod live;
pub(crate) mod replicas;
pub(crate) mod trust;
