//! `operator place`: asks a region's operator through the API server's proxy of its Service, so that no port needs to be open.
//! What is sent and shown is JSON as it is: an older program sends and shows what a newer operator takes and says.

use anyhow::{Context as _, bail};
use http::{Request, StatusCode, header};
use kube::Client;
use kube::client::Body;
use kube::config::Kubeconfig;
use operator_api::labels;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write;

use crate::args::{OutputFormat, PlaceArgs};
use crate::runtime::kubeconfig::connect;

/// Asks, and shows the answer. That no region fits is an error, with every region's reason. What may be a mistake is told to
/// `notes`.
pub fn run(args: &PlaceArgs, out: &mut dyn Write, notes: &mut dyn Write) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("failed to start the runtime")?.block_on(async {
        let kubeconfig = match &args.kubeconfig {
            Some(path) => Kubeconfig::read_from(path)
                .with_context(|| format!("failed to read the kubeconfig {}", path.display())),
            None => Kubeconfig::read()
                .context("failed to read the kubeconfig; name one by --kubeconfig or KUBECONFIG"),
        };
        place(&connect(kubeconfig?, args.context.clone()).await?, args, (out, notes)).await
    })
}

pub(super) async fn place(
    client: &Client,
    args: &PlaceArgs,
    (out, notes): (&mut dyn Write, &mut dyn Write),
) -> anyhow::Result<()> {
    let request = request(args)?;
    let answer = ask(client, &args.namespace, &request).await?;
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
        bail!("no region fits{}", reasons.collect::<String>());
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
            let file = File::open(path).with_context(|| format!("failed to open {}", path.display()))?;
            serde_json::from_reader(file).with_context(|| format!("failed to read {}", path.display()))?
        }
        None => json!([{ "latenciesMs": args.latencies.iter().copied().collect::<BTreeMap<_, _>>() }]),
    };
    Ok(json!({ "players": players, "maxLatencyMs": args.max_latency, "ownRegion": args.own_region }))
}

async fn ask(client: &Client, namespace: &str, request: &Value) -> anyhow::Result<Value> {
    let service = labels::PLACEMENT_SERVICE;
    let path = format!("/api/v1/namespaces/{namespace}/services/{service}:placement/proxy/v1/place");
    let post = Request::post(path).header(header::CONTENT_TYPE, "application/json");
    let post = post.body(Body::from(request.to_string().into_bytes()))?;
    let answer = client.send(post).await.context("failed to ask the API server")?;
    let status = answer.status();
    let body = answer.into_body().collect_bytes().await.context("the answer broke off")?;
    let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
    if !status.is_success() || !answer["regions"].is_array() {
        let field = answer["field"].as_str().map(|field| format!("{field}: ")).unwrap_or_default();
        let message = answer["message"].as_str().unwrap_or("no reason is given");
        bail!(
            "Service {namespace}/{service} answered {status}: {field}{message}{}",
            remedy(status, namespace)
        );
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
