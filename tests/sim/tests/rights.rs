//! Whatever signalling grants and takes away, in whatever order: nobody receives what they may not, and everybody what they
//! may.

use std::time::Duration;

use proptest::prelude::*;
use sim::browser::Section;
use sim::link::LinkConfig;
use sim::media::VideoConfig;
use sim::meeting::{Meeting, Published};
use sim::person::Person;
use sim::world::Path;

const MS: Duration = Duration::from_millis(1);
const PEOPLE: usize = 4;

const CHAT: &str = "chat";
/// The book knows the messages of participant `n` as those of this plus `n`.
const MESSAGES: u32 = 1 << 20;
/// Sections that a browser asks for later: there is an end to what one may receive.
const MAX_MORE: usize = 4;

/// One thing that may happen: signalling grants or takes away, or somebody does something.
#[derive(Debug, Clone, Copy)]
enum Act {
    Allow {
        publisher: usize,
        subscriber: usize,
        camera: bool,
    },
    Revoke {
        publisher: usize,
        subscriber: usize,
        camera: bool,
    },
    Mute {
        publisher: usize,
        camera: bool,
        muted: bool,
    },
    /// The section is emptied and filled anew: rights are something else.
    Resubscribe {
        publisher: usize,
        subscriber: usize,
        camera: bool,
    },
    /// What was agreed on is agreed on anew: without retransmissions or with them, or with one section more.
    Negotiate {
        who: usize,
        rtx: bool,
    },
    Leave {
        who: usize,
    },
    /// Removed, but listening and speaking on.
    Dismiss {
        who: usize,
    },
    Enter,
    Wait {
        ms: u32,
    },
    // Of browsers only.
    RestartIce {
        who: usize,
    },
    AllowData {
        publisher: usize,
        subscriber: usize,
    },
    RevokeData {
        publisher: usize,
        subscriber: usize,
    },
    Say {
        who: usize,
    },
}

fn act() -> impl Strategy<Value = Act> {
    let pair = (0..PEOPLE, 0..PEOPLE, any::<bool>());
    prop_oneof![
        4 => pair.clone().prop_map(|(publisher, subscriber, camera)| Act::Allow { publisher, subscriber, camera }),
        4 => pair.clone().prop_map(|(publisher, subscriber, camera)| Act::Revoke { publisher, subscriber, camera }),
        2 => (0..PEOPLE, any::<bool>(), any::<bool>())
            .prop_map(|(publisher, camera, muted)| Act::Mute { publisher, camera, muted }),
        1 => pair.prop_map(|(publisher, subscriber, camera)| Act::Resubscribe { publisher, subscriber, camera }),
        1 => (0..PEOPLE, any::<bool>()).prop_map(|(who, rtx)| Act::Negotiate { who, rtx }),
        1 => (0..PEOPLE).prop_map(|who| Act::Leave { who }),
        1 => (0..PEOPLE).prop_map(|who| Act::Dismiss { who }),
        2 => Just(Act::Enter),
        6 => (0..120_u32).prop_map(|ms| Act::Wait { ms }),
    ]
}

fn act_of_browsers() -> impl Strategy<Value = Act> {
    let pair = (0..PEOPLE, 0..PEOPLE);
    prop_oneof![
        20 => act(),
        1 => (0..PEOPLE).prop_map(|who| Act::RestartIce { who }),
        3 => pair.clone().prop_map(|(publisher, subscriber)| Act::AllowData { publisher, subscriber }),
        3 => pair.prop_map(|(publisher, subscriber)| Act::RevokeData { publisher, subscriber }),
        6 => (0..PEOPLE).prop_map(|who| Act::Say { who }),
        3 => (100..400_u32).prop_map(|ms| Act::Wait { ms }),
    ]
}

/// The people of one run; everything is wired to everybody, only rights come and go.
struct Room {
    meeting: Meeting,
    /// Whether they are browsers.
    browsers: bool,
    people: Vec<Option<Person>>,
    /// Sections asked for later, by place.
    more: [usize; PEOPLE],
    next_number: u32,
    /// Who said it (by the book) and how many datagrams had left the server by then: the message is its place here.
    said: Vec<(u32, u64)>,
}

