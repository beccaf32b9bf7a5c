//! Which processes of the operator there are: each says on its pod that it runs there, before it counts anywhere.
//!
//! A process has ended when its pod is gone or at its end, or when another process says that it runs in that pod: the kubelet starts a
//! container again only after the one before has ended. Whoever deletes a pod by force while its node is cut off says that the process
//! has ended, and must know it.

use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use operator_api::labels;
use operator_core::allocation::ReplicaId;
use serde_json::json;
use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::runtime::raw_keys::PublicKey;

/// A process of the operator, as its pod says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) id: ReplicaId,
    /// By which it proves that it is that one.
    pub(super) key: PublicKey,
    pub(super) address: Option<IpAddr>,
}

impl Process {
    /// The one that runs in this pod; none in a pod that has come to its end, and where none has said so.
    pub(super) fn of(pod: &Pod) -> Option<Self> {
        let signature = pod.annotations().get(labels::REPLICA).filter(|_| !is_over(pod))?;
        let (_, key) = signature.split_once(' ')?;
        Some(Self {
            id: id_of(signature)?,
            key: PublicKey::from_base64(key)?,
            address: pod.status.as_ref().and_then(|status| status.pod_ip.as_deref()?.parse().ok()),
        })
    }
}

/// The pods of this region's operator.
pub(super) struct Roster {
    pods: Api<Pod>,
    pod_name: String,
}

impl Roster {
    pub(super) fn new(client: Client, namespace: &str, pod_name: &str) -> Self {
        Self { pods: Api::namespaced(client, namespace), pod_name: pod_name.to_owned() }
    }

    /// Says that this process is `me`, and by which key that is known. A process that ran here before has no say any more, however late
    /// what it wrote arrives.
    pub(super) async fn sign(&self, me: ReplicaId, key: &PublicKey) -> kube::Result<()> {
        loop {
            let version = self.pods.get_metadata(&self.pod_name).await?.resource_version();
            let signature = format!("{me} {}", key.to_base64());
            let patch = json!({ "metadata": {
                "resourceVersion": version,
                "annotations": { labels::REPLICA: signature },
            } });
            match self.pods.patch(&self.pod_name, &PatchParams::default(), &Patch::Merge(patch)).await {
                // the kubelet was quicker
                Err(kube::Error::Api(status)) if status.code == 409 => {}
                signed => return signed.map(drop),
            }
        }
    }

    /// Those of these processes that have ended. Each of them has signed before it was named anywhere, so a list that is read now has
    /// it unless it is gone. Where a pod says something that is not understood, nobody is known to have ended. `None` where `me` is not
    /// there: the data went back to before it signed, so nothing follows from who else is not, and it is to sign again.
    pub(super) async fn ended(
        &self,
        me: ReplicaId,
        of: &BTreeSet<ReplicaId>,
    ) -> kube::Result<Option<BTreeSet<ReplicaId>>> {
        // without a version: a majority of what holds the data is asked and not a cache, which may be behind
        let pods = self.pods.list(&ListParams::default()).await?.items;
        let signed =
            pods.iter().filter(|pod| !is_over(pod)).filter_map(|pod| pod.annotations().get(labels::REPLICA));
        let Some(running) = signed.map(|text| id_of(text)).collect::<Option<BTreeSet<ReplicaId>>>() else {
            return Ok(Some(BTreeSet::new()));
        };
        Ok(running.contains(&me).then(|| of.difference(&running).copied().collect()))
    }
}

fn is_over(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

fn id_of(signature: &str) -> Option<ReplicaId> {
    signature.split(' ').next()?.to_owned().try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mock_api::MockApi;

    const PODS: &str = "/api/v1/namespaces/cranewing/pods";

    fn key() -> PublicKey {
        crate::runtime::raw_keys::fresh_key().unwrap().1
    }

    fn put(api: &MockApi, name: &str, replica: Option<u64>, phase: &str) {
        let signature = |id| format!("{} {}", ReplicaId(id), key().to_base64());
        let annotations = replica.map(|id| json!({ labels::REPLICA: signature(id) }));
        let pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": { "name": name, "namespace": "cranewing", "annotations": annotations },
            "status": { "phase": phase },
        });
        api.put(&format!("{PODS}/{name}"), pod);
    }

    #[tokio::test]
    async fn a_process_has_ended_when_its_pod_has_or_another_process_runs_there() {
        let api = MockApi::default();
        put(&api, "runs", Some(1), "Running");
        put(&api, "over", Some(2), "Failed");
        put(&api, "again", Some(3), "Running");
        put(&api, "other", None, "Running");
        let roster = Roster::new(api.client(), "cranewing", "again");
        let of = [1, 2, 3, 4, 5].map(ReplicaId).into();
        let ended = async |me| {
            let ended = roster.ended(ReplicaId(me), &of).await.unwrap();
            ended.map(|ended| ended.into_iter().map(|id| id.0).collect::<Vec<_>>())
        };
        assert_eq!(ended(3).await, Some(vec![2, 4, 5]));
        assert_eq!(ended(4).await, None, "its own signature is not there");
        roster.sign(ReplicaId(4), &key()).await.unwrap();
        assert_eq!(ended(4).await, Some(vec![2, 3, 5]));
        api.remove(&format!("{PODS}/runs"));
        assert_eq!(ended(4).await, Some(vec![1, 2, 3, 5]));
    }
}
