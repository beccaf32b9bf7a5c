//! Where the live view looks: one long-lived `kubectl proxy` a region, asked over a socket, because starting a kubectl each second costs more
//! than everything that it shows.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use serde::Deserialize;

use crate::bots;
use crate::checkout::Checkout;
use crate::clock;
use crate::cluster::kubectl;
use crate::engine::Surroundings;
use crate::observe::{self, Overview, Read, Resource};
use crate::process;
use crate::state::State;

/// Events that are kept a region.
pub(crate) const EVENTS_MAX: usize = 8;

/// Pages of 500 events that one look reads at most.
const EVENT_PAGES_MAX: u32 = 20;

/// How long a region may take to answer one question.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// How long a proxy may take to open its socket.
const PROXY_LIMIT: Duration = Duration::from_secs(10);

/// What one look saw.
pub(crate) struct Moment {
    pub(crate) regions: BTreeMap<String, RegionMoment>,
}

/// One region in one look.
pub(crate) struct RegionMoment {
    pub(crate) resources: Read,
    pub(crate) figures: Option<bots::Figures>,
    /// Newest last.
    pub(crate) events: Vec<Event>,
}

/// Something that happened, with its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) region: String,
    /// RFC 3339.
    pub(crate) time: String,
    /// `AutoScaler arena`
    pub(crate) object: String,
    pub(crate) reason: String,
    pub(crate) message: String,
}

/// The proxies; they end with it.
pub(crate) struct Source {
    regions: Vec<Watched>,
}

struct Watched {
    id: String,
    socket: PathBuf,
    proxy: Child,
}

