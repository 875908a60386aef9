use proptest::prelude::*;

use super::*;
use crate::units::start;

const MS: Duration = Duration::from_millis(1);
/// So large that a segment holds about a thousand of them.
const LEN: usize = 1_000;

/// Appends `count` packets, one in each millisecond from `from` on, and says where they are.
fn fill(log: &mut PayloadLog, from: Instant, count: u32) -> Vec<(u64, Instant)> {
    let at = (0..count).map(|n| from + MS * n);
    at.map(|at| (log.append(&[], &[7; LEN], at), at)).collect()
}

#[test]
fn both_parts_are_found_one_behind_the_other() {
    let mut log = PayloadLog::default();
    assert_eq!(log.footprint(), 0, "who forwards nothing needs no memory for it");
    let first = log.append(b"head", b"body", start());
    let second = log.append(b"", b"more", start());
    assert_eq!((log.get(first, 8), log.get(second, 4)), (Some(&b"headbody"[..]), Some(&b"more"[..])));
}

#[test]
fn what_is_young_is_kept_and_what_is_old_is_written_over() {
    let (mut log, begin) = (PayloadLog::default(), start());
    let places = fill(&mut log, begin, 20_000);
    let end = begin + MS * 20_000;
    let kept =
        |span: Duration| places.iter().filter(|(_, at)| end - *at <= span).all(|&(at, _)| log.get(at, LEN).is_some());
    assert!(kept(MIN_KEEP));
    assert!(log.footprint() <= 3 * SEGMENT_BYTES, "a segment holds a second");
    assert!(log.get(places[0].0, LEN).is_none());
}

#[test]
fn a_wish_is_granted_until_it_has_not_been_renewed_for_long() {
    let (mut log, begin) = (PayloadLog::default(), start());
    fill(&mut log, begin, 2_000);
    log.keep_for(Duration::from_secs(60));
    assert_eq!(log.keeps(), MAX_KEEP);
    fill(&mut log, begin + MS * 2_000, 9_000);
    assert_eq!(log.keeps(), MAX_KEEP);
    fill(&mut log, begin + MS * 11_000, 20_000);
    assert_eq!(log.keeps(), MIN_KEEP);
}

#[test]
fn segments_that_nobody_needs_any_more_are_given_back() {
    let (mut log, begin) = (PayloadLog::default(), start());
    for _ in 0..20_000 {
        log.append(&[], &[1; LEN], begin);
    }
    let much = log.footprint();
    assert!(much > 15 * SEGMENT_BYTES);
    fill(&mut log, begin + MS, 30_000);
    assert!(log.footprint() <= 5 * SEGMENT_BYTES, "one is written, one wanted");
}

#[test]
fn the_log_has_an_end_whatever_comes_and_whatever_anyone_wishes() {
    let mut log = PayloadLog::default();
    log.keep_for(MAX_KEEP);
    let first = log.append(&[], &[1; 1_400], start());
    for _ in 0..(MAX_SEGMENTS + 3) * (SEGMENT_BYTES / 1_400) {
        log.append(&[], &[2; 1_400], start());
    }
    assert_eq!(log.footprint(), MAX_SEGMENTS * SEGMENT_BYTES);
    assert_eq!(log.get(first, 1_400), None);
}

#[test]
fn what_was_cleared_is_not_found_even_where_something_else_lies_now() {
    let mut log = PayloadLog::default();
    let before = log.append(&[], &[1; 10], start());
    log.clear();
    assert_eq!((log.footprint(), log.get(before, 10)), (0, None));
    let after = log.append(&[], &[2; 10], start());
    assert_eq!((log.get(before, 10), log.get(after, 10)), (None, Some(&[2; 10][..])));
}

#[test]
fn a_position_made_up_finds_nothing() {
    let mut log = PayloadLog::default();
    let at = log.append(&[], &[1; 10], start());
    assert_eq!(log.get(u64::MAX, 1), None);
    assert_eq!(log.get(at + SEGMENT_BYTES as u64, 1), None);
    assert_eq!(log.get(at, SEGMENT_BYTES + 1), None);
}

proptest! {
    /// Whoever's bytes were written over: their position never finds another's.
    #[test]
    fn what_is_found_is_what_was_written_there(packets in proptest::collection::vec((0_usize..40_000, 0_u64..200, 0_u64..300), 1..300)) {
        let (mut log, mut now, mut known) = (PayloadLog::default(), start(), Vec::new());
        for (n, (len, passed, wish)) in packets.into_iter().enumerate() {
            now += MS * passed as u32;
            log.keep_for(MS * wish as u32);
            let payload = vec![(n % 251) as u8; len];
            known.push((log.append(&(n as u64).to_be_bytes(), &payload, now), payload));
            prop_assert!(log.get(known[n].0, len + 8).is_some());
        }
        for (n, (at, payload)) in known.iter().enumerate() {
            if let Some(bytes) = log.get(*at, payload.len() + 8) {
                prop_assert_eq!(&bytes[..8], &(n as u64).to_be_bytes());
                prop_assert_eq!(&bytes[8..], &payload[..]);
            }
        }
    }
}
