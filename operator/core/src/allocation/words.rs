//! What a replica says: to others, to servers, to callers, and to whoever carries it out.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

use super::{Change, Entry, Epoch, Fate, Key, ReplicaId, ServerUid};

/// What replicas say to each other. Those of one link arrive in order or not at all, and then the link breaks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Message {
    /// The allocator's whole ledger, with every change up to this one: in the place of whatever the other has.
    Whole {
        /// Reign of the sender.
        reign: u64,
        /// Number of the last change in it.
        up_to: u64,
        /// Every key.
        lines: Vec<Change>,
    },
    /// The allocator's next change.
    Next {
        /// Reign of the sender.
        reign: u64,
        /// One more than that of the change before.
        number: u64,
        /// What is to be written down.
        change: Change,
    },
    /// Everything up to this change is written down.
    Written {
        /// Reign in which it was said.
        reign: u64,
        /// The last change.
        up_to: u64,
    },
    /// This reign is known here: one before it is over.
    Later {
        /// The reign.
        reign: u64,
    },
}

/// What whoever asks for a key is told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Answer {
    /// This server holds it.
    Given(ServerUid),
    /// This server held it, and the session is over.
    Ended(ServerUid),
    /// This server held it and is gone; or it, or another, may hold it still, and nobody knows which one was answered.
    Lost(ServerUid),
    /// No server is free that fits.
    NoServer,
    /// This replica does not answer; that one may.
    Elsewhere(Option<ReplicaId>),
}

impl From<Entry> for Answer {
    fn from(Entry { server, fate }: Entry) -> Self {
        match fate {
            Fate::Held => Self::Given(server),
            Fate::Ended => Self::Ended(server),
            Fate::Lost | Fate::Contested => Self::Lost(server),
        }
    }
}

/// What the caller carries out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Output {
    /// To another replica, over a link that is up.
    Send(ReplicaId, Message),
    /// To everybody who waits for this key.
    Answer(Key, Answer),
    /// A server is to be chosen for this key, none of these; the caller says which by [`super::Replica::chosen`].
    Choose(Key, BTreeSet<ServerUid>),
    /// To a game server: take this key. It answers, or its stream ends.
    Propose {
        /// Which server.
        server: ServerUid,
        /// The key.
        key: Key,
        /// Reign of the allocator: a server takes nothing from one of an earlier reign.
        reign: u64,
    },
    /// To a game server: let go of this key, which was given elsewhere.
    Release {
        /// Which server.
        server: ServerUid,
        /// The key.
        key: Key,
        /// Reign of the allocator, as for a proposal.
        reign: u64,
    },
    /// To this game server, or to every one: say what you hold, and know of this reign. Answers come by [`super::Replica::hello`].
    Greet {
        /// Which server; all without one.
        server: Option<ServerUid>,
        /// Reign of the allocator.
        reign: u64,
    },
    /// The object as it is then comes back by [`super::Replica::observe`], whatever came of it.
    Write(Write),
}

/// An epoch that is to be written down, where the object is still as it was read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Write {
    /// In the place of this one; where there is none without it.
    pub found: Option<Epoch>,
    /// The epoch.
    pub next: Epoch,
}
