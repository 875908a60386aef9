use super::*;
use crate::session::Codec;
use crate::units::start;

fn video(timestamp: u32, tid: u8) -> PacketFacts {
    PacketFacts {
        arrival: start(),
        sequence: u64::from(timestamp),
        timestamp,
        payload_len: 1_000,
        codec: Codec::Vp8,
        marker: true,
        keyframe: false,
        may_be_keyframe: false,
        layer_sync: false,
        padding_only: false,
        tid: Some(tid),
        vp8: None,
    }
}

fn keyframe(timestamp: u32) -> PacketFacts {
    PacketFacts { keyframe: true, ..video(timestamp, 0) }
}

fn on(encoding: u8) -> Target {
    Target { encoding: Some(encoding), temporal: ALL_TEMPORAL }
}

const GOES: Verdict = Verdict::Forward { switched: false };
const SWITCHES: Verdict = Verdict::Forward { switched: true };

#[test]
fn nothing_goes_out_before_a_keyframe_of_the_target() {
    let mut selector = Selector::new(1);
    selector.set_target(on(0));
    assert_eq!(selector.needs_keyframe(), Some(0));
    assert_eq!(selector.wants(&video(1, 0), 0), Verdict::Skip);
    assert_eq!(selector.wants(&keyframe(2), 0), SWITCHES);
    assert_eq!(selector.wants(&video(3, 0), 0), GOES);
    assert_eq!(selector.needs_keyframe(), None);
}

#[test]
fn the_old_encoding_goes_on_until_the_keyframe_of_the_new_one() {
    let mut selector = Selector::new(3);
    selector.set_target(on(0));
    selector.wants(&keyframe(1), 0);
    selector.set_target(on(2));
    assert_eq!(selector.needs_keyframe(), Some(2));
    assert_eq!(selector.wants(&video(2, 0), 0), GOES);
    assert_eq!(selector.wants(&video(2, 0), 2), Verdict::Skip);
    assert_eq!(selector.wants(&keyframe(3), 1), Verdict::Skip);
    assert_eq!(selector.wants(&keyframe(3), 2), SWITCHES);
    assert_eq!(selector.wants(&video(4, 0), 0), Verdict::Skip);
    assert_eq!(selector.current(), Some(2));
}

#[test]
fn any_audio_packet_is_a_beginning() {
    let mut selector = Selector::new(1);
    selector.set_target(on(0));
    let packet = PacketFacts { codec: Codec::Opus, tid: None, ..video(1, 0) };
    assert_eq!(selector.wants(&packet, 0), SWITCHES);
    assert_eq!(selector.wants(&packet, 0), GOES);
}

#[test]
fn a_pause_acts_at_once_and_ends_at_a_keyframe() {
    let mut selector = Selector::new(1);
    selector.set_target(on(0));
    selector.wants(&keyframe(1), 0);
    selector.set_target(Target::PAUSED);
    assert_eq!(selector.wants(&keyframe(2), 0), Verdict::Skip);
    assert_eq!(selector.needs_keyframe(), None);
    selector.set_target(on(0));
    assert_eq!(selector.wants(&video(3, 0), 0), Verdict::Skip);
    assert_eq!(selector.wants(&keyframe(4), 0), SWITCHES);
}

#[test]
fn temporal_layers_go_down_between_frames() {
    let mut selector = Selector::new(1);
    selector.set_target(on(0));
    selector.wants(&keyframe(1), 0);
    assert_eq!(selector.wants(&video(2, 2), 0), GOES);
    selector.set_target(Target { encoding: Some(0), temporal: 0 });
    assert_eq!(selector.wants(&video(2, 2), 0), GOES, "the frame that has begun is finished");
    assert_eq!(selector.wants(&video(3, 2), 0), Verdict::Drop);
    assert_eq!(selector.wants(&video(4, 0), 0), GOES);
}

#[test]
fn temporal_layers_go_up_one_by_one_where_they_can_be_decoded() {
    let mut selector = Selector::new(1);
    selector.set_target(Target { encoding: Some(0), temporal: 0 });
    selector.wants(&keyframe(1), 0);
    selector.set_target(on(0));
    let sync = |timestamp, tid| PacketFacts { layer_sync: true, ..video(timestamp, tid) };
    assert_eq!(selector.wants(&video(2, 1), 0), Verdict::Drop);
    assert_eq!(selector.wants(&sync(2, 1), 0), Verdict::Drop, "a frame is not begun in its middle");
    assert_eq!(selector.wants(&sync(3, 2), 0), Verdict::Drop, "layer 1 comes first");
    assert_eq!(selector.wants(&sync(4, 1), 0), GOES);
    assert_eq!(selector.wants(&video(5, 2), 0), Verdict::Drop);
    assert_eq!(selector.wants(&sync(6, 2), 0), GOES);
    assert_eq!(selector.wants(&video(7, 1), 0), GOES);
}

#[test]
fn a_keyframe_opens_all_temporal_layers() {
    let mut selector = Selector::new(1);
    selector.set_target(Target { encoding: Some(0), temporal: 0 });
    selector.wants(&keyframe(1), 0);
    selector.set_target(on(0));
    assert_eq!(selector.wants(&keyframe(2), 0), GOES);
    assert_eq!(selector.wants(&video(3, 2), 0), GOES);
}

#[test]
fn padding_of_the_current_encoding_is_swallowed() {
    let mut selector = Selector::new(2);
    selector.set_target(on(0));
    selector.wants(&keyframe(1), 0);
    let padding = PacketFacts { padding_only: true, ..video(2, 0) };
    assert_eq!(selector.wants(&padding, 0), Verdict::Drop);
    assert_eq!(selector.wants(&padding, 1), Verdict::Skip);
}

#[test]
fn an_encoding_that_does_not_exist_means_the_highest() {
    let mut selector = Selector::new(2);
    selector.set_target(on(7));
    assert_eq!(selector.needs_keyframe(), Some(1));
}
