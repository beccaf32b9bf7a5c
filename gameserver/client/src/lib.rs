//! A game client without sockets, clocks or threads, for bots, terminal clients and tests.
//!
//! ```
//! use gameserver_client::{Client, ClientState, Event, Now};
//! # use gameserver_game::{Command, Entity, Fields, Game, Output, Setup};
//! # use gameserver_protocol::{ConnectTokenClaims, PROTOCOL_ID, message::FieldList};
//! # use std::time::Duration;
//! # #[derive(Clone, Copy, Debug, PartialEq)]
//! # struct Walk { x: i32, y: i32 }
//! # impl Fields for Walk {
//! #     fn to_fields(&self) -> FieldList { FieldList::new(&[self.x.into(), self.y.into()]) }
//! #     fn from_fields(fields: &[i64]) -> Option<Self> {
//! #         let [x, y] = fields.try_into().ok()?;
//! #         Some(Self { x: i32::try_from(x).ok()?, y: i32::try_from(y).ok()? })
//! #     }
//! # }
//! # struct MyGame;
//! # impl Game for MyGame {
//! #     type Intent = Walk;
//! #     type Own = Walk;
//! #     const MAP_UNITS: i32 = 100;
//! #     fn new(_: Setup) -> Self { Self }
//! #     fn entity_capacity(capacity: u32) -> u32 { capacity }
//! #     fn join(&mut self, _: u32, _: u64) {}
//! #     fn leave(&mut self, _: u32) {}
//! #     fn has_joined(&self, _: u32) -> bool { false }
//! #     fn step(&mut self, _: &[Command<Walk>], _: &mut Output) {}
//! #     fn tick(&self) -> u64 { 0 }
//! #     fn entities(&self) -> impl Iterator<Item = (u32, Entity)> { [].into_iter() }
//! #     fn own(&self, _: u32) -> Option<Walk> { None }
//! #     fn predict(_: u32, _: u64, own: &mut Walk, intents: &[Walk]) {
//! #         intents.iter().for_each(|walk| { own.x += walk.x; own.y += walk.y; });
//! #     }
//! #     fn place(own: &Walk) -> (i32, i32) { (own.x, own.y) }
//! #     fn state_hash(&self) -> u64 { 0 }
//! #     fn violations(&self) -> Vec<String> { Vec::new() }
//! # }
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
//! let tick_hz = 64;
//! let mut client = Client::<MyGame>::new(token, tick_hz, now, [0; 32]);
//! let mut buffer = [0; 1200];
//! // every few milliseconds: hand in what arrived, then
//! client.update(now);
//! if client.next_input_at(now).is_some_and(|due| due <= now.monotonic) {
//!     client.send(now, Walk { x: 1, y: 0 }); // once a tick, just in time
//! }
//! while let Some(transmit) = client.poll_transmit(now, &mut buffer) {
//!     let _datagram = &buffer[..transmit.len]; // send it to `transmit.to`
//! }
//! while let Some(event) = client.poll_event() {
//!     if let Event::Rejected { input_seq, reason } = event {
//!         println!("input {input_seq}: {reason}");
//!     }
//! }
//! // and as often as something is drawn
//! if let Some(frame) = client.frame(now) {
//!     println!("me at {:?}", frame.own);
//!     for other in client.view().at(frame.view_tick) {
//!         println!("{} at {}, {}", other.entity.id, other.x, other.y);
//!     }
//! }
//! assert_eq!(client.state(), ClientState::Connecting);
//! ```
//!
//! A client that lost its server, or whose address has changed, comes back without a backend for some seconds:
//! [`Client::resume_token`] is the connect token of a new client for the same player.
//!
//! The client intentionally has no authority (`B38`). It draws its own player where the rules of the game would put
//! it by the inputs that it has sent, and goes back to what the server says where that is something else; what it
//! reports as outcome, and as [`Client::own`] and [`Client::view`], is only ever what the server confirmed.
//!
//! Three times go on in it, all in ticks of the server:
//! - **the server's**, [`Client::server_tick`]: right within half of the fastest round trip, in truth within half of
//!   the difference between the way there and the way back; it goes at most 5 % faster or slower than real time;
//! - **the player's own**, [`Frame::tick`]: ahead of the server's by the way there and a margin, so that inputs land
//!   just before their tick. The server asks for more or less of a margin, and this time then goes up to 6 % faster
//!   or slower;
//! - **everybody else's**, [`Frame::view_tick`]: behind the server's by 50 to 250 ms, as little as can be without
//!   running out of news.
//!
//! Lists are reused: once they have grown to what a server sends, a datagram takes no memory.

#![forbid(unsafe_code)]

mod client;
mod clock;
mod connection;
mod events;
mod inputs;
mod lead;
mod prediction;
mod resume;
mod round_trip;
mod slew;
mod stats;
mod ticks;
mod view;

pub use client::{Client, ClientState, Frame};
pub use connection::DisconnectReason;
pub use events::Event;
pub use gameserver_game::{Game, Notice};
pub use gameserver_protocol::message::{Entity, Snapshot, SnapshotHead, Watch, Watched};
pub use gameserver_protocol::{ConnectToken, Now, RejectReason, TokenError, Transmit};
pub use inputs::MAX_OPEN as MAX_OPEN_INPUTS;
pub use stats::ClientStats;
pub use view::{Drawn, MAX_ENTITIES, View};
