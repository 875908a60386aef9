//! Clear RTCP datagrams of one peer between the moment they come due and the next flush.

use arrayvec::ArrayVec;

/// Bytes that wait at most: a round of reports about 50 sections. What does not fit is told anew at the next report.
const MAX_BYTES: usize = 8 << 10;
/// Bytes of one datagram: leaves room for the SRTCP trailer on a path of 1280.
pub(crate) const MAX_COMPOUND: usize = 1_150;

/// What goes before feedback: a report of nothing and the longest name.
const LEAD_ROOM: usize = 48;

/// A short queue in one buffer that is kept.
#[derive(Debug, Default)]
pub(crate) struct RtcpQueue {
    /// Grows to what was once needed; what lies behind the last end means nothing.
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// How many of them have left.
    gone: usize,
    /// What goes before feedback; nothing where reduced size was agreed on.
    lead: ArrayVec<u8, LEAD_ROOM>,
}

impl RtcpQueue {
    /// What is to go before feedback: what `write` writes, or nothing, where reduced size was agreed on.
    pub(crate) fn lead_with(&mut self, write: impl FnOnce(&mut [u8]) -> Option<usize>) {
        let mut lead = [0; LEAD_ROOM];
        let len = write(&mut lead).unwrap_or(0);
        self.lead.clear();
        self.lead.extend(lead.into_iter().take(len));
    }

    /// Adds the feedback that `write` writes, behind what is to go before it. Returns false, and adds nothing, when it writes
    /// nothing or there is no room.
    pub(crate) fn push(&mut self, write: impl FnOnce(&mut [u8]) -> Option<usize>) -> bool {
        let lead = self.lead.clone();
        self.push_report(|out| {
            let (before, rest) = out.split_at_mut(lead.len());
            before.copy_from_slice(&lead);
            Some(lead.len() + write(rest).filter(|len| *len > 0)?)
        })
    }

    /// The same of a report, before which nothing goes.
    pub(crate) fn push_report(&mut self, write: impl FnOnce(&mut [u8]) -> Option<usize>) -> bool {
        if self.is_empty() {
            self.clear();
        }
        let start = self.ends.last().copied().unwrap_or(0);
        let end = start + MAX_COMPOUND;
        if end > MAX_BYTES {
            return false;
        }
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        let written = write(&mut self.bytes[start..end]);
        let len = written.filter(|len| (1..=MAX_COMPOUND).contains(len)).unwrap_or(0);
        if len > 0 {
            self.ends.push(start + len);
        }
        len > 0
    }

    /// Takes out what has waited longest.
    pub(crate) fn pop(&mut self) -> Option<&[u8]> {
        let Some(&end) = self.ends.get(self.gone) else {
            self.clear();
            return None;
        };
        let start = self.gone.checked_sub(1).map_or(0, |before| self.ends[before]);
        self.gone += 1;
        Some(&self.bytes[start..end])
    }

    pub(crate) fn clear(&mut self) {
        self.ends.clear();
        self.gone = 0;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.gone == self.ends.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out_until_the_cap() {
        let mut queue = RtcpQueue::default();
        let write = |byte: u8, len: usize| {
            move |out: &mut [u8]| {
                out[..len].fill(byte);
                Some(len)
            }
        };
        assert!(queue.push(write(1, 8)) && queue.push(write(2, 12)));
        assert!(!queue.push(|_| None));
        assert_eq!(queue.pop().map(|datagram| (datagram[0], datagram.len())), Some((1, 8)));
        assert!(queue.push(write(4, 16)));
        assert_eq!(queue.pop().map(|datagram| (datagram[0], datagram.len())), Some((2, 12)));
        assert_eq!(queue.pop().map(|datagram| (datagram[0], datagram.len())), Some((4, 16)));
        assert!(queue.is_empty());
        for _ in 0..MAX_BYTES {
            assert!(queue.push(write(5, 4)) && queue.pop().is_some(), "what has left takes no room");
        }
        while queue.push(write(3, 1_000)) {}
        assert!(queue.bytes.len() <= MAX_BYTES);
        queue.clear();
        assert!(queue.is_empty());
    }

    #[test]
    fn feedback_follows_what_is_to_go_before_it_and_a_report_does_not() {
        let mut queue = RtcpQueue::default();
        let write = |bytes: &'static [u8]| {
            move |out: &mut [u8]| {
                out[..bytes.len()].copy_from_slice(bytes);
                Some(bytes.len())
            }
        };
        queue.lead_with(write(b"lead"));
        assert!(queue.push(write(b"word")) && queue.push_report(write(b"report")));
        assert!(!queue.push(|_| None) && !queue.push(|_| Some(0)), "nothing follows the lead");
        assert_eq!(queue.pop(), Some(&b"leadword"[..]));
        assert_eq!(queue.pop(), Some(&b"report"[..]));
        queue.lead_with(|_| None);
        assert!(queue.push(write(b"word")));
        assert_eq!(queue.pop(), Some(&b"word"[..]));
        assert_eq!(queue.pop(), None);
    }
}
