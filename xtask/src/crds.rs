//! `crds/` is what `operator crd` prints, file by file.

use std::fs;

use anyhow::{Context as _, Result, bail};

use crate::checkout::Checkout;
use crate::images::cargo;
use crate::process;

/// `cargo xtask crds`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Change nothing; fail if a file differs
    #[arg(long)]
    check: bool,
}

/// Writes or checks the CRD files.
pub(crate) fn run(args: &Args) -> Result<()> {
    let checkout = Checkout::locate()?;
    let text =
        process::output(cargo(&checkout).args(["run", "--quiet", "--package", "operator", "--", "crd"]))?;
    let directory = checkout.root.join("crds");
    let mut differing = Vec::new();
    let mut expected = Vec::new();
    for document in text.split("---\n").filter(|document| !document.trim().is_empty()) {
        let name = file_name(document).context("a CRD has no name")?;
        let path = directory.join(&name);
        if fs::read_to_string(&path).ok().as_deref() != Some(document) {
            differing.push(name.clone());
            if !args.check {
                fs::create_dir_all(&directory)?;
                fs::write(&path, document).with_context(|| format!("failed to write {}", path.display()))?;
            }
        }
        expected.push(name);
    }
    let present = fs::read_dir(&directory)
        .map(|entries| entries.flatten().map(|entry| entry.file_name()).collect::<Vec<_>>());
    for stray in present.unwrap_or_default() {
        if stray.to_str().is_none_or(|name| !expected.iter().any(|known| known == name)) {
            bail!("crds/{} is not printed by `operator crd`", stray.display());
        }
    }
    if args.check && !differing.is_empty() {
        bail!("crds/ differs from the types: {}. Run `cargo xtask crds`", differing.join(", "));
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
