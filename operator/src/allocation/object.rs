//! The epoch as an object of the cluster: a ConfigMap in which it is changed by conditional writes alone.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use operator_api::labels;
use operator_core::allocation::{Epoch, Write};
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

    /// Writes an epoch in the place of the one that was found; answers what stands there then.
    pub(super) async fn write(&self, Write { found, next }: &Write) -> Result<Option<Epoch>, ObjectError> {
        let (version, stands) = self.get().await?.unzip();
        if stands != *found {
            return Ok(stands);
        }
        let written = self.put(version.flatten(), next).await;
        match written {
            Ok(()) => Ok(Some(next.clone())),
            // somebody else was quicker
            Err(ObjectError::Api(kube::Error::Api(status))) if status.code == 409 => self.read().await,
            // or has deleted it
            Err(ObjectError::Api(kube::Error::Api(status))) if status.code == 404 && found.is_some() => {
                self.read().await
            }
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
    const PATH: &str = "/api/v1/namespaces/cranewing/configmaps/cranewing-allocation";

    fn object(api: &MockApi) -> EpochObject {
        EpochObject::new(api.client(), "cranewing")
    }

    fn write(found: Option<&Epoch>, next: &Epoch) -> Write {
        Write { found: found.cloned(), next: next.clone() }
    }

    #[tokio::test]
    async fn an_epoch_stands_only_in_the_place_of_the_one_that_was_found() {
        let api = MockApi::default();
        let object = object(&api);
        assert_eq!(object.read().await.unwrap(), None);
        let first = Epoch::first(A);
        let (others, second) = (Epoch::first(B), first.with(B));
        for (case, found, next, stands) in [
            ("nothing stands", None, &first, &first),
            ("somebody was first", None, &others, &first),
            ("another of the same number stands", Some(&others), &others.with(A), &first),
            ("it stands", Some(&first), &second, &second),
            ("the same once more", Some(&first), &second, &second),
        ] {
            assert_eq!(object.write(&write(found, next)).await.unwrap().as_ref(), Some(stands), "{case}");
            assert_eq!(object.read().await.unwrap().as_ref(), Some(stands), "{case}");
        }
    }

    #[tokio::test]
    async fn an_object_that_is_deleted_between_the_look_and_the_write_is_none() {
        let api = MockApi::default();
        let object = object(&api);
        let first = Epoch::first(A);
        object.write(&write(None, &first)).await.unwrap();
        let mut is_deleted = false;
        api.fail(move |seen| {
            is_deleted |= seen.method == http::Method::PUT;
            is_deleted.then_some(404)
        });
        assert_eq!(object.write(&write(Some(&first), &first.with(B))).await.unwrap(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn of_a_write_whose_answer_is_lost_the_next_look_says_what_came_of_it() {
        let api = MockApi::default();
        let object = object(&api);
        api.fail(|seen| (seen.method == http::Method::POST).then_some(LOST));
        timeout(Duration::from_secs(1), object.write(&write(None, &Epoch::first(A)))).await.unwrap_err();
        api.heal();
        assert_eq!(object.read().await.unwrap(), Some(Epoch::first(A)));
    }

    #[tokio::test]
    async fn what_is_not_understood_is_neither_taken_for_nothing_nor_written_over() {
        let api = MockApi::default();
        let object = object(&api);
        let first = Epoch::first(A);
        object.write(&write(None, &first)).await.unwrap();
        let mut stands = api.get(PATH).unwrap();
        stands["data"]["epoch"] = "{}".into();
        api.put(PATH, stands.clone());
        assert!(matches!(object.read().await, Err(ObjectError::NotUnderstood(_))));
        let next = write(Some(&first), &first.with(B));
        assert!(matches!(object.write(&next).await, Err(ObjectError::NotUnderstood(_))));
        assert_eq!(api.get(PATH).unwrap()["data"], stands["data"]);
    }
}
