//! The corpus of the fuzz target, and what is like its entries, without a fuzzer.
#![expect(clippy::disallowed_methods, reason = "the loop that is shared with the fuzzer reads the clock")]

#[path = "../fuzz/bodies.rs"]
mod bodies;
#[path = "../../protocol/fuzz/run.rs"]
mod run;

use std::path::Path;

use run::{Random, corpus, mutate};

const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus");
/// Mutations of each entry.
const LIKE_IT: usize = 50;

#[test]
fn a_server_stays_in_order_whatever_the_corpus_and_what_is_like_it_send_it() {
    let mut random = Random(1);
    for (target, body) in bodies::TARGETS {
        let entries = corpus(Path::new(CORPUS), target);
        assert!(!entries.is_empty(), "{target}");
        for (_, entry) in &entries {
            body(entry);
            for _ in 0..LIKE_IT {
                let other = &entries[random.below(entries.len())].1;
                body(&mutate(&mut random, entry, other));
            }
        }
    }
}
