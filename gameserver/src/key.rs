//! The key of a standalone server, which no operator gives one.

use std::fs;
use std::path::{Path, PathBuf};

use ring::rand::{SecureRandom, SystemRandom};

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read.
    #[error("failed to read the key file {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Not 64 hexadecimal digits.
    #[error("{path} does not hold a key of 64 hexadecimal digits")]
    Malformed {
        /// Which.
        path: PathBuf,
    },
    /// The system has no randomness to give.
    #[error("failed to get random bytes from the system")]
    Random,
}

/// As many random bytes as are asked for.
///
/// # Errors
/// When the system gives none.
pub fn random_bytes<const COUNT: usize>() -> Result<[u8; COUNT], KeyError> {
    let mut bytes = [0; COUNT];
    SystemRandom::new().fill(&mut bytes).map_err(|_unspecified| KeyError::Random)?;
    Ok(bytes)
}

/// The key in `file`, or a fresh one.
pub(crate) fn standalone_key(file: Option<&Path>) -> Result<[u8; 32], KeyError> {
    let Some(path) = file else { return random_bytes() };
    let text = fs::read_to_string(path).map_err(|source| KeyError::Read { path: path.to_owned(), source })?;
    parse_key(text.trim()).ok_or_else(|| KeyError::Malformed { path: path.to_owned() })
}

/// A key of 64 hexadecimal digits.
pub fn parse_key(text: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> = text
        .chars()
        .map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect::<Option<_>>()?;
    let bytes: Vec<u8> =
        digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect();
    if digits.len() == 64 { bytes.try_into().ok() } else { None }
}

/// A key as 64 hexadecimal digits.
pub fn format_key(key: &[u8; 32]) -> String {
    key.iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_as_it_was_written() {
        let key = random_bytes().unwrap();
        assert_eq!(parse_key(&format_key(&key)), Some(key));
        assert_eq!(format_key(&[0x0f; 32]), "0f".repeat(32));
    }

    #[test]
    fn anything_but_64_digits_is_no_key() {
        for wrong in ["", "ab", &"0".repeat(63), &"0".repeat(65), &"g".repeat(64)] {
            assert_eq!(parse_key(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_missing_key_file_is_told_by_its_path() {
        let missing = standalone_key(Some(Path::new("/nonexistent/key"))).unwrap_err();
        assert_eq!(missing.to_string(), "failed to read the key file /nonexistent/key");
    }
}
