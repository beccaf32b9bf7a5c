//! One zone: an OS thread that owns a socket, a backend and a `ZoneServer`, and nothing of which it shares but a
//! [`Board`] of figures and a bounded queue of orders.
//!
//! Invariant: nothing between receiving and sending awaits, locks, allocates or logs per datagram.

mod board;
mod counted;
mod orders;
mod pace;
mod seat;
mod thread;

pub(crate) use board::{Board, Distribution, Figure, Total};
pub(crate) use orders::Order;
pub(crate) use seat::Seat;
pub(crate) use thread::{Zone, ZoneConfig};
