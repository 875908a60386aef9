//! What is told of sound and pictures that do not come, or do not go on.

use super::super::event::StallCause;
use super::rig::{OPUS, Rig, mid};
use super::*;
use crate::gate::Flow;
use crate::rtp::ext::ExtensionKind;

const FRAME: Duration = Duration::from_millis(20);

/// Alice's microphone and camera at Bob's.
struct Call {
    rig: Rig,
    alice: PeerId,
    bob: PeerId,
    voice: TrackId,
    face: TrackId,
    number: u16,
}

/// What was told of a track, or of a subscription to it.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    Arrives(TrackId, bool),
    Leaves(TrackId, Option<StallCause>),
}

impl Call {
    fn new() -> Self {
        let mut rig = Rig::new();
        let (alice, bob) = (rig.join(1), rig.join(2));
        let voice = rig.publish(alice, "a", TrackSource::Microphone);
        let face = rig.publish(alice, "v", TrackSource::Camera);
        for (section, track) in [("a", voice), ("v", face)] {
            rig.subscribe(bob, section, track);
            rig.allow(track, bob);
        }
        Self { rig, alice, bob, voice, face, number: 0 }
    }

    /// So many seconds in which these come.
    fn pass(&mut self, seconds: f64, voice: bool, face: bool) -> Vec<Told> {
        for _ in 0..(seconds * 50.0) as u32 {
            if voice {
                self.rig.send_audio(self.alice, self.number, b"hello");
            }
            if face {
                self.rig.ingest_video(self.alice, self.number, self.number == 0, 500);
            }
            self.rig.flush();
            self.number += 1;
            self.rig.advance(FRAME);
        }
        self.told()
    }

    fn told(&mut self) -> Vec<Told> {
        let told = |event| match event {
            Event::TrackStalled { track, stalled } => Some(Told::Arrives(track, !stalled)),
            Event::SubscriptionStalled { track, cause, .. } => Some(Told::Leaves(track, cause)),
            _ => None,
        };
        self.rig.events().into_iter().filter_map(told).collect()
    }

    /// What a snapshot says of both tracks, and of both sections of Bob's.
    fn snapshot(&mut self) -> (Vec<bool>, Vec<Option<StallCause>>) {
        let Ok(Reply::Snapshot { snapshot }) = self.rig.command(Command::Snapshot) else { panic!("a snapshot") };
        let playing = snapshot.peers.iter().flat_map(|peer| &peer.playing);
        (snapshot.tracks.iter().map(|track| track.stalled).collect(), playing.map(|section| section.stalled).collect())
    }
}

#[test]
fn nothing_is_told_while_everything_flows() {
    let mut call = Call::new();
    assert_eq!(call.pass(20.0, true, true), []);
    assert_eq!(call.snapshot(), (vec![false; 2], vec![None; 2]));
}

#[test]
fn a_picture_that_stops_is_told_to_both_ends_once_and_within_two_seconds_and_so_is_its_return() {
    let mut call = Call::new();
    call.pass(5.0, true, true);
    assert_eq!(call.pass(1.4, true, false), []);
    let (face, stalled) = (call.face, Some(StallCause::NothingArrives));
    // Each end is looked at on its own: what the one finds the other may find half a second later.
    assert_eq!(call.pass(1.2, true, false), [Told::Arrives(face, false), Told::Leaves(face, stalled)]);
    assert_eq!(call.pass(5.0, true, false), []);
    assert_eq!(call.snapshot(), (vec![false, true], vec![None, stalled]));
    assert_eq!(call.pass(1.0, true, true), [Told::Arrives(face, true), Told::Leaves(face, None)]);
}

#[test]
fn what_never_begins_is_stalled_too() {
    let mut call = Call::new();
    assert_eq!(call.pass(1.8, true, false), []);
    let stalled = Some(StallCause::NothingArrives);
    assert_eq!(call.pass(1.2, true, false), [Told::Arrives(call.face, false), Told::Leaves(call.face, stalled)]);
}

#[test]
fn what_was_muted_owes_nothing() {
    let mut call = Call::new();
    call.pass(1.0, true, true);
    let mute = |muted| Command::Mute { track: call.face, muted };
    call.rig.command(mute(true)).expect("it is there");
    assert_eq!(call.pass(10.0, true, false), []);
    call.rig.command(Command::Mute { track: call.face, muted: false }).expect("it is there");
    assert_eq!(call.pass(1.0, true, false), []);
    assert_eq!(call.pass(2.0, true, false).len(), 2, "from then on it does");
}

#[test]
fn who_has_gone_silently_is_told_of_and_who_was_never_there_is_not() {
    let mut call = Call::new();
    call.pass(1.0, true, true);
    assert_eq!(call.pass(3.0, false, false).len(), 4, "sound and picture, at both ends");
    let mut rig = Rig::new();
    let knocking = rig.knock(1);
    rig.publish(knocking, "a", TrackSource::Microphone);
    rig.events();
    rig.advance(Duration::from_secs(10));
    assert_eq!(rig.events(), []);
}

#[test]
fn nothing_is_owed_without_a_right_and_a_subscription_that_ends_is_no_longer_stalled() {
    let mut call = Call::new();
    call.pass(1.0, true, true);
    call.rig.revoke(call.face, call.bob);
    assert_eq!(call.pass(5.0, true, true), []);
    call.rig.allow(call.face, call.bob);
    // No keyframe comes.
    let paused = Told::Leaves(call.face, Some(StallCause::Paused));
    assert_eq!(call.pass(5.0, true, true), [paused]);
    call.rig.command(Command::Unsubscribe { peer: call.bob, mid: mid("v") }).expect("a subscription");
    assert_eq!(call.told(), [Told::Leaves(call.face, None)]);
    assert_eq!(call.pass(5.0, true, true), []);
}

#[test]
fn what_arrives_and_does_not_leave_is_our_fault() {
    let mut call = Call::new();
    call.pass(1.0, true, true);
    // As a bug would: the gate knows nothing of a right that everybody else knows of.
    call.rig.engine.gate.revoke(Flow::Track(call.voice), call.bob);
    let ours = Told::Leaves(call.voice, Some(StallCause::NotForwarded));
    assert_eq!(call.pass(3.0, true, true), [ours]);
}

#[test]
fn a_voice_that_is_left_out_in_a_large_room_is_not_stalled() {
    let mut rig = Rig::new();
    let bob = rig.join(100);
    let voices: Vec<PeerId> = (1..=10).map(|who| rig.join(who)).collect();
    let tracks: Vec<TrackId> = voices.iter().map(|voice| rig.publish(*voice, "a", TrackSource::Microphone)).collect();
    rig.subscribe(bob, "a", tracks[0]);
    rig.allow(tracks[0], bob);
    for n in 0..400 {
        for (place, voice) in voices.iter().enumerate() {
            let level = [0x80 | if place == 0 { 90 } else { 10 }];
            rig.ingest_with(*voice, (OPUS, 1), n, u32::from(n) * 960, b"x", &[(ExtensionKind::AudioLevel, &level)]);
        }
        rig.advance(FRAME);
    }
    let told = rig.events().into_iter().filter(|event| matches!(event, Event::SubscriptionStalled { .. })).count();
    assert_eq!(told, 0);
}
