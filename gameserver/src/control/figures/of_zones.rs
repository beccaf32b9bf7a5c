//! One distribution for those of all zones in a period: a decision.

use gameserver_contract::{Histogram, HistogramDelta};

/// All that was recorded, whichever zone it was in: what each value counts for alike.
pub(super) fn together(zones: &[HistogramDelta]) -> HistogramDelta {
    let mut all = Histogram::default();
    for zone in zones {
        all.add(zone);
    }
    all.take_delta()
}

/// That of the zone in which the value at `quantile` is highest, and of those that are alike the one with the highest mean.
///
/// An operator adds up many periods and asks for the same quantile: that is then no lower than what the worst zone had in the
/// best of these periods, however many zones had nothing to do.
pub(super) fn worst(zones: Vec<HistogramDelta>, quantile: f64) -> HistogramDelta {
    let badness = |zone: &HistogramDelta| {
        let mut recorded = Histogram::default();
        recorded.add(zone);
        (recorded.quantile(quantile), recorded.mean())
    };
    zones.into_iter().max_by_key(badness).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many of each value.
    fn of(values: &[(u64, usize)]) -> HistogramDelta {
        let mut histogram = Histogram::default();
        for &(value, count) in values {
            (0..count).for_each(|_| histogram.record(value));
        }
        histogram.take_delta()
    }

    #[test]
    fn the_worst_zone_is_the_one_with_the_highest_quantile() {
        type Values = &'static [(u64, usize)];
        let cases: [(&str, &[Values], Values); 7] = [
            ("one zone is what it is", &[&[(3, 64)]], &[(3, 64)]),
            ("one of many is overloaded", &[&[(3, 64)], &[(3, 64)], &[(12, 64)], &[(3, 64)]], &[(12, 64)]),
            (
                "one that is so late that it hardly ticks",
                &[&[(3, 64)], &[(3000, 2)], &[(3, 64)]],
                &[(3000, 2)],
            ),
            (
                "whose worst ticks are worse, and not the one with the higher mean",
                &[&[(24, 64)], &[(3, 60), (48, 4)]],
                &[(3, 60), (48, 4)],
            ),
            (
                "what is rarer than the quantile says nothing",
                &[&[(24, 64)], &[(3, 63), (48, 1)]],
                &[(24, 64)],
            ),
            ("of two alike the one with the higher mean", &[&[(17, 64)], &[(24, 64)]], &[(24, 64)]),
            ("without zones there is nothing", &[], &[]),
        ];
        for (name, zones, expected) in cases {
            let deltas: Vec<_> = zones.iter().map(|zone| of(zone)).collect();
            let backwards = deltas.iter().rev().cloned().collect();
            assert_eq!(worst(deltas, 0.95), of(expected), "{name}");
            assert_eq!(worst(backwards, 0.95), of(expected), "{name}, in whichever order");
        }
    }

    #[test]
    fn one_overloaded_zone_of_many_shows_over_any_time_and_did_not_in_all_together() {
        let idle = || of(&[(3, 64)]);
        let (mut of_worst, mut of_all) = (Histogram::default(), Histogram::default());
        for second in 0..10 {
            let mut zones: Vec<_> = (0..32).map(|_| idle()).collect();
            // and others take turns at being slow for a moment
            zones[second] = of(&[(3, 63), (48, 1)]);
            zones[31] = of(&[(12, 64)]);
            of_all.add(&together(&zones));
            of_worst.add(&worst(zones, 0.95));
        }
        assert_eq!((of_worst.quantile(0.95), of_all.quantile(0.95)), (Some(12), Some(3)));
    }
}
