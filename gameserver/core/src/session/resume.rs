//! Resume tokens: with what a player comes back to this server without a backend.
//!
//! Each player gets one when it is connected and then every ten seconds, so that of three that are good at any time
//! two may be lost. They go out behind the snapshots of a tick, a few a tick: a round over all slots takes ten seconds,
//! and who is new is served beside it.

use std::collections::VecDeque;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use gameserver_contract::TOKEN_LIFETIME_SECONDS;
use gameserver_protocol::message::ResumeToken;
use gameserver_protocol::{
    Key, KeyStream, Now, PrivateToken, ResumeMark, ServerAddresses, TOKEN_NONCE_BYTES, TOKEN_RANDOM_BYTES,
    Transmit,
};

use super::Sessions;
use crate::counters::Counters;

/// How often each player gets a token.
const ROUND: Duration = Duration::from_secs(10);
/// Tokens of a second at most, spread over its ticks, unless the round alone needs more: at four microseconds each less
/// than a hundredth of a core, and a crowd of a thousand has its tokens within a second.
const SECOND_MAX: u32 = 1024;

/// Who gets a token next, and of what it is made.
pub(super) struct Resumes {
    keys: KeyStream,
    /// What the tokens say of where to come back to.
    addresses: ServerAddresses,
    /// Players who are new.
    fresh: VecDeque<u32>,
    /// Slots that the rounds have passed since the start, and where they should be.
    passed: u64,
    due: u64,
    /// Tokens left for this tick.
    left: u32,
    tick_max: u32,
}

impl fmt::Debug for Resumes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Resumes").field("fresh", &self.fresh.len()).finish_non_exhaustive()
    }
}

impl Resumes {
    /// `secret` must be fresh for each server of each boot.
    pub(super) fn new(secret: Key, addresses: &[SocketAddr], capacity: usize, tick_hz: u32) -> Self {
        // the standard wants an address in each token; a server that takes tokens for any address names none
        let any = [SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0)];
        let known = &addresses[..addresses.len().min(32)];
        let named = if known.is_empty() { &any } else { known };
        let slots = u32::try_from(capacity).unwrap_or(u32::MAX);
        let share = slots.div_ceil(tick_hz.saturating_mul(10));
        Self {
            keys: KeyStream::new(secret),
            addresses: ServerAddresses::new(named).expect("1 to 32 addresses"),
            fresh: VecDeque::with_capacity(capacity),
            passed: 0,
            due: 0,
            left: 0,
            // a round that was held up catches up
            tick_max: SECOND_MAX.div_ceil(tick_hz).max(2 * share),
        }
    }

    /// A tick: some more are due.
    pub(super) fn step(&mut self, now: Now, slots: u32) {
        let due = now.monotonic.as_nanos() * u128::from(slots) / ROUND.as_nanos();
        self.due = u64::try_from(due).unwrap_or(u64::MAX);
        // after a standstill nobody needs more than one
        self.passed = self.passed.max(self.due.saturating_sub(slots.into()));
        self.left = self.tick_max;
    }

    /// A player knows that it is connected. When too many are new at once the round serves them.
    pub(super) fn greet(&mut self, slot: u32) {
        if self.fresh.len() < self.fresh.capacity() {
            self.fresh.push_back(slot);
        }
    }

    /// The next slot whose player may get a token in this tick.
    fn next(&mut self, slots: u32) -> Option<u32> {
        if self.left == 0 {
            return None;
        }
        if let Some(slot) = self.fresh.pop_front() {
            return Some(slot);
        }
        if self.passed >= self.due {
            return None;
        }
        let slot = u32::try_from(self.passed % u64::from(slots)).ok()?;
        self.passed += 1;
        Some(slot)
    }
}

impl Sessions {
    /// The next resume token of this tick.
    pub(crate) fn poll_resume(
        &mut self,
        now: Now,
        buffer: &mut [u8],
        counters: &mut Counters,
    ) -> Option<Transmit> {
        let slots = self.connected.capacity();
        let server_key = *self.keys.current()?;
        while let Some(slot) = self.resumes.next(slots) {
            if let Some(transmit) = self.seal_resume(now, slot, &server_key, buffer) {
                self.resumes.left -= 1;
                counters.resume_tokens += 1;
                return Some(transmit);
            }
        }
        None
    }

