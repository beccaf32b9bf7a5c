//! Tokens that are signed for real, true and false.

use super::*;
use crate::mock_api::{MockApi, NO_ANSWER};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{EncodingKey, Header, encode};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::{Value, json};
use std::sync::Arc;

const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
const KEYS: &str = "/openid/v1/jwks";
const DISCOVERY: &str = "/.well-known/openid-configuration";
/// In the year 3000.
const FAR: u64 = 32_503_680_000;

/// A key as a cluster has it, for ES256.
pub(crate) struct ClusterKey {
    kid: &'static str,
    private: EncodingKey,
}

impl ClusterKey {
    pub(crate) fn new(kid: &'static str) -> Self {
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
        Self { kid, private: EncodingKey::from_ec_der(document.unwrap().as_ref()) }
    }

    fn public(&self) -> Jwk {
        let mut jwk = Jwk::from_encoding_key(&self.private, Algorithm::ES256).unwrap();
        jwk.common.key_id = Some(self.kid.to_owned());
        jwk
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        let header = Header { kid: Some(self.kid.to_owned()), ..Header::new(Algorithm::ES256) };
        encode(&header, claims, &self.private).unwrap()
    }
}

/// What the kubelet projects into the pod of a game server.
pub(crate) fn claims() -> Value {
    json!({
        "aud": [REPORT_AUDIENCE], "iss": ISSUER, "exp": FAR, "nbf": 0,
        "sub": "system:serviceaccount:games:default",
        "kubernetes.io": {
            "namespace": "games",
            "pod": { "name": "arena-0", "uid": "p-0" },
            "serviceaccount": { "name": "default", "uid": "s-0" },
        },
    })
}

/// What `kubectl create token` gives for this audience.
pub(crate) fn user_claims(user: &str, audience: &str) -> Value {
    json!({ "aud": [audience], "iss": ISSUER, "exp": FAR, "nbf": 0, "sub": user })
}

fn with(field: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[field] = value;
    claims
}

fn without(field: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(field);
    claims
}

fn arena_0() -> PodIdentity {
    PodIdentity { namespace: "games".to_owned(), pod: "arena-0".to_owned(), pod_uid: "p-0".to_owned() }
}

/// A cluster that publishes these keys.
pub(crate) fn publish(api: &MockApi, keys: &[&ClusterKey]) {
    let keys: Vec<Jwk> = keys.iter().map(|key| key.public()).collect();
    api.put(DISCOVERY, json!({ "issuer": ISSUER }));
    api.put(KEYS, json!({ "keys": keys }));
}

fn verifier(api: &MockApi) -> Arc<Verifier> {
    Arc::new(Verifier::new(api.client(), Clock::start()))
}

/// The word by which a refusal is known.
fn refusal(result: Result<PodIdentity, IdentityError>) -> String {
    match result.unwrap_err() {
        IdentityError::Malformed(_) => "malformed".to_owned(),
        IdentityError::UnknownKey => "unknown key".to_owned(),
        IdentityError::NotAPod => "not a pod".to_owned(),
        IdentityError::Keys(_) => "keys".to_owned(),
        IdentityError::Invalid(error) => format!("{:?}", error.kind()),
    }
}

