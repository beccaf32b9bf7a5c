//! Who plays where: the fullest server with room first, so that the others empty and can be taken away.

/// A server as the bots see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Occupancy {
    pub(crate) server: String,
    /// Takes new players.
    pub(crate) is_ready: bool,
    pub(crate) capacity: u32,
    /// Players by its own account, which may be some seconds old.
    pub(crate) reported: u32,
    /// Bots of ours, those who are joining included.
    pub(crate) bots: u32,
}

impl Occupancy {
    /// Places taken: what is reported may lag behind our own bots, and others may play too.
    fn taken(&self) -> u32 {
        self.reported.max(self.bots)
    }

    fn has_room(&self) -> bool {
        self.is_ready && self.taken() < self.capacity
    }
}

/// What one bot does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Assignment {
    /// Join this server.
    Join(String),
    /// Leave this server.
    Leave(String),
}

/// Moves at most `moves_max` bots so that `target` of them play.
pub(crate) fn assign(mut servers: Vec<Occupancy>, target: u32, moves_max: u32) -> Vec<Assignment> {
    let playing: u32 = servers.iter().map(|server| server.bots).sum();
    if playing <= target {
        (0..(target - playing).min(moves_max)).map_while(|_| join(&mut servers)).collect()
    } else {
        (0..(playing - target).min(moves_max)).map_while(|_| leave(&mut servers)).collect()
    }
}

/// The fullest with room; among equals the first by name, so that all bots agree.
fn join(servers: &mut [Occupancy]) -> Option<Assignment> {
    let with_room = servers.iter_mut().filter(|server| server.has_room());
    let fullest = with_room.max_by(|a, b| a.taken().cmp(&b.taken()).then_with(|| b.server.cmp(&a.server)))?;
    fullest.bots += 1;
    fullest.reported = fullest.reported.max(fullest.bots);
    Some(Assignment::Join(fullest.server.clone()))
}

/// The one with the fewest of ours; among equals the last by name.
fn leave(servers: &mut [Occupancy]) -> Option<Assignment> {
    let with_bots = servers.iter_mut().filter(|server| server.bots > 0);
    let emptiest = with_bots.min_by(|a, b| a.bots.cmp(&b.bots).then_with(|| b.server.cmp(&a.server)))?;
    emptiest.bots -= 1;
    Some(Assignment::Leave(emptiest.server.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(name: &str, capacity: u32, reported: u32, bots: u32) -> Occupancy {
        Occupancy { server: name.to_owned(), is_ready: true, capacity, reported, bots }
    }

    fn moves(servers: Vec<Occupancy>, target: u32) -> Vec<String> {
        assign(servers, target, 100)
            .into_iter()
            .map(|assignment| match assignment {
                Assignment::Join(server) => format!("+{server}"),
                Assignment::Leave(server) => format!("-{server}"),
            })
            .collect()
    }

    #[test]
    fn the_fullest_server_with_room_is_filled_first() {
        let servers = || vec![server("a", 10, 2, 2), server("b", 10, 8, 8), server("c", 10, 10, 10)];
        assert_eq!(moves(servers(), 23), ["+b", "+b", "+a"]);
        assert_eq!(moves(servers(), 20), [""; 0]);
    }

    #[test]
    fn empty_servers_are_taken_in_the_order_of_their_names() {
        assert_eq!(moves(vec![server("b", 2, 0, 0), server("a", 2, 0, 0)], 3), ["+a", "+a", "+b"]);
    }

    #[test]
    fn nobody_is_sent_where_there_is_no_room_by_either_account() {
        let reported_full = server("a", 5, 5, 0);
        let full_of_bots_that_are_not_reported_yet = server("b", 5, 0, 5);
        assert_eq!(moves(vec![reported_full, full_of_bots_that_are_not_reported_yet], 9), [""; 0]);
    }

    #[test]
    fn nobody_is_sent_to_a_server_that_is_not_ready() {
        let draining = Occupancy { is_ready: false, ..server("a", 5, 1, 0) };
        assert_eq!(moves(vec![draining], 3), [""; 0]);
    }

    #[test]
    fn the_emptiest_server_loses_its_bots_first() {
        let servers = vec![server("a", 10, 9, 9), server("b", 10, 2, 2), server("c", 10, 0, 0)];
        assert_eq!(moves(servers, 8), ["-b", "-b", "-a"]);
    }

    #[test]
    fn bots_leave_a_server_that_is_not_ready_too() {
        let draining = Occupancy { is_ready: false, ..server("a", 10, 1, 1) };
        assert_eq!(moves(vec![draining], 0), ["-a"]);
    }

    #[test]
    fn moves_are_bounded() {
        assert_eq!(assign(vec![server("a", 1000, 0, 0)], 1000, 5).len(), 5);
        assert_eq!(assign(vec![server("a", 1000, 900, 900)], 0, 5).len(), 5);
    }

    #[test]
    fn without_servers_nobody_moves() {
        assert_eq!(moves(Vec::new(), 5), [""; 0]);
    }
}
