//! Which node a player belongs to.

/// The node of a player, of those that there are (their numbers, in any order); `None` where there are none.
///
/// By rendezvous: each node draws a number for the player, and the highest has it. So whoever computes it comes to the same, a
/// node that goes gives away its own players alone, and one that comes takes its part from all and moves nobody else.
/// The draw is part of no message, but a change of it moves nearly everybody once.
pub fn node_of_player(player_id: u64, nodes: &[usize]) -> Option<usize> {
    nodes.iter().copied().max_by_key(|&node| (draw(player_id, node), std::cmp::Reverse(node)))
}

fn draw(player_id: u64, node: usize) -> u64 {
    mix(player_id ^ mix(node as u64))
}

/// The mixing of `SplitMix64`: any bit of the input changes each bit of the output in half of all cases.
fn mix(input: u64) -> u64 {
    let mut state = input.wrapping_add(0x9E37_79B9_7F4A_7C15);
    state = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    state ^ (state >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    const PLAYERS: u64 = 100_000;

    #[test]
    fn the_mixing_is_that_of_the_reference() {
        // the first outputs of SplitMix64 with seed 0
        let step = 0x9E37_79B9_7F4A_7C15_u64;
        let outputs: Vec<u64> = (0..3_u64).map(|number| mix(number.wrapping_mul(step))).collect();
        assert_eq!(outputs, [0xE220_A839_7B1D_CDAF, 0x6E78_9E6A_A1B9_65F4, 0x06C4_5D18_8009_454F]);
    }

    #[test]
    fn a_player_has_the_same_node_in_every_process_and_release() {
        let cases: [(u64, &[usize], Option<usize>); 12] = [
            (1, &[], None),
            (1, &[7], Some(7)),
            (0, &[0, 1], Some(0)),
            (1, &[0, 1], Some(1)),
            (2, &[0, 1], Some(0)),
            (1, &[0, 1, 2, 3], Some(3)),
            (1, &[3, 2, 1, 0], Some(3)),
            (u64::MAX, &[0, 1, 2, 3], Some(2)),
            (42, &[0, 2, 5], Some(5)),
            (43, &[0, 2, 5], Some(2)),
            (44, &[0, 2, 5], Some(5)),
            (42, &[0, 1, 2, 3, 4, 5, 6, 7], Some(5)),
        ];
        for (player, nodes, expected) in cases {
            assert_eq!(node_of_player(player, nodes), expected, "player {player} of {nodes:?}");
        }
    }

    #[test]
    fn every_node_has_its_part_of_the_players_whatever_their_numbers() {
        let spread = [("one by one", 0), ("by 4096", 12), ("in the upper half", 44)];
        for nodes in [&[0, 1][..], &[0, 1, 2, 3], &[0, 2, 5], &[0, 1, 2, 3, 4, 5, 6, 7]] {
            for (name, shift) in spread {
                let mut players = BTreeMap::new();
                for number in 0..PLAYERS {
                    *players.entry(node_of_player(number << shift, nodes)).or_insert(0_u64) += 1;
                }
                let part = PLAYERS / nodes.len() as u64;
                // a node's part of 100,000 throws varies by 110 (of 8) to 160 (of 2): 3 % of an eighth is three of those
                let is_even = |&count: &u64| count.abs_diff(part) * 100 <= part * 3;
                assert!(players.len() == nodes.len() && players.values().all(is_even), "{name}: {players:?}");
            }
        }
    }

    #[test]
    fn a_node_that_comes_or_goes_moves_only_its_own_players() {
        let (few, more): (&[usize], &[usize]) = (&[0, 1, 3], &[0, 1, 2, 3]);
        let mut moved = 0;
        for player in 0..PLAYERS {
            let (before, after) = (node_of_player(player, few), node_of_player(player, more));
            if before != after {
                assert_eq!(after, Some(2), "player {player} moves between nodes that stay");
                moved += 1;
            }
        }
        assert!((24_000..=26_000).contains(&moved), "a fourth moves, and not {moved}");
    }
}
