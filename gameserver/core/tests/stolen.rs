//! What somebody can do with a player's used token after a restart, which has forgotten that it was used.

mod common;

use std::time::Duration;

use common::net::{Net, address};
use gameserver_core::{Refusal, ServerConfig};

const SECOND: Duration = Duration::from_secs(1);

/// Whoever shows a token of the boot before first is taken for its player, as long as the token is good. The player's own
/// tokens are of a later session that this boot knows nothing of, so it is out until the other has been silent for the
/// time-out, and comes back by its backend then.
#[test]
fn who_shows_a_used_token_first_after_a_restart_keeps_its_player_out_until_it_falls_silent() {
    let config = || ServerConfig { tick_hz: 16, ..common::config() };
    let (home, elsewhere) = (address(100, 1000), address(101, 1000));
    let mut net = Net::new(vec![config()]);
    net.watch_nonces();
    let first = net.mint(100);
    net.add(home, first);
    net.run(SECOND);
    let stolen = net.clients[0].client.resume_token(net.now()).expect("it has one");
    assert!(net.resume(0, elsewhere));
    net.run(SECOND);
    net.restart(0, ServerConfig { random: [5; 32], ..config() });
    let thief = net.add(address(66, 1), stolen);
    net.run(SECOND);
    assert!(net.is_connected(thief));
    let refused = |net: &Net, refusal| net.servers[0].core.counters().refused(refusal);

    assert!(net.resume(0, home), "it has a newer one");
    net.run(6 * SECOND);
    assert!(!net.is_connected(0) && refused(&net, Refusal::ResumeOutdated) > 0);
    let fresh = net.mint(100);
    net.replace(0, home, fresh);
    net.run(SECOND);
    assert!(!net.is_connected(0) && refused(&net, Refusal::AlreadyConnected) > 0);

    net.clients[thief].is_on = false;
    net.run(6 * SECOND);
    let fresh = net.mint(100);
    net.replace(0, home, fresh);
    net.run(SECOND);
    assert!(net.is_connected(0));
    assert_eq!(net.players(0), 1);
}
