//! People join by whole handshakes: with each version of DTLS, and many in the same moment.

use std::time::Duration;

use sfu_core::engine::event::Event;
use sfu_core::peer::dtls::DtlsVersions;
use sim::browser::Section;
use sim::media::VideoConfig;
use sim::meeting::Meeting;
use sim::person::Person;
use sim::world::Path;
use str0m::config::DtlsVersion;

const MS: Duration = Duration::from_millis(1);
/// Everybody of a large meeting follows the link in the same moment.
const JOINS: usize = 200;

/// Which versions of DTLS were agreed on, in the order of connecting.
fn versions(meeting: &Meeting) -> Vec<&str> {
    fn told(event: &Event) -> Option<&str> {
        match event {
            Event::PeerConnected { dtls_version, .. } => Some(dtls_version),
            _ => None,
        }
    }
    meeting.world.server.events.iter().filter_map(told).collect()
}

fn agreed(server: DtlsVersions, browser: DtlsVersion) -> String {
    let mut meeting = Meeting::speaking(server, 1);
    meeting.browsers_speak = browser;
    let people: Vec<Person> = (1..=2)
        .map(|number| Person::browser(&mut meeting, number, 1, VideoConfig::default(), Path::round_trip(20 * MS)))
        .collect();
    Person::watch_each_other(&mut meeting, &people);
    meeting.run_until_connected();
    meeting.run_for(1_000 * MS);
    assert!(people[0].hears(&meeting, &people[1]).arrivals().len() > 30);
    assert_eq!(meeting.unauthorised(), 0);
    let versions = versions(&meeting);
    assert!(versions.len() == 2 && versions[0] == versions[1], "{versions:?}");
    versions[0].to_owned()
}

#[test]
fn dtls_1_3_is_spoken_with_who_speaks_it_when_it_is_configured() {
    assert_eq!(agreed(DtlsVersions::UpTo13, DtlsVersion::Dtls13), "1.3");
    assert_eq!(agreed(DtlsVersions::UpTo13, DtlsVersion::Dtls12), "1.2");
    assert_eq!(agreed(DtlsVersions::Only12, DtlsVersion::Auto), "1.2");
}

/// Time is virtual, so what handshakes cost is not seen here: `engine/tests/joins.rs` counts them by turn.
#[test]
fn two_hundred_browsers_that_join_at_once_all_connect_and_a_call_beside_them_loses_nothing() {
    let mut meeting = Meeting::new(1);
    meeting.world.grain = MS;
    let path = || Path::round_trip(20 * MS);
    let people: Vec<Person> =
        (1..=2).map(|number| Person::keyed(&mut meeting, number, 1, VideoConfig::default(), path())).collect();
    Person::watch_each_other(&mut meeting, &people);
    meeting.run_for(1_000 * MS);
    for _ in 0..JOINS {
        meeting.join_browser(&[Section::ReceiveAudio], path());
    }
    meeting.run_until_connected();
    meeting.run_for(500 * MS);
    assert_eq!(versions(&meeting).len(), JOINS + 2);
    let heard = people[0].hears(&meeting, &people[1]);
    assert_eq!((heard.missing(), heard.repeated()), (0, 0));
}
