//! Zones: each an OS thread that owns a socket, a backend and a `ZoneServer`. With the control thread it shares a [`Board`] of
//! figures and a bounded queue of orders, with the other zones the registry of `gameserver-core`, which is asked only when
//! somebody comes or goes.
//!
//! Invariant: nothing between receiving and sending awaits, locks, allocates or logs per datagram.

mod all;
mod board;
mod boards;
mod counted;
mod guard;
mod orders;
mod pace;
mod quiet;
mod seat;
mod thread;
mod untold;

#[cfg(test)]
pub(crate) use all::fake::Fake;
pub(crate) use all::{ZoneFacts, Zones};
pub(crate) use board::{Board, Distribution, Figure, Total};
pub(crate) use boards::Boards;
pub(crate) use guard::FilterState;
pub(crate) use orders::Order;
#[cfg(test)]
pub(crate) use seat::Seat;
pub(crate) use seat::SeatRequest;
pub(crate) use thread::ZoneConfig;
