//! `operator rollout pause`, `resume`, `promote`, `undo` and `retry`.

use anyhow::{Context as _, bail};
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt as _};
use operator_api::{Fleet, StrategyType, labels};
use serde_json::{Value, json};
use std::io::Write;
use tokio::time::sleep;

use super::revision::{Revision, earlier, present};
use super::status::{PERIOD, Standing};
use super::{Subject, code, failed};

/// Who wrote it, as the API server keeps it.
const FIELD_MANAGER: &str = "cranewing-rollout";
/// Tries to write a Fleet whose status is written at the same time.
const WRITES_MAX: u32 = 10;
/// Looks, [`PERIOD`] apart, within which an operator that runs takes up what is written.
const TAKEN_UP_LOOKS: u32 = 30;

/// Holds a rollout where it stands, or lets it go on.
pub(super) async fn set_paused(subject: &Subject, paused: bool, out: &mut dyn Write) -> anyhow::Result<()> {
    let fleet = subject.read(&subject.fleets()).await?;
    subject.check_is_no_share(&fleet, "run this there for the placed Fleet")?;
    check_is_no_copy(subject, &fleet)?;
    let strategy = fleet.spec.strategy.as_ref();
    let strategy = strategy.filter(|strategy| strategy.type_ != StrategyType::OnDelete).with_context(|| {
        format!(
            "{subject} has no strategy that could be paused: its old servers stay as they are; set spec.strategy.type to \
             RollingUpdate, BlueGreen or Recreate first"
        )
    })?;
    let told = match (strategy.paused, paused) {
        (true, true) => "it was paused before".to_owned(),
        (false, false) => "it was not paused".to_owned(),
        (_, paused) => {
            let patch = json!({ "spec": { "strategy": { "paused": paused } } });
            let written = subject.fleets().patch(&subject.name, &patch_params(), &Patch::Merge(patch)).await;
            let written =
                written.map_err(|error| failed(error, &format!("write {subject}"), "patch fleets"))?;
            if written.spec.strategy.is_none_or(|strategy| strategy.paused != paused) {
                bail!(
                    "the definition of Fleets in this cluster knows no spec.strategy.paused; bring it up to date"
                );
            }
            if paused {
                format!("paused; let it go on by `{}`", subject.command("resume"))
            } else if fleet.spec.placement.is_some() {
                "resumed; its shares follow".to_owned()
            } else {
                format!("resumed; follow it by `{}`", subject.command("status"))
            }
        }
    };
    say(subject, &told, out)
}

/// What is changed on a copy of another region's Fleet is undone.
fn check_is_no_copy(subject: &Subject, fleet: &Fleet) -> anyhow::Result<()> {
    match fleet.labels().get(labels::HOME) {
        Some(home) if fleet.spec.placement.is_some() => {
            bail!("{subject} is a copy of the Fleet whose home is region {home}; run this in that cluster")
        }
        _ => Ok(()),
    }
}

/// Writes the template of an earlier revision as the Fleet's own: as it is, also what of it only a newer operator knows.
pub(super) async fn undo(
    subject: &Subject,
    to_revision: Option<i64>,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let kind = ApiResource::erase::<Fleet>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(subject.client.clone(), &subject.namespace, &kind);
    let object = subject.read(&api).await?;
    let fleet: Fleet =
        object.clone().try_parse().with_context(|| format!("failed to understand {subject}"))?;
    check_can_go_back(subject, &fleet)?;
    let revisions = subject.revisions(&fleet).await?;
    let chosen = match to_revision {
        Some(number) => revisions.iter().find(|revision| revision.number == number),
        None => earlier(&revisions, &fleet),
    };
    let chosen = chosen.with_context(|| none_such(subject, to_revision, &revisions))?;
    if let Err(error) = &chosen.template {
        bail!(
            "{subject}: revision {chosen} is no template that this program understands ({error}); choose another one by --to-revision"
        );
    }
    if chosen.is_of(&fleet.spec.template) {
        return say(subject, &format!("its template is that of revision {chosen} already"), out);
    }
    replace_template(subject, &api, object, chosen).await?;
    let anew = if chosen.is_rejected() { ", which was rejected and is tried again" } else { "" };
    let follow = subject.command("status");
    say(subject, &format!("back to revision {chosen}{anew}; follow it by `{follow}`"), out)
}

/// Writes it, however often the status is written meanwhile, unless somebody changes the spec.
async fn replace_template(
    subject: &Subject,
    api: &Api<DynamicObject>,
    mut object: DynamicObject,
    chosen: &Revision,
) -> anyhow::Result<()> {
    let generation = object.metadata.generation;
    let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
    for _ in 0..WRITES_MAX {
        object.data["spec"]["template"] = chosen.written.clone();
        match api.replace(&subject.name, &params, &object).await {
            Err(error) if code(&error) == Some(409) => {
                object = subject.read(api).await?;
                if object.metadata.generation != generation {
                    break;
                }
            }
            written => {
                let written =
                    written.map_err(|error| failed(error, &format!("write {subject}"), "update fleets"));
                return written.map(drop);
            }
        }
    }
    bail!("{subject} was changed meanwhile, and is left as it is; run this again")
}

