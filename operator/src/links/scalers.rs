//! The AutoScaler of a placed Fleet, as a record on that Fleet.
//!
//! It is numbered as the record of weights is (rule 3), because versions of AutoScalers have no order: one that was made anew
//! begins with generation 1, and one that is gone has none. It stands on the Fleet, so that it is published and copied with it,
//! and a home that is gone still counts.

use operator_api::{AutoScaler, AutoScalerSpec, Fleet, labels};
use serde::{Deserialize, Serialize};

use kube::ResourceExt;

/// Bytes of a record; a longer one is none. A spec of eight policies has less than two thousand.
const BYTES_MAX: usize = 8 * 1024;

/// What the home last said of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ScalerRecord {
    /// Grows with each record; 0 before the first.
    pub(crate) number: u64,
    /// By which it comes back with its Fleet; empty in records of operators that did not write it.
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) generation: i64,
    /// None if there is no AutoScaler.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) spec: Option<AutoScalerSpec>,
}

impl ScalerRecord {
    /// Of the annotation; as before the first if it is not understood.
    pub(crate) fn read(text: Option<&str>) -> Self {
        let text = text.filter(|text| text.len() <= BYTES_MAX);
        text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }

    /// On a Fleet or its copy.
    pub(crate) fn on(fleet: &Fleet) -> Self {
        Self::read(fleet.annotations().get(labels::SCALER).map(String::as_str))
    }

    /// Whether it is of this AutoScaler as it is now.
    pub(crate) fn is_of(&self, scaler: &AutoScaler) -> bool {
        self.spec.as_ref() == Some(&scaler.spec)
            && self.generation == scaler.metadata.generation.unwrap_or_default()
            && Some(&self.uid) == scaler.metadata.uid.as_ref()
    }

    /// The text of the next record; none if it would say the same.
    pub(crate) fn next(&self, scaler: Option<&AutoScaler>) -> Option<String> {
        let is_said = scaler.map_or_else(|| self.spec.is_none(), |scaler| self.is_of(scaler));
        let next = Self {
            number: self.number.saturating_add(1),
            name: scaler.map(ResourceExt::name_any).unwrap_or_default(),
            uid: scaler.and_then(ResourceExt::uid).unwrap_or_default(),
            generation: scaler.and_then(|scaler| scaler.metadata.generation).unwrap_or_default(),
            spec: scaler.map(|scaler| scaler.spec.clone()),
        };
        serde_json::to_string(&next).ok().filter(|_| !is_said)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn scaler(uid: &str, generation: i64, max: i32) -> AutoScaler {
        let scaler = json!({
            "metadata": { "name": "crowd", "uid": uid, "generation": generation },
            "spec": { "fleet": "arena", "min": 1, "max": max, "policies": [] },
        });
        serde_json::from_value(scaler).unwrap()
    }

    #[test]
    fn each_change_of_an_autoscaler_is_a_record_with_a_number_of_its_own() {
        let mut record = ScalerRecord::default();
        for (name, scaler, number) in [
            ("none, and none before", None, 0),
            ("the first", Some(scaler("s-1", 1, 4)), 1),
            ("the same", Some(scaler("s-1", 1, 4)), 1),
            ("changed", Some(scaler("s-1", 2, 9)), 2),
            ("made anew", Some(scaler("s-2", 1, 9)), 3),
            ("gone", None, 4),
            ("still gone", None, 4),
            ("back", Some(scaler("s-3", 1, 9)), 5),
        ] {
            if let Some(text) = record.next(scaler.as_ref()) {
                record = ScalerRecord::read(Some(&text));
            }
            assert_eq!(record.number, number, "{name}");
            assert_eq!(record.spec, scaler.map(|scaler| scaler.spec), "{name}");
        }
    }

    #[test]
    fn what_is_not_understood_is_no_record() {
        let none = ScalerRecord::default();
        for text in [None, Some(""), Some("[]"), Some("{\"number\": \"x\"}")] {
            assert_eq!(ScalerRecord::read(text), none, "{text:?}");
        }
        let long = format!("{{\"number\": 1, \"uid\": \"{}\"}}", "x".repeat(BYTES_MAX));
        assert_eq!(ScalerRecord::read(Some(&long)), none);
        let newer = ScalerRecord::read(Some("{\"number\": 7, \"color\": \"red\"}"));
        assert_eq!(newer.number, 7);
    }
}
