//! Commands as they come over the border of the process: `MessagePack` maps.

use serde::{Deserialize, Serialize};
use sfu_core::engine::command::Request;

/// A command: what reads is written to something that reads the same, and is then written to the same bytes.
pub fn command(input: &[u8]) {
    let Some(request) = decode(input) else { return };
    let written = encode(&request);
    assert_eq!(decode(&written).as_ref(), Some(&request));
    assert_eq!(encode(&decode(&written).expect("it just read")), written);
}

/// Reads as the border does: addresses as text, so that they may stand inside tagged maps.
fn decode(bytes: &[u8]) -> Option<Request> {
    let mut deserializer = rmp_serde::Deserializer::from_read_ref(bytes).with_human_readable();
    Request::deserialize(&mut deserializer).ok()
}

/// Writes as the border does.
pub(crate) fn encode(request: &Request) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut serializer = rmp_serde::Serializer::new(&mut bytes).with_struct_map().with_human_readable();
    request.serialize(&mut serializer).expect("commands can be encoded");
    bytes
}
