//! A fresh clone of the commit that is tested, with a name and clusters of its own.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A clone of the commit that is tested, for one working tree always in the same place, so that what it compiles is kept once.
pub(crate) struct FreshClone {
    /// Its working tree.
    pub(crate) root: PathBuf,
    /// Held for as long as the place is in use: another run in the same working tree waits.
    _place: File,
}

impl FreshClone {
    /// Clones into `name` beside the other clones of this tree.
    pub(crate) fn fresh(name: &str) -> Self {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        // tests of two working trees may run at once
        let tree = source.to_str().unwrap().trim_matches('/').replace('/', "-");
        let root = cache().join("clones").join(tree).join(name);
        let clone = Self { _place: take(&root.with_extension("lock")), root };
        if clone.root.exists() {
            // what a run before this one left when it was cut off
            drop(clone.run("cargo xtask down"));
            fs::remove_dir_all(&clone.root).unwrap();
        }
        let cloned = Command::new("git").args(["clone", "--quiet"]).arg(source).arg(&clone.root).status();
        assert!(cloned.unwrap().success(), "git clone of {} failed", source.display());
        clone
    }

    /// A program in the clone, which compiles where a newcomer's would.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root).env_remove("CARGO_TARGET_DIR");
        command
    }

    /// Runs one line of the README to its end.
    pub(crate) fn run(&self, line: &str) -> Output {
        let mut words = line.split_whitespace();
        self.command(words.next().unwrap()).args(words).stdin(Stdio::null()).output().unwrap()
    }

    /// The same; it must succeed. Gives what it printed.
    pub(crate) fn succeed(&self, line: &str) -> String {
        let Output { status, stdout, stderr } = self.run(line);
        assert!(status.success(), "`{line}` failed:\n{}", String::from_utf8_lossy(&stderr));
        String::from_utf8(stdout).unwrap()
    }
}

impl Drop for FreshClone {
    fn drop(&mut self) {
        drop(self.run("cargo xtask down"));
    }
}

/// Where everything that is built once is kept.
pub(crate) fn cache() -> PathBuf {
    std::env::var("CRANEWING_CACHE").map_or_else(
        |_| PathBuf::from(std::env::var("HOME").unwrap()).join(".cache/cranewing"),
        PathBuf::from,
    )
}

/// Waits until nobody else uses the place, whose lock this is.
#[expect(clippy::print_stdout, reason = "who waits wants to know for whom")]
fn take(path: &Path) -> File {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let place = File::create(path).unwrap();
    if place.try_lock().is_err() {
        println!("waiting for the test run that holds {}", path.display());
        place.lock().unwrap();
    }
    place
}

/// Waits for another program: asks every so often until `condition` holds; false when that took longer than `limit`.
pub(crate) fn holds_within(limit: Duration, every: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    loop {
        if condition() {
            return true;
        }
        if start.elapsed() >= limit {
            return false;
        }
        thread::sleep(every);
    }
}
