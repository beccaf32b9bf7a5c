//! The limit on work that strangers can cause.

use std::hash::BuildHasher;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::keyed_hash::KeyedState;
use crate::rate::{Bucket, Rate};

const BUCKETS: usize = 4096;
/// Sets of four ports each.
const PORT_SETS: usize = 1024;

/// Requests that lead nowhere, a second and at once, from one port: a client asks ten times a second, and once in vain
/// says it all.
const PORT: Rate = Rate::new(4, 8);
/// From one address: enough for a thousand players behind it who come back at the same moment. However many ports
/// there flood us, a few hundred use up no more than this.
const ADDRESS: Rate = Rate::new(4096, 4096);
const PREFIX: Rate = Rate::new(8192, 8192);
/// All together: opening a token takes about three microseconds, so this is a twentieth of a core.
const EVERYONE: Rate = Rate::new(16_384, 16_384);

/// Limits how much work strangers can cause before they have proven anything.
///
/// Only requests are counted that make the server open a token, and what an accepted one cost is given back: the
/// budget is one of failures. Garbage is not charged: to look an address up here would cost more than to ignore what came,
/// and whoever forges that address would shut out its players for less. Tables of fixed size, so addresses and networks that share a slot share its budget. Ports
/// share none: whom the table has no room for is limited with its address only.
#[derive(Debug)]
pub(crate) struct Budget {
    state: KeyedState,
    ports: Box<[[Port; 4]]>,
    addresses: Box<[Bucket]>,
    prefixes: Box<[Bucket]>,
    everyone: Bucket,
}

/// What one port has left.
#[derive(Clone, Copy, Debug, Default)]
struct Port {
    key: u64,
    bucket: Bucket,
}

/// What a request has spent, to give it back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spent {
    /// Set and place in it.
    port: Option<(usize, usize)>,
    address: usize,
    prefix: usize,
}

impl Budget {
    pub(crate) fn new(state: KeyedState) -> Self {
        let table = || vec![Bucket::default(); BUCKETS].into_boxed_slice();
        let ports = vec![[Port::default(); 4]; PORT_SETS].into_boxed_slice();
        Self { state, ports, addresses: table(), prefixes: table(), everyone: Bucket::default() }
    }

    /// Pays for one try from `from`, or returns `None` when its port, its address, its network or everyone has none
    /// left.
    pub(crate) fn spend(&mut self, from: SocketAddr, now_ns: u64) -> Option<Spent> {
        let (address, prefix) = networks(from.ip());
        let port = self.port(from, now_ns);
        if let Some((set, way)) = port
            && !self.ports[set][way].bucket.spend(PORT, now_ns)
        {
            return None;
        }
        // a try that ends at a limit below was one of this port's all the same
        let spent = Spent { port, address: self.slot(address, 0), prefix: self.slot(prefix, 1) };
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
        if let Some((set, way)) = spent.port {
            self.ports[set][way].bucket.refund(PORT);
        }
        self.addresses[spent.address].refund(ADDRESS);
        self.prefixes[spent.prefix].refund(PREFIX);
        self.everyone.refund(EVERYONE);
    }

    /// The place of a port: its own, or one whose port has rested so long that its budget is whole again.
    fn port(&mut self, from: SocketAddr, now_ns: u64) -> Option<(usize, usize)> {
        let key = self.state.hash_one(from);
        let set = usize::try_from(key % PORT_SETS as u64).unwrap_or(0);
        let ways = &mut self.ports[set];
        let own = ways.iter().position(|port| port.key == key);
        let way = own.or_else(|| ways.iter().position(|port| port.bucket.is_whole(now_ns)))?;
        ways[way].key = key;
        Some((set, way))
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

    /// Tries of as many ports as there are.
    fn tries(budget: &mut Budget, ip: &str, now_ns: u64) -> usize {
        let ip: IpAddr = ip.parse().expect("an address");
        (0..=u16::MAX).take_while(|&port| budget.spend((ip, port).into(), now_ns).is_some()).count()
    }

    #[test]
    fn an_address_runs_dry_and_another_does_not_notice() {
        let mut budget = budget();
        assert_eq!(tries(&mut budget, "10.0.0.1", 0), 4096);
        assert_eq!(tries(&mut budget, "192.0.2.1", 0), 4096);
        assert_eq!(tries(&mut budget, "10.0.0.1", 1_000_000_000), 4096);
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
        assert_eq!(tries(&mut budget, "2001:db8::1", 0), 4096);
        assert_eq!(tries(&mut budget, "2001:db8::2", 0), 0);
    }

    #[test]
    fn an_ipv6_network_runs_dry_before_all_its_hosts_do_and_another_does_not_notice() {
        let mut budget = budget();
        let hosts = (0..20).map(|host| format!("2001:db8:0:{host:x}::1"));
        let total: usize = hosts.map(|host| tries(&mut budget, &host, 0)).sum();
        assert_eq!(total, 8192);
        assert_eq!(tries(&mut budget, "2001:db8:1::1", 0), 4096);
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
        assert_eq!(tries(&mut budget, "10.0.0.1", 0), 4096);
        assert_eq!(tries(&mut budget, "::ffff:10.0.0.1", 0), 0);
    }

    /// Rule 17: a thousand players behind one address come back at once.
    #[test]
    fn accepted_requests_cost_nothing() {
        let (mut budget, from) = (budget(), SocketAddr::from(([10, 0, 0, 1], 1)));
        for _ in 0..100_000 {
            let spent = budget.spend(from, 0).expect("nothing was lost so far");
            budget.refund(spent);
        }
    }

    #[test]
    fn a_hundred_ports_that_flood_us_leave_their_address_to_the_others() {
        let mut budget = budget();
        let at = |port| SocketAddr::from(([10, 0, 0, 1], port));
        let mut passed = 0;
        for tick in 0..1000_u64 {
            let now_ns = tick * 10_000_000;
            passed += (0..100).filter(|&port| budget.spend(at(port), now_ns).is_some()).count();
            let honest = at(1000 + u16::try_from(tick).expect("small"));
            let spent = budget.spend(honest, now_ns).expect("not kept out");
            budget.refund(spent);
        }
        assert_eq!(passed, 100 * (8 + 4 * 10 - 1), "each port what a port has");
    }

    #[test]
    fn a_port_for_which_there_is_no_room_is_limited_with_its_address() {
        let mut budget = budget();
        for port in 0..2000 {
            budget.spend(SocketAddr::from(([10, 0, 0, 1], port)), 0);
        }
        let full =
            budget.ports.iter().filter(|ways| ways.iter().all(|port| !port.bucket.is_whole(0))).count();
        assert!(full > 100, "{full} sets are full");
        assert_eq!(tries(&mut budget, "10.0.0.1", 0), 2096, "what is left of 4096");
    }
}
