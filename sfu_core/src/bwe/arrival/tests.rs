use proptest::prelude::*;

use super::*;
use crate::units::start;

const MS: Duration = Duration::from_millis(1);
const SIZE: DataSize = DataSize::bytes(1_200);

fn report(log: &mut ArrivalLog, now: Instant) -> Option<(u64, Vec<Option<u64>>)> {
    log.poll_report(now).map(|report| (report.base_sequence, report.arrivals().collect()))
}

#[test]
fn a_report_tells_what_came_and_what_did_not() {
    let (mut log, now) = (ArrivalLog::default(), start());
    log.on_packet(10, SIZE, 1_000, now);
    log.on_packet(13, SIZE, 3_000, now);
    log.on_packet(12, SIZE, 4_000, now);
    assert_eq!(report(&mut log, now + MS * 99), None);
    let expected = vec![Some(1_000), None, Some(4_000), Some(3_000)];
    assert_eq!(report(&mut log, now + MS * 100), Some((65_546, expected)));
    assert_eq!(log.poll_timeout(), None);
}

#[test]
fn times_are_whole_however_long_the_engine_has_run() {
    let (mut log, now) = (ArrivalLog::default(), start());
    let hours = u64::from(u32::MAX) * 3;
    let times = [hours, hours + 1, hours + 2, hours + 3_000_000];
    for (sequence, micros) in (10..).zip(times) {
        log.on_packet(sequence, SIZE, micros, now);
    }
    let (_, arrivals) = report(&mut log, now + MS * 100).expect("a report is due");
    for (told, came) in arrivals.into_iter().zip(times) {
        assert!(told.is_some_and(|told| told.abs_diff(came) <= 1), "{told:?} is not {came}");
    }
}

#[test]
fn a_late_packet_is_reported_again_and_a_repetition_is_not() {
    let (mut log, now) = (ArrivalLog::default(), start());
    for sequence in [1, 3] {
        log.on_packet(sequence, SIZE, 5, now);
    }
    report(&mut log, now + MS * 100);
    log.on_packet(3, SIZE, 9, now + MS * 110);
    assert_eq!(log.poll_timeout(), None);
    log.on_packet(2, SIZE, 9, now + MS * 110);
    assert_eq!(report(&mut log, now + MS * 210), Some((65_538, vec![Some(9), Some(5)])));
}

#[test]
fn numbers_wrap() {
    let (mut log, now) = (ArrivalLog::default(), start());
    log.on_packet(65_535, SIZE, 1, now);
    log.on_packet(0, SIZE, 2, now);
    assert_eq!(report(&mut log, now + MS * 100), Some((131_071, vec![Some(1), Some(2)])));
}

#[test]
fn a_fast_publisher_is_told_more_often() {
    let (mut log, start) = (ArrivalLog::default(), start());
    let mut reports = 0;
    for ms in 0..2_000 {
        log.on_packet(ms as u16, SIZE, u64::from(ms), start + MS * ms);
        reports += usize::from(log.poll_report(start + MS * ms).is_some());
    }
    assert!((36..=41).contains(&reports), "{reports}");
}

proptest! {
    #[test]
    fn any_numbers_make_bounded_reports(numbers in proptest::collection::vec(any::<u16>(), 1..300)) {
        let (mut log, start) = (ArrivalLog::default(), start());
        for (step, number) in numbers.into_iter().enumerate() {
            let now = start + MS * (step as u32 * 20);
            log.on_packet(number, SIZE, step as u64, now);
            if let Some((_, statuses)) = report(&mut log, now) {
                prop_assert!(!statuses.is_empty() && statuses.len() <= MAX_REPORT);
            }
        }
    }
}
