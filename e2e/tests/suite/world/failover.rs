//! Failover: each way to lose a region while people play in all of them, and how long each step takes.
//!
//! Each test prints its steps as a line `timeline: {...}`, in seconds from the fault; `cargo xtask bench failover` has every test do
//! so `CRANEWING_E2E_ROUNDS` times, and makes a page of the lines.

use e2e::bots::Bots;
use e2e::crowd::Crowd;
use e2e::node::{self, Cut, Halted, Lost, Paused};
use e2e::regions::{Joined, region_cluster};
use e2e::{Need, PATIENCE, Scratch, Watch, eventually, in_three_regions, placement, say};
use futures::future::join_all;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::DeleteParams;
use operator_api::Fleet;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

use super::placed_fleets::{arena, await_shares, delete_everywhere};
use super::regions::{all_well, says};
use crate::duel_in;

/// Ends every fault, whatever becomes of the test.
const FAULT_MAX: Duration = Duration::from_secs(180);
/// Seconds from a fault until the first player of the lost region has another one.
const FIRST_PLACED_SECONDS_MAX: f64 = 10.0;
/// Seconds from a fault until the last one has, and the servers of a region that is gone are Ready elsewhere (A21; rule 8).
const FAILOVER_SECONDS_MAX: f64 = 30.0;
const SERVERS: usize = 6;
/// How often a region comes and goes.
const FLAPS: i64 = 4;
/// How long an operator waits for an answer of a peer: nothing local may take that much longer.
const ANSWER_SECONDS_MAX: f64 = 2.0;
/// For how long a peer is slow: several times what suspicion takes.
const SLOW_SECONDS: f64 = 20.0;

/// A way to lose region kr.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// Nothing comes through, either way.
    CutOff,
    /// Its own calls are lost, those of the others are answered.
    Mute,
    /// The calls of others are lost, its own are answered.
    Deaf,
    /// Its API server stands still.
    ApiServer,
    /// It has no operator.
    Operator,
    /// All of it stands still.
    Paused,
}

/// What ends a fault when it is dropped.
enum Stricken {
    Cut { _cut: Cut },
    Halted { _halted: Halted },
    Paused { _paused: Paused },
    Headless,
}

/// What comes of a fault.
struct Outcome {
    /// What the others say of kr in the end.
    standing: &'static str,
    /// Servers elsewhere take the place of those of kr.
    moves_shares: bool,
    /// It can be asked while the fault lasts, and is isolated.
    knows_itself_isolated: bool,
}

impl Fault {
    const fn outcome(self) -> Outcome {
        let (standing, moves_shares, knows_itself_isolated) = match self {
            Self::CutOff | Self::Deaf => ("Gone", true, true),
            Self::Mute => ("Isolated", false, true),
            Self::ApiServer | Self::Operator => ("Degraded", true, false),
            Self::Paused => ("Gone", true, false),
        };
        Outcome { standing, moves_shares, knows_itself_isolated }
    }

    async fn strike(self, stage: &Stage<'_>) -> Stricken {
        let (kr, others) = (&stage.kr.region, stage.others.map(|other| &other.region));
        let cut = async |lost| Stricken::Cut { _cut: node::cut(kr, &others, lost, FAULT_MAX).await };
        match self {
            Self::CutOff => cut(Lost::Everything).await,
            Self::Mute => cut(Lost::OwnCalls).await,
            Self::Deaf => cut(Lost::TheirCalls).await,
            Self::ApiServer => Stricken::Halted { _halted: node::halt_api_server(kr, FAULT_MAX).await },
            Self::Operator => {
                stage.scale_operator("0").await;
                Stricken::Headless
            }
            Self::Paused => Stricken::Paused { _paused: node::pause(kr).await },
        }
    }
}

/// Three regions with a Fleet that is shared out over them, and players on each share.
struct Stage<'a> {
    places: &'a [Scratch],
    kr: &'a Scratch,
    others: [&'a Scratch; 2],
    joined: Joined<'a>,
}

/// Seconds from the fault, or from its end, by step.
type Timeline = BTreeMap<&'static str, f64>;

impl<'a> Stage<'a> {
    async fn set(places: &'a [Scratch]) -> Self {
        let of = |id: &str| places.iter().find(|place| place.region.id == id).unwrap();
        let joined = Joined::join(places).await;
        let stage = Self { places, kr: of("kr"), others: [of("jp"), of("sg")], joined };
        drop(stage.others[0].apply::<Fleet>(&arena("[]")).await);
        stage.await_equal_shares().await;
        stage
    }

