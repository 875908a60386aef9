use super::*;
use crate::clock::Clock;

const MS: Duration = Duration::from_millis(1);
/// 1 Mbit/s: a datagram of this size takes exactly 10 ms.
const SIZE: usize = 1_250;

/// Sends `count` numbered datagrams, one each `interval`, and says when which arrived, in milliseconds.
fn arrivals(config: LinkConfig, count: u32, interval: Duration) -> (Vec<(u32, u128)>, LinkCounters) {
    let start = Clock::new().start();
    let mut link = Link::new(config, Random::new(1), start);
    let mut seen = Vec::new();
    for number in 0..count {
        let now = start + interval * number;
        collect(&mut link, start, now, &mut seen);
        link.send(number, SIZE, now);
    }
    collect(&mut link, start, start + Duration::from_secs(3_600), &mut seen);
    (seen, link.counters())
}

fn collect(link: &mut Link<u32>, start: Instant, until: Instant, seen: &mut Vec<(u32, u128)>) {
    while let Some(at) = link.poll_timeout().filter(|&at| at <= until) {
        while let Some(number) = link.receive(at) {
            seen.push((number, (at - start).as_millis()));
        }
    }
}

#[test]
fn a_datagram_waits_for_those_before_it_and_then_travels() {
    let config = LinkConfig::constant(Bitrate::kbps(1_000), 50 * MS, 1_000 * MS);
    let (seen, _) = arrivals(config, 3, Duration::ZERO);
    assert_eq!(seen, [(0, 60), (1, 70), (2, 80)]);
}

#[test]
fn a_full_queue_drops_the_newest() {
    let config = LinkConfig::constant(Bitrate::kbps(1_000), Duration::ZERO, 20 * MS);
    let (seen, counters) = arrivals(config, 4, Duration::ZERO);
    assert_eq!(seen, [(0, 10), (1, 20)]);
    assert_eq!((counters.sent, counters.overflowed), (4, 2));
}

#[test]
fn a_change_of_capacity_applies_to_what_is_left() {
    let start = Clock::new().start();
    let slow = LinkConfig::constant(Bitrate::kbps(1_000), Duration::ZERO, 1_000 * MS);
    let fast = LinkConfig::constant(Bitrate::kbps(5_000), Duration::ZERO, 1_000 * MS);
    let mut link = Link::new(slow, Random::new(1), start);
    link.send(0, SIZE, start);
    link.reconfigure(fast, start + 5 * MS);
    assert_eq!(link.poll_timeout(), Some(start + 6 * MS));
}

#[test]
fn a_link_without_capacity_holds_back_until_it_has_some() {
    let start = Clock::new().start();
    let none = LinkConfig { capacity: Capacity::Constant(Bitrate::ZERO), ..LinkConfig::default() };
    let mut link = Link::new(none, Random::new(1), start);
    link.send(0, SIZE, start);
    assert_eq!(link.poll_timeout(), None);
    link.reconfigure(LinkConfig::default(), start + 70 * MS);
    assert_eq!(link.receive(start + 70 * MS), Some(0));
}

#[test]
fn a_trace_sends_one_datagram_per_opportunity() {
    let trace = Trace::parse("2\n5\n10\n").expect("a trace");
    let config = LinkConfig { capacity: Capacity::Opportunities(trace), ..LinkConfig::default() };
    let (seen, _) = arrivals(config, 4, Duration::ZERO);
    assert_eq!(seen, [(0, 2), (1, 5), (2, 10), (3, 12)]);
}

#[test]
fn random_loss_takes_its_share() {
    let (seen, counters) = arrivals(LinkConfig::default().losing(0.1), 10_000, MS);
    assert!((900..1_100).contains(&counters.lost), "{counters:?}");
    assert_eq!(seen.len() as u64, counters.delivered);
}

#[test]
fn jitter_overtakes_only_where_it_may() {
    let steady = LinkConfig { jitter: 30 * MS, ..LinkConfig::delayed(10 * MS) };
    let (seen, _) = arrivals(steady.clone(), 1_000, MS);
    assert!(seen.is_sorted());
    let (seen, _) = arrivals(LinkConfig { reorders: true, ..steady }, 1_000, MS);
    assert!(!seen.is_sorted());
    assert!(seen.iter().all(|&(number, at)| (10..=40).contains(&(at - u128::from(number)))));
}

#[test]
fn some_datagrams_arrive_twice() {
    let (seen, counters) = arrivals(LinkConfig { duplicates: 0.1, ..LinkConfig::default() }, 1_000, MS);
    assert!((60..140).contains(&counters.duplicated), "{counters:?}");
    assert_eq!(seen.len() as u64, counters.delivered + counters.duplicated);
}

#[test]
fn nothing_passes_a_blocked_link() {
    let (seen, counters) = arrivals(LinkConfig { blocked: true, ..LinkConfig::default() }, 5, MS);
    assert!(seen.is_empty());
    assert_eq!(counters.blocked, 5);
}

#[test]
fn the_same_seed_gives_the_same_arrivals() {
    let config = LinkConfig {
        jitter: 30 * MS,
        reorders: true,
        duplicates: 0.05,
        ..LinkConfig::constant(Bitrate::kbps(5_000), 20 * MS, 50 * MS).losing(0.05)
    };
    assert_eq!(arrivals(config.clone(), 1_000, 2 * MS), arrivals(config, 1_000, 2 * MS));
}
