//! Redundant audio (RFC 2198): earlier payloads travel along, so that a lost packet is not a lost sound.

use arrayvec::ArrayVec;

use crate::error::RtpError;

/// Most redundant blocks read from one payload; browsers can be made to send 9, and send 1 by default.
pub const MAX_REDUNDANT: usize = 9;
/// Most redundant blocks written into one payload: against bursts of two; a third would cost more than it saves.
pub const MAX_BUILT_REDUNDANT: usize = 2;
/// A redundant block can be this much older than the primary, in ticks: 14 bits.
const MAX_OFFSET: u32 = (1 << 14) - 1;
/// Length of a redundant block: 10 bits.
const MAX_BLOCK_LEN: usize = (1 << 10) - 1;
/// Bytes of a redundant block's header.
const BLOCK_HEAD: usize = 4;

/// A payload sent before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block<'a> {
    /// 7 bits.
    pub payload_type: u8,
    /// How much older than the primary, in ticks of the clock.
    pub timestamp_offset: u32,
    /// What was sent.
    pub payload: &'a [u8],
}

/// What a redundant payload holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Red<'a> {
    /// Earlier payloads, oldest first.
    pub redundant: ArrayVec<Block<'a>, MAX_REDUNDANT>,
    /// Payload type of the primary.
    pub payload_type: u8,
    /// What this packet is about.
    pub primary: &'a [u8],
}

impl<'a> Red<'a> {
    /// Takes a redundant payload apart.
    ///
    /// # Errors
    /// [`RtpError`], when the blocks are not inside `payload` or are more than [`MAX_REDUNDANT`].
    pub fn parse(payload: &'a [u8]) -> Result<Self, RtpError> {
        let mut redundant = ArrayVec::<Block<'a>, MAX_REDUNDANT>::new();
        let mut lengths = ArrayVec::<usize, MAX_REDUNDANT>::new();
        let mut rest = payload;
        while rest.first().ok_or(RtpError::Descriptor)? & 0x80 != 0 {
            let (&[kind, a, b, c], after) = rest.split_first_chunk().ok_or(RtpError::Descriptor)?;
            let word = u32::from_be_bytes([0, a, b, c]);
            let block = Block { payload_type: kind & 0x7f, timestamp_offset: word >> 10, payload: &[] };
            redundant.try_push(block).map_err(|_| RtpError::Blocks)?;
            lengths.push((word & 0x3ff) as usize);
            rest = after;
        }
        let payload_type = rest[0];
        rest = &rest[1..];
        for (block, len) in redundant.iter_mut().zip(lengths) {
            (block.payload, rest) = rest.split_at_checked(len).ok_or(RtpError::Descriptor)?;
        }
        Ok(Self { redundant, payload_type, primary: rest })
    }
}

/// What a redundant payload is about, for a subscriber that did not negotiate redundancy.
pub fn primary(payload: &[u8]) -> Option<&[u8]> {
    Red::parse(payload).ok().map(|red| red.primary)
}

/// How much older than the payload the oldest in it is, in ticks; `None` when it makes no sense.
pub fn oldest(payload: &[u8]) -> Option<u32> {
    let red = Red::parse(payload).ok()?;
    Some(red.redundant.iter().map(|block| block.timestamp_offset).max().unwrap_or(0))
}

/// Writes a redundant payload: `primary` and of `history`, oldest first, the newest [`MAX_BUILT_REDUNDANT`]. Blocks that
/// are empty, too old or too long to be said are left out. `None`, when `out` is too short.
pub fn build(payload_type: u8, primary: &[u8], history: &[Block<'_>], out: &mut [u8]) -> Option<usize> {
    let newest = &history[history.len().saturating_sub(MAX_BUILT_REDUNDANT)..];
    let blocks = newest.iter().filter(|block| is_sayable(block));
    let head = blocks.clone().count() * BLOCK_HEAD + 1;
    let len = head + blocks.clone().map(|block| block.payload.len()).sum::<usize>() + primary.len();
    let (heads, mut bodies) = out.get_mut(..len)?.split_at_mut(head);
    for (head, block) in heads.chunks_exact_mut(BLOCK_HEAD).zip(blocks) {
        let word = block.timestamp_offset << 10 | block.payload.len() as u32;
        head.copy_from_slice(&(word | u32::from(0x80 | block.payload_type) << 24).to_be_bytes());
        let (body, rest) = bodies.split_at_mut(block.payload.len());
        body.copy_from_slice(block.payload);
        bodies = rest;
    }
    heads[head - 1] = payload_type & 0x7f;
    bodies.copy_from_slice(primary);
    Some(len)
}

/// Whether the block's header can hold its age and length.
fn is_sayable(block: &Block<'_>) -> bool {
    block.timestamp_offset <= MAX_OFFSET && (1..=MAX_BLOCK_LEN).contains(&block.payload.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OLDER: Block<'_> = Block { payload_type: 111, timestamp_offset: 1_920, payload: &[1, 2] };
    const OLD: Block<'_> = Block { payload_type: 111, timestamp_offset: 960, payload: &[3] };

    #[test]
    fn a_payload_without_redundancy_is_one_byte_longer() {
        let mut out = [0; 3];
        assert_eq!(build(111, &[8, 9], &[], &mut out), Some(3));
        assert_eq!(out, [111, 8, 9]);
        assert_eq!(primary(&out), Some(&[8, 9][..]));
    }

    #[test]
    fn blocks_are_written_as_the_rfc_says() {
        let mut out = [0; 64];
        let len = build(111, &[8, 9], &[OLDER, OLD], &mut out).unwrap();
        let expected = [0xef, 0x1e, 0x00, 0x02, 0xef, 0x0f, 0x00, 0x01, 111, 1, 2, 3, 8, 9];
        assert_eq!(out[..len], expected);
        let red = Red::parse(&out[..len]).unwrap();
        assert_eq!((&red.redundant[..], red.payload_type, red.primary), (&[OLDER, OLD][..], 111, &[8, 9][..]));
    }

    #[test]
    fn only_the_newest_that_can_be_said_are_written() {
        let mut out = [0; 2_000];
        let too_old = Block { timestamp_offset: 1 << 14, ..OLD };
        let too_long = Block { payload: &[0; 1_024], ..OLD };
        let empty = Block { payload: &[], ..OLD };
        assert_eq!(build(111, &[8], &[OLDER, OLDER, OLD], &mut out), Some(13));
        for unsayable in [too_old, too_long, empty] {
            assert_eq!(build(111, &[8], &[unsayable, OLD], &mut out), Some(7));
        }
        assert_eq!(build(111, &[8], &[OLD], &mut out[..6]), None);
    }

    #[test]
    fn blocks_outside_the_payload_are_refused() {
        for payload in [&[][..], &[0xef], &[0xef, 0, 0, 1], &[0xef, 0, 0, 1, 111], &[0xef, 0, 3, 0xff, 111, 1]] {
            assert_eq!(Red::parse(payload), Err(RtpError::Descriptor), "{payload:x?}");
            assert_eq!(primary(payload), None);
        }
        assert_eq!(Red::parse(&[0xef, 0, 0, 0].repeat(10)), Err(RtpError::Blocks));
    }

    proptest! {
        #[test]
        fn what_was_read_is_inside_the_payload(payload in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(red) = Red::parse(&payload) {
                let blocks: usize = red.redundant.iter().map(|block| block.payload.len() + BLOCK_HEAD).sum();
                prop_assert_eq!(blocks + 1 + red.primary.len(), payload.len());
            }
        }
    }
}
