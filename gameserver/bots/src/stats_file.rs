//! The figures of a run as lines in a file of bounded size.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Bytes after which the file is put aside as `<name>.1`; so at most twice this is on disk.
const ROTATE_BYTES: u64 = 8 * 1024 * 1024;

/// A file of JSON lines that does not grow without end.
#[derive(Debug)]
pub(crate) struct StatsFile {
    path: PathBuf,
    file: File,
    bytes: u64,
    rotate_bytes: u64,
}

impl StatsFile {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Self::with_limit(path, ROTATE_BYTES)
    }

    fn with_limit(path: &Path, rotate_bytes: u64) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let bytes = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), file, bytes, rotate_bytes })
    }

    /// Appends one line in one write, so that a reader sees whole lines.
    pub(crate) fn append(&mut self, line: &serde_json::Value) -> io::Result<()> {
        let text = format!("{line}\n");
        if self.bytes + text.len() as u64 > self.rotate_bytes && self.bytes > 0 {
            let mut aside = self.path.clone().into_os_string();
            aside.push(".1");
            fs::rename(&self.path, aside)?;
            *self = Self::with_limit(&self.path, self.rotate_bytes)?;
        }
        self.file.write_all(text.as_bytes())?;
        self.bytes += text.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_put_aside_before_it_grows_too_long_and_no_line_is_split() {
        let directory = std::env::temp_dir().join(format!("bots-stats-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let path = directory.join("stats.jsonl");
        let mut stats = StatsFile::with_limit(&path, 20).unwrap();
        for number in 0..5 {
            stats.append(&serde_json::json!({ "n": number })).unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"n\":4}\n");
        assert_eq!(fs::read_to_string(directory.join("stats.jsonl.1")).unwrap(), "{\"n\":2}\n{\"n\":3}\n");
        fs::remove_dir_all(directory).unwrap();
    }
}
