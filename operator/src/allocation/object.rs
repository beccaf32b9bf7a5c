//! The epoch as an object of the cluster: a ConfigMap in which it is changed by conditional writes alone.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use operator_api::labels;
use operator_core::allocation::Epoch;
use std::collections::BTreeMap;

/// Where the epoch stands in the ConfigMap.
const KEY: &str = "epoch";

/// Why the epoch cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub(super) enum ObjectError {
    #[error("failed to reach the ConfigMap {}", labels::ALLOCATION)]
    Api(#[from] kube::Error),
    #[error("failed to write an epoch down")]
    Encode(#[source] serde_json::Error),
    /// Nobody allocates by what is not understood: whoever wrote it may know more.
    #[error(
        "the ConfigMap {} has no epoch that is understood; delete it only when no operator runs",
        labels::ALLOCATION
    )]
    NotUnderstood(#[source] serde_json::Error),
}

/// The epoch of a region.
pub(super) struct EpochObject(Api<ConfigMap>);

impl EpochObject {
    pub(super) fn new(client: Client, namespace: &str) -> Self {
        Self(Api::namespaced(client, namespace))
    }

    /// As it is now: of a majority of what holds it and not of a cache.
    pub(super) async fn read(&self) -> Result<Option<Epoch>, ObjectError> {
        Ok(self.get().await?.map(|(_, epoch)| epoch))
    }

    /// Writes this epoch where the one with the number before it stands; answers what stands there then.
    pub(super) async fn write(&self, next: &Epoch) -> Result<Option<Epoch>, ObjectError> {
        let found = self.get().await?;
        let number = found.as_ref().map_or(0, |(_, epoch)| epoch.number);
        if number + 1 != next.number {
            return Ok(found.map(|(_, epoch)| epoch));
        }
        let version = found.and_then(|(version, _)| version);
        let written = self.put(version, next).await;
        match written {
            Ok(()) => Ok(Some(next.clone())),
            // somebody else was quicker
            Err(ObjectError::Api(kube::Error::Api(status))) if status.code == 409 => self.read().await,
            Err(error) => Err(error),
        }
    }

    async fn get(&self) -> Result<Option<(Option<String>, Epoch)>, ObjectError> {
        let Some(object) = self.0.get_opt(labels::ALLOCATION).await? else { return Ok(None) };
        let text = object.data.as_ref().and_then(|data| data.get(KEY)).map_or("", String::as_str);
        let epoch = serde_json::from_str(text).map_err(ObjectError::NotUnderstood)?;
        Ok(Some((object.metadata.resource_version, epoch)))
    }

    /// In the place of what has this version, or where nothing is.
    async fn put(&self, resource_version: Option<String>, epoch: &Epoch) -> Result<(), ObjectError> {
        let text = serde_json::to_string(epoch).map_err(ObjectError::Encode)?;
        let is_new = resource_version.is_none();
        let metadata = ObjectMeta {
            name: Some(labels::ALLOCATION.to_owned()),
            resource_version,
            ..ObjectMeta::default()
        };
        let data = Some(BTreeMap::from([(KEY.to_owned(), text)]));
        let object = ConfigMap { metadata, data, ..ConfigMap::default() };
        let params = PostParams::default();
        if is_new {
            self.0.create(&params, &object).await?;
        } else {
            self.0.replace(labels::ALLOCATION, &params, &object).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mock_api::{LOST, MockApi};
    use operator_core::allocation::ReplicaId;
    use std::time::Duration;
    use tokio::time::timeout;

    const A: ReplicaId = ReplicaId(1);
    const B: ReplicaId = ReplicaId(2);

    fn object(api: &MockApi) -> EpochObject {
        EpochObject::new(api.client(), "cranewing")
    }

    #[tokio::test]
    async fn an_epoch_stands_only_in_the_place_of_the_one_before_it() {
        let api = MockApi::default();
        let object = object(&api);
        assert_eq!(object.read().await.unwrap(), None);
        let first = Epoch::first(A);
        assert_eq!(object.write(&first).await.unwrap(), Some(first.clone()));
        assert_eq!(object.write(&Epoch::first(B)).await.unwrap(), Some(first.clone()), "somebody was first");
        let second = first.with(B);
        assert_eq!(object.write(&second).await.unwrap(), Some(second.clone()));
        assert_eq!(object.write(&second).await.unwrap(), Some(second.clone()), "the same once more");
        assert_eq!(object.read().await.unwrap(), Some(second));
    }

    #[tokio::test(start_paused = true)]
    async fn of_a_write_whose_answer_is_lost_the_next_look_says_what_came_of_it() {
        let api = MockApi::default();
        let object = object(&api);
        api.fail(|seen| (seen.method == http::Method::POST).then_some(LOST));
        timeout(Duration::from_secs(1), object.write(&Epoch::first(A))).await.unwrap_err();
        api.heal();
        assert_eq!(object.read().await.unwrap(), Some(Epoch::first(A)));
    }

    #[tokio::test]
    async fn what_is_not_understood_is_neither_taken_for_nothing_nor_written_over() {
        let api = MockApi::default();
        let object = object(&api);
        object.write(&Epoch::first(A)).await.unwrap();
        let path = "/api/v1/namespaces/cranewing/configmaps/cranewing-allocation";
        let mut stands = api.get(path).unwrap();
        stands["data"]["epoch"] = "{}".into();
        api.put(path, stands.clone());
        assert!(matches!(object.read().await, Err(ObjectError::NotUnderstood(_))));
        assert!(matches!(object.write(&Epoch::first(A).with(B)).await, Err(ObjectError::NotUnderstood(_))));
        assert_eq!(api.get(path).unwrap()["data"], stands["data"]);
    }
}
