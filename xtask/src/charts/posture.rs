//! What the operator's chart gives out so that the operator stays up and nothing else comes near: replicas that are apart, a lease that waits
//! for nobody, who reaches which port, and what a game server's pod may be.

use serde_yaml::Value;

/// Values that the schema must refuse, because a person who mistypes one would be left without what it is for.
pub(super) const REFUSED: [&str; 8] = [
    "replicas=0",
    "agones.namespaces=null",
    "agones.namespaces={Games}",
    "networkPolicy.enable=true",
    "networkPolicy.metricsFrom=monitoring",
    "admissionPolicy.action=Off",
    "admissionPolicy.enabled=yes",
    "hostPorts=7000",
];

/// What is missing or wrong of the objects that the chart gives with its default values.
pub(super) fn faults(objects: &[Value]) -> Vec<String> {
    let mut found = Vec::new();
    let mut demand = |holds: bool, what: &str| {
        if !holds {
            found.push(what.to_owned());
        }
    };
    let of = |kind: &str, name: &str| {
        let mut of_kind = objects.iter().filter(|object| object["kind"] == kind);
        of_kind.find(|object| object["metadata"]["name"] == name).unwrap_or(&Value::Null)
    };
    let deployment = of("Deployment", "cranewing-operator");
    let pod = &deployment["spec"]["template"];
    demand(deployment["spec"]["replicas"].as_u64() >= Some(2), "two replicas of the operator");
    for key in ["kubernetes.io/hostname", "topology.kubernetes.io/zone"] {
        let spread = items(&pod["spec"]["topologySpreadConstraints"])
            .any(|spread| spread["topologyKey"] == key && selects(&spread["labelSelector"], pod));
        demand(spread, &format!("replicas are spread by {key}"));
    }
    let budget = &of("PodDisruptionBudget", "cranewing-operator")["spec"];
    demand(
        budget["maxUnavailable"] == 1 && selects(&budget["selector"], pod),
        "one replica is evicted at a time",
    );
    let lease = &of("FlowSchema", "cranewing-leases")["spec"];
    demand(
        lease["priorityLevelConfiguration"]["name"] == "leader-election",
        "the lease has the level of leases",
    );
    demand(is_restricted(&pod["spec"]), "the operator's pods are such as PodSecurity `restricted` takes");
    let policy = &of("NetworkPolicy", "cranewing-operator")["spec"];
    demand(selects(&policy["podSelector"], pod), "a NetworkPolicy of the operator's pods");
    for port in ports(&pod["spec"]) {
        let rule =
            items(&policy["ingress"]).find(|rule| items(&rule["ports"]).any(|open| open["port"] == port));
        demand(rule.is_some(), &format!("the NetworkPolicy says who reaches port {port}"));
        let is_open = rule.is_some_and(|rule| rule["from"].is_null());
        demand(is_open == OPEN.contains(&port), &format!("port {port} is open to everybody: {is_open}"));
    }
    let admission = &of("ValidatingAdmissionPolicy", "cranewing-game-servers")["spec"];
    demand(admission["failurePolicy"] == "Fail", "a pod of a game server that nobody looked at is refused");
    let binding = &of("ValidatingAdmissionPolicyBinding", "cranewing-game-servers")["spec"];
    demand(
        binding["validationActions"][0] == "Deny",
        "a pod of a game server that has privileges is refused",
    );
    found
}

/// Ports whose guests prove who they are, or learn nothing that is secret.
const OPEN: [u64; 5] = [8080, 8444, 8445, 8447, 8448];

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_sequence().into_iter().flatten()
}

/// It names some labels, and the pod has all of them.
fn selects(selector: &Value, pod: &Value) -> bool {
    let labels = selector["matchLabels"].as_mapping();
    labels.is_some_and(|labels| {
        !labels.is_empty()
            && labels.iter().all(|(name, value)| pod["metadata"]["labels"].get(name) == Some(value))
    })
}

fn ports(spec: &Value) -> Vec<u64> {
    let containers = items(&spec["containers"]);
    containers
        .flat_map(|container| items(&container["ports"]))
        .filter_map(|port| port["containerPort"].as_u64())
        .collect()
}

