//! Addresses that change, translators that forget, and paths that break.

use std::net::SocketAddr;
use std::time::Duration;

use sfu_core::engine::event::Event;
use sim::media::VideoConfig;
use sim::meeting::Meeting;
use sim::person::Person;
use sim::world::Path;

const MS: Duration = Duration::from_millis(1);
/// Consent is asked for this often at most (RFC 7675 §5.1), and a browser may need two tries.
const NOTICED_WITHIN: Duration = Duration::from_secs(8);

fn call(seed: u64) -> (Meeting, Person, Person) {
    let mut meeting = Meeting::new(seed);
    let [alice, bob] = [1, 2]
        .map(|number| Person::browser(&mut meeting, number, 1, VideoConfig::default(), Path::round_trip(40 * MS)));
    Person::watch_each_other(&mut meeting, &[alice, bob]);
    meeting.run_until_connected();
    meeting.run_for(3_000 * MS);
    (meeting, alice, bob)
}

fn elsewhere() -> SocketAddr {
    SocketAddr::from(([203, 0, 113, 77], 51_000))
}

/// The longest time that either of the two heard nothing of the other since `from`.
fn silence(meeting: &Meeting, alice: &Person, bob: &Person, from: std::time::Instant) -> Duration {
    let silent =
        |listener: &Person, speaker: &Person| listener.hears(meeting, speaker).longest_silence(from, meeting.now());
    silent(alice, bob).max(silent(bob, alice))
}

#[test]
fn a_translator_that_forgets_is_noticed_and_the_call_goes_on() {
    let (mut meeting, alice, bob) = call(1);
    let inside = sim::meeting::participant_address(1);
    let from = meeting.now();
    meeting.world.network.rebind(alice.id, inside, elsewhere());
    meeting.run_for(15_000 * MS);
    let longest = silence(&meeting, &alice, &bob, from);
    assert!(longest < NOTICED_WITHIN, "{longest:?}");
    let recently = meeting.ago(2_000 * MS);
    assert!(silence(&meeting, &alice, &bob, recently) < 60 * MS);
    assert_eq!(bob.sees(&meeting, &alice).timestamps_going_back(), 0);
}

#[test]
fn a_telephone_that_leaves_its_wifi_goes_on_from_its_new_address() {
    let (mut meeting, alice, bob) = call(2);
    let from = meeting.now();
    meeting.world.network.close_address(alice.id, sim::meeting::participant_address(1));
    meeting.world.network.open_address(alice.id, elsewhere());
    meeting.world.browser(alice.id).move_to(elsewhere(), from);
    meeting.restart_ice(alice.id);
    meeting.run_for(5_000 * MS);
    let longest = silence(&meeting, &alice, &bob, from);
    assert!(longest < 1_000 * MS, "{longest:?}");
    let recently = meeting.ago(2_000 * MS);
    assert!(silence(&meeting, &alice, &bob, recently) < 60 * MS);
}

#[test]
fn an_ice_restart_is_not_heard() {
    let (mut meeting, alice, bob) = call(3);
    let from = meeting.now();
    meeting.restart_ice(alice.id);
    meeting.run_for(3_000 * MS);
    let longest = silence(&meeting, &alice, &bob, from);
    assert!(longest < 100 * MS, "{longest:?}");
    for (subscriber, publisher) in [(alice, bob), (bob, alice)] {
        let video = subscriber.sees(&meeting, &publisher);
        assert_eq!((video.missing(), video.repeated(), video.undecodable_frames()), (0, 0, 0));
    }
}

#[test]
fn a_path_that_breaks_for_a_while_is_used_again() {
    for outage in [2_000 * MS, 5_000 * MS] {
        let (mut meeting, alice, bob) = call(4);
        let now = meeting.now();
        meeting.world.network.set_blocked(alice.id, true, now);
        meeting.run_for(outage);
        let now = meeting.now();
        meeting.world.network.set_blocked(alice.id, false, now);
        meeting.run_for(6_000 * MS);
        let recently = meeting.ago(2_000 * MS);
        assert!(silence(&meeting, &alice, &bob, recently) < 60 * MS, "after {outage:?}");
        let video = bob.sees(&meeting, &alice);
        assert!(video.stamps_between(recently, meeting.now()).count() > 250, "after {outage:?}");
        assert_eq!((video.timestamps_going_back(), video.bad_switches()), (0, 0));
    }
}

#[test]
fn whoever_vanishes_is_sent_nothing_after_half_a_minute() {
    let (mut meeting, alice, bob) = call(5);
    let peer = meeting.peer(alice.id);
    meeting.world.vanish(alice.id);
    meeting.run_for(35_000 * MS);
    let events = &meeting.world.server.events;
    assert!(events.contains(&Event::PeerDisconnected { peer }), "{events:?}");
    let before = meeting.world.network.strays().len();
    meeting.run_for(5_000 * MS);
    let media = meeting.world.network.strays()[before..].iter().filter(|stray| stray.bytes[0] >= 128).count();
    assert_eq!(media, 0, "media flows only with consent (RFC 7675)");
    assert!(meeting.world.remote(bob.id).is_connected());
}
