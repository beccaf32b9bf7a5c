//! Symmetric keys and how they are derived from a Fleet's secret.

use ring::hkdf::{HKDF_SHA256, Salt};

/// Bytes of every symmetric key.
pub const KEY_BYTES: usize = 32;

/// A symmetric key.
pub type Key = [u8; KEY_BYTES];

/// The key of one game server: HKDF-SHA256 of its Fleet's secret and its own uid. Knowing one server's key
/// tells nothing about another's, so a pod never sees the Fleet secret.
pub fn derive_server_key(fleet_secret: &[u8], game_server_uid: &str) -> Key {
    derive_key(fleet_secret, &[b"cranewing server key", game_server_uid.as_bytes()])
}

/// An independent key for each `context` of one secret (HKDF-SHA256).
///
/// The parts of a context are joined with a zero byte, so that `["a", "b"]` and `["ab"]` differ.
pub fn derive_key(secret: &[u8], context: &[&[u8]]) -> Key {
    let mut info = Vec::with_capacity(context.iter().map(|part| part.len() + 1).sum());
    for part in context {
        info.extend_from_slice(part);
        info.push(0);
    }
    let mut key = [0; KEY_BYTES];
    Salt::new(HKDF_SHA256, b"cranewing v1")
        .extract(secret)
        .expand(&[&info], HKDF_SHA256)
        .and_then(|okm| okm.fill(&mut key))
        .expect("32 bytes are within what HKDF-SHA256 can give");
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_server_has_its_own_key_and_the_same_one_each_time() {
        let key = derive_server_key(b"fleet secret", "7a3d");
        assert_eq!(key, derive_server_key(b"fleet secret", "7a3d"));
        assert_ne!(key, derive_server_key(b"fleet secret", "7a3e"));
        assert_ne!(key, derive_server_key(b"another secret", "7a3d"));
    }

    /// Computed independently from RFC 5869 (Python `hmac`).
    #[test]
    fn the_derivation_is_hkdf_sha256_as_documented() {
        let expected = [
            0x70, 0xe6, 0xa6, 0xe6, 0x8c, 0xfc, 0x94, 0xc4, 0xaa, 0x76, 0xdf, 0x6e, 0xb1, 0xc6, 0x2c, 0x8c,
            0xfb, 0xf2, 0x15, 0x05, 0x57, 0x39, 0x33, 0xc4, 0x8d, 0x79, 0x5c, 0xcf, 0xbe, 0xcb, 0xbc, 0xfc,
        ];
        assert_eq!(derive_server_key(b"fleet secret", "7a3d"), expected);
    }

    #[test]
    fn parts_of_a_context_do_not_run_together() {
        assert_ne!(derive_key(b"s", &[b"a", b"b"]), derive_key(b"s", &[b"ab"]));
    }
}
