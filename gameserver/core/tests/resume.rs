//! Players who come back by resume tokens: to a server that was restarted, from another address, while it drains, and
//! what somebody else can do with their tokens.

mod common;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use common::SERVER_KEY;
use common::net::{Fate, Net, address};
use common::raw::{Bench, Peer};
use gameserver_client::ClientState::{Connected, Connecting, Denied, Disconnected};
use gameserver_client::DisconnectReason::{ByServer, RequestTimedOut, TimedOut};
use gameserver_core::{Counters, Refusal, ServerConfig};
use gameserver_protocol::message::ResumeToken;
use gameserver_protocol::{ConnectToken, PROTOCOL_ID, PacketKind, PrivateToken};

const SECOND: Duration = Duration::from_secs(1);

/// How long who comes back needs: a request, a response, and the welcome.
const HANDSHAKE: Duration = Duration::from_millis(60);

/// Sixteen ticks a second, so that minutes pass quickly.
fn config() -> ServerConfig {
    ServerConfig { tick_hz: 16, ..common::config() }
}

fn private(token: &ConnectToken) -> PrivateToken {
    let mut sealed = *token.private_token;
    PrivateToken::open(&mut sealed, token.protocol_id, token.expire_unix, &token.nonce, &SERVER_KEY)
        .expect("sealed with the server's own key")
}

fn home(client: usize) -> SocketAddr {
    address(100, 1000 + u16::try_from(client).expect("few clients"))
}

fn elsewhere(client: usize) -> SocketAddr {
    address(101, 1000 + u16::try_from(client).expect("few clients"))
}

/// A server with so many players, who have played for a second.
fn playing(players: usize, config: ServerConfig) -> Net {
    let mut net = Net::new(vec![config]);
    net.watch_nonces();
    for client in 0..players {
        let token = net.mint(100 + client as u64);
        net.add(home(client), token);
    }
    net.run(SECOND);
    assert_eq!(net.players(0), players);
    net
}

fn token(net: &Net, client: usize) -> ConnectToken {
    net.clients[client].client.resume_token(net.now()).expect("it has one")
}

fn counters(net: &Net) -> &Counters {
    net.servers[0].core.counters()
}

fn refused(net: &Net, refusal: Refusal) -> u64 {
    counters(net).refused(refusal)
}

/// Rules 16 and 20: the container restarts in place, with its key and nothing else, and everybody plays on as who they
/// were. Nothing was sealed twice under one nonce by either boot.
#[test]
fn players_come_back_to_a_server_that_was_restarted() {
    let mut net = playing(8, config());
    net.run(11 * SECOND);
    net.servers[0].is_on = false;
    net.run(SECOND);
    net.restart(0, ServerConfig { random: [5; 32], ..config() });
    for client in 0..8 {
        assert!(net.is_connected(client), "it has not noticed yet");
        assert!(net.clients[client].client.silence(net.now()) >= Duration::from_millis(900));
        assert_eq!(private(&token(&net, client)).client_id, 100 + client as u64);
        assert!(net.resume(client, home(client)));
    }
    net.run_until(HANDSHAKE, |net| (0..8).all(|client| net.is_connected(client)));
    net.run(12 * SECOND);
    assert_eq!((net.players(0), counters(&net).joins, counters(&net).resumes), (8, 8, 8));
    assert_eq!(counters(&net).refused_handshakes(), 0);
    // and once more, by tokens that the second boot has handed out
    net.restart(0, ServerConfig { random: [6; 32], ..config() });
    for client in 0..8 {
        assert!(net.resume(client, home(client)));
    }
    net.run(12 * SECOND);
    assert_eq!((net.players(0), counters(&net).resumes), (8, 8));
    assert!(net.nonces_seen() > 8 * 16 * 30, "{} packets were looked at", net.nonces_seen());
}

