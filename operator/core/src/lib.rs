//! operator/core
