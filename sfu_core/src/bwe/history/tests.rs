use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::units::Nanos;

fn arrivals(feedback: &Feedback<'_>) -> Vec<(u64, i64)> {
    feedback.acknowledged.iter().map(|packet| (packet.sequence, packet.arrival_micros)).collect()
}

#[test]
fn an_entry_has_sixteen_bytes() {
    assert_eq!(size_of::<Entry>(), 16);
}

#[test]
fn feedback_tells_what_arrived_when_and_what_was_lost() {
    let start = Nanos(0);
    let mut history = History::default();
    for _ in 0..4 {
        history.on_sent(1_000, start);
    }
    let mut scratch = Vec::new();
    let feedback = history.on_feedback(0, 2, [Some(4), None, Some(-2)].into_iter(), &mut scratch);
    assert_eq!(arrivals(&feedback), [(65_536, 129_000), (65_538, 128_500)]);
    assert_eq!(feedback.lost, 1);
    assert_eq!(feedback.in_flight, DataSize::bytes(1_000));
}

#[test]
fn a_packet_is_acknowledged_once_and_may_come_after_it_was_lost() {
    let start = Nanos(0);
    let mut history = History::default();
    history.on_sent(500, start);
    assert_eq!(history.on_feedback(0, 0, [None].into_iter(), &mut Vec::new()).lost, 1);
    assert_eq!(history.on_feedback(0, 0, [None].into_iter(), &mut Vec::new()).lost, 0);
    assert_eq!(history.on_feedback(0, 0, [Some(0)].into_iter(), &mut Vec::new()).acknowledged.len(), 1);
    assert!(history.on_feedback(0, 0, [Some(0)].into_iter(), &mut Vec::new()).acknowledged.is_empty());
    assert_eq!(history.in_flight(), DataSize::ZERO);
}

#[test]
fn what_the_kernel_did_not_take_is_neither_lost_nor_in_flight() {
    let start = Nanos(0);
    let mut history = History::default();
    let first = history.on_sent(500, start);
    history.on_sent(500, start);
    history.mark_unsent(first..first + 1);
    let mut scratch = Vec::new();
    let feedback = history.on_feedback(0, 0, [None, None].into_iter(), &mut scratch);
    assert_eq!((feedback.lost, feedback.in_flight), (1, DataSize::ZERO));
}

#[test]
fn only_what_left_after_the_last_feedback_is_waited_for_and_not_for_ever() {
    let second = |n| Nanos(0) + Duration::from_secs(1) * n;
    let mut history = History::default();
    history.on_sent(500, second(1));
    history.on_sent(500, second(1));
    assert_eq!(history.waiting_since(second(2)), Some(second(1)));
    history.on_feedback(0, 0, [Some(0)].into_iter(), &mut Vec::new());
    assert_eq!(history.waiting_since(second(2)), None, "the second is lost, or was told of in feedback that is");
    history.on_sent(500, second(2));
    history.on_sent(500, second(3));
    assert_eq!(history.waiting_since(second(4)), Some(second(2)));
    assert_eq!(history.waiting_since(second(5)), None, "feedback would have come");
    history.on_sent(500, second(60));
    assert_eq!(history.waiting_since(second(61)), Some(second(60)));
}

#[test]
fn nothing_is_waited_for_when_the_kernel_took_nothing() {
    let mut history = History::default();
    let first = history.on_sent(500, Nanos(0));
    assert!(history.waiting_since(Nanos(1)).is_some());
    history.mark_unsent(first..first + 1);
    assert_eq!(history.waiting_since(Nanos(1)), None);
}

#[test]
fn the_reference_time_wraps_and_goes_back() {
    let start = Nanos(0);
    let mut history = History::default();
    let mut arrival = |base, reference| {
        history.on_sent(500, start);
        history.on_feedback(base, reference, [Some(0)].into_iter(), &mut Vec::new()).acknowledged[0].arrival_micros
    };
    assert_eq!(arrival(0, 0xff_ffff), 0xff_ffff * 64_000);
    assert_eq!(arrival(1, 0), 0x100_0000 * 64_000);
    assert_eq!(arrival(2, 0xff_fffe), 0xff_fffe * 64_000);
}

