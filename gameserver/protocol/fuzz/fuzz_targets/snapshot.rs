#![no_main]
//! The target `snapshot` of `bodies.rs`, for libFuzzer.

#[path = "../bodies.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::snapshot(data));
