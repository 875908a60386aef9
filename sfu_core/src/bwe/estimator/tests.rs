//! A link in virtual time: a queue that drops when full, a rate that may change, losses from a seeded generator.

use super::*;
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
fn remb_is_followed_up_at_once_until_the_round_trip_shows_a_queue_and_then_down() {
    let mut controller = RembController::new(Bitrate::kbps(300));
    let start = send(&mut controller, Bitrate::kbps(1_900));
    controller.on_rtt(Duration::from_millis(40), start);
    controller.on_remb(Bitrate::kbps(2_000), start);
    assert_eq!(controller.tick(None, start).target, Bitrate::kbps(2_000));
    controller.on_remb(Bitrate::kbps(500), start);
    assert_eq!(controller.tick(None, start).target, Bitrate::kbps(2_000), "the subscriber may just not have seen more");
    controller.on_rtt(Duration::from_millis(400), start);
    let estimate = controller.tick(None, start);
    assert_eq!((estimate.target, estimate.limit), (Bitrate::kbps(500), Limit::Remote));
    controller.on_remb(Bitrate::kbps(2_000), start);
    let target = controller.tick(None, start).target;
    assert_eq!(target, Bitrate::kbps(500), "it grew into a queue once: from here on by and by");
}

/// Sends so much for two seconds; returns when they are over.
fn send(controller: &mut RembController, rate: Bitrate) -> Instant {
    let (start, each) = (start(), Duration::from_millis(20));
    for step in 0..=100 {
        controller.on_sent(rate.bytes_in(each), start + each * step);
    }
    start + each * 100
}

/// Seconds of 1 Mbit/s, with a report and a REMB that sees no limit in each; the round trip in milliseconds by second.
fn report(
    controller: &mut RembController,
    seconds: std::ops::Range<u64>,
    rtt_ms: impl Fn(u64) -> u64,
) -> Vec<Estimate> {
    let start = start();
    let steps = seconds.start * 50..seconds.end * 50;
    let estimates = steps.filter_map(|step| {
        let now = start + Duration::from_millis(step * 20);
        controller.on_sent(DataSize::bytes(2_500), now);
        (step % 50 == 0).then(|| {
            let rtt = Duration::from_millis(rtt_ms(step / 50));
            controller.on_remb(Bitrate::kbps(1_500), now);
            for _ in 0..2 {
                controller.on_rtt(rtt, now); // of sound and of pictures
                controller.on_loss_report(50, 0, now);
            }
            controller.tick(None, now)
        })
    });
    estimates.collect()
}

fn kbps(estimates: &[Estimate]) -> Vec<u64> {
    estimates.iter().map(|estimate| estimate.target.as_bps() / 1_000).collect()
}

#[test]
fn while_round_trips_tell_of_a_queue_the_rate_goes_below_what_arrives_whatever_remb_says() {
    let mut controller = RembController::new(Bitrate::kbps(2_000));
    controller.set_desired(Bitrate::kbps(5_000));
    let estimates = report(&mut controller, 0..8, |second| if (1..4).contains(&second) { 900 } else { 40 });
    assert_eq!(kbps(&estimates)[1..4], [1_400, 979, 850], "by no more than it may, then to below what arrives");
    for queued in &estimates[1..4] {
        assert_eq!((queued.limit, queued.padding_to), (Limit::Remote, Bitrate::ZERO));
    }
    let after = &estimates[4..];
    assert!(after.iter().all(|estimate| estimate.limit == Limit::None && estimate.padding_to == estimate.target));
    assert!(kbps(after).is_sorted() && kbps(after)[3] > 900, "the queue is gone: {:?}", kbps(after));
}

#[test]
fn a_path_that_becomes_longer_for_good_is_no_queue_for_ever() {
    let mut controller = RembController::new(Bitrate::kbps(900));
    controller.set_desired(Bitrate::kbps(5_000));
    let estimates = report(&mut controller, 0..120, |second| if second < 20 { 40 } else { 400 });
    assert_eq!(estimates[30].limit, Limit::Remote);
    assert_eq!(estimates[119].limit, Limit::None);
    assert!(estimates[119].target > estimates[70].target, "{:?}", kbps(&estimates));
}

