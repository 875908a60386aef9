use std::time::{Duration, Instant};

use super::*;
use crate::clock::Clock;
use crate::media::{Camera, MediaPacket, VideoConfig};

const SSRC: u32 = 1;
const SOURCE: u32 = 7;

/// What a perfect link delivers of a second of video.
fn perfect(config: VideoConfig) -> (Instant, Vec<Arrival>) {
    let start = Clock::new().start();
    let mut camera = Camera::new(SOURCE, 0, config, start, start);
    let mut packets: Vec<MediaPacket> = Vec::new();
    while camera.poll_timeout() < start + Duration::from_secs(1) {
        packets.extend(camera.poll_frame(camera.poll_timeout()));
    }
    let first_timestamp = packets[0].timestamp;
    let arrivals = packets.into_iter().enumerate().map(|(index, packet)| {
        let at = start + packet.stamp.captured();
        Arrival {
            at,
            departure: Departure { serial: index as u64, at },
            sequence: index as u64,
            timestamp: u64::from(packet.timestamp.wrapping_sub(first_timestamp)),
            marker: packet.marker,
            payload_type: 96,
            picture: None,
            stamp: Some(packet.stamp),
        }
    });
    (start, arrivals.collect())
}

fn heard(arrivals: impl IntoIterator<Item = Arrival>) -> Oracle {
    let mut oracle = Oracle::default();
    arrivals.into_iter().for_each(|arrival| oracle.record(SSRC, arrival));
    oracle
}

fn reception(oracle: &Oracle) -> &Reception {
    oracle.reception(SSRC).expect("something arrived")
}

#[test]
fn nothing_is_wrong_with_a_perfect_reception() {
    for temporal_layers in 1..=3 {
        let (start, arrivals) = perfect(VideoConfig { temporal_layers, ..VideoConfig::default() });
        let count = arrivals.len();
        let oracle = heard(arrivals);
        let reception = reception(&oracle);
        let faults = [
            reception.missing(),
            reception.repeated(),
            reception.timestamps_going_back(),
            reception.confused_frames(),
            reception.bad_switches(),
            reception.undecodable_frames(),
            reception.damaged(),
        ];
        assert_eq!(faults, [0; 7]);
        assert_eq!(reception.in_time(SOURCE, Duration::ZERO, start), count);
    }
}

#[test]
fn a_lost_packet_of_layer_0_spoils_every_frame_up_to_the_next_keyframe() {
    let (_, mut arrivals) = perfect(VideoConfig { keyframe_interval: 15, ..VideoConfig::default() });
    let lost = arrivals.iter().position(|arrival| arrival.stamp.is_some_and(|s| s.frame == 5)).expect("a frame 5");
    arrivals.remove(lost);
    let oracle = heard(arrivals);
    assert_eq!(reception(&oracle).missing(), 1);
    assert_eq!(reception(&oracle).undecodable_frames(), 10);
}

#[test]
fn a_lost_frame_of_the_top_layer_spoils_only_itself() {
    let (_, mut arrivals) = perfect(VideoConfig { temporal_layers: 2, ..VideoConfig::default() });
    arrivals.retain(|arrival| arrival.stamp.is_some_and(|stamp| stamp.frame != 5));
    assert_eq!(reception(&heard(arrivals.clone())).undecodable_frames(), 0);
    let lost = arrivals.iter().position(|arrival| arrival.stamp.is_some_and(|s| s.frame == 7)).expect("a frame 7");
    arrivals.remove(lost);
    assert_eq!(reception(&heard(arrivals)).undecodable_frames(), 1);
}

#[test]
fn a_switch_to_another_encoding_needs_a_keyframe() {
    let (_, mut arrivals) = perfect(VideoConfig::default());
    for stamp in arrivals.iter_mut().filter_map(|arrival| arrival.stamp.as_mut()) {
        stamp.encoding = u8::from(stamp.frame >= 10);
    }
    let oracle = heard(arrivals.clone());
    assert_eq!((reception(&oracle).layer_switches(), reception(&oracle).bad_switches()), (1, 1));
    for stamp in arrivals.iter_mut().filter_map(|arrival| arrival.stamp.as_mut()) {
        stamp.keyframe |= stamp.frame == 10;
    }
    assert_eq!(reception(&heard(arrivals)).bad_switches(), 0);
}

#[test]
fn a_timestamp_that_goes_back_and_a_packet_that_comes_twice_are_seen() {
    let (_, mut arrivals) = perfect(VideoConfig::default());
    let again = arrivals[3].clone();
    arrivals.push(again);
    let last = arrivals.len() - 2;
    arrivals[last].timestamp = 0;
    let oracle = heard(arrivals);
    assert_eq!((reception(&oracle).repeated(), reception(&oracle).timestamps_going_back()), (1, 1));
}

#[test]
fn only_what_left_while_it_was_allowed_was_authorised() {
    let (_, arrivals) = perfect(VideoConfig::default());
    let count = arrivals.len();
    let oracle = heard(arrivals);
    let mut permissions = Permissions::default();
    assert_eq!(oracle.unauthorised(2, &permissions), count);
    permissions.allow(SOURCE, 2, 10);
    permissions.revoke(SOURCE, 2, 30);
    assert_eq!(oracle.unauthorised(2, &permissions), count - 20);
    permissions.allow(SOURCE, 2, 40);
    permissions.revoke_all(SOURCE, 50);
    assert_eq!(oracle.unauthorised(2, &permissions), count - 30);
    assert_eq!(oracle.unauthorised(3, &permissions), count, "another listener was never allowed");
}

#[test]
fn the_longest_silence_counts_both_ends() {
    let (start, arrivals) = perfect(VideoConfig::default());
    let until = start + Duration::from_secs(2);
    let oracle = heard(arrivals);
    let silence = reception(&oracle).longest_silence(start, until);
    assert!((1_000..1_040).contains(&silence.as_millis()), "{silence:?}");
}
