//! TLS 1.3 by raw public keys (RFC 7250): no certificates, no names, no authorities. Each side shows its key and takes only keys
//! that it knows.

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{KeyPair, PKCS_ED25519};
use rustls::client::AlwaysResolvesClientRawPublicKeys;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::AlwaysResolvesServerRawPublicKeys;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, ClientConfig, CommonState, DigitallySignedStruct, DistinguishedName, Error,
    PeerIncompatible, ServerConfig, SignatureScheme, version,
};
use std::fmt;
use std::sync::Arc;

/// Head of the subject public key info of each Ed25519 key (RFC 8410); 32 bytes follow.
const ED25519: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// What two ends speak, as ALPN names it; its number grows when they could no longer understand each other.
pub(crate) type Protocol = &'static [u8];

/// The public half of an Ed25519 key, as TLS shows it: a DER subject public key info.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PublicKey(Vec<u8>);

impl PublicKey {
    /// The key in these bytes; none if they are anything else.
    pub(crate) fn from_der(der: &[u8]) -> Option<Self> {
        let is_ed25519 = der.len() == ED25519.len() + 32 && der.starts_with(&ED25519);
        is_ed25519.then(|| Self(der.to_vec()))
    }

    /// The key in base64, as objects have it.
    pub(crate) fn from_base64(text: &str) -> Option<Self> {
        Self::from_der(&STANDARD.decode(text).ok()?)
    }

    pub(crate) fn to_base64(&self) -> String {
        STANDARD.encode(&self.0)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.to_base64())
    }
}

/// A key of this process's own: what TLS shows and signs with, and its public half. None if it is no Ed25519 key.
pub(crate) fn own_key(private: &PrivatePkcs8KeyDer<'_>) -> Option<(Arc<CertifiedKey>, PublicKey)> {
    let key = rustls::crypto::ring::sign::any_eddsa_type(private).ok()?;
    let public = PublicKey::from_der(&key.public_key()?)?;
    // Where raw public keys are shown, the key stands in the place of a certificate.
    let shown = CertificateDer::from(public.0.clone());
    Some((Arc::new(CertifiedKey::new(vec![shown], key)), public))
}

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

/// A key that nobody had before.
pub(crate) fn fresh_key() -> anyhow::Result<(Arc<CertifiedKey>, PublicKey)> {
    let pair = KeyPair::generate_for(&PKCS_ED25519).context("failed to make a key")?;
    own_key(&PrivatePkcs8KeyDer::from(pair.serialize_der())).context("failed to use a fresh key")
}

/// Of the side that is dialled; `pins` is asked at each handshake.
pub(crate) fn server_config(
    protocol: Protocol,
    own: &Arc<CertifiedKey>,
    pins: impl Fn(&PublicKey) -> bool + Send + Sync + 'static,
) -> anyhow::Result<Arc<ServerConfig>> {
    let (provider, pinned) = pinned(Box::new(pins));
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&version::TLS13])
        .context("failed to choose TLS 1.3")?
        .with_client_cert_verifier(pinned)
        .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(Arc::clone(own))));
    config.alpn_protocols = vec![protocol.to_vec()];
    // A resumed session would be one whose key nobody looked at.
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// Of the side that dials somebody with one of these keys.
pub(crate) fn client_config(
    protocol: Protocol,
    own: &Arc<CertifiedKey>,
    keys: Vec<PublicKey>,
) -> anyhow::Result<Arc<ClientConfig>> {
    let (provider, pinned) = pinned(Box::new(move |key| keys.contains(key)));
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&version::TLS13])
        .context("failed to choose TLS 1.3")?
        .dangerous()
        .with_custom_certificate_verifier(pinned)
        .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(Arc::clone(own))));
    config.alpn_protocols = vec![protocol.to_vec()];
    config.enable_sni = false;
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// The other side's key, once the handshake is over; none if it speaks something else.
pub(crate) fn peer_key(protocol: Protocol, connection: &CommonState) -> Option<PublicKey> {
    let shown = connection.peer_certificates()?.first()?;
    (connection.alpn_protocol() == Some(protocol)).then(|| PublicKey::from_der(shown))?
}

/// Whether a handshake failed because the other side's key is not pinned.
pub(crate) fn is_unknown_key(error: &std::io::Error) -> bool {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<Error>());
    let unknown = Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure);
    cause == Some(&unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_ed25519_key_is_a_public_key() {
        let key = fresh_key().unwrap().1;
        assert_eq!(PublicKey::from_base64(&key.to_base64()), Some(key.clone()));
        for (name, text) in [
            ("nothing", String::new()),
            ("no base64", "!".to_owned()),
            ("a byte less", STANDARD.encode(&key.0[..43])),
            ("another kind", STANDARD.encode([0; 44])),
        ] {
            assert_eq!(PublicKey::from_base64(&text), None, "{name}");
        }
    }
}
