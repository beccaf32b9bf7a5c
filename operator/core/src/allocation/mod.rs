//! One key, one server: how the replicas of a region's operator give game servers away, however many of them die.
//!
//! Two guards stand behind each other. A game server guards *one server, one key*: it takes a key or refuses it, and keeps what it has
//! taken. The replicas guard *one key, one server*: one of them, the allocator, proposes keys to servers, and answers only when every
//! replica that counts as in sync has written the answer down. Who is the allocator and who is in sync is an [`Epoch`], an object of
//! the cluster that is changed by conditional writes alone.
//!
//! Rules, of which the model in `tests/allocation_model` breaks most on purpose, to see that it would notice:
//! - whoever is in sync has everything that was ever answered, so any of them may succeed the allocator at once;
//! - where all of them have ended, whoever begins anew hears from every server what it holds before a key counts as new;
//! - a replica is in sync only after it has all that the allocator has, and is waited for from the moment in which that is asked for;
//! - who is silent is waited for until a later epoch is without it;
//! - what an allocator of an earlier reign says is void, for replicas and for servers, and what a server says is void if it was said in
//!   another reign;
//! - of two servers that hold a key, that one lets it go which was not answered;
//! - an object that is lost, or goes back to an old copy, is written anew by the allocator that lives; whoever begins anew does so beyond
//!   every number that it has heard of, servers' words included, and in a reign that nobody else can begin.
//!
//! No clock is in it but that which forgets: silence is what the caller makes of it, and a wrong guess costs time and never a second
//! server. That a replica has ended must be no guess.

mod choice;
mod epoch;
mod ledger;
mod office;
mod replica;
mod selector;
mod words;

pub use gameserver_contract::Key;

pub use choice::{Free, Spread, choose};
pub use epoch::{Epoch, ReplicaId};
pub use ledger::{Change, Entry, Fate, Ledger};
pub use replica::Replica;
pub use selector::{Expression, Is, Selector};
pub use words::{Answer, Message, Output, Write};

use std::sync::Arc;

/// Uid of a GameServer.
pub type ServerUid = Arc<str>;