/// Even if the chance of the second boot were that of the first.
#[test]
fn no_nonce_and_no_key_repeats_when_a_restart_repeats_its_random_bytes() {
    let mut net = playing(4, config());
    let mut seen = BTreeSet::new();
    for _boot in 0..3 {
        for client in 0..4 {
            let token = token(&net, client);
            assert!(seen.insert(token.nonce.to_vec()), "a nonce under the server's key");
            assert!(
                seen.insert(token.client_to_server_key.to_vec())
                    && seen.insert(token.server_to_client_key.to_vec())
            );
        }
        net.restart(0, config());
        for client in 0..4 {
            assert!(net.resume(client, home(client)));
        }
        net.run(3 * SECOND);
        assert_eq!(net.players(0), 4);
    }
}

#[test]
fn a_client_that_waited_for_its_timeout_comes_back_within_the_lifetime_and_not_after_it() {
    for (away, is_back) in [(6, true), (20, true), (32, false)] {
        let mut net = playing(1, config());
        let last = token(&net, 0);
        net.servers[0].is_on = false;
        net.run(away * SECOND);
        assert_eq!(net.state(0), Disconnected { reason: TimedOut });
        net.restart(0, config());
        if !net.resume(0, elsewhere(0)) {
            // who does not believe its own clock asks in vain
            net.replace(0, elsewhere(0), last);
        }
        net.run(6 * SECOND);
        assert_eq!(net.is_connected(0), is_back, "after {away} s: {:?}", net.state(0));
        assert_eq!(refused(&net, Refusal::TokenExpired) > 0, !is_back);
    }
}

/// A phone goes from one network to another: the session goes on at the new address, and the old keys are worth nothing.
#[test]
fn a_player_whose_address_changed_takes_its_own_place() {
    let mut net = playing(2, config());
    let place = common::place(&net.clients[0].client);
    let old = net.clients[0].token.clone();
    assert!(net.resume(0, elsewhere(0)));
    net.run_until(HANDSHAKE, |net| net.is_connected(0));
    net.run(SECOND);
    let seen = (net.players(0), counters(&net).joins, counters(&net).leaves, counters(&net).resumes);
    assert_eq!(seen, (2, 2, 0, 1), "nobody joined or left");
    assert_eq!(common::place(&net.clients[0].client), place, "the same player in the world");
    let client = &net.clients[0].client;
    assert_eq!((client.stats().refused, client.view().newest_tick()), (0, Some(net.servers[0].core.tick())));
    let mut packet = [0; 64];
    let key = gameserver_protocol::PacketKey::new(&old.client_to_server_key, old.protocol_id);
    let sequence = 1 << 62;
    let len = key.seal_body(PacketKind::Disconnect, sequence, &mut packet, &[]).expect("there is room");
    for from in [home(0), elsewhere(0)] {
        net.inject(Duration::ZERO, from, common::server_address(), packet[..len].to_vec());
    }
    net.run(SECOND);
    assert_eq!(net.players(0), 2, "a goodbye under the old keys");
    assert_eq!((refused(&net, Refusal::NoSession), refused(&net, Refusal::Forged)), (1, 1));
}

/// The client that comes back begins with its first input again, and the server with it.
#[test]
fn inputs_of_who_came_back_count_anew() {
    let mut bench = Bench::new();
    let mut peer = bench.peer(1, 1000);
    peer.connect(&mut bench);
    bench.tick();
    let moves = peer.moves(0, &[(7, 0, 0, 0)]);
    let answers = bench.exchange(peer.address, &moves);
    let resume = answers.iter().find_map(|answer| ResumeToken::decode(&peer.open(answer).1).ok());
    bench.tick();
    let server = common::server_address();
    let token = resume.and_then(|token| token.connect_token(PROTOCOL_ID, server, Duration::ZERO));
    let mut again = Peer::new(token.expect("one at connect"), 1001);
    again.connect(&mut bench);
    bench.tick();
    let moves = again.moves(0, &[(1, 0, 0, 0)]);
    bench.exchange(again.address, &moves);
    bench.tick();
    assert_eq!(bench.server.counters().inputs_repeated, 0);
    let counters = bench.server.counters();
    assert_eq!(counters.inputs_applied + counters.rejected_inputs(), 2, "each was looked at");
    assert_eq!((counters.joins, counters.resumes), (1, 1));
}