fn patch_params() -> PatchParams {
    PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() }
}

fn check_can_go_back(subject: &Subject, fleet: &Fleet) -> anyhow::Result<()> {
    subject.check_is_no_share(fleet, "give the placed Fleet its earlier template there")?;
    if fleet.spec.placement.is_some() {
        let home = fleet.spec.home.as_deref().unwrap_or_default();
        bail!(
            "{subject} is shared out over the regions, and keeps no revisions itself; give it the earlier template at its home, region \
             {home}; those that a share had are shown by `kubectl get controllerrevisions --namespace {} --selector {} --output yaml`",
            subject.namespace,
            labels::fleet_selector(&labels::share_name(&subject.name, home))
        );
    }
    Ok(())
}

fn none_such(subject: &Subject, to_revision: Option<i64>, revisions: &[Revision]) -> String {
    let wanted = match to_revision {
        Some(number) => format!("no revision {number}"),
        None => "no revision before the present one that was not rejected".to_owned(),
    };
    let there: Vec<String> = revisions.iter().map(ToString::to_string).collect();
    if there.is_empty() {
        return format!("{subject} has {wanted}: none is kept; write the earlier template into its spec");
    }
    format!("{subject} has {wanted}; choose one by --to-revision: {}", there.join(", "))
}

/// Takes the verdict off the Fleet's template if that is rejected.
pub(super) async fn retry(subject: &Subject, out: &mut dyn Write) -> anyhow::Result<()> {
    let fleet = subject.read(&subject.fleets()).await?;
    subject.check_has_servers(&fleet)?;
    let revisions = subject.revisions(&fleet).await?;
    let Some(rejected) = present(&revisions, &fleet).filter(|present| present.is_rejected()) else {
        return say(subject, "its template was not rejected, so there is nothing to try again", out);
    };
    let annotations = json!({ labels::VERDICT: null, labels::VERDICT_REASON: null, labels::CANARY: null });
    annotate(subject, rejected, annotations).await?;
    until(subject, |standing| !standing.is_rejected(), "the verdict is taken back").await?;
    let follow = subject.command("status");
    say(subject, &format!("revision {rejected} is tried again; follow it by `{follow}`"), out)
}

/// Has the others follow the first servers of the Fleet's template.
pub(super) async fn promote(subject: &Subject, out: &mut dyn Write) -> anyhow::Result<()> {
    let fleet = subject.read(&subject.fleets()).await?;
    subject.check_has_servers(&fleet)?;
    let standing = Standing::of(&fleet);
    if !standing.waits_for_first() {
        return say(
            subject,
            &format!("nobody waits for first servers of its template; {}", standing.line()),
            out,
        );
    }
    let revisions = subject.revisions(&fleet).await?;
    let Some(present) = present(&revisions, &fleet) else {
        bail!("{subject} keeps no revision of its template yet; run this again");
    };
    annotate(subject, present, json!({ labels::CANARY: labels::CANARY_PASSED })).await?;
    until(subject, |standing| !standing.waits_for_first(), "it is promoted").await?;
    let follow = subject.command("status");
    say(subject, &format!("revision {present} is promoted; follow it by `{follow}`"), out)
}

/// Writes these annotations on a revision.
async fn annotate(subject: &Subject, revision: &Revision, annotations: Value) -> anyhow::Result<()> {
    let patch = json!({ "metadata": { "annotations": annotations } });
    let api = subject.controller_revisions();
    let written = api.patch(&revision.object, &patch_params(), &Patch::Merge(patch)).await;
    let what = format!("write ControllerRevision {}", revision.object);
    written.map(drop).map_err(|error| failed(error, &what, "patch controllerrevisions"))
}

/// Until the operator says what follows, so that whoever looks next does not see what was before.
async fn until(subject: &Subject, is_so: fn(&Standing) -> bool, done: &str) -> anyhow::Result<()> {
    for _ in 0..TAKEN_UP_LOOKS {
        let fleet = subject.read(&subject.fleets()).await?;
        if is_so(&Standing::of(&fleet)) {
            return Ok(());
        }
        sleep(PERIOD).await;
    }
    bail!(
        "{subject}: {done}, and the operator has not taken that up within {TAKEN_UP_LOOKS} s; see that it runs"
    )
}

fn say(subject: &Subject, words: &str, out: &mut dyn Write) -> anyhow::Result<()> {
    writeln!(out, "{subject}: {words}").context("failed to write to the output")
}
