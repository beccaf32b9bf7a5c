//! Time as it is passed in, datagrams as they are passed out, and sequences made from time.

use std::net::SocketAddr;
use std::time::Duration;

/// The time, read once by whoever owns a clock and passed down from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Since the start of this process. Never goes back; everything that waits is measured by it.
    pub monotonic: Duration,
    /// Since the Unix epoch. Only compared with the times in connect tokens.
    pub unix: Duration,
}

/// A datagram to send: the first `len` bytes of the buffer that was passed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Transmit {
    /// Where to send it.
    pub to: SocketAddr,
    /// Its length in bytes.
    pub len: usize,
}

/// Whole microseconds of a duration; saturates after 584 000 years.
pub fn micros(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(1_000_000).saturating_add(u64::from(duration.subsec_micros()))
}

/// Whole nanoseconds of a duration; saturates after 584 years.
pub fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// First packet sequence of a session that starts at `unix`: milliseconds in the high bits, so that two sessions
/// under one key, even of two boots, never meet unless one sends 2^20 packets a millisecond. Bit 63 stays
/// clear; it marks the sequences a server uses outside of sessions.
pub fn first_sequence(unix: Duration) -> u64 {
    let milliseconds = unix.as_secs().saturating_mul(1000).saturating_add(u64::from(unix.subsec_millis()));
    (milliseconds << 20) & !(1 << 63)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_counted_whole_and_saturate() {
        let year = Duration::from_secs(365 * 24 * 3600);
        for (name, duration, in_micros, in_nanos) in [
            ("nothing", Duration::ZERO, 0, 0),
            ("a part of a microsecond", Duration::from_nanos(1999), 1, 1999),
            ("seconds and parts", Duration::new(3, 4_000_005), 3_004_000, 3_004_000_005),
            ("six hundred years", year * 600, 18_921_600_000_000_000, u64::MAX),
            ("the longest", Duration::MAX, u64::MAX, u64::MAX),
        ] {
            assert_eq!((micros(duration), nanos(duration)), (in_micros, in_nanos), "{name}");
        }
    }

    #[test]
    fn a_session_a_millisecond_later_starts_beyond_a_million_packets() {
        let first = first_sequence(Duration::from_millis(1_790_000_000_000));
        let second = first_sequence(Duration::from_millis(1_790_000_000_001));
        assert_eq!(second - first, 1 << 20);
        assert_eq!(first >> 63, 0, "the top half belongs to packets outside of sessions");
    }
}
