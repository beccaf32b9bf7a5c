//! What is needed of a pod to read what it said, and whose words tell most. Pure.

use operator_api::labels;
use serde_json::Value;

/// Variable by which a replica of the operator is told where to show what it knows.
const DEBUG_LISTEN: &str = "CRANEWING_DEBUG_LISTEN";
/// Where it does without that.
const DEBUG_PORT: u16 = 8081;

/// A pod, as far as its words go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Brief {
    pub(super) namespace: String,
    pub(super) name: String,
    /// It is one of the replicas of the operator.
    pub(super) is_replica: bool,
    /// It is one of ours, which all have this label.
    pub(super) is_ours: bool,
    pub(super) debug_port: u16,
    /// Nothing before it has one.
    pub(super) node: String,
    pub(super) containers: Vec<Container>,
    is_ready: bool,
    created: String,
}

/// A container, and how often it began anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Container {
    pub(super) name: String,
    pub(super) restarts: u64,
}

impl Brief {
    /// Of a pod as the API server has it.
    pub(super) fn of(pod: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let metadata = &pod["metadata"];
        let app = metadata["labels"]["app.kubernetes.io/name"].as_str().unwrap_or_default();
        let statuses = || {
            let lists = [&pod["status"]["containerStatuses"], &pod["status"]["initContainerStatuses"]];
            lists.into_iter().filter_map(Value::as_array).flatten()
        };
        let restarts = |name: &str| {
            let status = statuses().find(|status| status["name"] == name);
            status.and_then(|status| status["restartCount"].as_u64()).unwrap_or(0)
        };
        let lists = [&pod["spec"]["containers"], &pod["spec"]["initContainers"]];
        let containers = lists.into_iter().filter_map(Value::as_array).flatten();
        let containers = containers.map(|container| {
            let name = text(&container["name"]);
            Container { restarts: restarts(&name), name }
        });
        let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
        let is_replica = labels::OPERATOR_PODS.ends_with(&format!("={app}")) && !app.is_empty();
        Self {
            namespace: text(&metadata["namespace"]),
            name: text(&metadata["name"]),
            is_replica,
            is_ours: is_replica || app.starts_with("cranewing-"),
            debug_port: debug_port(pod),
            node: text(&pod["spec"]["nodeName"]),
            containers: containers.collect(),
            is_ready: conditions.into_iter().any(|one| one["type"] == "Ready" && one["status"] == "True"),
            created: text(&metadata["creationTimestamp"]),
        }
    }

    fn restarts(&self) -> u64 {
        self.containers.iter().map(|container| container.restarts).sum()
    }
}

fn debug_port(pod: &Value) -> u16 {
    let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
    let mut variables = containers.filter_map(|container| container["env"].as_array()).flatten();
    let told = variables.find(|variable| variable["name"] == DEBUG_LISTEN);
    let port = told.and_then(|told| told["value"].as_str()?.rsplit(':').next()?.parse().ok());
    port.unwrap_or(DEBUG_PORT)
}

/// Of these so many whose words tell most: those that are not ready, then those that began anew most often, then the newest.
pub(super) fn most_telling(mut pods: Vec<Brief>, most: usize) -> Vec<Brief> {
    pods.sort_by(|one, other| {
        let rank = |pod: &Brief| (pod.is_ready, std::cmp::Reverse(pod.restarts()));
        // times in this form are in the order of their letters
        rank(one).cmp(&rank(other)).then_with(|| other.created.cmp(&one.created))
    });
    pods.truncate(most);
    pods
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(name: &str, ready: &str, restarts: u64, minute: u8) -> Value {
        json!({
            "metadata": { "name": name, "namespace": "games", "creationTimestamp": format!("2026-11-28T02:{minute:02}:00Z") },
            "spec": { "containers": [{ "name": "gameserver" }], "initContainers": [{ "name": "maps" }] },
            "status": {
                "conditions": [{ "type": "Ready", "status": ready }],
                "containerStatuses": [{ "name": "gameserver", "restartCount": restarts }],
            },
        })
    }

    #[test]
    fn whoever_is_not_ready_or_began_anew_is_heard_before_the_newest() {
        let pods = [
            pod("old", "True", 0, 1),
            pod("new", "True", 0, 9),
            pod("restarted", "True", 1, 2),
            pod("often", "True", 7, 2),
            pod("waits", "False", 0, 3),
        ];
        let pods: Vec<Brief> = pods.iter().map(Brief::of).collect();
        let names =
            |most| most_telling(pods.clone(), most).into_iter().map(|pod| pod.name).collect::<Vec<_>>();
        assert_eq!(names(9), ["waits", "often", "restarted", "new", "old"]);
        assert_eq!(names(2), ["waits", "often"]);
        assert_eq!(names(0), Vec::<String>::new());
    }

    #[test]
    fn every_container_is_known_with_how_often_it_began() {
        let brief = Brief::of(&pod("duel-0", "True", 3, 0));
        let container = |name: &str, restarts| Container { name: name.to_owned(), restarts };
        assert_eq!(brief.containers, [container("gameserver", 3), container("maps", 0)]);
        assert!(!brief.is_ours && !brief.is_replica);
    }

    #[test]
    fn replicas_are_known_from_the_other_pods_of_the_operator_and_say_where_they_show_what_they_know() {
        let of = |app: &str, listen: Option<&str>| {
            let env = listen.map(|listen| json!([{ "name": DEBUG_LISTEN, "value": listen }]));
            Brief::of(&json!({
                "metadata": { "name": "p", "labels": { "app.kubernetes.io/name": app } },
                "spec": { "containers": [{ "name": "operator", "env": env }] },
            }))
        };
        for (app, is_ours, is_replica) in [
            ("cranewing", true, true),
            ("cranewing-responder", true, false),
            ("prometheus", false, false),
            ("", false, false),
        ] {
            assert_eq!((of(app, None).is_ours, of(app, None).is_replica), (is_ours, is_replica), "{app}");
        }
        assert_eq!(of("cranewing", None).debug_port, DEBUG_PORT);
        assert_eq!(of("cranewing", Some("127.0.0.1:9999")).debug_port, 9999);
    }
}
