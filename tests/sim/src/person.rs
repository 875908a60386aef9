//! A participant as meetings know them: with a camera and a microphone, and room for those of the others.

use sfu_core::session::{CongestionFeedback, MediaKind};

use crate::browser::Section;
use crate::keyed::{Sends, Wishes};
use crate::media::{Camera, Microphone, VideoCodec, VideoConfig};
use crate::meeting::{Meeting, Published};
use crate::oracle::Reception;
use crate::world::{Path, RemoteId};

/// Encodings of a simulcast camera, lowest quality first, and what each of them costs in kbit/s.
pub const SIMULCAST: [&str; 3] = ["q", "h", "f"];
const SIMULCAST_KBPS: [u64; 3] = [150, 500, 1_300];

/// A participant and what it publishes: track `2 × number` is the camera, the next one the microphone.
#[derive(Debug, Clone, Copy)]
pub struct Person {
    /// Its place in the world.
    pub id: RemoteId,
    /// Its camera.
    pub camera: Published,
    /// Its microphone.
    pub microphone: Published,
}

impl Person {
    /// A browser joins, with room for so many others.
    pub fn browser(meeting: &mut Meeting, number: u32, others: usize, video: VideoConfig, path: Path) -> Self {
        let id = meeting.join_browser(&sections(Section::SendVideo, others), path);
        Self::publish_browser(meeting, id, number, &[(None, video)])
    }

    /// The same with a data channel.
    pub fn talking_browser(
        meeting: &mut Meeting,
        number: u32,
        others: usize,
        channel: &'static str,
        path: Path,
    ) -> Self {
        let mut wanted = sections(Section::SendVideo, others);
        wanted.push(Section::Channel(channel));
        let id = meeting.join_browser(&wanted, path);
        Self::publish_browser(meeting, id, number, &[(None, VideoConfig::default())])
    }

    /// A browser with a simulcast camera joins, with room for so many others.
    pub fn simulcast_browser(
        meeting: &mut Meeting,
        number: u32,
        others: usize,
        video: VideoConfig,
        path: Path,
    ) -> Self {
        let id = meeting.join_browser(&sections(Section::SendSimulcast(&SIMULCAST), others), path);
        let named: Vec<_> = SIMULCAST.iter().map(|&rid| Some(rid)).zip(simulcast(video)).collect();
        Self::publish_browser(meeting, id, number, &named)
    }

    /// A light participant joins, with room for so many others.
    pub fn keyed(meeting: &mut Meeting, number: u32, others: usize, video: VideoConfig, path: Path) -> Self {
        let id = meeting.join_keyed(|wishes| wishes_for(wishes, video.codec, &[], others), path);
        Self::publish_keyed(meeting, id, number, &[video])
    }

    /// The same, telling what arrives by `feedback`.
    pub fn keyed_with(
        meeting: &mut Meeting,
        number: u32,
        others: usize,
        video: VideoConfig,
        path: Path,
        feedback: CongestionFeedback,
    ) -> Self {
        let wishes = |wishes| Wishes { feedback, ..wishes_for(wishes, video.codec, &[], others) };
        let id = meeting.join_keyed(wishes, path);
        Self::publish_keyed(meeting, id, number, &[video])
    }

    /// A light participant with a simulcast camera joins, with room for so many others.
    pub fn simulcast_keyed(meeting: &mut Meeting, number: u32, others: usize, video: VideoConfig, path: Path) -> Self {
        let id = meeting.join_keyed(|wishes| wishes_for(wishes, video.codec, &SIMULCAST, others), path);
        Self::publish_keyed(meeting, id, number, &simulcast(video))
    }

    /// Everybody receives everything of everybody else.
    pub fn watch_each_other(meeting: &mut Meeting, people: &[Self]) {
        for subscriber in people {
            for publisher in people.iter().filter(|publisher| publisher.id != subscriber.id) {
                meeting.watch(subscriber.id, publisher.camera);
                meeting.watch(subscriber.id, publisher.microphone);
            }
        }
    }

    /// What it received of another one's camera.
    pub fn sees<'a>(&self, meeting: &'a Meeting, other: &Self) -> &'a Reception {
        meeting.reception(self.id, other.camera)
    }

    /// What it received of another one's microphone.
    pub fn hears<'a>(&self, meeting: &'a Meeting, other: &Self) -> &'a Reception {
        meeting.reception(self.id, other.microphone)
    }

    fn publish_browser(
        meeting: &mut Meeting,
        id: RemoteId,
        number: u32,
        cameras: &[(Option<&str>, VideoConfig)],
    ) -> Self {
        let (start, now) = (meeting.world.start(), meeting.now());
        let [camera, microphone] = [0, 1].map(|section| meeting.sending_mid(id, section).as_str().into());
        let browser = meeting.world.browser(id);
        for (encoding, &(rid, video)) in cameras.iter().enumerate() {
            browser.publish(camera, rid, Camera::new(2 * number, encoding as u8, video, start, now));
        }
        browser.publish(microphone, None, Microphone::new(2 * number + 1, 0, start, now));
        Self::published(meeting, id, number)
    }

    fn publish_keyed(meeting: &mut Meeting, id: RemoteId, number: u32, cameras: &[VideoConfig]) -> Self {
        let (start, now) = (meeting.world.start(), meeting.now());
        let keyed = meeting.world.keyed(id);
        for (encoding, &video) in cameras.iter().enumerate() {
            keyed.publish(0, encoding, Camera::new(2 * number, encoding as u8, video, start, now));
        }
        keyed.publish(1, 0, Microphone::new(2 * number + 1, 0, start, now));
        Self::published(meeting, id, number)
    }

    fn published(meeting: &mut Meeting, id: RemoteId, number: u32) -> Self {
        let camera = meeting.publish(id, 0, 2 * number);
        let microphone = meeting.publish(id, 1, 2 * number + 1);
        debug_assert_eq!((camera.kind, microphone.kind), (MediaKind::Video, MediaKind::Audio));
        Self { id, camera, microphone }
    }
}

fn simulcast(video: VideoConfig) -> Vec<VideoConfig> {
    let rates = SIMULCAST_KBPS.iter();
    rates.map(|&rate| VideoConfig { bitrate: sfu_core::units::Bitrate::kbps(rate), ..video }).collect()
}

fn sections(camera: Section, others: usize) -> Vec<Section> {
    let receives = [Section::ReceiveVideo, Section::ReceiveAudio];
    [camera, Section::SendAudio].into_iter().chain(receives.into_iter().cycle().take(2 * others)).collect()
}

fn wishes_for(mut wishes: Wishes, codec: VideoCodec, rids: &'static [&'static str], others: usize) -> Wishes {
    wishes.sends = vec![Sends::Video(codec, rids), Sends::Audio];
    (wishes.receives_audio, wishes.receives_video) = (others, others);
    wishes
}
