#![no_main]
//! The target `resume` of `bodies.rs`, for libFuzzer.

#[path = "../bodies.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::resume(data));
