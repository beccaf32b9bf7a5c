//! The corpus of the fuzz target, and what is like its entries, without a fuzzer.
#![expect(clippy::disallowed_methods, reason = "the loop that is shared with the fuzzer reads the clock")]

#[path = "../fuzz/bodies.rs"]
mod bodies;
#[path = "../../protocol/fuzz/run.rs"]
mod run;

use std::path::Path;

const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus");

#[test]
fn a_server_stays_in_order_whatever_the_corpus_and_what_is_like_it_send_it() {
    run::pass(bodies::TARGETS, Path::new(CORPUS));
}
