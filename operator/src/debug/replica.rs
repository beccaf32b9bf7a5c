//! What a replica shows of itself, asked for over a port that the API server forwards to its pod.

use anyhow::{Context as _, bail};
use axum::body::{Body, to_bytes};
use http::{Request, header};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use serde_json::Value;
use std::time::Duration;
use tokio::time::timeout;

use super::pods::Brief;
use super::redact::{redact, scrub};
use super::{Bundle, DECISIONS, STREAMS, words};

/// For one question.
const TIME_MAX: Duration = Duration::from_secs(20);
/// Bytes of an answer: an index of 20 000 servers fits.
const ANSWER_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Where metrics are.
const ADMIN_PORT: u16 = 8080;

/// Packs the replica's last decisions, its stream index and its metrics.
pub(super) async fn collect(bundle: &mut Bundle<'_>, pod: &Brief) -> anyhow::Result<()> {
    bundle.say(&format!("decisions, streams and metrics of {}", pod.name));
    for (port, path, file) in [
        (pod.debug_port, DECISIONS, "decisions.json"),
        (pod.debug_port, STREAMS, "streams.json"),
        (ADMIN_PORT, "/metrics", "metrics.txt"),
    ] {
        let file = format!("operator/{}/{file}", pod.name);
        let asked = timeout(TIME_MAX, ask(bundle, pod, port, path)).await;
        match asked.unwrap_or_else(|_elapsed| bail!("no answer within {} s", TIME_MAX.as_secs())) {
            Ok(bytes) => bundle.archive.add(&file, cleaned(&bytes).as_bytes())?,
            Err(error) => bundle.archive.fault(&file, &format!("{error:#}")),
        }
    }
    Ok(())
}

/// An answer without what must not leave the cluster, as JSON where it is.
fn cleaned(answer: &[u8]) -> String {
    match serde_json::from_slice::<Value>(answer) {
        Ok(mut json) => {
            redact(&mut json);
            format!("{json:#}\n")
        }
        Err(_not_json) => scrub(&String::from_utf8_lossy(answer)),
    }
}

async fn ask(bundle: &Bundle<'_>, pod: &Brief, port: u16, path: &str) -> anyhow::Result<Vec<u8>> {
    let api: Api<Pod> = Api::namespaced(bundle.client.clone(), &pod.namespace);
    let forwarded = api.portforward(&pod.name, &[port]).await;
    let mut forwarded =
        forwarded.map_err(|error| anyhow::anyhow!(words(&error, "get and create pods/portforward")))?;
    let stream = forwarded.take_stream(port).context("the port is not forwarded")?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get(path).header(header::HOST, "localhost").body(Body::empty())?;
    let asking = async {
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        let bytes = to_bytes(Body::new(answer.into_body()), ANSWER_BYTES_MAX).await?;
        anyhow::Ok((status, bytes))
    };
    tokio::pin!(connection, asking);
    let (status, bytes) = tokio::select! {
        answer = &mut asking => answer?,
        // what it says after that is all there yet
        ended = &mut connection => {
            ended?;
            asking.await?
        }
    };
    if !status.is_success() {
        bail!("it answered {status}");
    }
    Ok(bytes.to_vec())
}
