//! Ways onto game servers for programs that are their own matchmaker: the key of a server, connect tokens that are
//! minted with it, the servers of a Fleet with the secret from which their keys are derived, and how command lines name all
//! that.

#![forbid(unsafe_code)]

mod args;
mod fleet;
mod key;
mod token;

pub use args::{ClusterArgs, StandaloneArgs};
pub use fleet::{RegionView, ServerView, connect, follow, look};
pub use key::{KeyError, ServerKey};
pub use token::{Role, Visit, secure_bytes};
