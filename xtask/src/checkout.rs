//! Where things are: this checkout, the cache outside of it, and the name that keeps two checkouts apart.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use sha2::{Digest as _, Sha256};

/// The file of an instance that holds the path of its working tree.
const OWNER: &str = "tree";

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

    /// Programs for a shell that looks into the regions.
    pub(crate) fn programs(&self) -> PathBuf {
        self.state().join("bin")
    }

    /// Makes the instance this working tree's, unless it is another's: then the two have one short name, and would share everything.
    pub(crate) fn claim(&self) -> Result<()> {
        let mark = self.state().join(OWNER);
        match owner(&self.state()) {
            Some(owner) if owner == self.root => return Ok(()),
            Some(owner) if owner.is_dir() => bail!(
                "{} has the same short name as this working tree, {}, and something of it may be up: run `cargo xtask down` there, \
                 or move one of the two",
                owner.display(),
                self.tree
            ),
            // nobody's, or a tree's that is gone
            _ => {}
        }
        fs::create_dir_all(self.state())
            .and_then(|()| fs::write(&mark, self.root.as_os_str().as_encoded_bytes()))
            .with_context(|| format!("failed to write {}", mark.display()))
    }

    /// Instances in the cache whose working trees are gone, so that nobody can take them down from there.
    pub(crate) fn orphans(&self) -> Vec<Self> {
        let entries = fs::read_dir(self.cache.join("instances")).into_iter().flatten().flatten();
        let mut orphans: Vec<_> = entries
            .filter(|entry| owner(&entry.path()).is_some_and(|owner| !owner.exists()))
            .filter_map(|entry| entry.file_name().into_string().ok())
            .map(|instance| Self { instance, ..self.clone() })
            .collect();
        orphans.sort_by(|one, other| one.instance.cmp(&other.instance));
        orphans
    }

    /// Log file of one step.
    pub(crate) fn log(&self, step: &str) -> PathBuf {
        self.state().join("logs").join(format!("{step}.log"))
    }
}

/// The working tree that an instance belongs to, if it says so.
fn owner(state: &Path) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStringExt as _;
    fs::read(state.join(OWNER)).ok().map(|path| PathBuf::from(std::ffi::OsString::from_vec(path)))
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
    fn an_instance_of_another_tree_is_refused_and_one_of_a_tree_that_is_gone_is_an_orphan() {
        let place = env::temp_dir().join(format!("cranewing-checkout-test-{}", std::process::id()));
        let tree = |name: &str| Checkout {
            root: place.join(name),
            cache: place.join("cache"),
            tree: "cranewing-0000".to_owned(),
            instance: "cranewing-0000".to_owned(),
        };
        let (one, other) = (tree("one"), tree("other"));
        for tree in [&one, &other] {
            fs::create_dir_all(&tree.root).unwrap();
        }
        one.claim().unwrap();
        one.claim().unwrap();
        let refusal = other.claim().unwrap_err().to_string();
        assert!(
            refusal.contains(one.root.to_str().unwrap()) && refusal.contains("cargo xtask down"),
            "{refusal}"
        );
        other.named("test").claim().unwrap();
        assert_eq!(other.orphans().len(), 0);
        fs::remove_dir(&one.root).unwrap();
        let orphans: Vec<_> = other.orphans().into_iter().map(|orphan| orphan.instance).collect();
        assert_eq!(orphans, ["cranewing-0000"]);
        other.claim().unwrap();
        assert_eq!(other.orphans().len(), 0, "it is taken over");
        fs::remove_dir_all(place).unwrap();
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
