//! What a controller wants to be told when it, or its successor, connects again: opaque bytes per room and peer. They live as
//! long as this process, which is as long as what they are about can.

use std::collections::BTreeMap;
use std::ops::Bound;

use serde::{Deserialize, Serialize};

use crate::engine::{MAX_PEERS, MAX_ROOMS};
use crate::ids::{PeerId, RoomId};

/// Most notes of one worker: one for each room and peer.
pub const MAX_NOTES: usize = MAX_ROOMS + MAX_PEERS;
/// Longest note: what was negotiated, its description, and an offer of 64 KiB.
pub const MAX_NOTE_BYTES: usize = 256 << 10;

/// What a note is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Subject {
    /// A room.
    Room {
        /// Which.
        room: RoomId,
    },
    /// A peer.
    Peer {
        /// Which.
        peer: PeerId,
    },
}

/// A note, or that there is none any more.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// About what.
    pub subject: Subject,
    /// What; `None` forgets.
    #[serde(with = "serde_bytes")]
    pub note: Option<Vec<u8>>,
}

impl std::fmt::Debug for Note {
    // What is in it is the controller's business.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Note({:?}, {:?} bytes)", self.subject, self.note.as_ref().map(Vec::len))
    }
}

/// Why a note is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Too long.
    #[error("a note has more than {MAX_NOTE_BYTES} bytes")]
    TooLong,
    /// Too many.
    #[error("there are {MAX_NOTES} notes of this worker already: forget those of rooms and peers that have ended")]
    TooMany,
}

/// All notes.
#[derive(Debug, Default)]
pub struct Notes {
    notes: BTreeMap<(u16, Subject), Vec<u8>>,
    /// How many each worker has.
    counts: BTreeMap<u16, usize>,
}

impl Notes {
    /// Keeps or forgets a note.
    ///
    /// # Errors
    /// [`NoteError`]; an older note on the same is kept then.
    pub fn apply(&mut self, worker: u16, note: Note) -> Result<(), NoteError> {
        let key = (worker, note.subject);
        let count = self.counts.entry(worker).or_default();
        match note.note {
            None => *count -= usize::from(self.notes.remove(&key).is_some()),
            Some(bytes) if bytes.len() > MAX_NOTE_BYTES => return Err(NoteError::TooLong),
            Some(_) if *count >= MAX_NOTES && !self.notes.contains_key(&key) => return Err(NoteError::TooMany),
            Some(bytes) => *count += usize::from(self.notes.insert(key, bytes).is_none()),
        }
        Ok(())
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.notes.len()
    }

    /// The workers that carry a peer on which there is a note.
    pub fn workers_with_peers(&self) -> impl Iterator<Item = u16> {
        let peers = self.notes.keys().filter(|(_, subject)| matches!(subject, Subject::Peer { .. }));
        peers.map(|(worker, _)| *worker)
    }

    /// The note after `last`, with its worker; the first one after `None`.
    pub fn after(&self, last: Option<(u16, Subject)>) -> Option<((u16, Subject), &[u8])> {
        let from = last.map_or(Bound::Unbounded, Bound::Excluded);
        self.notes.range((from, Bound::Unbounded)).next().map(|(key, bytes)| (*key, bytes.as_slice()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(number: u32, bytes: Option<usize>) -> Note {
        Note { subject: Subject::Room { room: RoomId::new(number, 0) }, note: bytes.map(|length| vec![1; length]) }
    }

    fn all(notes: &Notes) -> Vec<(u16, Subject)> {
        std::iter::successors(notes.after(None).map(|(key, _)| key), |last| {
            notes.after(Some(*last)).map(|(key, _)| key)
        })
        .collect()
    }

    #[test]
    fn the_last_note_on_something_is_the_one_that_is_told() {
        let mut notes = Notes::default();
        notes.apply(0, note(1, Some(1))).expect("kept");
        notes.apply(0, note(1, Some(2))).expect("kept");
        notes.apply(1, note(1, Some(3))).expect("kept");
        assert_eq!(all(&notes).len(), 2);
        assert_eq!(notes.after(None).expect("one").1.len(), 2);
        notes.apply(0, note(1, None)).expect("forgotten");
        notes.apply(0, note(1, None)).expect("forgotten already");
        assert_eq!((notes.count(), all(&notes)), (1, vec![(1, note(1, None).subject)]));
    }

    #[test]
    fn a_note_that_is_too_long_leaves_the_older_one() {
        let mut notes = Notes::default();
        notes.apply(0, note(1, Some(1))).expect("kept");
        assert_eq!(notes.apply(0, note(1, Some(MAX_NOTE_BYTES + 1))), Err(NoteError::TooLong));
        assert_eq!(notes.after(None).expect("one").1.len(), 1);
    }

    #[test]
    fn there_are_as_many_notes_as_there_can_be_rooms_and_peers() {
        let mut notes = Notes::default();
        for number in 0..MAX_NOTES as u32 {
            notes.apply(0, note(number, Some(1))).expect("kept");
        }
        let more = MAX_NOTES as u32;
        assert_eq!(notes.apply(0, note(more, Some(1))), Err(NoteError::TooMany));
        notes.apply(0, note(0, Some(2))).expect("it has its place");
        notes.apply(1, note(more, Some(1))).expect("another worker's");
        notes.apply(0, note(0, None)).expect("forgotten");
        notes.apply(0, note(more, Some(1))).expect("there is room again");
    }
}
