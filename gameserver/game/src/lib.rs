//! The rules of a game, apart from everything that serves it.
//!
//! [`Game`] is what a zone server runs and what a client predicts with; [`arena::Arena`] is the game that comes with
//! the server. A game knows neither sessions nor datagrams nor clocks: it is told what its players want and is asked
//! what there is to see.
//!
//! Invariants:
//! - A game is deterministic: integers only, iteration by index, one random stream per concern; the same seed and
//!   the same commands give the same [`Game::state_hash`] in every build and on every machine.
//! - A step allocates nothing once the tables are warm.
//! - What a player may know of itself is in [`Game::Own`], and [`Game::predict`] moves it just as [`Game::step`] does
//!   as long as nobody else interferes.

#![forbid(unsafe_code)]

pub mod arena;
mod by_cell;
mod game;
mod random;

pub use by_cell::ByCell;
pub use game::{Audience, Command, Game, Notice, Outcome, Output, REWIND_MAX_MS, Setup};
pub use gameserver_protocol::RejectReason;
pub use gameserver_protocol::message::{Entity, FieldList, Fields, MAX_ARGUMENTS, MAX_OWN_FIELDS};
pub use random::{RandomStream, mix};