impl Room {
    fn full(seed: u64, browsers: bool) -> Self {
        let (meeting, people, said) = (Meeting::new(seed), vec![None; PEOPLE], Vec::new());
        let mut room = Self { meeting, browsers, people, more: [0; PEOPLE], next_number: 1, said };
        (0..PEOPLE).for_each(|_| room.enter());
        room
    }

    fn enter(&mut self) {
        let Some(free) = self.people.iter().position(Option::is_none) else { return };
        let number = self.next_number;
        self.next_number += 1;
        let path = Path::both(LinkConfig::delayed(15 * MS).losing(0.02));
        let person = if self.browsers {
            Person::talking_browser(&mut self.meeting, number, PEOPLE, CHAT, path)
        } else {
            Person::keyed(&mut self.meeting, number, PEOPLE, VideoConfig::default(), path)
        };
        for other in self.people.iter().flatten() {
            for (subscriber, publisher) in [(person, *other), (*other, person)] {
                self.meeting.subscribe(subscriber.id, publisher.camera);
                self.meeting.subscribe(subscriber.id, publisher.microphone);
            }
        }
        (self.people[free], self.more[free]) = (Some(person), 0);
    }

    /// Takes somebody out of the book of who is there.
    fn take(&mut self, who: usize) -> Option<Person> {
        let person = self.people[who].take()?;
        for other in self.people.iter().flatten() {
            self.meeting.unsubscribe(other.id, person.camera);
            self.meeting.unsubscribe(other.id, person.microphone);
        }
        Some(person)
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
            Act::Mute { publisher, camera, muted } => {
                if let Some(person) = self.people[publisher] {
                    self.meeting.mute(if camera { person.camera } else { person.microphone }, muted);
                }
            }
            Act::Resubscribe { publisher, subscriber, camera } => {
                if let Some((subscriber, track)) = self.edge(publisher, subscriber, camera) {
                    self.meeting.unsubscribe(subscriber.id, track);
                    self.meeting.subscribe(subscriber.id, track);
                }
            }
            Act::Negotiate { who, rtx } => self.negotiate(who, rtx),
            Act::Leave { who } => {
                if let Some(person) = self.take(who) {
                    self.meeting.leave(person.id);
                }
            }
            Act::Dismiss { who } => {
                if let Some(person) = self.take(who) {
                    self.meeting.dismiss(person.id);
                }
            }
            Act::Enter => self.enter(),
            Act::Wait { ms } => self.meeting.run_for(MS * ms),
            Act::RestartIce { who } => {
                if let Some(person) = self.people[who] {
                    self.meeting.restart_ice(person.id);
                }
            }
            Act::AllowData { publisher, subscriber } => {
                if let Some((from, to)) = self.pair(publisher, subscriber) {
                    self.meeting.allow_data(from.id, to.id, messages_of(&from));
                }
            }
            Act::RevokeData { publisher, subscriber } => {
                if let Some((from, to)) = self.pair(publisher, subscriber) {
                    self.meeting.revoke_data(from.id, to.id, messages_of(&from));
                }
            }
            Act::Say { who } => self.say(who),
        }
    }

    fn negotiate(&mut self, who: usize, rtx: bool) {
        let Some(person) = self.people[who] else { return };
        if !self.browsers {
            self.meeting.agree_again(person.id, rtx);
        } else if self.more[who] < MAX_MORE {
            self.more[who] += 1;
            self.meeting.renegotiate(person.id, &[Section::ReceiveAudio]);
        }
    }

    fn say(&mut self, who: usize) {
        let Some(person) = self.people[who] else { return };
        let (now, left) = (self.meeting.now(), self.meeting.world.network.departures());
        let text = self.said.len().to_string();
        if self.meeting.world.browser(person.id).send_message(CHAT, false, text.as_bytes(), now) {
            self.said.push((messages_of(&person), left));
        }
    }

    fn edge(&self, publisher: usize, subscriber: usize, camera: bool) -> Option<(Person, Published)> {
        let (publisher, subscriber) = self.pair(publisher, subscriber)?;
        Some((subscriber, if camera { publisher.camera } else { publisher.microphone }))
    }

    fn pair(&self, publisher: usize, subscriber: usize) -> Option<(Person, Person)> {
        let (publisher, subscriber) = (self.people[publisher]?, self.people[subscriber]?);
        (publisher.id != subscriber.id).then_some((publisher, subscriber))
    }

    /// Messages that somebody received although nobody allowed it at any time between their being said and now; and how many
    /// came since the last look.
    fn judge_messages(&mut self) -> (usize, usize) {
        let now = self.meeting.world.network.departures();
        let (mut wrong, mut came) = (0, 0);
        for person in self.people.iter().flatten() {
            for message in std::mem::take(&mut self.meeting.world.browser(person.id).messages) {
                let place: usize = String::from_utf8(message.payload).expect("text").parse().expect("a number");
                let (source, left) = self.said[place];
                came += 1;
                let allowed = self.meeting.permissions.allowed_between(source, person.id.index(), left, now);
                wrong += usize::from(!allowed);
            }
        }
        (wrong, came)
    }
}

