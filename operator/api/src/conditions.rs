//! Condition types and reasons, and how a set of conditions is brought up to date.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// Condition types.
pub mod types {
    /// The object does what its spec asks for.
    pub const READY: &str = "Ready";
    /// Work is under way to get there (kstatus reads it).
    pub const RECONCILING: &str = "Reconciling";
    /// Work cannot go on without a person (kstatus reads it).
    pub const STALLED: &str = "Stalled";
    /// Another object claims the same thing and is older.
    pub const CONFLICT: &str = "Conflict";
    /// All servers of a Fleet are of its template as it is now.
    pub const ROLLED_OUT: &str = "RolledOut";
    /// A container restarted and is given time to come back.
    pub const RECOVERING: &str = "Recovering";
    /// An AutoScaler has what it needs to decide.
    pub const ABLE_TO_SCALE: &str = "AbleToScale";
    /// An AutoScaler's wish is cut by `min` or `max`.
    pub const SCALING_LIMITED: &str = "ScalingLimited";
    /// A region has a node in each of its zones.
    pub const ZONES_COVERED: &str = "ZonesCovered";
    /// A region is read from here; of the region itself: a majority of the registered regions reads it.
    pub const CONNECTED: &str = "Connected";
    /// A majority of the registered regions says that the region shall be left; False while fewer say so.
    pub const DRAINED: &str = "Drained";
    /// The object's home is another region's cluster, and nothing follows from it here.
    pub const NOT_HOME: &str = "NotHome";
    /// A region tells the others nothing of placed Fleets of its own; the message says why and what to do.
    pub const NOT_PUBLISHED: &str = "NotPublished";
    /// Bounds of a placed Fleet and of its regions cannot all hold; the message has the figures.
    pub const BOUNDS_CONFLICT: &str = "BoundsConflict";
    /// A placed Fleet names regions that are not registered; nothing is shared out there.
    pub const UNKNOWN_REGIONS: &str = "UnknownRegions";
    /// An object of the name that must be created is there and belongs to somebody else; nothing is adopted.
    pub const NAME_TAKEN: &str = "NameTaken";
}