/// B2: who reports is authenticated before anything that they say counts.
#[tokio::test]
async fn a_token_counts_only_as_the_cluster_issued_it_to_a_pod_for_reports() {
    let api = MockApi::default();
    let key = ClusterKey::new("one");
    publish(&api, &[&key]);
    let verifier = verifier(&api);
    let now = Clock::start().unix().as_secs();

    let both = with("aud", json!(["somebody-else", REPORT_AUDIENCE]));
    let late = with("exp", json!(now - 30));
    let early = with("nbf", json!(now + 30));
    for (name, claims) in [
        ("a game server's", claims()),
        ("for others too", both),
        ("run out by less than clocks may differ", late),
        ("not valid yet by less than clocks may differ", early),
        ("without a time of beginning", without("nbf")),
    ] {
        assert_eq!(verifier.verify(&key.sign(&claims)).await.unwrap(), arena_0(), "{name}");
    }

    let person = with("kubernetes.io", json!({ "namespace": "games", "serviceaccount": { "name": "x" } }));
    for (name, claims, expected) in [
        ("for the API server", with("aud", json!([ISSUER])), "InvalidAudience"),
        ("for nobody", with("aud", json!([])), "InvalidAudience"),
        ("without an audience", without("aud"), "MissingRequiredClaim(\"aud\")"),
        ("another cluster's", with("iss", json!("https://kubernetes.example")), "InvalidIssuer"),
        ("without an issuer", without("iss"), "MissingRequiredClaim(\"iss\")"),
        ("run out", with("exp", json!(now - 120)), "ExpiredSignature"),
        ("without an end", without("exp"), "MissingRequiredClaim(\"exp\")"),
        ("not valid yet", with("nbf", json!(now + 120)), "ImmatureSignature"),
        ("a person's or a node's", person, "not a pod"),
        ("of no account", without("kubernetes.io"), "not a pod"),
    ] {
        assert_eq!(refusal(verifier.verify(&key.sign(&claims)).await), expected, "{name}");
    }
}

/// B2. The signature decides, by a key that the cluster publishes and an algorithm that needs the private half of it.
#[tokio::test]
async fn a_token_counts_only_with_the_clusters_signature() {
    let api = MockApi::default();
    let (key, mut other) = (ClusterKey::new("one"), ClusterKey::new("two"));
    publish(&api, &[&key]);
    let verifier = verifier(&api);
    let good = key.sign(&claims());
    let (head, signature) = good.rsplit_once('.').unwrap();
    let (header, body) = head.split_once('.').unwrap();
    let encoded = |value: &Value| {
        let token = encode(&Header::default(), value, &EncodingKey::from_secret(b"x")).unwrap();
        token.split('.').nth(1).unwrap().to_owned()
    };
    let of_algorithm = |algorithm: &str| encoded(&json!({ "alg": algorithm, "kid": "one" }));
    let altered =
        encoded(&with("kubernetes.io", json!({ "namespace": "x", "pod": { "name": "y", "uid": "z" } })));
    // What a thief of nothing but the public key can do: take it for the secret of a symmetric signature.
    let symmetric = Header { kid: Some("one".to_owned()), ..Header::new(Algorithm::HS256) };
    let public = serde_json::to_vec(&key.public()).unwrap();
    let symmetric = encode(&symmetric, &claims(), &EncodingKey::from_secret(&public)).unwrap();
    let unnamed = encode(&Header::new(Algorithm::ES256), &claims(), &key.private).unwrap();
    let unpublished = other.sign(&claims());
    other.kid = "one";
    for (name, token, expected) in [
        ("signed by a key that says it is the cluster's", other.sign(&claims()), "InvalidSignature"),
        ("signed by a key that is not published", unpublished, "unknown key"),
        ("that names no key", unnamed, "unknown key"),
        ("altered", format!("{header}.{altered}.{signature}"), "InvalidSignature"),
        ("with half a signature", format!("{head}.{}", &signature[..44]), "InvalidSignature"),
        ("without a signature", format!("{head}."), "InvalidSignature"),
        ("that says it needs none", format!("{}.{body}.", of_algorithm("none")), "malformed"),
        ("signed symmetrically", symmetric, "InvalidAlgorithm"),
        ("of another algorithm", format!("{}.{body}.{signature}", of_algorithm("RS256")), "InvalidKeyFormat"),
        (
            "of an algorithm that we do not take",
            format!("{}.{body}.{signature}", of_algorithm("ES384")),
            "InvalidAlgorithm",
        ),
        ("of two parts", head.to_owned(), "malformed"),
        ("of nothing", String::new(), "malformed"),
    ] {
        assert_eq!(refusal(verifier.verify(&token).await), expected, "one {name}");
    }
    assert_eq!(verifier.verify(&good).await.unwrap(), arena_0());
}