/// The answers got lost, and the server still holds the session at the same address.
#[test]
fn a_player_comes_back_from_the_address_at_which_its_session_still_lasts() {
    let mut net = playing(1, config());
    net.rule(|flight| if flight.is_to_server { Fate::Arrive } else { Fate::Lose });
    net.run(4 * SECOND);
    net.rule(|_| Fate::Arrive);
    assert_eq!(net.players(0), 1);
    assert!(net.resume(0, home(0)));
    net.run_until(HANDSHAKE, |net| net.is_connected(0));
    net.run(SECOND);
    assert_eq!((net.players(0), counters(&net).joins, counters(&net).resumes), (1, 1, 1));
}

/// While the one handshake is under way the old session times out, and the handshake goes on.
#[test]
fn a_session_that_ends_while_its_player_comes_back_leaves_the_handshake_alone() {
    let mut net = playing(1, config());
    net.rule(|flight| match flight.kind {
        PacketKind::Response => Fate::Late(3 * SECOND),
        PacketKind::Payload => Fate::Lose,
        _ => Fate::Arrive,
    });
    net.run(4 * SECOND);
    assert!(net.resume(0, home(0)));
    net.run(2 * SECOND);
    assert_eq!((net.players(0), net.state(0)), (0, Connecting), "timed out meanwhile");
    net.rule(|_| Fate::Arrive);
    net.run(2 * SECOND);
    assert_eq!((net.state(0), net.players(0), counters(&net).timeouts), (Connected, 1, 1));
}

#[test]
fn another_player_does_not_come_in_from_an_address_that_has_a_session() {
    let mut net = playing(2, config());
    let other = token(&net, 1);
    net.clients[0].is_on = false;
    net.replace(1, home(0), other.clone());
    net.run(2 * SECOND);
    assert!(!net.is_connected(1));
    assert!(refused(&net, Refusal::AlreadyConnected) > 0);
    net.run(4 * SECOND);
    assert_eq!(net.players(0), 0, "both have timed out");
    net.replace(1, home(0), other);
    net.run(SECOND);
    assert!(net.is_connected(1), "the address is free");
}

#[test]
fn a_resume_token_is_good_for_one_address_and_one_session() {
    let mut net = playing(1, config());
    let stolen = token(&net, 0);
    assert!(net.resume(0, elsewhere(0)));
    net.run(SECOND);
    let thief = net.add(address(66, 1), stolen.clone());
    net.run(6 * SECOND);
    assert_eq!(net.state(thief), Disconnected { reason: RequestTimedOut });
    assert!(net.is_connected(0) && refused(&net, Refusal::TokenReused) > 0);
    // nor when the session that it opened has ended, from whatever address
    net.clients[0].is_on = false;
    net.run(6 * SECOND);
    assert_eq!(net.players(0), 0);
    net.clients[0].is_on = true;
    let before = refused(&net, Refusal::TokenReused);
    net.replace(0, elsewhere(0), stolen);
    net.run(6 * SECOND);
    assert!(!net.is_connected(0) && refused(&net, Refusal::TokenReused) > before);
}

/// Whoever came back with a newer token has made the older ones worthless, those that were never used among them.
#[test]
fn an_older_resume_token_is_worth_nothing_after_a_newer_one() {
    let mut net = playing(1, config());
    let stolen = token(&net, 0);
    net.run(11 * SECOND);
    let newer = token(&net, 0);
    assert_ne!(stolen.nonce, newer.nonce);
    assert!(net.resume(0, elsewhere(0)));
    net.run(SECOND);
    let thief = net.add(address(66, 1), stolen);
    net.run(6 * SECOND);
    assert!(!net.is_connected(thief) && net.is_connected(0));
    assert!(refused(&net, Refusal::ResumeOutdated) > 0);
}

