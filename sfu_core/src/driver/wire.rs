//! The one encoding of commands, replies and events: `MessagePack` maps with names, addresses as text. Both sides of the
//! process border, and Python, read the same bytes.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::warning::Warning;
use crate::engine::command::{Refusal, Reply};
use crate::engine::event::Event;

/// Deepest message: twice as deep as ours are. Each level may claim a list of a MiB before anything of it is there.
const MAX_DEPTH: usize = 16;

/// What leaves a worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outgoing {
    /// A command was carried out.
    Reply {
        /// The number of the request.
        id: u64,
        /// What it brought.
        reply: Reply,
    },
    /// A command was not carried out and changed nothing.
    Refused {
        /// The number of the request.
        id: u64,
        /// Why.
        refusal: Refusal,
    },
    /// Something happened.
    Event {
        /// How many edge-type events there have been, this one included: comparable with a snapshot's version.
        version: u64,
        /// What.
        event: Event,
    },
    /// A bug of ours ended this worker with all its rooms; the others go on.
    WorkerFailed {
        /// The panic's message.
        reason: String,
    },
    /// The worker goes on, but not as well as it could.
    Warned {
        /// What is amiss.
        warning: Warning,
    },
}

/// Bytes that do not mean what they should.
#[derive(Debug, thiserror::Error)]
#[error("not a valid message: {0}")]
pub struct Malformed(#[from] rmp_serde::decode::Error);

/// Writes a value. Addresses become text: serde forgets, inside tagged enums, that a format is binary, and would write
/// one form and expect the other.
pub fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(128);
    let mut serializer = rmp_serde::Serializer::new(&mut bytes).with_struct_map().with_human_readable();
    value.serialize(&mut serializer).expect("our own plain values can always be written to memory");
    bytes
}

/// Reads a value.
///
/// # Errors
/// [`Malformed`], when the bytes do not begin with such a value.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Malformed> {
    let mut deserializer = rmp_serde::Deserializer::from_read_ref(bytes).with_human_readable();
    deserializer.set_max_depth(MAX_DEPTH);
    Ok(T::deserialize(&mut deserializer)?)
}

#[cfg(test)]
#[path = "wire/tests.rs"]
pub(super) mod tests;
