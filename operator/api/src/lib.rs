//! operator/api
