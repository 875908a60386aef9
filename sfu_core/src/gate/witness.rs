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

#[derive(Debug, Default)]
struct Row {
    generation: u32,
    /// Bit `n`: the peer in slot `n` may receive this track.
    subscribers: Vec<u64>,
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
            row.generation = track.generation();
            row.subscribers.clear();
        }
        let word = (subscriber.slot() / BITS) as usize;
        if row.subscribers.len() <= word {
            row.subscribers.resize(word + 1, 0);
        }
        row.subscribers[word] |= 1 << (subscriber.slot() % BITS);
    }

    /// Signalling took `track` from `subscriber`.
    pub fn withdrawn(&mut self, track: TrackId, subscriber: PeerId) {
        if let Some(row) = self.row_mut(track)
            && let Some(word) = row.subscribers.get_mut((subscriber.slot() / BITS) as usize)
        {
            *word &= !(1 << (subscriber.slot() % BITS));
        }
    }

    /// The track is no more.
    pub fn ended(&mut self, track: TrackId) {
        if let Some(row) = self.row_mut(track) {
            row.subscribers = Vec::new();
        }
    }

    /// The subscriber is no more, and its slot will be another's.
    pub fn left(&mut self, subscriber: PeerId) {
        let (word, bit) = ((subscriber.slot() / BITS) as usize, subscriber.slot() % BITS);
        for row in &mut self.rows {
            if let Some(word) = row.subscribers.get_mut(word) {
                *word &= !(1 << bit);
            }
        }
    }

    /// A packet that came in as part of `track` passed the gate for `subscriber`.
    #[inline]
    pub fn observe(&mut self, track: TrackId, subscriber: PeerId) {
        let granted = self.rows.get(track.slot() as usize).is_some_and(|row| {
            row.generation == track.generation()
                && row
                    .subscribers
                    .get((subscriber.slot() / BITS) as usize)
                    .is_some_and(|word| word >> (subscriber.slot() % BITS) & 1 == 1)
        });
        if !granted {
            self.violations += 1;
        }
    }

    /// Fetches what [`observe`](Self::observe) looks at.
    #[inline]
    pub fn prefetch(&self, track: TrackId, subscriber: PeerId) {
        let row = self.rows.get(track.slot() as usize);
        if let Some(word) = row.and_then(|row| row.subscribers.get((subscriber.slot() / BITS) as usize)) {
            prefetch(word);
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
    fn a_grant_ends_with_its_track_and_with_its_subscriber() {
        let mut witness = Witness::default();
        witness.granted(CAMERA, BOB);
        witness.left(BOB);
        witness.observe(CAMERA, BOB);
        witness.granted(CAMERA, BOB);
        witness.observe(TrackId::new(70, 1), BOB);
        witness.ended(CAMERA);
        witness.observe(CAMERA, BOB);
        assert_eq!(witness.violations(), 3);
    }
}
