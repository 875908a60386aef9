//! The load through our engine: light participants with given keys, in the simulated world. Timed is what the engine does
//! with datagrams and time: receiving, deciding, pacing, sealing, and reading all feedback. Not timed are the participants.

use std::cell::RefCell;
use std::rc::Rc;
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
use crate::shape::{DELAY, LOSS, PACKETS_PER_FRAME, PAYLOAD, SAMPLE, STEP, WARM_UP};

/// Of everything that is drawn.
pub(crate) const SEED: u64 = 1;
/// Frames per minute of one publisher, over all its tracks.
const FRAMES_PER_MINUTE: u32 = 1_800;
/// Fewer than the engine allows one peer to publish.
const TRACKS_PER_PUBLISHER: usize = 10;
/// Who hears the sound of one publisher.
const LISTENERS: usize = 100;
/// The hospital: many small rooms.
const ROOMS: u32 = 200;
const PEOPLE_PER_ROOM: u32 = 3;
/// So long that every subscriber has asked for something again, and every queue has had its first packet.
const LONG_WARM_UP: Duration = Duration::from_secs(30);
/// A second of the hospital is 240 000 packets.
const HOSPITAL_SAMPLE: Duration = Duration::from_secs(1);

/// What one sample counted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) ns_per_packet: f64,
    pub(crate) allocations_per_packet: f64,
}

/// A meeting whose engine is watched.
pub(crate) struct Load {
    meeting: Meeting,
    spans: Rc<RefCell<SpanClock>>,
    sample: Duration,
}

impl Load {
    /// Video to `subscribers`, spread over `tracks` tracks that take turns; one publisher has at most ten of them.
    pub(crate) fn video(tracks: u32, subscribers: usize) -> Self {
        let mut load = Self::empty(SAMPLE);
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
        load.warmed_up()
    }

    /// One publisher's sound to many.
    pub(crate) fn audio() -> Self {
        let mut load = Self::empty(SAMPLE);
        let publisher = load.meeting.join_keyed(|wishes| Wishes { sends: vec![Sends::Audio], ..wishes }, path(0.0));
        let microphone = load.microphone(publisher, 0);
        for _ in 0..LISTENERS {
            let listener = load.meeting.join_keyed(|wishes| Wishes { receives_audio: 1, ..wishes }, path(LOSS));
            load.meeting.world.keyed(listener).judged = false;
            load.meeting.watch(listener, microphone);
        }
        load.warmed_up()
    }

    /// Rooms of three, everybody with camera and microphone.
    pub(crate) fn hospital() -> Self {
        Self::rooms(ROOMS, HOSPITAL_SAMPLE, |_| None).warmed_up()
    }

    /// So many rooms of three, nothing sent yet. `recorder` is made for the start of their world.
    pub(crate) fn rooms(
        rooms: u32,
        sample: Duration,
        recorder: impl FnOnce(Instant) -> Option<Box<dyn Recorder>>,
    ) -> Self {
        let mut load = Self::empty(sample);
        load.meeting.world.server.recorder = recorder(load.meeting.world.start());
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

    /// What one sample costs.
    pub(crate) fn run(&mut self) -> Sample {
        let before = self.meeting.stats().rtp_packets_out;
        self.spans.borrow_mut().take_ns();
        allocations::take();
        self.meeting.run_for(self.sample);
        let (ns, allocations) = (self.spans.borrow_mut().take_ns(), allocations::take());
        let stats = self.meeting.stats();
        assert_eq!((stats.panics, stats.unauthorized_forwards), (0, 0), "the engine did not break");
        let packets = (stats.rtp_packets_out - before) as f64;
        assert!(packets > 0.0, "packets were forwarded");
        Sample { ns_per_packet: ns as f64 / packets, allocations_per_packet: allocations as f64 / packets }
    }

    /// RTP packets that left the engine so far.
    pub(crate) fn packets_out(&mut self) -> u64 {
        self.meeting.stats().rtp_packets_out
    }

    /// Lets media flow.
    pub(crate) fn run_for(&mut self, span: Duration) {
        self.meeting.run_for(span);
    }

    /// In the hospital, publishers do not all start in the same instant.
    fn phase(&self, publisher: RemoteId) -> Duration {
        if self.sample == SAMPLE {
            Duration::ZERO
        } else {
            Duration::from_micros(publisher.index() as u64 * 7_919 % 33_333)
        }
    }

    fn empty(sample: Duration) -> Self {
        let mut meeting = Meeting::new(SEED);
        meeting.world.grain = STEP;
        let spans = Rc::new(RefCell::new(SpanClock::calibrated()));
        meeting.world.server.meter = Some(Box::new(Watch(Rc::clone(&spans))));
        Self { meeting, spans, sample }
    }

    fn warmed_up(mut self) -> Self {
        self.meeting.run_for(if self.sample == SAMPLE { LONG_WARM_UP } else { WARM_UP });
        self
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

/// Looks at the clock and at the allocator when the engine works.
struct Watch(Rc<RefCell<SpanClock>>);

impl Meter for Watch {
    fn enter(&mut self) {
        allocations::count(true);
        self.0.borrow_mut().start();
    }

    fn leave(&mut self) {
        self.0.borrow_mut().stop();
        allocations::count(false);
    }
}
