//! Length-prefixed MessagePack on a stream.

use gameserver_contract::MAX_FRAME_BYTES;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::ErrorKind;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Bytes of the buffer that a stream keeps between two frames.
const KEPT_MAX: usize = 8 * 1024;

/// Why a frame could not be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("the stream broke")]
    Io(#[source] std::io::Error),
    #[error("a frame of {0} bytes is above the limit")]
    TooLarge(usize),
    #[error("failed to decode a frame")]
    Decode(#[source] rmp_serde::decode::Error),
    #[error("a frame goes on for {0} bytes after its message")]
    Trailing(usize),
    #[error("failed to encode a frame")]
    Encode(#[source] rmp_serde::encode::Error),
}

/// Reads frames into one buffer, which grows with what has arrived and not with what is announced. Not cancel-safe: one
/// task owns the reading half.
pub(crate) struct FrameReader<R> {
    stream: R,
    buffer: Vec<u8>,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    pub(crate) fn new(stream: R) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    /// The next message.
    pub(crate) async fn read<T: DeserializeOwned>(&mut self) -> Result<T, FrameError> {
        self.read_at_most(MAX_FRAME_BYTES).await
    }

    /// The next message, of at most so many bytes.
    pub(crate) async fn read_at_most<T: DeserializeOwned>(&mut self, limit: usize) -> Result<T, FrameError> {
        let length = self.stream.read_u32().await.map_err(FrameError::Io)?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > limit.min(MAX_FRAME_BYTES) {
            return Err(FrameError::TooLarge(length));
        }
        self.buffer.clear();
        self.buffer.shrink_to(KEPT_MAX);
        let mut body = (&mut self.stream).take(length as u64);
        let arrived = body.read_to_end(&mut self.buffer).await.map_err(FrameError::Io)?;
        if arrived < length {
            return Err(FrameError::Io(ErrorKind::UnexpectedEof.into()));
        }
        let mut rest = self.buffer.as_slice();
        let message = T::deserialize(&mut rmp_serde::Deserializer::new(&mut rest));
        let message = message.map_err(FrameError::Decode)?;
        if rest.is_empty() { Ok(message) } else { Err(FrameError::Trailing(rest.len())) }
    }
}

/// Writes one message.
pub(crate) async fn write_frame<T: Serialize>(
    stream: &mut (impl AsyncWrite + Unpin),
    message: &T,
) -> Result<(), FrameError> {
    let body = rmp_serde::to_vec_named(message).map_err(FrameError::Encode)?;
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    if body.len() > MAX_FRAME_BYTES {
        return Err(FrameError::TooLarge(body.len()));
    }
    stream.write_all(&length.to_be_bytes()).await.map_err(FrameError::Io)?;
    stream.write_all(&body).await.map_err(FrameError::Io)?;
    stream.flush().await.map_err(FrameError::Io)
}

#[cfg(test)]
mod tests {
    use super::*;
    use gameserver_contract::OperatorMessage;

    #[tokio::test]
    async fn a_message_comes_back_as_it_was_sent() {
        let (mut near, far) = tokio::io::duplex(1024);
        let message = OperatorMessage::Drain { order: 7 };
        write_frame(&mut near, &message).await.unwrap();
        assert_eq!(FrameReader::new(far).read::<OperatorMessage>().await.unwrap(), message);
    }

    /// What is read where these bytes come and then the stream ends.
    async fn read(bytes: &[u8]) -> Result<OperatorMessage, FrameError> {
        let (mut near, far) = tokio::io::duplex(MAX_FRAME_BYTES * 2);
        near.write_all(bytes).await.unwrap();
        drop(near);
        FrameReader::new(far).read().await
    }

    fn framed(length: usize, body: &[u8]) -> Vec<u8> {
        [&u32::try_from(length).unwrap().to_be_bytes(), body].concat()
    }

    /// B2: what comes from outside is limited and checked before it is believed.
    #[tokio::test]
    async fn only_one_whole_message_of_lawful_length_is_a_frame() {
        let body = rmp_serde::to_vec_named(&OperatorMessage::Drain { order: 7 }).unwrap();
        let length = body.len();
        assert_eq!(read(&framed(length, &body)).await.unwrap(), OperatorMessage::Drain { order: 7 });
        let followed = [body.as_slice(), &[0xc0]].concat();
        for (name, bytes, expected) in [
            ("nothing", Vec::new(), "the stream broke"),
            ("half a length", vec![0, 0], "the stream broke"),
            ("a length and nothing", framed(length, &[]), "the stream broke"),
            ("cut short", framed(length, &body[..length - 1]), "the stream broke"),
            ("a length below the message's", framed(length - 1, &body[..length - 1]), "failed to decode"),
            ("an empty frame", framed(0, &[]), "failed to decode"),
            ("what is no message", framed(2, &[0xc1, 0xc1]), "failed to decode"),
            ("bytes after the message", framed(length + 1, &followed), "goes on for 1 bytes"),
            (
                "the longest that is read",
                framed(MAX_FRAME_BYTES, &vec![0xc1; MAX_FRAME_BYTES]),
                "failed to decode",
            ),
            ("one byte above the limit", framed(MAX_FRAME_BYTES + 1, &[]), "above the limit"),
            ("far above the limit", vec![0xff; 4], "above the limit"),
        ] {
            let refused = read(&bytes).await.unwrap_err().to_string();
            assert!(refused.contains(expected), "{name}: {refused}");
        }
    }

    #[tokio::test]
    async fn a_reader_that_expects_little_takes_no_more() {
        let body = rmp_serde::to_vec_named(&OperatorMessage::Drain { order: 7 }).unwrap();
        for (limit, taken) in [(body.len(), true), (body.len() - 1, false)] {
            let (mut near, far) = tokio::io::duplex(1024);
            near.write_all(&framed(body.len(), &body)).await.unwrap();
            let read = FrameReader::new(far).read_at_most::<OperatorMessage>(limit).await;
            assert_eq!(read.is_ok(), taken, "{limit}: {read:?}");
        }
    }

    /// B2: whoever announces a frame has not sent it.
    #[tokio::test]
    async fn memory_is_taken_by_what_arrives_and_not_by_what_is_announced() {
        let (mut near, far) = tokio::io::duplex(MAX_FRAME_BYTES * 2);
        let mut reader = FrameReader::new(far);
        near.write_all(&framed(MAX_FRAME_BYTES, &[0; 100])).await.unwrap();
        {
            let mut reading = Box::pin(reader.read::<OperatorMessage>());
            assert!(futures::poll!(&mut reading).is_pending());
        }
        assert!(reader.buffer.capacity() <= 1024, "{} bytes", reader.buffer.capacity());
    }

    #[tokio::test]
    async fn a_long_frame_is_not_remembered_by_its_buffer() {
        let (mut near, far) = tokio::io::duplex(MAX_FRAME_BYTES * 2);
        let mut reader = FrameReader::new(far);
        let long = OperatorMessage::Refused { reason: "x".repeat(MAX_FRAME_BYTES / 2) };
        for message in [&long, &OperatorMessage::Drain { order: 7 }] {
            write_frame(&mut near, message).await.unwrap();
            assert_eq!(reader.read::<OperatorMessage>().await.unwrap(), *message);
        }
        assert!(reader.buffer.capacity() <= KEPT_MAX, "{} bytes", reader.buffer.capacity());
    }

    #[tokio::test]
    async fn what_would_not_be_read_is_not_sent() {
        let (mut near, _far) = tokio::io::duplex(1024);
        let message = OperatorMessage::Refused { reason: "x".repeat(MAX_FRAME_BYTES) };
        let refused = write_frame(&mut near, &message).await;
        assert!(matches!(refused, Err(FrameError::TooLarge(_))), "{refused:?}");
    }
}
