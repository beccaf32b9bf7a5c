//! The certificate authority of the report endpoint, kept in a Secret that all replicas share.
//!
//! Each replica issues its own certificate from it and never writes that key anywhere. Game servers verify with the
//! authority's certificate alone, which the controllers publish in every namespace with game servers.

use anyhow::Context;
use gameserver_contract::REPORT_TLS_NAME;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use operator_api::labels;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::collections::BTreeMap;
use std::sync::Arc;

const KEY: &str = "ca.key";

/// The authority: its certificate for everybody, its key for the replicas.
pub(crate) struct Authority {
    /// PEM bundle that game servers verify with.
    pub(crate) bundle: String,
    key: String,
}

/// Reads the authority, or makes it if it is not there yet. Two replicas that begin at once agree: the API server
/// lets one create the Secret, and the other reads it.
pub(crate) async fn ensure_authority(client: Client, namespace: &str) -> anyhow::Result<Authority> {
    let api: Api<Secret> = Api::namespaced(client, namespace);
    if let Some(secret) =
        api.get_opt(labels::CA_SECRET).await.context("failed to read the certificate authority")?
    {
        return from_secret(secret);
    }
    let fresh = generate().context("failed to make a certificate authority")?;
    match api.create(&PostParams::default(), &to_secret(&fresh)).await {
        Ok(_) => Ok(fresh),
        Err(kube::Error::Api(status)) if status.code == 409 => {
            let secret =
                api.get(labels::CA_SECRET).await.context("failed to read the certificate authority")?;
            from_secret(secret)
        }
        Err(error) => Err(error).context("failed to keep the certificate authority"),
    }
}

impl Authority {
    /// TLS settings with a certificate of this replica's own.
    pub(crate) fn server_config(&self) -> anyhow::Result<Arc<ServerConfig>> {
        let authority = KeyPair::from_pem(&self.key).context("failed to read the authority's key")?;
        let issuer = Issuer::from_ca_cert_pem(&self.bundle, authority)
            .context("failed to read the authority's certificate")?;
        let key = KeyPair::generate().context("failed to make a key")?;
        let mut params = CertificateParams::new(vec![REPORT_TLS_NAME.to_owned()])
            .context("failed to name the certificate")?;
        params.distinguished_name.push(DnType::CommonName, "cranewing report endpoint");
        let certificate = params.signed_by(&key, &issuer).context("failed to issue the certificate")?;
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .context("failed to choose TLS 1.3")?
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::from(certificate.der().to_vec())],
                PrivateKeyDer::try_from(key.serialize_der())
                    .map_err(|reason| anyhow::anyhow!("failed to use the key: {reason}"))?,
            )
            .context("failed to use the certificate")?;
        Ok(Arc::new(config))
    }
}

fn generate() -> Result<Authority, rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "cranewing report authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params.self_signed(&key)?;
    Ok(Authority { bundle: certificate.pem(), key: key.serialize_pem() })
}

fn to_secret(authority: &Authority) -> Secret {
    let entry = |key: &str, value: &str| (key.to_owned(), ByteString(value.as_bytes().to_vec()));
    Secret {
        metadata: ObjectMeta {
            name: Some(labels::CA_SECRET.to_owned()),
            labels: Some(BTreeMap::from([(
                labels::MANAGED_BY.to_owned(),
                labels::MANAGED_BY_OPERATOR.to_owned(),
            )])),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([
            entry(labels::CA_BUNDLE_KEY, &authority.bundle),
            entry(KEY, &authority.key),
        ])),
        ..Secret::default()
    }
}

fn from_secret(secret: Secret) -> anyhow::Result<Authority> {
    let mut data = secret.data.unwrap_or_default();
    let mut take = |key: &str| {
        let value = data.remove(key).with_context(|| format!("Secret {} lacks {key}", labels::CA_SECRET))?;
        String::from_utf8(value.0)
            .with_context(|| format!("{key} in Secret {} is no text", labels::CA_SECRET))
    };
    Ok(Authority { bundle: take(labels::CA_BUNDLE_KEY)?, key: take(KEY)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_survives_its_secret_and_issues_certificates() {
        let authority = from_secret(to_secret(&generate().unwrap())).unwrap();
        assert!(authority.server_config().is_ok());
    }

    #[test]
    fn a_secret_that_lacks_a_part_is_named() {
        let mut secret = to_secret(&generate().unwrap());
        secret.data.as_mut().unwrap().remove(KEY);
        let error = from_secret(secret).err().unwrap().to_string();
        assert!(error.contains("ca.key"), "{error}");
    }
}
