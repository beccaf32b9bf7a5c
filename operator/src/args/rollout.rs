//! Arguments of `operator rollout`.

use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::time::Duration;

use super::{OutputFormat, parse_duration};

/// Settings of `operator rollout`.
#[derive(Clone, Debug, Parser)]
pub struct RolloutArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: RolloutCommand,
}

/// What to do with a change of a Fleet's template.
#[derive(Clone, Debug, Subcommand)]
pub enum RolloutCommand {
    /// Follow a change of the template until all servers are of it and as many are Ready as the Fleet asks for, and tell each
    /// step.
    ///
    /// Exit codes: 0, that is so; 1, it is not so yet: the time is over, or the Fleet could not be read; 2, the command line is
    /// not understood; 3, it takes a person: the template was rejected, its servers wait to be promoted, or old ones stay by the
    /// Fleet's strategy. A rollout that is paused, stalled or waits for players may go on, and is waited for.
    #[command(after_help = STATUS_EXAMPLES)]
    Status {
        /// The Fleet.
        #[command(flatten)]
        fleet: NamedFleet,
        /// Time to wait at most: a number with d, h, m or s, such as 5m. Without it there is no end.
        #[arg(long, value_name = "DURATION", value_parser = parse_duration, conflicts_with = "once")]
        timeout: Option<Duration>,
        /// Say how it stands now, and wait for nothing.
        #[arg(long)]
        once: bool,
        /// Form of the output; json only with --once.
        #[arg(long, short, default_value = "text", requires_if("json", "once"))]
        output: OutputFormat,
    },
    /// Show the templates that the Fleet had, the newest last.
    #[command(after_help = HISTORY_EXAMPLES)]
    History {
        /// The Fleet.
        #[command(flatten)]
        fleet: NamedFleet,
        /// Form of the output.
        #[arg(long, short, default_value = "text")]
        output: OutputFormat,
    },
    /// Hold a change of the template where it stands.
    ///
    /// Of a placed Fleet at its home; its shares follow.
    #[command(after_help = PAUSE_EXAMPLES)]
    Pause {
        /// The Fleet.
        #[command(flatten)]
        fleet: NamedFleet,
    },
    /// Go on with a change of the template that was held.
    ///
    /// Of a placed Fleet at its home; its shares follow.
    #[command(after_help = RESUME_EXAMPLES)]
    Resume {
        /// The Fleet.
        #[command(flatten)]
        fleet: NamedFleet,
    },
    /// Let the others follow the first servers of a new template, which have proven themselves or are promoted as they are.
    ///
    /// With BlueGreen the old ones give way, with a canary all others follow. Nothing changes where nobody waits for that. Of a
    /// placed Fleet for its shares, each in the cluster of its region.
    #[command(after_help = PROMOTE_EXAMPLES)]
    Promote {
        /// The Fleet.
        #[command(flatten)]
        fleet: NamedFleet,
    },
    /// Put an earlier template back: the newest before the present one that is proven.
    ///
    /// It is written as the Fleet's spec.template; all else of the Fleet stays. What manages the Fleet from files writes its own
    /// template again, so put the earlier one there too.
    #[command(after_help = UNDO_EXAMPLES)]
    Undo {
        /// The Fleet.
        #[command(flatten)]
        fleet: NamedFleet,
        /// Revision to put back, as `operator rollout history` numbers them; it may be one that was rejected.
        #[arg(long, value_name = "N")]
        to_revision: Option<i64>,
    },
    /// Have the Fleet's template tried again that was rejected.
    ///
    /// Takes the verdict off its revision. Nothing changes where it was not rejected.
    #[command(after_help = RETRY_EXAMPLES)]
    Retry {
        /// The Fleet.
        #[command(flatten)]
        fleet: NamedFleet,
    },
}

impl RolloutCommand {
    /// The Fleet that is meant.
    pub const fn fleet(&self) -> &NamedFleet {
        match self {
            Self::Status { fleet, .. }
            | Self::History { fleet, .. }
            | Self::Pause { fleet }
            | Self::Resume { fleet }
            | Self::Promote { fleet }
            | Self::Undo { fleet, .. }
            | Self::Retry { fleet } => fleet,
        }
    }
}

