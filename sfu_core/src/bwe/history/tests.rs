use std::time::Duration;

use proptest::prelude::*;

use super::*;

#[allow(clippy::disallowed_methods)]
fn start() -> Instant {
    Instant::now()
}

fn arrivals(feedback: &Feedback<'_>) -> Vec<(u64, i64)> {
    feedback.acknowledged.iter().map(|packet| (packet.sequence, packet.arrival_micros)).collect()
}

#[test]
fn an_entry_has_sixteen_bytes() {
    assert_eq!(size_of::<Entry>(), 16);
}

#[test]
fn feedback_tells_what_arrived_when_and_what_was_lost() {
    let start = start();
    let mut history = History::new(start);
    for _ in 0..4 {
        history.on_sent(1_000, start);
    }
    let feedback = history.on_feedback(0, 2, [Some(4), None, Some(-2)].into_iter(), start + Duration::from_millis(30));
    assert_eq!(arrivals(&feedback), [(65_536, 129_000), (65_538, 128_500)]);
    assert_eq!((feedback.lost, feedback.round_trip_micros), (1, Some(30_000)));
    assert_eq!(feedback.in_flight, DataSize::bytes(1_000));
}

#[test]
fn a_packet_is_acknowledged_once_and_may_come_after_it_was_lost() {
    let start = start();
    let mut history = History::new(start);
    history.on_sent(500, start);
    assert_eq!(history.on_feedback(0, 0, [None].into_iter(), start).lost, 1);
    assert_eq!(history.on_feedback(0, 0, [None].into_iter(), start).lost, 0);
    let feedback = history.on_feedback(0, 0, [Some(0)].into_iter(), start);
    assert_eq!((feedback.acknowledged.len(), feedback.recovered), (1, 1));
    assert!(history.on_feedback(0, 0, [Some(0)].into_iter(), start).acknowledged.is_empty());
    assert_eq!(history.in_flight(), DataSize::ZERO);
}

#[test]
fn what_the_kernel_did_not_take_is_neither_lost_nor_in_flight() {
    let start = start();
    let mut history = History::new(start);
    let first = history.on_sent(500, start);
    history.on_sent(500, start);
    history.mark_unsent(first..first + 1);
    let feedback = history.on_feedback(0, 0, [None, None].into_iter(), start);
    assert_eq!((feedback.lost, feedback.in_flight), (1, DataSize::ZERO));
}

#[test]
fn the_reference_time_wraps_and_goes_back() {
    let start = start();
    let mut history = History::new(start);
    let mut arrival = |base, reference| {
        history.on_sent(500, start);
        history.on_feedback(base, reference, [Some(0)].into_iter(), start).acknowledged[0].arrival_micros
    };
    assert_eq!(arrival(0, 0xff_ffff), 0xff_ffff * 64_000);
    assert_eq!(arrival(1, 0), 0x100_0000 * 64_000);
    assert_eq!(arrival(2, 0xff_fffe), 0xff_fffe * 64_000);
}

#[test]
fn the_ring_grows_while_feedback_may_come_and_not_beyond_its_cap() {
    let start = start();
    let mut history = History::new(start);
    for _ in 0..10_000 {
        history.on_sent(100, start);
    }
    assert_eq!(history.ring.len(), MAX_HISTORY);
    assert_eq!(history.in_flight(), DataSize::bytes(100 * MAX_HISTORY as u64));
    let mut slow = History::new(start);
    for step in 0..1_000 {
        slow.on_sent(100, start + Duration::from_millis(20) * step);
    }
    assert_eq!(slow.ring.len(), MIN_HISTORY);
}

proptest! {
    #[test]
    fn no_feedback_does_harm(
        claims in proptest::collection::vec(
            (0u16..100, any::<u16>(), any::<u32>(), proptest::collection::vec(any::<Option<i32>>(), 0..400)), 1..40)
    ) {
        let start = start();
        let mut history = History::new(start);
        let (mut sent, mut acknowledged) = (0, 0);
        for (step, (burst, base, reference, statuses)) in claims.into_iter().enumerate() {
            let now = start + Duration::from_millis(step as u64);
            for _ in 0..burst {
                history.on_sent(1_200, now);
            }
            sent += usize::from(burst);
            let base = if step % 2 == 0 { base } else { (step as u16) * 20 };
            let feedback = history.on_feedback(base, reference, statuses.into_iter(), now);
            acknowledged += feedback.acknowledged.len();
            prop_assert!(acknowledged <= sent);
        }
        prop_assert!(history.in_flight() <= DataSize::bytes(1_200 * sent as u64));
    }
}
