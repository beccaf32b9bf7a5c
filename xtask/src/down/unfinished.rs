//! What a run that was cut off had begun to build. All of it is named `*.unfinished*` until it is whole.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::checkout::Checkout;
use crate::lock::Lock;

/// Directories of the cache in which things are built, and the lock that their builder holds.
const BUILT: [(&str, &str); 2] = [("tools", "build.lock"), ("node-images", "node-image.lock")];

/// Here builders hold no lock and put their process number into the name.
const PACKED: &str = "images";

/// Removes what nobody is building any more; another checkout may be at work in the same cache.
pub(super) fn sweep(checkout: &Checkout) -> Result<()> {
    for (directory, lock) in BUILT {
        if let Ok(_lock) = Lock::try_take(&checkout.cache.join(lock), "cargo xtask down")? {
            remove(unfinished(&checkout.cache.join(directory)))?;
        }
    }
    let packed = unfinished(&checkout.cache.join(PACKED));
    remove(packed.into_iter().filter(|path| !builder(path).is_some_and(is_alive)).collect())
}

fn unfinished(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_unfinished = |path: &PathBuf| {
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().split('.').any(|part| part == "unfinished"))
    };
    entries.filter(is_unfinished).collect()
}

/// The process number in `<name>.<number>.unfinished`.
fn builder(path: &Path) -> Option<u32> {
    path.file_name()?.to_str()?.split('.').find_map(|part| part.parse().ok())
}

fn is_alive(process: u32) -> bool {
    Path::new("/proc").join(process.to_string()).exists()
}

fn remove(paths: Vec<PathBuf>) -> Result<()> {
    for path in paths {
        let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.with_context(|| format!("failed to remove {}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_builds_any_more_goes_and_what_is_whole_or_being_built_stays() {
        let cache = std::env::temp_dir().join(format!("cranewing-unfinished-test-{}", std::process::id()));
        let checkout = Checkout { cache: cache.clone(), ..Checkout::locate().unwrap() };
        let alive = format!("images/bots.{}.unfinished", std::process::id());
        // no process has a number as high
        let all = [
            "tools/kind-v1/kind",
            "tools/helm-v3.unfinished/helm",
            "node-images/v1.unfinished/tree/etc/fstab",
            "node-images/v1/rootfs.tar",
            "images/operator.4194305.unfinished.tar",
            "images/operator.4194305.unfinished/operator",
            "images/operator-0.1.0.tar",
            &alive,
        ];
        for file in all {
            fs::create_dir_all(cache.join(file).parent().unwrap()).unwrap();
            fs::write(cache.join(file), "").unwrap();
        }
        let left = || all.into_iter().filter(|file| cache.join(file).exists()).collect::<Vec<_>>();
        let building = Lock::take(&cache.join("node-image.lock"), "building").unwrap();
        sweep(&checkout).unwrap();
        let whole = ["tools/kind-v1/kind", "node-images/v1/rootfs.tar", "images/operator-0.1.0.tar", &alive];
        let building_stays: Vec<_> =
            [whole[0], "node-images/v1.unfinished/tree/etc/fstab", whole[1], whole[2], whole[3]].into();
        assert_eq!(left(), building_stays);
        drop(building);
        sweep(&checkout).unwrap();
        assert_eq!(left(), whole);
        fs::remove_dir_all(cache).unwrap();
    }
}
