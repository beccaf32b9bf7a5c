//! The leader's part: makes, publishes and retires authorities, one recorded step at a time.

use k8s_openapi::api::core::v1::{ObjectReference, Secret};
use kube::api::PostParams;
use kube::{Api, Client};
use operator_api::labels;
use operator_core::authority::{Step, plan_authorities};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tracing::debug;

use super::authorities::{Authorities, AuthorityError};
use super::{Bundles, Trust};

/// Why a turn failed; the next one begins anew from what is recorded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RotationError {
    #[error("failed to read the authorities")]
    Read(#[source] kube::Error),
    #[error("failed to publish the certificate bundle in namespace {0}")]
    Publish(String, #[source] kube::Error),
    #[error("failed to keep the authorities")]
    Keep(#[source] kube::Error),
    #[error(transparent)]
    Authority(#[from] AuthorityError),
}

/// What a turn did.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Turned {
    /// Reason and note of an event.
    pub(crate) news: Option<(&'static str, String)>,
    /// When the next turn is due.
    pub(crate) look_again: Duration,
}

/// Whether a write failed because its namespace is being deleted, or is gone already.
fn is_ending(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else { return false };
    let mut causes = status.details.iter().flat_map(|details| &details.causes);
    status.code == 404 || causes.any(|cause| cause.reason == "NamespaceTerminating")
}

/// Turns the authorities over while this replica leads.
pub(crate) struct Rotation {
    api: Api<Secret>,
    namespace: String,
    trust: Arc<Trust>,
    bundles: Arc<Bundles>,
}

impl Rotation {
    pub(crate) fn new(client: Client, namespace: &str, trust: Arc<Trust>, bundles: Arc<Bundles>) -> Self {
        Self { api: Api::namespaced(client, namespace), namespace: namespace.to_owned(), trust, bundles }
    }

    /// The Secret, for events.
    pub(crate) fn reference(&self) -> ObjectReference {
        ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Secret".to_owned()),
            name: Some(labels::CA_SECRET.to_owned()),
            namespace: Some(self.namespace.clone()),
            ..ObjectReference::default()
        }
    }

    /// Reads what is recorded, publishes it to `namespaces` and takes the next step, if one is due.
    pub(crate) async fn turn(
        &self,
        now: Duration,
        namespaces: &BTreeSet<String>,
    ) -> Result<Turned, RotationError> {
        let found = self.api.get_opt(labels::CA_SECRET).await.map_err(RotationError::Read)?;
        let version = found.as_ref().and_then(|secret| secret.metadata.resource_version.clone());
        let mut authorities = match &found {
            Some(secret) => Authorities::from_secret(secret)?,
            // Somebody deleted it. Game servers still trust what we hold, so that is kept.
            None => (*self.trust.known()).clone(),
        };
        self.trust.learn(authorities.clone());
        self.publish(namespaces).await?;
        let plan = plan_authorities(now, &authorities.view(), self.trust.terms);
        let news = match &plan.step {
            Step::Wait if found.is_some() => return Ok(Turned { news: None, look_again: plan.look_again }),
            Step::Wait => None,
            Step::Make => {
                authorities.make(now, self.trust.terms)?;
                Some(("AuthorityMade", "made a new certificate authority of the report endpoint".to_owned()))
            }
            Step::Publish => {
                authorities.set_published(now);
                let overlap = self.trust.terms.overlap.as_secs();
                Some((
                    "AuthorityPublished",
                    format!(
                        "published a new certificate authority; it issues certificates in {overlap} seconds"
                    ),
                ))
            }
            Step::Retire(places) => {
                authorities.retire(places);
                Some((
                    "AuthorityRetired",
                    "a certificate authority of the report endpoint left the bundle".to_owned(),
                ))
            }
        };
        let kept = self.keep(authorities, version).await?;
        // The next step follows from what is recorded, ours or, after a conflict, somebody else's.
        Ok(Turned { news: news.filter(|_| kept), look_again: Duration::ZERO })
    }

    /// Tries every namespace, so that one which cannot be written to keeps only the step from being taken.
    async fn publish(&self, namespaces: &BTreeSet<String>) -> Result<(), RotationError> {
        let mut outcome = Ok(());
        for namespace in namespaces {
            match self.bundles.ensure(namespace).await {
                Err(error) if is_ending(&error) => {
                    debug!(namespace, "needs no bundle any more: it is ending");
                }
                published => {
                    let failed = |source| RotationError::Publish(namespace.clone(), source);
                    let published = published.map_err(failed);
                    outcome = outcome.and(published);
                }
            }
        }
        outcome
    }

    /// Writes the Secret if nobody else has since it was read; false if somebody has.
    async fn keep(&self, authorities: Authorities, version: Option<String>) -> Result<bool, RotationError> {
        let params = PostParams::default();
        let secret = authorities.to_secret(version.clone())?;
        let written = match version {
            Some(_) => self.api.replace(labels::CA_SECRET, &params, &secret).await,
            None => self.api.create(&params, &secret).await,
        };
        match written {
            Ok(_) => {
                self.trust.learn(authorities);
                Ok(true)
            }
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
            Err(error) => Err(RotationError::Keep(error)),
        }
    }
}
