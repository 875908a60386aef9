//! What a slow reader still learns.

use proptest::prelude::*;

use super::*;
use crate::engine::command::Reply;
use crate::ids::{PeerId, RoomId};

const MAX: usize = 4;

fn ends() -> (EventSender, EventReceiver) {
    let bell = || Arc::new(Wake::new().expect("a descriptor"));
    ring(MAX, bell(), bell(), Arc::default())
}

fn edge(slot: u32) -> Event {
    Event::PeerClosed { peer: PeerId::new(slot, 0) }
}

fn speakers(room: u32, count: usize) -> Event {
    let speaker = crate::engine::event::Speaker { participant: crate::ids::ParticipantId(0), level: 0 };
    Event::Speakers { room: RoomId::new(room, 0), speakers: vec![speaker; count] }
}

fn read(receiver: &mut EventReceiver) -> Vec<(u64, Event)> {
    let mut events = Vec::new();
    receiver.pop(usize::MAX, |_, outgoing| {
        if let Outgoing::Event { version, event } = outgoing {
            events.push((version, event));
        }
    });
    events
}

#[test]
fn a_warning_is_told_even_when_no_event_fits_and_there_are_never_many() {
    let (mut sender, mut receiver) = ends();
    for slot in 0..9 {
        sender.event(edge(slot));
        sender.warn(Warning::NotPinned { processor: 1 });
    }
    let mut warnings = 0;
    receiver.pop(usize::MAX, |_, outgoing| warnings += usize::from(matches!(outgoing, Outgoing::Warned { .. })));
    assert_eq!(warnings, MAX_WARNINGS);
}

#[test]
fn lost_edges_become_one_word_with_the_version_to_catch_up_with() {
    let (mut sender, mut receiver) = ends();
    for slot in 0..7 {
        sender.event(edge(slot));
    }
    sender.publish();
    let events = read(&mut receiver);
    assert_eq!(events.iter().map(|(version, _)| *version).collect::<Vec<_>>(), [1, 2, 3, 4]);
    sender.publish();
    assert_eq!(read(&mut receiver), [(7, Event::Resync { version: 7 })]);
}

#[test]
fn what_the_engine_lost_is_told_with_its_own_version() {
    let (mut sender, mut receiver) = ends();
    sender.event(edge(0));
    sender.event(Event::Resync { version: 70_000 });
    sender.publish();
    assert_eq!(read(&mut receiver), [(1, edge(0)), (70_000, Event::Resync { version: 70_000 })]);
    sender.event(edge(1));
    assert_eq!(read(&mut receiver), [(70_001, edge(1))]);
}

#[test]
fn of_levels_the_latest_wins() {
    let (mut sender, mut receiver) = ends();
    for slot in 0..MAX as u32 {
        sender.event(edge(slot));
    }
    for count in 1..=5 {
        sender.event(speakers(0, count));
    }
    read(&mut receiver);
    sender.publish();
    assert_eq!(read(&mut receiver), [(4, speakers(0, 5))]);
}

#[test]
fn a_reader_that_stalls_loses_messages_before_memory_and_before_anything_else_that_happens() {
    let bell = || Arc::new(Wake::new().expect("a descriptor"));
    let counters = Arc::<Counters>::default();
    let (mut sender, mut receiver) = ring(MAX_EVENTS, bell(), bell(), Arc::clone(&counters));
    let message = |len| Event::DataReceived {
        peer: PeerId::new(1, 0),
        label: "chat".to_owned(),
        payload: vec![0; len],
        binary: true,
    };
    for _ in 0..MAX_MESSAGE_BYTES / 65_536 + 5 {
        sender.event(message(65_536));
    }
    for _ in 0..MAX_EVENTS {
        sender.event(message(0));
    }
    sender.event(edge(7));
    let events = read(&mut receiver);
    let told = MAX_EVENTS / 2;
    assert_eq!(events.len(), told + 1, "an edge is told however many messages wait");
    assert_eq!(events.last().map(|(_, event)| event), Some(&edge(7)));
    assert_eq!(counters.messages_lost.load(), (5 + MAX_MESSAGE_BYTES / 65_536 + MAX_EVENTS - told) as u64);
    sender.event(message(65_536));
    assert_eq!(read(&mut receiver).len(), 1, "there is room again");
}

#[test]
fn replies_fit_beside_any_number_of_events() {
    let (mut sender, mut receiver) = ends();
    for slot in 0..100 {
        sender.event(edge(slot));
    }
    for id in 0..MAX_OUTSTANDING as u64 {
        sender.reply(Class::Command, Outgoing::Reply { id, reply: Reply::Done });
    }
    sender.fail("a bug".to_owned());
    let mut replies = 0;
    receiver.pop(usize::MAX, |class, _| replies += usize::from(class == Class::Command));
    assert_eq!(replies, MAX_OUTSTANDING);
}

#[test]
fn a_reader_that_makes_room_wakes_a_worker_that_holds_something_back() {
    let (mut sender, mut receiver) = ends();
    for slot in 0..9 {
        sender.event(edge(slot));
    }
    sender.publish();
    read(&mut receiver);
    let mut poll =
        libc::pollfd { fd: std::os::fd::AsRawFd::as_raw_fd(&*receiver.worker), events: libc::POLLIN, revents: 0 };
    // SAFETY: one valid pollfd, no waiting.
    assert_eq!(unsafe { libc::poll(&raw mut poll, 1, 0) }, 1);
}

proptest! {
    #[test]
    fn whatever_the_order_edges_arrive_or_are_reported_lost_and_levels_end_up_right(
        steps in proptest::collection::vec(0_u8..4, 0..200),
    ) {
        let (mut sender, mut receiver) = ends();
        let (mut edges, mut level, mut seen) = (0_u64, 0_usize, Vec::new());
        for step in steps {
            match step {
                0 => { edges += 1; sender.event(edge(edges as u32)); }
                1 => { level += 1; sender.event(speakers(0, level % 50)); }
                2 => sender.publish(),
                _ => seen.extend(read(&mut receiver)),
            }
        }
        for _ in 0..3 {
            sender.publish();
            seen.extend(read(&mut receiver));
        }
        let mut known = 0;
        for (version, event) in &seen {
            match event {
                Event::PeerClosed { .. } => { prop_assert_eq!(*version, known + 1); known = *version; }
                Event::Resync { version } => { prop_assert!(*version > known); known = *version; }
                _ => {}
            }
        }
        prop_assert_eq!(known, edges);
        let last = seen.iter().rev().find(|(_, event)| event.is_level());
        prop_assert_eq!(last.is_some(), level > 0);
        if let Some((_, event)) = last {
            prop_assert_eq!(event, &speakers(0, level % 50));
        }
    }
}
