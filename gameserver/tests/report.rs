//! Reports to an operator: the real program against replicas that speak the contract over TLS.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up must stop")]

mod common;

use std::net::UdpSocket;
use std::time::Duration;

use common::operator::{Authority, Replica, start, start_with};
use common::{Player, Players, Server, await_some, mint, now, sockets_of_zones};
use gameserver::random_bytes;
use gameserver_contract::{
    CONTRACT_VERSION, Histogram, OperatorMessage, Phase, ServerMessage, TOKEN_LIFETIME_SECONDS,
};

fn health_of(server: &Server) -> serde_json::Value {
    let (_, body) = server.get("/health");
    let health: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(health["service"]["game_server"], "arena-1", "{health:#}");
    health
}

/// Status and message of a check of `/health`.
fn health(server: &Server, check: &str) -> (String, String) {
    let health = health_of(server);
    let checks = health["checks"].as_array().unwrap();
    let found = checks.iter().find(|found| found["name"] == check).unwrap();
    (found["status"].as_str().unwrap().to_owned(), found["message"].as_str().unwrap().to_owned())
}

#[test]
fn health_says_whether_an_operator_hears_the_server_and_can_do_so_again() {
    let authority = Authority::new();
    let replica = Replica::new(&authority);
    let (server, files) = start(replica.address(), &authority.bundle);
    let said = |check: &str, status: &str, message: &str| {
        await_some(message, || {
            let (found, text) = health(&server, check);
            (text.starts_with(message) && found == status).then_some(())
        });
    };
    said("reports", "degraded", "no report stream for ");
    let (mut stream, _) = replica.accept();
    stream.welcome(&[&replica], random_bytes().unwrap());
    said("reports", "healthy", "open report streams: 1");
    said("files", "healthy", "2 files can be read");
    let uptime = |server: &Server| health_of(server)["uptime_seconds"].as_f64().unwrap();
    await_some("three seconds with a stream", || (uptime(&server) > 3.0).then_some(()));
    drop((stream, replica));
    said("reports", "degraded", "no report stream for ");
    let (_, message) = health(&server, "reports");
    let since: f64 = message.split(' ').nth(4).unwrap().parse().unwrap();
    assert!(since + 1.5 < uptime(&server), "counted from when it was last there: {message}");
    std::fs::write(&files.token.0, "").unwrap();
    said("files", "unhealthy", "failed to read ");
    assert_eq!(server.get("/health").0, 503);
    assert_eq!(server.get("/livez").0, 200, "a restart would not help");
}

#[test]
fn a_server_says_who_it_is_gets_its_key_and_reports_what_players_do() {
    let authority = Authority::new();
    let replica = Replica::new(&authority);
    let (server, _files) = start(replica.address(), &authority.bundle);
    assert_eq!(server.get("/readyz"), (503, "no key yet\n".to_owned()));
    let (mut stream, hello) = replica.accept();
    let told =
        (hello.contract_version, hello.token.as_str(), hello.namespace.as_str(), hello.game_server.as_str());
    assert_eq!(told, (CONTRACT_VERSION, "first token", "games", "arena-1"));
    assert_eq!((hello.game_server_uid.as_str(), hello.capacity, hello.tick_hz), ("7a3d", 50, 64));
    assert_eq!(hello.drain_order, None);

    let key = random_bytes().unwrap();
    stream.welcome(&[&replica], key);
    stream.report("it is ready", |report| report.phase == Phase::Ready);
    assert_eq!(server.get("/readyz").0, 200);
    let mut players = Players::new(5, server.udp, &key);
    players.play_until("moves", |players| players.iter().all(|player| player.latencies.len() >= 3));
    let report = stream.report("players are reported", |report| report.players == 5);
    assert_eq!(report.joins_total, 5);
    let next = stream.report("the next report", |_| true);
    assert_eq!(next.seq, report.seq + 1);
    assert!(!next.tick_us.buckets.is_empty());

    players.leave();
    server.signal("-TERM");
    stream.report("it drains", |report| report.phase == Phase::Draining);
    server.signal("-TERM");
    let last = stream.until_ended().pop();
    assert!(
        matches!(&last, Some(ServerMessage::Report(report)) if report.phase == Phase::Stopped),
        "{last:?}"
    );
    assert!(server.wait().0.success());
}

#[test]
fn streams_follow_the_replicas_and_come_back_to_the_service_when_all_are_lost() {
    let authority = Authority::new();
    let (service, one, two) = (Replica::new(&authority), Replica::new(&authority), Replica::new(&authority));
    let (server, files) = start(service.address(), &authority.bundle);
    let key = random_bytes().unwrap();

    let (mut by_service, _) = service.accept();
    by_service.welcome(&[&one], key);
    let (mut to_one, _) = one.accept();
    to_one.welcome(&[&one], key);
    by_service.until_ended(); // a replica's own stream makes the Service's unneeded

    to_one.say(&OperatorMessage::Replicas { addresses: vec![one.address(), two.address()] });
    let (mut to_two, _) = two.accept();
    to_two.welcome(&[&one, &two], key);
    to_one.report("one hears reports", |report| report.phase == Phase::Ready);
    to_two.report("two hears reports", |report| report.phase == Phase::Ready);

    // the token is read anew at each connect
    std::fs::write(&files.token.0, "second token").unwrap();
    drop((one, two, to_one, to_two));
    let (mut again, hello) = service.accept();
    assert_eq!(hello.token, "second token");
    again.welcome(&[], key);
    again.report("it reports again", |report| report.phase == Phase::Ready);
    drop(server);
}

