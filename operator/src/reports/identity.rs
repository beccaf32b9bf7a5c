//! Who is at the other end of a stream: the pod that a projected service account token names.
//!
//! Tokens are verified offline against the cluster's published keys, which are read again when a token names a key
//! that is not known (at most each ten seconds, so that false tokens cannot make us hammer the API server).

use gameserver_contract::REPORT_AUDIENCE;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use kube::Client;
use serde::Deserialize;
use std::time::Duration;
use tokio::sync::Mutex;

use crate::runtime::clock::Clock;

/// Least time between two readings of the cluster's keys.
const REFRESH_PERIOD: Duration = Duration::from_secs(10);

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
    Keys(#[source] kube::Error),
}

/// Verifies tokens.
pub(crate) struct Verifier {
    client: Client,
    clock: Clock,
    keys: Mutex<Keys>,
}

#[derive(Default)]
struct Keys {
    set: Option<JwkSet>,
    issuer: String,
    read_at: Option<Duration>,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
}

#[derive(Deserialize)]
struct Claims {
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
        Self { client, clock, keys: Mutex::default() }
    }

    /// The pod that `token` was issued to.
    pub(crate) async fn verify(&self, token: &str) -> Result<PodIdentity, IdentityError> {
        let header = decode_header(token).map_err(IdentityError::Malformed)?;
        let (key, issuer) = self.key(header.kid.as_deref()).await?;
        verify_with(token, &key, &issuer)
    }

    async fn key(&self, kid: Option<&str>) -> Result<(DecodingKey, String), IdentityError> {
        let mut keys = self.keys.lock().await;
        let now = self.clock.elapsed();
        let due = keys.read_at.is_none_or(|read_at| now.saturating_sub(read_at) >= REFRESH_PERIOD);
        if find(&keys, kid).is_none() && due {
            keys.read_at = Some(now);
            keys.issuer = self.read::<Discovery>("/.well-known/openid-configuration").await?.issuer;
            keys.set = Some(self.read::<JwkSet>("/openid/v1/jwks").await?);
        }
        let key = find(&keys, kid).ok_or(IdentityError::UnknownKey)?;
        Ok((key, keys.issuer.clone()))
    }

    async fn read<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, IdentityError> {
        let request = http::Request::get(path).body(Vec::new()).map_err(kube::Error::HttpError);
        self.client.request(request.map_err(IdentityError::Keys)?).await.map_err(IdentityError::Keys)
    }
}

fn find(keys: &Keys, kid: Option<&str>) -> Option<DecodingKey> {
    let jwk = keys.set.as_ref()?.find(kid?)?;
    DecodingKey::from_jwk(jwk).ok()
}

fn verify_with(token: &str, key: &DecodingKey, issuer: &str) -> Result<PodIdentity, IdentityError> {
    let mut validation = Validation::new(Algorithm::RS256);
    validation.algorithms = match decode_header(token).map_err(IdentityError::Malformed)?.alg {
        algorithm @ (Algorithm::RS256 | Algorithm::ES256) => vec![algorithm],
        _ => vec![Algorithm::RS256],
    };
    validation.set_audience(&[REPORT_AUDIENCE]);
    validation.set_issuer(&[issuer]);
    validation.set_required_spec_claims(&["exp", "aud", "iss"]);
    validation.validate_nbf = true;
    let claims = decode::<Claims>(token, key, &validation).map_err(IdentityError::Invalid)?.claims;
    let kubernetes = claims.kubernetes.ok_or(IdentityError::NotAPod)?;
    let pod = kubernetes.pod.ok_or(IdentityError::NotAPod)?;
    Ok(PodIdentity { namespace: kubernetes.namespace, pod: pod.name, pod_uid: pod.uid })
}