/// As the profile of that name of the Pod Security Standards has it, for what is in this chart.
fn is_restricted(spec: &Value) -> bool {
    let security = &spec["securityContext"];
    let is_pod = security["runAsNonRoot"] == true && security["seccompProfile"]["type"] == "RuntimeDefault";
    let is_container = |container: &Value| {
        let security = &container["securityContext"];
        security["allowPrivilegeEscalation"] == false
            && items(&security["capabilities"]["drop"]).any(|name| name == "ALL")
            && items(&container["ports"]).all(|port| port["hostPort"].is_null())
    };
    let has_no_host =
        ["hostNetwork", "hostPID", "hostIPC", "volumes"].iter().all(|field| spec[*field].is_null());
    is_pod && has_no_host && items(&spec["containers"]).all(is_container)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As small as what passes can be.
    fn chart() -> Vec<Value> {
        let rule = |port: u64, from: &str| format!("{{ports: [{{port: {port}}}]{from}}}");
        let closed = rule(8443, ", from: [{podSelector: {}}]");
        let rules: Vec<String> = OPEN.iter().map(|port| rule(*port, "")).chain([closed]).collect();
        let container_ports: Vec<String> =
            OPEN.iter().chain(&[8443]).map(|port| format!("{{containerPort: {port}}}")).collect();
        let spread = |key: &str| format!("{{topologyKey: {key}, labelSelector: {{matchLabels: {{a: b}}}}}}");
        let texts = [
            format!(
                "{{kind: Deployment, metadata: {{name: cranewing-operator}}, spec: {{replicas: 2, template: {{metadata: {{labels: {{a: b}}}}, spec: {{securityContext: {{runAsNonRoot: true, seccompProfile: {{type: RuntimeDefault}}}}, topologySpreadConstraints: [{}, {}], containers: [{{ports: [{}], securityContext: {{allowPrivilegeEscalation: false, capabilities: {{drop: [ALL]}}}}}}]}}}}}}}}",
                spread("kubernetes.io/hostname"),
                spread("topology.kubernetes.io/zone"),
                container_ports.join(", ")
            ),
            "{kind: PodDisruptionBudget, metadata: {name: cranewing-operator}, spec: {maxUnavailable: 1, selector: {matchLabels: {a: b}}}}".to_owned(),
            "{kind: FlowSchema, metadata: {name: cranewing-leases}, spec: {priorityLevelConfiguration: {name: leader-election}}}".to_owned(),
            format!(
                "{{kind: NetworkPolicy, metadata: {{name: cranewing-operator}}, spec: {{podSelector: {{matchLabels: {{a: b}}}}, ingress: [{}]}}}}",
                rules.join(", ")
            ),
            "{kind: ValidatingAdmissionPolicy, metadata: {name: cranewing-game-servers}, spec: {failurePolicy: Fail}}".to_owned(),
            "{kind: ValidatingAdmissionPolicyBinding, metadata: {name: cranewing-game-servers}, spec: {validationActions: [Deny]}}".to_owned(),
        ];
        texts.iter().map(|text| serde_yaml::from_str(text).unwrap()).collect()
    }

    fn changed(at: usize, from: &str, to: &str) -> Vec<String> {
        let mut objects = chart();
        let text = serde_yaml::to_string(&objects[at]).unwrap();
        assert!(text.contains(from), "{from} is not in\n{text}");
        objects[at] = serde_yaml::from_str(&text.replacen(from, to, 1)).unwrap();
        faults(&objects)
    }

    #[test]
    fn whatever_the_chart_leaves_out_of_what_keeps_the_operator_up_and_safe_is_found() {
        assert_eq!(faults(&chart()), Vec::<String>::new());
        for (at, from, to, expected) in [
            (0, "replicas: 2", "replicas: 1", "two replicas of the operator"),
            (0, "kubernetes.io/hostname", "x", "replicas are spread by kubernetes.io/hostname"),
            (0, "topology.kubernetes.io/zone", "x", "replicas are spread by topology.kubernetes.io/zone"),
            (
                0,
                "runAsNonRoot: true",
                "runAsNonRoot: false",
                "the operator's pods are such as PodSecurity `restricted` takes",
            ),
            (0, "- ALL", "- SYS_ADMIN", "the operator's pods are such as PodSecurity `restricted` takes"),
            (0, "containerPort: 8443", "containerPort: 9999", "the NetworkPolicy says who reaches port 9999"),
            (1, "a: b", "a: c", "one replica is evicted at a time"),
            (1, "maxUnavailable: 1", "maxUnavailable: 2", "one replica is evicted at a time"),
            (2, "leader-election", "workload-low", "the lease has the level of leases"),
            (3, "matchLabels", "matchLabel", "a NetworkPolicy of the operator's pods"),
            (3, "from", "form", "port 8443 is open to everybody: true"),
            (4, "Fail", "Ignore", "a pod of a game server that nobody looked at is refused"),
            (5, "Deny", "Audit", "a pod of a game server that has privileges is refused"),
        ] {
            assert_eq!(changed(at, from, to), [expected], "{from}");
        }
    }
}
