//! Frames of the report stream: a length (u32, big endian), then a MessagePack map.

use std::io;

use gameserver_contract::MAX_FRAME_BYTES;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt};

/// Why a frame cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The stream ended or broke.
    #[error("failed to read a frame")]
    Read(#[source] io::Error),
    /// The peer announced more than [`MAX_FRAME_BYTES`].
    #[error("a frame of {0} bytes is longer than agreed")]
    TooLong(usize),
    /// Not a message of the contract.
    #[error("failed to decode a frame")]
    Decode(#[source] rmp_serde::decode::Error),
    /// A message that cannot be encoded.
    #[error("failed to encode a frame")]
    Encode(#[source] rmp_serde::encode::Error),
}

/// A message as a frame.
///
/// # Errors
/// When it cannot be encoded within [`MAX_FRAME_BYTES`].
pub fn encode_frame<T: Serialize>(message: &T) -> Result<Vec<u8>, FrameError> {
    let body = rmp_serde::to_vec_named(message).map_err(FrameError::Encode)?;
    let too_long = || FrameError::TooLong(body.len());
    let length = u32::try_from(body.len()).map_err(|_over_4_gib| too_long())?;
    if body.len() > MAX_FRAME_BYTES {
        return Err(too_long());
    }
    let mut frame = Vec::with_capacity(4 + body.len());
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(&body);
    Ok(frame)
}

/// Reads one frame. Not cancellation safe: half a frame is lost.
///
/// # Errors
/// When the stream ends, or what comes is no message of the contract; then the stream is of no more use.
pub async fn read_frame<T: DeserializeOwned>(stream: &mut (impl AsyncRead + Unpin)) -> Result<T, FrameError> {
    let length = stream.read_u32().await.map_err(FrameError::Read)? as usize;
    if length > MAX_FRAME_BYTES {
        return Err(FrameError::TooLong(length));
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.map_err(FrameError::Read)?;
    rmp_serde::from_slice(&body).map_err(FrameError::Decode)
}

#[cfg(test)]
mod tests {
    use super::*;
    use gameserver_contract::OperatorMessage;

    fn read(bytes: &[u8]) -> Result<OperatorMessage, FrameError> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(read_frame(&mut &bytes[..]))
    }

    #[test]
    fn a_message_survives_the_wire() {
        let message = OperatorMessage::Drain { order: 7 };
        assert_eq!(read(&encode_frame(&message).unwrap()).unwrap(), message);
    }

    #[test]
    fn a_frame_longer_than_agreed_is_refused_before_it_is_read() {
        assert!(matches!(read(&[0xff; 4]), Err(FrameError::TooLong(_))));
        assert!(matches!(encode_frame(&vec![0_u8; MAX_FRAME_BYTES]), Err(FrameError::TooLong(_))));
    }

    #[test]
    fn half_a_frame_and_nonsense_are_errors() {
        let frame = encode_frame(&OperatorMessage::Drain { order: 7 }).unwrap();
        assert!(matches!(read(&frame[..frame.len() - 1]), Err(FrameError::Read(_))));
        assert!(matches!(read(&[0, 0, 0, 1, 0xc1]), Err(FrameError::Decode(_))));
    }

    /// Fields travel by name, so that a peer of another minor version can skip what it does not know.
    #[test]
    fn fields_travel_by_name() {
        let frame = encode_frame(&OperatorMessage::Drain { order: 7 }).unwrap();
        assert!(frame.windows(5).any(|window| window == b"order"));
    }
}
