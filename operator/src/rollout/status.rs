//! `operator rollout status`.

use anyhow::{Context as _, bail};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt as _;
use operator_api::conditions::{reasons, types};
use operator_api::{Fleet, labels};
use serde_json::{Value, json};
use std::io::Write;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

use super::{Subject, TakesAPerson, code};
use crate::args::OutputFormat;
use crate::runtime::telemetry::chain;

/// Between two looks at the Fleet.
pub(super) const PERIOD: Duration = Duration::from_secs(1);
/// Longest time without a look that succeeds.
const PATIENCE: Duration = Duration::from_secs(30);
/// Where no condition speaks of the present spec.
const UNHEARD: &str = "the operator has not said yet how its present spec stands";

/// How a rollout stands, by what its operator says of the present spec.
pub(super) struct Standing {
    rolled_out: bool,
    /// None if it says nothing yet.
    reason: Option<String>,
    message: String,
    /// Why no work goes on. It may pass.
    stalled: Option<String>,
}

impl Standing {
    pub(super) fn of(fleet: &Fleet) -> Self {
        let found = news(fleet, types::ROLLED_OUT);
        let stalled = news(fleet, types::STALLED).filter(|stalled| stalled.status == "True");
        let ready = fleet.status.as_ref().map_or(0, |status| status.ready_replicas);
        let desired = fleet.spec.replicas.unwrap_or(0);
        let (has_all, is_short) = (found.is_some_and(|found| found.status == "True"), ready < desired);
        let mut message = found.map_or(UNHEARD, |found| found.message.as_str()).to_owned();
        if has_all && is_short {
            message = format!("{message}; {ready} of {desired} are ready");
        }
        Self {
            rolled_out: has_all && !is_short,
            reason: found.map(|found| found.reason.clone()),
            message,
            stalled: stalled.map(|stalled| format!("{}: {}", stalled.reason, stalled.message)),
        }
    }

    /// Its template failed a gate.
    pub(super) fn is_rejected(&self) -> bool {
        matches!(self.reason.as_deref(), Some(reasons::ROLLED_BACK | reasons::GATE_FAILED))
    }

    /// The others wait for the first servers of its template.
    pub(super) fn waits_for_first(&self) -> bool {
        let waits = [reasons::CANARY_RUNS, reasons::PREVIEW_RUNS, reasons::AWAITS_PROMOTION];
        self.reason.as_deref().is_some_and(|reason| waits.contains(&reason))
    }

    pub(super) fn line(&self) -> String {
        match &self.reason {
            Some(reason) => format!("{reason}: {}", self.message),
            None => self.message.clone(),
        }
    }

    fn lines(&self) -> Vec<String> {
        let stalled = self.stalled.as_ref().filter(|_| !self.rolled_out);
        let stalled = stalled.map(|stalled| format!("{}: {stalled}", types::STALLED));
        std::iter::once(self.line()).chain(stalled).collect()
    }

    /// What somebody must do for it to go on; none if it goes on by itself.
    fn remedy(&self, subject: &Subject, fleet: &Fleet) -> Option<String> {
        let parent = fleet.labels().get(labels::PARENT);
        match (self.reason.as_deref().filter(|_| !self.rolled_out)?, parent) {
            (reasons::ROLLED_BACK | reasons::GATE_FAILED, None) => Some(format!(
                "take it back by `{}`, or have it tried again by `{}`",
                subject.command("undo"),
                subject.command("retry")
            )),
            (reasons::ROLLED_BACK | reasons::GATE_FAILED, Some(parent)) => Some(format!(
                "give the placed Fleet {parent} another template at its home, or have this one tried again here by `{}`",
                subject.command("retry")
            )),
            (reasons::AWAITS_PROMOTION, None) => Some(format!(
                "let its old servers give way by `{}`, or take it back by `{}`",
                subject.command("promote"),
                subject.command("undo")
            )),
            (reasons::AWAITS_PROMOTION, Some(parent)) => Some(format!(
                "let its old servers give way by `{}`, or give the placed Fleet {parent} another template at its home",
                subject.command("promote")
            )),
            (reasons::ON_DELETE, None) => Some(
                "delete its old servers, or set spec.strategy.type to RollingUpdate, BlueGreen or Recreate"
                    .to_owned(),
            ),
            (reasons::ON_DELETE, Some(parent)) => Some(format!(
                "delete its old servers, or give the placed Fleet {parent} another strategy at its home"
            )),
            _ => None,
        }
    }