#[test]
fn the_newest_drain_order_of_any_replica_holds_and_is_told_to_the_next() {
    let authority = Authority::new();
    let (one, two) = (Replica::new(&authority), Replica::new(&authority));
    let (server, _files) = start(one.address(), &authority.bundle);
    let key = random_bytes().unwrap();
    let (mut to_one, _) = one.accept();
    to_one.welcome(&[&one, &two], key);
    let (mut to_two, _) = two.accept();
    to_two.welcome(&[&one, &two], key);

    to_one.say(&OperatorMessage::Drain { order: 1 });
    to_two.report("both see it drain", |report| report.phase == Phase::Draining);
    to_two.say(&OperatorMessage::Undrain { order: 1 });
    to_one.report("both see it play again", |report| report.phase == Phase::Ready);
    to_two.say(&OperatorMessage::Drain { order: 2 });
    to_one.report("it drains again", |report| report.phase == Phase::Draining);
    to_one.say(&OperatorMessage::Undrain { order: 1 });

    drop(to_two);
    let (_, hello) = two.accept();
    assert_eq!(hello.drain_order, Some(2), "a late undrain of an older order changes nothing");
    assert_eq!(server.get("/readyz"), (503, "draining\n".to_owned()));
}

#[test]
fn a_replica_that_another_authority_signed_hears_nothing() {
    let (authority, another) = (Authority::new(), Authority::new());
    let replica = Replica::new(&another);
    let (server, _files) = start(replica.address(), &authority.bundle);
    assert_eq!(replica.accept_anybody().read(), None);
    let ended = server.logged("a report stream ended");
    assert_eq!(ended["error"], "failed the TLS handshake");
}

#[test]
fn a_refused_server_says_why_in_its_log_and_tries_again() {
    let authority = Authority::new();
    let replica = Replica::new(&authority);
    let (server, _files) = start(replica.address(), &authority.bundle);
    let (mut stream, _) = replica.accept();
    stream.say(&OperatorMessage::Refused { reason: "no such pod".to_owned() });
    assert_eq!(server.logged("a report stream ended")["error"], "refused: no such pod");
    let (mut stream, _) = replica.accept();
    stream.welcome(&[&replica], random_bytes().unwrap());
    stream.report("it is ready", |report| report.phase == Phase::Ready);
}

#[test]
fn every_line_of_the_log_says_whom_it_is_about() {
    let authority = Authority::new();
    let replica = Replica::new(&authority);
    let (server, _files) = start(replica.address(), &authority.bundle);
    let (mut stream, _) = replica.accept();
    stream.say(&OperatorMessage::Refused { reason: "no such pod".to_owned() });
    server.logged("a report stream ended");
    let (mut stream, _) = replica.accept();
    stream.welcome(&[&replica], random_bytes().unwrap());
    stream.report("it is ready", |report| report.phase == Phase::Ready);
    server.signal("-TERM");
    server.logged("draining before the end");
    server.signal("-TERM");
    stream.until_ended();
    let (_, log) = server.wait();
    assert!(
        log.iter().any(|line| line["message"] == "the zone thread floats"),
        "the zone's lines too: {log:#?}"
    );
    for line in log {
        let span = &line["span"];
        let about = [&span["kind"], &span["namespace"], &span["object"], &span["uid"], &span["fleet"]]
            .map(|field| field.as_str());
        let expected = ["GameServer", "games", "arena-1", "7a3d", "arena"].map(Some);
        assert_eq!(about, expected, "{line}");
    }
}

#[test]
fn a_bundle_with_a_new_authority_is_read_at_the_next_connect() {
    let (old, new) = (Authority::new(), Authority::new());
    let mut replica = Replica::new(&old);
    let (server, files) = start(replica.address(), &old.bundle);
    let (mut stream, _) = replica.accept();
    stream.welcome(&[&replica], random_bytes().unwrap());
    stream.report("it is ready", |report| report.phase == Phase::Ready);

    std::fs::write(&files.bundle.0, format!("{}{}", old.bundle, new.bundle)).unwrap();
    stream.report("a changed file ends no stream", |report| report.phase == Phase::Ready);
    replica.renew(&new);
    drop(stream);
    let (mut again, _) = replica.accept();
    again.welcome(&[&replica], random_bytes().unwrap());
    again.report("it trusts the new one without a restart", |report| report.phase == Phase::Ready);
    assert_eq!(server.get("/readyz"), (200, "ok\n".to_owned()));
}