/// Who has stolen a token and uses it first is thrown out by the player, who has a newer one of the same session, and
/// does not come back by what it was handed meanwhile.
#[test]
fn of_two_with_tokens_of_one_session_the_newer_token_stays() {
    for is_restarted in [false, true] {
        let mut net = playing(1, config());
        let stolen = token(&net, 0);
        net.run(11 * SECOND);
        if is_restarted {
            net.restart(0, ServerConfig { random: [5; 32], ..config() });
        }
        let thief = net.add(address(66, 1), stolen);
        net.run_until(HANDSHAKE, |net| net.is_connected(thief));
        net.run(12 * SECOND);
        assert_eq!((net.players(0), net.state(0)), (1, Disconnected { reason: TimedOut }));
        let loot = token(&net, thief);
        assert!(net.resume(0, home(0)));
        net.run_until(HANDSHAKE, |net| net.is_connected(0));
        net.replace(thief, address(66, 2), loot);
        net.run(6 * SECOND);
        assert!(net.is_connected(0) && !net.is_connected(thief), "restarted: {is_restarted}");
        assert!(refused(&net, Refusal::ResumeOutdated) > 0);
        assert_eq!(net.players(0), 1);
    }
}

/// Somebody who comes by way of the backend begins anew: what was handed out before is void.
#[test]
fn a_session_by_a_backends_token_voids_the_resume_tokens_before_it() {
    let mut net = playing(1, config());
    let before = token(&net, 0);
    net.clients[0].is_on = false;
    net.run(6 * SECOND);
    let fresh = net.mint(100);
    let again = net.add(elsewhere(0), fresh);
    net.run(SECOND);
    assert!(net.is_connected(again));
    let thief = net.add(address(66, 1), before);
    net.run(6 * SECOND);
    assert!(net.is_connected(again) && !net.is_connected(thief));
    assert!(refused(&net, Refusal::ResumeOutdated) > 0);
}

#[test]
fn a_goodbye_of_either_side_voids_the_resume_tokens_and_a_timeout_does_not() {
    type End = fn(&mut Net);
    let leave: End = |net| net.leave(0);
    let send_away: End = |net| net.disconnect_all(0);
    let fall_silent: End = |net| {
        net.clients[0].is_on = false;
        net.run(6 * SECOND);
    };
    for (name, end, is_back) in
        [("leave", leave, false), ("sent away", send_away, false), ("silent", fall_silent, true)]
    {
        let mut net = playing(1, config());
        let token = token(&net, 0);
        end(&mut net);
        net.run(SECOND);
        assert_eq!(net.players(0), 0, "{name}");
        net.replace(0, elsewhere(0), token);
        net.run(SECOND);
        assert_eq!(net.is_connected(0), is_back, "{name}");
        assert_eq!(refused(&net, Refusal::ResumeOutdated) > 0, !is_back, "{name}");
    }
}

/// A server that ends in good order and starts again knows nothing of its goodbyes.
#[test]
fn who_was_sent_away_may_come_back_to_the_next_boot() {
    let mut net = playing(1, config());
    net.disconnect_all(0);
    net.run(SECOND);
    assert_eq!(net.state(0), Disconnected { reason: ByServer });
    net.restart(0, ServerConfig { random: [5; 32], ..config() });
    assert!(net.resume(0, home(0)));
    net.run(SECOND);
    assert!(net.is_connected(0));
}

/// Rule 15: a drain shuts out who is sent here after it began, and nobody who was here.
#[test]
fn a_draining_server_takes_back_who_was_here_however_late_its_token_was_minted() {
    let mut net = playing(2, config());
    net.drain(0);
    net.run(25 * SECOND);
    let late = net.mint(1);
    let stranger = net.add(address(102, 1), late);
    assert!(net.resume(0, elsewhere(0)), "a token that was minted during the drain");
    net.clients[1].is_on = false;
    net.run(6 * SECOND);
    assert_eq!((net.state(0), net.state(stranger), net.players(0)), (Connected, Denied, 1));
    net.clients[1].is_on = true;
    assert!(net.resume(1, elsewhere(1)), "and one that was lost");
    net.run(SECOND);
    assert!(net.is_connected(1));
}

