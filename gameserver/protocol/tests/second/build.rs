//! Builds the second implementation of the wire, which is a program in Go.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds the program in `source` and returns where it is. Modules come from Go's own cache, or by its settings from where
/// they are published; `go.sum` says what they must be.
pub(crate) fn program(source: &Path) -> PathBuf {
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(concat!("second-", env!("CARGO_PKG_NAME")));
    let mut go = Command::new("go");
    // neither a workspace nor flags of the person who calls may change what is built
    go.current_dir(source).env("CGO_ENABLED", "0").env("GOWORK", "off").env("GOFLAGS", "-buildvcs=false");
    go.args(["build", "-trimpath", "-o"]).arg(&program).arg(".");
    let output = go.output().unwrap_or_else(|error| match error.kind() {
        ErrorKind::NotFound => panic!(
            "Go 1.26 or newer is missing: the second implementation of the wire is built with it. See go.dev/doc/install"
        ),
        _ => panic!("go does not start: {error}"),
    });
    assert!(
        output.status.success(),
        "the second implementation in {} does not build:\n{}",
        source.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    program
}
