//! The client: one connection, and what is asked over it until there is an answer.

use http::Uri;
use http::uri::Scheme;
use rustls::pki_types::ServerName;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::ask::{self, Allocation, Ask};
use crate::backoff::{chance, wait_after};
use crate::connect::Connect;
use crate::error::{Error, SetupError, Verdict, judge};
use crate::proto::allocation_client::AllocationClient;

/// In which the operator says that it does not know, beyond the wait for a server to become free.
const ATTEMPT_MAX: Duration = Duration::from_secs(8);
const ATTEMPTS_MAX: u32 = 100;
const PATIENCE_MAX: Duration = Duration::from_secs(600);
/// A connection that is not there by then is dialled again.
const CONNECT_MAX: Duration = Duration::from_secs(2);

/// Where to ask, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `https://HOST:PORT`; the operator's certificate must have this name.
    pub endpoint: String,
    /// `HOST:PORT` to dial instead of the endpoint's, such as a port that is forwarded.
    pub dial: Option<String>,
    /// File with the authorities by which the operator is known, in PEM: the ConfigMap `cranewing-report-ca`. Read for each connection.
    pub ca: PathBuf,
    /// File with a service account token for the audience `cranewing-allocation`. Read for each attempt.
    pub token: PathBuf,
    /// How long to ask on beyond [`Ask::wait`] before it is given up: 1 ms to 10 min.
    pub patience: Duration,
    /// How often the same is asked for at most: 1 to 100.
    pub attempts_max: u32,
}

impl Settings {
    /// For a pod of the operator's own cluster; `namespace` is the operator's. Patience is 10 s, and 10 attempts are made.
    #[must_use]
    pub fn in_cluster(namespace: &str, ca: impl AsRef<Path>, token: impl AsRef<Path>) -> Self {
        Self {
            endpoint: format!("https://cranewing-allocation.{namespace}.svc:8447"),
            dial: None,
            ca: ca.as_ref().to_owned(),
            token: token.as_ref().to_owned(),
            patience: Duration::from_secs(10),
            attempts_max: 10,
        }
    }
}

/// Asks for game servers. A clone asks over the same connection.
#[derive(Clone, Debug)]
pub struct Client {
    channel: Channel,
    token: PathBuf,
    patience: Duration,
    attempts_max: u32,
}

impl Client {
    /// Connects when something is asked, and anew when a connection is over. Is to be called within a tokio runtime.
    ///
    /// # Errors
    /// When a setting is out of its limits.
    pub fn new(settings: Settings) -> Result<Self, SetupError> {
        let Settings { endpoint, dial, ca, token, patience, attempts_max } = settings;
        if !(1..=ATTEMPTS_MAX).contains(&attempts_max) {
            return Err(SetupError::Attempts(attempts_max));
        }
        if !(Duration::from_millis(1)..=PATIENCE_MAX).contains(&patience) {
            return Err(SetupError::Patience(patience));
        }
        let (uri, name, address) = parse(&endpoint).ok_or(SetupError::Endpoint(endpoint))?;
        let connect = Connect { ca, address: dial.unwrap_or(address), name };
        let endpoint = Endpoint::from(uri).connect_timeout(CONNECT_MAX);
        let channel = endpoint.connect_with_connector_lazy(connect);
        Ok(Self { channel, token, patience, attempts_max })
    }

    /// Asks until there is an answer: again with the same key where nobody answers, the operator has too much to do, or does not know.
    ///
    /// # Errors
    /// [`Error::NoAnswer`] when there is none after `patience` beyond the wait that is asked for, or after so many attempts: what became of
    /// it is not known then. Every other says that it was refused.
    pub async fn allocate(&self, ask: &Ask) -> Result<Allocation, Error> {
        let began = Instant::now();
        let give_up = ask.wait.saturating_add(self.patience);
        let (mut attempts, mut last) = (0, None);
        loop {
            let left = give_up.saturating_sub(began.elapsed());
            let wait = ask.wait.saturating_sub(began.elapsed());
            attempts += 1;
            match timeout(left, self.ask_once(ask, wait)).await {
                Ok(Ok(allocation)) => return Ok(allocation),
                Ok(Err(Failed::Given(error))) => return Err(error),
                Ok(Err(Failed::Passes(status))) => last = status.map(Box::new).or(last),
                Err(_elapsed) => {}
            }
            let pause = wait_after(attempts, chance());
            if attempts >= self.attempts_max || began.elapsed() + pause >= give_up {
                return Err(Error::NoAnswer { attempts, waited: began.elapsed(), last });
            }
            sleep(pause).await;
        }
    }

