//! Calls as they should be: people join, are heard and seen, and leave.

use std::time::Duration;

use sfu_core::engine::event::Event;
use sim::browser::Section;
use sim::media::{Camera, Microphone, VideoConfig};
use sim::meeting::{Meeting, Published};
use sim::world::{Path, RemoteId};

const MS: Duration = Duration::from_millis(1);
/// Sends a camera and a microphone, and receives two of each.
const EVERYTHING: [Section; 6] = [
    Section::SendVideo,
    Section::SendAudio,
    Section::ReceiveVideo,
    Section::ReceiveVideo,
    Section::ReceiveAudio,
    Section::ReceiveAudio,
];

/// A participant with its camera and its microphone.
struct Person {
    id: RemoteId,
    camera: Published,
    microphone: Published,
}

fn enter(meeting: &mut Meeting, number: u32, path: Path) -> Person {
    let id = meeting.join_browser(&EVERYTHING, path);
    let (start, now) = (meeting.world.start(), meeting.now());
    let [camera, microphone] = [0, 1].map(|section| meeting.sending_mid(id, section));
    let browser = meeting.world.browser(id);
    let (video, audio) = (2 * number, 2 * number + 1);
    browser.publish(camera.as_str().into(), None, Camera::new(video, 0, VideoConfig::default(), start, now));
    browser.publish(microphone.as_str().into(), None, Microphone::new(audio, 0, start, now));
    let (camera, microphone) = (meeting.publish(id, 0, video), meeting.publish(id, 1, audio));
    Person { id, camera, microphone }
}

fn watch_each_other(meeting: &mut Meeting, people: &[Person]) {
    for subscriber in people {
        for publisher in people.iter().filter(|publisher| publisher.id != subscriber.id) {
            meeting.watch(subscriber.id, publisher.camera);
            meeting.watch(subscriber.id, publisher.microphone);
        }
    }
}

#[test]
fn three_browsers_see_and_hear_each_other() {
    let mut meeting = Meeting::new(1);
    let people: Vec<Person> = (1..=3).map(|number| enter(&mut meeting, number, Path::round_trip(40 * MS))).collect();
    watch_each_other(&mut meeting, &people);
    meeting.run_until_connected();
    meeting.run_for(5_000 * MS);
    for subscriber in &people {
        for publisher in people.iter().filter(|publisher| publisher.id != subscriber.id) {
            let video = meeting.reception(subscriber.id, publisher.camera);
            assert!(video.arrivals().len() > 550, "{}", video.arrivals().len());
            assert_eq!((video.missing(), video.repeated(), video.damaged()), (0, 0, 0));
            assert_eq!((video.timestamps_going_back(), video.confused_frames()), (0, 0));
            assert_eq!((video.undecodable_frames(), video.picture_gaps()), (0, 0));
            let audio = meeting.reception(subscriber.id, publisher.microphone);
            assert!(audio.arrivals().len() > 200, "{}", audio.arrivals().len());
            assert_eq!((audio.missing(), audio.timestamps_going_back()), (0, 0));
        }
    }
    assert_eq!((meeting.unauthorised(), meeting.stats().unauthorized_forwards), (0, 0));
    let connected = |event: &&Event| matches!(event, Event::PeerConnected { .. });
    assert_eq!(meeting.world.server.events.iter().filter(connected).count(), 3);
}
