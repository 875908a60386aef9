//! People join by whole handshakes: with each version of DTLS, and many in the same moment.

use std::time::Duration;

use sfu_core::engine::event::Event;
use sfu_core::peer::dtls::DtlsVersions;
use sim::browser::Section;
use sim::link::LinkConfig;
use sim::media::VideoConfig;
use sim::meeting::Meeting;
use sim::person::Person;
use sim::server::EngineServer;
use sim::world::{Path, World};
use str0m::config::DtlsVersion;

const MS: Duration = Duration::from_millis(1);
/// Everybody of a large meeting follows the link in the same moment.
const JOINS: usize = 200;

/// The longest that anybody waits for a join.
const JOINED: Duration = Duration::from_secs(30);
/// By then the server knows that nobody is there: consent ends (RFC 7675).
const NOTICED: Duration = Duration::from_secs(35);

/// The server knows it when its own check is answered, which may have to be repeated.
const KNOWN: Duration = Duration::from_secs(5);

/// How many peers the server has told to be connected.
fn connections(world: &World<EngineServer>) -> usize {
    world.server.events.iter().filter(|event| matches!(event, Event::PeerConnected { .. })).count()
}

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

/// How long each of two browsers took to connect over a path that loses this share both ways; they leave without a word that
/// is sure to arrive, and the server knows it after as long as a lost path takes.
fn join_and_leave(share: f64, seed: u64) -> [Duration; 2] {
    let mut meeting = Meeting::new(seed);
    let path = Path::both(LinkConfig::delayed(25 * MS).losing(share));
    let (began, sections) = (meeting.now(), [Section::ReceiveAudio]);
    let ids = [(); 2].map(|()| meeting.join_browser(&sections, path.clone()));
    let connected = |meeting: &mut Meeting, id| meeting.world.browser(id).connected_at;
    let all = meeting.world.run_until_true(JOINED, |world| ids.iter().all(|&id| world.remote(id).is_connected()));
    assert!(all, "{share}, seed {seed}: not all are connected after {JOINED:?}");
    let took = ids.map(|id| connected(&mut meeting, id).expect("it is connected") - began);
    let told = meeting.world.run_until_true(KNOWN, |world| connections(world) == 2);
    assert!(told, "{share}, seed {seed}: the server does not know it");
    let [closes, is_removed] = ids;
    meeting.leave(is_removed);
    let (now, peer) = (meeting.now(), meeting.peer(closes));
    meeting.world.browser(closes).close(now);
    meeting.run_for(NOTICED);
    let gone = |event: &Event| match event {
        Event::PeerClosed { peer: gone } | Event::PeerDisconnected { peer: gone } => *gone == peer,
        _ => false,
    };
    assert!(meeting.world.server.events.iter().any(gone), "{share}, seed {seed}: nobody noticed");
    assert_eq!(meeting.stats().peers, 1, "who was removed is gone at once");
    took
}

#[test]
fn browsers_join_and_leave_over_paths_that_lose_up_to_a_fifth() {
    // The simulated browser says what was lost of its handshake again after 1 s, 2 s, 4 s; real ones begin at 50 ms.
    for (share, median, longest) in
        [(0.01, 200, 4_000), (0.02, 200, 4_000), (0.05, 500, 8_000), (0.1, 1_000, 15_000), (0.2, 2_000, 20_000)]
    {
        let mut took: Vec<Duration> = (1..9).flat_map(|seed| join_and_leave(share, seed)).collect();
        took.sort_unstable();
        assert!(took[took.len() / 2] <= median * MS, "{share}: {took:?}");
        assert!(took.last().is_some_and(|last| *last <= longest * MS), "{share}: {took:?}");
    }
}
