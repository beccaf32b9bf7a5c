//! Little-endian reading and writing, as the session protocol has it.

use std::net::{IpAddr, SocketAddr};

/// Writes into a buffer whose size the format fixes; running over it is a bug and panics.
pub(crate) struct Writer<'a> {
    buffer: &'a mut [u8],
    position: usize,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(buffer: &'a mut [u8]) -> Self {
        Self { buffer, position: 0 }
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.buffer[self.position..self.position + bytes.len()].copy_from_slice(bytes);
        self.position += bytes.len();
    }

    pub(crate) fn u8(&mut self, value: u8) {
        self.bytes(&[value]);
    }

    pub(crate) fn u16(&mut self, value: u16) {
        self.bytes(&value.to_le_bytes());
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.bytes(&value.to_le_bytes());
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.bytes(&value.to_le_bytes());
    }

    /// Type (1 or 2), address and port; the groups of an IPv6 address are 16-bit values and so little-endian.
    pub(crate) fn address(&mut self, address: SocketAddr) {
        match address.ip() {
            IpAddr::V4(ip) => {
                self.u8(1);
                self.bytes(&ip.octets());
            }
            IpAddr::V6(ip) => {
                self.u8(2);
                ip.segments().into_iter().for_each(|group| self.u16(group));
            }
        }
        self.u16(address.port());
    }
}

/// Reads what a peer wrote; every read may find the input too short.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*bytes)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn address(&mut self) -> Option<SocketAddr> {
        let ip = match self.u8()? {
            1 => IpAddr::from(self.array::<4>()?),
            2 => {
                let mut groups = [0; 8];
                for group in &mut groups {
                    *group = self.u16()?;
                }
                IpAddr::from(groups)
            }
            _ => return None,
        };
        Some(SocketAddr::new(ip, self.u16()?))
    }
}
