//! What a zone server counts and measures about itself.

use gameserver_contract::Histogram;
use gameserver_protocol::RejectReason;

use crate::session::Refusal;

/// What happened since the start. Plain numbers: whoever owns the server reads them once in a while.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Datagrams handed in.
    pub packets_in: u64,
    /// Datagrams handed out.
    pub packets_out: u64,
    /// Datagrams handed in from addresses that have no session.
    pub from_strangers: u64,
    /// Bytes handed in, UDP payload only.
    pub bytes_in: u64,
    /// Bytes handed out, UDP payload only.
    pub bytes_out: u64,
    /// Players that joined.
    pub joins: u64,
    /// Players that said goodbye.
    pub leaves: u64,
    /// Players lost to a time-out.
    pub timeouts: u64,
    /// Sessions opened with a resume token, whether they took the place of one that lasted or not.
    pub resumes: u64,
    /// Resume tokens handed out.
    pub resume_tokens: u64,
    /// Players whose session went on at another server of this process.
    pub moves: u64,
    /// Connect tokens that were decrypted, or tried to be, each under one key: the work that strangers can cause.
    pub tokens_tried: u64,
    /// Packets that were decrypted, or tried to be.
    pub packets_tried: u64,
    /// Handshakes answered with a refusal because the server was full or draining.
    pub denials: u64,
    /// Inputs that were carried out.
    pub inputs_applied: u64,
    /// Inputs that arrived again; each loss costs some, so a few are normal.
    pub inputs_repeated: u64,
    /// Inputs put off because their player's buffer was full; the client repeats them.
    pub inputs_deferred: u64,
    /// Ticks that left inputs for the next because they had carried out their most.
    pub commands_deferred: u64,
    /// Inputs that arrived after the tick that they were aimed at.
    pub inputs_late: u64,
    /// News for players given up because too much of it was waiting to be heard.
    pub notices_dropped: u64,
    /// Snapshots handed out.
    pub snapshots: u64,
    /// Snapshots that no acknowledgement named while 64 more were handed out to the player: lost on the way, or with all
    /// that their player says.
    pub snapshots_lost: u64,
    /// Datagrams of players that never came, by the gaps in their sequences; those that the kernel dropped here are among
    /// them.
    pub packets_lost: u64,
    /// Times that news of an entity was made again because there was no room to keep it for the next player.
    pub cells_unkept: u64,
    /// Answers to handshakes given up because too many were waiting to be sent.
    pub answers_dropped: u64,
    refusals: [u64; Refusal::ALL.len()],
    rejects: [u64; RejectReason::ALL.len()],
}

impl Counters {
    /// Datagrams refused and inputs rejected, by their label; every label each time.
    pub fn rejects(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let refusals = Refusal::ALL.iter().map(|refusal| refusal.as_str()).zip(self.refusals);
        let rejects = RejectReason::ALL.iter().map(|reason| reason.as_str()).zip(self.rejects);
        refusals.chain(rejects)
    }

    /// Datagrams refused for this reason.
    pub fn refused(&self, refusal: Refusal) -> u64 {
        self.refusals[refusal as usize]
    }

    /// Inputs rejected for this reason.
    pub fn rejected(&self, reason: RejectReason) -> u64 {
        self.rejects[usize::from(reason.code() - 1)]
    }

    /// Handshakes refused, by whatever reason.
    pub fn refused_handshakes(&self) -> u64 {
        let refused = |refusal: &&Refusal| refusal.is_of_handshake();
        self.denials + Refusal::ALL.iter().filter(refused).map(|&refusal| self.refused(refusal)).sum::<u64>()
    }

    /// Inputs rejected, by whatever reason.
    pub fn rejected_inputs(&self) -> u64 {
        self.rejects.iter().sum()
    }

    pub(crate) fn record_refusal(&mut self, refusal: Refusal) {
        self.refusals[refusal as usize] += 1;
    }

    pub(crate) fn record_reject(&mut self, reason: RejectReason) {
        self.rejects[usize::from(reason.code() - 1)] += 1;
    }
}

/// Distributions since they were last taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histograms {
    /// Microseconds from an input's arrival to handing out the snapshot that acknowledges it.
    pub input_latency_us: Histogram,
    /// Inputs waiting at the start of a tick.
    pub queue_depth: Histogram,
    /// Microseconds from handing out a snapshot to the message that acknowledges it, without what the client says that it
    /// held that back.
    pub round_trip_us: Histogram,
}

/// How full is what has a bound, at this moment: for those who test that bounds hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fill {
    /// Inputs that wait, of the player who has the most.
    pub inputs: usize,
    /// Refusals of which their player has not heard, of the player who has the most.
    pub rejections: usize,
    /// News of which their player has not heard, of the player who has the most.
    pub notices: usize,
    /// Answers to handshakes, and reminders, that wait to be sent.
    pub answers: usize,
    /// Handshakes that are under way.
    pub handshakes: usize,
    /// Connect tokens that the process remembers.
    pub tokens: usize,
    /// Players whom the process knows: those who are here, and those who were until lately.
    pub known_players: usize,
    /// Departures of which the process has not forgotten yet who they were.
    pub departures: usize,
    /// Players of the process who are to leave a server because they have come to another.
    pub evictions: usize,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_reason_has_a_label_of_its_own() {
        let counters = Counters::default();
        let labels: BTreeSet<_> = counters.rejects().map(|(label, _)| label).collect();
        assert_eq!(labels.len(), Refusal::ALL.len() + RejectReason::ALL.len());
    }

    #[test]
    fn a_recorded_reason_shows_under_its_own_label_only() {
        let mut counters = Counters::default();
        counters.record_reject(RejectReason::MoveTooFar);
        counters.record_refusal(Refusal::Replayed);
        let shown: Vec<_> = counters.rejects().filter(|&(_, count)| count > 0).collect();
        assert_eq!(shown, [(Refusal::Replayed.as_str(), 1), ("move_too_far", 1)]);
    }
}
