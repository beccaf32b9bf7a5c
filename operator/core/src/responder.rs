//! What a region's responder says to a probe, and to whom. It answers strangers, so an answer is never longer than what it
//! answers, is never answered itself, and no address gets many.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::time::Duration;

/// Bytes of a probe and of its answer. Longer datagrams are answered like their first bytes.
pub const PROBE_BYTES: usize = 16;
const PROBE: [u8; 4] = *b"cwp?";
const ANSWER: [u8; 4] = *b"cwp!";

/// Answers that an address gets for long, each second: one for every replica behind it and some to spare.
const ANSWERS_PER_SECOND: u32 = 50;
/// Answers that it gets at once after a time of silence.
const BURST: u32 = 100;
/// Allowances that addresses share by chance. Few are shared, and the memory of all is as much as of none.
const SLOTS: usize = 4096;

/// A probe with its number; the token is the prober's secret, so that nobody else can answer.
pub fn probe(token: u64, number: u32) -> [u8; PROBE_BYTES] {
    let mut bytes = [0; PROBE_BYTES];
    bytes[..4].copy_from_slice(&PROBE);
    bytes[4..8].copy_from_slice(&number.to_be_bytes());
    bytes[8..].copy_from_slice(&token.to_be_bytes());
    bytes
}

/// The answer to a datagram; none to what is no probe, such as another's answer: two responders never talk to each other.
pub fn answer(datagram: &[u8]) -> Option<[u8; PROBE_BYTES]> {
    let mut bytes: [u8; PROBE_BYTES] = datagram.get(..PROBE_BYTES)?.try_into().ok()?;
    let is_probe = bytes.starts_with(&PROBE);
    bytes[..4].copy_from_slice(&ANSWER);
    is_probe.then_some(bytes)
}

/// Number of the probe that is answered; none if the answer is to somebody else's.
pub fn read_answer(token: u64, datagram: &[u8]) -> Option<u32> {
    let number = u32::from_be_bytes(datagram.get(4..8)?.try_into().ok()?);
    (answer(&probe(token, number)).as_ref().map(<[u8; PROBE_BYTES]>::as_slice) == Some(datagram))
        .then_some(number)
}

/// Who gets an answer. Times are on the caller's monotonic clock.
#[derive(Debug)]
pub struct AddressLimiter {
    /// When the allowance of each slot will be whole again.
    whole_at: Vec<Duration>,
    key: u64,
}

impl AddressLimiter {
    /// With a random key, so that nobody can choose an address that shares another's allowance.
    pub fn new(key: u64) -> Self {
        Self { whole_at: vec![Duration::ZERO; SLOTS], key }
    }

    /// Whether a datagram from this address is answered at `now`; of IPv6, a /64 counts as one address.
    pub fn admits(&mut self, now: Duration, address: IpAddr) -> bool {
        let mut hasher = DefaultHasher::new();
        self.key.hash(&mut hasher);
        match address.to_canonical() {
            IpAddr::V4(address) => address.hash(&mut hasher),
            IpAddr::V6(address) => address.segments()[..4].hash(&mut hasher),
        }
        let slot = usize::try_from(hasher.finish() % SLOTS as u64).unwrap_or(0);
        let gap = Duration::from_secs(1) / ANSWERS_PER_SECOND;
        let next = self.whole_at[slot].max(now) + gap;
        let admitted = next.saturating_sub(now) <= gap * BURST;
        if admitted {
            self.whole_at[slot] = next;
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    proptest! {
        /// What a stranger sends, half of it with the head of a probe.
        #[test]
        fn an_answer_is_never_longer_than_what_it_answers_and_never_answered(
            mut datagram in prop::collection::vec(any::<u8>(), 0..200), has_head: bool,
        ) {
            if has_head {
                datagram.splice(..datagram.len().min(4), PROBE);
            }
            if let Some(answered) = answer(&datagram) {
                prop_assert!(answered.len() <= datagram.len());
                prop_assert_eq!(answer(&answered), None);
            }
        }

        #[test]
        fn an_answer_is_read_by_whoever_asked_and_by_nobody_else(token: u64, other: u64, number: u32) {
            let answered = answer(&probe(token, number)).unwrap();
            prop_assert_eq!(read_answer(token, &answered), Some(number));
            prop_assert!(token == other || read_answer(other, &answered).is_none());
            prop_assert_eq!(read_answer(token, &probe(token, number)), None, "a probe is no answer");
        }
    }

    #[test]
    fn what_is_shorter_than_a_probe_or_none_is_not_answered() {
        let whole = probe(7, 1);
        for (name, datagram, answered) in [
            ("a probe", whole.to_vec(), true),
            ("a longer one", [whole.as_slice(), &[0; 100]].concat(), true),
            ("a byte less", whole[..PROBE_BYTES - 1].to_vec(), false),
            ("nothing", Vec::new(), false),
            ("another protocol's", vec![0; 64], false),
        ] {
            assert_eq!(answer(&datagram).is_some(), answered, "{name}");
        }
    }

    fn admitted(limiter: &mut AddressLimiter, now: Duration, address: IpAddr, tries: u32) -> u32 {
        (0..tries).map(|_| u32::from(limiter.admits(now, address))).sum()
    }

    #[test]
    fn an_address_gets_a_burst_and_then_its_rate_whatever_others_do() {
        let mut limiter = AddressLimiter::new(1);
        let [one, two] = [1, 2].map(|last| IpAddr::V4(Ipv4Addr::new(192, 0, 2, last)));
        let at = Duration::from_secs;
        assert_eq!(admitted(&mut limiter, at(9), one, 10_000), BURST);
        assert_eq!(admitted(&mut limiter, at(9), two, 10_000), BURST, "another's own");
        assert_eq!(admitted(&mut limiter, at(10), one, 10_000), ANSWERS_PER_SECOND);
        assert_eq!(admitted(&mut limiter, at(3600), one, 10_000), BURST, "nothing more is saved up");
    }

    #[test]
    fn addresses_of_one_subscriber_share_and_memory_is_the_same_for_any_number() {
        let mut limiter = AddressLimiter::new(1);
        let v6 = |subnet: u16, host: u16| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, subnet, 0, 0, 0, host));
        let all: u32 = (0..1000).map(|host| admitted(&mut limiter, Duration::ZERO, v6(1, host), 1)).sum();
        assert_eq!(all, BURST);
        for subnet in 0..=u16::MAX {
            limiter.admits(Duration::ZERO, v6(subnet, 1));
        }
        assert_eq!(limiter.whole_at.len(), SLOTS);
    }
}
