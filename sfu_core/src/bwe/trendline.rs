//! Whether a queue grows on the way (draft-ietf-rmcat-gcc-02 §5.2 to §5.4, with a line fitted in place of the filter).
//!
//! Packets sent within 5 ms are one group. How much further apart groups arrive than they left is summed up; the slope
//! of a line through the last sums tells whether the queue grows. Beside the slope counts the queue itself: the delay
//! above the lowest of the last seconds, because a queue that stands still has no slope.

use super::history::Acknowledged;

/// Packets that left within this are one group.
const GROUP_MICROS: i64 = 5_000;
/// Points the line goes through: about 200 ms of video at 1 Mbit/s.
const WINDOW: usize = 20;
/// Smoothing of the summed delay.
const SMOOTHING: f64 = 0.9;
/// A slope is multiplied by this before it is compared (as libwebrtc does, whose thresholds these are).
const GAIN: f64 = 4.0;
const MAX_DELTAS: f64 = 60.0;
const FIRST_THRESHOLD: f64 = 12.5;
const THRESHOLD_RANGE: std::ops::RangeInclusive<f64> = 6.0..=600.0;
const THRESHOLD_UP: f64 = 0.0087;
const THRESHOLD_DOWN: f64 = 0.039;
/// The slope must stay over the threshold this long.
const OVERUSE_MICROS: i64 = 10_000;
/// A standing queue this long is overuse, whatever the slope.
const STANDING_QUEUE_MICROS: i64 = 80_000;
/// The lowest delay is looked for in this many slices ...
const BASE_SLICES: usize = 10;
/// ... of one second each: clocks drift apart by less than a millisecond in that time.
const BASE_SLICE_MICROS: i64 = 1_000_000;

/// What the delays say.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    /// The queue does not grow.
    #[default]
    Normal,
    /// The queue grows, or is long.
    Over,
    /// The queue drains.
    Under,
}

/// Watches the delays of one path.
#[derive(Debug, Clone)]
pub struct Trendline {
    group: Option<Group>,
    previous: Option<Group>,
    line: Line,
    summed_ms: f64,
    smoothed_ms: f64,
    deltas: u32,
    first_arrival: i64,
    /// When the last group arrived, if the line was not looked at since.
    unjudged: Option<i64>,
    threshold: f64,
    threshold_at: Option<i64>,
    over_since: Option<i64>,
    previous_slope: f64,
    usage: Usage,
    /// The lowest delay by slice, and when the current slice ends.
    base: [Option<i64>; BASE_SLICES],
    slice: usize,
    slice_ends: Option<i64>,
    /// The lowest of all slices but the current one.
    base_before: i64,
    queue_micros: i64,
}

impl Default for Trendline {
    fn default() -> Self {
        Self {
            group: None,
            previous: None,
            line: Line::default(),
            summed_ms: 0.0,
            smoothed_ms: 0.0,
            deltas: 0,
            first_arrival: 0,
            unjudged: None,
            threshold: FIRST_THRESHOLD,
            threshold_at: None,
            over_since: None,
            previous_slope: 0.0,
            usage: Usage::Normal,
            base: [None; BASE_SLICES],
            slice: 0,
            slice_ends: None,
            base_before: i64::MAX,
            queue_micros: 0,
        }
    }
}

impl Trendline {
    /// A packet arrived; packets come in the order they were sent.
    pub fn on_packet(&mut self, packet: &Acknowledged) {
        self.measure_queue(packet);
        let Some(group) = &mut self.group else {
            self.group = Some(Group::of(packet));
            return;
        };
        if packet.sent_micros < group.first_sent {
            return; // reordered before the group
        }
        if packet.sent_micros - group.first_sent <= GROUP_MICROS {
            group.sent = group.sent.max(packet.sent_micros);
            group.arrived = group.arrived.max(packet.arrival_micros);
            return;
        }
        let done = *group;
        self.group = Some(Group::of(packet));
        if let Some(previous) = self.previous.replace(done) {
            self.on_delta(done.sent - previous.sent, done.arrived.wrapping_sub(previous.arrived), done.arrived);
        }
    }

    /// What the delays say now. Ask once all packets of a feedback are told: what they say together is looked at here, once.
    pub fn usage(&mut self) -> Usage {
        if let Some(arrived) = self.unjudged.take() {
            let slope = self.line.slope().unwrap_or(self.previous_slope);
            self.detect(slope, arrived);
        }
        self.usage
    }

