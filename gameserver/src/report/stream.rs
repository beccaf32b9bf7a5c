//! One stream to one operator replica: connect, prove who we are, report until it ends.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gameserver_contract::{Hello, OperatorMessage, Report, ServerMessage};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, broadcast, mpsc, watch};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::frame::{FrameError, encode_frame, read_frame};
use super::tls::{TlsError, client_config, server_name};

/// For connecting, for the handshake and for each write: a replica that takes longer is as good as gone.
const STEP_LIMIT: Duration = Duration::from_secs(5);

/// Who we are, and where the proof of it lies.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    /// All but the token and the drain order, which are read at each connect.
    pub(crate) hello: Hello,
    pub(crate) ca_file: PathBuf,
    pub(crate) token_file: PathBuf,
}

/// The newest drain order, as the streams need it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct DrainView {
    /// In force.
    pub(crate) order: Option<u64>,
    /// Complete, to be acknowledged on every stream.
    pub(crate) acked: Option<u64>,
}

/// Answers that wait for a stream at most.
const REPLIES_MAX: usize = 64;

/// What a replica said, and the way back over the same stream.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) message: OperatorMessage,
    pub(crate) stream: Replies,
}

/// The way back over one stream. What is said there comes in order or not at all, and then the stream ends.
#[derive(Clone, Debug)]
pub(crate) struct Replies {
    queue: mpsc::Sender<ServerMessage>,
    end: Arc<Notify>,
}

impl Replies {
    fn channel() -> (Self, mpsc::Receiver<ServerMessage>) {
        let (queue, said) = mpsc::channel(REPLIES_MAX);
        (Self { queue, end: Arc::default() }, said)
    }

    /// Says this, unless the stream is gone. One that is so far behind that there is no room ends.
    pub(crate) fn say(&self, message: ServerMessage) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.queue.try_send(message) {
            self.end();
        }
    }

    /// Ends the stream: what was asked over it has no answer.
    pub(crate) fn end(&self) {
        self.end.notify_one();
    }

    /// Whether the stream is over.
    pub(crate) fn is_gone(&self) -> bool {
        self.queue.is_closed()
    }
}

