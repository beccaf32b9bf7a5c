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
    /// A program of the workspace `bench/peers` that our bots start in the place of our game server, and that sends at each tick.
    Core,
    /// `bench/peers/toy`, which is built with the bots.
    Toy {
        /// How datagrams move, as its `--net` has it.
        net: &'static str,
    },
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
    /// About what was found on two cores of an Intel Xeon, at each of [`RATES`]: a search begins near it. A machine that is half as fast takes
    /// a few trials more. It is the same in each run, so that none leans on what another found.
    about_held: [u32; RATES.len()],
    /// What it is, for the page.
    pub(super) about: &'static str,
    /// Session, encryption, world and rules, area of interest, delta, prediction, system calls in batches.
    pub(super) gives: [&'static str; 7],
}

/// Heads of [`Contender::gives`].
pub(super) const GIVES: [&str; 7] =
    ["session", "encryption", "world and rules", "area of interest", "delta", "prediction", "batched calls"];

const NATIVE: Duration = Duration::from_millis(1000);
/// A compiler that works beside what it compiles, on the same core, wants this long: after 3 s Netty's p99 was up to 18 times as long.
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
const FULL: [&str; 7] = {
    let mut gives = OURS;
    gives[6] = "-";
    gives
};

/// Ticks a second at which all are measured.
pub(super) const RATES: [u32; 4] = [20, 30, 64, 128];

/// Ours as it has to be for a comparison of the same number of datagrams.
pub(super) const EQUAL_WIRE: &str = "cranewing-each-tick";
/// The machine as batches of system calls use it, and our own backend for the same.
pub(super) const TOY: &str = "toy";
pub(super) const OURS_BARE: &str = "uring-bare";

pub(super) const ALL: &[Contender] = &[
    Contender {
        name: "cranewing",
        kind: Kind::Ours { is_each_tick: false },
        protocol: "",
        warm_up: NATIVE,
        players_max: 8000,
        is_full_then: false,
        about_held: [3700, 3500, 3500, 3600],
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
        about_held: [3700, 3500, 2400, 1500],
        about: "the same at equal wire: `--replication-hz` as many as the ticks, so a snapshot for each player at each tick, as the others send",
        gives: OURS,
    },
    Contender {
        name: TOY,
        kind: Kind::Toy { net: "mmsg" },
        protocol: "wire",
        warm_up: NATIVE,
        players_max: 8000,
        is_full_then: false,
        about_held: [8000, 7000, 3800, 2600],
        about: "`bench/peers/toy`, recvmmsg and sendmmsg and nothing else: what the machine gives at best",
        gives: ["-", "-", "-", "-", "-", "-", "yes"],
    },
    Contender {
        name: OURS_BARE,
        kind: Kind::Toy { net: "uring" },
        protocol: "wire",
        warm_up: NATIVE,
        players_max: 8000,
        is_full_then: false,
        about_held: [8000, 6100, 4000, 2050],
        about: "the toy over our own io_uring: our game server with everything off",
        gives: ["-", "-", "-", "-", "-", "-", "yes"],
    },
    Contender {
        name: "tokio-full",
        kind: Kind::Core,
        protocol: "",
        warm_up: NATIVE,
        players_max: 8000,
        is_full_then: false,
        about_held: [3000, 2900, 1950, 1050],
        about: "our game server's core and arena on tokio's `UdpSocket`, a runtime of one thread, and our bots: `cranewing-each-tick` with a system call for each datagram",
        gives: FULL,
    },
    Contender {
        name: "go-full",
        kind: Kind::Go,
        protocol: "sealed",
        warm_up: NATIVE,
        players_max: 8000,
        is_full_then: false,
        about_held: [5600, 4850, 2600, 1150],
        about: "`go` and what a game cannot do without: each datagram sealed both ways under keys of its client, a window against repetition, and in each snapshot 50 of those around",
        gives: [
            "keys that follow from the client's number",
            "ChaCha20-Poly1305",
            "players walk",
            "a grid, 50 of the nearest cells",
            "-",
            "-",
            "-",
        ],
    },
    Contender {
        name: "tokio",
        kind: Kind::Cargo,
        protocol: "wire",
        warm_up: NATIVE,
        players_max: 8000,
        is_full_then: false,
        about_held: [7700, 7300, 4500, 2450],
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
        about_held: [4900, 3800, 2500, 1650],
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
        about_held: [6800, 5800, 2900, 1850],
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
        about_held: [7300, 6600, 2400, 1090],
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
        about_held: [4000, 4000, 3300, 2300],
        about: "ENet, its host served between ticks, unreliable packets; at most 4095 peers. Each client is a host of one peer, by ENet's translation into Rust",
        gives: ["handshake, no authentication", "-", "-", "-", "-", "-", "-"],
    },
    Contender {
        name: "renet",
        kind: Kind::Cargo,
        protocol: "renet",
        warm_up: NATIVE,
        players_max: 1024,
        is_full_then: true,
        about_held: [1024, 1024, 1024, 650],
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
        about_held: [1190, 680, 470, 420],
        about: "Colyseus over WebSocket and its own SDK, rooms of 64 whose state is synchronised by itself at each step",
        gives: ["matchmaking, rooms", "-", "one number a player", "its room", "yes", "-", "-"],
    },
];

impl Contender {
    /// Whether each player must get a snapshot at each tick.
    pub(super) fn sends_each_tick(&self) -> bool {
        self.kind != Kind::Ours { is_each_tick: false }
    }

    /// About how many players it holds at this rate; where none is known, in proportion to the rate next to it.
    pub(super) fn about_held(&self, tick_hz: u32) -> u32 {
        let known = RATES.into_iter().zip(self.about_held).min_by_key(|(rate, _)| rate.abs_diff(tick_hz));
        known.map_or(self.players_max, |(rate, players)| players * rate / tick_hz.max(1))
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

    #[test]
    fn what_is_about_held_is_what_is_known_of_the_rate_or_in_proportion_to_the_next() {
        let go = ALL.iter().find(|contender| contender.name == "go").unwrap();
        for (at, rate) in RATES.into_iter().enumerate() {
            assert_eq!(go.about_held(rate), go.about_held[at], "{rate} Hz");
        }
        assert_eq!(go.about_held(10), 2 * go.about_held[0]);
        assert_eq!(go.about_held(100), go.about_held[3] * 128 / 100);
        for contender in ALL {
            assert!(contender.about_held.iter().all(|held| (1..=contender.players_max).contains(held)));
        }
    }
}
