//! What keeps the operator up, and who takes over a part of it from the rest: as the API server itself judges it.

use e2e::command::{kubectl, kubectl_with, try_kubectl};
use e2e::region::OPERATOR_NAMESPACE;
use e2e::{PATIENCE, Scratch, eventually, in_namespace};
use k8s_openapi::api::apps::v1::Deployment;
use operator_api::Fleet;
use serde_json::{Value, json};

use crate::duel;

/// A pod of a game server with nothing that it may not have.
fn plain() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": "probe", "labels": { "cranewing.dev/role": "game-server" } },
        "spec": {
            "automountServiceAccountToken": false,
            "securityContext": {
                "runAsNonRoot": true, "runAsUser": 107_000, "seccompProfile": { "type": "RuntimeDefault" },
            },
            "containers": [{
                "name": "gameserver", "image": "example/none",
                "ports": [{ "containerPort": 7000, "hostPort": 7000, "protocol": "UDP" }],
                "securityContext": {
                    "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
                    "capabilities": { "drop": ["ALL"] },
                },
            }],
        },
    })
}

/// What the API server says of a pod that it does not keep.
async fn judge(scratch: &Scratch, pod: &Value) -> Result<(), String> {
    let create = ["--namespace", &scratch.namespace, "create", "--dry-run=server", "--filename=-"];
    try_kubectl(&scratch.region, &create, &pod.to_string()).await.map(drop)
}