    async fn await_equal_shares(&self) {
        let all: Vec<&Scratch> = self.places.iter().collect();
        await_shares(&all, &[("kr", 2), ("jp", 2), ("sg", 2)]).await;
    }

    async fn scale_operator(&self, replicas: &str) {
        let replicas = format!("--replicas={replicas}");
        let scale = ["--namespace", "cranewing-system", "scale", "deployment/cranewing-operator", &replicas];
        drop(e2e::command::kubectl(&self.kr.region, &scale).await);
    }

    /// Waits until both others say of kr what they should.
    async fn await_verdict(&self, what: &str, holds: impl Fn(&str) -> bool) {
        join_all(self.others.map(|other| {
            eventually(what, PATIENCE, async || {
                let status = region_cluster(&other.region, "kr").await?.status.unwrap_or_default();
                let standing = status.standing.map_or_else(String::new, |standing| format!("{standing:?}"));
                if holds(&standing) { Ok(()) } else { Err(standing) }
            })
        }))
        .await;
    }

    /// Asks jp for each player of kr until it has another region; when the first and the last of them had.
    async fn place_players(&self, watch: &Watch) -> (f64, f64) {
        let at = &self.others[0].region;
        let placed = join_all((0..Crowd::PLAYERS).map(|number| {
            let player = json!({ "players": [{ "latenciesMs": { "kr": 5, "jp": 35 + number, "sg": 80 } }], "maxLatencyMs": 60 });
            async move {
                eventually("a player of kr is placed in jp", PATIENCE, || async {
                    let answer = placement::place(at, &player).await?;
                    if answer["region"] == "jp" { Ok(()) } else { Err(answer.to_string()) }
                })
                .await;
                watch.seconds()
            }
        }))
        .await;
        let far = json!({ "players": [{ "latenciesMs": { "kr": 5, "jp": 61 } }], "maxLatencyMs": 60 });
        // each replica of jp hears of it by itself
        eventually("who is too far for all others is told why", PATIENCE, || async {
            let answer = placement::place(at, &far).await?;
            let reasons = ["kr", "jp", "sg"].map(|region| placement::of(&answer, region)["reason"].clone());
            let expected = ["notConnected", "tooFar", "unmeasured"].map(Value::from);
            if answer["region"].is_null() && reasons == expected { Ok(()) } else { Err(answer.to_string()) }
        })
        .await;
        (placed.iter().copied().fold(f64::INFINITY, f64::min), placed.iter().copied().fold(0.0, f64::max))
    }

    /// Rule 4: who is cut off keeps its own, and takes no outsiders.
    async fn ask_the_lost(&self) {
        let player =
            |own: Option<&str>| json!({ "players": [{ "latenciesMs": { "kr": 5 } }], "ownRegion": own });
        eventually("kr takes its own players alone", PATIENCE, || async {
            let outsider = placement::place(&self.kr.region, &player(None)).await?;
            let own = placement::place(&self.kr.region, &player(Some("kr"))).await?;
            let is_so = placement::of(&outsider, "kr")["reason"] == "notConnected" && own["region"] == "kr";
            if is_so { Ok(()) } else { Err(format!("{outsider} {own}")) }
        })
        .await;
    }

    /// Who is cut off says so of itself and of the others, and they do of it; the rest see each other as before.
    async fn expect_two_sides(&self) {
        self.joined
            .await_standings("each side of the cut says what it sees", |standings| {
                [
                    ("kr", "kr", "Isolated"),
                    ("kr", "jp", "Unreachable"),
                    ("kr", "sg", "Unreachable"),
                    ("jp", "kr", "Gone"),
                    ("sg", "kr", "Gone"),
                    ("jp", "sg", "Connected"),
                    ("sg", "jp", "Connected"),
                    ("jp", "jp", "Member"),
                    ("sg", "sg", "Member"),
                ]
                .into_iter()
                .all(|(from, to, expected)| says(standings, from, to) == expected)
            })
            .await;
    }

    /// When jp heard kr last, by kr's RegionCluster there.
    async fn heard_last(&self) -> Option<Time> {
        let status = region_cluster(&self.others[0].region, "kr").await.unwrap().status;
        status.unwrap_or_default().last_heartbeat
    }

