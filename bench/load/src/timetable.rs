//! When each packet of each publisher is due: the same for the load, the floor and every run.
//!
//! Sound is 50 packets a second. A picture comes 30 times a second and is 5 packets, which a browser's pacer spreads: it
//! sends at 2.5 times the rate of the media (libwebrtc's `kDefaultPaceMultiplier`), so that a fifth of a picture takes
//! 1/30 s / 5 / 2.5. Both repeat after 100 ms. Publishers begin at moments of their own.

use sfu_core::session::MediaKind;

use crate::random;
use crate::shape::Shape;

/// After this long everything repeats: 5 packets of sound, 3 pictures.
pub(crate) const CYCLE_NS: u64 = 100_000_000;
/// Packets of one picture.
pub(crate) const PICTURE_PACKETS: u8 = 5;
/// Packets of sound in a cycle.
const SOUNDS: u64 = 5;
/// Pictures in a cycle.
const PICTURES: u64 = 3;
/// How much faster than the media the pacer sends, in tenths.
const PACE_TENTHS: u64 = 25;

/// A packet that is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Due {
    /// When, since the start.
    pub(crate) at_ns: u64,
    /// Whose: the publisher's number.
    pub(crate) source: u32,
    pub(crate) kind: MediaKind,
    /// Which packet of the picture; 0 of sound.
    pub(crate) part: u8,
}

/// All packets of a cycle in their order.
#[derive(Debug)]
pub(crate) struct Timetable {
    cycle: Vec<Due>,
    next: usize,
    /// Cycles that are over.
    turns: u64,
}

impl Timetable {
    pub(crate) fn new(shape: &Shape) -> Self {
        let mut cycle = Vec::new();
        for source in 0..shape.sources() as u32 {
            for kind in shape.kinds() {
                cycle.extend(of_track(source, kind));
            }
        }
        cycle.sort_by_key(|due| (due.at_ns, due.source, due.part));
        Self { cycle, next: 0, turns: 0 }
    }

    /// When the next packet is due.
    pub(crate) fn next_ns(&self) -> Option<u64> {
        self.cycle.get(self.next).map(|due| self.turns * CYCLE_NS + due.at_ns)
    }

    /// The next packet, if it is due.
    pub(crate) fn take_due(&mut self, now_ns: u64) -> Option<Due> {
        let at_ns = self.next_ns().filter(|at_ns| *at_ns <= now_ns)?;
        let due = Due { at_ns, ..self.cycle[self.next] };
        self.next += 1;
        if self.next == self.cycle.len() {
            (self.next, self.turns) = (0, self.turns + 1);
        }
        Some(due)
    }

    /// Leaves out what is due before `now_ns`: nobody sends what was due before the program was ready.
    pub(crate) fn skip_to(&mut self, now_ns: u64) {
        self.turns = now_ns / CYCLE_NS;
        self.next = 0;
        while self.take_due(now_ns).is_some() {}
    }
}

fn of_track(source: u32, kind: MediaKind) -> impl Iterator<Item = Due> {
    let phase = phase_ns(source, kind);
    let (units, parts) = match kind {
        MediaKind::Audio => (SOUNDS, 1),
        MediaKind::Video => (PICTURES, PICTURE_PACKETS),
    };
    let unit_ns = CYCLE_NS / units;
    let part_ns = unit_ns * 10 / u64::from(PICTURE_PACKETS) / PACE_TENTHS;
    (0..units).flat_map(move |unit| {
        (0..parts).map(move |part| {
            let at_ns = (phase + unit * unit_ns + u64::from(part) * part_ns) % CYCLE_NS;
            Due { at_ns, source, kind, part }
        })
    })
}

/// When in its cycle a track begins: anywhere, and in every run at the same moment.
fn phase_ns(source: u32, kind: MediaKind) -> u64 {
    random::at(u64::from(source) << 1 | u64::from(kind == MediaKind::Video)) % CYCLE_NS
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape { rooms: 2, publishers: 3, listeners: 0, audio: true, video: true };

    fn second() -> Vec<Due> {
        let mut timetable = Timetable::new(&SHAPE);
        std::iter::from_fn(|| timetable.take_due(1_000_000_000 - 1)).collect()
    }

    #[test]
    fn a_publisher_sends_50_packets_of_sound_and_150_of_pictures_a_second() {
        let count = |source, kind| second().iter().filter(|due| (due.source, due.kind) == (source, kind)).count();
        for source in 0..6 {
            assert_eq!((count(source, MediaKind::Audio), count(source, MediaKind::Video)), (50, 150));
        }
    }

    #[test]
    fn packets_come_in_the_order_of_time() {
        assert!(second().is_sorted_by_key(|due| due.at_ns));
    }

    #[test]
    fn a_picture_is_spread_over_two_fifths_of_its_time() {
        let due: Vec<Due> =
            second().into_iter().filter(|due| due.source == 2 && due.kind == MediaKind::Video).skip(5).collect();
        let first = due.iter().position(|due| due.part == 0).expect("a picture begins");
        let parts: Vec<(u8, u64)> =
            due[first..first + 6].iter().map(|one| (one.part, (one.at_ns - due[first].at_ns) / 10_000)).collect();
        assert_eq!(parts, [(0, 0), (1, 266), (2, 533), (3, 799), (4, 1_066), (0, 3_333)]);
    }

    #[test]
    fn sound_is_20_ms_apart() {
        let due: Vec<u64> = second()
            .into_iter()
            .filter(|due| due.source == 4 && due.kind == MediaKind::Audio)
            .map(|due| due.at_ns)
            .collect();
        assert!(due.windows(2).all(|pair| pair[1] - pair[0] == 20_000_000), "{due:?}");
    }

    #[test]
    fn what_was_due_before_the_beginning_is_left_out() {
        let mut timetable = Timetable::new(&SHAPE);
        timetable.skip_to(2_345_678_901);
        assert!(timetable.next_ns().is_some_and(|next| next > 2_345_678_901));
        assert!(timetable.next_ns().is_some_and(|next| next < 2_345_678_901 + CYCLE_NS));
    }
}
