use super::*;
use crate::units::start;

fn track(number: u32) -> TrackId {
    TrackId::new(number, 0)
}

/// A room in which each speaks at a level for some time, with a packet every 20 ms and a choice every 100 ms.
struct Room {
    speakers: ActiveSpeakers,
    now: Instant,
    changes: usize,
}

impl Room {
    fn new(seats: usize) -> Self {
        Self { speakers: ActiveSpeakers::new(seats), now: start(), changes: 0 }
    }

    fn speak(&mut self, span_ms: u32, levels: &[(u32, u8)]) {
        for step in 0..span_ms / 20 {
            for (number, level) in levels {
                self.speakers.on_level(track(*number), *level, *level < 60, self.now);
            }
            self.now += Duration::from_millis(20);
            if step % 5 == 4 {
                let change = self.speakers.tick(self.now);
                self.changes += usize::from(change.active) + usize::from(change.dominant);
            }
        }
    }
}

#[test]
fn in_silence_nobody_is_active() {
    let mut room = Room::new(3);
    room.speak(3_000, &[(1, 127), (2, 90), (3, 80)]);
    assert!(room.speakers.active().is_empty());
    assert_eq!((room.speakers.dominant(), room.changes), (None, 0));
}

#[test]
fn who_speaks_becomes_active_and_dominant_at_once_in_a_silent_room() {
    let mut room = Room::new(3);
    room.speak(200, &[(1, 30), (2, 127)]);
    assert_eq!(room.speakers.active(), [track(1)]);
    assert_eq!(room.speakers.dominant(), Some(track(1)));
}

#[test]
fn a_cough_does_not_take_dominance() {
    let mut room = Room::new(3);
    room.speak(2_000, &[(1, 35)]);
    room.speak(200, &[(1, 35), (2, 10)]);
    room.speak(1_000, &[(1, 35), (2, 127)]);
    assert_eq!(room.speakers.dominant(), Some(track(1)));
}

#[test]
fn one_who_speaks_longer_takes_dominance() {
    let mut room = Room::new(3);
    room.speak(2_000, &[(1, 35)]);
    room.speak(1_000, &[(2, 35), (1, 127)]);
    assert_eq!(room.speakers.dominant(), Some(track(2)));
    assert_eq!(room.speakers.active(), [track(1), track(2)], "the seat is held");
}

#[test]
fn the_last_speaker_stays_dominant_in_silence() {
    let mut room = Room::new(3);
    room.speak(1_000, &[(1, 35)]);
    room.speak(10_000, &[(1, 127)]);
    assert_eq!(room.speakers.dominant(), Some(track(1)));
    assert_eq!(room.speakers.active(), [track(1)], "nobody else wants the seat");
}

#[test]
fn seats_go_to_the_loudest_and_never_exceed_their_number() {
    let mut room = Room::new(2);
    room.speak(1_000, &[(1, 50), (2, 40), (3, 20)]);
    room.speak(1_000, &[(1, 50), (2, 40), (3, 20)]);
    assert_eq!(room.speakers.active(), [track(2), track(3)]);
}

#[test]
fn a_seat_is_not_lost_in_a_pause_but_after_it() {
    let mut room = Room::new(1);
    room.speak(1_000, &[(1, 30)]);
    room.speak(1_000, &[(2, 30)]);
    assert_eq!(room.speakers.active(), [track(1)]);
    room.speak(1_500, &[(2, 30)]);
    assert_eq!(room.speakers.active(), [track(2)]);
}

#[test]
fn equally_loud_people_do_not_take_turns_by_accident() {
    let mut room = Room::new(2);
    room.speak(10_000, &[(1, 30), (2, 31), (3, 30), (4, 32)]);
    assert_eq!(room.speakers.active(), [track(1), track(3)]);
    assert!(room.changes <= 3, "{}", room.changes);
}

#[test]
fn a_removed_track_leaves_no_trace() {
    let mut room = Room::new(2);
    room.speak(1_000, &[(1, 30)]);
    room.speakers.remove(track(1));
    assert!(room.speakers.active().is_empty());
    assert_eq!(room.speakers.dominant(), None);
    room.speak(1_000, &[(2, 30)]);
    assert_eq!(room.speakers.active(), [track(2)]);
}

#[test]
fn no_seats_means_nobody() {
    let mut room = Room::new(0);
    room.speak(1_000, &[(1, 30)]);
    assert!(room.speakers.active().is_empty());
}
