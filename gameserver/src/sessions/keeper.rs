//! What the server has promised, on the pod's disk: a container that starts again in the same pod reads it there.
//!
//! The kernel has the file when the process dies, so nothing waits for the disk itself: with the node its boot id is gone too, and then
//! nothing that was saved counts.

use std::io;
use std::path::{Path, PathBuf};

use gameserver_contract::Claims;
use serde::{Deserialize, Serialize};

const FILE: &str = "sessions.json";
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Why something could not be saved.
#[derive(Debug, thiserror::Error)]
#[error("failed to save {path}", path = .path.display())]
pub(crate) struct KeepError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// Claims that nobody sees before they are saved.
#[derive(Debug)]
pub(crate) struct Keeper {
    /// None: there is nothing that would outlive the process.
    path: Option<PathBuf>,
    saved: Saved,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Saved {
    /// A directory that outlives its pod proves nothing.
    pod_uid: String,
    /// Nor does one that outlives what ran on its node.
    boot_id: String,
    claims: Claims,
}

impl Keeper {
    /// With what was saved in this directory by the same pod since its node started, or with nothing.
    pub(crate) fn open(directory: Option<&Path>, pod_uid: &str, limit: u32) -> Self {
        Self::open_as(directory, pod_uid, &boot_id(), limit)
    }

    fn open_as(directory: Option<&Path>, pod_uid: &str, boot_id: &str, limit: u32) -> Self {
        let path = directory.map(|directory| directory.join(FILE));
        let claims = path.as_deref().and_then(|path| read(path, pod_uid, boot_id));
        let claims = claims.map_or_else(|| Claims::new(limit), |claims| claims.with_limit(limit));
        Self { path, saved: Saved { pod_uid: pod_uid.to_owned(), boot_id: boot_id.to_owned(), claims } }
    }

    /// As they are saved.
    pub(crate) fn claims(&self) -> &Claims {
        &self.saved.claims
    }

    /// Changes them and saves that. What `act` answers is there only when it is saved.
    pub(crate) fn change<T>(&mut self, act: impl FnOnce(&mut Claims) -> T) -> Result<T, KeepError> {
        let mut next = self.saved.clone();
        let said = act(&mut next.claims);
        if next.claims != self.saved.claims {
            self.save(&next)?;
            self.saved = next;
        }
        Ok(said)
    }

    fn save(&self, saved: &Saved) -> Result<(), KeepError> {
        let Some(path) = &self.path else { return Ok(()) };
        // whoever reads finds the old or the new and never a part
        let fresh = path.with_extension("new");
        let text = serde_json::to_vec(saved).map_err(io::Error::from);
        let written =
            text.and_then(|text| std::fs::write(&fresh, text)).and_then(|()| std::fs::rename(&fresh, path));
        written.map_err(|source| KeepError { path: path.clone(), source })
    }
}

fn read(path: &Path, pod_uid: &str, boot_id: &str) -> Option<Claims> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            tracing::error!(path = %path.display(), %error, "what was promised cannot be read and is forgotten");
            return None;
        }
    };
    match serde_json::from_slice::<Saved>(&text) {
        Ok(saved) if saved.pod_uid == pod_uid && saved.boot_id == boot_id => Some(saved.claims),
        Ok(_) => {
            tracing::info!(path = %path.display(), "what was promised is of another pod or from before the node started");
            None
        }
        Err(error) => {
            tracing::error!(path = %path.display(), %error, "what was promised is not understood and is forgotten");
            None
        }
    }
}

/// Another each time that the node starts; empty where the kernel does not say, so that there all of a pod counts.
fn boot_id() -> String {
    std::fs::read_to_string(BOOT_ID).map(|text| text.trim().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use gameserver_contract::{Key, Verdict};

    /// A directory that is gone with the test.
    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("cranewing-keeper-{}-{name}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            drop(std::fs::remove_dir_all(&self.0));
        }
    }

    fn take(keeper: &mut Keeper, key: &str) -> Result<Verdict, KeepError> {
        let key: Key = key.into();
        keeper.change(|claims| claims.propose(1, &key, true).verdict)
    }

    fn held(keeper: &Keeper) -> Vec<String> {
        keeper.claims().held().map(ToString::to_string).collect()
    }

    #[test]
    fn what_was_taken_is_still_held_after_a_restart_in_the_same_pod_on_a_node_that_has_run_on() {
        let directory = Directory::new("restart");
        let open = |pod: &str, boot: &str| Keeper::open_as(Some(&directory.0), pod, boot, 2);
        assert_eq!(take(&mut open("pod", "boot"), "a").unwrap(), Verdict::Taken);
        for (name, pod, boot, expected) in [
            ("another process", "pod", "boot", vec!["a"]),
            ("another pod", "other", "boot", vec![]),
            ("the node has started anew", "pod", "other", vec![]),
        ] {
            assert_eq!(held(&open(pod, boot)), expected, "{name}");
        }
    }

    #[test]
    fn what_cannot_be_saved_is_neither_said_nor_held() {
        let directory = Directory::new("unsaved");
        let mut keeper = Keeper::open_as(Some(&directory.0), "pod", "boot", 2);
        take(&mut keeper, "a").unwrap();
        // nothing can be put in the place of a directory that is not empty
        std::fs::remove_file(directory.0.join(FILE)).unwrap();
        std::fs::create_dir_all(directory.0.join(FILE).join("x")).unwrap();
        let refused = take(&mut keeper, "b").unwrap_err().to_string();
        assert!(refused.contains(FILE), "{refused}");
        assert_eq!(held(&keeper), ["a"]);
        assert_eq!(take(&mut keeper, "a").unwrap(), Verdict::Taken, "what is saved is said again");
    }

    #[test]
    fn what_is_not_understood_is_forgotten_and_a_smaller_limit_holds_at_once() {
        let directory = Directory::new("limits");
        let mut two = Keeper::open_as(Some(&directory.0), "pod", "boot", 2);
        take(&mut two, "a").unwrap();
        take(&mut two, "b").unwrap();
        let mut one = Keeper::open_as(Some(&directory.0), "pod", "boot", 1);
        assert_eq!((held(&one).len(), take(&mut one, "c").unwrap()), (2, Verdict::Full));
        std::fs::write(directory.0.join(FILE), "{").unwrap();
        assert_eq!(held(&Keeper::open_as(Some(&directory.0), "pod", "boot", 2)), Vec::<String>::new());
    }

    #[test]
    fn without_a_directory_all_is_held_until_the_process_ends() {
        let mut keeper = Keeper::open_as(None, "pod", "boot", 1);
        assert_eq!(take(&mut keeper, "a").unwrap(), Verdict::Taken);
        assert_eq!(held(&keeper), ["a"]);
    }
}