/// Each rule by itself, by whoever makes the pod; one that is not a game server's, and one in a namespace that is left out, is nobody's business.
#[tokio::test]
async fn pods_of_game_servers_have_neither_privileges_nor_anything_of_their_node() {
    in_namespace("hardened", &[], async |scratch| {
        let wrong = [
            ("/spec", json!({ "hostNetwork": true }), "hostNetwork, hostPID and hostIPC must not be set"),
            ("/spec", json!({ "hostPID": true }), "hostNetwork, hostPID and hostIPC must not be set"),
            ("/spec/securityContext", json!({ "runAsUser": 0, "runAsNonRoot": false }), "runs as root"),
            ("/spec/containers/0/securityContext", json!({ "runAsUser": 0 }), "runs as root"),
            (
                "/spec/containers/0/securityContext",
                json!({ "privileged": true, "allowPrivilegeEscalation": true }),
                "has privileges",
            ),
            (
                "/spec/containers/0/securityContext",
                json!({ "capabilities": { "drop": ["ALL"], "add": ["NET_ADMIN"] } }),
                "has privileges",
            ),
            (
                "/spec/containers/0/securityContext",
                json!({ "readOnlyRootFilesystem": false }),
                "read-only root",
            ),
            (
                "/spec/securityContext",
                json!({ "seccompProfile": { "type": "Unconfined" } }),
                "seccomp profile",
            ),
            ("/spec/securityContext", json!({ "seccompProfile": null }), "seccomp profile"),
            (
                "/spec/containers/0/securityContext",
                json!({ "seccompProfile": { "type": "Unconfined" } }),
                "seccomp profile",
            ),
            ("/spec", json!({ "volumes": [{ "name": "node", "hostPath": { "path": "/" } }] }), "hostPath"),
            ("/spec", json!({ "automountServiceAccountToken": true }), "no token of the API server"),
            (
                "/spec/containers/0",
                json!({ "ports": [{ "containerPort": 7777, "hostPort": 10_250 }] }),
                "host ports of the operator's range",
            ),
        ];
        let with = |(at, fields, _): &(&str, Value, &str)| {
            let mut pod = plain();
            let part = pod.pointer_mut(at).unwrap().as_object_mut().unwrap();
            part.extend(fields.as_object().unwrap().clone());
            pod
        };
        // the API server begins to go by a policy some moments after it was made
        eventually("the policy is in force", PATIENCE, || async {
            match judge(scratch, &with(&wrong[0])).await {
                Err(said) if said.contains(wrong[0].2) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
        assert_eq!(judge(scratch, &plain()).await, Ok(()));
        for case in &wrong {
            let said = judge(scratch, &with(case)).await.unwrap_err();
            assert!(said.contains("cranewing-game-servers") && said.contains(case.2), "{case:?}: {said}");
        }
        let mut other = with(&wrong[0]);
        other["metadata"]["labels"] = json!({});
        assert_eq!(judge(scratch, &other).await, Ok(()), "it is no game server's");
        let label = ["label", "namespace", &scratch.namespace, "cranewing.dev/game-pods=unrestricted"];
        drop(kubectl(&scratch.region, &label).await);
        let host = with(&wrong[0]);
        eventually("the namespace is left out", PATIENCE, || judge(scratch, &host)).await;
    })
    .await;
}

/// A Fleet whose template asks for too much says so in the policy's words; put right, it is as any other, a second container included.
#[tokio::test]
async fn a_fleet_whose_template_asks_for_privileges_says_which_and_gets_its_servers_without() {
    in_namespace("privileged", &[], async |scratch| {
        drop(scratch.apply::<Fleet>(&duel(1, "hostPID: true,")).await);
        eventually("the Fleet says what is refused", PATIENCE, || async {
            let servers = scratch.kubectl(&["get", "cwgs", "--output=json"]).await;
            let needed = [
                "CreateFailed",
                "cranewing-game-servers",
                "hostNetwork, hostPID and hostIPC must not be set",
            ];
            if needed.iter().all(|words| servers.contains(words)) { Ok(()) } else { Err(servers) }
        })
        .await;
        scratch.kubectl(&["delete", "cwf", "duel"]).await;
        let beside = "containers: [{name: beside, image: IMAGE, command: [/operator, responder]}, {";
        let image = std::env::var("CRANEWING_E2E_OPERATOR_IMAGE").unwrap();
        let fleet = duel(1, "").replace("containers: [{", &beside.replace("IMAGE", &image));
        drop(scratch.apply::<Fleet>(&fleet).await);
        drop(scratch.await_fleet("duel", 1).await);
    })
    .await;
}

/// The lease is renewed on the level of leases, and the operator's own pods are such as the strictest profile takes.
#[tokio::test]
async fn the_lease_has_a_level_of_its_own_and_the_operators_pods_pass_the_strictest_profile() {
    in_namespace("restricted", &[], async |scratch| {
        let region = &scratch.region;
        eventually("the lease is renewed on its level", PATIENCE, || async {
            let metrics = kubectl(region, &["get", "--raw", "/metrics"]).await;
            let mut lines = metrics
                .lines()
                .filter(|line| line.starts_with("apiserver_flowcontrol_dispatched_requests_total"));
            let is_ours = |line: &&str| {
                line.contains("flow_schema=\"cranewing-leases\"")
                    && line.contains("priority_level=\"leader-election\"")
            };
            lines
                .find(is_ours)
                .map(drop)
                .ok_or_else(|| "no request of the lease was dispatched there".to_owned())
        })
        .await;
        let label = [
            "label",
            "--overwrite",
            "namespace",
            &scratch.namespace,
            "pod-security.kubernetes.io/enforce=restricted",
        ];
        drop(kubectl(region, &label).await);
        let deployment = region.system::<Deployment>().get("cranewing-operator").await.unwrap();
        let spec = serde_json::to_value(deployment.spec.unwrap().template.spec).unwrap();
        let mut pod =
            json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "probe" }, "spec": spec });
        pod["spec"]["serviceAccountName"] = json!("default");
        pod["spec"]["serviceAccount"] = json!("default");
        let create = ["--namespace", &scratch.namespace, "create", "--dry-run=server", "--filename=-"];
        drop(kubectl_with(region, &create, &pod.to_string()).await);
        pod["spec"]["hostNetwork"] = json!(true);
        let said = judge(scratch, &pod).await.unwrap_err();
        assert!(said.contains("restricted"), "the profile is in force: {said}");
        let budget = [
            "--namespace",
            OPERATOR_NAMESPACE,
            "get",
            "poddisruptionbudget",
            "cranewing-operator",
            "--output=json",
        ];
        let budget: Value = serde_json::from_str(&kubectl(region, &budget).await).unwrap();
        assert_eq!(
            (&budget["status"]["currentHealthy"], &budget["status"]["disruptionsAllowed"]),
            (&json!(2), &json!(1))
        );
    })
    .await;
}