    async fn ask_once(&self, ask: &Ask, wait: Duration) -> Result<Allocation, Failed> {
        let mut request = Request::new(ask::request(ask, wait));
        request.metadata_mut().insert("authorization", self.bearer()?);
        let mut client = AllocationClient::new(self.channel.clone());
        match timeout(wait.saturating_add(ATTEMPT_MAX), client.allocate(request)).await {
            Ok(Ok(response)) => Ok(ask::read(response.into_inner())?),
            Ok(Err(status)) => Err(match judge(status) {
                (Verdict::Again, status) => Failed::Passes(status),
                (Verdict::Give(error), _) => Failed::Given(error),
            }),
            Err(_elapsed) => Err(Failed::Passes(None)),
        }
    }

    /// What the token's file has at this moment: it is renewed while this program runs.
    fn bearer(&self) -> Result<MetadataValue<Ascii>, Error> {
        let said = |cause| Error::Token { path: self.token.clone(), cause };
        let token = std::fs::read_to_string(&self.token).map_err(said)?;
        let value = MetadataValue::try_from(format!("Bearer {}", token.trim()));
        let mut value =
            value.map_err(|error| said(std::io::Error::new(std::io::ErrorKind::InvalidData, error)))?;
        value.set_sensitive(true);
        Ok(value)
    }
}

/// Why an attempt has no answer.
enum Failed {
    Given(Error),
    /// The same may be asked again.
    Passes(Option<Status>),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Given(error)
    }
}

/// The endpoint, the name of its certificate, and what is dialled.
fn parse(endpoint: &str) -> Option<(Uri, ServerName<'static>, String)> {
    let uri: Uri = endpoint.parse().ok()?;
    let (host, port) = (uri.host()?.to_owned(), uri.port_u16()?);
    let is_bare = uri.scheme() == Some(&Scheme::HTTPS) && uri.path_and_query().is_none_or(|path| path == "/");
    let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned()).ok()?;
    is_bare.then(|| (uri, name, format!("{host}:{port}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_name_and_a_port_with_https_and_nothing_else() {
        for (endpoint, dialled) in [
            (
                "https://cranewing-allocation.cranewing-system.svc:8447",
                Some("cranewing-allocation.cranewing-system.svc:8447"),
            ),
            ("https://192.0.2.1:8447/", Some("192.0.2.1:8447")),
            ("https://[2001:db8::1]:8447", Some("[2001:db8::1]:8447")),
            ("http://a:8447", None),
            ("https://a", None),
            ("https://a:8447/v1/allocate", None),
            ("a:8447", None),
            ("", None),
        ] {
            assert_eq!(parse(endpoint).map(|(.., dialled)| dialled).as_deref(), dialled, "{endpoint}");
        }
    }

    #[tokio::test]
    async fn a_setting_out_of_its_limits_is_refused_by_its_name() {
        let refused = |change: fn(&mut Settings)| {
            let mut settings = Settings::in_cluster("n", "ca", "token");
            change(&mut settings);
            Client::new(settings).err().map(|error| error.to_string())
        };
        assert_eq!(refused(|_| {}), None);
        for (change, name) in [
            (as_fn(|settings| settings.attempts_max = 0), "attempts_max"),
            (as_fn(|settings| settings.attempts_max = 101), "attempts_max"),
            (as_fn(|settings| settings.patience = Duration::ZERO), "patience"),
            (as_fn(|settings| settings.patience = Duration::from_secs(601)), "patience"),
            (as_fn(|settings| settings.endpoint = "http://a:1".to_owned()), "endpoint"),
        ] {
            assert!(refused(change).is_some_and(|said| said.starts_with(name)), "{name}");
        }
    }

    fn as_fn(change: fn(&mut Settings)) -> fn(&mut Settings) {
        change
    }

    #[tokio::test]
    async fn a_token_that_cannot_be_read_is_told_with_its_file_and_not_tried_again() {
        let client = Client::new(Settings::in_cluster("n", "ca", "/nowhere/token")).unwrap();
        let error = client.allocate(&Ask::new("k", "n")).await.unwrap_err();
        assert!(
            matches!(&error, Error::Token { path, .. } if path == Path::new("/nowhere/token")),
            "{error}"
        );
    }
}
