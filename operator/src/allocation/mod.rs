//! Gives game servers away: what `operator_core::allocation` decides, carried out.
//!
//! Invariants:
//! - One task owns the replica's state ([`clerk`]); everybody else tells the [`desk`] what happened.
//! - A server is chosen from what is published of it and what its stream says now; its own word decides.
//! - Whoever asks hears within the time that it gives, whatever becomes of this replica's state.

mod choosing;
mod clerk;
mod desk;
mod door;
mod epochs;
mod marks;
mod object;
mod peers;
mod queue;
mod roster;
mod words;

pub(crate) use desk::{Desk, DeskSetup};
pub(crate) use door::agones::{self, AgonesDoor, AgonesTrust, Namespaces};
pub(crate) use door::{Callers, Door, Minter};
pub(crate) use marks::Marker;
#[cfg(test)]
pub(crate) use words::ServerView;
pub(crate) use words::{Asked, Given, Outcome, StreamWord};

#[cfg(test)]
mod tests;
