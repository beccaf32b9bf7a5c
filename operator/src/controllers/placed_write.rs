//! How objects of placed Fleets are written, so that nothing of somebody else's is adopted, changed or deleted.

use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Debug;

/// Brings an object of ours to what it is to be: in the place of the one with this uid, or as a new one. None if somebody was
/// faster; the watch says who.
///
/// An apply adopts whatever has the name by then, so a new one is created, which a name that is taken refuses; then it is applied,
/// as the one that was created. It begins as a `claim`, the first of the two: what a create sets and an apply no longer has would
/// stay for good, so that has no entry of a list or map that may go.
pub(super) async fn apply<K>(
    api: &Api<K>,
    manager: &str,
    (claim, mut object): (K, K),
    mut uid: Option<String>,
) -> kube::Result<Option<K>>
where
    K: Resource<DynamicType = ()> + Clone + Serialize + DeserializeOwned + Debug,
{
    if uid.is_none() {
        let params = PostParams { field_manager: Some(manager.to_owned()), ..PostParams::default() };
        uid = match api.create(&params, &claim).await {
            Err(kube::Error::Api(status)) if status.code == 409 => return Ok(None),
            created => created?.uid(),
        };
    }
    object.meta_mut().uid = uid;
    let params = PatchParams::apply(manager).force();
    match api.patch(&object.name_any(), &params, &Patch::Apply(&object)).await {
        // Gone, or another one of the name by now.
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(None),
        applied => applied.map(Some),
    }
}

/// As it was seen, or not at all: it may be another by now under the same uid. What it owns goes with it.
pub(super) async fn delete<K>(api: &Api<K>, object: &K) -> kube::Result<()>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let preconditions =
        Some(Preconditions { uid: object.uid(), resource_version: object.resource_version() });
    let params = DeleteParams { preconditions, ..DeleteParams::background() };
    match api.delete(&object.name_any(), &params).await {
        // Gone already, or another by now.
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(()),
        deleted => deleted.map(drop),
    }
}
