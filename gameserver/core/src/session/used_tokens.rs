//! The memory by which a connect token joins once.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;

use super::keyed_hash::KeyedState;

/// Remembers connect tokens until they expire, so that one is good for one address and one session only.
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
    /// Its session has ended: a new one under the same keys would accept the old one's packets again.
    spent: bool,
}

/// What the table says about a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenUse {
    /// Recorded now, or seen before from the same address.
    Granted,
    /// Used from another address, or for a session that has ended.
    Reused,
    /// No room to remember it.
    Full,
}

impl UsedTokens {
    pub(crate) fn new(capacity: usize, state: KeyedState) -> Self {
        Self {
            tokens: HashMap::with_capacity_and_hasher(capacity, state),
            order: VecDeque::with_capacity(capacity),
            capacity,
        }
    }

    /// Records that the token with `tag` was presented from `address`.
    pub(crate) fn present(
        &mut self,
        tag: u128,
        address: SocketAddr,
        expire_unix: u64,
        now_unix: u64,
    ) -> TokenUse {
        self.forget_expired(now_unix);
        if let Some(used) = self.tokens.get(&tag) {
            return if used.address == address && !used.spent { TokenUse::Granted } else { TokenUse::Reused };
        }
        if self.order.len() == self.capacity {
            return TokenUse::Full;
        }
        self.tokens.insert(tag, UsedToken { address, spent: false });
        self.order.push_back((tag, expire_unix));
        TokenUse::Granted
    }

    /// The session that the token with `tag` opened has ended.
    pub(crate) fn spend(&mut self, tag: u128) {
        if let Some(used) = self.tokens.get_mut(&tag) {
            used.spent = true;
        }
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

    #[test]
    fn a_token_belongs_to_the_address_that_showed_it_first() {
        let mut table = table(10);
        assert_eq!(table.present(1, address(1), 30, 0), TokenUse::Granted);
        assert_eq!(table.present(1, address(1), 30, 1), TokenUse::Granted);
        assert_eq!(table.present(1, address(2), 30, 1), TokenUse::Reused);
    }

    #[test]
    fn a_token_opens_one_session_only() {
        let mut table = table(10);
        assert_eq!(table.present(1, address(1), 30, 0), TokenUse::Granted);
        table.spend(1);
        assert_eq!(table.present(1, address(1), 30, 1), TokenUse::Reused);
    }

    #[test]
    fn a_full_table_keeps_valid_tokens_and_forgets_expired_ones() {
        let mut table = table(2);
        assert_eq!(table.present(1, address(1), 30, 0), TokenUse::Granted);
        assert_eq!(table.present(2, address(2), 31, 0), TokenUse::Granted);
        assert_eq!(table.present(3, address(3), 60, 29), TokenUse::Full);
        assert_eq!(table.present(3, address(3), 60, 30), TokenUse::Granted);
        assert_eq!(table.present(2, address(9), 31, 30), TokenUse::Reused);
    }
}