const fn messages_of(person: &Person) -> u32 {
    MESSAGES + person.camera.source
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn nothing_ever_flows_without_a_right_to_it(seed: u64, acts in prop::collection::vec(act(), 1..80)) {
        let mut room = Room::full(seed, false);
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

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn nothing_ever_flows_or_is_said_without_a_right_to_it_between_browsers(
        seed: u64,
        acts in prop::collection::vec(act_of_browsers(), 1..80),
    ) {
        let mut room = Room::full(seed, true);
        room.meeting.run_for(500 * MS);
        for act in acts {
            room.perform(act);
            prop_assert_eq!((room.meeting.unauthorised(), room.judge_messages().0), (0, 0));
        }
        room.meeting.run_for(500 * MS);
        prop_assert_eq!((room.meeting.unauthorised(), room.judge_messages().0), (0, 0));
        prop_assert_eq!(room.meeting.stats().unauthorized_forwards, 0);
        prop_assert_eq!(room.meeting.stats().panics, 0);
    }
}

#[test]
fn browsers_that_do_all_of_it_still_receive_what_they_may() {
    let mut room = Room::full(3, true);
    room.meeting.run_until_connected();
    room.meeting.run_for(1_000 * MS);
    for act in [
        Act::Allow { publisher: 0, subscriber: 1, camera: true },
        Act::AllowData { publisher: 0, subscriber: 1 },
        Act::Mute { publisher: 0, camera: true, muted: true },
        Act::Negotiate { who: 1, rtx: true },
        Act::RestartIce { who: 1 },
        Act::Resubscribe { publisher: 0, subscriber: 1, camera: true },
        Act::Dismiss { who: 2 },
        Act::Enter,
        Act::Mute { publisher: 0, camera: true, muted: false },
        Act::Wait { ms: 2_000 },
        Act::Say { who: 0 },
        Act::Wait { ms: 1_000 },
    ] {
        room.perform(act);
        assert_eq!(room.meeting.unauthorised(), 0);
    }
    assert_eq!(room.judge_messages(), (0, 1));
    let [alice, bob] = [0, 1].map(|who| room.people[who].expect("they stayed"));
    let seen = bob.sees(&room.meeting, &alice).stamps_between(room.meeting.ago(1_000 * MS), room.meeting.now());
    assert!(seen.count() > 100);
}

#[test]
fn a_right_that_is_given_is_used_at_once_and_one_that_is_taken_away_ends_at_once() {
    let mut room = Room::full(1, false);
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
    let mut room = Room::full(2, false);
    let alice = room.people[0].expect("the room is full");
    room.meeting.subscribe(alice.id, alice.microphone);
    room.meeting.run_for(300 * MS);
    assert_eq!(room.meeting.world.remote(alice.id).oracle().packets(), 0);
    room.meeting.allow(alice.id, alice.microphone);
    room.meeting.run_for(300 * MS);
    assert!(room.meeting.reception(alice.id, alice.microphone).arrivals().len() > 10);
}
