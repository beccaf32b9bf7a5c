//! What figures mean: healthy, degraded, unhealthy or critical. Pure; `docs/health.md` has the same table.

use std::fmt::Display;
use std::io;
use std::path::Path;
use std::time::Duration;

use gameserver_sys::MemoryFacts;
use serde::Serialize;

use super::recent::Window;

/// How well it is. Ordered: the worst of all checks is that of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    /// As it should be.
    Healthy,
    /// Players are served, and something is short or slow.
    Degraded,
    /// Players notice.
    Unhealthy,
    /// It is about to end, or of no use any more.
    Critical,
}

/// What a check has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) status: Status,
    pub(crate) message: String,
}

impl Verdict {
    pub(crate) fn new(status: Status, message: impl Display) -> Self {
        Self { status, message: message.to_string() }
    }
}

/// A tick that is overdue for so long makes a zone unhealthy.
const TICK_OVERDUE: Duration = Duration::from_secs(1);
/// And critical: by then `/livez` says the same.
const TICK_STUCK: Duration = Duration::from_secs(5);
/// Lateness of one tick in a hundred that players begin to notice, and that they cannot play with.
const LATE: Duration = Duration::from_millis(50);
const VERY_LATE: Duration = Duration::from_millis(100);
/// Datagrams lost in the socket of a hundred from which a server is unhealthy.
const OVERFLOW_PERCENT: u64 = 1;
/// An operator gives up who has not reported for so long.
const SILENCE: Duration = Duration::from_secs(35);
/// Less than this says nothing about a share of time.
const SHORTEST: Duration = Duration::from_secs(1);

/// How long ago the newest tick began; `None` before the first.
pub(super) fn zone(age: Option<Duration>, tick_hz: u32) -> Verdict {
    let Some(age) = age else { return Verdict::new(Status::Degraded, "no tick yet") };
    let overdue = age.saturating_sub(Duration::from_secs(1) / tick_hz.max(1));
    let status = if overdue < LATE {
        Status::Healthy
    } else if overdue < TICK_OVERDUE {
        Status::Degraded
    } else if overdue < TICK_STUCK {
        Status::Unhealthy
    } else {
        Status::Critical
    };
    Verdict::new(status, format_args!("the newest tick began {} ms ago", age.as_millis()))
}

/// Lateness of ticks in the last minute.
pub(super) fn lateness(minute: &Window) -> Verdict {
    let Some(p99) = minute.lateness.quantile(0.99).map(Duration::from_micros) else {
        return Verdict::new(Status::Healthy, format_args!("no tick in the last {} s", seconds(minute)));
    };
    let status = if p99 < LATE {
        Status::Healthy
    } else if p99 < VERY_LATE {
        Status::Degraded
    } else {
        Status::Unhealthy
    };
    let bound = p99.as_secs_f64() * 1e3;
    Verdict::new(
        status,
        format_args!("99 % of the ticks of the last {} s were at most {bound:.1} ms late", seconds(minute)),
    )
}

/// Datagrams that the kernel dropped in the last minute: some are a burst, one in a second is a socket that is not read
/// fast enough.
pub(super) fn socket(minute: &Window) -> Verdict {
    let Window { overflows, packets, over, .. } = *minute;
    let all = overflows.saturating_add(packets);
    let status = if overflows < over.as_secs().max(1) {
        Status::Healthy
    } else if overflows.saturating_mul(100) < all.saturating_mul(OVERFLOW_PERCENT) {
        Status::Degraded
    } else {
        Status::Unhealthy
    };
    Verdict::new(
        status,
        format_args!("{overflows} of {all} datagrams were dropped in the last {} s", seconds(minute)),
    )
}

/// Share of its core that the zone thread used in the last minute.
pub(super) fn cpu(minute: &Window) -> Verdict {
    let Window { cpu, over, .. } = *minute;
    if over < SHORTEST {
        return Verdict::new(Status::Healthy, "not measured yet");
    }
    let percent = percent(cpu.as_micros(), over.as_micros());
    let status = match percent {
        0..=80 => Status::Healthy,
        81..=95 => Status::Degraded,
        _ => Status::Unhealthy,
    };
    Verdict::new(
        status,
        format_args!("the zone thread used {percent} % of a core in the last {} s", seconds(minute)),
    )
}

