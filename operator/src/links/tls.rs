//! TLS 1.3 between regions, by raw public keys (RFC 7250): no certificates, no names, no authorities. Each side shows its
//! key and takes only keys that the Secrets of its peers name.

use anyhow::Context as _;
use rustls::client::AlwaysResolvesClientRawPublicKeys;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::AlwaysResolvesServerRawPublicKeys;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, ClientConfig, CommonState, DigitallySignedStruct, DistinguishedName, Error,
    PeerIncompatible, ServerConfig, SignatureScheme, version,
};
use std::fmt;
use std::sync::Arc;

use super::identity::{Identity, PublicKey};

/// What both sides speak; the number grows when they could no longer understand each other.
const ALPN: &[u8] = b"cranewing-link/1";

type Pins = Box<dyn Fn(&PublicKey) -> bool + Send + Sync>;

/// Takes the keys that are pinned at the moment of the handshake.
struct Pinned {
    pins: Pins,
    provider: Arc<CryptoProvider>,
}

impl fmt::Debug for Pinned {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Pinned")
    }
}

impl Pinned {
    fn verify(&self, shown: &CertificateDer<'_>) -> Result<(), Error> {
        let pinned = PublicKey::from_der(shown).is_some_and(|key| (self.pins)(&key));
        pinned
            .then_some(())
            .ok_or(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
    }

    fn verify_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = SubjectPublicKeyInfoDer::from(shown.as_ref());
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature_with_raw_key(message, &key, signed, algorithms)
    }
}

/// Both sides verify alike; TLS 1.2 knows no raw public keys here.
macro_rules! verifies_signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            _message: &[u8],
            _shown: &CertificateDer<'_>,
            _signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Err(Error::PeerIncompatible(PeerIncompatible::Tls12NotOffered))
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            shown: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            self.verify_signature(message, shown, signed)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            vec![SignatureScheme::ED25519]
        }

        fn requires_raw_public_keys(&self) -> bool {
            true
        }
    };
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.verify(end_entity).map(|()| ServerCertVerified::assertion())
    }

    verifies_signatures!();
}

impl ClientCertVerifier for Pinned {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.verify(end_entity).map(|()| ClientCertVerified::assertion())
    }

    verifies_signatures!();
}

fn pinned(pins: Pins) -> (Arc<CryptoProvider>, Arc<Pinned>) {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    (Arc::clone(&provider), Arc::new(Pinned { pins, provider }))
}

/// Of the side that is dialled; `pins` is asked at each handshake.
pub(super) fn server_config(
    identity: &Identity,
    pins: impl Fn(&PublicKey) -> bool + Send + Sync + 'static,
) -> anyhow::Result<Arc<ServerConfig>> {
    let (provider, pinned) = pinned(Box::new(pins));
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&version::TLS13])
        .context("failed to choose TLS 1.3")?
        .with_client_cert_verifier(pinned)
        .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(Arc::clone(&identity.key))));
    config.alpn_protocols = vec![ALPN.to_vec()];
    // A resumed session would be one whose key nobody looked at.
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// Of the side that dials somebody with one of these keys.
pub(super) fn client_config(identity: &Identity, keys: Vec<PublicKey>) -> anyhow::Result<Arc<ClientConfig>> {
    let (provider, pinned) = pinned(Box::new(move |key| keys.contains(key)));
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&version::TLS13])
        .context("failed to choose TLS 1.3")?
        .dangerous()
        .with_custom_certificate_verifier(pinned)
        .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(Arc::clone(
            &identity.key,
        ))));
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.enable_sni = false;
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// The other side's key, once the handshake is over; none if it does not speak our protocol.
pub(super) fn peer_key(connection: &CommonState) -> Option<PublicKey> {
    let shown = connection.peer_certificates()?.first()?;
    (connection.alpn_protocol() == Some(ALPN)).then(|| PublicKey::from_der(shown))?
}

/// Whether a handshake failed because the other side's key is not pinned.
pub(super) fn is_unknown_key(error: &std::io::Error) -> bool {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<Error>());
    let unknown = Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure);
    cause == Some(&unknown)
}
