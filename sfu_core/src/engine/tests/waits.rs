//! Who waits for a turn of the pacer is served when it comes, not looked at before, and never forgotten.

use super::rig::Rig;
use super::*;

/// A camera to somebody, of which so much came at once that part of it waits: who publishes, and who waits.
fn crowd(rig: &mut Rig, first: u64) -> (PeerId, PeerId) {
    let (publisher, subscriber) = (rig.join(first), rig.join(first + 1));
    let camera = rig.publish(publisher, "v", TrackSource::Camera);
    rig.subscribe(subscriber, "v", camera);
    rig.allow(camera, subscriber);
    for number in 0..40 {
        rig.ingest_video(publisher, number, number == 0, 1_100);
    }
    rig.flush();
    rig.tick();
    rig.flush();
    assert!(rig.waiting(subscriber) > 20, "{} wait", rig.waiting(subscriber));
    (publisher, subscriber)
}

/// Alice's to Bob.
fn crowded() -> (Rig, PeerId, PeerId) {
    let mut rig = Rig::new();
    let (alice, bob) = crowd(&mut rig, 1);
    (rig, alice, bob)
}

/// Goes on until nothing waits; the turns that took, each at the moment that the engine asked for.
fn drain(rig: &mut Rig, bob: PeerId) -> usize {
    let mut turns = 0;
    while rig.waiting(bob) > 0 {
        assert!(turns < 100, "{} still wait", rig.waiting(bob));
        rig.now = rig.tick();
        rig.flush();
        turns += 1;
    }
    turns
}

#[test]
fn packets_that_wait_leave_at_the_moments_that_the_engine_names() {
    let (mut rig, _, bob) = crowded();
    let next = rig.tick();
    assert!(next > rig.now());
    let waiting = rig.waiting(bob);
    rig.now += (next - rig.now) / 2;
    rig.flush();
    assert_eq!(rig.waiting(bob), waiting, "its turn has not come");
    rig.now = next;
    assert!(!rig.flush().is_empty());
    let turns = drain(&mut rig, bob);
    assert!(turns < 40, "{turns} turns");
    assert_eq!(rig.numbers(bob).len(), 40);
}

#[test]
fn sound_does_not_wait_for_pictures_that_do_and_they_come_in_their_turn() {
    let (mut rig, alice, bob) = crowded();
    let microphone = rig.publish(alice, "a", TrackSource::Microphone);
    rig.subscribe(bob, "a", microphone);
    rig.allow(microphone, bob);
    let waiting = rig.waiting(bob);
    assert_eq!(rig.send_audio(alice, 1, b"word"), [(bob, b"word".to_vec())]);
    assert_eq!(rig.waiting(bob), waiting);
    rig.ingest_video(alice, 40, false, 1_100);
    assert!(rig.flush().is_empty(), "it waits as well");
    drain(&mut rig, bob);
    assert_eq!(rig.numbers(bob).len(), 42);
}

#[test]
fn what_waits_for_others_leaves_although_the_turn_breaks_in_which_it_was_to() {
    let mut rig = Rig::new();
    let (_, dave) = crowd(&mut rig, 1);
    rig.new_room();
    let (_, bob) = crowd(&mut rig, 3);
    // Both waits end in this turn; Dave is served first.
    rig.now += Duration::from_millis(100);
    rig.break_for(Served::Peer(dave));
    rig.flush();
    assert!(rig.events().iter().any(|event| matches!(event, Event::RoomFailed { .. })), "it broke");
    drain(&mut rig, bob);
    assert_eq!(rig.numbers(bob).len(), 40);
}

#[test]
fn who_leaves_waits_no_longer() {
    let (mut rig, _, bob) = crowded();
    assert_eq!(rig.engine.pending.waiting(), 1);
    rig.command(Command::RemovePeer { peer: bob }).expect("bob is there");
    assert_eq!(rig.engine.pending.waiting(), 0);
}
