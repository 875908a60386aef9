//! A link in virtual time: a queue that drops when full, a rate that may change, losses from a seeded generator.

use super::*;
use crate::bwe::aimd::MIN_RATE;
use crate::bwe::history::{Acknowledged, History};
use crate::units::{Nanos, start};

const PACKET: u16 = 1_200;
const STEP_MICROS: u64 = 1_000;

struct Link {
    /// Bits per second after so many microseconds.
    capacity: fn(u64) -> f64,
    one_way_micros: u64,
    queue_ms: f64,
    loss: f64,
}

/// What came of a run, second by second.
#[derive(Default)]
struct Outcome {
    /// Share of the capacity that arrived.
    utilisation: Vec<f64>,
    /// Delay in the queue of each packet, with the time it was sent.
    queue_ms: Vec<(u64, f64)>,
}

impl Outcome {
    fn mean_utilisation(&self, seconds: std::ops::Range<usize>) -> f64 {
        self.utilisation[seconds.clone()].iter().sum::<f64>() / seconds.len() as f64
    }

    fn queue_p95(&self, from_second: u64) -> f64 {
        let from = from_second * 1_000_000;
        let mut delays: Vec<_> = self.queue_ms.iter().filter(|(at, _)| *at >= from).map(|(_, delay)| *delay).collect();
        delays.sort_by(f64::total_cmp);
        delays[delays.len() * 95 / 100]
    }
}

/// A small generator with a seed (xorshift64*).
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Sends at the target for some seconds; `share` of it while application-limited.
fn run(link: &Link, controller: &mut DelayController, seconds: u64, share: f64) -> Outcome {
    let start = start();
    let mut history = History::default();
    let mut dice = Dice(7);
    let mut outcome = Outcome::default();
    let (mut owed, mut link_free_at, mut arrived_bytes, mut offered_bits) = (0.0, 0.0, 0.0, 0.0);
    // By number: when the packet arrives, in microseconds.
    let mut arrivals: VecDeque<(u64, Option<u64>)> = VecDeque::new();
    let mut reports: VecDeque<(u64, u64, Vec<Option<u64>>)> = VecDeque::new();
    let mut target = controller.tick(None, start).target;
    for step in 0..seconds * 1_000_000 / STEP_MICROS {
        let micros = step * STEP_MICROS;
        let now = start + Duration::from_micros(micros);
        let capacity = (link.capacity)(micros);
        offered_bits += capacity * STEP_MICROS as f64 / 1e6;
        owed += target.as_f64() * share * STEP_MICROS as f64 / 8e6;
        while owed >= f64::from(PACKET) {
            owed -= f64::from(PACKET);
            let sequence = history.on_sent(PACKET, Nanos(micros * 1_000));
            let waits = f64::max(link_free_at - micros as f64, 0.0);
            let fits = waits / 1_000.0 <= link.queue_ms;
            if fits {
                outcome.queue_ms.push((micros, waits / 1_000.0));
                link_free_at = micros as f64 + waits + f64::from(PACKET) * 8e6 / capacity;
            }
            let survives = fits && dice.roll() >= link.loss;
            arrivals.push_back((sequence, survives.then_some(link_free_at as u64 + link.one_way_micros)));
        }
        if micros.is_multiple_of(50_000) {
            let latest = arrivals.iter().rposition(|(_, at)| at.is_some_and(|at| at <= micros));
            if let Some(latest) = latest {
                let told: Vec<_> = arrivals.drain(..=latest).collect();
                arrived_bytes += f64::from(PACKET) * told.iter().filter(|(_, at)| at.is_some()).count() as f64;
                let statuses = told.iter().map(|(_, at)| *at).collect();
                reports.push_back((micros + link.one_way_micros, told[0].0, statuses));
            }
        }
        while reports.front().is_some_and(|(at, ..)| *at <= micros) {
            let (_, base, statuses) = reports.pop_front().expect("just seen");
            feed(&mut history, controller, base, &statuses, (start, now));
        }
        if micros.is_multiple_of(25_000) {
            let waiting_since = history.waiting_since(Nanos(micros * 1_000));
            target = controller.tick(waiting_since.map(|at| start + at.since(Nanos(0))), now).target;
        }
        if micros % 1_000_000 == 999_000 {
            outcome.utilisation.push(arrived_bytes * 8.0 / offered_bits);
            (arrived_bytes, offered_bits) = (0.0, 0.0);
        }
    }
    outcome
}

fn feed(
    history: &mut History,
    controller: &mut DelayController,
    base: u64,
    statuses: &[Option<u64>],
    (begun, now): (Instant, Instant),
) {
    let first = statuses.iter().flatten().min().copied().unwrap_or(0);
    let reference = first / 64_000;
    let mut previous = (reference * 64_000 / 250) as i64;
    let deltas = statuses.iter().map(|at| {
        at.map(|at| {
            let ticks = (at / 250) as i64;
            let delta = ticks - std::mem::replace(&mut previous, ticks);
            delta as i32
        })
    });
    let mut acknowledged = Vec::new();
    let feedback = history.on_feedback(base as u16, reference as u32, deltas, &mut acknowledged);
    if let Some(sent) = feedback.acknowledged.iter().map(|packet| packet.sent_micros as u64).max() {
        controller.on_rtt((now - begun).saturating_sub(Duration::from_micros(sent)), now);
    }
    controller.on_feedback(&feedback, now);
}

fn link(capacity: fn(u64) -> f64) -> Link {
    Link { capacity, one_way_micros: 50_000, queue_ms: 300.0, loss: 0.0 }
}

fn controller() -> DelayController {
    DelayController::new(Bitrate::kbps(300))
}

