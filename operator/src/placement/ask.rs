//! `operator place`: asks a region's operator through the API server's proxy of its Service, so that no port needs to be open.
//! What is sent and shown is JSON as it is: an older program sends and shows what a newer operator takes and says.

use anyhow::{Context as _, anyhow, bail};
use http::{Request, StatusCode, header};
use kube::Client;
use kube::client::Body;
use operator_api::labels;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io::Write;

use crate::args::{OutputFormat, PlaceArgs};
use crate::runtime::kubeconfig::{connect, read};

/// Why nobody is placed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// No answer came from the operator, or it could not be shown.
    #[error(transparent)]
    Unanswered(#[from] anyhow::Error),
    /// What was to be asked, or was asked, is wrong.
    #[error(transparent)]
    Input(anyhow::Error),
    /// That is the answer, with every region's reason that was not shown.
    #[error("no region fits{0}")]
    NoRegion(String),
}

impl Failure {
    /// Exit code of the command; 2 is that of a command line that is not understood, too.
    pub const fn code(&self) -> u8 {
        match self {
            Self::Unanswered(_) => 1,
            Self::Input(_) => 2,
            Self::NoRegion(_) => 3,
        }
    }
}

/// Asks, and shows the answer. That no region fits is a failure. What may be a mistake is told to `notes`.
pub fn run(args: &PlaceArgs, out: &mut dyn Write, notes: &mut dyn Write) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("failed to start the runtime")?.block_on(async {
        let kubeconfig = read(args.cluster.kubeconfig.as_deref())?;
        place(&connect(kubeconfig, args.cluster.context.clone()).await?, args, (out, notes)).await
    })
}

pub(super) async fn place(
    client: &Client,
    args: &PlaceArgs,
    (out, notes): (&mut dyn Write, &mut dyn Write),
) -> Result<(), Failure> {
    let request = request(args).map_err(Failure::Input)?;
    let answer = ask(client, &args.cluster.namespace, &request).await?;
    let known: BTreeSet<&str> = regions(&answer).map(|region| text(&region["region"])).collect();
    for stranger in named(&request).difference(&known) {
        let known = known.iter().copied().collect::<Vec<_>>().join(", ");
        writeln!(notes, "note: no region {stranger} is registered there: {known}")
            .context("failed to write a note")?;
    }
    match (args.output, answer["region"].as_str()) {
        (OutputFormat::Json, _) => writeln!(out, "{answer:#}"),
        (OutputFormat::Text, _) if args.explain => show(&answer, out),
        (OutputFormat::Text, Some(region)) => writeln!(out, "{region}"),
        (OutputFormat::Text, None) => Ok(()),
    }
    .context("failed to write to the output")?;
    if answer["region"].is_null() {
        let is_shown = args.explain && args.output == OutputFormat::Text;
        let reasons = regions(&answer).filter(|_| !is_shown);
        let reasons = reasons.map(|region| format!("\n  {}: {}", text(&region["region"]), verdict(region)));
        return Err(Failure::NoRegion(reasons.collect()));
    }
    Ok(())
}

/// Regions that a request speaks of.
fn named(request: &Value) -> BTreeSet<&str> {
    let players = request["players"].as_array().into_iter().flatten();
    let latencies = players.filter_map(|player| player["latenciesMs"].as_object());
    latencies
        .flat_map(|latencies| latencies.keys().map(String::as_str))
        .chain(request["ownRegion"].as_str())
        .collect()
}

fn request(args: &PlaceArgs) -> anyhow::Result<Value> {
    let players = match &args.players {
        Some(path) => {
            let text =
                fs::read_to_string(path).with_context(|| format!("failed to open {}", path.display()))?;
            read_players(&text).with_context(|| format!("failed to read {}", path.display()))?
        }
        None => json!([{ "latenciesMs": once("players[0]", args.latencies.iter().copied())? }]),
    };
    Ok(json!({ "players": players, "maxLatencyMs": args.max_latency, "ownRegion": args.own_region }))
}

