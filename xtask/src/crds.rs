//! `crds/` is what `operator crd` prints, file by file, and `docs/crds.md` the same for people.

mod reference;

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context as _, Result, bail};

use crate::checkout::Checkout;
use crate::process;
use crate::target::cargo;

/// `cargo xtask crds`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Change nothing; fail if a file differs
    #[arg(long)]
    check: bool,
}

/// Writes or checks the CRD files and the page that describes them.
pub(crate) fn run(args: &Args) -> Result<()> {
    let checkout = Checkout::locate()?;
    let text =
        process::output(cargo(&checkout)?.args(["run", "--quiet", "--package", "operator", "--", "crd"]))?;
    let documents: Vec<&str> = text.split("---\n").filter(|document| !document.trim().is_empty()).collect();
    let directory = checkout.root.join("crds");
    fs::create_dir_all(&directory).with_context(|| format!("failed to create {}", directory.display()))?;
    let mut expected = BTreeMap::from([(checkout.root.join("docs/crds.md"), reference::page(&documents)?)]);
    for document in documents {
        let name = file_name(document).context("a CRD has no name")?;
        expected.insert(directory.join(name), document.to_owned());
    }
    for entry in
        fs::read_dir(&directory).with_context(|| format!("failed to read {}", directory.display()))?
    {
        let stray = entry?.path();
        if !expected.contains_key(&stray) {
            bail!("{} is not printed by `operator crd`", stray.display());
        }
    }
    let mut differing = Vec::new();
    for (path, text) in &expected {
        if fs::read_to_string(path).ok().as_ref() != Some(text) {
            differing.push(path.strip_prefix(&checkout.root)?.display().to_string());
            if !args.check {
                fs::write(path, text).with_context(|| format!("failed to write {}", path.display()))?;
            }
        }
    }
    if args.check && !differing.is_empty() {
        bail!("these files differ from the types: {}. Run `cargo xtask crds`", differing.join(", "));
    }
    Ok(())
}

/// `fleets.cranewing.dev` lies in `fleets.cranewing.dev.yaml`.
fn file_name(document: &str) -> Option<String> {
    let name = document.lines().find_map(|line| line.strip_prefix("  name: "))?;
    Some(format!("{}.yaml", name.trim().trim_matches('"')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_after_its_crd() {
        let document = "kind: CustomResourceDefinition\nmetadata:\n  name: fleets.cranewing.dev\nspec: {}\n";
        assert_eq!(file_name(document).as_deref(), Some("fleets.cranewing.dev.yaml"));
    }

    #[test]
    fn a_document_without_a_name_has_no_file() {
        assert_eq!(file_name("kind: CustomResourceDefinition\n"), None);
    }
}
