//! Which numbers of a series never came, told once it is too late for them.

/// How far behind the newest number one may still come; 64 datagrams are a second at 64 ticks a second.
const WINDOW: u32 = u64::BITS;

/// The missing ones among the newest 64 numbers of a series. One that is still missing when the series is 64 further is
/// lost, and told once; what comes later than that does not take it back.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Gaps {
    /// `None` before the first.
    newest: Option<u64>,
    /// Bit k: `newest - k` is missing.
    missing: u64,
}

impl Gaps {
    /// `number` has come. Of those that it skips at most `most` count: whoever makes the numbers may make them up.
    /// Returns how many are lost by that.
    pub(crate) fn receive(&mut self, number: u64, most: u64) -> u64 {
        let Some(newest) = self.newest else {
            self.newest = Some(number);
            return 0;
        };
        let Some(by @ 1..) = number.checked_sub(newest) else {
            self.missing &= !bit(newest - number);
            return 0;
        };
        let skipped = (by - 1).min(most);
        let near = skipped.min(u64::from(WINDOW - 1));
        let lost = self.advance(number, by) + skipped - near;
        self.missing |= (bit(near) - 1) << 1;
        lost
    }

    /// `number` is on its way to somebody who says what has arrived. Numbers grow. Returns how many are lost by that.
    pub(crate) fn send(&mut self, number: u64) -> u64 {
        let lost = self.advance(number, number.saturating_sub(self.newest.unwrap_or(number)));
        self.missing |= 1;
        lost
    }

    /// Bit k of `arrived`: `newest - k` has arrived.
    pub(crate) fn heard(&mut self, arrived: u64) {
        self.missing &= !arrived;
    }

    /// The newest number so far; 0 before the first.
    pub(crate) fn newest(&self) -> u64 {
        self.newest.unwrap_or(0)
    }

    fn advance(&mut self, number: u64, by: u64) -> u64 {
        let before = self.missing.count_ones();
        let by = u32::try_from(by).unwrap_or(u32::MAX);
        self.missing = self.missing.checked_shl(by).unwrap_or(0);
        self.newest = Some(number);
        u64::from(before - self.missing.count_ones())
    }
}

/// The bit of what is so far back; none beyond the window.
fn bit(back: u64) -> u64 {
    u32::try_from(back).ok().and_then(|back| 1_u64.checked_shl(back)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: u64 = u64::MAX;

    /// Lost of a series that came like this.
    fn lost(series: &[u64], most: u64) -> u64 {
        let mut gaps = Gaps::default();
        series.iter().map(|&number| gaps.receive(number, most)).sum()
    }

    #[test]
    fn what_is_missing_64_numbers_later_is_lost_and_told_once() {
        let whole: Vec<u64> = (0..300).collect();
        let without = |missing: &[u64]| -> Vec<u64> {
            whole.iter().copied().filter(|number| !missing.contains(number)).collect()
        };
        let cases: [(&str, Vec<u64>, u64); 10] = [
            ("all came", whole.clone(), 0),
            ("a series may begin anywhere", vec![1 << 63, (1 << 63) + 1], 0),
            ("one is missing", without(&[100]), 1),
            ("some in a row and one alone", without(&[100, 101, 102, 110]), 4),
            ("too early to tell", without(&[290]), 0),
            ("more than the window at once", [0, 1000].to_vec(), 999 - 63),
            ("and those within it later", [0, 1000, 1064].to_vec(), 999 + 63 - 63),
            ("swapped", [0, 2, 1, 3, 200, 400].to_vec(), 196 + 199 - 63),
            ("twice", [0, 1, 1, 1, 100].to_vec(), 98 - 63),
            ("later than 64 is lost all the same", [without(&[100]), vec![100, 300]].concat(), 1),
        ];
        for (name, series, expected) in cases {
            assert_eq!(lost(&series, ANY), expected, "{name}");
        }
    }

    #[test]
    fn no_more_counts_than_may_have_been_sent() {
        for (name, series, most, expected) in [
            ("numbers that were made up", &[0, u64::MAX - 200, u64::MAX - 100, u64::MAX][..], 5, 10),
            ("a few of them", &[0, 1000, 2000][..], 0, 0),
            ("from the top to the bottom", &[u64::MAX, 0, 1][..], ANY, 0),
        ] {
            assert_eq!(lost(series, most), expected, "{name}");
        }
        assert_eq!(lost(&[0, u64::MAX], ANY), u64::MAX - 1 - 63, "nothing overflows");
    }

    #[test]
    fn what_nobody_says_has_arrived_is_lost_when_64_more_were_sent() {
        let mut gaps = Gaps::default();
        let mut lost = 0;
        for number in 1000..1064 {
            lost += gaps.send(number);
            gaps.heard(u64::from(number % 2 == 0));
        }
        assert_eq!((lost, gaps.newest()), (0, 1063), "as long as it may still be heard");
        for number in 1064..1264 {
            lost += gaps.send(number);
            gaps.heard(1);
        }
        assert_eq!(lost, 32, "every second of the first 64");
        assert_eq!(gaps.send(5000) + gaps.send(5001), 0, "what was not sent is not missed");
        assert_eq!(gaps.send(6000), 2);
    }
}
