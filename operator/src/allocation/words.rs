//! What callers, streams and links say to the desk, and what callers are told.

use gameserver_contract::{Holding, Judgement, Key, OperatorMessage};
use operator_core::allocation::{Message, ReplicaId, Selector, ServerUid, Spread};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::mpsc;

use super::peers::Frame;

/// What a caller asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Asked {
    /// By which it asks again for the same; of its namespace alone.
    pub(crate) key: Key,
    pub(crate) namespace: String,
    /// Labels that the GameServer has.
    pub(crate) labels: BTreeMap<String, String>,
    /// Of these the first for which a server is free decides; any server will do without one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) selectors: Vec<Selector>,
    pub(crate) spread: Spread,
}

impl Asked {
    /// A caller of one namespace has no say in the keys of another, whatever it calls its own.
    pub(crate) fn new(
        namespace: &str,
        key: &str,
        (labels, selectors): (BTreeMap<String, String>, Vec<Selector>),
        spread: Spread,
    ) -> Self {
        let key = Key::from(format!("{namespace}/{key}"));
        Self { key, namespace: namespace.to_owned(), labels, selectors, spread }
    }

    /// Whether the same servers fit, so that where none is free for one there is none for the other.
    pub(super) fn is_alike(&self, other: &Self) -> bool {
        (&self.namespace, &self.labels, &self.selectors)
            == (&other.namespace, &other.labels, &other.selectors)
    }
}

/// What a caller is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// This server is its own.
    Given(Given),
    /// It was, and the session is over.
    Ended(Given),
    /// It was, and the server is gone or has forgotten it.
    Lost(ServerUid),
    /// No server is free that fits, and its time is over.
    NoServer,
    /// Another replica allocates.
    Elsewhere(Option<ReplicaId>),
    /// Its time is over, and what became of it is not known: it may ask again.
    TooLate,
    /// Too many ask at once.
    Busy,
    /// Something else was asked for under the same key.
    Differs,
}

/// A server that was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Given {
    pub(crate) uid: ServerUid,
    /// None when its object is gone.
    pub(crate) server: Option<Arc<ServerView>>,
}

/// What a caller needs of a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ServerView {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) address: Option<String>,
    pub(crate) ports: Vec<(String, i32)>,
    pub(crate) labels: BTreeMap<String, String>,
}

/// What a report stream has to say.
#[derive(Debug)]
pub(crate) enum StreamWord {
    /// It begins; what is sent there goes to the server, and it ends when nothing can be sent any more.
    Began(mpsc::Sender<OperatorMessage>),
    /// It begins, of a server that knows nothing of allocation.
    BeganMute,
    /// What the server holds.
    Holding(Holding),
    /// Its answer to a proposal.
    Judged {
        key: Key,
        judgement: Judgement,
    },
    /// A session is over.
    Over {
        key: Key,
    },
    Ended,
}

/// What a link to another replica has to say.
#[derive(Debug)]
pub(super) enum LinkWord {
    /// It begins; what is sent there goes to the replica, and it ends when nothing can be sent any more.
    Up(mpsc::Sender<Frame>),
    Said(Message),
    /// What became of a question that was passed on.
    Told {
        ticket: u64,
        key: Key,
        outcome: Outcome,
    },
    /// All is well there.
    Beat,
    Down,
}
