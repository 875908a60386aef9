//! The load through our engine: light participants with given keys in the simulated world make it, and what they and the
//! clock did to the engine is written down; then it is done again to an engine that stands alone. Timed is what that engine
//! does with datagrams and time: receiving, deciding, pacing, sealing, and reading all feedback.

use std::time::{Duration, Instant};

use sfu_core::units::Bitrate;
use sim::keyed::{Sends, Wishes};
use sim::link::LinkConfig;
use sim::media::{Camera, Microphone, VideoCodec, VideoConfig};
use sim::meeting::{Meeting, Published};
use sim::server::{Meter, Recorder};
use sim::world::{Path, RemoteId};

use crate::allocations;
use crate::cpu::SpanClock;
use crate::deeds::{self, Deed, Replay, What};
use crate::shape::{DELAY, LOSS, PACKETS_PER_FRAME, PAYLOAD, SAMPLE, STEP, SUBSCRIBERS, WARM_UP};

/// Of everything that is drawn.
pub(crate) const SEED: u64 = 1;
/// Frames per minute of one publisher, over all its tracks.
const FRAMES_PER_MINUTE: u32 = 1_800;
/// Fewer than the engine allows one peer to publish.
const TRACKS_PER_PUBLISHER: usize = 10;
/// Who hears the sound of one publisher.
const LISTENERS: usize = 100;
const PEOPLE_PER_ROOM: u32 = 3;
/// So long that every subscriber has asked for something again, and every queue has had its first packet.
const LONG_WARM_UP: Duration = Duration::from_secs(30);
/// Half a second of the hospital is 120 000 packets.
const HOSPITAL_SAMPLE: Duration = Duration::from_millis(500);

/// Who writes down what is done to the engine of a world that began at this instant.
type MakeRecorder<'a> = &'a mut dyn FnMut(Instant) -> Box<dyn Recorder>;

/// Which load.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// One camera's packets spread over so many tracks, to [`SUBSCRIBERS`].
    Video { tracks: u32 },
    /// One microphone to [`LISTENERS`].
    Audio,
    /// So many rooms of [`PEOPLE_PER_ROOM`], everybody with camera and microphone.
    Hospital { rooms: u32 },
}

impl Kind {
    const fn warm_up(self) -> Duration {
        if matches!(self, Self::Hospital { .. }) { WARM_UP } else { LONG_WARM_UP }
    }

    const fn sample(self) -> Duration {
        if matches!(self, Self::Hospital { .. }) { HOSPITAL_SAMPLE } else { SAMPLE }
    }
}

/// What one sample counted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) ns_per_packet: f64,
    pub(crate) allocations_per_packet: f64,
}

/// An engine that runs warm, and what is to be done to it in each sample.
pub(crate) struct Row {
    replay: Replay,
    deeds: std::iter::Peekable<std::vec::IntoIter<Deed>>,
    spans: Spans,
    kind: Kind,
    until: Duration,
}

impl Row {
    /// Simulates the load for `samples` samples, and lets an engine run warm on the beginning of it.
    pub(crate) fn warmed_up(kind: Kind, samples: usize) -> Self {
        let mut written = None;
        let mut make = |start| {
            let (recorder, deeds) = deeds::in_memory(start);
            written = Some(deeds);
            recorder
        };
        let mut load = match kind {
            Kind::Video { tracks } => Load::video(tracks, SUBSCRIBERS, &mut make),
            Kind::Audio => Load::audio(&mut make),
            Kind::Hospital { rooms } => Load::rooms(rooms, make),
        };
        let span = kind.warm_up() + kind.sample() * samples as u32;
        load.run_for(span);
        let packets = load.packets_out();
        drop(load);
        let mut deeds = written.expect("the load has a world").take();
        deeds.push((span, What::End { packets }));
        let mut row = Self {
            replay: Replay::new(SEED),
            deeds: deeds.into_iter().peekable(),
            spans: Spans(SpanClock::calibrated()),
            kind,
            until: kind.warm_up(),
        };
        row.repeat();
        row
    }

    /// What the next sample costs.
    pub(crate) fn run(&mut self) -> Sample {
        let before = self.replay.packets_out(self.until, &mut self.spans);
        self.until += self.kind.sample();
        self.spans.0.take_ns();
        allocations::take();
        self.repeat();
        let packets = (self.replay.packets_out(self.until, &mut self.spans) - before) as f64;
        let (ns, allocations) = (self.spans.0.take_ns(), allocations::take());
        assert!(packets > 0.0, "packets were forwarded");
        Sample { ns_per_packet: ns as f64 / packets, allocations_per_packet: allocations as f64 / packets }
    }

    /// Does what was done until `self.until`.
    fn repeat(&mut self) {
        while let Some(deed) = self.deeds.next_if(|(at, _)| *at <= self.until) {
            self.replay.repeat(deed, &mut self.spans);
        }
    }
}

/// Looks at the clock and at the allocator when the engine works.
struct Spans(SpanClock);

impl Meter for Spans {
    fn enter(&mut self) {
        allocations::count(true);
        self.0.start();
    }

    fn leave(&mut self) {
        self.0.stop();
        allocations::count(false);
    }
}

/// A meeting that makes the load.
pub(crate) struct Load {
    meeting: Meeting,
    /// Whether all publishers start in the same instant.
    in_step: bool,
}

