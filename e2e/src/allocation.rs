//! Asks a region's operator for game servers, as a matchmaker does.

use k8s_openapi::api::rbac::v1::Role;
use serde_json::{Value, json};

use crate::region::{PATIENCE, Region};
use crate::reports::Way;
use crate::scratch::Scratch;
use crate::wait::eventually;

/// Audience of a matchmaker's token.
pub const AUDIENCE: &str = "cranewing-allocation";
const PORT: u16 = 8447;

/// A matchmaker of the test's namespace, and what it may do there.
pub struct Matchmaker {
    token: String,
}

impl Matchmaker {
    /// Makes the account, lets it ask for servers and gets it a token.
    pub async fn new(scratch: &Scratch) -> Self {
        let namespace = &scratch.namespace;
        scratch.kubectl(&["create", "serviceaccount", "matchmaker"]).await;
        let role = "{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: allocate}, rules: [{apiGroups: [cranewing.dev], resources: [gameserverallocations], verbs: [create]}]}";
        drop(scratch.apply::<Role>(role).await);
        let account = format!("--serviceaccount={namespace}:matchmaker");
        scratch.kubectl(&["create", "rolebinding", "allocate", "--role=allocate", &account]).await;
        let audience = format!("--audience={AUDIENCE}");
        let token = scratch.kubectl(&["create", "token", "matchmaker", &audience]).await;
        Self { token: token.trim().to_owned() }
    }

    /// Asks a replica for a server of this Fleet; its status and answer. None if it hangs up.
    pub async fn ask(
        &self,
        scratch: &Scratch,
        (region, replica): (&Region, &str),
        (fleet, key, wait_ms): (&str, &str, u32),
    ) -> Option<(u16, Value)> {
        let way = Way::to_port(region, replica, PORT).await;
        let body = json!({
            "key": key, "namespace": scratch.namespace, "matchLabels": { "cranewing.dev/fleet": fleet }, "waitMs": wait_ms,
        });
        let body = body.to_string();
        let request = format!(
            "POST /v1/allocate HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.token,
            body.len()
        );
        let answer = String::from_utf8(way.say_bytes(scratch, request.as_bytes()).await).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some((status, serde_json::from_str(body).unwrap_or_default()))
    }

    /// Name of the server that this replica gives for a key of the Fleet, once it gives one.
    pub async fn given_by(&self, scratch: &Scratch, replica: &str, (fleet, key): (&str, &str)) -> String {
        let answer = eventually(&format!("{replica} answers {key}"), PATIENCE, || async {
            match self.ask(scratch, (&scratch.region, replica), (fleet, key, 0)).await {
                Some(answer @ (200, _)) => Ok(answer),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
        given(answer)
    }
}

/// Name of the server in an answer that gives one.
pub fn given((status, answer): (u16, Value)) -> String {
    assert_eq!((status, answer["state"].as_str()), (200, Some("given")), "{answer}");
    answer["gameServer"]["name"].as_str().unwrap().to_owned()
}
