//! What happens to one datagram before it is sealed, after, and on its way.

use crate::bytes::Choices;

/// Most changes to one datagram, before or after it is sealed.
const MAX_EDITS: u8 = 4;
/// No datagram gets longer: what a socket reads into.
pub(crate) const MAX_DATAGRAM: usize = 1_500;

pub(crate) const BEFORE: u8 = 1;
pub(crate) const AFTER: u8 = 1 << 1;
pub(crate) const TWICE: u8 = 1 << 2;
pub(crate) const DELAYED: u8 = 1 << 3;
pub(crate) const ELSEWHERE: u8 = 1 << 4;
pub(crate) const LOST: u8 = 1 << 5;
pub(crate) const FIRST: u8 = 1 << 6;
pub(crate) const STAYS: u8 = 1 << 7;

/// One change.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Edit {
    kind: u8,
    place: usize,
    value: u8,
}

impl Edit {
    pub(crate) fn read(choices: &mut Choices<'_>) -> Self {
        Self { kind: choices.byte(), place: usize::from(choices.word()), value: choices.byte() }
    }

    pub(crate) fn apply(self, bytes: &mut Vec<u8>) {
        let place = self.place % (bytes.len() + 1);
        match self.kind & 7 {
            0 | 1 => {
                if let Some(byte) = bytes.get_mut(place) {
                    *byte ^= self.value;
                }
            }
            2 | 3 => {
                if let Some(byte) = bytes.get_mut(place) {
                    *byte = self.value;
                }
            }
            4 => bytes.truncate(place),
            5 => {
                let end = bytes.len().min(place + usize::from(self.value));
                bytes.drain(place..end);
            }
            6 => {
                let count = usize::from(self.kind >> 3).min(MAX_DATAGRAM.saturating_sub(bytes.len()));
                bytes.splice(place..place, std::iter::repeat_n(self.value, count));
            }
            _ => {
                // What a field of two bytes says, by a little or to its end.
                if let Some([high, low]) = bytes.get_mut(place..place + 2) {
                    let word = u16::from_be_bytes([*high, *low]).wrapping_add_signed(i16::from(self.value as i8));
                    [*high, *low] = word.to_be_bytes();
                }
            }
        }
    }
}

/// What happens to one datagram.
#[derive(Debug, Clone, Default)]
pub(crate) struct Treatment {
    before: Vec<Edit>,
    after: Vec<Edit>,
    /// It arrives twice.
    pub(crate) twice: bool,
    /// It arrives so many turns later.
    pub(crate) delay: u8,
    /// It comes from another address, and from which.
    pub(crate) elsewhere: Option<u8>,
    /// It does not arrive.
    pub(crate) lost: bool,
    /// It overtakes what is under way.
    pub(crate) first: bool,
    /// The next step happens in the same turn.
    pub(crate) stays: bool,
}

impl Treatment {
    pub(crate) fn read(choices: &mut Choices<'_>) -> Self {
        let flags = choices.byte();
        let edits = |choices: &mut Choices<'_>, flag| -> Vec<Edit> {
            let count = if flags & flag == 0 { 0 } else { 1 + choices.byte() % MAX_EDITS };
            (0..count).map(|_| Edit::read(choices)).collect()
        };
        Self {
            before: edits(choices, BEFORE),
            after: edits(choices, AFTER),
            twice: flags & TWICE != 0,
            delay: if flags & DELAYED == 0 { 0 } else { choices.byte() & 15 },
            elsewhere: (flags & ELSEWHERE != 0).then(|| choices.byte()),
            lost: flags & LOST != 0,
            first: flags & FIRST != 0,
            stays: flags & STAYS != 0,
        }
    }

    /// Changes what is about to be sealed; false when nothing changes.
    pub(crate) fn before(&self, plain: &mut Vec<u8>) -> bool {
        self.before.iter().for_each(|edit| edit.apply(plain));
        plain.truncate(MAX_DATAGRAM);
        !self.before.is_empty()
    }

    /// Changes what was sealed.
    pub(crate) fn after(&self, sealed: &mut Vec<u8>) {
        self.after.iter().for_each(|edit| edit.apply(sealed));
        sealed.truncate(MAX_DATAGRAM);
    }
}
