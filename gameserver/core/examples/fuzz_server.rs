//! Fuzzes a whole server on the stable toolchain: `cargo run --release -p gameserver-core --example fuzz_server -- --seconds 180`.
//! See `gameserver/protocol/fuzz`.
#![expect(clippy::disallowed_methods, reason = "it runs for a time by the clock")]

#[path = "../fuzz/bodies.rs"]
mod bodies;
#[path = "../../protocol/fuzz/run.rs"]
mod run;

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    run::fuzz(bodies::TARGETS, Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus")))
}