/// Open report streams and for how long there have been none; `None` for a server without an operator.
pub(super) fn reports(streams: Option<(usize, Duration)>) -> Verdict {
    match streams {
        None => Verdict::new(Status::Healthy, "standalone: nobody to report to"),
        Some((open @ 1.., _)) => Verdict::new(Status::Healthy, format_args!("open report streams: {open}")),
        Some((0, since)) => {
            let status = if since < SILENCE { Status::Degraded } else { Status::Unhealthy };
            Verdict::new(status, format_args!("no report stream for {} s", since.as_secs()))
        }
    }
}

/// Memory in use.
pub(super) fn memory(facts: io::Result<MemoryFacts>) -> Verdict {
    let facts = match facts {
        Ok(facts) => facts,
        Err(error) => return Verdict::new(Status::Degraded, format_args!("unknown: {error}")),
    };
    let MemoryFacts { used_bytes, limit_bytes, of } = facts;
    let (used, limit) = (u128::from(used_bytes), u128::from(limit_bytes));
    // compared exactly: 80.4 % is more than 80 %
    let status = if used * 100 <= limit * 80 {
        Status::Healthy
    } else if used * 100 <= limit * 90 {
        Status::Degraded
    } else {
        Status::Critical
    };
    let mib = |bytes: u64| bytes / (1 << 20);
    let (percent, of) = (percent(used, limit), of.as_str());
    Verdict::new(
        status,
        format_args!("{percent} % of {} MiB in use ({of}, {} MiB)", mib(limit_bytes), mib(used_bytes)),
    )
}

/// Files that have to be there, and have content, for the next connect to an operator.
pub(super) fn files<'a>(read: impl Iterator<Item = (&'a Path, io::Result<bool>)>) -> Verdict {
    let mut count = 0;
    for (file, is_there) in read {
        let error = match is_there {
            Ok(true) => {
                count += 1;
                continue;
            }
            Ok(false) => "it is empty".to_owned(),
            Err(error) => error.to_string(),
        };
        // a stream that is open lasts; the next one cannot be opened
        return Verdict::new(Status::Unhealthy, format_args!("failed to read {}: {error}", file.display()));
    }
    Verdict::new(Status::Healthy, format_args!("{count} files can be read"))
}

fn percent(part: u128, whole: u128) -> u64 {
    let percent = (part * 100).checked_div(whole);
    percent.map_or(0, |percent| u64::try_from(percent).unwrap_or(u64::MAX))
}

