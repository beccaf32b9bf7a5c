//! Whom game servers trust: the authorities of the report endpoint, and this replica's certificate from them.
//!
//! The authorities are in a Secret that all replicas follow; the leader alone turns them over (`rotation`). A replica that
//! starts, and leads nothing yet, writes the Secret in two cases: it makes the first authorities, and replaces those of
//! which none is valid any more ([`Trust::open`]); the API server lets one do it. When they turn over is decided in
//! `operator_core::authority`. A renewed certificate counts from the next handshake on: no stream
//! ends for it, and no replica restarts.

mod authorities;
mod bundles;
mod rotation;
#[cfg(test)]
mod tests;

pub(crate) use bundles::Bundles;
pub(crate) use rotation::Rotation;

use anyhow::Context;
use authorities::{Authorities, AuthorityError, Issued, names_in};
use k8s_openapi::api::core::v1::Secret;
use kube::api::PostParams;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, Client};
use operator_api::labels;
use operator_core::authority::{Terms, certificate_due_at, plan_authorities};
use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::runtime::clock::Clock;
use crate::runtime::metrics::Metrics;
use crate::runtime::telemetry::chain;
use crate::runtime::watch::Watched;

/// How soon a certificate that could not be issued is tried again.
const RETRY_PERIOD: Duration = Duration::from_secs(10);

/// The authorities as this replica knows them, and its certificate.
pub(crate) struct Trust {
    terms: Terms,
    /// Names of this replica's certificate.
    names: Vec<String>,
    known: watch::Sender<Arc<Authorities>>,
    shown: Arc<Shown>,
    metrics: Metrics,
}

/// The certificate that new streams are shown.
#[derive(Default)]
struct Shown(RwLock<Option<Current>>);

struct Current {
    key: Arc<CertifiedKey>,
    /// Certificate of the authority that issued it.
    issuer: String,
    due_at: Duration,
}

impl fmt::Debug for Shown {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Shown") // and never the key
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let current = self.0.read().unwrap_or_else(PoisonError::into_inner);
        current.as_ref().map(|current| Arc::clone(&current.key))
    }
}

impl Trust {
    fn new(authorities: Authorities, terms: Terms, names: Vec<String>, metrics: Metrics) -> Self {
        let (known, _) = watch::channel(Arc::new(authorities));
        Self { terms, names, known, shown: Arc::default(), metrics }
    }

    /// Reads the authorities, or makes the first if there is none. Two replicas that begin at once agree: the API
    /// server lets one create the Secret, and the other reads it.
    pub(crate) async fn open(
        client: Client,
        namespace: &str,
        (terms, now): (Terms, Duration),
        metrics: Metrics,
    ) -> anyhow::Result<Self> {
        let api: Api<Secret> = Api::namespaced(client, namespace);
        let read =
            || async { api.get_opt(labels::CA_SECRET).await.context("failed to read the authorities") };
        let mut found = read().await?;
        if found.is_none() {
            let mut fresh = Authorities::default();
            fresh.make(now, terms)?;
            match api.create(&PostParams::default(), &fresh.to_secret(None)?).await {
                Ok(created) => found = Some(created),
                Err(kube::Error::Api(status)) if status.code == 409 => found = read().await?,
                Err(error) => return Err(error).context("failed to keep the authorities"),
            }
        }
        let mut found = found.context("the Secret of the authorities went")?;
        let mut authorities = Authorities::from_secret(&found)?;
        while plan_authorities(now, &authorities.view(), terms).issuer.is_none() {
            // All of them are over, as after a year away: nobody can be served by them any more, so there is no overlap
            // to keep, and a new one begins at once.
            authorities = Authorities::default();
            authorities.make(now, terms)?;
            let secret = authorities.to_secret(found.metadata.resource_version.clone())?;
            match api.replace(labels::CA_SECRET, &PostParams::default(), &secret).await {
                Ok(_) => {}
                // The other replica was faster: its new one counts.
                Err(kube::Error::Api(status)) if status.code == 409 => {
                    found = read().await?.context("the Secret of the authorities went")?;
                    authorities = Authorities::from_secret(&found)?;
                }
                Err(error) => return Err(error).context("failed to keep the authorities"),
            }
        }
        let trust = Self::new(authorities, terms, names_in(namespace), metrics);
        trust.refresh(now).context("failed to issue the report endpoint's certificate")?;
        Ok(trust)
    }