/// Most clusters sign by RS256. This token was signed once, by a key that nobody kept.
#[tokio::test]
async fn a_token_that_is_signed_by_rsa_counts() {
    let api = MockApi::default();
    publish(&api, &[]);
    let jwk =
        json!({ "use": "sig", "kty": "RSA", "kid": "rsa", "alg": "RS256", "e": "AQAB", "n": RSA_MODULUS });
    api.put(KEYS, json!({ "keys": [jwk] }));
    assert_eq!(verifier(&api).verify(RSA_TOKEN).await.unwrap(), arena_0());
}

/// How often somebody began to read them.
fn discoveries(api: &MockApi) -> usize {
    api.take_seen().iter().filter(|seen| seen.path == DISCOVERY).count()
}

/// How often the keys were read since it was last asked.
fn readings(api: &MockApi) -> usize {
    api.take_seen().iter().filter(|seen| seen.path == KEYS).count()
}

#[tokio::test(start_paused = true)]
async fn keys_are_read_again_for_a_new_one_but_not_for_each_false_token() {
    let api = MockApi::default();
    let (old, new) = (ClusterKey::new("old"), ClusterKey::new("new"));
    publish(&api, &[&old]);
    let verifier = verifier(&api);
    assert_eq!(readings(&api), 0, "nothing is read before somebody comes");
    verifier.verify(&old.sign(&claims())).await.unwrap();
    assert_eq!(readings(&api), 1);

    publish(&api, &[&old, &new]);
    for _ in 0..100 {
        assert_eq!(refusal(verifier.verify(&new.sign(&claims())).await), "unknown key", "too soon");
    }
    assert_eq!(readings(&api), 0);
    tokio::time::advance(REFRESH_PERIOD).await;
    assert_eq!(verifier.verify(&new.sign(&claims())).await.unwrap(), arena_0());
    assert_eq!(verifier.verify(&old.sign(&claims())).await.unwrap(), arena_0());
    assert_eq!(readings(&api), 1);

    // A key that the cluster no longer publishes does not count when it is next read.
    publish(&api, &[&new]);
    tokio::time::advance(REFRESH_PERIOD).await;
    assert_eq!(refusal(verifier.verify(&ClusterKey::new("false").sign(&claims())).await), "unknown key");
    assert_eq!(refusal(verifier.verify(&old.sign(&claims())).await), "unknown key");
}

