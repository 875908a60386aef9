//! A second table of who may receive what, fed from the commands themselves and not from the gate, asked about every packet
//! after the gate let it pass. It stops nothing: it counts what should not have passed, so that a bug of the gate is seen.

use crate::ids::{PeerId, TrackId};
use crate::prefetch::prefetch;

/// Most tracks: as many as an engine holds. A row takes [`MAX_COLUMNS`] bits at most, 2 KiB.
pub const MAX_ROWS: usize = 32_768;
/// Most subscribers: as many as an engine holds peers.
pub const MAX_COLUMNS: usize = 16_384;
/// One bit per subscriber slot.
const BITS: u32 = u64::BITS;

/// Who may receive one track: bit `n` of word `w` is the peer in slot `64 w + n`.
#[derive(Debug, Default)]
struct Row {
    generation: u32,
    /// A word with a bit, and which it is, unless there is none: in a small room there is no other, and no packet looks
    /// further.
    first: (u32, u64),
    others: Vec<(u32, u64)>,
}

impl Row {
    #[inline]
    fn word(&self, number: u32) -> u64 {
        if self.first.0 == number {
            return self.first.1;
        }
        self.others.iter().find(|(known, _)| *known == number).map_or(0, |(_, word)| *word)
    }

    fn word_mut(&mut self, number: u32) -> Option<&mut u64> {
        if self.first.0 == number {
            return Some(&mut self.first.1);
        }
        self.others.iter_mut().find(|(known, _)| *known == number).map(|(_, word)| word)
    }

    fn add(&mut self, number: u32, bit: u64) {
        if self.first.1 == 0 {
            self.first.0 = number;
        }
        match self.word_mut(number) {
            Some(word) => *word |= bit,
            None => self.others.push((number, bit)),
        }
    }

    fn remove(&mut self, number: u32, bit: u64) {
        if let Some(word) = self.word_mut(number) {
            *word &= !bit;
        }
        self.others.retain(|(_, word)| *word != 0);
        if self.first.1 == 0 {
            self.first = self.others.pop().unwrap_or_default();
        }
    }
}

/// The word of a subscriber, and its bit in it.
const fn place(subscriber: PeerId) -> (u32, u64) {
    (subscriber.slot() / BITS, 1 << (subscriber.slot() % BITS))
}

/// The independent record of grants: a bit matrix of track slot × subscriber slot.
#[derive(Debug, Default)]
pub struct Witness {
    rows: Vec<Row>,
    violations: u64,
}

impl Witness {
    /// Signalling granted `track` to `subscriber`.
    pub fn granted(&mut self, track: TrackId, subscriber: PeerId) {
        let slot = track.slot() as usize;
        if slot >= MAX_ROWS || subscriber.slot() as usize >= MAX_COLUMNS {
            return; // an engine has no such slots; what would pass there is counted
        }
        if self.rows.len() <= slot {
            self.rows.resize_with(slot + 1, Row::default);
        }
        let row = &mut self.rows[slot];
        if row.generation != track.generation() {
            *row = Row { generation: track.generation(), ..Row::default() };
        }
        let (word, bit) = place(subscriber);
        row.add(word, bit);
    }

    /// Signalling took `track` from `subscriber`.
    pub fn withdrawn(&mut self, track: TrackId, subscriber: PeerId) {
        let (word, bit) = place(subscriber);
        if let Some(row) = self.row_mut(track) {
            row.remove(word, bit);
        }
    }

    /// The track is no more.
    pub fn ended(&mut self, track: TrackId) {
        if let Some(row) = self.row_mut(track) {
            *row = Row { generation: row.generation, ..Row::default() };
        }
    }

    /// A packet that came in as part of `track` passed the gate for `subscriber`.
    #[inline]
    pub fn observe(&mut self, track: TrackId, subscriber: PeerId) {
        let (word, bit) = place(subscriber);
        let row = self.rows.get(track.slot() as usize).filter(|row| row.generation == track.generation());
        if row.is_none_or(|row| row.word(word) & bit == 0) {
            self.violations += 1;
        }
    }

