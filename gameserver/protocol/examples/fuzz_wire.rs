//! Fuzzes the wire on the stable toolchain: `cargo run --release -p gameserver-protocol --example fuzz_wire -- --seconds 180 inputs`.
//! Without a name all targets, one after the other; see `gameserver/protocol/fuzz`.
#![expect(clippy::disallowed_methods, reason = "it runs for a time by the clock")]

#[path = "../fuzz/bodies.rs"]
mod bodies;
#[path = "../fuzz/run.rs"]
mod run;

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    run::fuzz(bodies::TARGETS, Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus")))
}