    fn seal_resume(&mut self, now: Now, slot: u32, server_key: &Key, buffer: &mut [u8]) -> Option<Transmit> {
        let protocol_id = self.protocol_id;
        let Self { connected, registry, resumes, .. } = self;
        let session = connected.get_mut(slot).filter(|session| session.is_confirmed && session.is_open())?;
        let serial = registry.next_serial(now);
        let random: [u8; TOKEN_RANDOM_BYTES] = resumes.keys.draw();
        let (client_to_server_key, server_to_client_key): (Key, Key) = (part(&random, 24), part(&random, 56));
        let private = PrivateToken {
            client_id: session.client_id,
            timeout_seconds: session.timeout_seconds,
            server_addresses: resumes.addresses,
            client_to_server_key,
            server_to_client_key,
            user_data: session.user_data,
            resume: Some(ResumeMark { session: session.serial, serial }),
        };
        let mut nonce: [u8; TOKEN_NONCE_BYTES] = part(&random, 0);
        // chance alone would do; with the serial no boot repeats a nonce of another even if its chance repeats
        nonce[..8].copy_from_slice(&serial.to_le_bytes());
        let create_unix = now.unix.as_secs();
        let expire_unix = create_unix + TOKEN_LIFETIME_SECONDS;
        let token = ResumeToken {
            create_unix,
            expire_unix,
            nonce,
            private_token: private.seal(protocol_id, expire_unix, &nonce, server_key),
            timeout_seconds: session.timeout_seconds,
            client_to_server_key,
            server_to_client_key,
        };
        session.resumable_until = now.monotonic + Duration::from_secs(TOKEN_LIFETIME_SECONDS);
        session.seal_payload(now, buffer, |body| token.encode(body).ok())
    }
}

fn part<const N: usize>(random: &[u8; TOKEN_RANDOM_BYTES], at: usize) -> [u8; N] {
    std::array::from_fn(|byte| random[at + byte])
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_micros(15_625);

    fn resumes(capacity: usize) -> Resumes {
        Resumes::new([1; 32], &[], capacity, 64)
    }

    /// The slots that are served at each tick of `seconds`.
    fn served(resumes: &mut Resumes, slots: u32, first_tick: u32, ticks: u32) -> Vec<Vec<u32>> {
        let mut at_tick = |tick: u32| {
            resumes.step(Now { monotonic: TICK * tick, unix: Duration::ZERO }, slots);
            std::iter::from_fn(|| {
                let slot = resumes.next(slots)?;
                resumes.left -= 1;
                Some(slot)
            })
            .collect()
        };
        (first_tick..first_tick + ticks).map(&mut at_tick).collect()
    }

    /// Rule 16: every ten seconds, and not all at once.
    #[test]
    fn each_slot_is_served_once_in_ten_seconds_and_few_at_a_tick() {
        for slots in [1, 8, 1000, 20_000] {
            let mut resumes = resumes(slots as usize);
            served(&mut resumes, slots, 1, 640);
            let round = served(&mut resumes, slots, 641, 640);
            let mut all: Vec<_> = round.concat();
            all.sort_unstable();
            assert_eq!(all, (0..slots).collect::<Vec<_>>());
            let most = round.iter().map(Vec::len).max().expect("640 ticks");
            assert!(most <= slots.div_ceil(640) as usize, "{most} at one tick of {slots}");
        }
    }

    #[test]
    fn who_is_new_is_served_at_once_and_a_crowd_over_some_ticks() {
        let mut resumes = resumes(1000);
        (0..100).for_each(|slot| resumes.greet(slot));
        let ticks = served(&mut resumes, 1000, 1, 10);
        assert_eq!(ticks[0], (0..16).collect::<Vec<_>>());
        assert!(ticks.iter().all(|tick| tick.len() <= 16));
        let first: Vec<_> = ticks.concat();
        assert!((0..100).all(|slot| first.contains(&slot)), "within seven ticks");
    }

    #[test]
    fn after_a_standstill_each_slot_is_served_once() {
        let mut resumes = resumes(1000);
        served(&mut resumes, 1000, 1, 1);
        let ticks = served(&mut resumes, 1000, 64 * 3600, 128);
        assert!(ticks.iter().all(|tick| tick.len() <= 16));
        let mut all: Vec<_> = ticks.concat();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 1000);
        assert!(count <= 1000 + 1000 * 2 / 10, "{count} tokens, those of the two seconds included");
    }

    #[test]
    fn no_more_than_there_are_slots_wait_to_be_greeted() {
        let mut resumes = resumes(8);
        let room = resumes.fresh.capacity();
        (0..1000).for_each(|_| resumes.greet(1));
        assert_eq!(resumes.fresh.len(), room);
    }
}
