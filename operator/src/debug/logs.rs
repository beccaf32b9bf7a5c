//! Logs of a bundle: of each container what it said last, and of one that began anew what it said before that.

use futures::AsyncReadExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::LogParams;
use std::time::Duration;
use tokio::time::timeout;

use super::pods::{Brief, Container};
use super::redact::scrub;
use super::{Bundle, words};
use crate::runtime::telemetry::chain;

/// For one log.
const TIME_MAX: Duration = Duration::from_secs(30);
/// Bytes that are read at once.
const CHUNK: usize = 64 * 1024;

/// Packs what a pod's containers said.
pub(super) async fn collect(bundle: &mut Bundle<'_>, pod: &Brief) -> anyhow::Result<()> {
    for container in &pod.containers {
        let before = (container.restarts > 0).then_some(true);
        for previous in [Some(false), before].into_iter().flatten() {
            let name = if previous { format!("{}.previous", container.name) } else { container.name.clone() };
            let path = format!("logs/{}/{}/{name}.log", pod.namespace, pod.name);
            if bundle.silent.contains(&pod.node) {
                bundle.archive.fault(&path, &format!("node {} did not answer before", pod.node));
                continue;
            }
            match timeout(TIME_MAX, read(bundle, pod, container, previous)).await {
                Ok(Ok(text)) => bundle.archive.add(&path, text.as_bytes())?,
                Ok(Err(why)) => bundle.archive.fault(&path, &why),
                Err(_elapsed) => {
                    bundle.archive.fault(&path, &format!("it took more than {} s", TIME_MAX.as_secs()));
                    bundle.silent.insert(pod.node.clone());
                }
            }
        }
    }
    Ok(())
}

async fn read(
    bundle: &Bundle<'_>,
    pod: &Brief,
    container: &Container,
    previous: bool,
) -> Result<String, String> {
    let api: Api<Pod> = Api::namespaced(bundle.client.clone(), &pod.namespace);
    let since = i64::try_from(bundle.args.since.as_secs()).unwrap_or(i64::MAX);
    let wanted = LogParams {
        container: Some(container.name.clone()),
        previous,
        timestamps: true,
        // what a container said before it ended is worth reading however long ago that was
        since_seconds: (!previous).then_some(since.max(1)),
        ..LogParams::default()
    };
    let opened = api.log_stream(&pod.name, &wanted).await;
    let stream = opened.map_err(|error| words(&error, "get pods/log"))?;
    let mut stream = std::pin::pin!(stream);
    let mut tail = Tail::new(usize::try_from(bundle.args.log_bytes).unwrap_or(usize::MAX));
    let mut chunk = vec![0; CHUNK];
    loop {
        match stream.read(&mut chunk).await {
            Ok(0) => return Ok(tail.text()),
            Ok(read) => tail.add(&chunk[..read]),
            Err(error) => return Err(chain(&error)),
        }
    }
}

/// The end of a text that comes piece by piece.
struct Tail {
    kept: Vec<u8>,
    most: usize,
    left_out: usize,
    /// What is kept begins with a line.
    is_whole: bool,
}

impl Tail {
    fn new(most: usize) -> Self {
        Self { kept: Vec::new(), most, left_out: 0, is_whole: true }
    }

    /// Twice as much as is kept is in memory at most, beside one piece.
    fn add(&mut self, piece: &[u8]) {
        self.kept.extend_from_slice(piece);
        if self.kept.len() > self.most.saturating_mul(2) {
            self.cut();
        }
    }

    fn cut(&mut self) {
        let surplus = self.kept.len().saturating_sub(self.most);
        if let Some(last) = surplus.checked_sub(1) {
            self.is_whole = self.kept[last] == b'\n';
        }
        self.kept.drain(..surplus);
        self.left_out += surplus;
    }

    /// Whole lines; the first one says how much is left out before them.
    fn text(mut self) -> String {
        self.cut();
        if !self.is_whole {
            // half a line may be half a secret, which nobody recognises
            let line =
                self.kept.iter().position(|byte| *byte == b'\n').map_or(self.kept.len(), |end| end + 1);
            self.kept.drain(..line);
            self.left_out += line;
        }
        let text = scrub(&String::from_utf8_lossy(&self.kept));
        if self.left_out == 0 {
            text
        } else {
            format!("({} bytes before this are left out)\n{text}", self.left_out)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tail(most: usize, pieces: &[&str]) -> String {
        let mut tail = Tail::new(most);
        for piece in pieces {
            tail.add(piece.as_bytes());
            assert!(tail.kept.len() <= 2 * most + piece.len());
        }
        tail.text()
    }

    #[test]
    fn of_a_long_log_the_last_whole_lines_are_kept_and_it_says_how_much_is_not() {
        for (most, pieces, expected) in [
            (100, &["one\n", "two\n"][..], "one\ntwo\n"),
            (8, &["one\n", "two\n"], "one\ntwo\n"),
            (7, &["one\n", "two\n"], "(4 bytes before this are left out)\ntwo\n"),
            (5, &["one\ntwo\nthree\nfour\n"], "(14 bytes before this are left out)\nfour\n"),
            (5, &["one\n", "two\n", "three\n", "four\n"], "(14 bytes before this are left out)\nfour\n"),
            (3, &["one long line"], "(13 bytes before this are left out)\n"),
            (3, &[], ""),
        ] {
            assert_eq!(tail(most, pieces), expected, "{most} of {pieces:?}");
        }
    }

    #[test]
    fn a_log_is_without_what_must_not_leave_the_cluster() {
        assert_eq!(tail(100, &["a password=hun", "ter2 b\n"]), "a password=<redacted> b\n");
    }
}
