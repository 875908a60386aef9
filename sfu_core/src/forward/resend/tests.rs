use proptest::prelude::*;

use super::*;
use crate::units::start;

fn origin(timestamp: u32) -> Origin {
    Origin { track: TrackId::new(1, 0), timestamp, ..VACANT.origin }
}

#[test]
fn a_packet_is_found_by_its_sequence_number_with_what_it_was() {
    let mut ring = PacketRing::new(MediaKind::Audio);
    assert!(ring.insert(70_000, origin(960), &[9, 1, 7], b"hello", start()));
    let stored = ring.find(70_000).expect("it was just put in");
    assert_eq!((stored.origin.timestamp, stored.extensions, stored.payload), (960, &[9, 1, 7][..], &b"hello"[..]));
    assert!(ring.find(70_000 + AUDIO_PACKETS as u64).is_none());
}

#[test]
fn a_packet_too_large_to_forward_is_not_kept() {
    let mut ring = PacketRing::new(MediaKind::Video);
    assert!(!ring.insert(1, origin(0), &[], &[0; MAX_STORED_BYTES + 1], start()));
    assert!(ring.find(1).is_none());
}

/// How many of the last packets a ring has, after three seconds of 500 packets a second.
fn kept(ring: &mut PacketRing) -> usize {
    let begin = start();
    for n in 0..1_500u64 {
        ring.insert(n, origin(n as u32), &[], &[n as u8; 1_100], begin + Duration::from_millis(n * 2));
    }
    (0..1_500).rev().take_while(|&n| ring.find(n).is_some_and(|s| s.payload[0] == n as u8)).count()
}

#[test]
fn a_fast_encoding_gets_a_ring_that_holds_a_few_short_round_trips() {
    let mut ring = PacketRing::new(MediaKind::Video);
    let kept = kept(&mut ring);
    assert!((150..400).contains(&kept), "150 packets are 300 ms; {kept} kept");
}

#[test]
fn a_ring_holds_a_second_where_somebody_has_a_long_path() {
    let mut ring = PacketRing::new(MediaKind::Video);
    ring.keep_for(Duration::from_secs(60));
    let kept = kept(&mut ring);
    assert!(kept >= 500, "500 packets are a second; {kept} kept");
    assert!(ring.footprint() <= MAX_RING_BYTES + MAX_RING_PACKETS * size_of::<Entry>());
}

#[test]
fn a_slow_encoding_keeps_its_first_size() {
    let mut ring = PacketRing::new(MediaKind::Audio);
    let before = ring.footprint();
    let begin = start();
    for n in 0..1_000u64 {
        ring.insert(n, origin(0), &[], &[0; 120], begin + Duration::from_millis(n * 20));
    }
    assert_eq!(ring.footprint(), before);
}

proptest! {
    #[test]
    fn what_is_found_is_what_was_put_in(packets in proptest::collection::vec((0usize..1_400, 0u64..40), 1..600)) {
        let mut ring = PacketRing::new(MediaKind::Video);
        let begin = start();
        let mut known = std::collections::BTreeMap::new();
        let mut next = 65_536u64;
        for (n, (len, step)) in packets.into_iter().enumerate() {
            // Mostly forward, now and then a late packet.
            next = if step == 0 { next.saturating_sub(5) } else { next + step % 3 + 1 };
            let payload = vec![(next % 251) as u8; len];
            prop_assert!(ring.insert(next, origin(next as u32), &[], &payload, begin + Duration::from_millis(n as u64)));
            known.insert(next, payload);
            prop_assert_eq!(ring.find(next).expect("the newest is there").payload, &known[&next][..]);
        }
        for (sequence, payload) in &known {
            if let Some(stored) = ring.find(*sequence) {
                prop_assert_eq!(stored.payload, &payload[..]);
                prop_assert_eq!(stored.origin.timestamp, *sequence as u32);
            }
        }
    }
}

#[test]
fn a_packet_that_is_far_too_late_does_not_take_the_place_of_a_newer_one() {
    let (mut ring, now) = (PacketRing::new(MediaKind::Audio), start());
    for sequence in 1_000..1_500 {
        assert!(!ring.contains(sequence));
        ring.insert(sequence, VACANT.origin, &[], &[1], now);
    }
    let places = ring.entries.len() as u64;
    assert!(ring.contains(1_499) && ring.contains(1_499 - places), "its place is that of 1499");
    assert!(!ring.contains(1_499 + places));
}
