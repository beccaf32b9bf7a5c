//! Who is measured, and what each gives for its figures.

use std::time::Duration;

/// How a contender is built and started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The game server and its own bots.
    Ours {
        /// Whether it sends each player a snapshot at each tick, news or not.
        is_each_tick: bool,
    },
    /// `bench/peers/toy`, which is built with the bots.
    Toy,
    /// A package of the workspace `bench/peers`.
    Cargo,
    Go,
    /// C, over ENet's Debian packages.
    Enet,
    /// Java, over Netty's jars.
    Netty,
    /// Colyseus on a Node of its own, which loads it too.
    Colyseus,
}

/// A server to measure.
#[derive(Debug)]
pub(super) struct Contender {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// What its program speaks, by its name for the load.
    pub(super) protocol: &'static str,
    /// Load before measuring: a just-in-time compiler needs more of it.
    pub(super) warm_up: Duration,
    /// The most players that it can have, or that its load can be.
    pub(super) players_max: u32,
    /// Whether it is the server that can have no more than those.
    pub(super) is_full_then: bool,
    /// How many times its players ours should have at equal wire; none where it is there to compare with and no more.
    pub(super) asked_for: Option<f64>,
    /// What it is, for the page.
    pub(super) about: &'static str,
    /// Session, encryption, world and rules, area of interest, delta, prediction, system calls in batches.
    pub(super) gives: [&'static str; 7],
}

/// Heads of [`Contender::gives`].
pub(super) const GIVES: [&str; 7] =
    ["session", "encryption", "world and rules", "area of interest", "delta", "prediction", "batched calls"];

const NATIVE: Duration = Duration::from_millis(1000);
/// A compiler that works beside what it compiles, on the same core, wants this long.
const JUST_IN_TIME: Duration = Duration::from_millis(5000);
const BARE: [&str; 7] = ["-", "-", "-", "-", "-", "-", "-"];
const OURS: [&str; 7] = [
    "netcode 1.02, resume",
    "ChaCha20-Poly1305",
    "yes",
    "up to 128 around, far ones less often",
    "yes",
    "yes",
    "yes",
];

/// What ours should have of a bare transport that does nothing in batches.
const TRANSPORT: f64 = 1.15;
/// What ours should have of what games are made with.
const LIBRARY: f64 = 2.0;

/// Ours as it has to be for a comparison of the same number of datagrams.
pub(super) const EQUAL_WIRE: &str = "cranewing-each-tick";

pub(super) const ALL: &[Contender] = &[
    Contender {
        name: "cranewing",
        kind: Kind::Ours { is_each_tick: false },
        protocol: "",
        warm_up: NATIVE,
        players_max: 8000,
        is_full_then: false,
        asked_for: None,
        about: "our game server on io_uring with its arena as it comes, and our bots: a tick that brings a player only what its client predicts costs no datagram",
        gives: OURS,
    },
    Contender {
        name: EQUAL_WIRE,
        kind: Kind::Ours { is_each_tick: true },
        protocol: "",
        warm_up: NATIVE,
        players_max: 8000,
        is_full_then: false,
        asked_for: None,
        about: "the same at equal wire: `--replication-hz` as many as the ticks, so a snapshot for each player at each tick, as the others send",
        gives: OURS,
    },
    Contender {
        name: "toy",
        kind: Kind::Toy,
        protocol: "wire",
        warm_up: NATIVE,
        players_max: 8000,
        is_full_then: false,
        asked_for: None,
        about: "`bench/peers/toy`, recvmmsg and sendmmsg and nothing else: what the machine gives at best",
        gives: ["-", "-", "-", "-", "-", "-", "yes"],
    },
    Contender {
        name: "tokio",
        kind: Kind::Cargo,
        protocol: "wire",
        warm_up: NATIVE,
        players_max: 8000,
        is_full_then: false,
        asked_for: Some(TRANSPORT),
        about: "tokio's `UdpSocket`, a runtime of one thread",
        gives: BARE,
    },
    Contender {
        name: "tokio-uring",
        kind: Kind::Cargo,
        protocol: "wire",
        warm_up: NATIVE,
        players_max: 8000,
        is_full_then: false,
        asked_for: None,
        about: "tokio-uring's `UdpSocket`, 64 receives posted, 64 sends in flight",
        gives: ["-", "-", "-", "-", "-", "-", "one ring, no batches of datagrams"],
    },
    Contender {
        name: "go",
        kind: Kind::Go,
        protocol: "wire",
        warm_up: NATIVE,
        players_max: 8000,
        is_full_then: false,
        asked_for: Some(TRANSPORT),
        about: "Go's `net.UDPConn`, a goroutine that reads and one that writes",
        gives: BARE,
    },
    Contender {
        name: "netty",
        kind: Kind::Netty,
        protocol: "wire",
        warm_up: JUST_IN_TIME,
        players_max: 8000,
        is_full_then: false,
        asked_for: None,
        about: "Netty's epoll transport, one event loop, on the Java that is installed",
        gives: ["-", "-", "-", "-", "-", "-", "yes"],
    },
    Contender {
        name: "enet",
        kind: Kind::Enet,
        protocol: "enet",
        warm_up: NATIVE,
        players_max: 4000,
        is_full_then: true,
        asked_for: Some(LIBRARY),
        about: "ENet, its host served between ticks, unreliable packets; at most 4095 peers",
        gives: ["handshake, no authentication", "-", "-", "-", "-", "-", "-"],
    },
    Contender {
        name: "renet",
        kind: Kind::Cargo,
        protocol: "renet",
        warm_up: NATIVE,
        players_max: 1024,
        is_full_then: true,
        asked_for: Some(LIBRARY),
        about: "renet over renetcode, its unreliable channel; at most 1024 clients",
        gives: ["netcode 1.02", "ChaCha20-Poly1305", "-", "-", "-", "-", "-"],
    },
    Contender {
        name: "colyseus",
        kind: Kind::Colyseus,
        protocol: "colyseus",
        warm_up: JUST_IN_TIME,
        players_max: 4000,
        is_full_then: false,
        asked_for: Some(LIBRARY),
        about: "Colyseus over WebSocket and its own SDK, rooms of 64 whose state is synchronised by itself at each step",
        gives: ["matchmaking, rooms", "-", "one number a player", "its room", "yes", "-", "-"],
    },
];

impl Contender {
    /// Whether each player must get a snapshot at each tick.
    pub(super) fn sends_each_tick(&self) -> bool {
        self.kind != Kind::Ours { is_each_tick: false }
    }
}

/// What contenders are called.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|contender| contender.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart() {
        let mut all: Vec<_> = names().collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), ALL.len());
    }
}
