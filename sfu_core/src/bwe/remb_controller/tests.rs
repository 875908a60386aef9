//! Subscribers that estimate by themselves, in virtual time.

use super::*;
use crate::units::start;

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
fn a_remb_that_only_mirrors_a_paused_picture_takes_nothing_beyond_what_each_report_of_a_queue_may() {
    let mut controller = RembController::new(Bitrate::kbps(900));
    let mut now = send(&mut controller, Bitrate::kbps(40));
    controller.on_rtt(Duration::from_millis(40), now);
    let mut told = Vec::new();
    for _ in 0..4 {
        controller.on_remb(Bitrate::kbps(50), now);
        controller.on_rtt(Duration::from_millis(900), now);
        told.push(controller.tick(None, now));
        for _ in 0..50 {
            now += Duration::from_millis(20);
            controller.on_sent(DataSize::bytes(100), now); // 40 kbit/s, of sound
        }
    }
    assert_eq!(kbps(&told), [630, 441, 308, 216]);
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
