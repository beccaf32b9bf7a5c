//! What is asked for, and what becomes of it.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::error::Error;
use crate::proto::{self, AllocateRequest, AllocateResponse, State};

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ask {
    /// By which the same is asked for again: 1 to 64 bytes, such as the id of a match. It is of its namespace alone.
    pub key: String,
    /// Namespace of the game servers: 1 to 63 characters.
    pub namespace: String,
    /// Labels that the server has: at most 16.
    pub match_labels: BTreeMap<String, String>,
    /// What is wanted besides, best first: the first for which a server is free decides. At most 4; any server will do without one.
    pub selectors: Vec<Selector>,
    /// How servers in use spread over nodes.
    pub spread: Spread,
    /// For how long a server may become free: 0 to 60 s, in whole milliseconds. Who comes first is served first.
    pub wait: Duration,
    /// Players who get a connect token: at most 250. For more, ask again with the same key and other players.
    pub players: Vec<u64>,
    /// What is written on the server's object once it is given.
    pub metadata: Metadata,
}

impl Ask {
    /// Asks for any server of this namespace, at once.
    #[must_use]
    pub fn new(key: impl Into<String>, namespace: impl Into<String>) -> Self {
        Self { key: key.into(), namespace: namespace.into(), ..Self::default() }
    }

    /// The server is to have this label.
    #[must_use]
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.match_labels.insert(name.into(), value.into());
        self
    }

    /// A server may become free within this time.
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// These get a connect token each.
    #[must_use]
    pub fn players(mut self, players: impl IntoIterator<Item = u64>) -> Self {
        self.players = players.into_iter().collect();
        self
    }
}

/// Fits a server that has these labels and for which each expression holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    /// Labels that it has: at most 16.
    pub match_labels: BTreeMap<String, String>,
    /// What else is to be true of its labels: at most 4.
    pub match_expressions: Vec<Expression>,
}

/// What is to be true of one label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expression {
    /// The label's name.
    pub key: String,
    /// What of it.
    pub is: Is,
}

/// What is to be true of a label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Is {
    /// It is there, and its value is one of these: 1 to 8.
    In(Vec<String>),
    /// It is not there, or its value is none of these: 1 to 8.
    NotIn(Vec<String>),
    /// It is there.
    Present,
    /// It is not.
    Absent,
}

/// How servers in use spread over nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Spread {
    /// Nodes that are in use fill up first, so that others can be given back.
    #[default]
    Packed,
    /// Nodes share the load.
    Distributed,
}

/// Labels and annotations that are added to those of a server's object, and replace those of the same name. None of the domain
/// `cranewing.dev`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// At most 16.
    pub labels: BTreeMap<String, String>,
    /// At most 16, each of at most 1024 bytes.
    pub annotations: BTreeMap<String, String>,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allocation {
    /// The server holds the key.
    Given {
        /// Which one.
        server: GameServer,
        /// A token for each of the players, in their order. They are good for 30 s, and each lets one in.
        tokens: Vec<ConnectToken>,
    },
    /// A server held it, and the session is over.
    Ended,
    /// A server held it, and is gone or has forgotten it. A key is never given a second server.
    Lost,
    /// No server is free that fits, and none became free in time.
    None,
}

/// A game server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GameServer {
    /// Namespace of its object.
    pub namespace: String,
    /// Name of its object.
    pub name: String,
    /// Uid of its object: one that is made anew under the same name is another.
    pub uid: String,
    /// Address by which players reach it.
    pub address: Option<String>,
    /// Its ports, in the order of its spec.
    pub ports: Vec<Port>,
    /// Labels of its object.
    pub labels: BTreeMap<String, String>,
}

/// A port of a game server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Its name.
    pub name: String,
    /// The port on its address.
    pub port: u16,
}

/// Lets a player in.
#[derive(Clone, PartialEq, Eq)]
pub struct ConnectToken {
    /// Whom.
    pub player: u64,
    /// The token of netcode 1.02, 2048 bytes. Whoever has it can take the player's place.
    pub token: Vec<u8>,
}

impl std::fmt::Debug for ConnectToken {
    /// Without the token.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ConnectToken").field("player", &self.player).finish_non_exhaustive()
    }
}

/// The same on the wire, of which this much time is left to wait for a server.
pub(crate) fn request(ask: &Ask, wait: Duration) -> AllocateRequest {
    let spread = match ask.spread {
        Spread::Packed => proto::Spread::Packed,
        Spread::Distributed => proto::Spread::Distributed,
    };
    let Metadata { labels, annotations } = &ask.metadata;
    let is_marked = !labels.is_empty() || !annotations.is_empty();
    AllocateRequest {
        key: ask.key.clone(),
        namespace: ask.namespace.clone(),
        match_labels: ask.match_labels.clone(),
        spread: spread.into(),
        // too long a wait is refused, and not cut
        wait_ms: Some(u32::try_from(wait.as_millis()).unwrap_or(u32::MAX)),
        players: ask.players.clone(),
        selectors: ask.selectors.iter().map(selector).collect(),
        metadata: is_marked
            .then(|| proto::Metadata { labels: labels.clone(), annotations: annotations.clone() }),
    }
}

