//! When the kernel is to filter what strangers send, and how much of it gets in: decided from what came and what was dropped.
//!
//! A filter costs next to nothing, but what it drops is seen by no counter of reasons; so there is one only while strangers send
//! more than anybody who wants to play.

use std::time::Duration;

use gameserver_net::Shape;
use gameserver_protocol::{CHALLENGE_BODY_BYTES, PacketKind, REQUEST_BYTES, TAG_BYTES};

/// Between two decisions.
const PERIOD: Duration = Duration::from_millis(125);
/// Datagrams of strangers a second from which on it is a flood. A thousand players who all connect in one second send three
/// thousand.
const FLOOD: u64 = 16_384;
/// With fewer a second, dropped ones among them, it is over.
const CALM: u64 = 4096;
/// How long it must have been calm.
const CALM_FOR: Duration = Duration::from_secs(5);
/// Datagrams of strangers a second that are to get in; at twice as many fewer do, at half as many more. Each is a few
/// microseconds of work at most.
const WANTED: u64 = 8192;
/// The smallest share that gets in.
const ONE_IN_MAX: u32 = 1024;
/// How long after a failure the kernel is left alone.
const RETRY_AFTER: Duration = Duration::from_secs(60);
/// Bytes of a packet's sequence.
const SEQUENCE_BYTES: std::ops::RangeInclusive<usize> = 1..=8;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Who is known gets in, and one in so many of the strangers' handshakes.
    Filter {
        one_in: u32,
        /// Whether everybody got in until now.
        is_new: bool,
    },
    /// Everybody gets in again.
    Open,
}

/// Datagrams since the start.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    /// From strangers, and let in.
    pub(super) let_in: u64,
    /// Dropped by the kernel: by a filter, or because there was no room.
    pub(super) dropped: u64,
}

/// Whether the kernel filters what strangers send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FilterState {
    Off,
    /// One in so many of the strangers' handshakes gets in.
    On {
        one_in: u32,
    },
    /// The kernel did not do it, and is left alone for a while.
    Refused,
}

impl FilterState {
    /// As one word of a board.
    pub(crate) fn shown(self) -> u64 {
        match self {
            Self::Off => 0,
            Self::On { one_in } => one_in.into(),
            Self::Refused => u64::MAX,
        }
    }

    /// What that word says.
    pub(crate) fn of(shown: u64) -> Self {
        match u32::try_from(shown) {
            Ok(0) => Self::Off,
            Ok(one_in) => Self::On { one_in },
            Err(_beyond) => Self::Refused,
        }
    }

    /// Name in labels.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::On { .. } => "on",
            Self::Refused => "refused",
        }
    }

    /// The share of strangers' handshakes that gets in.
    pub(crate) fn share(self) -> f64 {
        match self {
            Self::On { one_in } => 1.0 / f64::from(one_in),
            Self::Off | Self::Refused => 1.0,
        }
    }
}

/// Looks at what strangers send.
#[derive(Debug)]
pub(super) struct Guard {
    looked_at: Duration,
    seen: Seen,
    filter: Option<Filtering>,
    not_before: Duration,
    salt: u32,
}

#[derive(Clone, Copy, Debug)]
struct Filtering {
    one_in: u32,
    busy_at: Duration,
}

impl Guard {
    /// `salt` is fresh chance: who knows it can look for addresses that the kernel takes for those of players.
    pub(super) fn new(now: Duration, salt: u32) -> Self {
        Self { looked_at: now, seen: Seen::default(), filter: None, not_before: now, salt }
    }

    /// For the fingerprints of those who are known.
    pub(super) fn salt(&self) -> u32 {
        self.salt
    }

