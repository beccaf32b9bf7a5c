//! From a request to what the desk is asked, and from what became of it to an answer. No door, no clock.

use gameserver_contract::claims::CALLERS_KEY_BYTES_MAX;
use operator_core::allocation::Spread;
use std::time::Duration;

use super::proto::{self, AllocateRequest, AllocateResponse, State};
use super::selectors::{read_labels, read_marks, read_selectors};
use crate::allocation::marks::Marks;
use crate::allocation::words::{Asked, Given, Outcome};
use crate::runtime::http::Fault;

const NAMESPACE_MAX: usize = 63;
/// Tokens of so many are half a megabyte.
const PLAYERS_MAX: usize = 250;
const WAIT_MS_MAX: u32 = 60_000;

pub(super) fn fault<T>(field: impl Into<String>, message: impl Into<String>) -> Result<T, Fault> {
    Err(Fault { field: field.into(), message: message.into() })
}

/// What is asked for, for how long a server is waited for, and what is to be written on it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) asked: Asked,
    pub(super) wait: Duration,
    pub(super) marks: Marks,
}

pub(super) fn read(request: &AllocateRequest) -> Result<Question, Fault> {
    check_key("key", &request.key)?;
    check_namespace(&request.namespace)?;
    read_labels("matchLabels", &request.match_labels)?;
    let selectors = read_selectors("selectors", &request.selectors)?;
    let metadata = request.metadata.as_ref();
    let marks = metadata.map(|metadata| read_marks("metadata", (&metadata.labels, &metadata.annotations)));
    if request.players.len() > PLAYERS_MAX {
        let count = request.players.len();
        return fault("players", format!("their number must be from 0 to {PLAYERS_MAX}, and is {count}"));
    }
    let wait_ms = request.wait_ms.unwrap_or(0);
    if wait_ms > WAIT_MS_MAX {
        return fault("waitMs", format!("it must be from 0 to {WAIT_MS_MAX}, and is {wait_ms}"));
    }
    let spread = match proto::Spread::try_from(request.spread) {
        Ok(proto::Spread::Unspecified | proto::Spread::Packed) => Spread::Packed,
        Ok(proto::Spread::Distributed) => Spread::Distributed,
        Err(unknown) => return fault("spread", format!("{unknown}")),
    };
    let wanted = (request.match_labels.clone(), selectors);
    let asked = Asked::new(&request.namespace, &request.key, wanted, spread);
    Ok(Question {
        asked,
        wait: Duration::from_millis(wait_ms.into()),
        marks: marks.transpose()?.unwrap_or_default(),
    })
}

/// A caller's own name for what it asks for.
pub(super) fn check_key(path: &str, key: &str) -> Result<(), Fault> {
    let length = key.len();
    if (1..=CALLERS_KEY_BYTES_MAX).contains(&length) {
        return Ok(());
    }
    fault(path, format!("its length must be from 1 to {CALLERS_KEY_BYTES_MAX} bytes, and is {length}"))
}

pub(super) fn check_namespace(namespace: &str) -> Result<(), Fault> {
    let length = namespace.len();
    if (1..=NAMESPACE_MAX).contains(&length) {
        return Ok(());
    }
    fault("namespace", format!("its length must be from 1 to {NAMESPACE_MAX}, and is {length}"))
}

/// What has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoAnswer {
    TooLate,
    Busy,
    Differs,
}

pub(super) fn answer(outcome: Outcome) -> Result<AllocateResponse, NoAnswer> {
    let said = |state: State, given: Option<Given>| AllocateResponse {
        state: state.into(),
        tokens: Vec::new(),
        game_server: given.and_then(|given| given.server.map(|server| show(&given.uid, &server))),
    };
    match outcome {
        Outcome::Given(given) => Ok(said(State::Given, Some(given))),
        Outcome::Ended(given) => Ok(said(State::Ended, Some(given))),
        Outcome::Lost(_) => Ok(said(State::Lost, None)),
        Outcome::NoServer => Ok(said(State::None, None)),
        Outcome::Elsewhere(_) | Outcome::TooLate => Err(NoAnswer::TooLate),
        Outcome::Busy => Err(NoAnswer::Busy),
        Outcome::Differs => Err(NoAnswer::Differs),
    }
}

fn show(uid: &str, server: &crate::allocation::words::ServerView) -> proto::GameServer {
    let port = |(name, port): &(String, i32)| proto::Port {
        name: name.clone(),
        port: u32::try_from(*port).unwrap_or(0),
    };
    proto::GameServer {
        namespace: server.namespace.clone(),
        name: server.name.clone(),
        uid: uid.to_owned(),
        address: server.address.clone(),
        ports: server.ports.iter().map(port).collect(),
        labels: server.labels.clone(),
    }
}