/// Reasons, CamelCase as the API conventions ask.
pub mod reasons {
    /// Everything asked for is there.
    pub const AS_SPECIFIED: &str = "AsSpecified";
    /// Servers are being created.
    pub const CREATING: &str = "Creating";
    /// Servers are being drained or deleted.
    pub const DRAINING: &str = "Draining";
    /// Fewer servers are wanted, but the rest is in use.
    pub const WAITING_FOR_PLAYERS: &str = "WaitingForPlayers";
    /// No host port of the range is free on any node.
    pub const NO_FREE_PORT: &str = "NoFreePort";
    /// The pod cannot be placed on a node.
    pub const UNSCHEDULABLE: &str = "Unschedulable";
    /// A pod cannot start.
    pub const POD_FAILED: &str = "PodFailed";
    /// The API server does not take what must be created; the message has its words.
    pub const CREATE_FAILED: &str = "CreateFailed";
    /// An object of the name that must be created is there and belongs to somebody else; nothing is adopted.
    pub const NAME_TAKEN: &str = "NameTaken";
    /// The API server does not take the deletion of what must go; the message has its words.
    pub const DELETE_FAILED: &str = "DeleteFailed";
    /// The pod is gone though the server was not told to go.
    pub const POD_LOST: &str = "PodLost";
    /// No report came for longer than `health.silenceSeconds`.
    pub const SILENT: &str = "Silent";
    /// The server reported that it takes players.
    pub const REPORTED: &str = "Reported";
    /// Another scaler on the same Fleet is older.
    pub const OLDER_SCALER: &str = "OlderScaler";
    /// The older scaler is gone.
    pub const NO_OLDER_SCALER: &str = "NoOlderScaler";
    /// The Fleet that is named does not exist.
    pub const FLEET_MISSING: &str = "FleetMissing";
    /// A figure that a policy needs did not come.
    pub const MISSING_DATA: &str = "MissingData";
    /// Decided and nothing stands in the way.
    pub const DECIDED: &str = "Decided";
    /// The wish is within the bounds.
    pub const WITHIN_BOUNDS: &str = "WithinBounds";
    /// The wish is below `min`.
    pub const AT_MINIMUM: &str = "AtMinimum";
    /// The wish is above `max`.
    pub const AT_MAXIMUM: &str = "AtMaximum";
    /// A zone has no node.
    pub const ZONE_WITHOUT_NODE: &str = "ZoneWithoutNode";
    /// A majority says so.
    pub const MAJORITY: &str = "Majority";
    /// Fewer than a majority say so, and nothing follows.
    pub const NO_MAJORITY: &str = "NoMajority";
    /// The home of an object is another region.
    pub const OTHER_REGION: &str = "OtherRegion";
    /// A region that is named is not registered here.
    pub const NOT_REGISTERED: &str = "NotRegistered";
    /// There is no namespace for the copy of another region's object.
    pub const NAMESPACE_MISSING: &str = "NamespaceMissing";
    /// The namespace does not say that it takes Fleets of that region.
    pub const NAMESPACE_CLOSED: &str = "NamespaceClosed";
    /// A placed Fleet does not say how many servers it wants.
    pub const REPLICAS_MISSING: &str = "ReplicasMissing";
    /// There are more placed Fleets than regions share out.
    pub const TOO_MANY: &str = "TooMany";
    /// A region is not as far as its part of a placed Fleet.
    pub const SHARING_OUT: &str = "SharingOut";
    /// Not all bounds can hold.
    pub const BOUNDS_CONFLICT: &str = "BoundsConflict";
    /// A region that is new asks the others what its placed Fleets were.
    pub const TAKING_BACK: &str = "TakingBack";
    /// Another region is ahead of this one in what is this one's own: a person says who counts.
    pub const RESTORED_FROM_OLD: &str = "RestoredFromOld";
    /// Nothing moves while this region does not take part, or does not know what the others go by.
    pub const HOLDING: &str = "Holding";
    /// An AutoScaler stands where it cannot scale: away from the home of a placed Fleet, or on a region's share of one.
    pub const PLACED_FLEET: &str = "PlacedFleet";
    /// An AutoScaler of a placed Fleet: each region has its part of the bounds, and decides within that.
    pub const SHARED_OUT: &str = "SharedOut";
    /// Somebody changed a copy or a share of a placed Fleet, and that was undone: it is changed at its home.
    pub const EDIT_UNDONE: &str = "EditUndone";
    /// Servers of an earlier template give way; of a placed Fleet: not every region has taken its template, which goes from one to the next.
    pub const ROLLING_OUT: &str = "RollingOut";
    /// The first servers of a new template prove themselves.
    pub const CANARY_RUNS: &str = "CanaryRuns";
    /// All servers of a new template prove themselves beside the old ones.
    pub const PREVIEW_RUNS: &str = "PreviewRuns";
    /// They have, and old ones give way when somebody says so.
    pub const AWAITS_PROMOTION: &str = "AwaitsPromotion";
    /// All servers of a new template prove themselves.
    pub const PROVING: &str = "Proving";
    /// Somebody paused the change of a template.
    pub const PAUSED: &str = "Paused";
    /// A new template was rejected, and servers are made from the last proven one again; the message says why.
    pub const ROLLED_BACK: &str = "RolledBack";
    /// A new template was rejected, and nothing moves; the message says why.
    pub const GATE_FAILED: &str = "GateFailed";
    /// Servers of earlier templates stay, as the Fleet's strategy says.
    pub const ON_DELETE: &str = "OnDelete";
    /// A server holds what was asked for.
    pub const GIVEN: &str = "Given";
    /// No server that fits is free yet.
    pub const WAITING_FOR_SERVER: &str = "WaitingForServer";
    /// No server that fits became free in time.
    pub const NO_SERVER: &str = "NoServer";
    /// A server held it, and the session is over.
    pub const SESSION_ENDED: &str = "SessionEnded";
    /// A server held it and is gone, or has forgotten it.
    pub const SERVER_LOST: &str = "ServerLost";
}

/// A condition as decided, before it is merged with what the object carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// One of [`types`].
    pub type_: &'static str,
    /// True or False; a condition that is not known is not set.
    pub status: bool,
    /// One of [`reasons`].
    pub reason: &'static str,
    /// For people: what is the case and what to do about it.
    pub message: String,
}

impl Decided {
    /// A condition that holds, or not, with its reason.
    pub fn new(type_: &'static str, status: bool, reason: &'static str, message: impl Into<String>) -> Self {
        Self { type_, status, reason, message: message.into() }
    }
}

/// Where the pages are on what a condition means and what to do, from the root of the repository.
const RUNBOOKS: &str = "docs/runbooks/conditions";

impl Decided {
    /// The page on it; none for what is as it should be, or passes by itself. Ready and Reconciling have none: what asks for
    /// somebody is Stalled too, or is said of a game server.
    fn runbook(&self) -> Option<String> {
        let asks = match self.type_ {
            types::STALLED
            | types::CONFLICT
            | types::NOT_HOME
            | types::BOUNDS_CONFLICT
            | types::NOT_PUBLISHED
            | types::UNKNOWN_REGIONS
            | types::NAME_TAKEN => self.status,
            types::ABLE_TO_SCALE | types::ZONES_COVERED | types::CONNECTED => !self.status,
            _ => false,
        };
        let anchor = self.reason.to_lowercase();
        asks.then(|| format!("{RUNBOOKS}/{}.md#{anchor}", self.type_))
    }

