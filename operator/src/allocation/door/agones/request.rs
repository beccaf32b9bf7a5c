//! From what a client of Agones asks for to what the desk is asked. What cannot be done here is refused by its name, and never ignored.

use operator_core::allocation::{Selector, Spread};
use std::collections::BTreeMap;

use super::proto::allocation_request::SchedulingStrategy;
use super::proto::game_server_selector::GameServerState;
use super::proto::label_match_expressions::Operator;
use super::proto::{AllocationRequest, GameServerSelector, LabelMatchExpressions, MultiClusterSetting};
use crate::allocation::door::proto;
use crate::allocation::door::selectors::{check_count_of_selectors, read_marks, read_selector};
use crate::allocation::door::service::{check_key, check_namespace, fault};
use crate::allocation::marks::Marks;
use crate::allocation::words::Asked;
use crate::runtime::http::Fault;

/// Header, or metadata, by which a client names what it asks for, so that it can ask again.
pub(super) const KEY_HEADER: &str = "idempotency-key";

/// What is asked for, and what is to be written on the server.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) asked: Asked,
    pub(super) marks: Marks,
}

/// `key` is the client's own, or one that was made for this request alone.
pub(super) fn read(request: &AllocationRequest, key: &str) -> Result<Question, Fault> {
    check_key(KEY_HEADER, key)?;
    check_namespace(&request.namespace)?;
    if let Some(setting) = &request.multi_cluster_setting {
        check_one_cluster(setting)?;
    }
    refuse("priorities", !request.priorities.is_empty(), "there is no order by counters or lists here")?;
    refuse("counters", !request.counters.is_empty(), NO_COUNTERS)?;
    refuse("lists", !request.lists.is_empty(), NO_LISTS)?;
    let selectors = read_selectors(request)?;
    let spread = match SchedulingStrategy::try_from(request.scheduling) {
        Ok(SchedulingStrategy::Packed) => Spread::Packed,
        Ok(SchedulingStrategy::Distributed) => Spread::Distributed,
        Err(unknown) => return fault("scheduling", unknown.to_string()),
    };
    let marks = match (&request.metadata, &request.meta_patch) {
        (Some(given), _) => read_marks("metadata", (&given.labels, &given.annotations))?,
        (None, Some(given)) => read_marks("metaPatch", (&given.labels, &given.annotations))?,
        (None, None) => Marks::default(),
    };
    let asked = Asked::new(&request.namespace, key, (BTreeMap::new(), selectors), spread);
    Ok(Question { asked, marks })
}

const NO_COUNTERS: &str = "game servers have no counters here";
const NO_LISTS: &str = "game servers have no lists here";

fn refuse(path: &str, is_there: bool, why: &str) -> Result<(), Fault> {
    if is_there { fault(path, why) } else { Ok(()) }
}

fn check_one_cluster(setting: &MultiClusterSetting) -> Result<(), Fault> {
    refuse("multiClusterSetting.enabled", setting.enabled, "this region's cluster alone is asked")?;
    let selects = setting.policy_selector.as_ref().is_some_and(|policy| !policy.match_labels.is_empty());
    refuse("multiClusterSetting.policySelector", selects, "there are no policies of other clusters here")
}

/// The older fields count only where there are no selectors. Of them those that are preferred come first, and what is required is the
/// last resort, which any server is that is free if nothing is required.
fn read_selectors(request: &AllocationRequest) -> Result<Vec<Selector>, Fault> {
    if !request.game_server_selectors.is_empty() {
        return read_all("gameServerSelectors", &request.game_server_selectors);
    }
    let (preferred, required) =
        (&request.preferred_game_server_selectors, request.required_game_server_selector.as_ref());
    let mut selectors = read_all("preferredGameServerSelectors", preferred)?;
    if let Some(required) = required {
        selectors.push(read_one("requiredGameServerSelector", required)?);
    } else if !selectors.is_empty() {
        selectors.push(Selector::default());
    }
    check_count_of_selectors("preferredGameServerSelectors", selectors.len())?;
    Ok(selectors)
}

fn read_all(path: &str, selectors: &[GameServerSelector]) -> Result<Vec<Selector>, Fault> {
    check_count_of_selectors(path, selectors.len())?;
    let read = |(number, selector)| read_one(&format!("{path}[{number}]"), selector);
    selectors.iter().enumerate().map(read).collect()
}

fn read_one(path: &str, selector: &GameServerSelector) -> Result<Selector, Fault> {
    let of = |field: &str| format!("{path}.{field}");
    let is_other = GameServerState::try_from(selector.game_server_state) != Ok(GameServerState::Ready);
    let why = "it must be READY: a server of several sessions is given again while it has room, and any other to nobody else";
    refuse(&of("gameServerState"), is_other, why)?;
    refuse(
        &of("players"),
        selector.players.is_some(),
        "nobody is asked for how many players a server has room",
    )?;
    refuse(&of("counters"), !selector.counters.is_empty(), NO_COUNTERS)?;
    refuse(&of("lists"), !selector.lists.is_empty(), NO_LISTS)?;
    let wanted = proto::Selector {
        match_labels: selector.match_labels.clone(),
        match_expressions: selector.match_expressions.iter().map(say).collect(),
    };
    read_selector(path, &wanted)
}

