//! From a request to its answer: what is asked is checked, decided by `operator_core` and said in words. No door, no clock.

use operator_core::regions::membership::{Source, Standing};
use operator_core::regions::placement::{Candidate, Latencies, NoChoice, Party, Refusal, select_region};
use operator_core::regions::{InvalidRegionId, RegionId};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;

use super::proto::{self, PlaceRequest, PlaceResponse, Reason};
use crate::runtime::http::Fault;

const PLAYERS: RangeInclusive<usize> = 1..=1000;
const ID_LEN: RangeInclusive<usize> = 0..=64;
const LATENCIES: RangeInclusive<usize> = 0..=64;
const LATENCY_MS: RangeInclusive<u32> = 0..=10_000;
const LIMIT_MS: RangeInclusive<u32> = 1..=10_000;
const LIMIT_MS_DEFAULT: u32 = 100;
/// Characters of a name that is none, as errors show it.
const NAME_SHOWN_MAX: usize = 16;

/// Answers the request from what is known of the regions.
pub(super) fn place(
    request: &PlaceRequest,
    candidates: &BTreeMap<RegionId, Candidate>,
) -> Result<PlaceResponse, Fault> {
    let players = read_players(request)?;
    let limit = request.max_latency_ms.unwrap_or(LIMIT_MS_DEFAULT);
    within("it", limit, LIMIT_MS, || "maxLatencyMs".to_owned())?;
    let own = request.own_region.as_deref().map(|name| read_region(name, || "ownRegion".to_owned()));
    let party = Party { players: &players, latency_ms_max: limit, own: own.transpose()? };
    let selected = select_region(party, candidates);
    let (choice, refused) = match &selected {
        Ok(choice) => (Some(choice), &choice.refused),
        Err(NoChoice::Refused(refused)) => (None, refused),
        // Neither can be: somebody is to be placed, and this region itself is always there.
        Err(NoChoice::NoPlayers | NoChoice::NoRegions) => (None, const { &BTreeMap::new() }),
    };
    let chosen = choice.map_or_else(String::new, |choice| {
        format!("{}: {} ms, {} ms", choice.region, choice.latency_ms_worst, choice.latency_ms_mean)
    });
    let words = Words { request, party, chosen };
    let region = |(&region, candidate): (&RegionId, &Candidate)| {
        let refusal = refused.get(&region);
        proto::Region {
            region: region.to_string(),
            standing: proto::Standing::from(candidate.standing).into(),
            headroom: candidate.headroom,
            worst_latency_ms: worst(&players, region),
            reason: refusal.map(|&refusal| Reason::from(refusal).into()),
            message: refusal.map(|&refusal| words.tell(region, refusal)),
        }
    };
    Ok(PlaceResponse {
        region: choice.map(|choice| choice.region.to_string()),
        worst_latency_ms: choice.map(|choice| choice.latency_ms_worst),
        mean_latency_ms: choice.map(|choice| choice.latency_ms_mean),
        regions: candidates.iter().map(region).collect(),
    })
}

fn read_players(request: &PlaceRequest) -> Result<Vec<Latencies>, Fault> {
    within("their number", request.players.len(), PLAYERS, || "players".to_owned())?;
    let read = |(at, player): (usize, &proto::Player)| {
        let id_len = player.id.as_ref().map_or(0, |id| id.chars().count());
        within("its length", id_len, ID_LEN, || format!("players[{at}].id"))?;
        let path = || format!("players[{at}].latenciesMs");
        within("their number", player.latencies_ms.len(), LATENCIES, path)?;
        let latencies = player.latencies_ms.iter().map(|(name, &latency)| {
            let path = || format!("{}.{name:.NAME_SHOWN_MAX$}", path());
            within("it", latency, LATENCY_MS, path)?;
            Ok((read_region(name, path)?, latency))
        });
        latencies.collect()
    };
    request.players.iter().enumerate().map(read).collect()
}

fn read_region(name: &str, field: impl FnOnce() -> String) -> Result<RegionId, Fault> {
    name.parse().map_err(|error: InvalidRegionId| Fault { field: field(), message: error.to_string() })
}

fn within<T: Copy + PartialOrd + Display>(
    what: &str,
    value: T,
    range: RangeInclusive<T>,
    field: impl FnOnce() -> String,
) -> Result<(), Fault> {
    if range.contains(&value) {
        return Ok(());
    }
    let message = format!("{what} must be from {} to {}, and is {value}", range.start(), range.end());
    Err(Fault { field: field(), message })
}

fn worst(players: &[Latencies], region: RegionId) -> Option<u32> {
    players.iter().try_fold(0, |worst, player| Some(worst.max(*player.get(&region)?)))
}

impl From<Standing> for proto::Standing {
    fn from(standing: Standing) -> Self {
        match standing {
            Standing::Connected => Self::Connected,
            Standing::Unreachable => Self::Unreachable,
            Standing::Isolated => Self::Isolated,
            Standing::Degraded(_) => Self::Degraded,
            Standing::Gone => Self::Gone,
        }
    }
}

impl From<Refusal> for Reason {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotConnected(_) => Self::NotConnected,
            Refusal::Drained => Self::Drained,
            Refusal::Unmeasured(_) => Self::Unmeasured,
            Refusal::TooFar { .. } => Self::TooFar,
            Refusal::Full { .. } => Self::Full,
            Refusal::FartherThanChosen { .. } => Self::FartherThanChosen,
        }
    }
}

/// What messages for people are made of.
struct Words<'a> {
    request: &'a PlaceRequest,
    party: Party<'a>,
    /// What the chosen region has, if there is one.
    chosen: String,
}

impl Words<'_> {
    fn tell(&self, region: RegionId, refusal: Refusal) -> String {
        let players = self.party.players;
        match refusal {
            Refusal::NotConnected(standing) => explain(standing).to_owned(),
            Refusal::Drained => "a majority of the regions says that it shall be left".to_owned(),
            Refusal::Unmeasured(count) => {
                let first = players.iter().position(|player| !player.contains_key(&region));
                format!(
                    "{count} of {} players have not measured it, first {}",
                    players.len(),
                    self.name(first)
                )
            }
            Refusal::TooFar { latency_ms_worst } => {
                let limit = self.party.latency_ms_max;
                format!("{} has {latency_ms_worst} ms and accepts {limit} ms", self.worst_off(region))
            }
            Refusal::Full { headroom } => {
                format!("{} players are to be placed, and {headroom} still fit", players.len())
            }
            Refusal::FartherThanChosen { latency_ms_worst, latency_ms_mean } => format!(
                "{} has {latency_ms_worst} ms, {latency_ms_mean} ms in the mean; {}",
                self.worst_off(region),
                self.chosen
            ),
        }
    }

    fn worst_off(&self, region: RegionId) -> String {
        let players = self.party.players.iter().enumerate();
        self.name(players.max_by_key(|(_, player)| player.get(&region)).map(|(at, _)| at))
    }

    /// The player's id, or where it stands in the request.
    fn name(&self, at: Option<usize>) -> String {
        let at = at.unwrap_or_default();
        self.request.players[at].id.clone().unwrap_or_else(|| format!("players[{at}]"))
    }
}

const fn explain(standing: Standing) -> &'static str {
    match standing {
        Standing::Connected => "it is connected",
        Standing::Unreachable => "it is not read from here, and no majority says more",
        Standing::Isolated => "it sees no majority of the regions and takes its own players alone",
        Standing::Degraded(Source::Votes) => "a majority of the regions does not read it",
        Standing::Degraded(Source::OwnWord) => "its API server is away",
        Standing::Gone => "a majority of the regions hears nothing of it",
    }
}
