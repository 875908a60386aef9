//! Replay protection (RFC 3711 §3.3.2) and the guess of the roll-over counter (§3.3.1), per sending source.

use super::SrtpError;
use super::wire::MAX_RTP_INDEX;
use crate::ids::Ssrc;
use crate::prefetch::prefetch;

/// Most sources one remote may send from. A browser with camera and screen in three encodings each, retransmissions and
/// sound uses about 14; the rest is room for sections that came and went.
pub const MAX_INBOUND_SSRCS: usize = 128;
/// How many authentic packets of other sources must have come before a silent source may be forgotten for a new one.
pub(super) const MIN_SILENCE_PACKETS: u64 = 4_096;
/// Sources of most remotes: camera and microphone, and the camera's retransmissions.
const USUAL_SOURCES: usize = 3;
/// Words of an inbound window: 1 024 packets, half a second of 20 Mbit/s (RFC 3711 §3.3.2 asks for 64 at least).
pub(super) const INBOUND_WORDS: usize = 16;

/// Which of the last `64 * WORDS` indices up to the highest were seen. Bit `index % (64 * WORDS)` stands for an index.
#[derive(Debug, Clone)]
pub(super) struct Window<const WORDS: usize> {
    highest: u64,
    seen: [u64; WORDS],
}

impl<const WORDS: usize> Window<WORDS> {
    const LEN: u64 = 64 * WORDS as u64;

    /// A window in which only `index` was seen.
    pub(super) fn new(index: u64) -> Self {
        let mut window = Self { highest: index, seen: [0; WORDS] };
        window.set(index);
        window
    }

    /// Whether `index` was neither seen nor fell out of the window.
    pub(super) fn is_fresh(&self, index: u64) -> bool {
        if index > self.highest {
            return true;
        }
        let (word, bit) = Self::place(index);
        self.highest - index < Self::LEN && self.seen[word] & bit == 0
    }

    /// Notes that `index` was seen; moves the window forward when it is the highest.
    pub(super) fn accept(&mut self, index: u64) {
        if index > self.highest {
            self.advance(index);
        }
        self.set(index);
    }

    /// The full index of `sequence_number`: the nearest one to the highest seen. `None` outside 48 bits.
    pub(super) fn estimate(&self, sequence_number: u16) -> Option<u64> {
        let (roc, last) = (self.highest >> 16, self.highest as u16);
        let roc = if last < 0x8000 {
            if i32::from(sequence_number) - i32::from(last) > 0x8000 { roc.checked_sub(1)? } else { roc }
        } else if i32::from(last) - 0x8000 > i32::from(sequence_number) {
            roc + 1
        } else {
            roc
        };
        let index = (roc << 16) | u64::from(sequence_number);
        (index <= MAX_RTP_INDEX).then_some(index)
    }

    fn advance(&mut self, index: u64) {
        if index - self.highest >= Self::LEN {
            self.seen = [0; WORDS];
        } else {
            for skipped in self.highest + 1..index {
                let (word, bit) = Self::place(skipped);
                self.seen[word] &= !bit;
            }
        }
        self.highest = index;
    }

    fn set(&mut self, index: u64) {
        let (word, bit) = Self::place(index);
        self.seen[word] |= bit;
    }

    fn place(index: u64) -> (usize, u64) {
        let position = index % Self::LEN;
        ((position / 64) as usize, 1 << (position % 64))
    }
}

/// The windows of all sources of one remote. A source is added only after one of its packets proved authentic.
///
/// When the table is full, the source that has been silent for longest makes room, if [`MIN_SILENCE_PACKETS`] authentic
/// packets came since its last; else the new one is refused. Packets of a forgotten source could be replayed once more,
/// which is why silence is asked for: an authenticated remote alone can fill the table, and harms only itself.
#[derive(Debug, Default)]
pub(super) struct ReplayWindows {
    /// Kept apart from the windows, so that looking up the usual 1 to 8 reads one cache line.
    ssrcs: Vec<Ssrc>,
    entries: Vec<SourceWindow>,
    /// Where the last packet's source was found: most packets come in runs of one source.
    last: usize,
    accepted: u64,
}

#[derive(Debug)]
struct SourceWindow {
    window: Window<INBOUND_WORDS>,
    /// The value of `ReplayWindows::accepted` at its latest authentic packet.
    latest: u64,
}

impl ReplayWindows {
    /// Where `ssrc` is, to be handed to the other methods before the next [`accept`](Self::accept).
    pub(super) fn find(&self, ssrc: Ssrc) -> Option<usize> {
        if self.ssrcs.get(self.last) == Some(&ssrc) {
            return Some(self.last);
        }
        self.ssrcs.iter().position(|known| *known == ssrc)
    }

    #[inline]
    pub(super) fn prefetch(&self) {
        prefetch(&self.ssrcs[..]);
        prefetch(&self.entries[..self.entries.len().min(USUAL_SOURCES)]);
    }

    pub(super) fn window(&self, place: usize) -> &Window<INBOUND_WORDS> {
        &self.entries[place].window
    }

    /// Notes an authentic packet of `ssrc`, found at `place` or new.
    pub(super) fn accept(&mut self, place: Option<usize>, ssrc: Ssrc, index: u64) -> Result<(), SrtpError> {
        self.accepted += 1;
        let latest = self.accepted;
        let Some(place) = place else {
            return self.add(ssrc, SourceWindow { window: Window::new(index), latest });
        };
        self.last = place;
        let source = &mut self.entries[place];
        source.latest = latest;
        source.window.accept(index);
        Ok(())
    }

    fn add(&mut self, ssrc: Ssrc, source: SourceWindow) -> Result<(), SrtpError> {
        if self.ssrcs.len() < MAX_INBOUND_SSRCS {
            self.last = self.ssrcs.len();
            self.ssrcs.push(ssrc);
            self.entries.push(source);
            return Ok(());
        }
        let (place, latest) = self
            .entries
            .iter()
            .map(|known| known.latest)
            .enumerate()
            .min_by_key(|(_, latest)| *latest)
            .expect("a full table is not empty");
        if source.latest - latest <= MIN_SILENCE_PACKETS {
            return Err(SrtpError::TooManySources);
        }
        self.last = place;
        self.ssrcs[place] = ssrc;
        self.entries[place] = source;
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.ssrcs.len()
    }
}
