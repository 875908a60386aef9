//! The second table is told what was asked, not what the engine made of it: a handler that errs is caught.

use super::rig::Rig;
use super::*;
use crate::engine::{data, subscribe};

/// Alice speaks, Bob may hear her, Eve may not.
fn call() -> (Rig, PeerId, PeerId, PeerId, TrackId) {
    let mut rig = Rig::new();
    let (alice, bob, eve) = (rig.join(1), rig.join(2), rig.join(3));
    let track = rig.publish(alice, "a", TrackSource::Microphone);
    for listener in [bob, eve] {
        rig.subscribe(listener, "a", track);
    }
    rig.allow(track, bob);
    assert_eq!(rig.send_audio(alice, 1, b"hush"), [(bob, b"hush".to_vec())]);
    assert_eq!(rig.stats().unauthorized_forwards, 0);
    (rig, alice, bob, eve, track)
}

#[test]
fn what_a_handler_grants_to_another_than_it_was_told_is_counted() {
    let (mut rig, alice, bob, eve, track) = call();
    let now = rig.now();
    subscribe::allow(&mut rig.engine, track, eve, false, now).expect("as a handler would that took the wrong one");
    assert_eq!(rig.send_audio(alice, 2, b"leak"), [(bob, b"leak".to_vec()), (eve, b"leak".to_vec())]);
    assert_eq!(rig.stats().unauthorized_forwards, 1);
}

#[test]
fn what_a_handler_does_not_end_is_counted() {
    let (mut rig, alice, bob, eve, track) = call();
    rig.revoke(track, bob);
    let now = rig.now();
    subscribe::allow(&mut rig.engine, track, bob, false, now).expect("as if the handler had done nothing");
    assert_eq!(rig.send_audio(alice, 2, b"leak"), [(bob, b"leak".to_vec())]);
    assert_eq!(rig.stats().unauthorized_forwards, 1);
    rig.allow(track, eve);
    assert_eq!(rig.send_audio(alice, 3, b"both").len(), 2);
    assert_eq!(rig.stats().unauthorized_forwards, 2, "Eve's is in order");
}

#[test]
fn a_slot_that_is_used_again_has_no_grant_of_its_past() {
    let (mut rig, alice, bob, _, track) = call();
    rig.command(Command::RemovePeer { peer: bob }).expect("bob is there");
    let carol = rig.join(4);
    assert_eq!(carol.slot(), bob.slot());
    rig.subscribe(carol, "a", track);
    let now = rig.now();
    subscribe::allow(&mut rig.engine, track, carol, false, now).expect("by nobody's command");
    assert_eq!(rig.send_audio(alice, 2, b"leak").len(), 1);
    assert_eq!(rig.stats().unauthorized_forwards, 1);
}

#[test]
fn the_rights_of_a_room_end_with_it_in_the_second_table_too() {
    let (mut rig, alice, bob, eve, track) = call();
    rig.command(Command::AllowData { publisher: alice, subscriber: bob }).expect("an edge");
    let room = rig.room;
    rig.command(Command::RemoveRoom { room }).expect("the room is there");
    rig.engine.witness.observe(track, bob);
    rig.engine.data_witness.observe(alice, bob);
    assert_eq!(rig.stats().unauthorized_forwards, 2);
    assert_eq!(data::allow(&mut rig.engine, alice, eve), Err(Refusal::UnknownPeer));
}

#[test]
fn a_message_that_a_handler_lets_through_by_itself_is_counted() {
    let (mut rig, alice, bob, eve, _) = call();
    rig.command(Command::AllowData { publisher: alice, subscriber: bob }).expect("an edge");
    data::allow(&mut rig.engine, alice, eve).expect("by nobody's command");
    rig.engine.data_witness.observe(alice, bob);
    assert_eq!(rig.stats().unauthorized_forwards, 0);
    rig.engine.data_witness.observe(alice, eve);
    assert_eq!(rig.stats().unauthorized_forwards, 1);
}

#[test]
fn a_withdrawal_that_comes_after_its_subscriber_has_gone_takes_nothing_from_who_has_its_slot_now() {
    let (mut rig, alice, bob, _, track) = call();
    rig.command(Command::AllowData { publisher: alice, subscriber: bob }).expect("an edge");
    rig.command(Command::RemovePeer { peer: bob }).expect("bob is there");
    let carol = rig.join(4);
    assert_eq!(carol.slot(), bob.slot());
    rig.subscribe(carol, "a", track);
    rig.allow(track, carol);
    rig.command(Command::AllowData { publisher: alice, subscriber: carol }).expect("an edge");
    assert_eq!(rig.command(Command::Revoke { track, subscriber: bob }), Err(Refusal::UnknownPeer));
    assert!(rig.command(Command::RevokeData { publisher: alice, subscriber: bob }).is_err());
    assert_eq!(rig.send_audio(alice, 2, b"hello"), [(carol, b"hello".to_vec())]);
    rig.engine.data_witness.observe(alice, carol);
    assert_eq!(rig.stats().unauthorized_forwards, 0);
}

#[test]
fn in_a_room_of_a_hundred_whoever_may_hear_is_known_whoever_else_has_gone_and_come() {
    let mut rig = Rig::new();
    let alice = rig.join(1);
    let track = rig.publish(alice, "a", TrackSource::Microphone);
    let listeners: Vec<PeerId> = (2..102).map(|participant| rig.join(participant)).collect();
    let (early, late, last) = (listeners[9], listeners[70], listeners[90]);
    for listener in [early, late] {
        rig.subscribe(listener, "a", track);
        rig.allow(track, listener);
    }
    rig.command(Command::RemovePeer { peer: early }).expect("it is there");
    rig.subscribe(last, "a", track);
    rig.allow(track, last);
    assert_eq!(rig.send_audio(alice, 1, b"hush").len(), 2);
    assert_eq!(rig.stats().unauthorized_forwards, 0);
    rig.revoke(track, late);
    let now = rig.now();
    subscribe::allow(&mut rig.engine, track, late, false, now).expect("by nobody's command");
    assert_eq!(rig.send_audio(alice, 2, b"leak").len(), 2);
    assert_eq!(rig.stats().unauthorized_forwards, 1);
}
