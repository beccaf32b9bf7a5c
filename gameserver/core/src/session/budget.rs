//! The limit on work that strangers can cause.

use std::hash::BuildHasher;
use std::net::{IpAddr, Ipv6Addr};

use super::keyed_hash::KeyedState;
use crate::rate::{Bucket, Rate};

const BUCKETS: usize = 4096;

/// Requests that lead nowhere, a second and at once: enough for a thousand players behind one address who come
/// back at the same moment, ten tries each.
const ADDRESS: Rate = Rate::new(512, 2048);
const PREFIX: Rate = Rate::new(2048, 8192);
/// All together: opening a token takes about three microseconds, so this is a fortieth of a core.
const EVERYONE: Rate = Rate::new(8192, 16_384);

/// Limits how much work strangers can cause before they have proven anything.
///
/// Only requests are counted that make the server open a token, and what an accepted one cost is given back: the
/// budget is one of failures. Two tables of fixed size, so strangers who share a slot share its budget.
#[derive(Debug)]
pub(crate) struct Budget {
    state: KeyedState,
    addresses: Box<[Bucket]>,
    prefixes: Box<[Bucket]>,
    everyone: Bucket,
}

/// What a request has spent, to give it back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spent {
    address: usize,
    prefix: usize,
}

impl Budget {
    pub(crate) fn new(state: KeyedState) -> Self {
        let table = || vec![Bucket::default(); BUCKETS].into_boxed_slice();
        Self { state, addresses: table(), prefixes: table(), everyone: Bucket::default() }
    }

    /// Pays for one try from `ip`, or returns `None` when its address, its network or everyone has none left.
    pub(crate) fn spend(&mut self, ip: IpAddr, now_ns: u64) -> Option<Spent> {
        let (address, prefix) = networks(ip);
        let spent = Spent { address: self.slot(address, 0), prefix: self.slot(prefix, 1) };
        if !self.addresses[spent.address].spend(ADDRESS, now_ns) {
            return None;
        }
        if !self.prefixes[spent.prefix].spend(PREFIX, now_ns) {
            self.addresses[spent.address].refund(ADDRESS);
            return None;
        }
        if !self.everyone.spend(EVERYONE, now_ns) {
            self.addresses[spent.address].refund(ADDRESS);
            self.prefixes[spent.prefix].refund(PREFIX);
            return None;
        }
        Some(spent)
    }

    /// The try was a good one.
    pub(crate) fn refund(&mut self, spent: Spent) {
        self.addresses[spent.address].refund(ADDRESS);
        self.prefixes[spent.prefix].refund(PREFIX);
        self.everyone.refund(EVERYONE);
    }

    fn slot(&self, network: u128, table: u8) -> usize {
        let hash = self.state.hash_one((network, table));
        usize::try_from(hash % BUCKETS as u64).unwrap_or(0)
    }
}

/// The address and the network that `ip` stands for: a host is one IPv4 address or an IPv6 /64, a network an
/// IPv4 /24 or an IPv6 /48.
fn networks(ip: IpAddr) -> (u128, u128) {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let bits = u128::from(u32::from(ip));
            // apart from every IPv6 network, whose low bits are zero
            (bits | 1 << 32, bits >> 8 | 1 << 33)
        }
        IpAddr::V6(ip) => (leading(ip, 64), leading(ip, 48)),
    }
}

fn leading(ip: Ipv6Addr, bits: u32) -> u128 {
    u128::from(ip) >> (128 - bits) << (128 - bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget() -> Budget {
        Budget::new(KeyedState::new(&[3; 32]))
    }

    fn tries(budget: &mut Budget, ip: &str, now_ns: u64) -> usize {
        let ip = ip.parse().expect("an address");
        (0..100_000).take_while(|_| budget.spend(ip, now_ns).is_some()).count()
    }

    #[test]
    fn an_address_runs_dry_and_another_does_not_notice() {
        let mut budget = budget();
        assert_eq!(tries(&mut budget, "10.0.0.1", 0), 2048);
        assert_eq!(tries(&mut budget, "192.0.2.1", 0), 2048);
        assert_eq!(tries(&mut budget, "10.0.0.1", 1_000_000_000), 512);
    }

    #[test]
    fn a_network_runs_dry_before_all_its_addresses_do() {
        let mut budget = budget();
        let total: usize = (0..20).map(|host| tries(&mut budget, &format!("10.0.0.{host}"), 0)).sum();
        assert_eq!(total, 8192);
    }

    #[test]
    fn an_ipv6_host_cannot_hop_within_its_own_network() {
        let mut budget = budget();
        assert_eq!(tries(&mut budget, "2001:db8::1", 0), 2048);
        assert_eq!(tries(&mut budget, "2001:db8::2", 0), 0);
    }

    #[test]
    fn everyone_together_is_bounded() {
        let mut budget = budget();
        let total: usize = (0..200).map(|network| tries(&mut budget, &format!("10.{network}.0.1"), 0)).sum();
        assert_eq!(total, 16_384);
    }

    #[test]
    fn an_ipv4_mapped_address_is_the_ipv4_address() {
        let mut budget = budget();
        assert_eq!(tries(&mut budget, "10.0.0.1", 0), 2048);
        assert_eq!(tries(&mut budget, "::ffff:10.0.0.1", 0), 0);
    }

    /// Rule: a thousand players behind one address come back at once.
    #[test]
    fn accepted_requests_cost_nothing() {
        let (mut budget, ip) = (budget(), "10.0.0.1".parse().expect("an address"));
        for _ in 0..100_000 {
            let spent = budget.spend(ip, 0).expect("nothing was lost so far");
            budget.refund(spent);
        }
    }
}
