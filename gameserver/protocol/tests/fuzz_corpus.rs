//! The corpora of the fuzz targets, and what is like their entries, without a fuzzer.
#![expect(clippy::disallowed_methods, reason = "the loop that is shared with the fuzzer reads the clock")]

#[path = "../fuzz/bodies.rs"]
mod bodies;
#[path = "../fuzz/run.rs"]
mod run;

use std::path::Path;

use gameserver_protocol::{PROTOCOL_ID, RequestPacket};
use run::{Random, mutate};

const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus");

#[test]
fn every_entry_of_every_corpus_and_what_is_like_it_passes_its_target() {
    run::pass(bodies::TARGETS, Path::new(CORPUS));
}

/// Or else what comes after the look at the protocol is reached by chance alone.
#[test]
fn a_request_of_the_corpus_is_of_this_protocol() {
    let path = Path::new(CORPUS).join("request/of-this-protocol");
    let mut entry = std::fs::read(path).expect("it is there");
    assert!(RequestPacket::parse(&mut entry, PROTOCOL_ID).is_ok());
}

#[test]
fn a_target_that_panics_is_found_and_what_it_panicked_at_is_kept() {
    let entries = [("seed".to_owned(), vec![0; 4])];
    let body = |data: &[u8]| assert!(!data.starts_with(&[0xC0]), "nil");
    let outcome = run::run_for(body, &entries, 1, std::time::Duration::from_secs(60));
    assert_eq!(outcome.finding.map(|data| data[0]), Some(0xC0));
}

#[test]
fn mutations_are_the_same_for_the_same_seed_and_differ_otherwise() {
    let made = |seed| mutate(&mut Random(seed), b"an entry of some length", b"another");
    assert_eq!(made(1), made(1));
    assert!((2..10).any(|seed| made(seed) != made(1)));
}
