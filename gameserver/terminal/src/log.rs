//! The log at the bottom of the screen.

use std::collections::VecDeque;
use std::time::Duration;

/// Lines that are kept.
const LINES_MAX: usize = 200;

/// How a line is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    Good,
    Bad,
    /// The server said no.
    Refused,
}

/// A line, and how often it came in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// When it came last, since the start.
    pub(crate) at: Duration,
    pub(crate) tone: Tone,
    pub(crate) text: String,
    pub(crate) times: u32,
}

/// What happened, oldest first. The same in a row is one line.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(VecDeque<Line>);

impl Log {
    pub(crate) fn push(&mut self, at: Duration, tone: Tone, text: impl Into<String>) {
        let text = text.into();
        if let Some(last) = self.0.back_mut().filter(|last| (last.tone, &last.text) == (tone, &text)) {
            (last.at, last.times) = (at, last.times.saturating_add(1));
            return;
        }
        if self.0.len() == LINES_MAX {
            self.0.pop_front();
        }
        self.0.push_back(Line { at, tone, text, times: 1 });
    }

    /// The last lines, oldest first.
    pub(crate) fn last(&self, count: usize) -> impl Iterator<Item = &Line> {
        self.0.iter().skip(self.0.len().saturating_sub(count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_in_a_row_is_one_line_that_counts() {
        let mut log = Log::default();
        for (second, tone, text) in
            [(1, Tone::Refused, "no"), (2, Tone::Refused, "no"), (3, Tone::Plain, "no")]
        {
            log.push(Duration::from_secs(second), tone, text);
        }
        let lines: Vec<_> = log.last(9).map(|line| (line.at.as_secs(), line.tone, line.times)).collect();
        assert_eq!(lines, [(2, Tone::Refused, 2), (3, Tone::Plain, 1)]);
    }

    #[test]
    fn the_oldest_lines_go_and_the_last_are_shown() {
        let mut log = Log::default();
        for number in 0..=LINES_MAX {
            log.push(Duration::ZERO, Tone::Plain, number.to_string());
        }
        assert_eq!(log.last(usize::MAX).count(), LINES_MAX);
        let last: Vec<_> = log.last(2).map(|line| line.text.as_str()).collect();
        assert_eq!(last, ["199", "200"]);
    }
}