/// The same in our own words; an operator that nobody knows stays one.
fn say(expression: &LabelMatchExpressions) -> proto::Expression {
    let operator = match Operator::try_from(expression.operator) {
        Ok(Operator::In) => proto::Operator::In,
        Ok(Operator::NotIn) => proto::Operator::NotIn,
        Ok(Operator::Exists) => proto::Operator::Exists,
        Ok(Operator::DoesNotExist) => proto::Operator::DoesNotExist,
        Err(_unknown) => proto::Operator::Unspecified,
    };
    let (key, values) = (expression.key.clone(), expression.values.clone());
    proto::Expression { key, operator: operator.into(), values }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::http::read_json;
    use operator_core::allocation::{Expression, Is};
    use serde_json::{Value, json};

    fn question(request: &Value) -> Result<Question, String> {
        let request: AllocationRequest =
            read_json(request.to_string().as_bytes()).map_err(|fault| fault.field)?;
        read(&request, "k").map_err(|fault| fault.field)
    }

    /// Which field is why a request with this one is refused.
    fn refused(field: &str, value: Value) -> Option<String> {
        let mut request = json!({ "namespace": "games" });
        request[field] = value;
        question(&request).err()
    }

    fn labelled(name: &str) -> Selector {
        let match_labels = BTreeMap::from([(name.to_owned(), "v".to_owned())]);
        Selector { match_labels, ..Selector::default() }
    }

    fn with(is: Is) -> Selector {
        let match_expressions = vec![Expression { key: "mode".to_owned(), is }];
        Selector { match_expressions, ..Selector::default() }
    }

    /// A selector by one label.
    fn by(name: &str) -> Value {
        json!({ "matchLabels": { name: "v" } })
    }

    #[test]
    fn which_servers_fit_is_said_by_selectors_or_else_by_what_is_preferred_and_what_is_required() {
        let values = || ["red".to_owned()].into();
        let expression = |operator: Value, values: Value| json!([{ "matchExpressions": [{ "key": "mode", "operator": operator, "values": values }] }]);
        for (fields, expected) in [
            (json!({}), vec![]),
            (json!({ "gameServerSelectors": [] }), vec![]),
            (json!({ "gameServerSelectors": null }), vec![]),
            (json!({ "gameServerSelectors": [by("a"), by("b")] }), vec![labelled("a"), labelled("b")]),
            (json!({ "gameServerSelectors": [{ "gameServerState": "READY" }] }), vec![Selector::default()]),
            (
                json!({ "gameServerSelectors": expression(json!("In"), json!(["red"])) }),
                vec![with(Is::In(values()))],
            ),
            (
                json!({ "gameServerSelectors": expression(json!(1), json!(["red"])) }),
                vec![with(Is::NotIn(values()))],
            ),
            (
                json!({ "gameServerSelectors": expression(json!("Exists"), json!(null)) }),
                vec![with(Is::Present)],
            ),
            (
                json!({ "gameServerSelectors": expression(json!("DoesNotExist"), json!([])) }),
                vec![with(Is::Absent)],
            ),
            (json!({ "requiredGameServerSelector": by("a") }), vec![labelled("a")]),
            (
                json!({ "preferredGameServerSelectors": [by("a")], "requiredGameServerSelector": by("b") }),
                vec![labelled("a"), labelled("b")],
            ),
            (json!({ "preferredGameServerSelectors": [by("a")] }), vec![labelled("a"), Selector::default()]),
            (
                json!({ "gameServerSelectors": [by("a")], "preferredGameServerSelectors": [by("b")], "requiredGameServerSelector": by("c") }),
                vec![labelled("a")],
            ),
        ] {
            let mut request = fields.clone();
            request["namespace"] = json!("games");
            let question = question(&request).unwrap();
            assert_eq!(
                question.asked,
                Asked::new("games", "k", (BTreeMap::new(), expected), Spread::Packed),
                "{fields}"
            );
        }
    }

    #[test]
    fn how_servers_spread_and_what_is_written_on_them_is_taken_by_either_name() {
        let marks = |label: &str| Marks {
            labels: BTreeMap::from([(label.to_owned(), "v".to_owned())]),
            annotations: BTreeMap::from([("note".to_owned(), "a b".to_owned())]),
        };
        let patch = |label: &str| json!({ "labels": { label: "v" }, "annotations": { "note": "a b" } });
        for (fields, spread, expected) in [
            (json!({}), Spread::Packed, Marks::default()),
            (json!({ "scheduling": "Packed", "metadata": null }), Spread::Packed, Marks::default()),
            (json!({ "scheduling": null, "metadata": {} }), Spread::Packed, Marks::default()),
            (json!({ "scheduling": "Distributed", "metadata": patch("a") }), Spread::Distributed, marks("a")),
            (json!({ "scheduling": 1, "metaPatch": patch("b") }), Spread::Distributed, marks("b")),
            (json!({ "metadata": patch("a"), "metaPatch": patch("b") }), Spread::Packed, marks("a")),
        ] {
            let mut request = fields.clone();
            request["namespace"] = json!("games");
            let question = question(&request).unwrap();
            assert_eq!((question.asked.spread, question.marks), (spread, expected), "{fields}");
        }
    }

    #[test]
    fn what_cannot_be_done_here_is_refused_by_its_name_and_what_is_empty_is_not() {
        for (field, value, expected) in [
            ("namespace", json!(""), Some("namespace")),
            ("namespace", json!("n".repeat(64)), Some("namespace")),
            (
                "multiClusterSetting",
                json!({ "enabled": false, "policySelector": { "matchLabels": {} } }),
                None,
            ),
            ("multiClusterSetting", json!({ "enabled": true }), Some("multiClusterSetting.enabled")),
            (
                "multiClusterSetting",
                json!({ "policySelector": by("a") }),
                Some("multiClusterSetting.policySelector"),
            ),
            ("priorities", json!([]), None),
            ("priorities", json!([{ "type": "List", "key": "rooms" }]), Some("priorities")),
            ("counters", json!({}), None),
            ("counters", json!({ "rooms": { "action": "Increment", "amount": "1" } }), Some("counters")),
            ("lists", json!(null), None),
            ("lists", json!({ "rooms": { "addValues": ["1"] } }), Some("lists")),
            ("scheduling", json!(2), Some("scheduling")),
            ("scheduling", json!("Wide"), Some("scheduling")),
            ("metadata", json!({ "labels": { "mode": "-" } }), Some("metadata.labels.mode")),
            ("metaPatch", json!({ "annotations": { "a b": "" } }), Some("metaPatch.annotations.a b")),
            ("gameServerSelector", json!([]), Some("gameServerSelector")),
        ] {
            assert_eq!(refused(field, value.clone()).as_deref(), expected, "{field}: {value}");
        }
    }

    #[test]
    fn a_selector_that_cannot_be_looked_for_is_refused_by_its_place() {
        let selector = |field: &str, value: Value| json!([{}, { field: value }]);
        for (field, value, expected) in [
            ("gameServerSelectors", selector("players", json!(null)), None),
            (
                "gameServerSelectors",
                selector("players", json!({ "minAvailable": 1 })),
                Some("gameServerSelectors[1].players"),
            ),
            (
                "gameServerSelectors",
                selector("counters", json!({ "rooms": { "minAvailable": 1 } })),
                Some("gameServerSelectors[1].counters"),
            ),
            (
                "gameServerSelectors",
                selector("lists", json!({ "rooms": {} })),
                Some("gameServerSelectors[1].lists"),
            ),
            (
                "gameServerSelectors",
                selector("gameServerState", json!("ALLOCATED")),
                Some("gameServerSelectors[1].gameServerState"),
            ),
            (
                "preferredGameServerSelectors",
                selector("gameServerState", json!(7)),
                Some("preferredGameServerSelectors[1].gameServerState"),
            ),
            (
                "requiredGameServerSelector",
                json!({ "matchLabels": { "a b": "" } }),
                Some("requiredGameServerSelector.matchLabels.a b"),
            ),
            (
                "gameServerSelectors",
                selector("matchLabels", json!({ "mode": null })),
                Some("gameServerSelectors[1].matchLabels.mode"),
            ),
            (
                "gameServerSelectors",
                selector("matchExpressions", json!([{ "key": "mode", "operator": 4 }])),
                Some("gameServerSelectors[1].matchExpressions[0].operator"),
            ),
            (
                "gameServerSelectors",
                selector("matchExpressions", json!([{ "key": "mode" }])),
                Some("gameServerSelectors[1].matchExpressions[0].values"),
            ),
            ("gameServerSelectors", json!(vec![json!({}); 5]), Some("gameServerSelectors")),
            ("preferredGameServerSelectors", json!(vec![json!({}); 3]), None),
            ("preferredGameServerSelectors", json!(vec![json!({}); 4]), Some("preferredGameServerSelectors")),
        ] {
            assert_eq!(refused(field, value.clone()).as_deref(), expected, "{field}: {value}");
        }
    }

    #[test]
    fn a_key_is_such_as_every_door_takes() {
        let request = AllocationRequest { namespace: "games".to_owned(), ..AllocationRequest::default() };
        for (key, is_taken) in [("k", true), ("", false), (&"k".repeat(64), true), (&"k".repeat(65), false)] {
            let read = read(&request, key).map_err(|fault| fault.field);
            assert_eq!(read.err().as_deref(), (!is_taken).then_some(KEY_HEADER), "{key}");
        }
    }
}
