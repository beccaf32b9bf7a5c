#![no_main]
//! The target `replay` of `bodies.rs`, for libFuzzer.

#[path = "../bodies.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::replay(data));
