//! A figure that follows a line without jumps.

/// A figure that grows evenly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Line {
    /// Some time, in seconds.
    pub(crate) at: f64,
    /// The figure then.
    pub(crate) value: f64,
    /// How much it grows in a second.
    pub(crate) per_second: f64,
}

impl Line {
    pub(crate) fn value_at(&self, at: f64) -> f64 {
        self.value + (at - self.at) * self.per_second
    }

    fn time_of(&self, value: f64) -> f64 {
        self.at + (value - self.value) / self.per_second
    }
}

/// How a figure may leave its line and come back to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SlewLimits {
    /// How much a second it may be faster or slower than the line.
    pub(crate) per_second: f64,
    /// It takes at least this many seconds to come back, so that small corrections are not seen at all.
    pub(crate) seconds: f64,
    /// From this distance on it steps.
    pub(crate) step: f64,
}

/// A figure that follows a line: where the line jumps the figure goes faster or slower for a while.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slewed {
    line: Line,
    /// How far the line was ahead of the figure at `since`.
    behind: f64,
    since: f64,
    per_second: f64,
}

impl Slewed {
    pub(crate) fn on(line: Line) -> Self {
        Self { line, behind: 0.0, since: line.at, per_second: 0.0 }
    }

    pub(crate) fn value_at(&self, at: f64) -> f64 {
        let caught_up = self.per_second * (at - self.since);
        self.line.value_at(at) - self.behind.signum() * (self.behind.abs() - caught_up).max(0.0)
    }

    /// When the figure will have, or had, a value, if it grows at all.
    pub(crate) fn time_of(&self, value: f64) -> f64 {
        let on_line = self.line.time_of(value);
        if on_line >= self.settled_at() {
            return on_line;
        }
        let slewing = Line {
            at: self.since,
            value: self.line.value_at(self.since) - self.behind,
            per_second: self.line.per_second + self.behind.signum() * self.per_second,
        };
        slewing.time_of(value).min(self.settled_at())
    }

    /// When the figure will be on its line.
    pub(crate) fn settled_at(&self) -> f64 {
        if self.per_second > 0.0 { self.since + self.behind.abs() / self.per_second } else { self.since }
    }

    /// Follows another line from now on; true when it had to step.
    pub(crate) fn follow(&mut self, line: Line, now: f64, limits: &SlewLimits) -> bool {
        let behind = line.value_at(now) - self.value_at(now);
        if behind.abs() > limits.step {
            *self = Self::on(Line { at: now, value: line.value_at(now), ..line });
            return true;
        }
        let per_second = limits.per_second.min(behind.abs() / limits.seconds);
        *self = Self { line, behind, since: now, per_second };
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: SlewLimits = SlewLimits { per_second: 3.0, seconds: 0.5, step: 32.0 };

    fn line(value: f64) -> Line {
        Line { at: 0.0, value, per_second: 64.0 }
    }

    #[test]
    fn a_figure_catches_up_at_its_rate_and_no_further() {
        for (behind, seconds) in [(6.0, 2.0), (-6.0, 2.0), (0.3, 0.5), (-0.3, 0.5)] {
            let mut slewed = Slewed::on(line(100.0));
            assert!(!slewed.follow(line(100.0 + behind), 0.0, &LIMITS));
            assert!((slewed.value_at(0.0) - 100.0).abs() < 1e-9, "{behind}: no jump");
            assert!((slewed.settled_at() - seconds).abs() < 1e-9, "{behind}");
            let half = slewed.value_at(seconds / 2.0) - line(100.0).value_at(seconds / 2.0);
            assert!((half - behind / 2.0).abs() < 1e-9, "{behind}: half of the way in half of the time");
            let after = slewed.value_at(9.0) - line(100.0 + behind).value_at(9.0);
            assert!(after.abs() < 1e-9, "{behind}: on the line afterwards");
        }
    }

    #[test]
    fn too_far_away_is_a_step() {
        let mut slewed = Slewed::on(line(100.0));
        assert!(slewed.follow(line(60.0), 1.0, &LIMITS));
        assert!((slewed.value_at(1.0) - 124.0).abs() < 1e-9);
    }

    #[test]
    fn the_time_of_a_value_is_when_the_figure_has_it() {
        for behind in [6.0, -6.0, 0.3, 0.0] {
            let mut slewed = Slewed::on(line(100.0));
            slewed.follow(line(100.0 + behind), 1.0, &LIMITS);
            for at in [1.0, 1.4, 2.9, 3.0, 3.1, 20.0] {
                let found = slewed.time_of(slewed.value_at(at));
                assert!((found - at).abs() < 1e-9, "{behind}: {found} instead of {at}");
            }
        }
    }
}
