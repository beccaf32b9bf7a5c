//! Length-prefixed MessagePack on a stream.

use gameserver_contract::MAX_FRAME_BYTES;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Why a frame could not be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("the stream broke")]
    Io(#[source] std::io::Error),
    #[error("a frame of {0} bytes is above the limit")]
    TooLarge(usize),
    #[error("failed to decode a frame")]
    Decode(#[source] rmp_serde::decode::Error),
    #[error("failed to encode a frame")]
    Encode(#[source] rmp_serde::encode::Error),
}

/// Reads frames into one buffer that is kept. Not cancel-safe: one task owns the reading half.
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
        let length = self.stream.read_u32().await.map_err(FrameError::Io)?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > MAX_FRAME_BYTES {
            return Err(FrameError::TooLarge(length));
        }
        self.buffer.resize(length, 0);
        self.stream.read_exact(&mut self.buffer).await.map_err(FrameError::Io)?;
        rmp_serde::from_slice(&self.buffer).map_err(FrameError::Decode)
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

    #[tokio::test]
    async fn a_frame_above_the_limit_is_refused_before_it_is_read() {
        let (mut near, far) = tokio::io::duplex(1024);
        near.write_all(&u32::MAX.to_be_bytes()).await.unwrap();
        let refused = FrameReader::new(far).read::<OperatorMessage>().await;
        assert!(matches!(refused, Err(FrameError::TooLarge(_))), "{refused:?}");
    }

    #[tokio::test]
    async fn what_is_no_message_is_refused() {
        let (mut near, far) = tokio::io::duplex(1024);
        near.write_all(&[0, 0, 0, 2, 0xc1, 0xc1]).await.unwrap();
        let refused = FrameReader::new(far).read::<OperatorMessage>().await;
        assert!(matches!(refused, Err(FrameError::Decode(_))), "{refused:?}");
    }
}