/// The players as the file has them, also what of them only a newer operator knows.
fn read_players(text: &str) -> anyhow::Result<Value> {
    let lines: Vec<Line> = serde_json::from_str(text)?;
    for (at, Line { id, latencies: Entries(latencies) }) in lines.into_iter().enumerate() {
        let name = id.as_str().map_or_else(|| format!("players[{at}]"), str::to_owned);
        drop(once(&name, latencies)?);
    }
    Ok(serde_json::from_str(text)?)
}

/// Latencies of a player by region. Of two for one region nobody knows which was meant.
fn once<R: Ord + fmt::Display, L: fmt::Display>(
    player: &str,
    latencies: impl IntoIterator<Item = (R, L)>,
) -> anyhow::Result<BTreeMap<R, L>> {
    let mut by_region = BTreeMap::new();
    for (region, latency) in latencies {
        if let Some(first) = by_region.get(&region) {
            bail!("{player} has two latencies for {region}, {first} and {latency}; give one");
        }
        by_region.insert(region, latency);
    }
    Ok(by_region)
}

/// What is looked at of a player of the file.
#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    id: Value,
    #[serde(default, rename = "latenciesMs")]
    latencies: Entries,
}

/// Of an object, also those whose name is there more than once.
#[derive(Default)]
struct Entries(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Entries;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("latencies by region, such as {\"kr\": 5}")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(All)
    }
}

async fn ask(client: &Client, namespace: &str, request: &Value) -> Result<Value, Failure> {
    let service = labels::PLACEMENT_SERVICE;
    let path = format!("/api/v1/namespaces/{namespace}/services/{service}:placement/proxy/v1/place");
    let post = Request::post(path).header(header::CONTENT_TYPE, "application/json");
    let post = post.body(Body::from(request.to_string().into_bytes())).context("failed to ask")?;
    let answer = client.send(post).await.context("failed to ask the API server")?;
    let status = answer.status();
    let body = answer.into_body().collect_bytes().await.context("the answer broke off")?;
    let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
    if !status.is_success() || !answer["regions"].is_array() {
        let field = answer["field"].as_str().map(|field| format!("{field}: ")).unwrap_or_default();
        let message = answer["message"].as_str().unwrap_or("no reason is given");
        let error = anyhow!(
            "Service {namespace}/{service} answered {status}: {field}{message}{}",
            remedy(status, namespace)
        );
        return Err(match status {
            StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE => Failure::Input(error),
            _ => Failure::Unanswered(error),
        });
    }
    Ok(answer)
}

/// What to do where the API server answers instead of the operator.
fn remedy(status: StatusCode, namespace: &str) -> String {
    match status {
        StatusCode::NOT_FOUND => {
            "; install the operator there, name its namespace by --namespace, or its cluster by --context"
                .to_owned()
        }
        StatusCode::FORBIDDEN => {
            format!("; it takes the right to create services/proxy in namespace {namespace}")
        }
        StatusCode::SERVICE_UNAVAILABLE => {
            format!("; see that the operator runs: kubectl --namespace {namespace} get pods")
        }
        _ => String::new(),
    }
}

fn show(answer: &Value, out: &mut dyn Write) -> std::io::Result<()> {
    let mut line = |region: &str, standing: &str, worst: &str, headroom: &str, verdict: &str| {
        writeln!(out, "{region:<10}{standing:<13}{worst:<10}{headroom:<10}{verdict}")
    };
    line("REGION", "STANDING", "WORST", "HEADROOM", "VERDICT")?;
    for region in regions(answer) {
        let worst = region["worstLatencyMs"].as_u64().map_or_else(|| "-".to_owned(), |ms| format!("{ms} ms"));
        let headroom = region["headroom"].to_string();
        line(text(&region["region"]), text(&region["standing"]), &worst, &headroom, &verdict(region))?;
    }
    Ok(())
}

fn regions(answer: &Value) -> impl Iterator<Item = &Value> {
    answer["regions"].as_array().into_iter().flatten()
}

/// `tooFar: ann has 140 ms and accepts 100 ms`.
fn verdict(region: &Value) -> String {
    match region["reason"].as_str() {
        Some(reason) => format!("{reason}: {}", text(&region["message"])),
        None => "chosen".to_owned(),
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("-")
}
