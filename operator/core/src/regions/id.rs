//! Names of regions.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Most characters of a [`RegionId`].
pub const REGION_ID_LEN_MAX: usize = 8;

/// Short name of a region, such as `kr`: 1 to 8 lower case letters and digits, beginning with a letter. Ordered as text.
///
/// Padded with zeros, which come before every letter and digit, so that the order of the bytes is that of the text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RegionId([u8; REGION_ID_LEN_MAX]);

/// The text is no [`RegionId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidRegionId;

impl RegionId {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        let len = self.0.iter().position(|&byte| byte == 0).unwrap_or(REGION_ID_LEN_MAX);
        std::str::from_utf8(&self.0[..len]).unwrap_or_default()
    }
}

impl FromStr for RegionId {
    type Err = InvalidRegionId;

    fn from_str(text: &str) -> Result<Self, InvalidRegionId> {
        let fits = (1..=REGION_ID_LEN_MAX).contains(&text.len())
            && text.starts_with(|first: char| first.is_ascii_lowercase())
            && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        if !fits {
            return Err(InvalidRegionId);
        }
        let mut bytes = [0; REGION_ID_LEN_MAX];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for RegionId {
    type Error = InvalidRegionId;

    fn try_from(text: String) -> Result<Self, InvalidRegionId> {
        text.parse()
    }
}

impl From<RegionId> for String {
    fn from(region: RegionId) -> Self {
        region.as_str().to_owned()
    }
}

impl fmt::Display for RegionId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

impl fmt::Debug for RegionId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl fmt::Display for InvalidRegionId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .write_str("a region is named by 1 to 8 lower case letters and digits, beginning with a letter")
    }
}

impl std::error::Error for InvalidRegionId {}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::de::IntoDeserializer;
    use serde::de::value::Error;

    #[test]
    fn a_region_is_named_by_few_letters_and_digits() {
        for (text, fits) in [
            ("kr", true),
            ("a", true),
            ("useast12", true),
            ("", false),
            ("useast123", false),
            ("1kr", false),
            ("KR", false),
            ("k-r", false),
            ("k\0r", false),
            ("ㄱ", false),
        ] {
            let parsed = text.parse::<RegionId>();
            assert_eq!(parsed.is_ok(), fits, "{text:?}");
            assert!(parsed.is_err() || parsed.unwrap().as_str() == text, "{text:?}");
            let received = RegionId::deserialize(IntoDeserializer::<Error>::into_deserializer(text));
            assert_eq!(received.ok(), parsed.ok(), "whatever it came in: {text:?}");
        }
    }

    #[test]
    fn regions_are_ordered_as_text() {
        let mut names = ["sg", "s", "k10", "k1", "k2", "kr"];
        let mut regions = names.map(|name| name.parse::<RegionId>().unwrap());
        names.sort_unstable();
        regions.sort_unstable();
        assert_eq!(regions.map(|region| region.to_string()), names);
    }
}