fn selector(selector: &Selector) -> proto::Selector {
    let expression = |expression: &Expression| {
        let (operator, values) = match &expression.is {
            Is::In(values) => (proto::Operator::In, values.clone()),
            Is::NotIn(values) => (proto::Operator::NotIn, values.clone()),
            Is::Present => (proto::Operator::Exists, Vec::new()),
            Is::Absent => (proto::Operator::DoesNotExist, Vec::new()),
        };
        proto::Expression { key: expression.key.clone(), operator: operator.into(), values }
    };
    proto::Selector {
        match_labels: selector.match_labels.clone(),
        match_expressions: selector.match_expressions.iter().map(expression).collect(),
    }
}

/// A server that is given has an object; one whose object is gone already is lost.
pub(crate) fn read(response: AllocateResponse) -> Result<Allocation, Error> {
    match (response.state(), response.game_server) {
        (State::Given, Some(server)) => {
            let token =
                |token: proto::ConnectToken| ConnectToken { player: token.player, token: token.token };
            let tokens = response.tokens.into_iter().map(token).collect();
            Ok(Allocation::Given { server: game_server(server)?, tokens })
        }
        (State::Given | State::Lost, _) => Ok(Allocation::Lost),
        (State::Ended, _) => Ok(Allocation::Ended),
        (State::None, _) => Ok(Allocation::None),
        (State::Unspecified, _) => Err(Error::NotUnderstood(None)),
    }
}

fn game_server(server: proto::GameServer) -> Result<GameServer, Error> {
    let port = |port: proto::Port| {
        let number = u16::try_from(port.port).map_err(|_larger| Error::NotUnderstood(None))?;
        Ok(Port { name: port.name, port: number })
    };
    Ok(GameServer {
        namespace: server.namespace,
        name: server.name,
        uid: server.uid,
        address: server.address,
        ports: server.ports.into_iter().map(port).collect::<Result<_, Error>>()?,
        labels: server.labels,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(state: State, port: Option<u32>) -> AllocateResponse {
        let ports = |port| vec![proto::Port { name: "game".to_owned(), port }];
        let server =
            port.map(|port| proto::GameServer { ports: ports(port), ..proto::GameServer::default() });
        AllocateResponse { state: state.into(), game_server: server, tokens: Vec::new() }
    }

    #[test]
    fn each_state_is_what_it_says_and_what_makes_no_sense_is_an_error() {
        let said = |response| match read(response) {
            Ok(Allocation::Given { server, .. }) => format!("given {}", server.ports[0].port),
            Ok(other) => format!("{other:?}"),
            Err(error) => error.to_string(),
        };
        for (state, port, expected) in [
            (State::Given, Some(7000), "given 7000"),
            (State::Given, None, "Lost"),
            (State::Given, Some(70_000), "an answer that is not understood"),
            (State::Ended, Some(7000), "Ended"),
            (State::Ended, None, "Ended"),
            (State::Lost, None, "Lost"),
            (State::None, None, "None"),
            (State::Unspecified, None, "an answer that is not understood"),
        ] {
            assert_eq!(said(answer(state, port)), expected, "{state:?} {port:?}");
        }
    }

    #[test]
    fn what_is_asked_for_is_on_the_wire_as_it_is_and_metadata_only_where_there_is_some() {
        let mut ask = Ask::new("k", "n").label("a", "b").players([1, 2]);
        ask.spread = Spread::Distributed;
        ask.selectors =
            [Is::In(vec!["v".to_owned()]), Is::NotIn(vec!["w".to_owned()]), Is::Present, Is::Absent]
                .map(|is| Selector {
                    match_labels: BTreeMap::new(),
                    match_expressions: vec![Expression { key: "mode".to_owned(), is }],
                })
                .into();
        let sent = request(&ask, Duration::from_millis(1500));
        assert_eq!((sent.key.as_str(), sent.namespace.as_str(), sent.wait_ms), ("k", "n", Some(1500)));
        assert_eq!((sent.match_labels.clone(), sent.players), (ask.match_labels.clone(), vec![1, 2]));
        assert_eq!((sent.spread, sent.metadata), (proto::Spread::Distributed.into(), None));
        let expressions = sent.selectors.iter().flat_map(|selector| &selector.match_expressions);
        let operators: Vec<_> =
            expressions.map(|expression| (expression.operator(), expression.values.len())).collect();
        let expected = [
            proto::Operator::In,
            proto::Operator::NotIn,
            proto::Operator::Exists,
            proto::Operator::DoesNotExist,
        ];
        assert_eq!(operators, expected.into_iter().zip([1, 1, 0, 0]).collect::<Vec<_>>());
        ask.metadata.annotations.insert("note".to_owned(), "x".to_owned());
        let sent = request(&ask, Duration::MAX);
        assert_eq!(
            (sent.wait_ms, sent.metadata.unwrap().annotations),
            (Some(u32::MAX), ask.metadata.annotations)
        );
    }

    #[test]
    fn nobody_reads_a_token_off_a_log() {
        let token = ConnectToken { player: 7, token: vec![42; 4] };
        assert_eq!(format!("{token:?}"), "ConnectToken { player: 7, .. }");
    }
}
