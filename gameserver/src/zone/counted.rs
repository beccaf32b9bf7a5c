//! What a zone and its socket have counted, as figures.

use gameserver_core::Counters;
use gameserver_net::Counters as Network;

use super::board::Figure;

/// Each figure that is a count of either.
pub(crate) fn counted(counters: &Counters, network: &Network) -> [(Figure, u64); 32] {
    [
        (Figure::PacketsIn, network.packets_in),
        (Figure::PacketsOut, network.packets_out),
        (Figure::BytesIn, network.bytes_in),
        (Figure::BytesOut, network.bytes_out),
        (Figure::SocketOverflows, network.overflows),
        (Figure::Filtered, network.filtered),
        (Figure::Truncated, network.truncated),
        (Figure::Rearms, network.rearms),
        (Figure::SendErrors, network.send_errors),
        (Figure::FromStrangers, counters.from_strangers),
        (Figure::PacketsLost, counters.packets_lost),
        (Figure::AnswersDropped, counters.answers_dropped),
        (Figure::TokensTried, counters.tokens_tried),
        (Figure::PacketsTried, counters.packets_tried),
        (Figure::Joins, counters.joins),
        (Figure::Leaves, counters.leaves),
        (Figure::Denials, counters.denials),
        (Figure::Moves, counters.moves),
        (Figure::Resumes, counters.resumes),
        (Figure::ResumeTokens, counters.resume_tokens),
        (Figure::Timeouts, counters.timeouts),
        (Figure::Snapshots, counters.snapshots),
        (Figure::SnapshotsLost, counters.snapshots_lost),
        (Figure::Inputs, counters.inputs_applied),
        (Figure::InputsLate, counters.inputs_late),
        (Figure::InputsRepeated, counters.inputs_repeated),
        (Figure::InputsDeferred, counters.inputs_deferred),
        (Figure::CommandsDeferred, counters.commands_deferred),
        (Figure::NoticesDropped, counters.notices_dropped),
        (Figure::CellsUnkept, counters.cells_unkept),
        (Figure::RefusedHandshakes, counters.refused_handshakes()),
        (Figure::RejectedInputs, counters.rejected_inputs()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    type Field<Of> = (Figure, fn(&mut Of) -> &mut u64);

    const OF_ZONE: [Field<Counters>; 21] = [
        (Figure::FromStrangers, |counters| &mut counters.from_strangers),
        (Figure::PacketsLost, |counters| &mut counters.packets_lost),
        (Figure::AnswersDropped, |counters| &mut counters.answers_dropped),
        (Figure::TokensTried, |counters| &mut counters.tokens_tried),
        (Figure::PacketsTried, |counters| &mut counters.packets_tried),
        (Figure::Joins, |counters| &mut counters.joins),
        (Figure::Leaves, |counters| &mut counters.leaves),
        (Figure::Denials, |counters| &mut counters.denials),
        (Figure::Moves, |counters| &mut counters.moves),
        (Figure::Resumes, |counters| &mut counters.resumes),
        (Figure::ResumeTokens, |counters| &mut counters.resume_tokens),
        (Figure::Timeouts, |counters| &mut counters.timeouts),
        (Figure::Snapshots, |counters| &mut counters.snapshots),
        (Figure::SnapshotsLost, |counters| &mut counters.snapshots_lost),
        (Figure::Inputs, |counters| &mut counters.inputs_applied),
        (Figure::InputsLate, |counters| &mut counters.inputs_late),
        (Figure::InputsRepeated, |counters| &mut counters.inputs_repeated),
        (Figure::InputsDeferred, |counters| &mut counters.inputs_deferred),
        (Figure::CommandsDeferred, |counters| &mut counters.commands_deferred),
        (Figure::NoticesDropped, |counters| &mut counters.notices_dropped),
        (Figure::CellsUnkept, |counters| &mut counters.cells_unkept),
    ];

    const OF_SOCKET: [Field<Network>; 9] = [
        (Figure::PacketsIn, |network| &mut network.packets_in),
        (Figure::PacketsOut, |network| &mut network.packets_out),
        (Figure::BytesIn, |network| &mut network.bytes_in),
        (Figure::BytesOut, |network| &mut network.bytes_out),
        (Figure::SocketOverflows, |network| &mut network.overflows),
        (Figure::Filtered, |network| &mut network.filtered),
        (Figure::Truncated, |network| &mut network.truncated),
        (Figure::Rearms, |network| &mut network.rearms),
        (Figure::SendErrors, |network| &mut network.send_errors),
    ];

    /// Figures above zero.
    fn shown(counters: &Counters, network: &Network) -> Vec<Figure> {
        let shown = counted(counters, network).into_iter().filter(|&(_, value)| value > 0);
        shown.map(|(figure, _)| figure).filter(|&figure| figure != Figure::RefusedHandshakes).collect()
    }

    #[test]
    fn each_count_is_shown_as_its_own_figure_and_as_no_other() {
        for (figure, field) in OF_ZONE {
            let mut counters = Counters::default();
            *field(&mut counters) = 7;
            assert_eq!(shown(&counters, &Network::default()), [figure]);
        }
        for (figure, field) in OF_SOCKET {
            let mut network = Network::default();
            *field(&mut network) = 7;
            assert_eq!(shown(&Counters::default(), &network), [figure]);
        }
        let all = counted(&Counters::default(), &Network::default());
        let figures: BTreeSet<_> = all.iter().map(|&(figure, _)| figure as usize).collect();
        assert_eq!(figures.len(), all.len(), "each once");
        assert_eq!(
            all.len(),
            OF_ZONE.len() + OF_SOCKET.len() + 2,
            "with sums of handshakes and inputs refused"
        );
    }

    /// A count that is new in the core has a figure, or stands here as one that the socket counts as well.
    #[test]
    fn no_count_of_the_core_is_left_out() {
        let text = format!("{:?}", Counters::default());
        let fields = text.matches(": 0").count();
        let of_the_socket_too = ["packets_in", "packets_out", "bytes_in", "bytes_out"];
        assert!(of_the_socket_too.iter().all(|field| text.contains(&format!("{field}: 0"))));
        assert_eq!(fields, OF_ZONE.len() + of_the_socket_too.len(), "{text}");
    }
}
