//! The file that a bundle is: a .tar.gz of which nobody but its owner reads anything, and which is there only when it is whole.

use anyhow::{Context as _, bail};
use flate2::Compression;
use flate2::write::GzEncoder;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use tar::{Builder, Header};

use super::redact::scrub;

/// Nobody else reads it: what was not recognised as a secret may still be one.
const MODE: u32 = 0o600;
/// Faults that are told; of a cluster that answers nothing any more there would be no end.
const FAULTS_MAX: usize = 1000;
/// Room for the faults themselves, beside all else.
const FAULT_BYTES_MAX: usize = 512;

/// A bundle that is being written.
pub(super) struct Archive {
    tar: Builder<GzEncoder<File>>,
    /// Where it is written until it is whole.
    unfinished: Unfinished,
    target: PathBuf,
    /// The directory that it unpacks to.
    top: String,
    mtime: u64,
    left: u64,
    faults: Vec<String>,
}

/// A file that is removed if it is not finished.
struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        // it was renamed, or nobody can do more about it
        drop(fs::remove_file(&self.0));
    }
}

impl Archive {
    /// Begins one of so many bytes at most that is to be at `target`.
    pub(super) fn begin(target: &Path, top: &str, made: &Time, bytes_max: u64) -> anyhow::Result<Self> {
        if target.exists() {
            bail!("{} is there already; name another file by --output", target.display());
        }
        let mut unfinished = target.as_os_str().to_owned();
        unfinished.push(".unfinished");
        let unfinished = PathBuf::from(unfinished);
        let file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(&unfinished);
        let file = file.with_context(|| {
            format!("failed to make {}; if it is there and nobody writes it, remove it", unfinished.display())
        })?;
        Ok(Self {
            tar: Builder::new(GzEncoder::new(file, Compression::fast())),
            unfinished: Unfinished(unfinished),
            target: target.to_owned(),
            top: top.to_owned(),
            mtime: u64::try_from(made.0.as_second()).unwrap_or(0),
            left: bytes_max,
            faults: Vec::new(),
        })
    }

    /// Adds a file; that there is no room for it is a fault of its own.
    pub(super) fn add(&mut self, path: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let size = bytes.len() as u64;
        if size > self.left {
            self.fault(path, &format!("{size} bytes have no room; allow more by --max-bytes"));
            return Ok(());
        }
        self.left -= size;
        self.write(path, bytes)
    }

    /// Notes what is not in it, and why.
    pub(super) fn fault(&mut self, what: &str, why: &str) {
        if self.faults.len() < FAULTS_MAX {
            let mut line = scrub(&format!("{what}: {why}")).replace('\n', " ");
            line.truncate(line.floor_char_boundary(FAULT_BYTES_MAX));
            self.faults.push(line);
        }
    }

    /// How many things are not in it.
    pub(super) const fn faults(&self) -> usize {
        self.faults.len()
    }

    /// Completes it, and puts it where it is to be.
    pub(super) fn finish(mut self) -> anyhow::Result<()> {
        let faults = self.faults.iter().flat_map(|fault| [fault, "\n"]).collect::<String>();
        self.write("errors.txt", faults.as_bytes())?;
        let Self { tar, unfinished, target, .. } = self;
        let file = tar.into_inner().and_then(GzEncoder::finish).context("failed to complete the bundle")?;
        file.sync_all().context("failed to complete the bundle")?;
        if target.exists() {
            bail!("somebody made {} meanwhile; name another file by --output", target.display());
        }
        fs::rename(&unfinished.0, &target).with_context(|| format!("failed to make {}", target.display()))
    }

    fn write(&mut self, path: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let mut header = Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(MODE);
        header.set_mtime(self.mtime);
        let path = format!("{}/{path}", self.top);
        let added = self.tar.append_data(&mut header, &path, bytes);
        added.with_context(|| format!("failed to write {path} into {}", self.unfinished.0.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::GzDecoder;
    use k8s_openapi::jiff::Timestamp;
    use std::collections::BTreeMap;
    use std::io::Read as _;
    use std::os::unix::fs::PermissionsExt as _;

    /// A directory of the test's own, which goes with it.
    struct Place(PathBuf);

    impl Place {
        fn new(test: &str) -> Self {
            let path = std::env::temp_dir().join(format!("cranewing-{test}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn files(&self) -> Vec<String> {
            let entries = fs::read_dir(&self.0).unwrap();
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            drop(fs::remove_dir_all(&self.0));
        }
    }

    fn made() -> Time {
        Time(Timestamp::UNIX_EPOCH)
    }

    fn unpacked(path: &Path) -> BTreeMap<String, String> {
        let mut tar = tar::Archive::new(GzDecoder::new(File::open(path).unwrap()));
        let entries = tar.entries().unwrap().map(Result::unwrap);
        entries
            .map(|mut entry| {
                let mut text = String::new();
                entry.read_to_string(&mut text).unwrap();
                (entry.path().unwrap().display().to_string(), text)
            })
            .collect()
    }

    #[test]
    fn a_bundle_has_what_was_added_and_a_line_for_what_was_not_and_is_its_owners_alone() {
        let place = Place::new("bundle");
        let target = place.0.join("b.tar.gz");
        let mut archive = Archive::begin(&target, "top", &made(), 10).unwrap();
        archive.add("a/1.json", b"12345").unwrap();
        archive.add("a/2.json", b"123456").unwrap();
        archive.add("a/3.json", b"12345").unwrap();
        archive.fault("logs of duel-0", "refused:\npassword=hunter2");
        assert_eq!(place.files(), ["b.tar.gz.unfinished"], "it is not there before it is whole");
        archive.finish().unwrap();
        assert_eq!(place.files(), ["b.tar.gz"]);
        assert_eq!(fs::metadata(&target).unwrap().permissions().mode() & 0o777, MODE);
        let files = unpacked(&target);
        let names: Vec<_> = files.keys().map(String::as_str).collect();
        assert_eq!(names, ["top/a/1.json", "top/a/3.json", "top/errors.txt"]);
        assert_eq!(files["top/a/1.json"], "12345");
        let lines: Vec<_> = files["top/errors.txt"].lines().collect();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].starts_with("a/2.json: 6 bytes have no room"), "{lines:?}");
        assert_eq!(lines[1], "logs of duel-0: refused: password=<redacted>");
    }

    #[test]
    fn nothing_is_left_of_one_that_is_not_finished_and_nothing_is_replaced() {
        let place = Place::new("unfinished");
        let target = place.0.join("b.tar.gz");
        drop(Archive::begin(&target, "top", &made(), 10).unwrap());
        assert_eq!(place.files(), Vec::<String>::new());
        fs::write(&target, "mine").unwrap();
        let refused = Archive::begin(&target, "top", &made(), 10).err().unwrap();
        assert!(refused.to_string().contains("is there already"), "{refused}");
        assert_eq!(fs::read_to_string(&target).unwrap(), "mine");
    }
}