    /// Fetches what [`observe`](Self::observe) looks at.
    #[inline]
    pub fn prefetch(&self, track: TrackId) {
        if let Some(row) = self.rows.get(track.slot() as usize) {
            prefetch(row);
        }
    }

    /// How many packets passed that should not have. Must be 0.
    pub fn violations(&self) -> u64 {
        self.violations
    }

    fn row_mut(&mut self, track: TrackId) -> Option<&mut Row> {
        self.rows.get_mut(track.slot() as usize).filter(|row| row.generation == track.generation())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const CAMERA: TrackId = TrackId::new(70, 0);
    const BOB: PeerId = PeerId::new(130, 0);

    #[test]
    fn a_packet_without_a_grant_is_counted() {
        let mut witness = Witness::default();
        witness.observe(CAMERA, BOB);
        assert_eq!(witness.violations(), 1);
        witness.granted(CAMERA, BOB);
        witness.observe(CAMERA, BOB);
        assert_eq!(witness.violations(), 1);
        witness.withdrawn(CAMERA, BOB);
        witness.observe(CAMERA, BOB);
        assert_eq!(witness.violations(), 2);
    }

    #[test]
    fn the_table_ends_at_its_caps() {
        let mut witness = Witness::default();
        let beyond = TrackId::new(MAX_ROWS as u32, 0);
        witness.granted(beyond, BOB);
        witness.granted(CAMERA, PeerId::new(MAX_COLUMNS as u32, 0));
        assert!(witness.rows.is_empty());
        witness.observe(beyond, BOB);
        assert_eq!(witness.violations(), 1);
    }

    #[test]
    fn a_grant_ends_with_its_track() {
        let mut witness = Witness::default();
        witness.granted(CAMERA, BOB);
        witness.observe(TrackId::new(70, 1), BOB);
        witness.ended(CAMERA);
        witness.observe(CAMERA, BOB);
        assert_eq!(witness.violations(), 2);
    }

    /// What the second table is told, in slots of four words.
    #[derive(Debug, Clone, Copy)]
    enum Told {
        Granted(u32, u32),
        Withdrawn(u32, u32),
        Ended(u32),
    }

    fn told() -> impl Strategy<Value = Told> {
        // Two in each word, so that they come and go and come again.
        let (track, slot) = (0u32..3, (0u32..4, 0u32..2).prop_map(|(word, bit)| word * BITS + bit));
        prop_oneof![
            4 => (track.clone(), slot.clone()).prop_map(|(track, slot)| Told::Granted(track, slot)),
            4 => (track.clone(), slot).prop_map(|(track, slot)| Told::Withdrawn(track, slot)),
            1 => track.prop_map(Told::Ended),
        ]
    }

    proptest! {
        #[test]
        fn a_packet_is_counted_exactly_while_nothing_grants_it_whichever_slots_its_subscribers_have(
            steps in proptest::collection::vec(told(), 0..120),
        ) {
            let (mut witness, mut granted) = (Witness::default(), BTreeSet::new());
            let (track, peer) = (|slot| TrackId::new(slot, 0), |slot| PeerId::new(slot, 0));
            for step in steps {
                match step {
                    Told::Granted(what, whom) => {
                        witness.granted(track(what), peer(whom));
                        granted.insert((what, whom));
                    }
                    Told::Withdrawn(what, whom) => {
                        witness.withdrawn(track(what), peer(whom));
                        granted.remove(&(what, whom));
                    }
                    Told::Ended(what) => {
                        witness.ended(track(what));
                        granted.retain(|(known, _)| *known != what);
                    }
                }
                for (what, whom) in (0..3).flat_map(|what| (0..200).map(move |whom| (what, whom))) {
                    let before = witness.violations();
                    witness.observe(track(what), peer(whom));
                    prop_assert_eq!(witness.violations() == before, granted.contains(&(what, whom)), "{} to {}", what, whom);
                }
            }
        }
    }
}
