//! Who is at the other end of a stream: the pod that a projected service account token names.
//!
//! Tokens are verified offline against the cluster's published keys, which are read again when a token names a key
//! that is not known (at most each ten seconds, so that false tokens cannot make us hammer the API server), and every few
//! minutes, so that a key which the cluster has withdrawn ends. Whoever's key is known waits for nobody: servers come back
//! while the API server is away.

use gameserver_contract::REPORT_AUDIENCE;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use kube::Client;
use serde::Deserialize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::runtime::clock::Clock;
use crate::runtime::telemetry::chain;

/// Least time between two readings of the cluster's keys.
const REFRESH_PERIOD: Duration = Duration::from_secs(10);
/// Time after which the keys are read again though nobody asks for a new one.
const HELD_MAX: Duration = Duration::from_secs(300);
/// By how much the clock of the API server, which says when a token holds, and ours may differ.
const CLOCK_SKEW_MAX: Duration = Duration::from_secs(60);

/// The pod that a token was issued to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PodIdentity {
    pub(crate) namespace: String,
    pub(crate) pod: String,
    pub(crate) pod_uid: String,
}

/// Why a token is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IdentityError {
    #[error("the token is no JSON web token")]
    Malformed(#[source] jsonwebtoken::errors::Error),
    #[error("the token is signed by a key that this cluster does not publish")]
    UnknownKey,
    #[error("the token is not valid here")]
    Invalid(#[source] jsonwebtoken::errors::Error),
    #[error("the token was not issued to a pod")]
    NotAPod,
    #[error("failed to read the cluster's keys")]
    Keys(#[source] Arc<kube::Error>),
}

/// Verifies tokens.
pub(crate) struct Verifier {
    client: Client,
    clock: Clock,
    keys: Mutex<Keys>,
    /// Whoever asks holds it; who knows their key never waits for it.
    asked: tokio::sync::Mutex<Asked>,
}

/// The last time that the cluster was asked for its keys.
#[derive(Default)]
struct Asked {
    at: Option<Duration>,
    /// Why it did not answer.
    failure: Option<Arc<kube::Error>>,
}

/// What the cluster publishes, as last read.
#[derive(Default)]
struct Keys {
    set: Option<JwkSet>,
    issuer: String,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
}

#[derive(Deserialize)]
struct Claims {
    #[serde(default)]
    sub: String,
    #[serde(rename = "kubernetes.io")]
    kubernetes: Option<KubernetesClaims>,
}

#[derive(Deserialize)]
struct KubernetesClaims {
    namespace: String,
    pod: Option<PodClaim>,
}

#[derive(Deserialize)]
struct PodClaim {
    name: String,
    uid: String,
}

impl Verifier {
    pub(crate) fn new(client: Client, clock: Clock) -> Self {
        Self { client, clock, keys: Mutex::default(), asked: tokio::sync::Mutex::default() }
    }

    /// The pod that `token` was issued to.
    pub(crate) async fn verify(&self, token: &str) -> Result<PodIdentity, IdentityError> {
        let kubernetes =
            self.claims(token, REPORT_AUDIENCE).await?.kubernetes.ok_or(IdentityError::NotAPod)?;
        let pod = kubernetes.pod.ok_or(IdentityError::NotAPod)?;
        Ok(PodIdentity { namespace: kubernetes.namespace, pod: pod.name, pod_uid: pod.uid })
    }

    /// The user that `token` was issued to, for this audience: a service account's full name.
    pub(crate) async fn verify_user(&self, token: &str, audience: &str) -> Result<String, IdentityError> {
        Ok(self.claims(token, audience).await?.sub)
    }

    async fn claims(&self, token: &str, audience: &str) -> Result<Claims, IdentityError> {
        let header = decode_header(token).map_err(IdentityError::Malformed)?;
        let kid = header.kid.as_deref().ok_or(IdentityError::UnknownKey)?;
        let (key, issuer) = match self.find(kid) {
            Some(found) => found,
            None => self.find_anew(kid).await?,
        };
        verify_with(token, header.alg, &key, (&issuer, audience))
    }

    fn find(&self, kid: &str) -> Option<(DecodingKey, String)> {
        let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let key = DecodingKey::from_jwk(keys.set.as_ref()?.find(kid)?).ok()?;
        Some((key, keys.issuer.clone()))
    }

    /// Reads the keys again unless that was done just now.
    async fn find_anew(&self, kid: &str) -> Result<(DecodingKey, String), IdentityError> {
        let mut asked = self.asked.lock().await;
        let now = self.clock.elapsed();
        let is_due = asked.at.is_none_or(|asked_at| now.saturating_sub(asked_at) >= REFRESH_PERIOD);
        // Somebody else may have read them while this one waited for its turn.
        if self.find(kid).is_none() && is_due {
            self.ask(&mut asked, now).await;
        }
        // As long as the last answer is a failure, nobody knows that the key is none of the cluster's.
        self.find(kid)
            .ok_or_else(|| asked.failure.clone().map_or(IdentityError::UnknownKey, IdentityError::Keys))
    }

    /// Reads the keys again every [`HELD_MAX`], once somebody has needed them. While they cannot be read, those that are
    /// known go on to count.
    pub(crate) async fn keep_fresh(self: Arc<Self>, stop: CancellationToken) {
        let mut turns = interval(HELD_MAX);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let keeping = async {
            loop {
                turns.tick().await;
                let mut asked = self.asked.lock().await;
                let now = self.clock.elapsed();
                if asked.at.is_some_and(|asked_at| now.saturating_sub(asked_at) >= REFRESH_PERIOD) {
                    self.ask(&mut asked, now).await;
                }
                if let Some(error) = &asked.failure {
                    warn!(error = chain(error), "failed to read the cluster's keys again");
                }
            }
        };
        stop.run_until_cancelled(keeping).await;
    }

    async fn ask(&self, asked: &mut Asked, now: Duration) {
        let read = self.read_keys().await;
        // only now: a stream that gave up waiting has learned nothing, and the next one asks
        asked.at = Some(now);
        match read {
            Ok(keys) => {
                asked.failure = None;
                *self.keys.lock().unwrap_or_else(PoisonError::into_inner) = keys;
            }
            Err(error) => asked.failure = Some(Arc::new(error)),
        }
    }

    async fn read_keys(&self) -> kube::Result<Keys> {
        let issuer = self.read::<Discovery>("/.well-known/openid-configuration").await?.issuer;
        let set = Some(self.read::<JwkSet>("/openid/v1/jwks").await?);
        Ok(Keys { set, issuer })
    }

    async fn read<T: serde::de::DeserializeOwned>(&self, path: &str) -> kube::Result<T> {
        let request = http::Request::get(path).body(Vec::new()).map_err(kube::Error::HttpError);
        self.client.request(request?).await
    }
}

/// `algorithm` is what the token says of itself; one that is not meant for signatures that others verify is refused.
fn verify_with(
    token: &str,
    algorithm: Algorithm,
    key: &DecodingKey,
    (issuer, audience): (&str, &str),
) -> Result<Claims, IdentityError> {
    let mut validation = Validation::new(match algorithm {
        Algorithm::RS256 | Algorithm::ES256 => algorithm,
        _ => Algorithm::RS256,
    });
    validation.set_audience(&[audience]);
    validation.set_issuer(&[issuer]);
    validation.set_required_spec_claims(&["exp", "aud", "iss"]);
    validation.validate_nbf = true;
    validation.leeway = CLOCK_SKEW_MAX.as_secs();
    Ok(decode::<Claims>(token, key, &validation).map_err(IdentityError::Invalid)?.claims)
}

#[cfg(test)]
pub(crate) mod tests;