#[test]
fn a_drain_waits_for_those_who_were_lost_and_not_for_those_who_left() {
    let mut net = playing(2, config());
    net.drain(0);
    net.run(40 * SECOND);
    assert!(!net.is_drained(0));
    net.leave(0);
    net.clients[1].is_on = false;
    // the last token was minted up to ten seconds before the last packet
    let lost = net.run_until(6 * SECOND, |net| net.players(0) == 0);
    assert!(!net.is_drained(0), "its tokens are good");
    let waited = net.run_until(31 * SECOND, |net| net.is_drained(0));
    assert!(waited + lost >= 20 * SECOND, "{waited:?} after {lost:?}");
    let mut net = playing(1, config());
    net.drain(0);
    net.run(31 * SECOND);
    net.leave(0);
    net.run(Duration::from_millis(50));
    assert!(net.is_drained(0), "who said goodbye does not come back");
}

/// The restarted server is told to drain again, and cannot know when that first was. A token of its own says enough.
#[test]
fn a_server_that_is_restarted_while_it_drains_takes_its_players_back() {
    let mut net = playing(1, config());
    net.drain(0);
    net.run(25 * SECOND);
    net.restart(0, ServerConfig { random: [5; 32], ..config() });
    net.drain(0);
    assert!(net.resume(0, home(0)));
    net.run(SECOND);
    assert!(net.is_connected(0));
    net.leave(0);
    net.run(27 * SECOND);
    assert!(!net.is_drained(0), "tokens of the boot before may still come");
    net.run(3 * SECOND);
    assert!(net.is_drained(0));
}

#[test]
fn a_full_server_takes_back_who_is_still_here_and_denies_who_was_lost() {
    let mut net = playing(1, ServerConfig { capacity: 1, ..config() });
    assert!(net.resume(0, elsewhere(0)));
    net.run(SECOND);
    assert!(net.is_connected(0), "it takes its own place");
    net.clients[0].is_on = false;
    net.run(6 * SECOND);
    let token = net.mint(1);
    net.add(address(102, 1), token);
    net.run(SECOND);
    net.clients[0].is_on = true;
    assert!(net.resume(0, home(0)));
    net.run(SECOND);
    assert_eq!(net.state(0), Denied, "its place was given to another");
}

/// Rule 16: at connect and every ten seconds, with what the player's first token said.
#[test]
fn everybody_gets_a_token_at_connect_and_every_ten_seconds() {
    let mut net = playing(8, config());
    let mut newest: Vec<_> = (0..8).map(|client| (token(&net, client).nonce, net.elapsed)).collect();
    let mut tokens = [1; 8];
    while net.elapsed < 60 * SECOND {
        net.run(Duration::from_millis(20));
        for client in 0..8 {
            let nonce = token(&net, client).nonce;
            if nonce != newest[client].0 {
                newest[client] = (nonce, net.elapsed);
                tokens[client] += 1;
            }
            let age = net.elapsed.saturating_sub(newest[client].1);
            assert!(age <= Duration::from_millis(10_150), "{age:?} without a new one");
        }
    }
    assert!(tokens.iter().all(|&count| (6..=8).contains(&count)), "{tokens:?}");
    let sent = counters(&net).resume_tokens;
    assert!((48..=60).contains(&sent), "{sent} in a minute for eight");
    let token = token(&net, 3);
    let (private, first) = (private(&token), private(&net.clients[3].token));
    let mark = private.resume.expect("a server's own token");
    assert_eq!(token.nonce[..8], mark.serial.to_le_bytes(), "no two tokens have one nonce");
    assert!(mark.serial > mark.session && first.resume.is_none());
    assert_eq!((private.client_id, private.user_data), (first.client_id, first.user_data));
    assert_eq!((private.timeout_seconds, token.timeout_seconds), (5, 5));
    assert_eq!(private.server_addresses.as_slice(), [common::server_address()]);
    assert_ne!(private.client_to_server_key, first.client_to_server_key);
}

