//! Opening data channels in-band: the Data Channel Establishment Protocol (RFC 8832).

use thiserror::Error;

use super::Reliability;

/// Longest label or protocol name we take. RFC 8832 §5.1 allows 65 535; names in use are a few words.
pub const MAX_NAME_BYTES: usize = 256;

const ACK: u8 = 0x02;
const OPEN: u8 = 0x03;
/// Bytes of an OPEN before the names.
const OPEN_FIXED_LEN: usize = 12;
/// Set in the channel type of unordered channels.
const UNORDERED: u8 = 0x80;

/// Why a message with the PPID of DCEP is none: the remote's fault, its channel is reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DcepError {
    /// Shorter or longer than it says.
    #[error("wrong length")]
    Length,
    /// Neither OPEN nor ACK.
    #[error("unknown message type")]
    MessageType,
    /// A channel type that RFC 8832 does not define.
    #[error("unknown channel type")]
    ChannelType,
    /// Label or protocol are longer than [`MAX_NAME_BYTES`] or not UTF-8.
    #[error("bad name")]
    Name,
}

/// `DATA_CHANNEL_OPEN` (RFC 8832 §5.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// Whether messages arrive in the order they were sent in.
    pub ordered: bool,
    /// How hard to try.
    pub reliability: Reliability,
    /// Relative weight (RFC 8831 §6.4); browsers send 256.
    pub priority: u16,
    /// The channel's name.
    pub label: String,
    /// The subprotocol, mostly empty.
    pub protocol: String,
}

/// A message of the protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Asks for a channel on the stream that carries it.
    Open(Open),
    /// `DATA_CHANNEL_ACK` (RFC 8832 §5.2).
    Ack,
}

impl Message {
    /// Reads a message.
    ///
    /// # Errors
    /// When the bytes are no message of the protocol.
    pub fn parse(bytes: &[u8]) -> Result<Self, DcepError> {
        match bytes {
            [ACK] => Ok(Self::Ack),
            [ACK, ..] | [] => Err(DcepError::Length),
            [OPEN, ..] => parse_open(bytes).map(Self::Open),
            _ => Err(DcepError::MessageType),
        }
    }

    /// The bytes of the message. Names must not be longer than [`MAX_NAME_BYTES`].
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Ack => vec![ACK],
            Self::Open(open) => open_bytes(open),
        }
    }
}

fn parse_open(bytes: &[u8]) -> Result<Open, DcepError> {
    let fixed: &[u8; OPEN_FIXED_LEN] = bytes.first_chunk().ok_or(DcepError::Length)?;
    let parameter = u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]);
    let label_len = usize::from(u16::from_be_bytes([fixed[8], fixed[9]]));
    let protocol_len = usize::from(u16::from_be_bytes([fixed[10], fixed[11]]));
    let names = &bytes[OPEN_FIXED_LEN..];
    if names.len() != label_len + protocol_len {
        return Err(DcepError::Length);
    }
    let reliability = match fixed[1] & !UNORDERED {
        0 => Reliability::Reliable,
        1 => Reliability::MaxRetransmits(parameter),
        2 => Reliability::MaxLifetimeMs(parameter),
        _ => return Err(DcepError::ChannelType),
    };
    let (label, protocol) = names.split_at(label_len);
    Ok(Open {
        ordered: fixed[1] & UNORDERED == 0,
        reliability,
        priority: u16::from_be_bytes([fixed[2], fixed[3]]),
        label: name(label)?,
        protocol: name(protocol)?,
    })
}

fn name(bytes: &[u8]) -> Result<String, DcepError> {
    if bytes.len() > MAX_NAME_BYTES {
        return Err(DcepError::Name);
    }
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| DcepError::Name)
}

fn open_bytes(open: &Open) -> Vec<u8> {
    let (channel_type, parameter) = match open.reliability {
        Reliability::Reliable => (0, 0),
        Reliability::MaxRetransmits(count) => (1, count),
        Reliability::MaxLifetimeMs(lifetime_ms) => (2, lifetime_ms),
    };
    let order = if open.ordered { 0 } else { UNORDERED };
    let mut bytes = vec![OPEN, channel_type | order];
    bytes.extend(open.priority.to_be_bytes());
    bytes.extend(parameter.to_be_bytes());
    bytes.extend((open.label.len() as u16).to_be_bytes());
    bytes.extend((open.protocol.len() as u16).to_be_bytes());
    bytes.extend(open.label.as_bytes());
    bytes.extend(open.protocol.as_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_reliability() -> impl Strategy<Value = Reliability> {
        prop_oneof![
            Just(Reliability::Reliable),
            any::<u32>().prop_map(Reliability::MaxRetransmits),
            any::<u32>().prop_map(Reliability::MaxLifetimeMs),
        ]
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_what_parses_comes_back_the_same(mut bytes in prop::collection::vec(any::<u8>(), 0..60),
                                                              is_open: bool) {
            if let Some(first) = bytes.first_mut().filter(|_| is_open) {
                *first = OPEN;
            }
            if let Ok(message) = Message::parse(&bytes) {
                prop_assert_eq!(Message::parse(&message.to_bytes()), Ok(message));
            }
        }

        #[test]
        fn an_open_survives_the_wire(ordered: bool, reliability in any_reliability(), priority: u16,
                                     label in "\\PC{0,40}", protocol in "[a-z]{0,20}") {
            let open = Message::Open(Open { ordered, reliability, priority, label, protocol });
            prop_assert_eq!(Message::parse(&open.to_bytes()), Ok(open));
        }
    }

    #[test]
    fn malformed_messages_are_refused() {
        let open = |channel_type: u8| vec![OPEN, channel_type, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, b'x'];
        assert!(Message::parse(&open(0x82)).is_ok());
        assert_eq!(Message::parse(&open(3)), Err(DcepError::ChannelType));
        assert_eq!(Message::parse(&open(0)[..12]), Err(DcepError::Length));
        assert_eq!(Message::parse(&[7]), Err(DcepError::MessageType));
        assert_eq!(Message::parse(&[OPEN, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0xff]), Err(DcepError::Name));
    }
}
