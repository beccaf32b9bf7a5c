//! The certificate authorities of the report endpoint: the leader turns them over.

use kube::ResourceExt;
use kube::runtime::events::EventType;
use operator_core::backoff::next_backoff;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;
use tracing::{info, warn};

use super::context::Context;
use crate::runtime::telemetry::chain;

/// Least time between two turns.
const PERIOD_MIN: Duration = Duration::from_secs(1);

/// Takes one turn after another until the future is dropped.
pub(crate) async fn run(context: &Arc<Context>) {
    let mut failures = 0;
    loop {
        let turned = context.rotation.turn(context.clock.unix(), &namespaces(context)).await;
        let outcome = if turned.is_ok() { "ok" } else { "error" };
        context.metrics.reconciles.with_label_values(&["Authority", outcome]).inc();
        let wait = match turned {
            Ok(turned) => {
                failures = 0;
                if let Some((reason, note)) = turned.news {
                    info!(reason, note, "turned over the authorities");
                    context.event(&context.rotation.reference(), EventType::Normal, reason, note).await;
                }
                turned.look_again.max(PERIOD_MIN)
            }
            Err(error) => {
                failures += 1;
                let wait = next_backoff(failures, 0);
                warn!(error = chain(&error), again_in = ?wait, "failed to turn over the authorities");
                wait
            }
        };
        sleep(wait).await;
    }
}

/// Every namespace whose pods mount the bundle.
fn namespaces(context: &Context) -> BTreeSet<String> {
    let servers = context.stores.game_servers.store().state();
    servers.iter().filter_map(|server| server.namespace()).collect()
}
