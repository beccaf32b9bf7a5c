//! Which version of whose object a copy is: annotation `cranewing.dev/version`, `<uid> <epoch> <generation>`.

use kube::Resource;
use operator_api::{RegionCluster, labels};
use operator_core::regions::shares::Version;
use std::fmt;

use super::message;

/// The object at its home, as it was when this copy was made. A RegionCluster's epoch is always 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Original<'a> {
    pub(crate) uid: &'a str,
    pub(crate) version: Version,
}

impl<'a> Original<'a> {
    /// What a copy says; none of one that is only begun, or that somebody changed.
    pub(crate) fn of(copy: &'a impl Resource) -> Option<Self> {
        let mut words = copy.meta().annotations.as_ref()?.get(labels::VERSION)?.split(' ');
        let (uid, epoch, generation) = (words.next()?, words.next()?, words.next()?);
        let version = Version { home_epoch: epoch.parse().ok()?, generation: generation.parse().ok()? };
        Some(Self { uid, version })
    }

    /// The annotation that says so.
    pub(crate) fn annotation(self) -> (String, String) {
        (labels::VERSION.to_owned(), self.to_string())
    }
}

impl message::Version {
    /// Of a RegionCluster: what a copy in this version says.
    pub(crate) fn original(&self) -> Original<'_> {
        let generation = u64::try_from(self.generation).unwrap_or_default();
        Original { uid: &self.uid, version: Version { home_epoch: 0, generation } }
    }

    /// The same the other way round.
    pub(super) fn of_copy(copy: &RegionCluster) -> Option<Self> {
        let Original { uid, version: Version { generation, .. } } = Original::of(copy)?;
        Some(Self { uid: uid.to_owned(), generation: i64::try_from(generation).ok()?, contents: 0 })
    }
}

impl fmt::Display for Original<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { uid, version: Version { home_epoch, generation } } = self;
        write!(formatter, "{uid} {home_epoch} {generation}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn a_copy_says_which_version_of_whose_object_it_is() {
        let original = Original { uid: "u-jp", version: Version { home_epoch: 2, generation: 4 } };
        let with = |annotations: Value| -> RegionCluster {
            let spec = json!({ "regionId": "jp", "zones": ["a", "b", "c"], "vpcCidr": "10.20.0.0/16" });
            serde_json::from_value(json!({ "metadata": { "annotations": annotations }, "spec": spec }))
                .unwrap()
        };
        let copy = |text: &str| with(json!({ labels::VERSION: text }));
        let (name, text) = original.annotation();
        assert_eq!((name.as_str(), text.as_str()), ("cranewing.dev/version", "u-jp 2 4"));
        assert_eq!(Original::of(&copy(&text)), Some(original));
        for bad in ["", "u-jp", "u-jp 2", "u-jp x 4", "u-jp 2 -4"] {
            assert_eq!(Original::of(&copy(bad)), None, "{bad}");
        }
        let said = message::Version { uid: "u-jp".to_owned(), generation: 4, contents: 9 };
        let copy = copy(&said.original().to_string());
        assert_eq!(message::Version::of_copy(&copy), Some(message::Version { contents: 0, ..said }));
        assert_eq!(Original::of(&with(Value::Null)), None);
    }
}
