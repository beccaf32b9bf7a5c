//! What every controller stands on.

pub(crate) mod accept;
pub(crate) mod admin;
pub(crate) mod chance;
pub(crate) mod clock;
pub(crate) mod frame;
pub(crate) mod http;
pub(crate) mod kubeconfig;
pub(crate) mod leadership;
pub(crate) mod metrics;
pub(crate) mod patience;
pub(crate) mod pulse;
pub(crate) mod raw_keys;
pub(crate) mod receive;
pub(crate) mod tasks;
pub(crate) mod telemetry;
pub(crate) mod watch;
pub(crate) mod write_account;
