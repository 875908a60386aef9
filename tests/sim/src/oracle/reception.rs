//! One received SSRC: what a decoder behind it would have to put up with.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::media::Stamp;

/// When a datagram left the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Departure {
    /// Counts all datagrams that left the server.
    pub serial: u64,
    /// The time.
    pub at: Instant,
}

/// One RTP packet as the receiver's depacketizer gets it: after decryption and after recovery by retransmission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// When it arrived.
    pub at: Instant,
    /// When it left the server.
    pub departure: Departure,
    /// Its sequence number, without wrapping.
    pub sequence: u64,
    /// Its timestamp, without wrapping.
    pub timestamp: u64,
    /// The RTP marker.
    pub marker: bool,
    /// The RTP payload type.
    pub payload_type: u8,
    /// VP8's running numbers, when the payload has them.
    pub picture: Option<PictureNumbers>,
    /// Who made it; `None` when it is not whole.
    pub stamp: Option<Stamp>,
}

/// The running numbers of a VP8 payload descriptor (RFC 7741 §4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PictureNumbers {
    /// 15 bits.
    pub picture_id: u16,
    /// Counts the frames of temporal layer 0.
    pub tl0_pic_idx: Option<u8>,
}

impl PictureNumbers {
    /// Reads them from a payload that starts with a VP8 descriptor with a picture id; `None` when it does not.
    pub fn read(payload: &[u8]) -> Option<Self> {
        let [first, extensions, rest @ ..] = payload else { return None };
        let has = |bit: u8| extensions & bit != 0;
        if first & 0x80 == 0 || !has(0x80) {
            return None;
        }
        let (picture_id, rest) = match rest {
            [high, low, rest @ ..] if high & 0x80 != 0 => (u16::from_be_bytes([high & 0x7f, *low]), rest),
            [short, rest @ ..] => (u16::from(*short), rest),
            [] => return None,
        };
        let tl0_pic_idx = rest.first().copied().filter(|_| has(0x40));
        Some(Self { picture_id, tl0_pic_idx })
    }
}

/// Everything that came with one SSRC.
#[derive(Debug, Default)]
pub struct Reception {
    arrivals: Vec<Arrival>,
}

impl Reception {
    pub(super) fn record(&mut self, arrival: Arrival) {
        self.arrivals.push(arrival);
    }

    /// All packets in order of arrival.
    pub fn arrivals(&self) -> &[Arrival] {
        &self.arrivals
    }

    /// Whether any packet is of this track.
    pub fn carries(&self, source: u32) -> bool {
        self.stamps().any(|stamp| stamp.source == source)
    }

    /// Packets that are not whole, or not ours.
    pub fn damaged(&self) -> usize {
        self.arrivals.iter().filter(|arrival| arrival.stamp.is_none()).count()
    }

    /// Sequence numbers between the first and the last that never came.
    pub fn missing(&self) -> usize {
        let seen: BTreeSet<u64> = self.arrivals.iter().map(|arrival| arrival.sequence).collect();
        match (seen.first(), seen.last()) {
            (Some(first), Some(last)) => (last - first + 1) as usize - seen.len(),
            _ => 0,
        }
    }

    /// Packets that came more than once.
    pub fn repeated(&self) -> usize {
        let seen: BTreeSet<u64> = self.arrivals.iter().map(|arrival| arrival.sequence).collect();
        self.arrivals.len() - seen.len()
    }

    /// Neighbours in sequence whose timestamps go back.
    pub fn timestamps_going_back(&self) -> usize {
        self.neighbours(|a, b| b.timestamp < a.timestamp)
    }

    /// Frames that share a timestamp with another frame, or packets of one frame with different timestamps.
    pub fn confused_frames(&self) -> usize {
        let frame = |arrival: &Arrival| arrival.stamp.map(|s| (s.source, s.encoding, s.frame));
        self.neighbours(|a, b| (frame(a) == frame(b)) != (a.timestamp == b.timestamp))
    }

    /// Frames whose VP8 picture id does not follow that of the frame before.
    pub fn picture_gaps(&self) -> usize {
        let id = |arrival: &Arrival| arrival.picture.map(|picture| picture.picture_id);
        self.neighbours(|a, b| match (id(a), id(b)) {
            (Some(a_id), Some(b_id)) if a.timestamp == b.timestamp => a_id != b_id,
            (Some(a_id), Some(b_id)) => b_id != (a_id + 1) & 0x7fff,
            _ => false,
        })
    }

    /// Frames of another encoding than the one before that are no keyframes: a decoder could not go on.
    pub fn bad_switches(&self) -> usize {
        self.switches(|next| !next.keyframe || next.index != 0)
    }

    /// Everything came, once, whole and in order; a switch is one that a decoder notices only by a keyframe.
    ///
    /// # Panics
    /// When it is not so.
    pub fn assert_seamless(&self) {
        let faults = [
            self.missing(),
            self.repeated(),
            self.damaged(),
            self.timestamps_going_back(),
            self.confused_frames(),
            self.picture_gaps(),
            self.bad_switches(),
        ];
        assert_eq!(faults, [0; 7]);
    }