#[derive(Deserialize)]
struct List<T> {
    #[serde(default = "Vec::new")]
    items: Vec<T>,
    #[serde(default)]
    metadata: ListMetadata,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ListMetadata {
    /// Where the next page begins, in letters that a URL may hold; empty on the last.
    #[serde(rename = "continue")]
    next: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct RawEvent {
    reason: Option<String>,
    note: Option<String>,
    event_time: Option<String>,
    regarding: Regarding,
    deprecated_last_timestamp: Option<String>,
    series: Option<Series>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Regarding {
    kind: String,
    name: String,
    api_version: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Series {
    last_observed_time: String,
}

impl Source {
    /// Starts a proxy for every region.
    pub(crate) fn open(checkout: &Checkout, surroundings: &Surroundings, state: &State) -> Result<Self> {
        let mut regions = Vec::new();
        for region in &state.regions {
            let socket = checkout.state().join(format!("{}.{}.sock", region.id, std::process::id()));
            let log = process::open_log(&checkout.log(&format!("proxy-{}", region.id)))?;
            let proxy = kubectl(surroundings, region)
                .arg("proxy")
                .arg(format!("--unix-socket={}", socket.display()))
                .args(["--reject-methods=^(POST|PUT|PATCH|DELETE)$"])
                .stdin(Stdio::null())
                .stdout(log.try_clone()?)
                .stderr(log)
                .spawn()
                .with_context(|| format!("failed to look into {}", region.id))?;
            regions.push(Watched { id: region.id.clone(), socket, proxy });
        }
        let source = Self { regions };
        for region in &source.regions {
            let open =
                clock::poll(PROXY_LIMIT, Duration::from_millis(50), || region.socket.exists().then_some(()));
            open.with_context(|| format!("the proxy of {} does not start", region.id))?;
        }
        Ok(source)
    }

    /// Reads every region once, all at the same time.
    pub(crate) fn look(&mut self, checkout: &Checkout) -> Moment {
        let mut figures = bots::figures(checkout);
        let regions = std::thread::scope(|scope| {
            let looks: Vec<_> = self.regions.iter().map(|region| scope.spawn(|| read(region))).collect();
            self.regions
                .iter()
                .zip(looks)
                .map(|(region, look)| {
                    let seen = look.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                    let (resources, events) = match seen {
                        Ok((resources, events)) => (Ok(resources), events),
                        Err(error) => (Err(format!("{error:#}")), Vec::new()),
                    };
                    (
                        region.id.clone(),
                        RegionMoment { resources, figures: figures.remove(&region.id), events },
                    )
                })
                .collect()
        });
        Moment { regions }
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        for region in &mut self.regions {
            // it may have ended by the same Ctrl-C
            let _ended = region.proxy.kill();
            let _reaped = region.proxy.wait();
            let _absent = std::fs::remove_file(&region.socket);
        }
    }
}

impl Moment {
    /// All regions' events.
    pub(crate) fn events(&self) -> impl Iterator<Item = &Event> {
        self.regions.values().flat_map(|region| &region.events)
    }

    /// The figures of a look, as `status` prints them.
    pub(crate) fn overview(&self, instance: &str) -> Overview {
        let of = |(id, region): (&String, &RegionMoment)| (id.clone(), region.resources.clone());
        let figures =
            self.regions.iter().filter_map(|(id, region)| Some((id.clone(), region.figures.clone()?)));
        observe::summarize(instance, &self.regions.iter().map(of).collect(), &figures.collect())
    }
}

impl fmt::Display for Event {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clock = self.time.get(11..19).unwrap_or(&self.time);
        write!(formatter, "{clock} {} {} {}: {}", self.region, self.object, self.reason, self.message)
    }
}

fn read(region: &Watched) -> Result<(Vec<Resource>, Vec<Event>)> {
    let mut resources = Vec::new();
    for (plural, kind) in [
        ("regionclusters", "RegionCluster"),
        ("fleets", "Fleet"),
        ("autoscalers", "AutoScaler"),
        ("gameservers", "GameServer"),
    ] {
        // from the server's cache: nothing here must be the very newest
        let path = format!("/apis/cranewing.dev/v1alpha1/{plural}?resourceVersion=0");
        let list: List<Resource> = get(&region.socket, &path)?;
        resources.extend(list.items.into_iter().map(|item| Resource { kind: kind.to_owned(), ..item }));
    }
    let events = events(&region.socket)?;
    Ok((resources, newest_events(&region.id, events)))
}

/// Events about objects of ours, all that the API server still has: they come in the order of their names, so the newest may be last.
fn events(socket: &Path) -> Result<Vec<RawEvent>> {
    const PATH: &str = "/apis/events.k8s.io/v1/events?limit=500&fieldSelector=regarding.apiVersion%3Dcranewing.dev%2Fv1alpha1";
    let mut events = Vec::new();
    let mut next = String::new();
    for _ in 0..EVENT_PAGES_MAX {
        let page: List<RawEvent> = get(socket, &format!("{PATH}&continue={next}"))?;
        events.extend(page.items);
        next = page.metadata.next;
        if next.is_empty() {
            return Ok(events);
        }
    }
    bail!("there are more events than anybody can look at")
}

/// The newest events of our own kinds, newest last.
fn newest_events(region: &str, events: Vec<RawEvent>) -> Vec<Event> {
    let ours = events.into_iter().filter(|event| event.regarding.api_version.starts_with("cranewing.dev/"));
    let mut events: Vec<Event> = ours
        .map(|event| Event {
            region: region.to_owned(),
            time: event
                .series
                .map(|series| series.last_observed_time)
                .or(event.event_time)
                .or(event.deprecated_last_timestamp)
                .unwrap_or_default(),
            object: format!("{} {}", event.regarding.kind, event.regarding.name),
            reason: event.reason.unwrap_or_default(),
            message: event.note.unwrap_or_default(),
        })
        .collect();
    events.sort_by(|one, other| one.time.cmp(&other.time));
    events.split_off(events.len().saturating_sub(EVENTS_MAX))
}

/// One question over the proxy's socket. HTTP 1.0, so that the answer ends with the connection.
fn get<T: for<'de> Deserialize<'de>>(socket: &Path, path: &str) -> Result<T> {
    let mut stream = UnixStream::connect(socket).context("the proxy is gone")?;
    stream.set_read_timeout(Some(ANSWER_LIMIT))?;
    stream.set_write_timeout(Some(ANSWER_LIMIT))?;
    let question = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\nAccept: application/json\r\n\r\n");
    stream.write_all(question.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).map_err(|error| match error.kind() {
        // what the system calls temporarily unavailable is that the time is over
        ErrorKind::WouldBlock => anyhow!("no answer within {} s", ANSWER_LIMIT.as_secs()),
        _ => anyhow::Error::new(error).context("the proxy does not answer"),
    })?;
    body(&answer)
}

fn body<T: for<'de> Deserialize<'de>>(answer: &[u8]) -> Result<T> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").context("the answer was cut off")?;
    let head = String::from_utf8_lossy(&answer[..end]);
    let status = head.split_whitespace().nth(1).unwrap_or_default();
    if status != "200" {
        bail!("the API server answers {status}");
    }
    serde_json::from_slice(&answer[end + 4..]).context("the API server's answer is not understood")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_events_are_kept_and_only_the_newest() {
        let event = |api: &str, time: String| RawEvent {
            reason: Some("ScaledUp".to_owned()),
            event_time: Some(time),
            regarding: Regarding { api_version: api.to_owned(), ..Regarding::default() },
            ..RawEvent::default()
        };
        let mut raw = vec![event("v1", "2026-01-01T00:00:59Z".to_owned())];
        raw.extend(
            (0..20)
                .rev()
                .map(|second| event("cranewing.dev/v1alpha1", format!("2026-01-01T00:00:{second:02}Z"))),
        );
        let events = newest_events("kr", raw);
        assert_eq!(events.len(), EVENTS_MAX);
        assert_eq!(events.last().map(|event| event.time.as_str()), Some("2026-01-01T00:00:19Z"));
    }

    #[test]
    fn the_newest_event_is_found_on_the_last_page() {
        use std::os::unix::net::UnixListener;
        let socket = std::env::temp_dir().join(format!("cranewing-events-{}.sock", std::process::id()));
        let _absent = std::fs::remove_file(&socket);
        let server = UnixListener::bind(&socket).unwrap();
        let answers = std::thread::spawn(move || {
            let page = |next: &str, name: &str| {
                let event = format!(
                    r#"{{"regarding":{{"kind":"Fleet","name":"{name}","apiVersion":"cranewing.dev/v1alpha1"}}}}"#
                );
                format!(
                    "HTTP/1.0 200 OK\r\n\r\n{{\"metadata\":{{\"continue\":\"{next}\"}},\"items\":[{event}]}}"
                )
            };
            let mut asked = Vec::new();
            for answer in [page("page-2", "first"), page("", "last")] {
                let (mut stream, _) = server.accept().unwrap();
                let mut question = [0; 1024];
                let length = stream.read(&mut question).unwrap();
                let question = String::from_utf8_lossy(&question[..length]).into_owned();
                asked.push(question.lines().next().unwrap().to_owned());
                stream.write_all(answer.as_bytes()).unwrap();
            }
            asked
        });
        let events = newest_events("kr", events(&socket).unwrap());
        assert_eq!(events.last().map(|event| event.object.as_str()), Some("Fleet last"));
        let asked = answers.join().unwrap();
        assert!(asked.iter().all(|line| line.contains("fieldSelector=regarding.apiVersion")), "{asked:?}");
        assert!(asked[1].contains("continue=page-2"), "{asked:?}");
        std::fs::remove_file(socket).unwrap();
    }

    #[test]
    fn an_answer_is_its_body_and_a_refusal_is_an_error() {
        let list: List<Resource> =
            body(b"HTTP/1.0 200 OK\r\nA: b\r\n\r\n{\"items\": [{\"kind\": \"Fleet\"}]}").unwrap();
        assert_eq!(list.items[0].kind, "Fleet");
        let refused = body::<List<Resource>>(b"HTTP/1.0 503 Service Unavailable\r\n\r\nno");
        assert!(refused.err().unwrap().to_string().contains("503"));
        assert!(body::<List<Resource>>(b"HTTP/1.0 200").is_err());
    }
}