#[test]
fn a_steady_path_is_used_with_a_short_queue() {
    for capacity in [|_| 1e6, |_| 3e6, |_| 500e3] as [fn(u64) -> f64; 3] {
        let outcome = run(&link(capacity), &mut controller(), 60, 1.0);
        let (used, queue) = (outcome.mean_utilisation(10..60), outcome.queue_p95(5));
        assert!(used >= 0.7 && queue < 150.0, "used {used:.2}, queue {queue:.0} ms");
    }
}

#[test]
fn ten_percent_random_loss_leaves_half_and_two_percent_leave_most() {
    for (loss, least) in [(0.02, 0.7), (0.05, 0.6), (0.10, 0.5)] {
        let outcome = run(&Link { loss, ..link(|_| 2e6) }, &mut controller(), 60, 1.0);
        let used = outcome.mean_utilisation(15..60);
        assert!(used >= least, "{loss}: used {used:.2}");
    }
}

#[test]
fn a_drop_to_a_third_is_followed_within_three_seconds_and_undone_later() {
    let drops: fn(u64) -> f64 = |micros| if (20..40).contains(&(micros / 1_000_000)) { 1e6 } else { 3e6 };
    let outcome = run(&link(drops), &mut controller(), 80, 1.0);
    let after: Vec<_> =
        outcome.queue_ms.iter().filter(|(at, _)| (23_000_000..40_000_000).contains(at)).map(|(_, ms)| *ms).collect();
    let long = after.iter().filter(|ms| **ms > 150.0).count() as f64 / after.len() as f64;
    assert!(long < 0.05, "{long:.2} of packets wait long");
    let (low, back) = (outcome.mean_utilisation(24..40), outcome.mean_utilisation(60..80));
    assert!(low >= 0.7 && back >= 0.7, "low {low:.2}, back {back:.2}");
}

#[test]
fn a_megabit_with_a_queue_of_a_second_converges() {
    let outcome = run(&Link { queue_ms: 1_000.0, ..link(|_| 1e6) }, &mut controller(), 60, 1.0);
    let (used, queue) = (outcome.mean_utilisation(10..60), outcome.queue_p95(10));
    assert!(used >= 0.7 && queue < 150.0, "used {used:.2}, queue {queue:.0} ms");
}

#[test]
fn a_short_queue_is_not_flooded() {
    let outcome = run(&Link { queue_ms: 30.0, ..link(|_| 1e6) }, &mut controller(), 60, 1.0);
    let used = outcome.mean_utilisation(10..60);
    assert!(used >= 0.7, "used {used:.2}");
}

#[test]
fn it_starts_fast() {
    let outcome = run(&link(|_| 3e6), &mut controller(), 6, 1.0);
    let used = outcome.mean_utilisation(4..6);
    assert!(used >= 0.7, "used {used:.2}");
}

#[test]
fn sending_little_does_not_inflate_the_estimate() {
    let mut controller = DelayController::new(Bitrate::kbps(500));
    run(&link(|_| 10e6), &mut controller, 30, 0.2);
    let rate = controller.aimd.rate();
    assert!(rate >= Bitrate::kbps(500) && rate < Bitrate::kbps(1_000), "{rate:?}");
}

#[test]
fn silence_lowers_the_rate_step_by_step() {
    let start = start();
    let mut controller = DelayController::new(Bitrate::kbps(2_000));
    let mut history = History::default();
    let base = history.on_sent(PACKET, Nanos(0));
    feed(&mut history, &mut controller, base, &[Some(50_000)], (start, start));
    history.on_sent(PACKET, Nanos(0));
    let seconds = |seconds| start + Duration::from_secs(seconds);
    assert_eq!(controller.tick(Some(start), start).target, Bitrate::kbps(2_000));
    let targets: Vec<_> = (1..60).map(|second| controller.tick(Some(start), seconds(second))).collect();
    assert_eq!((targets[0].target, targets[0].limit), (Bitrate::kbps(1_600), Limit::Silence));
    assert_eq!(targets[58].target, MIN_RATE);
}

#[test]
fn padding_is_asked_for_only_when_more_is_wanted_and_nothing_is_wrong() {
    let start = start();
    let mut controller = controller();
    assert_eq!(controller.tick(None, start).padding_to, Bitrate::ZERO);
    controller.set_desired(Bitrate::kbps(1_000));
    assert_eq!(controller.tick(None, start).padding_to, Bitrate::kbps(300));
    controller.over_at = Some(start);
    assert_eq!(controller.tick(None, start).padding_to, Bitrate::ZERO);
}

#[test]
fn another_route_begins_anew_but_not_faster() {
    let mut controller = controller();
    run(&link(|_| 3e6), &mut controller, 10, 1.0);
    controller.on_route_change(start());
    assert_eq!(controller.tick(None, start()).target, Bitrate::kbps(300));
    assert_eq!(controller.arrived(), None);
}

#[test]
fn a_subscriber_whose_clock_jumps_to_its_end_and_back_does_no_harm() {
    let start = start();
    let mut controller = DelayController::new(Bitrate::kbps(1_000));
    for step in 0..500_i64 {
        let arrival_micros = [i64::MIN, i64::MAX, 0][step as usize % 3];
        let packet = Acknowledged { sequence: step as u64, size: 1_200, sent_micros: step * 10_000, arrival_micros };
        let feedback = Feedback { acknowledged: &[packet], lost: 0, in_flight: DataSize::ZERO };
        let now = start + Duration::from_millis(10) * step as u32;
        controller.on_feedback(&feedback, now);
        assert!(controller.tick(None, now).target <= MAX_RATE);
    }
}
