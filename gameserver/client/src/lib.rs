//! A game client without sockets, clocks or threads, for bots, terminal clients and tests.
//!
//! ```
//! use gameserver_client::{Client, ClientState, Now};
//! # use gameserver_protocol::{ConnectTokenClaims, PROTOCOL_ID};
//! # use std::time::Duration;
//! # let now = Now { monotonic: Duration::ZERO, unix: Duration::from_secs(1_800_000_000) };
//! # let token = ConnectTokenClaims {
//! #     protocol_id: PROTOCOL_ID,
//! #     server_addresses: &["127.0.0.1:7777".parse().unwrap()],
//! #     client_id: 1,
//! #     user_data: &[0; 256],
//! #     now_unix: now.unix,
//! #     lifetime_seconds: 30,
//! #     timeout_seconds: 5,
//! # }
//! # .mint(&[0; 32], &[1; 88])
//! # .unwrap();
//! let mut client = Client::new(token, now, [0; 32]);
//! let mut buffer = [0; 1200];
//! // every few milliseconds: hand in what arrived, then
//! client.update(now);
//! while let Some(transmit) = client.poll_transmit(now, &mut buffer) {
//!     let _datagram = &buffer[..transmit.len]; // send it to `transmit.to`
//! }
//! while let Some(event) = client.poll_event() {
//!     println!("{event:?}");
//! }
//! assert_eq!(client.state(), ClientState::Connecting);
//! ```
//!
//! A client that lost its server, or whose address has changed, comes back without a backend for some seconds:
//! [`Client::resume_token`] is the connect token of a new client for the same player.
//!
//! The client intentionally has no authority: it sends intents, and what it reports as position and outcome is
//! only ever what the server confirmed (`B38`).

#![forbid(unsafe_code)]

mod client;
mod connection;
mod inputs;
mod resume;

pub use client::{Client, ClientState, Event};
pub use connection::DisconnectReason;
pub use gameserver_protocol::message::{Entity, Snapshot, SnapshotHead};
pub use gameserver_protocol::{ConnectToken, Now, RejectReason, TokenError, Transmit};
