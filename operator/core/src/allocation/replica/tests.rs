//! What one replica does, and what it wants written, in cases that the model does not single out.

use super::*;

/// One that allocates, alone and with one server that holds nothing.
fn allocator() -> Replica {
    let (mut replica, mut out) = (Replica::new(ReplicaId(1)), Vec::new());
    replica.observe(Duration::ZERO, Some(Epoch::first(ReplicaId(1))), &mut out);
    let holding = Holding { reign: replica.reign(), ..Holding::default() };
    replica.hello(Duration::ZERO, &"s".into(), &holding, &mut out);
    replica.settle(Duration::ZERO, &["s".into()].into(), &mut out);
    assert!(!replica.is_settling());
    replica
}

#[test]
fn a_key_that_nobody_waits_for_is_forgotten_unless_a_server_was_asked_to_take_it() {
    let (key, server): (Key, ServerUid) = ("k".into(), "s".into());
    let (mut replica, mut out) = (allocator(), Vec::new());
    replica.ask(key.clone(), &mut out);
    replica.withdraw(&key);
    out.clear();
    replica.chosen(&key, Some(server.clone()), &mut out);
    assert_eq!(out, [], "it is proposed to nobody");

    replica.ask(key.clone(), &mut out);
    replica.chosen(&key, Some(server.clone()), &mut out);
    replica.withdraw(&key);
    out.clear();
    let taken = Judgement { reign: replica.reign(), verdict: Verdict::Taken };
    replica.answered(Duration::ZERO, &server, &key, taken, &mut out);
    assert_eq!(out, [Output::Answer(key, Answer::Given(server))], "what it has taken is known");
}

#[test]
fn an_allocator_whose_object_is_lost_or_goes_back_writes_it_anew_and_goes_on() {
    let mut replica = allocator();
    let second = Epoch::first(ReplicaId(1)).with(ReplicaId(2));
    replica.observe(Duration::ZERO, Some(second.clone()), &mut Vec::new());
    let again = Epoch { number: second.number + 1, ..second.clone() };
    let old = Epoch { reign: 1, number: 1, ..Epoch::first(ReplicaId(7)) };
    for found in [None, Some(old), Some(Epoch { in_sync: BTreeSet::new(), ..second })] {
        let mut out = Vec::new();
        replica.observe(Duration::ZERO, found.clone(), &mut out);
        assert_eq!(out, [Output::Write(Write { found, next: again.clone() })]);
        assert!(replica.is_allocator() && !replica.is_settling());
    }
    let mut out = Vec::new();
    replica.observe(Duration::ZERO, Some(again), &mut out);
    assert_eq!(out, [], "it stands");
}

#[test]
fn who_is_to_succeed_by_an_object_that_went_back_begins_anew_for_it_may_lack_what_was_answered() {
    let epoch = Epoch { number: 7, reign: 3, ..Epoch::first(ReplicaId(1)) }.with(ReplicaId(2));
    let old = Epoch { number: 2, reign: 2, ..Epoch::first(ReplicaId(1)) };
    for (case, stands, server_says, anew) in [
        ("as it was", Some(epoch.clone()), 3, false),
        ("an old copy", Some(old), 3, true),
        ("lost", None, 3, true),
        ("a server knows of more", Some(epoch.clone()), 9, true),
    ] {
        let (mut replica, mut out) = (Replica::new(ReplicaId(2)), Vec::new());
        replica.observe(Duration::ZERO, Some(epoch.clone()), &mut out);
        replica.observe(Duration::ZERO, stands.clone(), &mut out);
        let holding = Holding { reign: server_says, ..Holding::default() };
        replica.hello(Duration::ZERO, &"s".into(), &holding, &mut out);
        assert_eq!(out, [], "{case}");
        replica.silent(ReplicaId(1), &mut out);
        let next = Epoch { restored: anew, ..Epoch::anew(ReplicaId(2), server_says.max(8)) };
        assert_eq!(out, [Output::Write(Write { found: stands, next })], "{case}");
    }
}

#[test]
fn who_is_named_by_an_object_that_servers_are_ahead_of_begins_anew_unless_somebody_told_it_more() {
    let me = ReplicaId(2);
    for is_told in [false, true] {
        let (mut replica, mut out) = (Replica::new(me), Vec::new());
        replica.observe(Duration::ZERO, None, &mut out);
        assert_eq!(out, [Output::Write(Write { found: None, next: Epoch::first(me) })]);
        replica.observe(Duration::ZERO, Some(Epoch::first(me)), &mut out);
        assert!(replica.is_allocator());
        let later = Epoch::anew(ReplicaId(1), Epoch::first(me).number).reign;
        let holding = Holding { reign: later, ..Holding::default() };
        replica.hello(Duration::ZERO, &"s".into(), &holding, &mut out);
        assert!(!replica.is_allocator(), "a server knows of a later reign");
        if is_told {
            replica.linked(ReplicaId(1), &mut out);
            let whole = Message::Whole { reign: later, up_to: 0, lines: Vec::new() };
            replica.heard(Duration::ZERO, ReplicaId(1), whole, &mut out);
        }
        out.clear();
        replica.observe(Duration::ZERO, Some(Epoch::first(me)), &mut out);
        let next = Write { found: Some(Epoch::first(me)), next: Epoch::anew(me, later) };
        assert_eq!(out, if is_told { vec![] } else { vec![Output::Write(next.clone())] });
        replica.unlinked(ReplicaId(1));
        out.clear();
        replica.observe(Duration::ZERO, Some(Epoch::first(me)), &mut out);
        assert_eq!(out, [Output::Write(next)], "and when that one is gone");
    }
}

#[test]
fn whoever_hears_of_its_own_reign_before_it_reads_its_epoch_goes_on_with_what_it_has() {
    let (me, before) = (ReplicaId(2), Epoch::first(ReplicaId(1)).with(ReplicaId(2)));
    let (mut replica, mut out) = (Replica::new(me), Vec::new());
    replica.observe(Duration::ZERO, Some(before.clone()), &mut out);
    let mine = before.succeed(me, &BTreeSet::new()).unwrap();
    replica.linked(ReplicaId(1), &mut out);
    replica.heard(Duration::ZERO, ReplicaId(1), Message::Later { reign: mine.reign }, &mut out);
    replica.observe(Duration::ZERO, Some(mine), &mut out);
    assert!(replica.is_allocator() && !replica.is_settling());
}

#[test]
fn a_server_that_says_it_knows_of_a_reign_without_end_is_not_believed() {
    let (mut replica, mut out) = (allocator(), Vec::new());
    let holding = Holding { reign: u64::MAX, ..Holding::default() };
    replica.hello(Duration::ZERO, &"s".into(), &holding, &mut out);
    assert!(replica.is_allocator());
}
