//! What is written on the GameServer of whoever was given it, if that is asked for: the only write of an allocation.
//!
//! It comes after the server is given, and takes nothing of that back when it fails: whoever asks again with the same key has it written
//! again. It is merged into what the object has, so that what one session wrote stays when another comes.

use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use operator_api::GameServer;
use serde_json::json;
use std::collections::BTreeMap;

/// Labels and annotations that are to be on a GameServer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Marks {
    pub(super) labels: BTreeMap<String, String>,
    pub(super) annotations: BTreeMap<String, String>,
}

/// Why they are not on it.
#[derive(Debug, thiserror::Error)]
#[error("failed to write on GameServer {namespace}/{name}")]
pub(super) struct MarkError {
    namespace: String,
    name: String,
    #[source]
    cause: kube::Error,
}

/// Writes on GameServers.
pub(crate) struct Marker(Client);

impl Marker {
    pub(crate) const fn new(client: Client) -> Self {
        Self(client)
    }

    /// Writes on the server of this name and uid: one that was made anew under the name is another. What it is then; none if nothing is
    /// to be written.
    pub(super) async fn mark(
        &self,
        (namespace, name, uid): (&str, &str, &str),
        marks: &Marks,
    ) -> Result<Option<GameServer>, MarkError> {
        let Marks { labels, annotations } = marks;
        if labels.is_empty() && annotations.is_empty() {
            return Ok(None);
        }
        let servers: Api<GameServer> = Api::namespaced(self.0.clone(), namespace);
        let patch =
            Patch::Merge(json!({ "metadata": { "uid": uid, "labels": labels, "annotations": annotations } }));
        let marked = servers.patch(name, &PatchParams::default(), &patch).await;
        marked.map(Some).map_err(|cause| MarkError {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            cause,
        })
    }
}
