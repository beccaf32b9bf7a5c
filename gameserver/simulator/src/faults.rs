//! What goes wrong in a run.

use std::fmt;
use std::str::FromStr;

/// What goes wrong in a run, besides the loss, delay and disorder that there always is.
#[expect(clippy::struct_excessive_bools, reason = "each is on or off, whatever the others are")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// The process crashes and comes back seconds later, with its key and nothing else.
    pub crashes: bool,
    /// Zones drain for a while.
    pub drains: bool,
    /// Players fall silent and come back.
    pub vanishing: bool,
    /// Losses come in bursts (Gilbert-Elliott).
    pub bursts: bool,
    /// Each tenth player is hostile.
    pub hostile: bool,
    /// Of some seeds the process has fewer places than there are players, or a tick carries out less than is asked for.
    pub scarcity: bool,
}

impl Faults {
    /// Everything.
    pub const ALL: Self =
        Self { crashes: true, drains: true, vanishing: true, bursts: true, hostile: true, scarcity: true };

    const NAMES: [&str; 6] = ["crashes", "drains", "vanishing", "bursts", "hostile", "scarcity"];

    fn by_name(&mut self) -> [&mut bool; 6] {
        let Self { crashes, drains, vanishing, bursts, hostile, scarcity } = self;
        [crashes, drains, vanishing, bursts, hostile, scarcity]
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut faults = *self;
        let flags = faults.by_name();
        let named = Self::NAMES.iter().zip(flags).filter(|(_, is_on)| **is_on).map(|(name, _)| *name);
        let named: Vec<_> = named.collect();
        formatter.write_str(if named.is_empty() { "none" } else { "" })?;
        formatter.write_str(&named.join(","))
    }
}

impl FromStr for Faults {
    type Err = String;

    /// `all`, `none`, or names with commas between them.
    fn from_str(names: &str) -> Result<Self, String> {
        match names {
            "all" => return Ok(Self::ALL),
            "none" => return Ok(Self::default()),
            _ => {}
        }
        let mut faults = Self::default();
        for name in names.split(',') {
            let at = Self::NAMES.iter().position(|known| *known == name);
            let at =
                at.ok_or_else(|| format!("no fault {name:?}: {}, all or none", Self::NAMES.join(", ")))?;
            *faults.by_name()[at] = true;
        }
        Ok(faults)
    }
}