/// A Fleet, and where it is kept.
#[derive(Clone, Debug, clap::Args)]
pub struct NamedFleet {
    /// Name of the Fleet.
    pub name: String,
    /// Namespace of the Fleet, instead of the context's.
    #[arg(long, short)]
    pub namespace: Option<String>,
    /// Context of its cluster in the kubeconfig, instead of the current one.
    #[arg(long)]
    pub context: Option<String>,
    /// Kubeconfig instead of the one that `KUBECONFIG` names.
    #[arg(long, value_name = "PATH")]
    pub kubeconfig: Option<PathBuf>,
}

const STATUS_EXAMPLES: &str = "Examples:
  operator rollout status duel -n games
  operator rollout status duel --timeout 30m; [ $? = 3 ] && echo rejected
  operator rollout status duel --once -o json | jq -r .reason

JSON has `fleet`, `namespace`, `revision` (short hash of its template, null before the operator has seen it), `rolledOut` (true or \
false), `reason` (null while the operator says nothing about the present spec), `message`, `stalled` (why, null if it is not), \
`replicas`, `updatedReplicas`, `readyReplicas` and `inUseReplicas`.

It takes the right to get fleets.";
const HISTORY_EXAMPLES: &str = "Examples:
  operator rollout history duel -n games
  operator rollout history duel -o json | jq '.revisions[] | select(.verdict == \"Rejected\")'

VERDICT is Proven, Rejected or, of what is not judged yet, `-`. NOW has a `*` at the Fleet's template as it is written, and REASON says \
why one was rejected.

JSON has `fleet`, `namespace` and `revisions`, each with `revision`, `hash`, `verdict` and `verdictReason` (both may be null), `created` \
and `now` (true or false). The templates are in the ControllerRevisions: \
kubectl get controllerrevisions --selector cranewing.dev/fleet=duel --output yaml

It takes the rights to get fleets and to list controllerrevisions.";
const PAUSE_EXAMPLES: &str = "Examples:
  operator rollout pause duel -n games

It takes the rights to get and patch fleets.";
const RESUME_EXAMPLES: &str = "Examples:
  operator rollout resume duel -n games

It takes the rights to get and patch fleets.";
const PROMOTE_EXAMPLES: &str = "Examples:
  operator rollout promote duel -n games

It takes the rights to get fleets and to list and patch controllerrevisions.";
const UNDO_EXAMPLES: &str = "Examples:
  operator rollout undo duel -n games
  operator rollout undo duel --to-revision 3

It takes the rights to get and update fleets and to list controllerrevisions.";
const RETRY_EXAMPLES: &str = "Examples:
  operator rollout retry duel -n games

It takes the rights to get fleets and to list and patch controllerrevisions.";

#[cfg(test)]
mod tests {
    use super::super::{Args, Command};
    use super::*;

    fn parsed(arguments: &str) -> Result<RolloutCommand, String> {
        let arguments = ["operator", "rollout"].into_iter().chain(arguments.split(' '));
        let args = Args::try_parse_from(arguments).map_err(|error| error.to_string())?;
        let Command::Rollout(rollout) = args.command else { panic!("it is `rollout`") };
        Ok(rollout.command)
    }

    #[test]
    fn every_rollout_command_takes_one_fleet_and_where_it_is_kept() {
        for command in ["status", "history", "pause", "resume", "promote", "undo", "retry"] {
            let whole = format!("{command} duel -n games --context kr --kubeconfig kr.yaml");
            let parsed_command = parsed(&whole).unwrap();
            let NamedFleet { name, namespace, context, kubeconfig } = parsed_command.fleet();
            assert_eq!(
                (name.as_str(), namespace.as_deref(), context.as_deref()),
                ("duel", Some("games"), Some("kr")),
                "{command}"
            );
            assert_eq!(*kubeconfig, Some(PathBuf::from("kr.yaml")), "{command}");
            assert!(parsed(command).unwrap_err().contains("<NAME>"), "{command}");
        }
    }

    #[test]
    fn what_cannot_be_meant_of_a_rollout_is_refused() {
        for (arguments, expected) in [
            ("status duel --once --timeout 5m", "cannot be used with"),
            ("status duel --timeout 5", "`5` is not a number with d, h, m or s"),
            ("status duel -o json", "--once"),
            ("undo duel --to-revision last", "last"),
        ] {
            let error = parsed(arguments).unwrap_err();
            assert!(error.contains(expected), "{arguments}: {error}");
        }
        for fine in ["status duel -o text", "status duel --once -o json", "undo duel --to-revision 3"] {
            assert!(parsed(fine).is_ok(), "{fine}");
        }
    }
}
