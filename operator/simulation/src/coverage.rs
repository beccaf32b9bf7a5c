//! What came together: so that a test can show that it was not empty.

/// What is the case in one second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[expect(clippy::struct_excessive_bools, reason = "each may come with each")]
pub struct Mixture {
    /// Something does not get from one region to another.
    pub cut: bool,
    /// Only some of it, or in one direction alone.
    pub partial: bool,
    /// Operators are of several versions.
    pub mixed: bool,
    /// A region is Manual.
    pub manual: bool,
    /// A region holds.
    pub hold: bool,
    /// A region is drained.
    pub drained: bool,
    /// A region that is Manual or holds is itself cut off.
    pub held_is_cut: bool,
    /// A sudden crowd is there.
    pub launch: bool,
    /// The weights that count followed players less than a minute ago.
    pub weighed: bool,
    /// Since the cut began, operators became newer.
    pub upgraded: bool,
    /// And older again.
    pub rolled_back: bool,
}

impl Mixture {
    /// Whether all of the other is the case here too.
    #[must_use]
    pub fn has(&self, other: Self) -> bool {
        let bits = |mixture: &Self| {
            let Self { cut, partial, mixed, manual, hold, drained, held_is_cut, .. } = *mixture;
            let Self { launch, weighed, upgraded, rolled_back, .. } = *mixture;
            [cut, partial, mixed, manual, hold, drained, held_is_cut, launch, weighed, upgraded, rolled_back]
        };
        bits(self).into_iter().zip(bits(&other)).all(|(here, wanted)| here || !wanted)
    }
}
