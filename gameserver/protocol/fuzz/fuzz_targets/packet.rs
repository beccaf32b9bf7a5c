#![no_main]
//! The target `packet` of `bodies.rs`, for libFuzzer.

#[path = "../bodies.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::packet(data));