    /// Packets that follow the one before by their number, but not as what a decoder has: it would show a broken picture and
    /// ask for nothing. For one temporal layer.
    pub fn silent_breaks(&self) -> usize {
        self.neighbours(|a, b| match (a.stamp, b.stamp) {
            (Some(a), Some(b)) => {
                let same = (a.source, a.encoding) == (b.source, b.encoding);
                !b.keyframe && !(same && (b.frame == a.frame || b.frame == a.frame + 1))
            }
            _ => false,
        })
    }

    /// How often the encoding changed.
    pub fn layer_switches(&self) -> usize {
        self.switches(|_| true)
    }

    /// Frames that cannot be decoded, because a packet of theirs or of a frame they refer to never came. A frame of a
    /// temporal layer refers to the frame before it in the layers up to its own. The latest frame may still be on its way.
    pub fn undecodable_frames(&self) -> usize {
        self.judge_frames().1
    }

    /// Frames that can be decoded; the latest does not count yet.
    pub fn decodable_frames(&self) -> usize {
        self.judge_frames().0
    }

    /// How many frames can be decoded, and how many cannot.
    fn judge_frames(&self) -> (usize, usize) {
        let mut frames: BTreeMap<u64, (Stamp, BTreeSet<u16>)> = BTreeMap::new();
        for (arrival, stamp) in self.arrivals.iter().filter_map(|arrival| Some((arrival, arrival.stamp?))) {
            frames.entry(arrival.timestamp).or_insert_with(|| (stamp, BTreeSet::new())).1.insert(stamp.index);
        }
        let mut good: Option<Stamp> = None;
        let mut undecodable = 0;
        let latest = frames.len().saturating_sub(1);
        for (stamp, packets) in frames.values().take(latest) {
            let whole = packets.len() == usize::from(stamp.count);
            let follows = stamp.keyframe || good.is_some_and(|last| follows(&last, stamp));
            if !whole || !follows {
                undecodable += 1;
            }
            if whole && follows && (stamp.temporal == 0 || good.is_none()) {
                good = Some(*stamp);
            } else if stamp.temporal == 0 {
                good = None;
            }
        }
        (latest - undecodable, undecodable)
    }

    /// Packets of `source` that arrived within `delay` of their capture, each counted once.
    pub fn in_time(&self, source: u32, delay: Duration, start: Instant) -> usize {
        let in_time: BTreeSet<(u8, u32, u16)> = self
            .arrivals
            .iter()
            .filter_map(|arrival| Some((arrival, arrival.stamp.filter(|stamp| stamp.source == source)?)))
            .filter(|(arrival, stamp)| arrival.at <= start + stamp.captured() + delay)
            .map(|(_, stamp)| (stamp.encoding, stamp.frame, stamp.index))
            .collect();
        in_time.len()
    }

    /// The longest time without a packet between `from` and `until`.
    pub fn longest_silence(&self, from: Instant, until: Instant) -> Duration {
        let within = self.arrivals.iter().map(|arrival| arrival.at).filter(|at| (from..until).contains(at));
        let mut last = from;
        let mut longest = Duration::ZERO;
        for at in within.chain([until]) {
            longest = longest.max(at.saturating_duration_since(last));
            last = last.max(at);
        }
        longest
    }

    /// Stamps of the packets that left the server between the two instants.
    pub fn stamps_between(&self, from: Instant, until: Instant) -> impl Iterator<Item = Stamp> + '_ {
        let within = self.arrivals.iter().filter(move |arrival| (from..until).contains(&arrival.departure.at));
        within.filter_map(|arrival| arrival.stamp)
    }

    fn stamps(&self) -> impl Iterator<Item = Stamp> + '_ {
        self.arrivals.iter().filter_map(|arrival| arrival.stamp)
    }

    fn in_sequence(&self) -> Vec<&Arrival> {
        let by_sequence: BTreeMap<u64, &Arrival> =
            self.arrivals.iter().rev().map(|arrival| (arrival.sequence, arrival)).collect();
        by_sequence.into_values().collect()
    }

    fn neighbours(&self, wrong: impl Fn(&Arrival, &Arrival) -> bool) -> usize {
        let adjoining = |pair: &&[&Arrival]| pair[0].sequence + 1 == pair[1].sequence;
        self.in_sequence().windows(2).filter(adjoining).filter(|pair| wrong(pair[0], pair[1])).count()
    }

    fn switches(&self, counts: impl Fn(&Stamp) -> bool) -> usize {
        let stamps: Vec<Stamp> = self.in_sequence().iter().filter_map(|arrival| arrival.stamp).collect();
        let switches = |pair: &&[Stamp]| (pair[0].source, pair[0].encoding) != (pair[1].source, pair[1].encoding);
        stamps.windows(2).filter(switches).filter(|pair| counts(&pair[1])).count()
    }
}

/// Whether `next` can be decoded after `last`, the latest good frame of temporal layer 0.
pub(crate) fn follows(last: &Stamp, next: &Stamp) -> bool {
    // Layer 0 comes every frame, every second one (0 1) or every fourth one (0 2 1 2).
    let period = 1_u32 << next.temporal_layers.saturating_sub(1);
    let distance = next.frame.wrapping_sub(last.frame);
    (next.source, next.encoding) == (last.source, last.encoding) && (1..=period).contains(&distance)
}
