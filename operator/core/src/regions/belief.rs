//! How far numbers are believed that only grow, and that a peer could take to their end: then nobody could go on from there.

use super::membership::majority;
use super::view::View;

/// Highest epoch that is believed of a peer: takeovers by hand never come so far, and one that is above it would leave no room.
pub const EPOCH_MAX: u64 = 1 << 48;
/// How far an epoch is believed to be ahead of the middle one of all that is said of a Fleet. Each recovery adds one, so none that is
/// true is so far ahead, and whoever lies each time does not come to the highest.
pub const EPOCH_STEP_MAX: u64 = 1 << 20;

/// How far a view's number is believed to be ahead of what a majority has come to. Numbers grow by a change at a time, so none that
/// is true is so far ahead, and whoever lies each second needs a lifetime to come to the last number.
pub const NUMBER_STEP_MAX: u64 = 1 << 32;

/// Those of the `heard` views whose numbers can be true, beside an `own` number and among so many registered regions: one peer
/// alone cannot take all numbers that there are.
pub fn believed<'a>(own: u64, heard: impl IntoIterator<Item = &'a View>, regions: usize) -> Vec<&'a View> {
    let mut heard: Vec<&View> = heard.into_iter().collect();
    let mut numbers: Vec<u64> = heard.iter().map(|view| view.number).chain([own]).collect();
    numbers.sort_unstable_by(|one, other| other.cmp(one));
    let reached = numbers.get(majority(regions).saturating_sub(1)).copied().unwrap_or_default().max(own);
    heard.retain(|view| view.number <= reached.saturating_add(NUMBER_STEP_MAX));
    heard
}

/// The highest epoch that is believed of a Fleet of which everybody who is asked says one, 0 for none.
pub(super) fn highest_believed(said: impl Iterator<Item = u64>) -> u64 {
    let mut said: Vec<u64> = said.collect();
    said.sort_unstable();
    let middle = said.get(said.len().saturating_sub(1) / 2).copied().unwrap_or_default();
    middle.saturating_add(EPOCH_STEP_MAX).min(EPOCH_MAX)
}
