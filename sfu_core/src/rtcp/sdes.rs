//! Source descriptions: the canonical name ties a publisher's sources together (RFC 3550 §6.5).

use super::header::{self, Writer};
use crate::ids::Ssrc;

/// The item that every chunk must have.
const CNAME: u8 = 1;

/// Names of sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sdes<'a> {
    count: u8,
    chunks: &'a [u8],
}

impl<'a> Sdes<'a> {
    /// Takes the body of a description of `count` sources, to be read by [`cnames`](Self::cnames).
    pub fn parse(count: u8, body: &'a [u8]) -> Self {
        Self { count, chunks: body }
    }

    /// Source and canonical name of each chunk that has one, up to the first that is malformed.
    pub fn cnames(&self) -> impl Iterator<Item = (Ssrc, &'a [u8])> + use<'a> {
        let Self { mut count, mut chunks } = *self;
        std::iter::from_fn(move || {
            while count > 0 {
                count -= 1;
                let (ssrc, after) = chunks.split_first_chunk()?;
                let (cname, rest) = read_items(after)?;
                chunks = rest;
                if let Some(cname) = cname {
                    return Some((Ssrc(u32::from_be_bytes(*ssrc)), cname));
                }
            }
            None
        })
    }

    /// Writes the packet; `None` when `out` is too short.
    pub fn write(&self, out: &mut [u8]) -> Option<usize> {
        let mut writer = Writer::new(out, header::SDES, self.count)?;
        writer.put(self.chunks)?;
        writer.finish()
    }
}

/// The canonical name among the items of one chunk, and what follows the chunk.
fn read_items(items: &[u8]) -> Option<(Option<&[u8]>, &[u8])> {
    let mut cname = None;
    let mut at = 0;
    loop {
        let kind = *items.get(at)?;
        if kind == 0 {
            // One zero at least, then up to a whole word.
            let end = (at + 1).next_multiple_of(4);
            return Some((cname, items.get(end..)?));
        }
        let len = usize::from(*items.get(at + 1)?);
        let value = items.get(at + 2..at + 2 + len)?;
        if kind == CNAME {
            cname = Some(value);
        }
        at += 2 + len;
    }
}

/// Writes the description of one source; `None` when `out` is too short or the name longer than 255 bytes.
pub fn write(ssrc: Ssrc, cname: &str, out: &mut [u8]) -> Option<usize> {
    let len = u8::try_from(cname.len()).ok()?;
    let mut writer = Writer::new(out, header::SDES, 1)?;
    writer.word(ssrc.0)?;
    writer.put(&[CNAME, len])?;
    writer.put(cname.as_bytes())?;
    writer.put(&[0; 4][..4 - (2 + cname.len()) % 4])?;
    writer.finish()
}
