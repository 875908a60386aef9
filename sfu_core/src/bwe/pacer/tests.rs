use super::*;

const MS: Duration = Duration::from_millis(1);
const VIDEO: PaceKind = PaceKind::Video;

fn drain(pacer: &mut Pacer<u32>, now: Nanos) -> Vec<u32> {
    std::iter::from_fn(|| pacer.poll(now)).collect()
}

#[test]
fn packets_leave_in_groups_of_five_milliseconds() {
    let start = Nanos(7);
    // 4.8 Mbit/s: a packet of 1200 bytes takes 2 ms.
    let mut pacer = Pacer::new(Bitrate::kbps(4_800));
    for item in 0..8 {
        pacer.push(|| item, VIDEO, 1_200, start);
    }
    assert_eq!(drain(&mut pacer, start), [0, 1, 2]);
    assert_eq!(pacer.next_due(), Some(start + MS * 6));
    assert_eq!(drain(&mut pacer, start + MS * 5), []);
    assert_eq!(drain(&mut pacer, start + MS * 6), [3, 4, 5]);
    assert_eq!(drain(&mut pacer, start + MS * 12), [6, 7]);
    assert_eq!(pacer.next_due(), None);
}

#[test]
fn a_slow_path_gets_one_packet_at_a_time() {
    let start = Nanos(7);
    let mut pacer = Pacer::new(Bitrate::kbps(96));
    pacer.push(|| 1, VIDEO, 1_200, start);
    pacer.push(|| 2, VIDEO, 1_200, start);
    assert_eq!(drain(&mut pacer, start), [1]);
    assert_eq!(pacer.next_due(), Some(start + MS * 100));
    assert_eq!(drain(&mut pacer, start + MS * 100), [2]);
}

#[test]
fn audio_never_waits_and_is_counted() {
    let start = Nanos(7);
    let mut pacer = Pacer::new(Bitrate::kbps(96));
    pacer.push(|| 1, VIDEO, 1_200, start);
    pacer.push(|| 2, VIDEO, 1_200, start);
    pacer.push(|| 3, PaceKind::Audio, 120, start);
    pacer.push(|| 4, PaceKind::Retransmission, 120, start);
    assert_eq!(drain(&mut pacer, start), [3], "its 10 ms fill the group");
    pacer.push(|| 5, PaceKind::Audio, 120, start + MS);
    assert_eq!(drain(&mut pacer, start + MS), [5]);
    pacer.push(|| 6, PaceKind::Audio, 120, start + MS);
    assert_eq!(drain(&mut pacer, start + MS), [6]);
    assert_eq!(pacer.next_due(), Some(start + MS * 30));
    assert_eq!(drain(&mut pacer, start + MS * 30), [4], "repairs go before video");
}

#[test]
fn rest_earns_no_credit() {
    let start = Nanos(7);
    let mut pacer: Pacer<u32> = Pacer::new(Bitrate::kbps(4_800));
    let later = start + Duration::from_secs(60);
    for item in 0..50 {
        pacer.push(|| item, VIDEO, 1_200, later);
    }
    assert_eq!(drain(&mut pacer, later), [0, 1, 2]);
}

#[test]
fn the_queue_is_capped_and_old_packets_are_dropped() {
    let start = Nanos(7);
    let mut pacer = Pacer::new(Bitrate::kbps(10));
    let taken = (0..2_000).filter(|item| pacer.push(|| *item, VIDEO, 1_200, start)).count();
    assert_eq!(taken, MAX_QUEUED_PACKETS);
    assert_eq!(drain(&mut pacer, start).len(), 1);
    assert_eq!(drain(&mut pacer, start + MS * 801), []);
    assert_eq!((pacer.packets, pacer.bytes), (0, 0));
    assert_eq!((pacer.take_aged(), pacer.take_aged()), (MAX_QUEUED_PACKETS as u64 - 1, 0));
}

#[test]
fn padding_fills_the_group_and_no_more() {
    let start = Nanos(7);
    let mut pacer: Pacer<u32> = Pacer::new(Bitrate::kbps(1_600));
    assert_eq!(pacer.padding_room(start), 1_000);
    pacer.on_padding(600, start);
    assert_eq!(pacer.padding_room(start), 400);
    pacer.on_padding(600, start);
    assert_eq!(pacer.padding_room(start), 0);
}

#[test]
fn packets_leave_in_the_order_they_came_however_full_the_queue_gets() {
    let start = Nanos(7);
    let mut pacer = Pacer::new(Bitrate::kbps(4_800));
    let (mut pushed, mut left) = (0, Vec::new());
    for step in 0..2_000 {
        let now = start + MS * step;
        for _ in 0..(step * 7 % 3).min(u32::from(step < 1_500) * 3) {
            assert!(pacer.push(|| pushed, VIDEO, 200, now));
            pushed += 1;
        }
        left.extend(drain(&mut pacer, now));
    }
    assert!(left.iter().copied().eq(0..pushed), "{} of {pushed}", left.len());
}

#[test]
fn what_is_not_wanted_any_more_is_taken_out_and_the_rest_keeps_its_order() {
    let start = Nanos(7);
    let mut pacer = Pacer::new(Bitrate::kbps(96_000));
    for item in 0..20 {
        let kind = if item % 2 == 0 { VIDEO } else { PaceKind::Audio };
        pacer.push(|| item, kind, 100, start);
    }
    assert_eq!(pacer.poll(start), Some(1));
    pacer.retain(|item| item % 5 != 0);
    assert_eq!((pacer.packets, pacer.bytes), (15, 1_500));
    assert_eq!(drain(&mut pacer, start), [3, 7, 9, 11, 13, 17, 19, 2, 4, 6, 8, 12, 14, 16, 18]);
    assert!(pacer.is_empty());
}

#[test]
fn a_queue_is_long_before_what_waits_in_it_fills_the_smallest_ring_of_pictures() {
    const RING: (usize, usize) = (128, 64 << 10);
    for payload in [200, 1_100, 1_200] {
        let mut pacer = Pacer::new(Bitrate::kbps(1_000));
        let mut waiting = 0;
        while !pacer.is_long() {
            assert!(pacer.push(|| waiting as u64, VIDEO, payload + 44, Nanos(0)));
            waiting += usize::from(payload);
        }
        assert!(pacer.len() + 12 < RING.0 && waiting + 12 * usize::from(payload) < RING.1, "packets of {payload}");
    }
}
