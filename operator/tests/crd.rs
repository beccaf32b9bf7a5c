//! `operator crd` prints the definitions that the tree keeps for `kubectl apply`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

#[test]
fn operator_crd_prints_the_definitions_that_are_kept_and_no_others() {
    let mut printed = Vec::new();
    operator::print_crds(&mut printed).unwrap();
    let printed = String::from_utf8(printed).unwrap();
    let printed: BTreeSet<&str> = printed.split("---\n").filter(|document| !document.is_empty()).collect();
    let crds = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../crds")).unwrap();
    let kept: Vec<String> = crds.map(|file| fs::read_to_string(file.unwrap().path()).unwrap()).collect();
    assert_eq!(printed, kept.iter().map(String::as_str).collect());
}