    /// The delay of the last packets above the lowest seen lately.
    pub fn queue_micros(&self) -> i64 {
        self.queue_micros
    }

    fn measure_queue(&mut self, packet: &Acknowledged) {
        let delay = packet.arrival_micros.wrapping_sub(packet.sent_micros);
        let ends = *self.slice_ends.get_or_insert(packet.sent_micros + BASE_SLICE_MICROS);
        if packet.sent_micros >= ends {
            self.slice = (self.slice + 1) % BASE_SLICES;
            self.base[self.slice] = None;
            self.slice_ends = Some(packet.sent_micros + BASE_SLICE_MICROS);
            self.base_before = self.base.iter().flatten().min().copied().unwrap_or(i64::MAX);
        }
        let lowest = self.base[self.slice].map_or(delay, |lowest| lowest.min(delay));
        self.base[self.slice] = Some(lowest);
        let base = self.base_before.min(lowest);
        // One late packet is no queue: the measure follows quickly, not at once.
        let queue = delay.wrapping_sub(base).saturating_sub(self.queue_micros);
        self.queue_micros = self.queue_micros.saturating_add(queue / 4);
    }

    fn on_delta(&mut self, sent_delta: i64, arrival_delta: i64, arrived: i64) {
        if self.deltas == 0 {
            self.first_arrival = arrived;
        }
        let delta_ms = arrival_delta.wrapping_sub(sent_delta) as f64 / 1_000.0;
        self.deltas = self.deltas.saturating_add(1);
        self.summed_ms += delta_ms;
        self.smoothed_ms = SMOOTHING * self.smoothed_ms + (1.0 - SMOOTHING) * self.summed_ms;
        self.line.push((arrived.wrapping_sub(self.first_arrival) as f64 / 1_000.0, self.smoothed_ms));
        self.unjudged = Some(arrived);
    }

    fn detect(&mut self, slope: f64, arrived: i64) {
        let trend = f64::from(self.deltas).min(MAX_DELTAS) * slope * GAIN;
        let standing = self.queue_micros > STANDING_QUEUE_MICROS;
        self.usage = if trend > self.threshold || standing {
            let since = *self.over_since.get_or_insert(arrived);
            let lasts = arrived.wrapping_sub(since) >= OVERUSE_MICROS;
            if lasts && (slope >= self.previous_slope || standing) { Usage::Over } else { self.usage }
        } else {
            self.over_since = None;
            if trend < -self.threshold { Usage::Under } else { Usage::Normal }
        };
        self.previous_slope = slope;
        self.adapt_threshold(trend, arrived);
    }

    /// Follows the usual slopes of this path, so that jitter is not taken for a queue.
    fn adapt_threshold(&mut self, trend: f64, arrived: i64) {
        let elapsed = arrived.wrapping_sub(self.threshold_at.unwrap_or(arrived));
        let elapsed_ms = elapsed.clamp(0, 100_000) as f64 / 1_000.0;
        self.threshold_at = Some(arrived);
        if trend.abs() > self.threshold + 15.0 {
            return; // a sudden change says nothing about the usual
        }
        let gain = if trend.abs() < self.threshold { THRESHOLD_DOWN } else { THRESHOLD_UP };
        let step = gain * (trend.abs() - self.threshold) * elapsed_ms.min(100.0);
        self.threshold = (self.threshold + step).clamp(*THRESHOLD_RANGE.start(), *THRESHOLD_RANGE.end());
    }
}

/// The line that fits the last points best. What the slope is made of is kept as sums, so that a point costs the same
/// however many there are; the sums are made anew each time round, before rounding could add up.
#[derive(Debug, Clone, Default)]
struct Line {
    points: [(f64, f64); WINDOW],
    pushed: usize,
    /// Coordinates are summed up from here: small numbers lose less.
    origin: (f64, f64),
    x: f64,
    y: f64,
    xx: f64,
    xy: f64,
}

impl Line {
    fn push(&mut self, point: (f64, f64)) {
        let place = self.pushed % WINDOW;
        if self.pushed >= WINDOW {
            self.add(self.points[place], -1.0);
        }
        self.points[place] = point;
        self.pushed += 1;
        if place == 0 {
            *self = Self { points: self.points, pushed: self.pushed, origin: point, ..Self::default() };
            for index in 0..self.pushed.min(WINDOW) {
                self.add(self.points[index], 1.0);
            }
        } else {
            self.add(point, 1.0);
        }
    }

