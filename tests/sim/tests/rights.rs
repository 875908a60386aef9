//! Whatever signalling grants and takes away, in whatever order: nobody receives what they may not, and everybody what they
//! may.

use std::time::Duration;

use proptest::prelude::*;
use sim::link::LinkConfig;
use sim::media::VideoConfig;
use sim::meeting::{Meeting, Published};
use sim::person::Person;
use sim::world::Path;

const MS: Duration = Duration::from_millis(1);
const PEOPLE: usize = 4;

/// One thing that signalling may do.
#[derive(Debug, Clone, Copy)]
enum Act {
    Allow { publisher: usize, subscriber: usize, camera: bool },
    Revoke { publisher: usize, subscriber: usize, camera: bool },
    Leave { who: usize },
    Enter,
    Wait { ms: u32 },
}

fn act() -> impl Strategy<Value = Act> {
    let pair = (0..PEOPLE, 0..PEOPLE, any::<bool>());
    prop_oneof![
        4 => pair.clone().prop_map(|(publisher, subscriber, camera)| Act::Allow { publisher, subscriber, camera }),
        4 => pair.prop_map(|(publisher, subscriber, camera)| Act::Revoke { publisher, subscriber, camera }),
        1 => (0..PEOPLE).prop_map(|who| Act::Leave { who }),
        1 => Just(Act::Enter),
        6 => (0..120_u32).prop_map(|ms| Act::Wait { ms }),
    ]
}

/// The people of one run; everything is wired to everybody, only rights come and go.
struct Room {
    meeting: Meeting,
    people: Vec<Option<Person>>,
    next_number: u32,
}

impl Room {
    fn full(seed: u64) -> Self {
        let mut room = Self { meeting: Meeting::new(seed), people: vec![None; PEOPLE], next_number: 1 };
        (0..PEOPLE).for_each(|_| room.enter());
        room
    }

    fn enter(&mut self) {
        let Some(free) = self.people.iter().position(Option::is_none) else { return };
        let number = self.next_number;
        self.next_number += 1;
        let path = Path::both(LinkConfig::delayed(15 * MS).losing(0.02));
        let person = Person::keyed(&mut self.meeting, number, PEOPLE, VideoConfig::default(), path);
        for other in self.people.iter().flatten() {
            for (subscriber, publisher) in [(person, *other), (*other, person)] {
                self.meeting.subscribe(subscriber.id, publisher.camera);
                self.meeting.subscribe(subscriber.id, publisher.microphone);
            }
        }
        self.people[free] = Some(person);
    }

    fn leave(&mut self, who: usize) {
        let Some(person) = self.people[who].take() else { return };
        for other in self.people.iter().flatten() {
            self.meeting.unsubscribe(other.id, person.camera);
            self.meeting.unsubscribe(other.id, person.microphone);
        }
        self.meeting.leave(person.id);
    }

    fn perform(&mut self, act: Act) {
        match act {
            Act::Allow { publisher, subscriber, camera } => {
                if let Some((subscriber, track)) = self.edge(publisher, subscriber, camera) {
                    self.meeting.allow(subscriber.id, track);
                }
            }
            Act::Revoke { publisher, subscriber, camera } => {
                if let Some((subscriber, track)) = self.edge(publisher, subscriber, camera) {
                    self.meeting.revoke(subscriber.id, track);
                }
            }
            Act::Leave { who } => self.leave(who),
            Act::Enter => self.enter(),
            Act::Wait { ms } => self.meeting.run_for(MS * ms),
        }
    }

    fn edge(&self, publisher: usize, subscriber: usize, camera: bool) -> Option<(Person, Published)> {
        let (publisher, subscriber) = (self.people[publisher]?, self.people[subscriber]?);
        let track = if camera { publisher.camera } else { publisher.microphone };
        (publisher.id != subscriber.id).then_some((subscriber, track))
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn nothing_ever_flows_without_a_right_to_it(seed: u64, acts in prop::collection::vec(act(), 1..60)) {
        let mut room = Room::full(seed);
        for act in acts {
            room.perform(act);
            prop_assert_eq!(room.meeting.unauthorised(), 0);
        }
        room.meeting.run_for(300 * MS);
        prop_assert_eq!(room.meeting.unauthorised(), 0);
        prop_assert_eq!(room.meeting.stats().unauthorized_forwards, 0);
        prop_assert_eq!(room.meeting.stats().panics, 0);
    }
}

#[test]
fn a_right_that_is_given_is_used_at_once_and_one_that_is_taken_away_ends_at_once() {
    let mut room = Room::full(1);
    let [alice, bob] = [0, 1].map(|who| room.people[who].expect("the room is full"));
    let meeting = &mut room.meeting;
    meeting.run_for(1_000 * MS);
    assert_eq!(meeting.world.remote(bob.id).oracle().packets(), 0, "nobody hears anybody without a right");
    let granted = meeting.now();
    meeting.allow(bob.id, alice.microphone);
    meeting.allow(bob.id, alice.camera);
    meeting.run_for(1_000 * MS);
    for track in [alice.microphone, alice.camera] {
        let first = meeting.reception(bob.id, track).arrivals()[0].at;
        assert!(first - granted < 250 * MS, "{:?}: {:?}", track.kind, first - granted);
    }
    let taken = meeting.now();
    meeting.revoke(bob.id, alice.microphone);
    meeting.revoke(bob.id, alice.camera);
    meeting.run_for(1_000 * MS);
    for track in [alice.microphone, alice.camera] {
        let last = meeting.reception(bob.id, track).arrivals().last().map(|arrival| arrival.departure.at);
        assert!(last.is_some_and(|last| last <= taken), "{:?}", track.kind);
    }
    assert_eq!(meeting.unauthorised(), 0);
}

#[test]
fn nobody_hears_themself_unless_they_ask_for_it() {
    let mut room = Room::full(2);
    let alice = room.people[0].expect("the room is full");
    room.meeting.subscribe(alice.id, alice.microphone);
    room.meeting.run_for(300 * MS);
    assert_eq!(room.meeting.world.remote(alice.id).oracle().packets(), 0);
    room.meeting.allow(alice.id, alice.microphone);
    room.meeting.run_for(300 * MS);
    assert!(room.meeting.reception(alice.id, alice.microphone).arrivals().len() > 10);
}
