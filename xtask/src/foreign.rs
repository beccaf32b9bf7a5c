//! Clusters that somebody else made: which are meant, how they are reached, and how our images get into them.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;

use anyhow::{Context as _, Result, bail};

use crate::checkout::Checkout;
use crate::cluster::{self, REGION_IDS};
use crate::deploy::{self, References};
use crate::engine::Surroundings;
use crate::images::Images;
use crate::process;
use crate::state::Region;

/// Which clusters, and what they pull.
#[derive(Debug, Clone, Default, clap::Args)]
#[group(id = "foreign")]
pub(crate) struct Args {
    /// Use this existing cluster for a region and create none: `kr=CONTEXT`, or `CONTEXT` for the next of kr, jp, sg (repeatable)
    #[arg(long = "context", value_name = "[REGION=]CONTEXT")]
    contexts: Vec<String>,
    /// Operator image that clusters given by --context can pull
    #[arg(long, requires = "contexts", value_name = "IMAGE")]
    operator_image: Option<String>,
    /// Game server image that clusters given by --context can pull
    #[arg(long, requires = "contexts", value_name = "IMAGE")]
    gameserver_image: Option<String>,
}

impl Args {
    /// Whether any cluster is given.
    pub(crate) fn is_given(&self) -> bool {
        !self.contexts.is_empty()
    }

    /// The images by the names under which the clusters get them.
    pub(crate) fn references(&self, images: &Images) -> References {
        let named = |given: &Option<String>, built: &str| given.clone().unwrap_or_else(|| built.to_owned());
        References {
            operator: named(&self.operator_image, &images.operator.reference),
            gameserver: named(&self.gameserver_image, &images.gameserver.reference),
        }
    }

    /// Whether the clusters pull both images, so that none has to be put into them.
    fn pull_all(&self) -> bool {
        self.operator_image.is_some() && self.gameserver_image.is_some()
    }

    /// The regions that `--context` names; no two have the same id.
    pub(crate) fn regions(&self, checkout: &Checkout) -> Result<Vec<Region>> {
        let mut regions: Vec<Region> = Vec::new();
        for (index, argument) in self.contexts.iter().enumerate() {
            let (id, context) = region_of(argument, index)?;
            if let Some(other) = regions.iter().find(|region| region.id == id) {
                let first = other.context.as_deref().unwrap_or_default();
                bail!("--context names region {id} twice, as {first} and as {context}: write REGION=CONTEXT");
            }
            let kubeconfig = checkout.state().join(format!("{id}.kubeconfig"));
            regions.push(Region { id, kubeconfig, cluster: None, context: Some(context) });
        }
        Ok(regions)
    }

    /// Puts our images into a cluster that does not pull them.
    pub(crate) fn load(
        &self,
        checkout: &Checkout,
        surroundings: &Surroundings,
        region: &Region,
        images: &Images,
    ) -> Result<()> {
        if self.pull_all() {
            return Ok(());
        }
        let context = region.context.as_deref().unwrap_or_default();
        let Some(cluster) = context.strip_prefix("kind-") else {
            bail!(
                "{context} is no kind cluster, so images cannot be put into it: push {} and {} to a registry that it can pull from, \
                 and name them by --operator-image and --gameserver-image",
                images.operator.archive.display(),
                images.gameserver.archive.display()
            );
        };
        let local = Region { cluster: Some(cluster.to_owned()), ..region.clone() };
        cluster::load(checkout, surroundings, &local, &images.archives())
    }
}

/// Makes a cluster reachable by a file of its own, so that everything after it treats all regions alike, and refuses one
/// with an installation that is somebody else's.
pub(crate) fn reach(checkout: &Checkout, surroundings: &Surroundings, region: &Region) -> Result<()> {
    write_kubeconfig(surroundings, region)?;
    deploy::refuse_strangers(checkout, surroundings, region)
}

/// Writes one file with this context alone.
pub(crate) fn write_kubeconfig(surroundings: &Surroundings, region: &Region) -> Result<()> {
    let mut kubectl = surroundings.command("kubectl");
    match std::env::var_os("KUBECONFIG") {
        Some(own) => kubectl.env("KUBECONFIG", own),
        None => kubectl.env_remove("KUBECONFIG"),
    };
    let context = region.context.as_deref().unwrap_or_default();
    let text = process::output(
        kubectl.args(["config", "view", "--minify", "--flatten", "--raw", "--context"]).arg(context),
    )?;
    if let Some(directory) = region.kubeconfig.parent() {
        std::fs::create_dir_all(directory)
            .with_context(|| format!("failed to create {}", directory.display()))?;
    }
    OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&region.kubeconfig)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("failed to write {}", region.kubeconfig.display()))
}

/// Region id and context of one `--context`.
fn region_of(argument: &str, index: usize) -> Result<(String, String)> {
    if let Some((id, context)) = argument.split_once('=') {
        return Ok((id.to_owned(), context.to_owned()));
    }
    let id = REGION_IDS
        .get(index)
        .with_context(|| format!("name the region of context {argument}: REGION={argument}"))?;
    Ok(((*id).to_owned(), argument.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_names_its_region_or_takes_the_next() {
        assert_eq!(region_of("eu=prod", 0).unwrap(), ("eu".to_owned(), "prod".to_owned()));
        assert_eq!(region_of("prod", 1).unwrap(), ("jp".to_owned(), "prod".to_owned()));
    }

    #[test]
    fn no_region_is_named_twice() {
        let checkout = Checkout::locate().unwrap();
        let regions = |names: &[&str]| {
            let contexts = names.iter().map(|name| (*name).to_owned()).collect();
            Args { contexts, ..Args::default() }.regions(&checkout)
        };
        let ids: Vec<_> = regions(&["a", "eu=b"]).unwrap().into_iter().map(|region| region.id).collect();
        assert_eq!(ids, ["kr", "eu"]);
        let refusal = regions(&["a", "kr=b"]).unwrap_err().to_string();
        assert!(refusal.contains("region kr twice, as a and as b"), "{refusal}");
    }

    #[test]
    fn a_fourth_context_without_a_region_is_refused() {
        assert!(region_of("prod", 3).is_err());
    }
}
