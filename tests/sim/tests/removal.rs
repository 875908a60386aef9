//! Whoever is removed hears nothing more, however long they listen and whatever they ask for; and nobody hears them.

use std::time::Duration;

use sfu_core::engine::command::Command;
use sfu_core::units::Bitrate;
use sim::browser::Section;
use sim::link::LinkConfig;
use sim::media::VideoConfig;
use sim::meeting::Meeting;
use sim::person::Person;
use sim::world::{Path, RemoteId};

const MS: Duration = Duration::from_millis(1);
const CHAT: &str = "chat";

/// Three who see and hear each other over paths that lose, of which the second is so narrow that packets wait for it.
fn three(seed: u64, enter: fn(&mut Meeting, u32, usize, VideoConfig, Path) -> Person) -> (Meeting, [Person; 3]) {
    let mut meeting = Meeting::new(seed);
    let people = [1, 2, 3].map(|number| {
        let lossy = LinkConfig::delayed(20 * MS).losing(0.05);
        let narrow = LinkConfig::constant(Bitrate::kbps(700), 20 * MS, 500 * MS).losing(0.05);
        let down = if number == 2 { narrow } else { lossy.clone() };
        enter(&mut meeting, number, 2, VideoConfig::default(), Path { up: lossy, down })
    });
    meeting.run_until_connected();
    Person::watch_each_other(&mut meeting, &people);
    meeting.run_for(3_000 * MS);
    (meeting, people)
}

/// When the last packet left that reached `listener`, in numbers of datagrams.
fn last_heard(meeting: &Meeting, listener: RemoteId) -> u64 {
    let receptions = meeting.world.remote(listener).oracle().receptions();
    let serials = receptions.flat_map(|(_, reception)| reception.arrivals()).map(|arrival| arrival.departure.serial);
    serials.max().expect("something was heard")
}

fn assert_removal_is_final(seed: u64, enter: fn(&mut Meeting, u32, usize, VideoConfig, Path) -> Person) {
    let (mut meeting, [alice, bob, carol]) = three(seed, enter);
    let bob_sent = meeting.world.remote(bob.id).sent_packets(bob.camera.source);
    let (removed, at) = (meeting.world.network.departures(), meeting.now());
    assert!(last_heard(&meeting, bob.id) + 200 > removed, "he receives until then");
    meeting.dismiss(bob.id);
    meeting.run_for(10_000 * MS);
    assert!(last_heard(&meeting, bob.id) < removed, "seed {seed}: he hears nothing that left later");
    assert_eq!(meeting.world.network.sent_to_dismissed(), 0, "seed {seed}: nothing is even sent to him");
    assert_eq!((meeting.unauthorised(), meeting.stats().unauthorized_forwards), (0, 0));
    assert!(meeting.world.remote(bob.id).sent_packets(bob.camera.source) > bob_sent, "he speaks on");
    for listener in [alice, carol] {
        let of_bob = listener.hears(&meeting, &bob).arrivals().last().map(|arrival| arrival.departure.at);
        assert!(of_bob.is_some_and(|last| last <= at), "seed {seed}: nobody hears him");
    }
    let heard = alice.hears(&meeting, &carol).stamps_between(meeting.ago(5_000 * MS), meeting.now()).count();
    assert!(heard > 200, "the others go on: {heard}");
}

#[test]
fn who_is_removed_and_listens_on_hears_nothing_that_left_later_and_is_not_heard() {
    for seed in 1..5 {
        assert_removal_is_final(seed, Person::keyed);
        assert_removal_is_final(seed, Person::browser);
    }
}

#[test]
fn messages_that_wait_for_who_is_removed_do_not_leave() {
    for seed in 1..5 {
        let mut meeting = Meeting::new(seed);
        let path = Path::both(LinkConfig::delayed(20 * MS).losing(0.02));
        let [alice, bob] =
            [(); 2].map(|()| meeting.join_browser(&[Section::Channel(CHAT), Section::ReceiveAudio], path.clone()));
        meeting.run_until_connected();
        meeting.run_for(1_000 * MS);
        let (publisher, subscriber) = (meeting.peer(alice), meeting.peer(bob));
        meeting.command(Command::AllowData { publisher, subscriber });
        let now = meeting.now();
        for number in 0..50 {
            let text = format!("{number} {}", "x".repeat(1_500));
            assert!(meeting.world.browser(alice).send_message(CHAT, false, text.as_bytes(), now));
        }
        let begun = meeting.world.run_until_true(1_000 * MS, |world| !world.browser(bob).messages.is_empty());
        assert!(begun, "the first arrive");
        meeting.dismiss(bob);
        meeting.run_for(5_000 * MS);
        assert!(meeting.world.browser(bob).messages.len() < 50, "some waited");
        assert_eq!(meeting.world.network.sent_to_dismissed(), 0, "seed {seed}");
    }
}