    fn json(&self, subject: &Subject, fleet: &Fleet) -> Value {
        let status = fleet.status.clone().unwrap_or_default();
        json!({
            "fleet": subject.name,
            "namespace": subject.namespace,
            "revision": status.revision,
            "rolledOut": self.rolled_out,
            "reason": self.reason,
            "message": self.message,
            "stalled": self.stalled,
            "replicas": status.replicas,
            "updatedReplicas": status.updated_replicas,
            "readyReplicas": status.ready_replicas,
            "inUseReplicas": status.in_use_replicas,
        })
    }
}

/// The condition of this type, if it speaks of the spec as it is now.
fn news<'a>(fleet: &'a Fleet, type_: &str) -> Option<&'a Condition> {
    let conditions = fleet.status.iter().flat_map(|status| &status.conditions);
    let mut of_type = conditions.filter(|condition| condition.type_ == type_);
    of_type.find(|condition| condition.observed_generation >= fleet.metadata.generation)
}

/// Says how it stands now. That it is not rolled out is an error.
pub(super) async fn once(subject: &Subject, output: OutputFormat, out: &mut dyn Write) -> anyhow::Result<()> {
    let fleet = subject.read(&subject.fleets()).await?;
    subject.check_has_servers(&fleet)?;
    let standing = Standing::of(&fleet);
    let text = match output {
        OutputFormat::Json => format!("{:#}\n", standing.json(subject, &fleet)),
        OutputFormat::Text => {
            let line = |line: &String| format!("{subject}: {line}\n");
            standing.lines().iter().map(line).collect()
        }
    };
    out.write_all(text.as_bytes()).context("failed to write to the output")?;
    if standing.rolled_out {
        return Ok(());
    }
    match standing.remedy(subject, &fleet) {
        Some(remedy) => Err(TakesAPerson(format!("{subject} is not rolled out; {remedy}")).into()),
        None => bail!("{subject} is not rolled out; follow it by `{}`", subject.command("status")),
    }
}

/// Says how it stands whenever that changes, until it is rolled out. It is an error if it takes a person, or longer than `limit`.
pub(super) async fn follow(
    subject: &Subject,
    limit: Option<Duration>,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let mut watch = Watch { subject, out, told: Vec::new() };
    let Some(limit) = limit else { return watch.until_rolled_out().await };
    let ended = timeout(limit, watch.until_rolled_out()).await;
    match ended {
        Ok(done) => done,
        Err(_elapsed) if watch.told.is_empty() => {
            bail!("{subject} was not heard of within {} s; see that its API server answers", limit.as_secs())
        }
        Err(_elapsed) => {
            bail!("{subject} is not rolled out within {} s: {}", limit.as_secs(), watch.told.join("; "))
        }
    }
}

/// What was told of a rollout that is followed.
struct Watch<'a> {
    subject: &'a Subject,
    out: &'a mut dyn Write,
    /// The last lines.
    told: Vec<String>,
}

impl Watch<'_> {
    async fn until_rolled_out(&mut self) -> anyhow::Result<()> {
        let api = self.subject.fleets();
        let mut heard = Instant::now();
        loop {
            match api.get(&self.subject.name).await {
                Ok(fleet) => {
                    heard = Instant::now();
                    if self.tell(&fleet)? {
                        return Ok(());
                    }
                }
                Err(error) if stays(&error) || heard.elapsed() >= PATIENCE => {
                    return Err(self.subject.unread(error));
                }
                Err(error) => {
                    let patience = PATIENCE.as_secs();
                    self.say(vec![format!("not read, tried again for {patience} s: {}", words(&error))])?;
                }
            }
            sleep(PERIOD).await;
        }
    }

    /// Whether it is rolled out.
    fn tell(&mut self, fleet: &Fleet) -> anyhow::Result<bool> {
        let subject = self.subject;
        subject.check_has_servers(fleet)?;
        let standing = Standing::of(fleet);
        if let Some(remedy) = standing.remedy(subject, fleet) {
            let told = format!("{subject} is not rolled out: {}; {remedy}", standing.line());
            return Err(TakesAPerson(told).into());
        }
        self.say(standing.lines())?;
        Ok(standing.rolled_out)
    }

    /// Tells what was not told the last time.
    fn say(&mut self, lines: Vec<String>) -> anyhow::Result<()> {
        for line in &lines {
            if !self.told.contains(line) {
                writeln!(self.out, "{}: {line}", self.subject).context("failed to write to the output")?;
            }
        }
        self.told = lines;
        Ok(())
    }
}

/// Whether it fails however often it is tried.
fn stays(error: &kube::Error) -> bool {
    matches!(code(error), Some(401 | 403 | 404))
}

fn words(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.to_string(),
        error => chain(error),
    }
}
