//! Socket addresses as the kernel lays them out, without `unsafe`: both families fit in 28 bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// Bytes of `sockaddr_in6`, the longer of the two.
pub(crate) const ADDRESS_BYTES: usize = IPV6_BYTES as usize;

/// The same as the kernel's length type.
pub(crate) const ADDRESS_LEN: libc::socklen_t = IPV6_BYTES as libc::socklen_t;

const IPV4_BYTES: u8 = 16;
const IPV6_BYTES: u8 = 28;
const _: () = assert!(size_of::<libc::sockaddr_in>() == IPV4_BYTES as usize);
const _: () = assert!(size_of::<libc::sockaddr_in6>() == IPV6_BYTES as usize);

/// A `sockaddr_in` or `sockaddr_in6`, aligned as either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(4))]
pub(crate) struct RawAddress {
    bytes: [u8; ADDRESS_BYTES],
    len: u8,
}

impl Default for RawAddress {
    fn default() -> Self {
        Self { bytes: [0; ADDRESS_BYTES], len: 0 }
    }
}

impl RawAddress {
    pub(crate) fn as_ptr(&self) -> *const u8 {
        self.bytes.as_ptr()
    }

    pub(crate) fn as_mut_ptr(&mut self) -> *mut u8 {
        self.bytes.as_mut_ptr()
    }

    pub(crate) fn len(&self) -> libc::socklen_t {
        self.len.into()
    }

    pub(crate) fn decode(&self) -> Option<SocketAddr> {
        decode(&self.bytes)
    }
}

impl From<SocketAddr> for RawAddress {
    fn from(address: SocketAddr) -> Self {
        let mut bytes = [0; ADDRESS_BYTES];
        bytes[2..4].copy_from_slice(&address.port().to_be_bytes());
        let (family, len) = match address {
            SocketAddr::V4(v4) => {
                bytes[4..8].copy_from_slice(&v4.ip().octets());
                (libc::AF_INET, IPV4_BYTES)
            }
            SocketAddr::V6(v6) => {
                bytes[4..8].copy_from_slice(&v6.flowinfo().to_be_bytes());
                bytes[8..24].copy_from_slice(&v6.ip().octets());
                bytes[24..28].copy_from_slice(&v6.scope_id().to_ne_bytes());
                (libc::AF_INET6, IPV6_BYTES)
            }
        };
        bytes[..2].copy_from_slice(&family_bytes(family));
        Self { bytes, len }
    }
}

/// Reads an address that the kernel wrote; `None` for another family or too few bytes.
pub(crate) fn decode(bytes: &[u8]) -> Option<SocketAddr> {
    let family = bytes.get(..2)?;
    let port = u16::from_be_bytes(array(bytes, 2)?);
    if family == family_bytes(libc::AF_INET) {
        let ip = Ipv4Addr::from(array::<4>(bytes, 4)?);
        Some(SocketAddr::V4(SocketAddrV4::new(ip, port)))
    } else if family == family_bytes(libc::AF_INET6) {
        let flowinfo = u32::from_be_bytes(array(bytes, 4)?);
        let ip = Ipv6Addr::from(array::<16>(bytes, 8)?);
        let scope_id = u32::from_ne_bytes(array(bytes, 24)?);
        Some(SocketAddr::V6(SocketAddrV6::new(ip, port, flowinfo, scope_id)))
    } else {
        None
    }
}

/// The same peer by the same name: a dual-stack socket reports IPv4 peers as mapped IPv6 addresses, and the
/// session must find a player whichever way it was told the address.
pub(crate) fn same_family(address: SocketAddr, local: SocketAddr) -> SocketAddr {
    match (address.ip(), local) {
        (IpAddr::V4(ip), SocketAddr::V6(_)) => SocketAddr::new(ip.to_ipv6_mapped().into(), address.port()),
        _ => address,
    }
}

fn array<const N: usize>(bytes: &[u8], from: usize) -> Option<[u8; N]> {
    bytes.get(from..from + N)?.try_into().ok()
}

fn family_bytes(family: libc::c_int) -> [u8; 2] {
    // AF_INET is 2 and AF_INET6 is 10; the field is sixteen bits wide.
    libc::sa_family_t::try_from(family).unwrap_or_default().to_ne_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_survive_the_kernel_layout() {
        for text in ["127.0.0.1:1", "203.0.113.7:65535", "[::1]:9", "[fe80::1%3]:7777"] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(RawAddress::from(address).decode(), Some(address), "{text}");
        }
    }

    #[test]
    fn the_layout_is_the_one_of_socket2() {
        for text in ["127.0.0.1:4242", "[2001:db8::7]:4242"] {
            let address: SocketAddr = text.parse().unwrap();
            let reference = socket2::SockAddr::from(address);
            assert_eq!(RawAddress::from(address).len(), reference.len(), "{text}");
            assert_eq!(reference.as_socket(), RawAddress::from(address).decode(), "{text}");
        }
    }

    #[test]
    fn short_and_foreign_addresses_are_refused() {
        assert_eq!(decode(&[]), None);
        assert_eq!(decode(&[1, 0, 0, 0, 0, 0, 0, 0]), None, "AF_UNIX");
        let whole = RawAddress::from("[::1]:9".parse::<SocketAddr>().unwrap());
        assert_eq!(decode(&whole.bytes[..27]), None);
    }

    #[test]
    fn an_ipv4_peer_of_a_dual_stack_socket_is_addressed_as_mapped() {
        let local: SocketAddr = "[::]:1".parse().unwrap();
        let mapped = same_family("192.0.2.1:5".parse().unwrap(), local);
        assert_eq!(mapped, "[::ffff:192.0.2.1]:5".parse().unwrap());
    }
}