/// B2: what the cluster withdraws ends, also where nobody comes with a key that is new.
#[tokio::test(start_paused = true)]
async fn a_key_that_the_cluster_withdraws_ends_by_itself() {
    let api = MockApi::default();
    let (old, new) = (ClusterKey::new("old"), ClusterKey::new("new"));
    publish(&api, &[&old, &new]);
    let verifier = verifier(&api);
    let stop = CancellationToken::new();
    let keeping = tokio::spawn(Arc::clone(&verifier).keep_fresh(stop.clone()));
    tokio::time::sleep(HELD_MAX * 2).await;
    assert_eq!(readings(&api), 0, "nothing is read before somebody comes");
    verifier.verify(&old.sign(&claims())).await.unwrap();
    publish(&api, &[&new]);
    api.fail(|_| Some(500));
    tokio::time::sleep(HELD_MAX).await;
    assert_eq!(verifier.verify(&old.sign(&claims())).await.unwrap(), arena_0(), "nobody says that it ended");
    api.heal();
    tokio::time::sleep(HELD_MAX).await;
    assert_eq!(refusal(verifier.verify(&old.sign(&claims())).await), "unknown key");
    assert_eq!(verifier.verify(&new.sign(&claims())).await.unwrap(), arena_0());
    stop.cancel();
    keeping.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn while_the_keys_cannot_be_read_those_that_are_known_still_count() {
    let api = MockApi::default();
    let key = ClusterKey::new("one");
    publish(&api, &[&key]);
    let verifier = verifier(&api);
    verifier.verify(&key.sign(&claims())).await.unwrap();
    tokio::time::advance(REFRESH_PERIOD).await;

    api.fail(|_| Some(500));
    let stranger = ClusterKey::new("two").sign(&claims());
    for _ in 0..3 {
        let refused = verifier.verify(&stranger).await;
        assert_eq!(refusal(refused), "keys", "it is told why, and nobody says that it lied");
    }
    assert_eq!(discoveries(&api), 2, "and the API server is asked no more often for that");
    assert_eq!(verifier.verify(&key.sign(&claims())).await.unwrap(), arena_0());

    tokio::time::advance(REFRESH_PERIOD).await;
    api.fail(|_| Some(NO_ANSWER));
    let waiting = tokio::spawn({
        let verifier = Arc::clone(&verifier);
        async move { verifier.verify(&stranger).await }
    });
    tokio::task::yield_now().await;
    let token = key.sign(&claims());
    let known = tokio::time::timeout(Duration::from_secs(1), verifier.verify(&token));
    assert_eq!(known.await.expect("nobody waits for a stranger's key").unwrap(), arena_0());
    assert!(!waiting.is_finished());
    waiting.abort();
}

/// B2: a stream that gave up while the API server was silent leaves the next one to ask, whose token is not false for that.
#[tokio::test(start_paused = true)]
async fn who_gives_up_waiting_for_the_keys_does_not_make_the_next_one_a_liar() {
    let api = MockApi::default();
    let key = ClusterKey::new("one");
    publish(&api, &[&key]);
    let verifier = verifier(&api);
    let token = key.sign(&claims());
    api.fail(|_| Some(NO_ANSWER));
    let given_up = tokio::time::timeout(Duration::from_secs(5), verifier.verify(&token)).await;
    assert!(given_up.is_err(), "the API server is silent");
    api.heal();
    assert_eq!(verifier.verify(&token).await.unwrap(), arena_0());
}

const RSA_MODULUS: &str = "\
    0gZirWIYjqVhBSeddbqtF4-1FCY9BTm56GfWKN0UXiJlBZUf2AcGbUicc4NH79ENJ3klQvMwlAUBZcoHMGWW3XlP5Jx_UN2sEcLj\
    NtoFvSRsOI3GDvsI1CYBe1-H6yDlPD-7eIH_93qFvJkp7wjgaQuuK8puJYBOwJNwEeVBKhzlZACww-GealizKdwK2stNTpQYLV_s\
    fQ81AGCPSsfk90i-25UsftZF9KqzWz9XmxLVUJOJ5A2ihlfjatYdvQbm9X_L9nSi_dm6UdQAgwQjcfNufhg1csXrSINJ2jLCNjFU\
    HmkfPGuK-W85v-R5PiIFklWZfGDDkQbfqf-TyNmSgQ";
const RSA_TOKEN: &str = "\
    eyJhbGciOiAiUlMyNTYiLCAia2lkIjogInJzYSJ9.eyJhdWQiOiBbImNyYW5ld2luZy1yZXBvcnQiXSwgImlzcyI6ICJodHRwczo\
    vL2t1YmVybmV0ZXMuZGVmYXVsdC5zdmMuY2x1c3Rlci5sb2NhbCIsICJleHAiOiAzMjUwMzY4MDAwMCwgImt1YmVybmV0ZXMuaW8\
    iOiB7Im5hbWVzcGFjZSI6ICJnYW1lcyIsICJwb2QiOiB7Im5hbWUiOiAiYXJlbmEtMCIsICJ1aWQiOiAicC0wIn19fQ.HRkOl5MV\
    bPUwqsvSlRSZn4qb6D3FXbUXx4ZOHbHpWd7_GOQuK9JkkEEY-_2awE-2A6GvPZKk_Xg6PHwDhLXriI1NKe5vlcbv43qUsGSQ2EPc\
    QR_FCrFknl-bgrb3j8hFMxnx6PZwgq_0SJ0z2C6_s2cXRSqEzThXYzmB1bC1r2K3Q_paIMBKHnwKhJG8Rcc4MaHBATHXoZSDCit_\
    _r8BSd47h-XdQF9SuUgM46uSWsixQjEPq4DA6tWv0H1CDJ2aSpm2XzvgQ98dHAmQVAlOQ1jpKl_kNVGcGnyTMLbxSnRb6Uj2uoOQ\
    2ZHi3KQqZVQBuBY90YZQ0m5wiNNKb-0KVA";
