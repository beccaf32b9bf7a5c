//! A client to look with: a player or a spectator of the arena in a terminal.
//!
//! - `scene` is what is to be seen of a moment, `app` what the person at the keys has done and what it came to, `draw` both as
//!   characters. The three are pure: a moment comes in, a screen comes out.
//! - `link` has the socket and the client library, and comes back when the server was lost; `destination` finds the
//!   server; `screen` has the terminal; `play` brings them together.
//!
//! Invariants:
//! - Only what the server confirmed is drawn, or what the client library predicts from it, and that is marked with `~` until
//!   it is confirmed. What was refused is gone with the next frame: the player is where the server has it.
//! - Nothing is decided here: what a key asks for is sent, and the server says whether it is so.
//! - The terminal is as it was when the program ends, whatever ended it but SIGKILL.

#![forbid(unsafe_code)]

mod app;
mod args;
mod asked;
mod destination;
mod draw;
mod keys;
mod link;
mod log;
mod play;
mod returning;
mod scene;
mod screen;
mod words;

pub use args::Args;
pub use play::run;
pub use screen::Screen;

#[cfg(test)]
mod tests;
