//! Names for things inside the engine. None of them can identify a person: they are slots, numbers or SDP labels.

use std::fmt::{self, Write as _};

use arrayvec::ArrayString;
use serde::{Deserialize, Serialize};

/// Longest MID or RID we accept; RFC 8852 §3.1 leaves the length open, browsers use 1 to 3 characters.
pub const MAX_SDES_LEN: usize = 16;

macro_rules! slot_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(u64);

        impl $name {
            /// The id of the `generation`-th thing to live in `slot`.
            pub const fn new(slot: u32, generation: u32) -> Self {
                Self(((generation as u64) << 32) | slot as u64)
            }

            /// Which place of its table the thing lives in.
            pub const fn slot(self) -> u32 {
                self.0 as u32
            }

            /// How many things have lived in that place before, so that an old id finds nothing new.
            pub const fn generation(self) -> u32 {
                (self.0 >> 32) as u32
            }

            /// The number that stands for this id outside the engine.
            pub const fn as_u64(self) -> u64 {
                self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({}.{})"), self.slot(), self.generation())
            }
        }

        impl crate::slots::SlotId for $name {
            fn new(slot: u32, generation: u32) -> Self {
                Self::new(slot, generation)
            }
            fn slot(self) -> u32 {
                self.slot()
            }
            fn generation(self) -> u32 {
                self.generation()
            }
        }
    };
}

slot_id!(
    /// A room: the set of peers among which edges may exist.
    RoomId
);
slot_id!(
    /// A peer: one participant's transport.
    PeerId
);
slot_id!(
    /// A track: what one participant publishes under one MID.
    TrackId
);

/// A participant as signalling counts them. Several peers may carry the same participant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ParticipantId(pub u64);

/// The name of a sender in RTCP and SDP; see [`ParticipantId::cname`].
pub type Cname = ArrayString<28>;

impl ParticipantId {
    /// The canonical name (RFC 3550 §6.5.1) of all that the participant sends, in our descriptions and in our RTCP alike:
    /// receivers play what has one name in step, so the tracks of one participant share it and no two participants do.
    pub fn cname(self) -> Cname {
        let mut name = Cname::new();
        write!(name, "participant-{:x}", self.0).expect("12 characters and 16 digits are 28");
        name
    }
}

/// A relay: one track on its way from the engine that has its publisher to another. The caller chooses the number, the same
/// for both ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RelayId(pub u64);

/// A synchronisation source (RFC 3550 §3).
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ssrc(pub u32);

macro_rules! sdes_label {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(ArrayString<MAX_SDES_LEN>);

        impl $name {
            /// Reads the label; `None` when it is empty, too long or holds something other than visible ASCII.
            pub fn new(label: &str) -> Option<Self> {
                let visible = label.bytes().all(|b| b.is_ascii_graphic());
                if label.is_empty() || !visible {
                    return None;
                }
                ArrayString::from(label).ok().map(Self)
            }

            /// Reads the label from the bytes of a header extension.
            pub fn from_bytes(label: &[u8]) -> Option<Self> {
                Self::new(std::str::from_utf8(label).ok()?)
            }

            /// The label as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = &'static str;
            fn try_from(label: String) -> Result<Self, Self::Error> {
                Self::new(&label).ok_or(concat!("a ", stringify!($name), " is 1 to 16 visible ASCII characters"))
            }
        }

        impl From<$name> for String {
            fn from(label: $name) -> Self {
                label.as_str().to_owned()
            }
        }
    };
}

sdes_label!(
    /// The name of a media section (RFC 9143).
    Mid
);
sdes_label!(
    /// The name of one simulcast encoding inside a media section (RFC 8851).
    Rid
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_keeps_slot_and_generation() {
        let id = PeerId::new(7, 3);
        assert_eq!((id.slot(), id.generation()), (7, 3));
    }

    #[test]
    fn a_label_from_the_network_is_refused_when_it_is_no_label() {
        assert_eq!(Mid::new("0").map(|mid| mid.as_str().to_owned()), Some("0".to_owned()));
        for bad in ["", "a b", "12345678901234567", "å"] {
            assert_eq!(Mid::new(bad), None, "{bad:?}");
        }
        assert_eq!(Rid::from_bytes(&[0xff, 0xfe]), None);
    }
}