/// What a stream hears from this side.
pub(crate) struct Outbound {
    pub(crate) reports: broadcast::Receiver<Arc<Report>>,
    pub(crate) drain: watch::Receiver<DrainView>,
}

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StreamError {
    #[error("failed to connect")]
    Connect(#[source] io::Error),
    #[error("failed to read the token")]
    Token(#[source] io::Error),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("failed the TLS handshake")]
    Handshake(#[source] io::Error),
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("failed to write")]
    Write(#[source] io::Error),
    #[error("timed out trying to {0}")]
    Slow(&'static str),
    #[error("refused: {0}")]
    Refused(String),
    #[error("the replica did not welcome us first")]
    NoWelcome,
    #[error("what the replica asked for has no answer")]
    NoAnswer,
}

/// Runs the stream to `peer` until it ends; `Ok` when this side had nothing more to say. What the replica says goes
/// to `inbound`, the welcome first.
pub(crate) async fn run_stream(
    peer: SocketAddr,
    identity: Identity,
    mut outbound: Outbound,
    inbound: mpsc::Sender<(SocketAddr, Heard)>,
) -> Result<(), StreamError> {
    let (replies, mut said) = Replies::channel();
    let inbound = Inbound { peer, heard: inbound, replies };
    let tls = TlsConnector::from(client_config(&identity.ca_file)?);
    let token = std::fs::read_to_string(&identity.token_file).map_err(StreamError::Token)?;
    let tcp = within("connect", TcpStream::connect(peer)).await?.map_err(StreamError::Connect)?;
    keep_honest(&tcp).map_err(StreamError::Connect)?;
    let stream =
        within("shake hands", tls.connect(server_name(), tcp)).await?.map_err(StreamError::Handshake)?;
    let (mut read, mut write) = tokio::io::split(stream);

    let drain_order = outbound.drain.borrow_and_update().order;
    let hello = Hello { token: token.trim().to_owned(), drain_order, ..identity.hello };
    send(&mut write, &ServerMessage::Hello(hello)).await?;
    match within("be welcomed", read_frame(&mut read)).await?? {
        OperatorMessage::Refused { reason } => return Err(StreamError::Refused(reason)),
        welcome @ OperatorMessage::Welcome(_) => inbound.hand_on(welcome).await,
        _ => return Err(StreamError::NoWelcome),
    }
    tokio::select! {
        ended = listen(&mut read, &inbound) => ended,
        ended = speak(&mut write, &mut outbound, &mut said) => ended,
        () = inbound.replies.end.notified() => Err(StreamError::NoAnswer),
    }
}

async fn listen(read: &mut (impl AsyncRead + Unpin), inbound: &Inbound) -> Result<(), StreamError> {
    loop {
        match read_frame(read).await? {
            OperatorMessage::Refused { reason } => return Err(StreamError::Refused(reason)),
            message => inbound.hand_on(message).await,
        }
    }
}

/// Sends every answer, every report and each completed drain; ends when the server has no more reports to give.
async fn speak(
    write: &mut (impl AsyncWrite + Unpin),
    outbound: &mut Outbound,
    said: &mut mpsc::Receiver<ServerMessage>,
) -> Result<(), StreamError> {
    let mut acked = None;
    loop {
        let drain = *outbound.drain.borrow_and_update();
        if let Some(order) = drain.acked.filter(|_| drain.acked != acked) {
            send(write, &ServerMessage::DrainAcked { order }).await?;
        }
        acked = drain.acked;
        tokio::select! {
            // answers and reports first: the last ones are still to be read when all have closed
            biased;
            Some(answer) = said.recv() => send(write, &answer).await?,
            report = outbound.reports.recv() => match report {
                Ok(report) => send(write, &ServerMessage::Report((*report).clone())).await?,
                // this stream was slow; figures that were missed are a gap, not an error
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => break,
            },
            changed = outbound.drain.changed() => if changed.is_err() { break },
        }
    }
    within("say goodbye", write.shutdown()).await?.map_err(StreamError::Write)
}

/// Where what a stream hears goes.
struct Inbound {
    peer: SocketAddr,
    heard: mpsc::Sender<(SocketAddr, Heard)>,
    replies: Replies,
}

impl Inbound {
    async fn hand_on(&self, message: OperatorMessage) {
        let heard = Heard { message, stream: self.replies.clone() };
        // nobody listens any more only when the server stops, and then the message does not matter
        let _heard = self.heard.send((self.peer, heard)).await;
    }
}

async fn send(write: &mut (impl AsyncWrite + Unpin), message: &ServerMessage) -> Result<(), StreamError> {
    let frame = encode_frame(message)?;
    let written = async {
        write.write_all(&frame).await?;
        write.flush().await
    };
    within("write", written).await?.map_err(StreamError::Write)
}

async fn within<T>(step: &'static str, future: impl Future<Output = T>) -> Result<T, StreamError> {
    timeout(STEP_LIMIT, future).await.map_err(|_elapsed| StreamError::Slow(step))
}

/// A replica whose node died says nothing; the kernel finds out by what it does not acknowledge.
fn keep_honest(tcp: &TcpStream) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let socket = SockRef::from(tcp);
    socket.set_tcp_user_timeout(Some(STEP_LIMIT))?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(STEP_LIMIT).with_interval(STEP_LIMIT))
}

#[cfg(test)]
mod tests {
    use super::*;
    use gameserver_contract::Phase;
    use tokio::io::DuplexStream;

    fn report(seq: u64) -> Arc<Report> {
        Arc::new(Report { seq, phase: Phase::Draining, ..Report::default() })
    }

    struct Speaking {
        reports: broadcast::Sender<Arc<Report>>,
        drain: watch::Sender<DrainView>,
        replies: Replies,
        replica: DuplexStream,
    }

    /// Runs `script` against a stream that speaks, until both are done.
    fn speaking(script: impl AsyncFnOnce(Speaking)) {
        let (reports, heard) = broadcast::channel(8);
        let (drain, drain_view) = watch::channel(DrainView::default());
        let (mut write, replica) = tokio::io::duplex(64 * 1024);
        let mut outbound = Outbound { reports: heard, drain: drain_view };
        let (replies, mut said) = Replies::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let speak = speak(&mut write, &mut outbound, &mut said);
            let (spoken, ()) = tokio::join!(speak, script(Speaking { reports, drain, replies, replica }));
            spoken.unwrap();
        });
    }

    #[test]
    fn a_completed_drain_is_acknowledged_once_and_again_by_its_next_number() {
        speaking(async |Speaking { reports, drain, mut replica, .. }| {
            for order in [7, 9] {
                drain.send_replace(DrainView { order: Some(order), acked: None });
                drain.send_replace(DrainView { order: Some(order), acked: Some(order) });
                let heard: ServerMessage = read_frame(&mut replica).await.unwrap();
                assert_eq!(heard, ServerMessage::DrainAcked { order });
            }
            reports.send(report(1)).unwrap();
            let heard: ServerMessage = read_frame(&mut replica).await.unwrap();
            assert_eq!(heard, ServerMessage::Report((*report(1)).clone()), "nothing is acknowledged twice");
        });
    }

    #[test]
    fn a_stream_sends_what_was_reported_before_the_server_stopped_and_then_ends() {
        speaking(async |Speaking { reports, drain: _drain, mut replica, .. }| {
            reports.send(report(1)).unwrap();
            reports.send(report(2)).unwrap();
            drop(reports);
            for seq in [1, 2] {
                let heard: ServerMessage = read_frame(&mut replica).await.unwrap();
                assert_eq!(heard, ServerMessage::Report((*report(seq)).clone()));
            }
            assert!(read_frame::<ServerMessage>(&mut replica).await.is_err(), "the end");
        });
    }

    #[test]
    fn answers_come_in_order_and_before_the_end() {
        speaking(async |Speaking { reports, drain: _drain, replies, mut replica }| {
            let over = |number: u64| ServerMessage::Over { key: number.to_string().into() };
            for number in 0..3 {
                replies.say(over(number));
            }
            drop(reports);
            for number in 0..3 {
                assert_eq!(read_frame::<ServerMessage>(&mut replica).await.unwrap(), over(number));
            }
            assert!(read_frame::<ServerMessage>(&mut replica).await.is_err(), "the end");
        });
    }

    #[test]
    fn a_stream_that_is_too_far_behind_for_an_answer_ends() {
        let (replies, _said) = Replies::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            for _ in 0..=REPLIES_MAX {
                replies.say(ServerMessage::Over { key: "a".into() });
            }
            replies.end.notified().await;
        });
    }
}
