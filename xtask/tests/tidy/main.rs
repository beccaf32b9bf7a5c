//! Rules of the working tree that no other tool checks. Each is an ordinary test, so `cargo test` is enough to see them.
#![expect(clippy::unwrap_used, reason = "a tree that cannot be read fails the test that reads it")]

mod costs;
mod edges;
mod files;
mod flags;
mod floats;
mod guard;
mod oncall;
mod pages;
mod register;
mod resources;
mod samples;
mod terraform;

use std::path::{Path, PathBuf};
use std::process::Command;

/// Root of the working tree.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// Files that belong to the tree, relative to its root; without git, as in an unpacked archive, all but what is built.
fn tree() -> Vec<PathBuf> {
    let git = Command::new("git")
        .current_dir(root())
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .output();
    match git {
        Ok(output) if output.status.success() && !output.stdout.is_empty() => {
            String::from_utf8(output.stdout)
                .unwrap()
                .split_terminator('\0')
                .map(PathBuf::from)
                .filter(|path| root().join(path).is_file())
                .collect()
        }
        _ => {
            let mut files = Vec::new();
            walk(&root(), &mut files);
            files.iter().map(|path| path.strip_prefix(root()).unwrap().to_path_buf()).collect()
        }
    }
}

fn walk(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in directory.read_dir().unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && !path.is_symlink() {
            if !["target", ".git"].contains(&name) {
                walk(&path, files);
            }
        } else if path.is_file() {
            files.push(path);
        }
    }
}

/// Text of a file of the tree; none for what is not text.
fn text(path: &Path) -> Option<String> {
    String::from_utf8(std::fs::read(root().join(path)).unwrap()).ok()
}