    /// Strikes, waits for every step, heals and waits until all is as it was.
    async fn round(&self, fault: Fault) -> Timeline {
        let Outcome { standing, moves_shares, knows_itself_isolated } = fault.outcome();
        let before = self.kr.identities("arena-kr").await;
        let watch = Watch::new();
        let stricken = fault.strike(self).await;
        let suspected = async {
            self.await_verdict("kr is not Connected", |said| said != "Connected").await;
            watch.seconds()
        };
        let agreed = async {
            self.await_verdict(&format!("kr is {standing}"), |said| said == standing).await;
            watch.seconds()
        };
        let capacity = async {
            if moves_shares {
                await_shares(&self.others, &[("jp", SERVERS / 2), ("sg", SERVERS / 2)]).await;
            }
            watch.seconds()
        };
        let placed = self.place_players(&watch);
        let (suspected, agreed, capacity, (first, last)) = tokio::join!(suspected, agreed, capacity, placed);
        let moved = Bots::start(self.others[0], "arena-jp", Crowd::PLAYERS, (1, 900, 1));
        moved.await_playing(Crowd::PLAYERS.into()).await;
        let mut timeline = Timeline::from([
            ("suspected", suspected),
            ("agreed", agreed),
            ("first placement elsewhere", first),
            ("last player placed", last),
            ("players play elsewhere", watch.seconds()),
        ]);
        if moves_shares {
            timeline.extend([("capacity Ready", capacity)]);
        }
        if knows_itself_isolated {
            self.ask_the_lost().await;
        }
        if fault == Fault::CutOff {
            self.expect_two_sides().await;
        }
        let heard_last = self.heard_last().await;
        let healing = Watch::new();
        self.heal(stricken).await;
        self.joined.await_standings("all are members again", all_well).await;
        timeline.extend([("healed to all well", healing.seconds())]);
        if fault == Fault::CutOff {
            assert!(self.heard_last().await > heard_last, "it was not heard while it was cut off");
        }
        let stats = moved.stop().await;
        assert_eq!((stats.disconnects, stats.refused), (0, 0), "{stats:?}");
        self.await_equal_shares().await;
        timeline.extend([("healed to converged", healing.seconds())]);
        if fault != Fault::Paused {
            assert_eq!(self.kr.identities("arena-kr").await, before, "the same servers all the while");
        }
        assert!(
            first < FIRST_PLACED_SECONDS_MAX,
            "{fault:?}: the first player was placed after {first:.1} s"
        );
        assert!(last < FAILOVER_SECONDS_MAX, "{fault:?}: the last player was placed after {last:.1} s");
        // A region that is only degraded counts for half a minute first.
        assert!(
            standing != "Gone" || capacity < FAILOVER_SECONDS_MAX,
            "{fault:?}: servers were Ready after {capacity:.1} s"
        );
        timeline
    }

    async fn heal(&self, stricken: Stricken) {
        if matches!(stricken, Stricken::Headless) {
            self.scale_operator("2").await;
        }
        drop(stricken);
    }
}

/// How often a fault is measured.
fn rounds() -> usize {
    std::env::var("CRANEWING_E2E_ROUNDS").map_or(1, |rounds| rounds.parse().unwrap())
}

/// Loses kr in this way, with players in all regions; those of the regions that are not lost notice nothing.
async fn lose_kr(test: &str, fault: Fault) {
    in_three_regions(test, &[Need::Engine, Need::Bots], async |places| {
        let stage = Stage::set(places).await;
        // whose cluster stands still cannot play on
        let players = places.iter().filter(|place| fault != Fault::Paused || place.region.id != "kr");
        let crowd = Crowd::gather(players, |place| format!("arena-{}", place.region.id)).await;
        for _ in 0..rounds() {
            let timeline = stage.round(fault).await;
            say(&format!("timeline: {}", json!({ "fault": format!("{fault:?}"), "seconds": timeline })));
        }
        crowd.leave_content().await;
        node::await_controllers(&stage.kr.region).await;
        stage.strike_set().await;
    })
    .await;
}

impl Stage<'_> {
    /// Takes the Fleet and the joined regions apart again.
    async fn strike_set(self) {
        delete_everywhere(self.others[0], self.places).await;
        self.joined.part().await;
    }
}

/// A21; rules 4, 5 and 8.
#[tokio::test]
async fn a_region_that_is_cut_off_loses_its_players_to_others_in_seconds_and_keeps_those_it_has() {
    lose_kr("cutoff", Fault::CutOff).await;
}

/// Rule 4: its own word counts while it can still be read.
#[tokio::test]
#[ignore = "long: cargo xtask test --level full"]
async fn a_region_whose_own_calls_are_lost_takes_no_new_players() {
    lose_kr("mutelost", Fault::Mute).await;
}

/// Rule 4: who is read by nobody is isolated though it reads all.
#[tokio::test]
#[ignore = "long: cargo xtask test --level full"]
async fn a_region_that_cannot_be_called_is_gone_though_it_calls_all_others() {
    lose_kr("deaf", Fault::Deaf).await;
}

