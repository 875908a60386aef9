//! Opening data channels (RFC 8832).

use sfu_core::peer::sctp::dcep::{MAX_NAME_BYTES, Message};

/// A message: what it names is bounded, and it reads back as it was written.
pub fn dcep(input: &[u8]) {
    let Ok(message) = Message::parse(input) else { return };
    let written = message.to_bytes();
    assert_eq!(written.len(), input.len(), "nothing is lost on the way");
    assert_eq!(Message::parse(&written).as_ref(), Ok(&message));
    if let Message::Open(open) = &message {
        assert!(open.label.len() <= MAX_NAME_BYTES && open.protocol.len() <= MAX_NAME_BYTES);
    }
    assert!(Message::parse(&written[..written.len() - 1]).is_err(), "cut short it is no message");
}