    /// TLS settings that show this replica's certificate as it is at each handshake. `protocols` are those that a client may choose of,
    /// best first; without any there is no choice.
    pub(crate) fn server_config(&self, protocols: &[&[u8]]) -> anyhow::Result<Arc<ServerConfig>> {
        let mut config =
            ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_protocol_versions(&[&rustls::version::TLS13])
                .context("failed to choose TLS 1.3")?
                .with_no_client_auth()
                .with_cert_resolver(Arc::<Shown>::clone(&self.shown));
        // A resumed session would be one that nobody looked at the certificate of.
        config.send_tls13_tickets = 0;
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Ok(Arc::new(config))
    }

    /// This replica's certificate as it is at each handshake.
    pub(crate) fn certificate(&self) -> Arc<dyn ResolvesServerCert> {
        Arc::<Shown>::clone(&self.shown)
    }

    /// PEM bundle that game servers verify with.
    pub(crate) fn bundle(&self) -> String {
        self.known.borrow().bundle()
    }

    fn known(&self) -> Arc<Authorities> {
        Arc::clone(&self.known.borrow())
    }

    /// The authorities are these.
    fn learn(&self, authorities: Authorities) {
        self.known.send_if_modified(|known| {
            let differs = **known != authorities;
            if differs {
                *known = Arc::new(authorities);
            }
            differs
        });
    }

    /// Issues this replica's certificate anew if its time or its authority's has come; answers when to look again.
    fn refresh(&self, now: Duration) -> Result<Duration, AuthorityError> {
        let authorities = self.known();
        let plan = plan_authorities(now, &authorities.view(), self.terms);
        let issuer = plan.issuer.ok_or(AuthorityError::None)?;
        let name = authorities.name_of(issuer).unwrap_or_default();
        let due_at = {
            let current = self.shown.0.read().unwrap_or_else(PoisonError::into_inner);
            current.as_ref().filter(|current| current.issuer == name).map(|current| current.due_at)
        };
        let due_at = match due_at.filter(|due_at| now < *due_at) {
            Some(due_at) => due_at,
            None => self.show(authorities.issue(issuer, now, self.terms, &self.names)?, name),
        };
        let expires_at = authorities.view().get(issuer).map_or(Duration::ZERO, |issuer| issuer.expires_at);
        self.metrics.authority_expiry.set(expires_at.as_secs_f64());
        Ok(plan.look_again.min(due_at.saturating_sub(now)))
    }

    fn show(&self, issued: Issued, authority: &str) -> Duration {
        let due_at = certificate_due_at(issued.begins_at, issued.expires_at);
        self.metrics.certificate_expiry.set(issued.expires_at.as_secs_f64());
        let current = Current { key: Arc::new(issued.key), issuer: authority.to_owned(), due_at };
        *self.shown.0.write().unwrap_or_else(PoisonError::into_inner) = Some(current);
        due_at
    }

    /// Follows the Secret and keeps this replica's certificate valid until `stop`.
    pub(crate) async fn follow(
        self: Arc<Self>,
        secrets: Watched<Secret>,
        clock: Clock,
        stop: CancellationToken,
    ) {
        use futures::StreamExt;
        let mut changes = Box::pin(secrets.concerning(|secret: &Secret| vec![ObjectRef::from_obj(secret)]));
        let mut known = self.known.subscribe();
        loop {
            let wait = self.refresh(clock.unix()).unwrap_or_else(|error| {
                warn!(error = chain(&error), "failed to issue the report endpoint's certificate");
                RETRY_PERIOD
            });
            tokio::select! {
                secret = changes.next() => {
                    if secret.is_none() { return }
                    self.read(&secrets);
                }
                Ok(()) = known.changed() => {}
                () = tokio::time::sleep(wait) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// A Secret that is gone or cannot be read changes nothing here: what is known stays true, and the leader writes it anew.
    fn read(&self, secrets: &Watched<Secret>) {
        for secret in secrets.store().state() {
            match Authorities::from_secret(&secret) {
                Ok(authorities) => {
                    info!(
                        authorities = authorities.view().len(),
                        "read the authorities of the report endpoint"
                    );
                    self.learn(authorities);
                }
                Err(error) => warn!(error = chain(&error), "failed to read the authorities"),
            }
        }
    }
}