/// Rule 5: Degraded; its servers are made elsewhere after half a minute, and nobody is moved.
#[tokio::test]
#[ignore = "long: cargo xtask test --level full"]
async fn a_region_whose_api_server_stands_still_gets_no_new_players_and_its_matches_go_on() {
    lose_kr("apiless", Fault::ApiServer).await;
}

/// Rule 5, the same without an operator.
#[tokio::test]
#[ignore = "long: cargo xtask test --level full"]
async fn a_region_without_an_operator_gets_no_new_players_and_its_matches_go_on() {
    lose_kr("leaderless", Fault::Operator).await;
}

#[tokio::test]
#[ignore = "long: cargo xtask test --level full"]
async fn a_region_that_stands_still_loses_its_players_to_others_in_seconds() {
    lose_kr("still", Fault::Paused).await;
}

/// Rule 8: at most two changes of a share an event, and none is left over.
#[tokio::test]
#[ignore = "long: cargo xtask test --level full"]
async fn a_region_that_comes_and_goes_moves_each_share_at_most_twice_each_time() {
    in_three_regions("flapping", &[Need::Engine, Need::Bots], async |places| {
        let stage = Stage::set(places).await;
        let crowd = Crowd::gather(places, |place| format!("arena-{}", place.region.id)).await;
        let jp = stage.others[0];
        let share = jp.api::<Fleet>().get("arena-jp").await.unwrap();
        let before = share.metadata.generation.unwrap();
        for _ in 0..FLAPS {
            let stricken = Fault::CutOff.strike(&stage).await;
            stage.await_verdict("kr is Gone", |said| said == "Gone").await;
            stage.heal(stricken).await;
            stage.await_verdict("kr is Connected", |said| said == "Connected").await;
        }
        stage.joined.await_standings("all are members again", all_well).await;
        stage.await_equal_shares().await;
        let share = jp.api::<Fleet>().get("arena-jp").await.unwrap();
        let changes = share.metadata.generation.unwrap() - before;
        assert!(changes <= 2 * FLAPS, "{changes} changes of jp's share");
        crowd.leave_content().await;
        stage.strike_set().await;
    })
    .await;
}

/// Rule 5: no peer delays local work, however slow it is.
#[tokio::test]
#[ignore = "long: cargo xtask test --level full"]
async fn a_peer_that_answers_slowly_delays_no_local_work() {
    in_three_regions("slow", &[Need::Engine, Need::Bots], async |places| {
        let stage = Stage::set(places).await;
        let crowd = Crowd::gather(places, |place| format!("arena-{}", place.region.id)).await;
        let jp = stage.others[0];
        let local = async || {
            let watch = Watch::new();
            duel_in(jp, 2).await;
            let ready = watch.seconds();
            drop(jp.api::<Fleet>().delete("duel", &DeleteParams::default()).await.unwrap());
            drop(jp.await_fleet("duel", 0).await);
            ready
        };
        let player = json!({ "players": [{ "latenciesMs": { "jp": 5 } }] });
        // the slowest placement and the slowest Fleet, each but the first while the servers of the one before go
        let work = async || {
            let asked = Watch::new();
            assert_eq!(placement::place(&jp.region, &player).await.unwrap()["region"], "jp");
            (asked.seconds(), local().await)
        };
        let worst_of = |one: (f64, f64), other: (f64, f64)| (one.0.max(other.0), one.1.max(other.1));
        let mut usual = work().await;
        for _ in 0..2 {
            usual = worst_of(usual, work().await);
        }
        let others = stage.others.map(|other| &other.region);
        let slow = node::cut(&stage.kr.region, &others, Lost::Most, FAULT_MAX).await;
        let (watch, mut slowed) = (Watch::new(), (0.0, 0.0));
        while watch.seconds() < SLOW_SECONDS {
            slowed = worst_of(slowed, work().await);
        }
        say(&format!(
            "measured: a peer that answers slowly: the slowest placement took {:.2} s ({:.2} s before), and a local Fleet was Ready after \
             {:.1} s ({:.1} s before)",
            slowed.0, usual.0, slowed.1, usual.1
        ));
        for (slowed, usual) in [(slowed.0, usual.0), (slowed.1, usual.1)] {
            assert!(slowed < usual + ANSWER_SECONDS_MAX, "{slowed:.2} s, {usual:.2} s before");
        }
        drop(slow);
        stage.joined.await_standings("all are members again", all_well).await;
        stage.await_equal_shares().await;
        crowd.leave_content().await;
        stage.strike_set().await;
    })
    .await;
}