fn seconds(minute: &Window) -> u64 {
    minute.over.as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;
    use Status::{Critical, Degraded, Healthy, Unhealthy};
    use gameserver_contract::Histogram;
    use gameserver_sys::MemoryOf;

    const MS: Duration = Duration::from_millis(1);
    const SECOND: Duration = Duration::from_secs(1);

    fn window() -> Window {
        let (overflows, packets, cpu) = (0, 0, Duration::ZERO);
        Window { over: 60 * SECOND, overflows, packets, cpu, lateness: Histogram::default() }
    }

    #[test]
    fn a_zone_is_as_well_as_its_newest_tick_is_young() {
        for (name, age_ms, tick_hz, expected) in [
            ("not begun", None, 64, Degraded),
            ("in time", Some(7), 64, Healthy),
            ("a little late", Some(65), 64, Healthy),
            ("late", Some(66), 64, Degraded),
            ("a second late", Some(1016), 64, Unhealthy),
            ("as livez has it", Some(5016), 64, Critical),
            ("slow ticks are not late", Some(1049), 1, Healthy),
            ("slow ticks that are late", Some(1050), 1, Degraded),
            ("a rate of nothing", Some(7), 0, Healthy),
        ] {
            assert_eq!(zone(age_ms.map(|age| age * MS), tick_hz).status, expected, "{name}");
        }
    }

    #[test]
    fn ticks_are_late_from_50_ms_on_and_unplayable_from_100() {
        for (name, late, others, expected) in [
            ("none", None, 0, Healthy),
            ("in time", Some(100), 100, Healthy),
            ("just not late", Some(49_152), 0, Healthy),
            ("late", Some(49_153), 0, Degraded),
            ("very late", Some(98_305), 0, Unhealthy),
            ("one in a hundred at most is forgiven", Some(1_000_000), 99, Healthy),
            ("more are not", Some(1_000_000), 98, Unhealthy),
        ] {
            let mut minute = window();
            if let Some(late) = late {
                minute.lateness.record(late);
            }
            (0..others).for_each(|_| minute.lateness.record(10));
            assert_eq!(lateness(&minute).status, expected, "{name}");
        }
    }

    #[test]
    fn a_socket_that_drops_one_a_second_is_degraded_and_one_in_a_hundred_unhealthy() {
        for (name, overflows, packets, over, expected) in [
            ("nobody is here", 0, 0, 60, Healthy),
            ("nothing is dropped", 0, 3_840_000, 60, Healthy),
            ("a burst", 59, 3_840_000, 60, Healthy),
            ("one a second", 60, 3_840_000, 60, Degraded),
            ("just under one in a hundred", 38_787, 3_840_000, 60, Degraded),
            ("one in a hundred", 38_788, 3_840_000, 60, Unhealthy),
            ("all of them", 1000, 0, 60, Unhealthy),
            ("at the start", 1, 1, 0, Unhealthy),
            ("figures beyond reason", u64::MAX, u64::MAX, 60, Unhealthy),
        ] {
            let minute = Window { overflows, packets, over: over * SECOND, ..window() };
            assert_eq!(socket(&minute).status, expected, "{name}");
        }
    }

    #[test]
    fn a_zone_thread_that_uses_more_than_80_percent_of_its_core_is_degraded() {
        for (name, cpu_ms, over_ms, expected) in [
            ("idle", 0, 60_000, Healthy),
            ("80 %", 48_599, 60_000, Healthy),
            ("81 %", 48_600, 60_000, Degraded),
            ("95 %", 57_000, 60_000, Degraded),
            ("96 %", 57_600, 60_000, Unhealthy),
            ("two clocks that disagree", 70_000, 60_000, Unhealthy),
            ("too short to tell", 999, 999, Healthy),
        ] {
            let minute = Window { cpu: cpu_ms * MS, over: over_ms * MS, ..window() };
            assert_eq!(cpu(&minute).status, expected, "{name}");
        }
    }

    #[test]
    fn a_server_without_a_stream_is_unhealthy_once_the_operator_gives_it_up() {
        for (name, streams, expected) in [
            ("standalone", None, Healthy),
            ("one stream", Some((1, Duration::ZERO)), Healthy),
            ("a stream that was just opened", Some((2, 100 * SECOND)), Healthy),
            ("just lost", Some((0, 34 * SECOND)), Degraded),
            ("given up", Some((0, 35 * SECOND)), Unhealthy),
        ] {
            assert_eq!(reports(streams).status, expected, "{name}");
        }
    }

    #[test]
    fn memory_above_80_percent_is_degraded_and_above_90_critical() {
        for (used_bytes, limit_bytes, expected) in [
            (0, 1000, Healthy),
            (800, 1000, Healthy),
            (801, 1000, Degraded),
            (900, 1000, Degraded),
            (901, 1000, Critical),
            (u64::MAX, u64::MAX, Critical),
            (0, 0, Healthy),
        ] {
            let facts = MemoryFacts { used_bytes, limit_bytes, of: MemoryOf::ControlGroup };
            assert_eq!(memory(Ok(facts)).status, expected, "{used_bytes} of {limit_bytes}");
        }
        let unknown = memory(Err(io::ErrorKind::NotFound.into()));
        assert_eq!((unknown.status, unknown.message.starts_with("unknown: ")), (Degraded, true));
        let facts = MemoryFacts { used_bytes: 3 << 28, limit_bytes: 1 << 30, of: MemoryOf::Host };
        assert_eq!(memory(Ok(facts)).message, "75 % of 1024 MiB in use (host, 768 MiB)");
    }

    #[test]
    fn a_file_that_cannot_be_read_or_is_empty_is_named() {
        let (ca, token) = (Path::new("/ca.pem"), Path::new("/token"));
        let there = || Ok(true);
        let cases = [
            (vec![(ca, there()), (token, there())], Healthy, "2 files can be read"),
            (vec![(ca, there()), (token, Ok(false))], Unhealthy, "failed to read /token: it is empty"),
            (
                vec![(ca, Err(io::ErrorKind::NotFound.into())), (token, there())],
                Unhealthy,
                "failed to read /ca.pem: entity not found",
            ),
        ];
        for (read, status, message) in cases {
            assert_eq!(files(read.into_iter()), Verdict::new(status, message));
        }
    }

    #[test]
    fn the_worst_counts() {
        assert!(Healthy < Degraded && Degraded < Unhealthy && Unhealthy < Critical);
    }
}
