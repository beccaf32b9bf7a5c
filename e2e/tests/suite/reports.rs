//! The report endpoint: what is false is refused, counted and changes nothing; our images reach what they must.

use e2e::command::kubectl_with;
use e2e::reports::{Way, hello, token};
use e2e::{PATIENCE, Scratch, eventually, in_namespace, operator};
use gameserver_contract::{OperatorMessage, Phase, REPORT_AUDIENCE, Report, ServerMessage};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::LogParams;
use operator_api::GameServer;

use crate::duel_in;

/// Nothing that a hello claims is believed but what its token proves.
#[tokio::test]
async fn false_reports_are_refused_and_counted_and_change_nothing() {
    in_namespace("false", &[], async |scratch| {
        duel_in(scratch, 2).await;
        let region = &scratch.region;
        let replica = operator::leader(region).await;
        let way = Way::to(region, &replica).await;
        let mut servers = scratch.await_fleet("duel", 2).await;
        servers.sort_by_key(ResourceExt::name_any);
        let [zero, one] = servers.as_slice() else { unreachable!("two servers are Ready") };
        let before = facts(scratch).await;

        let own = token(scratch, Some("duel-0"), REPORT_AUDIENCE).await;
        let elsewhere = token(scratch, Some("duel-0"), "somebody-else").await;
        let person = token(scratch, None, REPORT_AUDIENCE).await;
        let forged = {
            let (head, signature) = own.rsplit_once('.').unwrap();
            format!("{head}.{}", signature.chars().rev().collect::<String>())
        };
        let claims = |server: &GameServer, token: &str| ServerMessage::Hello(hello(server, token));
        let mut other_uid = hello(zero, &own);
        other_uid.game_server_uid = one.uid().unwrap();
        let mut other_version = hello(zero, &own);
        other_version.contract_version += 1;
        for (what, message, reason) in [
            ("no token at all", claims(zero, "nonsense"), "token"),
            ("a token with another's signature", claims(zero, &forged), "token"),
            ("a token for another audience", claims(zero, &elsewhere), "token"),
            ("a token that no pod has", claims(zero, &person), "token"),
            ("a right token with another server's name", claims(one, &own), "wrong_pod"),
            ("a right token with another server's uid", ServerMessage::Hello(other_uid), "wrong_pod"),
            ("another version of the contract", ServerMessage::Hello(other_version), "version"),
            ("a report without a hello", ServerMessage::Report(full_house()), "protocol"),
        ] {
            let count = refused(scratch, &replica, reason).await;
            let answer = way.say(scratch, &message).await;
            assert!(matches!(answer, None | Some(OperatorMessage::Refused { .. })), "{what}: {answer:?}");
            await_refused(scratch, &replica, reason, count + 1.0, what).await;
        }
        let count = refused(scratch, &replica, "tls").await;
        drop(way.say_in_plain(b"GET / HTTP/1.1\r\n\r\n").await);
        await_refused(scratch, &replica, "tls", count + 1.0, "a stream in plain").await;

        operator::await_reports_to_every_replica(region, 2, 2).await;
        assert_eq!(facts(scratch).await, before);
    })
    .await;
}

/// What a false report would change.
async fn facts(scratch: &Scratch) -> Vec<(String, operator_api::GameServerStatus)> {
    let servers = scratch.servers("duel").await.unwrap();
    servers.into_iter().map(|server| (server.uid().unwrap(), server.status.unwrap())).collect()
}

fn full_house() -> Report {
    Report { seq: 1, phase: Phase::Stopped, players: 9999, cpu_millis: 9999, ..Report::default() }
}

async fn refused(scratch: &Scratch, replica: &str, reason: &str) -> f64 {
    let name = format!("operator_report_streams_refused_total{{reason=\"{reason}\"}}");
    operator::metric(&scratch.region, replica, &name).await
}

async fn await_refused(scratch: &Scratch, replica: &str, reason: &str, count: f64, what: &str) {
    eventually(&format!("{what} is counted as {reason}"), PATIENCE, || async {
        let now = refused(scratch, replica, reason).await;
        if now >= count { Ok(()) } else { Err(format!("{now} of {count}")) }
    })
    .await;
}

/// The operator's own program in its empty image, with a kubeconfig that names the API server instead of giving its
/// address. It gets as far as being told that this account may not read secrets: it resolved the name, verified the
/// certificate for it and was known by its token. The game server's image makes its TLS call for every Ready of this
/// suite; it resolves no name, because it is given addresses.
#[tokio::test]
async fn the_image_resolves_names_by_cluster_dns_and_calls_by_tls() {
    in_namespace("static", &[], async |scratch| {
        for (pod, host, words) in [
            (
                "known",
                "kubernetes.default.svc",
                format!("system:serviceaccount:{}:default", scratch.namespace),
            ),
            ("unknown", "nowhere.default.svc", "dns error".to_owned()),
        ] {
            drop(
                kubectl_with(
                    &scratch.region,
                    &["apply", "--filename=-"],
                    &named_operator(scratch, pod, host),
                )
                .await,
            );
            eventually(&format!("the operator that calls {host} says {words}"), PATIENCE, || async {
                let log = scratch.api::<Pod>().logs(pod, &LogParams::default()).await;
                let log = log.map_err(|error| error.to_string())?;
                if log.contains(&words) { Ok(()) } else { Err(log) }
            })
            .await;
        }
    })
    .await;
}

/// A ConfigMap with a kubeconfig, and a pod that runs the operator by it.
fn named_operator(scratch: &Scratch, name: &str, host: &str) -> String {
    let image = std::env::var("CRANEWING_E2E_OPERATOR_IMAGE").unwrap();
    let account = "/var/run/secrets/kubernetes.io/serviceaccount";
    format!(
        "
apiVersion: v1
kind: ConfigMap
metadata: {{ name: {name}, namespace: {namespace} }}
data:
  kubeconfig: |
    apiVersion: v1
    kind: Config
    current-context: it
    contexts: [{{ name: it, context: {{ cluster: it, user: it }} }}]
    clusters: [{{ name: it, cluster: {{ server: 'https://{host}', certificate-authority: {account}/ca.crt }} }}]
    users: [{{ name: it, user: {{ tokenFile: {account}/token }} }}]
---
apiVersion: v1
kind: Pod
metadata: {{ name: {name}, namespace: {namespace} }}
spec:
  restartPolicy: Never
  containers:
    - name: operator
      image: {image}
      args: [run, --region-id=x, --namespace={namespace}, --pod-name=x, --gameserver-image=x]
      env: [{{ name: KUBECONFIG, value: /etc/by-name/kubeconfig }}]
      volumeMounts: [{{ name: by-name, mountPath: /etc/by-name }}]
  volumes: [{{ name: by-name, configMap: {{ name: {name} }} }}]
",
        namespace = scratch.namespace
    )
}