/// A player for each of these sockets, of whom everyone plays.
fn players_behind(server: &Server, key: &[u8; 32], sockets: impl IntoIterator<Item = UdpSocket>) -> Players {
    let mut players = Players::new(0, server.udp, key);
    for (number, socket) in (1..).zip(sockets) {
        players.add(mint(number, server.udp, key, now(&players.clock)), socket);
    }
    players.play_until("everyone to be in", |players| players.iter().all(Player::is_playing));
    players
}

#[test]
fn what_zones_do_is_reported_as_what_the_server_does() {
    let authority = Authority::new();
    let replica = Replica::new(&authority);
    let (server, _files) = start_with(replica.address(), &authority.bundle, &["--zones", "3"]);
    let (mut stream, hello) = replica.accept();
    assert_eq!(hello.capacity, 50, "of all zones together");
    let key = random_bytes().unwrap();
    stream.welcome(&[&replica], key);
    stream.report("it is ready", |report| report.phase == Phase::Ready);
    let sockets = sockets_of_zones::<3>(&server, 2);
    let mut players = players_behind(&server, &key, sockets.into_iter().flatten());
    let report = stream.report("all of them", |report| report.players == 6);
    assert_eq!(report.joins_total, 6);
    players.leave();
    let report = stream.report("nobody is there any more", |report| report.players == 0);
    assert_eq!(report.joins_total, 6);
    let next = stream.report("each", |_| true);
    assert_eq!(next.seq, report.seq + 1, "none is missing");
}

#[test]
fn a_zone_that_has_more_to_do_than_others_is_what_a_report_says_of_queues() {
    let authority = Authority::new();
    let replica = Replica::new(&authority);
    let (server, _files) = start_with(replica.address(), &authority.bundle, &["--zones", "3"]);
    let (mut stream, _) = replica.accept();
    let key = random_bytes().unwrap();
    stream.welcome(&[&replica], key);
    stream.report("it is ready", |report| report.phase == Phase::Ready);
    let [here, _, _] = sockets_of_zones::<3>(&server, 12);
    let mut players = players_behind(&server, &key, here);
    let messages = stream.listen();
    // twelve players have an input under way each. Of the ticks of all zones together most have none
    players.play_until("a report in which most ticks have inputs", |_| {
        messages.try_iter().any(|message| {
            let ServerMessage::Report(report) = message else { return false };
            let mut queue = Histogram::default();
            queue.add(&report.queue_depth);
            queue.count() > 1 && queue.quantile(0.5) > Some(1)
        })
    });
    assert_eq!(server.by_zone("gameserver_players"), [12.0, 0.0, 0.0]);
}

#[test]
fn a_drain_is_acknowledged_when_the_last_zone_is_drained_and_no_sooner() {
    let authority = Authority::new();
    let replica = Replica::new(&authority);
    let (server, _files) = start_with(replica.address(), &authority.bundle, &["--zones", "3"]);
    let (mut stream, _) = replica.accept();
    let key = random_bytes().unwrap();
    stream.welcome(&[&replica], key);
    stream.report("it is ready", |report| report.phase == Phase::Ready);
    let mut one = Players::new(1, server.udp, &key);
    one.play_until("a player in one of the zones", |players| players[0].is_playing());
    stream.say(&OperatorMessage::Drain { order: 7 });
    let messages = stream.listen();
    let is_ack = |message: &ServerMessage| matches!(message, ServerMessage::DrainAcked { order: 7 });
    // until the tokens of before have expired, and every other zone is drained
    let drained = one.clock.monotonic() + Duration::from_secs(TOKEN_LIFETIME_SECONDS + 2);
    let clock = one.clock;
    while clock.monotonic() < drained {
        one.play_until("some more moves", |_| {
            messages.try_recv().is_ok_and(|heard| {
                assert!(!is_ack(&heard), "there is somebody in a zone");
                true
            })
        });
    }
    assert!(one.players[0].is_playing());
    one.leave();
    await_some("the acknowledgement", || messages.try_iter().any(|heard| is_ack(&heard)).then_some(()));
}

/// Its pod knows its node by an address of the cluster's own network, and players come from outside.
#[test]
fn players_reach_a_server_where_the_operator_says_that_they_do() {
    let authority = Authority::new();
    let service = Replica::new(&authority);
    let (server, _files) = start_with(service.address(), &authority.bundle, &["--host-ip", "192.0.2.7"]);
    let key = random_bytes().unwrap();
    let (mut stream, _) = service.accept();
    stream.welcome_at(&[], key, Some(server.udp.ip()));
    let report = stream.report("it is ready", |report| report.phase == Phase::Ready);
    assert_eq!(report.reached_at, Some(server.udp.ip()));
    let (mut again, _) = {
        drop(stream);
        service.accept()
    };
    again.welcome(&[], key);
    let report = again.report("it is ready still", |report| report.phase == Phase::Ready);
    assert_eq!(
        report.reached_at,
        Some(server.udp.ip()),
        "a replica that knows nothing of it takes nothing back"
    );
    Players::new(1, server.udp, &key)
        .play_until("a player is in by that address", |players| players.iter().all(Player::is_playing));
}