    /// What is to be done; nothing within a period of the last look, and while nobody floods. While somebody does there is a
    /// verdict each period, because who is known changes.
    pub(super) fn look(&mut self, now: Duration, seen: Seen) -> Option<Verdict> {
        let over = now.saturating_sub(self.looked_at);
        if over < PERIOD || now < self.not_before {
            return None;
        }
        let before = std::mem::replace(&mut self.seen, seen);
        self.looked_at = now;
        let rate = |now: u64, before: u64| {
            let millis = u64::try_from(over.as_millis()).unwrap_or(u64::MAX);
            now.saturating_sub(before).saturating_mul(1000) / millis
        };
        let (let_in, dropped) = (rate(seen.let_in, before.let_in), rate(seen.dropped, before.dropped));
        let is_new = self.filter.is_none();
        if is_new && let_in + dropped < FLOOD {
            return None;
        }
        let filtering = self.filter.get_or_insert(Filtering { one_in: 1, busy_at: now });
        if let_in + dropped >= CALM {
            filtering.busy_at = now;
        }
        if now.saturating_sub(filtering.busy_at) >= CALM_FOR {
            self.filter = None;
            return Some(Verdict::Open);
        }
        filtering.one_in = match let_in {
            _ if is_new => 1,
            more if more > 2 * WANTED => (filtering.one_in * 2).min(ONE_IN_MAX),
            less if less < WANTED / 2 => (filtering.one_in / 2).max(1),
            _ => filtering.one_in,
        };
        Some(Verdict::Filter { one_in: filtering.one_in, is_new })
    }

    /// What is so until the next look.
    pub(super) fn state(&self, now: Duration) -> FilterState {
        match self.filter {
            Some(Filtering { one_in, .. }) => FilterState::On { one_in },
            None if now < self.not_before => FilterState::Refused,
            None => FilterState::Off,
        }
    }

    /// The kernel did not do it: everybody gets in, and it is left alone for a while.
    pub(super) fn has_failed(&mut self, now: Duration) {
        (self.filter, self.not_before) = (None, now + RETRY_AFTER);
    }
}