    fn add(&mut self, (x, y): (f64, f64), weight: f64) {
        let (x, y) = (x - self.origin.0, y - self.origin.1);
        self.x += weight * x;
        self.y += weight * y;
        self.xx += weight * x * x;
        self.xy += weight * x * y;
    }

    /// Once there are [`WINDOW`] points. Zero when they lie above each other.
    fn slope(&self) -> Option<f64> {
        let count = WINDOW as f64;
        let under = count * self.xx - self.x * self.x;
        let slope = if under > 0.0 { (count * self.xy - self.x * self.y) / under } else { 0.0 };
        (self.pushed >= WINDOW).then_some(slope)
    }
}

#[derive(Debug, Clone, Copy)]
struct Group {
    first_sent: i64,
    sent: i64,
    arrived: i64,
}

impl Group {
    fn of(packet: &Acknowledged) -> Self {
        Self { first_sent: packet.sent_micros, sent: packet.sent_micros, arrived: packet.arrival_micros }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packets of one size every 10 ms, each delayed by `queue_ms` of its number.
    fn usages(count: i64, queue_micros: impl Fn(i64) -> i64) -> Vec<Usage> {
        let mut trendline = Trendline::default();
        (0..count)
            .map(|sequence| {
                let sent_micros = sequence * 10_000;
                let arrival_micros = sent_micros + 50_000 + queue_micros(sequence);
                let sequence = sequence as u64;
                trendline.on_packet(&Acknowledged { sequence, size: 1_200, sent_micros, arrival_micros });
                trendline.usage()
            })
            .collect()
    }

    #[test]
    fn the_slope_from_sums_is_the_slope_of_the_points() {
        let mut line = Line::default();
        let points: Vec<(f64, f64)> = (0..1_000)
            .map(|n| (f64::from(n) * 20.0 + f64::from(n * 7 % 13), 5_000.0 + f64::from(n * 31 % 17) * 0.3))
            .collect();
        for (index, &point) in points.iter().enumerate() {
            line.push(point);
            let Some(slope) = line.slope() else { continue };
            let last = &points[index + 1 - WINDOW..=index];
            let mean = |of: fn(&(f64, f64)) -> f64| last.iter().map(of).sum::<f64>() / WINDOW as f64;
            let (mean_x, mean_y) = (mean(|point| point.0), mean(|point| point.1));
            let over: f64 = last.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
            let under: f64 = last.iter().map(|(x, _)| (x - mean_x) * (x - mean_x)).sum();
            assert!((slope - over / under).abs() < 1e-9, "{slope} at {index}");
        }
    }

    #[test]
    fn a_steady_path_is_normal() {
        assert!(usages(500, |n| n * 7_919 % 3_000).iter().all(|usage| *usage == Usage::Normal));
    }

    #[test]
    fn a_growing_queue_is_overuse_before_it_is_long() {
        let usages = usages(100, |n| (n - 50).max(0) * 2_000);
        let found = usages.iter().position(|usage| *usage == Usage::Over);
        assert!(found.is_some_and(|at| (51..80).contains(&at)), "{found:?}");
    }

    #[test]
    fn a_draining_queue_is_underuse() {
        let usages = usages(150, |n| if n < 80 { n * 900 } else { (150 - n) * 900 });
        assert!(usages[100..].contains(&Usage::Under));
    }

    #[test]
    fn a_standing_queue_is_overuse() {
        let usages = usages(300, |n| if n < 50 { 0 } else { 120_000 });
        assert_eq!(usages[200], Usage::Over);
    }

    #[test]
    fn a_clock_that_jumps_to_its_end_and_back_does_no_harm() {
        let mut trendline = Trendline::default();
        for step in 0..2_000_i64 {
            let arrival_micros = [i64::MAX, i64::MIN, 0, -1, i64::MAX - step][step as usize % 5];
            let sent_micros = step * 6_000;
            trendline.on_packet(&Acknowledged { sequence: step as u64, size: 1_200, sent_micros, arrival_micros });
            if step % 3 == 0 {
                trendline.usage();
            }
        }
        assert!(trendline.threshold.is_finite());
    }
}
