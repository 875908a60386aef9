//! The load through our engine: light participants with given keys in the simulated world make it, and what they and the
//! clock did to the engine is written down; then it is done again to an engine that stands alone. Timed is what that engine
//! does with datagrams and time: receiving, deciding, pacing, sealing, and reading all feedback.

use std::time::Duration;

use sim::heap;
use sim::load::{Kind, Load, SEED};
use sim::server::Meter;
use sim::stay::{Durations, Stays};

use crate::cpu::SpanClock;
use crate::shape::{SAMPLE, WARM_UP};
use crate::trace::{self, Entry, Operation, Replay};

/// So long that every subscriber has asked for something again, and every queue has had its first packet.
const LONG_WARM_UP: Duration = Duration::from_secs(30);
/// Half a second of the hospital is 120 000 packets.
const HOSPITAL_SAMPLE: Duration = Duration::from_millis(500);

const fn warm_up(kind: Kind) -> Duration {
    if matches!(kind, Kind::Rooms { .. }) { WARM_UP } else { LONG_WARM_UP }
}

const fn sample(kind: Kind) -> Duration {
    if matches!(kind, Kind::Rooms { .. }) { HOSPITAL_SAMPLE } else { SAMPLE }
}

/// What is told of a distribution.
const PERCENTILES: [(&str, f64); 3] = [("p50", 0.5), ("p95", 0.95), ("max", 1.0)];

/// What one sample counted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) ns_per_packet: f64,
    pub(crate) allocations_per_packet: f64,
}

/// An engine that runs warm, and what is to be done to it in each sample.
pub(crate) struct Row {
    replay: Replay,
    trace: std::iter::Peekable<std::vec::IntoIter<Entry>>,
    spans: Spans,
    kind: Kind,
    until: Duration,
    /// How long packets stayed in the engine during the samples, in the load's own time.
    stays: Stays,
}

impl Row {
    /// Simulates the load for `samples` samples, and lets an engine run warm on the beginning of it.
    pub(crate) fn warmed_up(kind: Kind, samples: usize) -> Self {
        let mut written = None;
        let mut make = |start| {
            let (recorder, trace) = trace::in_memory(start);
            written = Some(trace);
            recorder
        };
        let mut load = Load::new(kind, Some(&mut make));
        load.watch_stays(warm_up(kind));
        let span = warm_up(kind) + sample(kind) * samples as u32;
        load.meeting.run_for(span);
        let (packets, stays) = (packets_out(&mut load), load.stays());
        drop(load);
        let mut trace = written.expect("the load has a world").take();
        trace.push((span, Operation::End { packets }));
        let mut row = Self {
            replay: Replay::new(SEED),
            trace: trace.into_iter().peekable(),
            spans: Spans(SpanClock::calibrated()),
            kind,
            until: warm_up(kind),
            stays,
        };
        row.repeat();
        row
    }

    /// What the next sample costs.
    pub(crate) fn run(&mut self) -> Sample {
        let before = self.replay.packets_out(self.until, &mut self.spans);
        self.until += sample(self.kind);
        self.spans.0.take_ns();
        heap::take_calls();
        self.repeat();
        let packets = (self.replay.packets_out(self.until, &mut self.spans) - before) as f64;
        let (ns, allocations) = (self.spans.0.take_ns(), heap::take_calls());
        assert!(packets > 0.0, "packets were forwarded");
        Sample { ns_per_packet: ns as f64 / packets, allocations_per_packet: allocations as f64 / packets }
    }

    /// What stayed in the engine for how long: the ending of the row's name, and microseconds.
    pub(crate) fn added_delays(&self) -> Vec<(String, f64)> {
        let kinds = [("audio-", &self.stays.sound), ("video-", &self.stays.pictures)];
        let both = kinds.iter().all(|(_, durations)| !durations.is_empty());
        let rows = kinds.into_iter().filter(|(_, durations)| !durations.is_empty()).flat_map(|(kind, durations)| {
            let kind = if both { kind } else { "" };
            PERCENTILES.map(|(name, share)| (format!("added-delay-{kind}{name}"), micros(durations, share)))
        });
        rows.collect()
    }

    /// Does what was done until `self.until`.
    fn repeat(&mut self) {
        while let Some(entry) = self.trace.next_if(|(at, _)| *at <= self.until) {
            self.replay.apply(entry, &mut self.spans);
        }
    }
}

/// Looks at the clock and at the allocator when the engine works.
struct Spans(SpanClock);

impl Meter for Spans {
    fn enter(&mut self) {
        heap::count(true);
        self.0.start();
    }

    fn leave(&mut self) {
        self.0.stop();
        heap::count(false);
    }
}

/// Ends the recording of a load, and says how many RTP packets left its engine.
pub(crate) fn packets_out(load: &mut Load) -> u64 {
    load.meeting.world.server.recorder = None;
    load.meeting.stats().rtp_packets_out
}

fn micros(durations: &Durations, share: f64) -> f64 {
    durations.percentile(share).map_or(f64::NAN, |duration| duration.as_secs_f64() * 1e6)
}
