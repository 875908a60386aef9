//! Who is in which room, who publishes what, and who receives whom.

use serde::Deserialize;
use sfu_core::session::MediaKind;

/// The same rooms, so many times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Shape {
    pub(crate) rooms: usize,
    /// Of each room; they receive each other.
    pub(crate) publishers: usize,
    /// Of each room; they receive all publishers.
    pub(crate) listeners: usize,
    pub(crate) audio: bool,
    pub(crate) video: bool,
}

/// One participant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Seat {
    pub(crate) room: usize,
    /// Publishers come first.
    pub(crate) number: usize,
}

impl Shape {
    /// What each publisher sends.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = MediaKind> + use<> {
        let kinds = [self.audio.then_some(MediaKind::Audio), self.video.then_some(MediaKind::Video)];
        kinds.into_iter().flatten()
    }

    /// Everybody, room by room.
    pub(crate) fn seats(&self) -> impl Iterator<Item = Seat> + use<> {
        let (rooms, seats) = (self.rooms, self.publishers + self.listeners);
        (0..rooms).flat_map(move |room| (0..seats).map(move |number| Seat { room, number }))
    }

    /// Who publishes, room by room.
    pub(crate) fn publishing(&self) -> impl Iterator<Item = Seat> + use<> {
        let publishers = self.publishers;
        self.seats().filter(move |seat| seat.number < publishers)
    }

    /// Whom this participant receives.
    pub(crate) fn heard_by(&self, seat: Seat) -> impl Iterator<Item = Seat> + use<> {
        (0..self.publishers).filter(move |number| *number != seat.number).map(move |number| Seat { number, ..seat })
    }

    /// The number of a publisher among all of this shape.
    pub(crate) fn source(&self, seat: Seat) -> u32 {
        (seat.room * self.publishers + seat.number) as u32
    }

    /// How many publishers there are.
    pub(crate) fn sources(&self) -> usize {
        self.rooms * self.publishers
    }

    /// How many streams arrive at somebody: each counts once for everybody who receives it.
    pub(crate) fn streams(&self) -> usize {
        self.seats().map(|seat| self.heard_by(seat).count()).sum::<usize>() * self.kinds().count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_a_room_of_three_everybody_receives_two_others() {
        let rooms = Shape { rooms: 40, publishers: 3, listeners: 0, audio: true, video: true };
        assert_eq!((rooms.seats().count(), rooms.sources(), rooms.streams()), (120, 120, 480));
        let heard: Vec<u32> = rooms.heard_by(Seat { room: 1, number: 1 }).map(|seat| rooms.source(seat)).collect();
        assert_eq!(heard, [3, 5]);
    }

    #[test]
    fn listeners_receive_all_publishers_and_send_nothing() {
        let lecture = Shape { rooms: 1, publishers: 1, listeners: 20, audio: false, video: true };
        assert_eq!((lecture.seats().count(), lecture.publishing().count(), lecture.streams()), (21, 1, 20));
    }
}