#[test]
fn the_ring_grows_while_feedback_may_come_and_not_beyond_its_cap() {
    let start = Nanos(0);
    let mut history = History::default();
    for _ in 0..10_000 {
        history.on_sent(100, start);
    }
    assert_eq!(history.ring.len(), MAX_HISTORY);
    assert_eq!(history.in_flight(), DataSize::bytes(100 * MAX_HISTORY as u64));
    let mut slow = History::default();
    for step in 0..1_000 {
        slow.on_sent(100, start + Duration::from_millis(20) * step);
    }
    assert_eq!(slow.ring.len(), MIN_HISTORY);
}

#[test]
fn feedback_about_nothing_does_not_move_the_time_and_time_that_has_run_out_does_no_harm() {
    let start = Nanos(0);
    let mut history = History::default();
    history.on_sent(500, start);
    for step in 0..1_000 {
        history.on_feedback(1, u32::wrapping_mul(step, 0x7f_ffff), std::iter::empty(), &mut Vec::new());
    }
    assert_eq!(history.reference, None);
    history.reference = Some(i64::MAX / 64_000);
    for number in 0..4_u16 {
        let reference = (history.reference.expect("it was set") + 0x7f_0000) as u32;
        assert_eq!(
            history.on_feedback(number, reference, [Some(i32::MAX)].into_iter(), &mut Vec::new()).acknowledged.len(),
            1
        );
        history.on_sent(500, start);
    }
}

#[test]
fn what_feedback_costs_is_bounded_by_what_is_remembered_and_not_by_what_it_claims() {
    let start = Nanos(0);
    let mut history = History::default();
    for sent in [1_u16, 300, 10_000] {
        for step in 0..sent {
            history.on_sent(1_000, start + Duration::from_millis(20) * u32::from(step));
        }
        for behind in [0_u16, 1, 200, 8_000, 65_535] {
            let base = (history.next_sequence() as u16).wrapping_sub(behind);
            // A sender, a source, the first number, 8 191 statuses in one chunk that says "lost".
            let [high, low] = base.to_be_bytes();
            let body = [&[0; 8][..], &[high, low, 0x1f, 0xff], &[0; 4], &[0x1f, 0xff]].concat();
            let claim = crate::rtcp::twcc::TransportFeedback::parse(&body).expect("eight bytes are enough");
            let forgotten = history.forgotten(base);
            let steps = std::cell::Cell::new(0);
            let statuses = claim.statuses_from(usize::from(forgotten)).inspect(|_| steps.set(steps.get() + 1));
            history.on_feedback(base.wrapping_add(forgotten), 0, statuses, &mut Vec::new());
            assert!(steps.get() <= history.ring.len() + 2, "{} steps, {behind} behind", steps.get());
        }
    }
}

proptest! {
    #[test]
    fn no_feedback_does_harm(
        claims in proptest::collection::vec(
            (0u16..100, any::<u16>(), any::<u32>(), proptest::collection::vec(any::<Option<i32>>(), 0..400)), 1..40)
    ) {
        let start = Nanos(0);
        let mut history = History::default();
        let (mut sent, mut acknowledged, mut scratch) = (0, 0, Vec::new());
        for (step, (burst, base, reference, statuses)) in claims.into_iter().enumerate() {
            let now = start + Duration::from_millis(step as u64);
            for _ in 0..burst {
                history.on_sent(1_200, now);
            }
            sent += usize::from(burst);
            let base = if step % 2 == 0 { base } else { (step as u16) * 20 };
            let feedback = history.on_feedback(base, reference, statuses.into_iter(), &mut scratch);
            acknowledged += feedback.acknowledged.len();
            prop_assert!(acknowledged <= sent);
        }
        prop_assert!(history.in_flight() <= DataSize::bytes(1_200 * sent as u64));
    }
}
