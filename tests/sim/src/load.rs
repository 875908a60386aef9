//! Loads of many light participants, for what counts allocations, bytes and nanoseconds: all of it pre-keyed, so that a load
//! stands within a blink and is the same each time.

use std::time::{Duration, Instant};

use sfu_core::units::Bitrate;

use crate::keyed::{Sends, Wishes};
use crate::link::LinkConfig;
use crate::media::{Camera, Microphone, VideoCodec, VideoConfig};
use crate::meeting::{Meeting, Published};
use crate::remote::Remote;
use crate::server::Recorder;
use crate::stay::Stays;
use crate::world::{Path, RemoteId};

/// Of everything that is drawn.
pub const SEED: u64 = 1;
/// Who receives the video of one publisher.
pub const SUBSCRIBERS: usize = 50;
/// Who hears the sound of one publisher.
pub const LISTENERS: usize = 100;
/// Bytes of every video payload.
pub const PAYLOAD: usize = 1_100;
/// Packets of one video frame.
pub const PACKETS_PER_FRAME: u16 = 5;
/// One way, from the server to a remote or back.
pub const DELAY: Duration = Duration::from_millis(10);
/// Share of what is sent to a subscriber that gets lost, so that some of it is asked for again.
pub const LOSS: f64 = 0.002;
/// The finest step of virtual time: what arrives within it is handed over at once.
pub const STEP: Duration = Duration::from_millis(1);
/// Frames per minute of one publisher, over all its tracks.
const FRAMES_PER_MINUTE: u32 = 1_800;
/// Fewer than the engine allows one peer to publish.
const TRACKS_PER_PUBLISHER: usize = 10;
const PEOPLE_PER_ROOM: u32 = 3;

/// Makes who writes down what is done to the engine of a world that began at this instant.
pub type MakeRecorder<'a> = &'a mut dyn FnMut(Instant) -> Box<dyn Recorder>;

/// Which load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One camera's packets spread over so many tracks, to [`SUBSCRIBERS`].
    Video {
        /// How many.
        tracks: u32,
    },
    /// One microphone to [`LISTENERS`].
    Audio,
    /// So many rooms of three, everybody with camera and microphone.
    Rooms {
        /// How many.
        rooms: u32,
    },
}

/// A meeting that makes the load.
#[derive(Debug)]
pub struct Load {
    /// The meeting.
    pub meeting: Meeting,
    /// Whether all publishers start in the same instant.
    in_step: bool,
    /// Who receives.
    pub receivers: Vec<RemoteId>,
}

impl Load {
    /// A load with everybody in their place; nothing sent yet. `recorder` makes who writes down what is done to its engine.
    pub fn new(kind: Kind, recorder: Option<MakeRecorder<'_>>) -> Self {
        match kind {
            Kind::Video { tracks } => Self::video(tracks, recorder),
            Kind::Audio => Self::audio(recorder),
            Kind::Rooms { rooms } => Self::rooms(rooms, recorder),
        }
    }

    /// Looks from `since` after the start of the world at how long packets stay in the server.
    pub fn watch_stays(&mut self, since: Duration) {
        for &receiver in &self.receivers {
            self.meeting.world.keyed(receiver).stays = Some(Stays::new(STEP, DELAY, since));
        }
    }

    /// How long packets stayed there, all receivers together.
    pub fn stays(&self) -> Stays {
        let mut all = Stays::new(STEP, DELAY, Duration::ZERO);
        for (_, remote) in self.meeting.world.remotes() {
            if let Remote::Keyed(keyed) = remote
                && let Some(stays) = &keyed.stays
            {
                all.sound.merge(&stays.sound);
                all.pictures.merge(&stays.pictures);
            }
        }
        all
    }

    /// Video spread over `tracks` tracks that take turns; one publisher has at most ten of them.
    fn video(tracks: u32, recorder: Option<MakeRecorder<'_>>) -> Self {
        let mut load = Self::empty(true, recorder);
        let mut cameras = Vec::new();
        for first in (0..tracks).step_by(TRACKS_PER_PUBLISHER) {
            let own = (tracks - first).min(TRACKS_PER_PUBLISHER as u32);
            let sends = vec![Sends::Video(VideoCodec::Vp8, &[]); own as usize];
            let publisher = load.meeting.join_keyed(|wishes| Wishes { sends, ..wishes }, path(0.0));
            cameras.extend((0..own).map(|section| load.camera(publisher, section as usize, (first + section, tracks))));
        }
        for _ in 0..SUBSCRIBERS {
            let subscriber = load.receiver(|wishes| Wishes { receives_video: tracks as usize, ..wishes });
            for &camera in &cameras {
                load.meeting.watch(subscriber, camera);
            }
        }
        load
    }

    /// One publisher's sound to many.
    fn audio(recorder: Option<MakeRecorder<'_>>) -> Self {
        let mut load = Self::empty(true, recorder);
        let publisher = load.meeting.join_keyed(|wishes| Wishes { sends: vec![Sends::Audio], ..wishes }, path(0.0));
        let microphone = load.microphone(publisher, 0);
        for _ in 0..LISTENERS {
            let listener = load.receiver(|wishes| Wishes { receives_audio: 1, ..wishes });
            load.meeting.watch(listener, microphone);
        }
        load
    }

    fn rooms(rooms: u32, recorder: Option<MakeRecorder<'_>>) -> Self {
        let mut load = Self::empty(false, recorder);
        for _ in 0..rooms {
            load.meeting.open_room();
            let others = PEOPLE_PER_ROOM as usize - 1;
            let wishes = |wishes| Wishes {
                sends: vec![Sends::Video(VideoCodec::Vp8, &[]), Sends::Audio],
                receives_audio: others,
                receives_video: others,
                ..wishes
            };
            let people: Vec<RemoteId> = (0..PEOPLE_PER_ROOM).map(|_| load.receiver(wishes)).collect();
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

    /// In the hospital, publishers do not all start in the same instant.
    fn phase(&self, publisher: RemoteId) -> Duration {
        if self.in_step { Duration::ZERO } else { Duration::from_micros(publisher.index() as u64 * 7_919 % 33_333) }
    }

    fn empty(in_step: bool, recorder: Option<MakeRecorder<'_>>) -> Self {
        let mut meeting = Meeting::new(SEED);
        meeting.world.grain = STEP;
        let start = meeting.world.start();
        meeting.world.server.recorder = recorder.map(|make| make(start));
        Self { meeting, in_step, receivers: Vec::new() }
    }

    fn receiver(&mut self, wishes: impl FnOnce(Wishes) -> Wishes) -> RemoteId {
        let id = self.meeting.join_keyed(wishes, path(LOSS));
        self.meeting.world.keyed(id).judged = false;
        self.receivers.push(id);
        id
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
