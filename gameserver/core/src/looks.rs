//! What finding somebody costs, counted in tests: it must not grow with how many there are.

#[cfg(test)]
thread_local! {
    static LOOKS: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// A table has looked at one of those whom it holds. Nothing outside of tests.
#[inline]
pub(crate) fn count() {
    #[cfg(test)]
    LOOKS.set(LOOKS.get() + 1);
}

/// How many looks `act` took.
#[cfg(test)]
pub(crate) fn taken_by(act: impl FnOnce()) -> u64 {
    let before = LOOKS.get();
    act();
    LOOKS.get() - before
}
