//! The only place that draws numbers.

use anyhow::anyhow;
use ring::hmac::{HMAC_SHA256, Key};
use ring::rand::{SecureRandom, SystemRandom};

/// A number that nobody can guess.
pub(crate) fn random() -> anyhow::Result<u64> {
    let mut bytes = [0; 8];
    SystemRandom::new().fill(&mut bytes).map_err(|_unspecified| anyhow!("failed to draw a random number"))?;
    Ok(u64::from_ne_bytes(bytes))
}

/// Bytes that nobody can guess.
pub(crate) fn random_bytes<const BYTES: usize>() -> anyhow::Result<[u8; BYTES]> {
    let mut bytes = [0; BYTES];
    SystemRandom::new().fill(&mut bytes).map_err(|_unspecified| anyhow!("failed to draw random bytes"))?;
    Ok(bytes)
}

/// A key for hashes that nobody else can make.
pub(crate) fn random_key() -> anyhow::Result<Key> {
    let drawn = Key::generate(HMAC_SHA256, &SystemRandom::new());
    drawn.map_err(|_unspecified| anyhow!("failed to draw a random key"))
}
