#![no_main]
//! The target `request` of `bodies.rs`, for libFuzzer.

#[path = "../bodies.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::request(data));
