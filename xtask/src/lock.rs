//! Lock files that say who holds them. The kernel drops a lock with its holder, so none is ever stale.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Seek as _, Write as _};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::checkout::Checkout;
use crate::clock;

/// Held until dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the instance of a working tree for one run; it is refused when it is another tree's.
    pub(crate) fn instance(checkout: &Checkout, purpose: &str) -> Result<Self> {
        let lock = Self::take(&checkout.state().join("lock"), purpose)?;
        checkout.claim()?;
        Ok(lock)
    }

    /// Takes the lock, or fails at once and names its owner.
    pub(crate) fn take(path: &Path, purpose: &str) -> Result<Self> {
        match Self::try_take(path, purpose)? {
            Ok(lock) => Ok(lock),
            Err(owner) => bail!("another run is at work here: {owner} (lock {})", path.display()),
        }
    }

    /// Takes the lock if it is free; gives its owner if it is not.
    pub(crate) fn try_take(path: &Path, purpose: &str) -> Result<std::result::Result<Self, String>> {
        let file = open(path)?;
        match file.try_lock() {
            Ok(()) => own(file, purpose).map(Ok),
            Err(TryLockError::WouldBlock) => Ok(Err(owner(path))),
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("failed to lock {}", path.display()))
            }
        }
    }

    /// Waits for the lock; `tell` hears once whom it waits for.
    pub(crate) fn wait(path: &Path, purpose: &str, tell: impl Fn(&str)) -> Result<Self> {
        let mut told = false;
        loop {
            match Self::try_take(path, purpose)? {
                Ok(lock) => return Ok(lock),
                Err(owner) if !told => {
                    told = true;
                    tell(&owner);
                }
                Err(_) => clock::pause(Duration::from_millis(200)),
            }
        }
    }
}

fn open(path: &Path) -> Result<File> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).with_context(|| format!("failed to create {}", directory.display()))?;
    }
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(path)
        .with_context(|| format!("failed to open {}", path.display()))
}

fn own(mut file: File, purpose: &str) -> Result<Lock> {
    file.set_len(0).and_then(|()| file.rewind()).context("failed to write the lock's owner")?;
    writeln!(file, "process {} ({purpose})", std::process::id())
        .context("failed to write the lock's owner")?;
    Ok(Lock { _file: file })
}

fn owner(path: &Path) -> String {
    fs::read_to_string(path).map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_taker_is_told_who_holds_it_and_gets_it_afterwards() {
        let path = std::env::temp_dir().join(format!("cranewing-lock-test-{}", std::process::id()));
        let first = Lock::take(&path, "up").unwrap();
        let error = Lock::take(&path, "down").unwrap_err().to_string();
        assert!(error.contains(&format!("process {} (up)", std::process::id())), "{error}");
        drop(first);
        let second = Lock::take(&path, "down").unwrap();
        assert_eq!(owner(&path), format!("process {} (down)", std::process::id()));
        drop(second);
        fs::remove_file(path).unwrap();
    }
}
