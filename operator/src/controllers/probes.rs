//! Probes of game servers that run our image: the kubelet restarts in place what is stuck.

use gameserver_contract::ADMIN_PORT;
use k8s_openapi::api::core::v1::{Container, HTTPGetAction, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use operator_core::probes::{self, decide_liveness, decide_startup};
use operator_core::server_state::Patience;
use std::time::Duration;

/// Longest wait for an answer.
const ANSWER_MAX: Duration = Duration::from_secs(3);
/// Grace period of a server that is restarted because it is stuck: it has nobody left to say goodbye to, and the pod's
/// own, in which players may finish, would leave them in a world that stands still.
const STUCK_GRACE_SECONDS: i64 = 5;
/// How often readiness is asked for. Nothing is decided by it (a server is Ready by its own report); it is what
/// `kubectl get pods` and disruption budgets see.
const READINESS_PERIOD: Duration = Duration::from_secs(5);

/// Adds probes to a container of our image whose template has none and leaves the admin address alone.
pub(crate) fn add_probes(container: &mut Container, patience: Patience) {
    let Container { liveness_probe, readiness_probe, startup_probe, args, command, .. } = &*container;
    let has_probes = liveness_probe.is_some() || readiness_probe.is_some() || startup_probe.is_some();
    let mut words = args.iter().chain(command).flatten();
    if has_probes || words.any(|word| word.starts_with("--admin-address")) {
        return;
    }
    let restart = |decided: probes::Probe| Probe {
        termination_grace_period_seconds: Some(STUCK_GRACE_SECONDS),
        ..probe("/livez", decided)
    };
    container.startup_probe = Some(restart(decide_startup(patience)));
    container.liveness_probe = Some(restart(decide_liveness(patience)));
    container.readiness_probe =
        Some(probe("/readyz", probes::Probe { period: READINESS_PERIOD, failures: 1 }));
}

fn probe(path: &str, decided: probes::Probe) -> Probe {
    let seconds = |duration: Duration| i32::try_from(duration.as_secs()).unwrap_or(i32::MAX);
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::Int(i32::from(ADMIN_PORT)),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(seconds(decided.period)),
        timeout_seconds: Some(seconds(decided.period.min(ANSWER_MAX))),
        failure_threshold: Some(i32::try_from(decided.failures).unwrap_or(i32::MAX)),
        ..Probe::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience {
        startup: Duration::from_secs(60),
        silence: Duration::from_secs(5),
        recovery: Duration::from_secs(30),
    };

    #[test]
    fn a_stuck_server_of_ours_is_restarted_before_it_is_given_up() {
        let mut container = Container::default();
        add_probes(&mut container, PATIENCE);
        let liveness = container.liveness_probe.unwrap();
        let get = liveness.http_get.unwrap();
        assert_eq!((get.path.as_deref(), get.port), (Some("/livez"), IntOrString::Int(9464)));
        assert_eq!((liveness.period_seconds, liveness.failure_threshold), (Some(5), Some(3)));
        assert_eq!(liveness.termination_grace_period_seconds, Some(5), "not the pod's, which is for players");
        assert_eq!(container.startup_probe.unwrap().failure_threshold, Some(60));
        let readiness = container.readiness_probe.unwrap();
        assert_eq!(readiness.http_get.unwrap().path.as_deref(), Some("/readyz"));
        assert_eq!(readiness.termination_grace_period_seconds, None, "the API server refuses it there");
    }

    #[test]
    fn whoever_has_probes_or_another_admin_address_keeps_what_it_says() {
        let own = Container { readiness_probe: Some(Probe::default()), ..Container::default() };
        let elsewhere =
            Container { args: Some(vec!["--admin-address=0.0.0.0:1234".to_owned()]), ..Container::default() };
        for given in [own, elsewhere] {
            let mut container = given.clone();
            add_probes(&mut container, PATIENCE);
            assert_eq!(container, given);
        }
    }
}
