//! The memory by which a connect token joins once.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;

use super::Refusal;
use super::keyed_hash::KeyedState;

/// Remembers connect tokens until they expire, so that one is good for one address and one session only, whichever servers
/// of the process it is shown to.
///
/// A tag names a token. A full table refuses new tokens rather than forget one that is still valid.
#[derive(Debug)]
pub(crate) struct UsedTokens {
    tokens: HashMap<u128, UsedToken, KeyedState>,
    /// Tags in the order of their arrival, with their expiry.
    order: VecDeque<(u128, u64)>,
    capacity: usize,
}

#[derive(Clone, Copy, Debug)]
struct UsedToken {
    address: SocketAddr,
    /// It has opened a session: a second one under the same keys would accept the first one's packets again.
    is_opened: bool,
}

impl UsedTokens {
    pub(crate) fn new(capacity: usize, state: KeyedState) -> Self {
        Self {
            // twice, so that what is forgotten is cleared away in place and never by growing
            tokens: HashMap::with_capacity_and_hasher(2 * capacity, state),
            order: VecDeque::with_capacity(capacity),
            capacity,
        }
    }

    /// Whether who is at `address` may go on with the token with `tag`.
    pub(crate) fn check(&mut self, tag: u128, address: SocketAddr, now_unix: u64) -> Result<(), Refusal> {
        self.forget_expired(now_unix);
        match self.tokens.get(&tag) {
            Some(used) if used.address != address || used.is_opened => Err(Refusal::TokenReused),
            _ => Ok(()),
        }
    }

    /// Records that the token was shown from `address`, after [`UsedTokens::check`].
    pub(crate) fn record(&mut self, tag: u128, address: SocketAddr, expire_unix: u64) -> Result<(), Refusal> {
        if self.tokens.contains_key(&tag) {
            return Ok(());
        }
        if self.order.len() == self.capacity {
            return Err(Refusal::TooManyHandshakes);
        }
        self.tokens.insert(tag, UsedToken { address, is_opened: false });
        self.order.push_back((tag, expire_unix));
        Ok(())
    }

    /// The token opens a session, its first. One that has expired meanwhile is not remembered and cannot be shown again.
    pub(crate) fn open(&mut self, tag: u128) -> Result<(), Refusal> {
        match self.tokens.get_mut(&tag) {
            Some(used) if used.is_opened => Err(Refusal::TokenReused),
            Some(used) => {
                used.is_opened = true;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// How many are remembered.
    pub(crate) fn len(&self) -> usize {
        self.tokens.len().max(self.order.len())
    }

    /// Tokens come nearly in the order of their expiry, so only the front is looked at; one that expires late
    /// holds those behind it for less than the longest lifetime.
    fn forget_expired(&mut self, now_unix: u64) {
        while let Some(&(tag, expire_unix)) = self.order.front() {
            if expire_unix > now_unix {
                return;
            }
            self.order.pop_front();
            self.tokens.remove(&tag);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(capacity: usize) -> UsedTokens {
        UsedTokens::new(capacity, KeyedState::new(&[1; 32]))
    }

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], port))
    }

    fn show(table: &mut UsedTokens, tag: u128, port: u16, expire_unix: u64, now: u64) -> Result<(), Refusal> {
        table.check(tag, address(port), now)?;
        table.record(tag, address(port), expire_unix)
    }

    #[test]
    fn a_token_belongs_to_the_address_that_showed_it_first() {
        let mut table = table(10);
        assert_eq!(show(&mut table, 1, 1, 30, 0), Ok(()));
        assert_eq!(show(&mut table, 1, 1, 30, 1), Ok(()));
        assert_eq!(show(&mut table, 1, 2, 30, 1), Err(Refusal::TokenReused));
    }

    #[test]
    fn a_token_opens_one_session_only() {
        let mut table = table(10);
        assert_eq!(show(&mut table, 1, 1, 30, 0), Ok(()));
        assert_eq!(table.open(1), Ok(()));
        assert_eq!(show(&mut table, 1, 1, 30, 1), Err(Refusal::TokenReused));
        assert_eq!(table.open(1), Err(Refusal::TokenReused));
    }

    #[test]
    fn a_full_table_keeps_valid_tokens_and_forgets_expired_ones() {
        let mut table = table(2);
        assert_eq!(show(&mut table, 1, 1, 30, 0), Ok(()));
        assert_eq!(show(&mut table, 2, 2, 31, 0), Ok(()));
        assert_eq!(show(&mut table, 3, 3, 60, 29), Err(Refusal::TooManyHandshakes));
        assert_eq!(show(&mut table, 3, 3, 60, 30), Ok(()));
        assert_eq!(show(&mut table, 2, 9, 31, 30), Err(Refusal::TokenReused));
    }
}
