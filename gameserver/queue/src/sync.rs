//! Atomics: those of the machine, or those of loom, which tries every order in which threads may run and see each other's writes.

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicU64, Ordering};
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicU64, Ordering};