#[test]
fn a_remb_that_only_mirrors_a_paused_picture_does_not_take_the_rate_to_nothing() {
    let mut controller = RembController::new(Bitrate::kbps(900));
    let start = send(&mut controller, Bitrate::kbps(40));
    controller.on_rtt(Duration::from_millis(40), start);
    controller.on_remb(Bitrate::kbps(50), start);
    controller.on_rtt(Duration::from_millis(900), start);
    assert!(controller.tick(None, start).target >= Bitrate::kbps(600));
}

#[test]
fn loss_lowers_what_remb_allows() {
    let start = start();
    let mut controller = RembController::new(Bitrate::kbps(300));
    controller.set_desired(Bitrate::kbps(5_000));
    controller.on_remb(Bitrate::kbps(2_000), start);
    controller.on_loss_report(100, 0, start);
    let later = start + Duration::from_secs(1);
    controller.on_loss_report(100, 0, later);
    controller.on_loss_report(70, 30, later + Duration::from_secs(1));
    let estimate = controller.tick(None, later + Duration::from_secs(1));
    assert!(estimate.target < Bitrate::kbps(1_750) && estimate.target > Bitrate::kbps(1_600), "{estimate:?}");
    assert_eq!(estimate.limit, Limit::Loss);
}

#[test]
fn an_estimate_that_only_mirrors_a_low_rate_never_lowers_it() {
    let start = start();
    let mut controller = RembController::new(Bitrate::kbps(1_500));
    for second in 0..60 {
        let now = start + Duration::from_secs(second);
        controller.on_rtt(Duration::from_millis(20 + second % 7 * 10), now);
        controller.on_loss_report(100, 0, now);
        controller.on_remb(Bitrate::kbps(28), now);
        assert!(controller.tick(None, now).target >= Bitrate::kbps(1_500));
    }
}

#[test]
fn after_a_queue_is_gone_the_rate_grows_again_although_remb_stays_low() {
    let mut controller = RembController::new(Bitrate::kbps(1_500));
    let start = send(&mut controller, Bitrate::kbps(1_500));
    controller.set_desired(Bitrate::kbps(5_000));
    controller.on_rtt(Duration::from_millis(20), start);
    controller.on_remb(Bitrate::kbps(100), start);
    controller.on_rtt(Duration::from_millis(600), start);
    assert_eq!(controller.tick(None, start).target, Bitrate::kbps(100));
    for second in 1..=30 {
        controller.tick(None, start + Duration::from_secs(second));
    }
    assert!(controller.tick(None, start + Duration::from_secs(31)).target > Bitrate::kbps(700));
}

#[test]
fn loss_without_a_queue_never_takes_what_arrives_in_spite_of_it() {
    let start = start();
    let mut controller = RembController::new(Bitrate::kbps(1_500));
    for step in 0..60_000_u64 / 20 {
        let now = start + Duration::from_millis(step * 20);
        controller.on_sent(DataSize::bytes(1_000), now); // 400 kbit/s
        if step % 50 == 0 {
            controller.on_loss_report(30, 20, now);
            controller.on_remb(Bitrate::kbps(200), now);
            controller.tick(None, now);
        }
    }
    let end = start + Duration::from_secs(60);
    let rate = controller.tick(None, end).target;
    assert!((Bitrate::kbps(230)..Bitrate::kbps(300)).contains(&rate), "{rate:?}");
}

#[test]
fn a_rate_that_is_below_what_arrives_without_a_queue_rises_to_it() {
    let start = start();
    let mut controller = RembController::new(Bitrate::kbps(100));
    for step in 0..5_000_u64 / 20 {
        let now = start + Duration::from_millis(step * 20);
        controller.on_sent(DataSize::bytes(1_000), now); // 400 kbit/s, as promised
        if step % 50 == 0 {
            controller.on_loss_report(30, 20, now);
            controller.tick(None, now);
        }
    }
    let rate = controller.tick(None, start + Duration::from_secs(5)).target;
    assert!((Bitrate::kbps(230)..Bitrate::kbps(260)).contains(&rate), "{rate:?}");
}

#[test]
fn what_was_sent_before_a_pause_raises_no_rate_after_it() {
    let start = start();
    let mut controller = RembController::new(Bitrate::kbps(300));
    for step in 0..3_000_u64 / 20 {
        controller.on_sent(DataSize::bytes(10_000), start + Duration::from_millis(step * 20)); // 4 Mbit/s
    }
    for second in 60..64 {
        let later = start + Duration::from_secs(second);
        controller.on_loss_report(30, 20, later);
        assert!(controller.tick(None, later).target <= Bitrate::kbps(300));
    }
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
