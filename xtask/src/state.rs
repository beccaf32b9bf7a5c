//! The record of what an instance made. Each thing is written down before it is begun, so that `down` knows it whatever happens in between.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::checkout::Checkout;
use crate::engine::Engine;

/// One region of the instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Region {
    /// `kr`, `jp`, `sg`, or what `--context` names.
    pub(crate) id: String,
    /// Kubeconfig of this region alone.
    pub(crate) kubeconfig: PathBuf,
    /// Name of the kind cluster that was made for it; none for a cluster that was there before.
    pub(crate) cluster: Option<String>,
    /// Context that leads to a cluster that was there before.
    pub(crate) context: Option<String>,
}

/// Their ids, as in a sentence.
pub(crate) fn ids(regions: &[Region]) -> String {
    regions.iter().map(|region| region.id.as_str()).collect::<Vec<_>>().join(", ")
}

/// Everything that was begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) engine: Engine,
    /// Nodes a region.
    pub(crate) nodes: u8,
    pub(crate) regions: Vec<Region>,
}

impl State {
    pub(crate) fn load(checkout: &Checkout) -> Result<Option<Self>> {
        let path = Self::path(checkout);
        if !path.exists() {
            return Ok(None);
        }
        let text = fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))?;
        serde_json::from_str(&text)
            .map(Some)
            .with_context(|| format!("failed to understand {}", path.display()))
    }

    /// Written beside and renamed, so that it is whole or the one before.
    pub(crate) fn save(&self, checkout: &Checkout) -> Result<()> {
        let path = Self::path(checkout);
        fs::create_dir_all(checkout.state())
            .with_context(|| format!("failed to create {}", checkout.state().display()))?;
        let unfinished = path.with_extension("unfinished");
        fs::write(&unfinished, serde_json::to_vec_pretty(self)?)
            .and_then(|()| fs::rename(&unfinished, &path))
            .with_context(|| format!("failed to write {}", path.display()))
    }

    /// Where it is kept.
    pub(crate) fn path(checkout: &Checkout) -> PathBuf {
        checkout.state().join("state.json")
    }
}
