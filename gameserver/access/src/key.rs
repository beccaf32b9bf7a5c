//! A server's key as the command line takes it.

use std::path::Path;
use std::str::FromStr;
use std::{fmt, fs};

use anyhow::Context;
use gameserver_protocol::{KEY_BYTES, Key};

/// A server's key, written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ServerKey(pub Key);

impl ServerKey {
    /// The key that stands in a file.
    ///
    /// # Errors
    /// When the file cannot be read or holds something else.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))?;
        text.trim().parse().with_context(|| format!("failed to understand the key in {}", path.display()))
    }

    /// As it is read again.
    pub fn digits(&self) -> String {
        let digits = self.0.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
    }
}

impl fmt::Debug for ServerKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ServerKey") // and never the key itself
    }
}

/// Not a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key is 64 hexadecimal digits")]
pub struct KeyError;

impl FromStr for ServerKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let mut key = [0; KEY_BYTES];
        if text.len() != 2 * KEY_BYTES || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(KeyError);
        }
        for (byte, at) in key.iter_mut().zip((0..).step_by(2)) {
            *byte = u8::from_str_radix(&text[at..at + 2], 16).map_err(|_not_hexadecimal| KeyError)?;
        }
        Ok(Self(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_64_hexadecimal_digits() {
        assert_eq!("0f".repeat(32).parse(), Ok(ServerKey([15; 32])));
        assert_eq!(ServerKey([15; 32]).digits(), "0f".repeat(32));
        for wrong in ["", "0f", &"0f".repeat(33), &"+f".repeat(32), &"é".repeat(32)] {
            assert_eq!(wrong.parse::<ServerKey>(), Err(KeyError), "{wrong}");
        }
    }
}
