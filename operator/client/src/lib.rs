//! Asks a region's operator for game servers: [`Client::allocate`], for matchmakers.
//!
//! ```no_run
//! # async fn one() -> Result<(), Box<dyn std::error::Error>> {
//! use operator_client::{Allocation, Ask, Client, Settings};
//!
//! let client = Client::new(Settings::in_cluster("cranewing-system", "/etc/cranewing/ca.crt", "/var/run/cranewing/token"))?;
//! let ask = Ask::new("match-4711", "default").label("cranewing.dev/fleet", "arena").players([17]);
//! match client.allocate(&ask).await? {
//!     Allocation::Given { server, tokens } => println!("{:?} {:?}: {} tokens", server.address, server.ports, tokens.len()),
//!     other => println!("{other:?}"),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! - A key is asked for until there is an answer, at most so often and for so long; each time the same server is meant, so that no answer
//!   that got lost costs a second one.
//! - The token and the authorities are read from their files whenever they are needed: both are renewed while a program runs.
//! - Any number of tasks may ask by one client, at once, over one connection.

mod ask;
mod backoff;
mod client;
mod connect;
mod error;

pub use ask::{Allocation, Ask, ConnectToken, Expression, GameServer, Is, Metadata, Port, Selector, Spread};
pub use client::{Client, Settings};
pub use error::{Error, SetupError};

#[expect(
    unreachable_pub,
    unused_qualifications,
    clippy::allow_attributes_without_reason,
    clippy::pedantic,
    reason = "it is generated"
)]
mod proto {
    tonic::include_proto!("cranewing.allocation.v1");
}
