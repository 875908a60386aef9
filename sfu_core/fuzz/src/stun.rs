//! Writing STUN (RFC 8489) as a remote does: attributes, integrity, fingerprint.

use sfu_core::peer::ice::AwsHmac;

/// Attributes of STUN (RFC 8489 §18.3, RFC 8445 §16.1).
pub(crate) const USERNAME: u16 = 0x0006;
pub(crate) const XOR_MAPPED_ADDRESS: u16 = 0x0020;
pub(crate) const PRIORITY: u16 = 0x0024;
pub(crate) const USE_CANDIDATE: u16 = 0x0025;
pub(crate) const ICE_CONTROLLING: u16 = 0x802a;
/// Bytes before the attributes.
pub(crate) const HEADER: usize = 20;
const FINGERPRINT_MASK: u32 = 0x5354_554e;

/// One attribute, padded to whole words.
pub(crate) fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = [&kind.to_be_bytes()[..], &(value.len() as u16).to_be_bytes(), value].concat();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// A message with these attributes.
pub(crate) fn message(kind: u16, transaction: [u8; 12], attributes: &[Vec<u8>]) -> Vec<u8> {
    let attributes = attributes.concat();
    let len = (attributes.len() as u16).to_be_bytes();
    [&kind.to_be_bytes()[..], &len, &[0x21, 0x12, 0xa4, 0x42], &transaction, &attributes].concat()
}

/// The message with its length set right, MESSAGE-INTEGRITY and FINGERPRINT (RFC 8489 §14.5 and §14.7).
pub(crate) fn sealed(message: &[u8], password: &str) -> Vec<u8> {
    let mut bytes = message.to_vec();
    bytes.resize(message.len().max(HEADER).next_multiple_of(4), 0);
    set_len(&mut bytes, 24);
    let code = AwsHmac::sign(password.as_bytes(), &[&bytes]);
    bytes.extend_from_slice(&[0, 8, 0, 20]);
    bytes.extend_from_slice(&code);
    set_len(&mut bytes, 8);
    let sum = crc32(&bytes) ^ FINGERPRINT_MASK;
    bytes.extend_from_slice(&[0x80, 0x28, 0, 4]);
    bytes.extend_from_slice(&sum.to_be_bytes());
    bytes
}

/// Writes the length the message will have with `more` bytes behind it.
fn set_len(bytes: &mut [u8], more: usize) {
    let len = (bytes.len() - HEADER + more) as u16;
    bytes[2..4].copy_from_slice(&len.to_be_bytes());
}

/// The check sum of ISO/IEC 13239, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |sum: u32, _| if sum & 1 == 0 { sum >> 1 } else { sum >> 1 ^ 0xedb8_8320 };
    !bytes.iter().fold(!0, |sum, byte| (0..8).fold(sum ^ u32::from(*byte), step))
}
