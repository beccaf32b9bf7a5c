//! Where an object stands by the rules of kstatus, which `kubectl`-like tools, Flux and Argo CD go by: decided from the
//! object alone, without knowing its kind.
//!
//! Rules, in this order: what is being deleted is Terminating; a status of an older generation is InProgress; `Reconciling`
//! is InProgress and `Stalled` is Failed; else `Ready` decides; an object that says nothing is Current, so one that is
//! not must say so from its first moment on.

use serde_json::Value;

/// Where an object stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// On its way to what the spec asks for.
    InProgress,
    /// As the spec asks for.
    Current,
    /// Cannot get there by itself.
    Failed,
    /// Being deleted.
    Terminating,
}

/// Decides where an object stands.
pub fn standing(object: &Value) -> Standing {
    let (metadata, status) = (&object["metadata"], &object["status"]);
    if metadata.get("deletionTimestamp").is_some() {
        return Standing::Terminating;
    }
    if let Some(observed) = status["observedGeneration"].as_i64()
        && metadata["generation"].as_i64() != Some(observed)
    {
        return Standing::InProgress;
    }
    let condition = |type_: &str| {
        let all = status["conditions"].as_array().into_iter().flatten();
        all.into_iter().find(|condition| condition["type"] == type_).and_then(|one| one["status"].as_str())
    };
    match (condition("Reconciling"), condition("Stalled"), condition("Ready")) {
        (Some("True"), _, _) => Standing::InProgress,
        (_, Some("True"), _) => Standing::Failed,
        (_, _, Some("False" | "Unknown")) => Standing::InProgress,
        _ => Standing::Current,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_first_rule_that_applies_decides() {
        let condition = |type_: &str, status: &str| json!({ "type": type_, "status": status });
        let object = |observed: i64, conditions: &[Value]| json!({ "metadata": { "generation": 2 }, "status": { "observedGeneration": observed, "conditions": conditions } });
        let (ready, not_ready) = (condition("Ready", "True"), condition("Ready", "False"));
        let (reconciling, stalled) = (condition("Reconciling", "True"), condition("Stalled", "True"));
        for (name, object, expected) in [
            (
                "being deleted, whatever else",
                json!({ "metadata": { "deletionTimestamp": "now", "generation": 2 }, "status": { "observedGeneration": 1 } }),
                Standing::Terminating,
            ),
            ("an older generation was seen", object(1, std::slice::from_ref(&ready)), Standing::InProgress),
            ("nobody has seen it yet", object(-1, &[]), Standing::InProgress),
            ("at work though Ready", object(2, &[ready.clone(), reconciling]), Standing::InProgress),
            ("stuck", object(2, &[not_ready.clone(), stalled]), Standing::Failed),
            ("not ready", object(2, &[not_ready]), Standing::InProgress),
            ("not known", object(2, &[condition("Ready", "Unknown")]), Standing::InProgress),
            ("ready", object(2, &[ready]), Standing::Current),
            ("not stuck", object(2, &[condition("Stalled", "False")]), Standing::Current),
            ("nothing is said", json!({ "metadata": { "generation": 1 } }), Standing::Current),
        ] {
            assert_eq!(standing(&object), expected, "{name}");
        }
    }
}
