//! Figures of statuses, as people read them. One that only jitters says nothing new, and a settled object makes no write
//! whoever plays: a figure is told anew when it has moved by more than its slack. Metrics have it exactly.

/// Slack of a percentile, in percent: two values in neighbouring buckets of a histogram are up to a half apart, and what was
/// told is rounded.
pub(crate) const PERCENTILE: u64 = 60;
/// Slack of a mean, in percent.
pub(crate) const MEAN: u64 = 20;
/// Slack of a count or a percentage, however small it is.
const POINTS: u64 = 2;
/// Slack of a latency in microseconds, however small it is: a thirtieth of a tick at 64 Hz. The ticks of a server without
/// players take some tens, and on a busy node ten times as much in one minute as in the next.
const LATENCY_US: u64 = 500;

/// What to tell of a latency, such as `850us`, `1.5ms` or `12ms`, after `told` was told of it.
pub(crate) fn latency(told: Option<&str>, us: u64, slack: u64) -> String {
    let near = |told: u64| told.abs_diff(us) <= LATENCY_US.max(told * slack / 100);
    let still = told.filter(|told| parse(told).is_some_and(near));
    still.map_or_else(|| microseconds(us), str::to_owned)
}

/// What to tell of a count or a percentage after `told` was told of it.
pub(crate) fn number(told: Option<i64>, value: i64, slack: u64) -> i64 {
    let still = |told: &i64| told.abs_diff(value) <= POINTS.max(told.unsigned_abs() * slack / 100);
    told.filter(still).unwrap_or(value)
}

fn microseconds(us: u64) -> String {
    match us {
        0..1000 => format!("{us}us"),
        1000..10_000 => format!("{}.{}ms", us / 1000, us % 1000 / 100),
        _ => format!("{}ms", us / 1000),
    }
}

/// Microseconds of what [`microseconds`] wrote; `None` for anything else.
fn parse(text: &str) -> Option<u64> {
    if let Some(us) = text.strip_suffix("us") {
        return us.parse().ok();
    }
    let ms = text.strip_suffix("ms")?;
    let (whole, tenths) = ms.split_once('.').unwrap_or((ms, "0"));
    let (whole, tenths): (u64, u64) = (whole.parse().ok()?, tenths.parse().ok()?);
    whole.checked_mul(1000)?.checked_add(tenths * 100)
}

#[cfg(test)]
mod tests {
    use super::*;
    use gameserver_contract::histogram::BOUNDS;

    #[test]
    fn latencies_are_short_and_read_back() {
        for (us, text, back) in [
            (0, "0us", 0),
            (999, "999us", 999),
            (1530, "1.5ms", 1500),
            (9999, "9.9ms", 9900),
            (12_288, "12ms", 12_000),
        ] {
            assert_eq!(microseconds(us), text);
            assert_eq!(parse(text), Some(back));
        }
        for strange in ["", "ms", "1.5", "-1us", "1.x ms", "12s"] {
            assert_eq!(parse(strange), None, "{strange}");
        }
    }

    #[test]
    fn a_percentile_that_sways_between_two_buckets_says_nothing_new() {
        for pair in BOUNDS.windows(2).filter(|pair| pair[0] > 1) {
            for (one, other) in [(pair[0], pair[1]), (pair[1], pair[0])] {
                let told = latency(None, one, PERCENTILE);
                assert_eq!(latency(Some(&told), other, PERCENTILE), told, "{one} to {other}");
            }
        }
        assert_eq!(latency(Some("1.5ms"), 3072, PERCENTILE), "3.0ms", "twice as much is news");
    }

    #[test]
    fn a_figure_is_told_anew_when_it_has_moved_by_more_than_its_slack() {
        for (told, us, tells) in [
            (None, 10_500, "10ms"),
            (Some("10ms"), 11_900, "10ms"),
            (Some("10ms"), 12_100, "12ms"),
            (Some("10ms"), 7900, "7.9ms"),
            (Some("not a latency"), 10_000, "10ms"),
            (Some("24us"), 524, "24us"),
            (Some("24us"), 525, "525us"),
            (Some("600us"), 100, "600us"),
            (Some("600us"), 99, "99us"),
        ] {
            assert_eq!(latency(told, us, MEAN), tells, "{told:?} and {us}");
        }
        for (told, value, tells) in [
            (None, 3, 3),
            (Some(0), 2, 0),
            (Some(0), 3, 3),
            (Some(60), 72, 60),
            (Some(60), 73, 73),
            (Some(60), 47, 47),
        ] {
            assert_eq!(number(told, value, MEAN), tells, "{told:?} and {value}");
        }
    }
}