/// What strangers may send: the request that begins a handshake, and the response to a challenge, whose sender may have become known
/// only since the last look.
pub(super) fn shapes() -> [Shape; 2] {
    let bytes = |bytes: usize| u16::try_from(bytes).unwrap_or(u16::MAX);
    let response = |sequence: &usize| bytes(1 + sequence + CHALLENGE_BODY_BYTES + TAG_BYTES);
    [
        Shape { bytes: bytes(REQUEST_BYTES)..=bytes(REQUEST_BYTES), mask: 0xff, first: 0 },
        Shape {
            bytes: response(SEQUENCE_BYTES.start())..=response(SEQUENCE_BYTES.end()),
            mask: 0x0f,
            first: PacketKind::Response as u8,
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1000;

    /// Has a guard look on for a while in which so many come a second, of which so many are dropped if there is a filter; tells the
    /// verdicts.
    struct Watched {
        guard: Guard,
        millis: u64,
        seen: Seen,
    }

    impl Watched {
        fn new() -> Self {
            Self { guard: Guard::new(Duration::ZERO, 1), millis: 0, seen: Seen::default() }
        }

        /// `fitting` of them have the shape of a handshake.
        fn watch(&mut self, millis: u64, others: u64, fitting: u64) -> Vec<Verdict> {
            let mut verdicts = Vec::new();
            for _ in 0..millis / 125 {
                self.millis += 125;
                let come = |rate: u64| rate / 8;
                let (let_in, dropped) = match self.guard.filter {
                    None => (come(others + fitting), 0),
                    Some(filter) => {
                        let let_in = come(fitting) / u64::from(filter.one_in);
                        (let_in, come(others + fitting) - let_in)
                    }
                };
                self.seen.let_in += let_in;
                self.seen.dropped += dropped;
                verdicts.extend(self.guard.look(Duration::from_millis(self.millis), self.seen));
            }
            verdicts
        }

        fn share(&self) -> Option<u32> {
            self.guard.filter.map(|filter| filter.one_in)
        }

        fn state(&self) -> FilterState {
            self.guard.state(Duration::from_millis(self.millis))
        }
    }

    #[test]
    fn who_connects_is_no_flood_and_two_hundred_thousand_a_second_are_one_within_a_period() {
        for (others, fitting, expected) in
            [(0, 0, None), (0, 16_000, None), (200_000, 0, Some(1)), (0, 16_400, Some(1))]
        {
            let mut watched = Watched::new();
            let _verdicts = watched.watch(125, others, fitting);
            assert_eq!(watched.share(), expected, "{others} and {fitting}");
        }
    }

    #[test]
    fn a_server_that_takes_in_less_than_comes_notices_a_flood_by_what_found_no_room() {
        let mut guard = Guard::new(Duration::ZERO, 1);
        let seen = Seen { let_in: 500, dropped: 2000 };
        let verdict = guard.look(Duration::from_millis(125), seen);
        assert_eq!(verdict, Some(Verdict::Filter { one_in: 1, is_new: true }));
    }

    #[test]
    fn all_handshakes_get_in_while_they_are_few_however_much_else_comes() {
        let mut watched = Watched::new();
        let verdicts = watched.watch(10 * SECOND, 200_000, 3000);
        assert_eq!(verdicts[0], Verdict::Filter { one_in: 1, is_new: true });
        assert!(verdicts[1..].iter().all(|verdict| *verdict == Verdict::Filter { one_in: 1, is_new: false }));
        assert_eq!(verdicts.len(), 80, "one each period, because who is known changes");
    }

    #[test]
    fn of_forged_handshakes_about_as_many_get_in_as_are_wanted() {
        for (fitting, expected) in [(17_000, 2), (50_000, 4), (200_000, 16), (100_000_000, 1024)] {
            let mut watched = Watched::new();
            let _verdicts = watched.watch(10 * SECOND, 0, fitting);
            let share = watched.share().unwrap();
            let let_in = fitting / u64::from(share);
            assert!(share == ONE_IN_MAX || (WANTED / 2..=2 * WANTED).contains(&let_in), "{fitting}: {share}");
            assert_eq!(share, expected, "{fitting}");
            let settled = watched.watch(10 * SECOND, 0, fitting);
            let same = Verdict::Filter { one_in: share, is_new: false };
            assert!(
                settled.iter().all(|verdict| *verdict == same),
                "it keeps still at {fitting}: {settled:?}"
            );
        }
    }

    #[test]
    fn it_is_over_after_five_calm_seconds_and_not_in_a_pause() {
        let mut watched = Watched::new();
        let _verdicts = watched.watch(SECOND, 200_000, 50_000);
        let paused = watched.watch(4 * SECOND, 0, 0);
        assert!(!paused.contains(&Verdict::Open));
        let _verdicts = watched.watch(125, 200_000, 0);
        assert!(watched.share().is_some());
        let calm = watched.watch(6 * SECOND, 1000, 1000);
        assert_eq!(calm.last(), Some(&Verdict::Open));
        assert_eq!(calm.iter().filter(|verdict| **verdict == Verdict::Open).count(), 1);
        assert_eq!(watched.share(), None);
    }

    #[test]
    fn what_failed_is_tried_again_after_a_minute() {
        let mut watched = Watched::new();
        assert_eq!(watched.watch(125, 200_000, 0).len(), 1);
        watched.guard.has_failed(Duration::from_millis(watched.millis));
        assert_eq!(watched.watch(59 * SECOND, 200_000, 0), []);
        let again = watched.watch(2 * SECOND, 200_000, 0);
        assert_eq!(again[0], Verdict::Filter { one_in: 1, is_new: true });
    }

    #[test]
    fn the_state_is_on_in_a_flood_refused_while_the_kernel_is_left_alone_and_off_else() {
        let mut watched = Watched::new();
        assert_eq!(watched.state(), FilterState::Off);
        let _verdicts = watched.watch(10 * SECOND, 0, 50_000);
        assert_eq!(watched.state(), FilterState::On { one_in: 4 });
        let _verdicts = watched.watch(10 * SECOND, 0, 0);
        assert_eq!(watched.state(), FilterState::Off);
        let _verdicts = watched.watch(125, 200_000, 0);
        watched.guard.has_failed(Duration::from_millis(watched.millis));
        assert_eq!(watched.state(), FilterState::Refused);
        let _verdicts = watched.watch(59 * SECOND, 0, 0);
        assert_eq!(watched.state(), FilterState::Refused);
        let _verdicts = watched.watch(2 * SECOND, 0, 0);
        assert_eq!(watched.state(), FilterState::Off);
    }

    #[test]
    fn a_state_is_a_word_and_back_a_name_and_a_share() {
        for (state, name, share) in [
            (FilterState::Off, "off", "1"),
            (FilterState::On { one_in: 1 }, "on", "1"),
            (FilterState::On { one_in: ONE_IN_MAX }, "on", "0.0009765625"),
            (FilterState::Refused, "refused", "1"),
        ] {
            let shown = FilterState::of(state.shown());
            assert_eq!((shown, shown.as_str(), &*shown.share().to_string()), (state, name, share));
        }
    }

    #[test]
    fn shapes_are_those_of_the_wire() {
        let [request, response] = shapes();
        assert_eq!((request.bytes, request.mask, request.first), (1078..=1078, 0xff, 0));
        assert_eq!((response.bytes, response.mask, response.first), (326..=333, 0x0f, 3));
    }
}
