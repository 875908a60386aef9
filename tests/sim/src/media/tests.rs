use std::time::{Duration, Instant};

use sfu_core::units::Bitrate;

use super::*;
use crate::clock::Clock;

fn record(config: VideoConfig, length: Duration) -> Vec<MediaPacket> {
    let start = Clock::new().start();
    let mut camera = Camera::new(1, 0, config, start, start);
    let mut packets = Vec::new();
    while camera.poll_timeout() < start + length {
        packets.extend(camera.poll_frame(camera.poll_timeout()));
    }
    packets
}

fn start_and_camera(config: VideoConfig) -> (Instant, Camera) {
    let start = Clock::new().start();
    (start, Camera::new(1, 0, config, start, start))
}

#[test]
fn a_camera_keeps_its_rate_and_its_frame_rate() {
    let packets = record(VideoConfig::default(), Duration::from_secs(10));
    let bytes: usize = packets.iter().map(|packet| packet.payload.len()).sum();
    assert!((1_250_000..1_400_000).contains(&(bytes * 8 / 10)), "{bytes}");
    assert_eq!(packets.iter().filter(|packet| packet.marker).count(), 300);
    assert!(packets.iter().all(|packet| packet.payload.len() <= MAX_PAYLOAD));
    let ticks = packets.last().expect("packets").timestamp.wrapping_sub(packets[0].timestamp);
    assert_eq!(ticks, 299 * 3_000);
}

#[test]
fn every_payload_is_stamped_in_every_codec() {
    for codec in [VideoCodec::Vp8, VideoCodec::H264] {
        for packet in
            record(VideoConfig { codec, temporal_layers: 3, ..VideoConfig::default() }, Duration::from_secs(1))
        {
            assert_eq!(Stamp::read(&packet.payload), Some(packet.stamp));
        }
    }
}

#[test]
fn the_first_frame_and_every_requested_one_is_a_keyframe() {
    let (_, mut camera) = start_and_camera(VideoConfig::default());
    let mut keyframes = Vec::new();
    for frame in 0..10 {
        if frame == 5 {
            camera.request_keyframe();
        }
        keyframes.push(camera.poll_frame(camera.poll_timeout())[0].stamp.keyframe);
    }
    let wanted: Vec<bool> = (0..10).map(|frame| frame == 0 || frame == 5).collect();
    assert_eq!(keyframes, wanted);
}

#[test]
fn an_encoding_that_comes_back_starts_with_a_keyframe_and_its_clock_went_on() {
    let (_, mut camera) = start_and_camera(VideoConfig::default());
    let before = camera.poll_frame(camera.poll_timeout())[0].timestamp;
    camera.enabled = false;
    assert!(camera.poll_frame(camera.poll_timeout()).is_empty());
    camera.enabled = true;
    let after = camera.poll_frame(camera.poll_timeout());
    assert!(after[0].stamp.keyframe);
    assert_eq!(after[0].timestamp.wrapping_sub(before), 6_000);
}

#[test]
fn a_vp8_descriptor_counts_pictures_and_base_layers() {
    let config = VideoConfig { temporal_layers: 2, bitrate: Bitrate::kbps(100), ..VideoConfig::default() };
    let packets = record(config, Duration::from_millis(400));
    let descriptors: Vec<[u8; 6]> = packets
        .iter()
        .filter(|packet| packet.stamp.index == 0)
        .map(|packet| *packet.payload.first_chunk().expect("a descriptor"))
        .collect();
    for pair in descriptors.windows(2) {
        let [id, next_id] = [&pair[0], &pair[1]].map(|d| u16::from_be_bytes([d[2], d[3]]) & 0x7fff);
        assert_eq!(next_id, (id + 1) & 0x7fff);
        assert_eq!(pair[1][4].wrapping_sub(pair[0][4]), u8::from(pair[1][5] >> 6 == 0));
    }
    assert_eq!(descriptors[0][0] & 0x10, 0x10, "starts a partition");
    assert_eq!(packets[0].payload[6] & 1, 0, "the frame tag says keyframe");
}

#[test]
fn an_h264_keyframe_starts_with_its_parameter_sets() {
    let packets = record(VideoConfig { codec: VideoCodec::H264, ..VideoConfig::default() }, Duration::from_millis(60));
    assert_eq!(packets[0].payload[0] & 0x1f, 24);
    assert_eq!(packets[0].payload[3] & 0x1f, 7);
    let second = packets.iter().position(|packet| packet.stamp.frame == 1).expect("a second frame");
    assert_eq!(packets[second].payload[0] & 0x1f, 28);
    assert_eq!(packets[second].payload[1], 0x81, "the first fragment of a slice");
}

#[test]
fn a_microphone_speaks_fifty_times_a_second() {
    let start = Clock::new().start();
    let mut microphone = Microphone::new(9, 5, start, start);
    let mut packets = Vec::new();
    while microphone.poll_timeout() < start + Duration::from_secs(1) {
        packets.extend(microphone.poll_packet(microphone.poll_timeout()));
    }
    assert_eq!(packets.len(), 50);
    assert_eq!(packets[1].timestamp - packets[0].timestamp, 960);
    assert_eq!(Stamp::read(&packets[49].payload).map(|stamp| stamp.frame), Some(49));
}
