//! Who may ask: the bearer of a service account token whom the cluster lets create `gameserverallocations` in the namespace.
//!
//! Tokens are verified offline, as those of report streams are; what the cluster allows is asked of it and remembered for a minute, so
//! whoever asked lately goes on while the API server is away.

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::PostParams;
use kube::{Api, Client};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::reports::identity::{IdentityError, Verifier};
use crate::runtime::clock::Clock;

/// Audience of the tokens by which servers are asked for.
pub(crate) const AUDIENCE: &str = "cranewing-allocation";
/// How long what the cluster allows is remembered.
const ALLOWED_FOR: Duration = Duration::from_secs(60);
/// Callers and namespaces that are remembered at most; beyond it the memory starts anew.
const ALLOWED_MAX: usize = 4096;

/// Why somebody may not ask.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallerError {
    #[error("no bearer token; make one with `kubectl create token NAME --audience {AUDIENCE}`")]
    NoToken,
    #[error("the token is not valid here")]
    Token(#[source] IdentityError),
    #[error("{user} may not create gameserverallocations in namespace {namespace}")]
    Forbidden { user: String, namespace: String },
    #[error("failed to ask the cluster what is allowed")]
    Unknown(#[source] kube::Error),
}

/// Callers, and what is known of them.
pub(crate) struct Callers {
    verifier: Arc<Verifier>,
    reviews: Api<SubjectAccessReview>,
    /// By user and namespace, until when.
    allowed: Mutex<HashMap<(String, String), Duration>>,
    clock: Clock,
}

impl Callers {
    pub(crate) fn new(client: Client, verifier: Arc<Verifier>, clock: Clock) -> Self {
        Self { verifier, reviews: Api::all(client), allowed: Mutex::default(), clock }
    }

    /// Whether the bearer of this token may ask for servers of this namespace.
    pub(super) async fn check(&self, token: Option<&str>, namespace: &str) -> Result<(), CallerError> {
        let token = token.ok_or(CallerError::NoToken)?;
        let user = self.verifier.verify_user(token, AUDIENCE).await.map_err(CallerError::Token)?;
        let who = (user, namespace.to_owned());
        let is_known = self.lock().get(&who).is_some_and(|until| self.clock.elapsed() < *until);
        if is_known || self.ask(&who).await.map_err(CallerError::Unknown)? {
            return Ok(());
        }
        let (user, namespace) = who;
        Err(CallerError::Forbidden { user, namespace })
    }

    async fn ask(&self, who: &(String, String)) -> kube::Result<bool> {
        let (user, namespace) = who;
        let attributes = ResourceAttributes {
            group: Some(operator_api::GROUP.to_owned()),
            resource: Some("gameserverallocations".to_owned()),
            verb: Some("create".to_owned()),
            namespace: Some(namespace.clone()),
            ..ResourceAttributes::default()
        };
        let spec = SubjectAccessReviewSpec {
            user: Some(user.clone()),
            groups: Some(groups_of(user)),
            resource_attributes: Some(attributes),
            ..SubjectAccessReviewSpec::default()
        };
        let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
        let said = self.reviews.create(&PostParams::default(), &review).await?;
        let is_allowed = said.status.is_some_and(|status| status.allowed);
        if is_allowed {
            let mut allowed = self.lock();
            if allowed.len() >= ALLOWED_MAX {
                allowed.clear();
            }
            allowed.insert(who.clone(), self.clock.elapsed() + ALLOWED_FOR);
        }
        Ok(is_allowed)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<(String, String), Duration>> {
        self.allowed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Groups that a service account is in.
fn groups_of(user: &str) -> Vec<String> {
    let namespace = user.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split(':').next());
    let of_namespace = namespace.map(|namespace| format!("system:serviceaccounts:{namespace}"));
    let all = ["system:serviceaccounts", "system:authenticated"].map(str::to_owned);
    of_namespace.into_iter().chain(all).collect()
}
