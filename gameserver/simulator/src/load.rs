//! What is carried out when players ask for more than a tick may: how much it is, who gets how much, and how long the others
//! wait.

use crate::process::Zone;
use crate::{Broken, Rule, TICK_HZ};

/// Ticks through which an input that is due waits at most, the one with which it is decided among them: an eighth of a second.
pub(crate) const PATIENCE_TICKS: u64 = TICK_HZ as u64 / 8;
/// Ticks of which it is remembered whether they were full: longer than any player waits for an answer.
const KEPT: usize = 1024;

/// When an input that has reached a zone may be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) boot: u32,
    pub(crate) zone: usize,
    /// The first tick that may.
    pub(crate) tick: u64,
    /// So many of its player are before it that one tick does not do for all: then it waits for those as well.
    pub(crate) is_behind: bool,
}

impl Due {
    /// Whether it waits in this tick, unless it is carried out: it is due, and not for so long that it may be refused.
    pub(crate) fn waits_in(&self, zone: usize, tick: u64) -> bool {
        let waited = tick.checked_sub(self.tick);
        self.zone == zone && !self.is_behind && waited.is_some_and(|waited| waited + 1 < PATIENCE_TICKS)
    }
}

/// One zone.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    /// By tick, in a circle: how many full ticks in a row end with it.
    full_ticks: Vec<u64>,
    /// By slot: how many of its commands the newest tick has carried out.
    shares: Vec<usize>,
    /// The greatest of them.
    most: usize,
}

impl Default for Load {
    fn default() -> Self {
        Self { full_ticks: vec![0; KEPT], shares: Vec::new(), most: 0 }
    }
}

fn place(tick: u64) -> usize {
    usize::try_from(tick % KEPT as u64).unwrap_or(0)
}

impl Load {
    /// Takes note of a tick, which may carry out `limit`. Returns whether it is full, as far as can be told from outside: one that
    /// has exactly enough looks so as well.
    pub(crate) fn note(&mut self, zone: &Zone, limit: usize) -> Result<bool, Broken> {
        let (tick, notebook) = (zone.core.tick(), zone.core.game().notebook.borrow());
        self.shares.clear();
        self.shares.resize(notebook.who.len(), 0);
        for &slot in &notebook.given {
            self.shares[slot as usize] += 1;
        }
        self.most = self.shares.iter().copied().max().unwrap_or(0);
        let count = notebook.given.len();
        if count > limit {
            return Err(Broken {
                rule: Rule::Limit,
                what: format!("{count} commands in a tick for {limit}"),
            });
        }
        let is_full = count == limit;
        self.full_ticks[place(tick)] =
            if is_full { 1 + self.full_ticks[place(tick + KEPT as u64 - 1)] } else { 0 };
        Ok(is_full)
    }

    /// Whether somebody gets so much that one who waits, and there is at least one, may get too little.
    pub(crate) fn may_be_uneven(&self, tick: u64) -> bool {
        self.most > 1 && self.full_ticks[place(tick)] > 0
    }

    /// Somebody in this slot has an input that waits.
    pub(crate) fn check_share(&self, slot: usize) -> Result<(), Broken> {
        let (share, most) = (self.shares[slot], self.most);
        if share + 1 >= most {
            return Ok(());
        }
        let what = format!("who waits in slot {slot} got {share}, and somebody else {most}");
        Err(Broken { rule: Rule::Shares, what })
    }

    /// A player hears that its input was refused because ticks were full.
    pub(crate) fn check_refusal(&self, due: &Due) -> Result<(), Broken> {
        let full = self.full_ticks[place(due.tick + PATIENCE_TICKS - 1)];
        if due.is_behind || full >= PATIENCE_TICKS {
            return Ok(());
        }
        let what = format!("refused as overloaded after {full} full ticks: {due:?}");
        Err(Broken { rule: Rule::Patience, what })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_waits_from_the_tick_at_which_it_is_due_until_it_may_be_refused() {
        let due = Due { boot: 1, zone: 0, tick: 100, is_behind: false };
        for (rule, due, zone, tick, expected) in [
            ("not due yet", due, 0, 99, false),
            ("due", due, 0, 100, true),
            ("for seven ticks", due, 0, 106, true),
            ("in the eighth it may be refused", due, 0, 107, false),
            ("elsewhere", due, 1, 100, false),
            ("behind others of its player", Due { is_behind: true, ..due }, 0, 100, false),
        ] {
            assert_eq!(due.waits_in(zone, tick), expected, "{rule}");
        }
    }

    #[test]
    fn a_refusal_is_for_an_eighth_of_a_second_of_full_ticks_and_no_less() {
        let mut load = Load::default();
        for (tick, full) in (100..).zip([1, 2, 3, 4, 5, 6, 7, 8, 9, 0]) {
            load.full_ticks[place(tick)] = full;
        }
        let refused =
            |tick, is_behind| load.check_refusal(&Due { boot: 1, zone: 0, tick, is_behind }).is_ok();
        assert!(refused(100, false) && refused(101, false));
        assert!(!refused(99, false), "the tick in which it was due was not full");
        assert!(!refused(102, false), "one of those in which it waited was not");
        assert!(refused(102, true), "of one that is behind nothing is said");
    }
}
