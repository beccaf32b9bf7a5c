//! Where things are: this checkout, the cache outside of it, and the name that keeps two checkouts apart.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};
use sha2::{Digest as _, Sha256};

/// A working tree and what belongs to it on this machine.
#[derive(Debug, Clone)]
pub(crate) struct Checkout {
    /// Root of the working tree.
    pub(crate) root: PathBuf,
    /// Everything that is built once and kept: `$CRANEWING_CACHE`, `$XDG_CACHE_HOME/cranewing` or `~/.cache/cranewing`.
    pub(crate) cache: PathBuf,
    /// Short name of the path of this working tree.
    pub(crate) tree: String,
    /// Prefix of every cluster, network and process of this working tree.
    pub(crate) instance: String,
}

impl Checkout {
    /// Finds the working tree that this program was built from.
    pub(crate) fn locate() -> Result<Self> {
        let root =
            Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask lies in the working tree")?;
        let root = root
            .canonicalize()
            .with_context(|| format!("failed to find the working tree {}", root.display()))?;
        let tree = instance_name(&root);
        Ok(Self { root, cache: cache_directory()?, instance: tree.clone(), tree })
    }

    /// The same tree with an instance of another name, so that its clusters do not meet those of `up`.
    pub(crate) fn named(&self, purpose: &str) -> Self {
        Self { instance: format!("{}-{purpose}", self.tree), ..self.clone() }
    }

    /// Kubeconfigs, logs and the record of what was begun.
    pub(crate) fn state(&self) -> PathBuf {
        self.cache.join("instances").join(&self.instance)
    }

    /// Log file of one step.
    pub(crate) fn log(&self, step: &str) -> PathBuf {
        self.state().join("logs").join(format!("{step}.log"))
    }
}

/// `cranewing-` and four digits of the path's hash: short, because it is part of host names.
fn instance_name(root: &Path) -> String {
    format!("cranewing-{}", &digest([root.as_os_str().as_encoded_bytes()])[..4])
}

fn cache_directory() -> Result<PathBuf> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("CRANEWING_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|base| base.join("cranewing")))
        .or_else(|| set("HOME").map(|home| home.join(".cache/cranewing")))
        .ok_or_else(|| anyhow!("there is no place for the cache: set CRANEWING_CACHE or HOME"))
}

/// Where something is built before it is renamed to `path`.
pub(crate) fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".unfinished");
    PathBuf::from(name)
}

/// Hexadecimal SHA-256 over `parts`, each closed by its length so that no two lists collide.
pub(crate) fn digest<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
        hash.update((part.len() as u64).to_le_bytes());
    }
    hex(&hash.finalize())
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_checkouts_have_two_names() {
        assert_ne!(instance_name(Path::new("/a/cranewing")), instance_name(Path::new("/b/cranewing")));
    }

    #[test]
    fn an_instance_name_leaves_room_for_the_nodes_host_name() {
        let longest = format!("{}-bench-kr-control-plane", instance_name(Path::new("/a")));
        assert!(longest.len() <= 63, "{longest}");
    }

    #[test]
    fn what_is_unfinished_keeps_its_whole_name() {
        assert_eq!(
            unfinished(Path::new("tools/kind-v0.33.0-1a")),
            Path::new("tools/kind-v0.33.0-1a.unfinished")
        );
    }

    #[test]
    fn parts_that_only_move_a_boundary_have_another_digest() {
        assert_ne!(digest([b"ab".as_slice(), b"c"]), digest([b"a".as_slice(), b"bc"]));
    }
}