/// A crowd that joins at once gets its tokens over some ticks, behind the snapshots of each.
#[test]
fn tokens_of_a_crowd_are_spread_over_ticks_and_go_out_behind_the_snapshots() {
    let mut net = Net::new(vec![ServerConfig { capacity: 200, ..config() }]);
    for client in 0..200 {
        let token = net.mint(client as u64);
        net.add(home(client), token);
    }
    let mut before = 0;
    for _ in 0..16 * 12 {
        let (tick, elapsed) = (net.tick, net.elapsed);
        net.run_until(2 * tick, |net| net.elapsed >= elapsed + tick);
        let sent = counters(&net).resume_tokens;
        assert!(sent - before <= 2 * 64, "{} within a tick", sent - before);
        before = sent;
    }
    assert!((0..200).all(|client| net.clients[client].client.resume_token(net.now()).is_some()));
    let mut sent = 0;
    for tick in 1..=16 {
        let after = tick * net.tick;
        let now = gameserver_core::Now { monotonic: net.elapsed + after, unix: net.unix() + after };
        let core = &mut net.servers[0].core;
        core.step(now);
        let mut buffer = [0; 1200];
        let datagrams =
            std::iter::from_fn(|| core.poll_transmit(now, &mut buffer)).map(|transmit| transmit.len);
        let order: Vec<_> = datagrams.map(|len| len == 1162).collect();
        assert!(order.is_sorted(), "snapshots first");
        sent += order.iter().filter(|&&is_token| is_token).count();
    }
    assert_eq!(sent, 20, "a tenth of them each second");
}

#[test]
fn a_lost_token_is_made_up_for_by_the_next() {
    let mut net = Net::new(vec![config()]);
    net.rule(|flight| {
        let is_first_token = flight.bytes.len() == 1162 && flight.number < 60;
        if is_first_token { Fate::Lose } else { Fate::Arrive }
    });
    let token = net.mint(1);
    net.add(home(0), token);
    net.run(3 * SECOND);
    assert!(net.clients[0].client.resume_token(net.now()).is_none(), "it was lost");
    net.run(10 * SECOND);
    assert!(net.clients[0].client.resume_token(net.now()).is_some());
}

/// The key is succeeded: new tokens are sealed with the new one, and those under the old one stay good for their time.
#[test]
fn resume_tokens_outlive_a_change_of_the_servers_key() {
    let mut net = playing(2, config());
    let under_old = token(&net, 0);
    net.servers[0].core.install_key([8; 32]);
    net.run(11 * SECOND);
    let mut sealed = *token(&net, 1).private_token;
    let under_new = token(&net, 1);
    assert!(
        PrivateToken::open(
            &mut sealed,
            under_new.protocol_id,
            under_new.expire_unix,
            &under_new.nonce,
            &[8; 32]
        )
        .is_ok()
    );
    net.replace(0, elsewhere(0), under_old);
    assert!(net.resume(1, elsewhere(1)));
    net.run(SECOND);
    assert!(net.is_connected(0) && net.is_connected(1));
}

/// A replayed request opens nothing by itself, and who answers the challenge must have the token's keys.
#[test]
fn a_recorded_handshake_played_again_after_a_restart_opens_nothing() {
    let mut net = playing(1, config());
    let recorded = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let record = std::rc::Rc::clone(&recorded);
    net.rule(move |flight| {
        if flight.is_to_server {
            record.borrow_mut().push(flight.bytes.clone());
        }
        Fate::Arrive
    });
    assert!(net.resume(0, elsewhere(0)));
    net.run(SECOND);
    net.clients[0].is_on = false;
    net.restart(0, ServerConfig { random: [5; 32], ..config() });
    for bytes in recorded.take() {
        net.inject(Duration::ZERO, elsewhere(0), common::server_address(), bytes);
    }
    net.run(SECOND);
    assert_eq!(net.players(0), 0);
    assert!(refused(&net, Refusal::ChallengeForged) > 0, "the challenge was of another boot");
}
