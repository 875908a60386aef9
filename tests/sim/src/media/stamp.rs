//! What every synthetic payload ends with, so that whoever receives it knows whose it is, whether it is whole, and when it
//! was captured.

use std::time::Duration;

use crate::random::{Random, mix};

/// Bytes of a stamp.
pub const STAMP_LEN: usize = 32;
const MAGIC: [u8; 4] = *b"SFUs";

/// The identity of one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp {
    /// Which track it belongs to; unique in the world.
    pub source: u32,
    /// Which of its encodings, lowest quality first.
    pub encoding: u8,
    /// Which frame, counted from 0.
    pub frame: u32,
    /// Which packet of the frame, counted from 0.
    pub index: u16,
    /// How many packets the frame has.
    pub count: u16,
    /// Whether the frame needs no other.
    pub keyframe: bool,
    /// The frame's temporal layer, 0 to 7.
    pub temporal: u8,
    /// How many temporal layers the encoding has, 1 to 15.
    pub temporal_layers: u8,
    /// When it was captured, in microseconds since the start of the world.
    pub captured_us: u64,
}

impl Stamp {
    /// Appends `len` bytes that only this stamp explains, and then the stamp. `len` counts both.
    pub fn append(&self, len: usize, payload: &mut Vec<u8>) {
        let body_len = len.saturating_sub(STAMP_LEN).min(usize::from(u16::MAX));
        let body_start = payload.len();
        payload.resize(body_start + body_len, 0);
        self.body().fill(&mut payload[body_start..]);
        let stamp_start = payload.len();
        payload.extend_from_slice(&MAGIC);
        payload.extend_from_slice(&self.source.to_be_bytes());
        let flags = u8::from(self.keyframe) << 7 | self.temporal_layers << 3 | self.temporal;
        payload.extend_from_slice(&[self.encoding, flags]);
        payload.extend_from_slice(&(body_len as u16).to_be_bytes());
        payload.extend_from_slice(&self.frame.to_be_bytes());
        payload.extend_from_slice(&self.index.to_be_bytes());
        payload.extend_from_slice(&self.count.to_be_bytes());
        payload.extend_from_slice(&self.captured_us.to_be_bytes());
        let checksum = checksum(&payload[stamp_start..]);
        payload.extend_from_slice(&checksum.to_be_bytes());
    }

    /// Reads the stamp of a payload whose codec header may have been rewritten; `None` when the payload is not whole.
    pub fn read(payload: &[u8]) -> Option<Self> {
        let (front, stamp) = payload.split_last_chunk::<STAMP_LEN>()?;
        let (fields, sum) = stamp.split_last_chunk::<4>()?;
        if !fields.starts_with(&MAGIC) || checksum(fields).to_be_bytes() != *sum {
            return None;
        }
        let [_, _, _, _, s0, s1, s2, s3, encoding, flags, b0, b1, f0, f1, f2, f3, i0, i1, c0, c1, ..] = *fields else {
            return None;
        };
        let read = Self {
            source: u32::from_be_bytes([s0, s1, s2, s3]),
            encoding,
            frame: u32::from_be_bytes([f0, f1, f2, f3]),
            index: u16::from_be_bytes([i0, i1]),
            count: u16::from_be_bytes([c0, c1]),
            keyframe: flags & 0x80 != 0,
            temporal: flags & 0x07,
            temporal_layers: flags >> 3 & 0x0f,
            captured_us: u64::from_be_bytes(*fields.last_chunk()?),
        };
        let body_len = usize::from(u16::from_be_bytes([b0, b1]));
        let body = front.get(front.len().checked_sub(body_len)?..)?;
        let mut expected = vec![0; body_len];
        read.body().fill(&mut expected);
        (body == expected).then_some(read)
    }

    /// When it was captured, after the start of the world.
    pub const fn captured(&self) -> Duration {
        Duration::from_micros(self.captured_us)
    }

    fn body(&self) -> Random {
        let packet = u64::from(self.frame) << 16 | u64::from(self.index);
        Random::new(mix(mix(u64::from(self.source) << 8 | u64::from(self.encoding)) ^ packet))
    }
}

fn checksum(fields: &[u8]) -> u32 {
    let sum = fields.iter().fold(0, |sum, &byte| mix(sum ^ u64::from(byte)));
    sum as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp {
        source: 7,
        encoding: 2,
        frame: 70_000,
        index: 3,
        count: 5,
        keyframe: true,
        temporal: 1,
        temporal_layers: 3,
        captured_us: 12_345_678_901,
    };

    #[test]
    fn a_stamp_survives_another_codec_header_in_front_of_it() {
        let mut payload = vec![0x90, 0xe0, 1, 2];
        STAMP.append(500, &mut payload);
        assert_eq!(payload.len(), 504);
        payload.splice(0..4, [1, 2, 3, 4, 5, 6]);
        assert_eq!(Stamp::read(&payload), Some(STAMP));
    }

    #[test]
    fn a_payload_that_is_not_whole_has_no_stamp() {
        let mut payload = Vec::new();
        STAMP.append(100, &mut payload);
        for position in 0..payload.len() {
            let mut changed = payload.clone();
            changed[position] ^= 1;
            assert_eq!(Stamp::read(&changed), None, "byte {position}");
        }
        assert_eq!(Stamp::read(&payload[..99]), None);
        assert_eq!(Stamp::read(&payload[1..]), None);
        assert_eq!(Stamp::read(&[]), None);
    }
}
