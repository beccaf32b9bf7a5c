//! Ways onto game servers as command lines name them.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::bail;
use clap::Args;

use crate::key::ServerKey;

/// One standalone server whose key is known.
#[derive(Clone, Debug, Args)]
pub struct StandaloneArgs {
    /// Address of the server.
    #[arg(long)]
    pub address: SocketAddr,
    /// Key of the server, 64 hexadecimal digits, as it prints it.
    #[arg(long, conflicts_with = "key_file", required_unless_present = "key_file")]
    key: Option<ServerKey>,
    /// File with the key.
    #[arg(long)]
    key_file: Option<PathBuf>,
}

impl StandaloneArgs {
    /// The key that is given, or that stands in the file.
    ///
    /// # Errors
    /// When there is neither, or the file cannot be read or holds something else.
    pub fn key(&self) -> anyhow::Result<ServerKey> {
        match (&self.key, &self.key_file) {
            (Some(key), _) => Ok(*key),
            (None, Some(path)) => ServerKey::read(path),
            (None, None) => bail!("a key is needed: --key or --key-file"),
        }
    }
}

/// Where a Fleet is.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct ClusterArgs {
    /// Kubeconfig; the one that kubectl would take by default.
    #[arg(long)]
    pub kubeconfig: Option<PathBuf>,
    /// Context in the kubeconfig; its current one by default (of `bots fleet`: that which is called like the region).
    #[arg(long)]
    pub context: Option<String>,
    /// Namespace of the Fleet.
    #[arg(long, default_value = "default")]
    pub namespace: String,
}
