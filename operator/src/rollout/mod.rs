//! `operator rollout`: follows a change of a Fleet's template, shows its earlier ones and goes back to them. It reads and writes the
//! Fleet and its ControllerRevisions, with the rights of whoever calls it, and talks to no operator.
//!
//! A Fleet with placement has neither servers nor revisions itself: its shares do. A share is changed at the home of its Fleet alone.

mod change;
mod history;
mod revision;
mod status;
#[cfg(test)]
mod tests;

use anyhow::{Context as _, anyhow, bail};
use k8s_openapi::api::apps::v1::ControllerRevision;
use kube::{Api, Client, ResourceExt as _};
use operator_api::{Fleet, labels};
use serde::de::DeserializeOwned;
use std::fmt;
use std::io::Write;

use crate::args::{NamedFleet, RolloutCommand};
use crate::runtime::kubeconfig::{connect, read};

/// A rollout that goes on only when somebody does something.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct TakesAPerson(String);

impl TakesAPerson {
    /// Exit code of the command; 2 is that of a command line that is not understood.
    pub const CODE: u8 = 3;
}

/// Carries the command out, and says what it did. That a rollout is not done, where it was asked about, is an error.
pub fn run(command: &RolloutCommand, out: &mut dyn Write) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("failed to start the runtime")?.block_on(async {
        let fleet = command.fleet();
        let kubeconfig = read(fleet.kubeconfig.as_deref())?;
        carry_out(&connect(kubeconfig, fleet.context.clone()).await?, command, out).await
    })
}

async fn carry_out(client: &Client, command: &RolloutCommand, out: &mut dyn Write) -> anyhow::Result<()> {
    let subject = Subject::new(client, command.fleet());
    match command {
        RolloutCommand::Status { once: true, output, .. } => status::once(&subject, *output, out).await,
        RolloutCommand::Status { timeout, .. } => status::follow(&subject, *timeout, out).await,
        RolloutCommand::History { output, .. } => history::show(&subject, *output, out).await,
        RolloutCommand::Pause { .. } => change::set_paused(&subject, true, out).await,
        RolloutCommand::Resume { .. } => change::set_paused(&subject, false, out).await,
        RolloutCommand::Promote { .. } => change::promote(&subject, out).await,
        RolloutCommand::Undo { to_revision, .. } => change::undo(&subject, *to_revision, out).await,
        RolloutCommand::Retry { .. } => change::retry(&subject, out).await,
    }
}

/// The Fleet that is meant, and where it is kept.
struct Subject {
    name: String,
    namespace: String,
    /// What names it on the command line.
    words: String,
    client: Client,
}

impl Subject {
    fn new(client: &Client, fleet: &NamedFleet) -> Self {
        let NamedFleet { name, namespace, context, kubeconfig } = fleet;
        let namespace = namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned());
        let mut words = format!("{name} --namespace {namespace}");
        if let Some(context) = context {
            words = format!("{words} --context {context}");
        }
        if let Some(path) = kubeconfig {
            words = format!("{words} --kubeconfig {}", path.display());
        }
        Self { name: name.clone(), namespace, words, client: client.clone() }
    }

    /// What to run next, about the same Fleet.
    fn command(&self, verb: &str) -> String {
        format!("operator rollout {verb} {}", self.words)
    }

    fn fleets(&self) -> Api<Fleet> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    fn controller_revisions(&self) -> Api<ControllerRevision> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    async fn read<K: Clone + DeserializeOwned + fmt::Debug>(&self, api: &Api<K>) -> anyhow::Result<K> {
        api.get(&self.name).await.map_err(|error| self.unread(error))
    }

    /// Why it was not read.
    fn unread(&self, error: kube::Error) -> anyhow::Error {
        if code(&error) == Some(404) {
            return anyhow!(
                "there is no Fleet {}/{}; name its namespace by --namespace, or its cluster by --context",
                self.namespace,
                self.name
            );
        }
        failed(error, &format!("read {self}"), "get fleets")
    }

    fn check_has_servers(&self, fleet: &Fleet) -> anyhow::Result<()> {
        let Some(placement) = &fleet.spec.placement else { return Ok(()) };
        let told = fleet.status.iter().flat_map(|status| &status.regions);
        let mut regions: Vec<&str> = told.map(|share| share.region_id.as_str()).collect();
        if regions.is_empty() {
            regions = placement.regions.iter().map(|region| region.region_id.as_str()).collect();
        }
        if regions.is_empty() {
            regions.push("<regionId>");
        }
        let shares: Vec<String> =
            regions.into_iter().map(|region| labels::share_name(&self.name, region)).collect();
        bail!(
            "{self} is shared out over the regions, and has neither servers nor revisions itself; run this for its shares, each in \
             the cluster of its region: {}",
            shares.join(", ")
        )
    }

    /// What is changed on a share is undone.
    fn check_is_no_share(&self, fleet: &Fleet, todo: &str) -> anyhow::Result<()> {
        let Some(parent) = fleet.labels().get(labels::PARENT) else { return Ok(()) };
        bail!(
            "{self} is a share of the placed Fleet {parent}, whose template and strategy are changed at its home alone; find that by \
             `kubectl get cwf {parent} --namespace {}` (HOME), and {todo}",
            self.namespace
        )
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "fleets/{}", self.name)
    }
}

/// Status code of the answer, if that is what is wrong.
fn code(error: &kube::Error) -> Option<u16> {
    match error {
        kube::Error::Api(status) => Some(status.code),
        _ => None,
    }
}

/// What failed, and the right that it takes where that is missing.
fn failed(error: kube::Error, what: &str, right: &str) -> anyhow::Error {
    let remedy = match code(&error) {
        Some(403) => format!("; it takes the right to {right}"),
        _ => String::new(),
    };
    anyhow::Error::new(error).context(format!("failed to {what}{remedy}"))
}
