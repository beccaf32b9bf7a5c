//! Why there is no answer.

use std::io;
use std::path::PathBuf;
use std::time::Duration;
use tonic::{Code, Status};

/// Why a client cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// What was given as the endpoint.
    #[error("endpoint {0:?} is not https://HOST:PORT")]
    Endpoint(String),
    /// A limit without which nothing could ever be asked.
    #[error("attempts_max must be from 1 to 100, and is {0}")]
    Attempts(u32),
    /// A time in which no answer can come.
    #[error("patience must be from 1 ms to 10 min, and is {0:?}")]
    Patience(Duration),
}

/// Why there is no answer to what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file of the token cannot be read, or has what no header can have.
    #[error("failed to read the token in {}", path.display())]
    Token {
        /// Which file.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// Something asked for is wrong; the message begins with its path, as JSON has it: `matchLabels.mode: …`.
    #[error("{0}")]
    Invalid(String),
    /// The token is not valid there.
    #[error("the token is refused: {0}")]
    Unauthenticated(String),
    /// The token's bearer may not ask in that namespace.
    #[error("{0}")]
    Forbidden(String),
    /// Something else is being asked for under the same key at this moment.
    #[error("something else is being asked for under the same key")]
    KeyInUse,
    /// What became of it is not known. Ask again with the same key.
    #[error("no answer in {waited:?} and {attempts} attempts; ask again with the same key")]
    NoAnswer {
        /// How often it was asked.
        attempts: u32,
        /// For how long.
        waited: Duration,
        /// What came of the last attempt; none if nothing did.
        #[source]
        last: Option<Box<Status>>,
    },
    /// The operator says something that this client does not understand.
    #[error("an answer that is not understood")]
    NotUnderstood(#[source] Option<Box<Status>>),
}

/// What to do about a status.
pub(crate) enum Verdict {
    /// Ask again with the same key.
    Again,
    Give(Error),
}

/// A connection that broke has a cause of this side and any code; of what the operator itself says three codes pass.
pub(crate) fn judge(status: Status) -> (Verdict, Option<Status>) {
    let is_broken = std::error::Error::source(&status).is_some();
    let text = || status.message().to_owned();
    let error = match status.code() {
        Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted => {
            return (Verdict::Again, Some(status));
        }
        _ if is_broken => return (Verdict::Again, Some(status)),
        Code::InvalidArgument => Error::Invalid(text()),
        Code::Unauthenticated => Error::Unauthenticated(text()),
        Code::PermissionDenied => Error::Forbidden(text()),
        Code::AlreadyExists => Error::KeyInUse,
        _ => Error::NotUnderstood(Some(Box::new(status))),
    };
    (Verdict::Give(error), None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_asked_again_and_what_does_not_is_told_with_what_the_operator_said() {
        let told = |status: Status| match judge(status).0 {
            Verdict::Again => "again".to_owned(),
            Verdict::Give(error) => error.to_string(),
        };
        let broken = |code| {
            let mut status = Status::new(code, "it broke");
            status.set_source(std::sync::Arc::new(io::Error::from(io::ErrorKind::BrokenPipe)));
            status
        };
        for (status, expected) in [
            (Status::unavailable("away"), "again"),
            (Status::deadline_exceeded("late"), "again"),
            (Status::resource_exhausted("many"), "again"),
            (broken(Code::Unknown), "again"),
            (broken(Code::Internal), "again"),
            (Status::invalid_argument("key: it is empty"), "key: it is empty"),
            (Status::unauthenticated("old"), "the token is refused: old"),
            (Status::permission_denied("a may not"), "a may not"),
            (Status::already_exists("x"), "something else is being asked for under the same key"),
            (Status::unimplemented("x"), "an answer that is not understood"),
            (Status::internal("x"), "an answer that is not understood"),
        ] {
            let case = status.to_string();
            assert_eq!(told(status), expected, "{case}");
        }
    }
}