impl Load {
    /// Video to `subscribers`, spread over `tracks` tracks that take turns; one publisher has at most ten of them.
    fn video(tracks: u32, subscribers: usize, recorder: MakeRecorder<'_>) -> Self {
        let mut load = Self::empty(true, recorder);
        let mut cameras = Vec::new();
        for first in (0..tracks).step_by(TRACKS_PER_PUBLISHER) {
            let own = (tracks - first).min(TRACKS_PER_PUBLISHER as u32);
            let sends = vec![Sends::Video(VideoCodec::Vp8, &[]); own as usize];
            let publisher = load.meeting.join_keyed(|wishes| Wishes { sends, ..wishes }, path(0.0));
            cameras.extend((0..own).map(|section| load.camera(publisher, section as usize, (first + section, tracks))));
        }
        for _ in 0..subscribers {
            let wishes = |wishes| Wishes { receives_video: tracks as usize, ..wishes };
            let subscriber = load.meeting.join_keyed(wishes, path(LOSS));
            load.meeting.world.keyed(subscriber).judged = false;
            for &camera in &cameras {
                load.meeting.watch(subscriber, camera);
            }
        }
        load
    }

    /// One publisher's sound to many.
    fn audio(recorder: MakeRecorder<'_>) -> Self {
        let mut load = Self::empty(true, recorder);
        let publisher = load.meeting.join_keyed(|wishes| Wishes { sends: vec![Sends::Audio], ..wishes }, path(0.0));
        let microphone = load.microphone(publisher, 0);
        for _ in 0..LISTENERS {
            let listener = load.meeting.join_keyed(|wishes| Wishes { receives_audio: 1, ..wishes }, path(LOSS));
            load.meeting.world.keyed(listener).judged = false;
            load.meeting.watch(listener, microphone);
        }
        load
    }

    /// So many rooms of three, everybody with camera and microphone; nothing sent yet.
    pub(crate) fn rooms(rooms: u32, mut recorder: impl FnMut(Instant) -> Box<dyn Recorder>) -> Self {
        let mut load = Self::empty(false, &mut recorder);
        for _ in 0..rooms {
            load.meeting.open_room();
            let others = PEOPLE_PER_ROOM as usize - 1;
            let wishes = |wishes| Wishes {
                sends: vec![Sends::Video(VideoCodec::Vp8, &[]), Sends::Audio],
                receives_audio: others,
                receives_video: others,
                ..wishes
            };
            let people: Vec<RemoteId> =
                (0..PEOPLE_PER_ROOM).map(|_| load.meeting.join_keyed(wishes, path(LOSS))).collect();
            for &person in &people {
                load.meeting.world.keyed(person).judged = false;
            }
            let tracks: Vec<[Published; 2]> =
                people.iter().map(|&person| [load.camera(person, 0, (0, 1)), load.microphone(person, 1)]).collect();
            for &subscriber in &people {
                for track in tracks.iter().flatten().filter(|track| track.publisher != subscriber) {
                    load.meeting.watch(subscriber, *track);
                }
            }
        }
        load
    }

    /// Ends the recording, and says how many RTP packets left the engine.
    pub(crate) fn packets_out(&mut self) -> u64 {
        self.meeting.world.server.recorder = None;
        self.meeting.stats().rtp_packets_out
    }

    /// Lets media flow.
    pub(crate) fn run_for(&mut self, span: Duration) {
        self.meeting.run_for(span);
    }

    /// In the hospital, publishers do not all start in the same instant.
    fn phase(&self, publisher: RemoteId) -> Duration {
        if self.in_step { Duration::ZERO } else { Duration::from_micros(publisher.index() as u64 * 7_919 % 33_333) }
    }

    fn empty(in_step: bool, recorder: MakeRecorder<'_>) -> Self {
        let mut meeting = Meeting::new(SEED);
        meeting.world.grain = STEP;
        meeting.world.server.recorder = Some(recorder(meeting.world.start()));
        Self { meeting, in_step }
    }

    /// The `turn`-th of `turns` cameras that take turns.
    fn camera(&mut self, publisher: RemoteId, section: usize, (turn, turns): (u32, u32)) -> Published {
        let source = publisher.index() as u32 * 100 + section as u32;
        let (start, now) = (self.meeting.world.start(), self.meeting.now());
        let frame = PAYLOAD as u64 * u64::from(PACKETS_PER_FRAME);
        let frames_per_minute = FRAMES_PER_MINUTE / turns;
        let bitrate = Bitrate::bps(frame * 8 * u64::from(frames_per_minute) / 60);
        let video = VideoConfig { bitrate, frames_per_minute, ..VideoConfig::default() };
        let first = now + Duration::from_secs(60) * turn / FRAMES_PER_MINUTE + self.phase(publisher);
        self.meeting.world.keyed(publisher).publish(section, 0, Camera::new(source, 0, video, start, first));
        self.meeting.publish(publisher, section, source)
    }

    fn microphone(&mut self, publisher: RemoteId, section: usize) -> Published {
        let source = publisher.index() as u32 * 100 + 99;
        let (start, first) = (self.meeting.world.start(), self.meeting.now() + self.phase(publisher));
        self.meeting.world.keyed(publisher).publish(section, 0, Microphone::new(source, 0, start, first));
        self.meeting.publish(publisher, section, source)
    }
}

fn path(loss: f64) -> Path {
    Path { up: LinkConfig::delayed(DELAY), down: LinkConfig::delayed(DELAY).losing(loss) }
}
