//! Trees of files as sysfs has them, in the temporary directory; and the word of a test that a machine does not let run.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use super::PolicyDenial;

/// What the files of a node say.
pub(crate) struct NodeFiles {
    id: usize,
    cpulist: String,
    meminfo: String,
    distance: String,
}

impl NodeFiles {
    /// A node with these CPUs and so much memory, which does not say how far others are.
    pub(crate) fn new(id: usize, cpulist: &str, memory_kib: u64) -> Self {
        let meminfo = format!("Node {id} MemTotal: {memory_kib:>10} kB\nNode {id} MemFree: {:>10} kB\n", 1);
        Self { id, cpulist: cpulist.to_owned(), meminfo, distance: String::new() }
    }

    pub(crate) fn distance(self, distance: &str) -> Self {
        Self { distance: distance.to_owned(), ..self }
    }

    pub(crate) fn meminfo(self, meminfo: &str) -> Self {
        Self { meminfo: meminfo.to_owned(), ..self }
    }
}

/// A tree, removed when dropped.
pub(crate) struct Tree {
    pub(crate) root: PathBuf,
}

impl Tree {
    pub(crate) fn new(online: &str, nodes: &[NodeFiles]) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let root = std::env::temp_dir().join(format!("gameserver-numa-{}-{number}", std::process::id()));
        fs::create_dir(&root).unwrap();
        fs::write(root.join("online"), online).unwrap();
        for node in nodes {
            let directory = root.join(format!("node{}", node.id));
            fs::create_dir(&directory).unwrap();
            for (name, text) in
                [("cpulist", &node.cpulist), ("meminfo", &node.meminfo), ("distance", &node.distance)]
            {
                fs::write(directory.join(name), text).unwrap();
            }
        }
        Self { root }
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _removed = fs::remove_dir_all(&self.root);
    }
}

/// Lists a test as not run where memory policies are denied. Past the capture of what tests print.
pub(crate) fn not_run(test: &str, reason: PolicyDenial) {
    writeln!(std::io::stdout(), "not run: {test}: {reason}").unwrap();
}