    /// What is said on the object: the message and, where somebody is to do something, the page on that.
    fn told(self) -> String {
        match self.runbook() {
            // One that is passed on from another object leads somewhere already.
            Some(page) if !self.message.contains(RUNBOOKS) => {
                // The last words may be somebody else's sentence.
                format!("{}; see {page}", self.message.trim_end_matches(['.', ' ']))
            }
            _ => self.message,
        }
    }
}

/// Whether two sets of conditions say the same but for their messages, which carry figures, and times.
pub fn stand_alike(one: &[Condition], other: &[Condition]) -> bool {
    let standing = |condition: &Condition| {
        let Condition { type_, status, reason, observed_generation, .. } = condition;
        (type_.clone(), status.clone(), reason.clone(), *observed_generation)
    };
    one.iter().map(standing).eq(other.iter().map(standing))
}

/// Merges decided conditions into the old set: the transition time moves only with the status, conditions of types
/// that were not decided are dropped, and the order is the decided one, so that equal input gives equal output.
pub fn merge_conditions(
    now: &Time,
    generation: Option<i64>,
    old: &[Condition],
    decided: Vec<Decided>,
) -> Vec<Condition> {
    decided
        .into_iter()
        .map(|condition| {
            let status = if condition.status { "True" } else { "False" };
            let last_transition_time = old
                .iter()
                .find(|old| old.type_ == condition.type_ && old.status == status)
                .map_or_else(|| now.clone(), |old| old.last_transition_time.clone());
            Condition {
                last_transition_time,
                observed_generation: generation,
                reason: condition.reason.to_owned(),
                status: status.to_owned(),
                type_: condition.type_.to_owned(),
                message: condition.told(),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::jiff::Timestamp;

    fn at(second: i64) -> Time {
        Time(Timestamp::from_second(second).unwrap())
    }

    fn ready(status: bool, message: &str) -> Vec<Decided> {
        vec![Decided::new(types::READY, status, reasons::CREATING, message)]
    }

    #[test]
    fn transition_time_moves_only_with_the_status() {
        let first = merge_conditions(&at(1), Some(1), &[], ready(false, "0 of 3"));
        let same = merge_conditions(&at(2), Some(1), &first, ready(false, "1 of 3"));
        assert_eq!(same[0].last_transition_time, at(1));
        assert_eq!(same[0].message, "1 of 3");
        let turned = merge_conditions(&at(3), Some(1), &same, ready(true, "3 of 3"));
        assert_eq!(turned[0].last_transition_time, at(3));
    }

    #[test]
    fn who_is_asked_to_do_something_is_told_where_to_read_on() {
        let told = |type_, status, reason, message: &str| Decided::new(type_, status, reason, message).told();
        let page = "; see docs/runbooks/conditions/";
        for (case, told, expected) in [
            (
                "stalled",
                told(types::STALLED, true, reasons::CREATE_FAILED, "a quota"),
                format!("a quota{page}Stalled.md#createfailed"),
            ),
            (
                "by somebody else's sentence",
                told(types::STALLED, true, reasons::POD_FAILED, "its container waits: no such image."),
                format!("its container waits: no such image{page}Stalled.md#podfailed"),
            ),
            (
                "of a region that stands apart",
                told(types::CONNECTED, false, "Gone", "jp Silent"),
                format!("jp Silent{page}Connected.md#gone"),
            ),
            ("connected", told(types::CONNECTED, true, "Connected", "it is read"), "it is read".to_owned()),
            ("on its way", told(types::READY, false, reasons::CREATING, "1 of 3"), "1 of 3".to_owned()),
            (
                "limited as was asked for",
                told(types::SCALING_LIMITED, true, reasons::AT_MAXIMUM, "more"),
                "more".to_owned(),
            ),
            (
                "passed on",
                told(types::STALLED, true, reasons::NAME_TAKEN, &format!("x{page}Stalled.md#nametaken")),
                format!("x{page}Stalled.md#nametaken"),
            ),
        ] {
            assert_eq!(told, expected, "{case}");
        }
    }

    #[test]
    fn a_condition_that_is_no_longer_decided_goes() {
        let old = merge_conditions(
            &at(1),
            Some(1),
            &[],
            vec![Decided::new(types::CONFLICT, true, reasons::OLDER_SCALER, "")],
        );
        assert_eq!(merge_conditions(&at(2), Some(1), &old, Vec::new()), Vec::new());
    }

    #[test]
    fn equal_decisions_give_an_equal_set_so_that_nothing_is_written() {
        let old = merge_conditions(&at(1), Some(4), &[], ready(true, "3 of 3"));
        assert_eq!(merge_conditions(&at(9), Some(4), &old, ready(true, "3 of 3")), old);
    }
}
