//! What the system does not grant: values, so that whoever tells an operator can say what to do and quotes nothing.

use serde::{Deserialize, Serialize};

/// Something that works, but not as well as it could.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Warning {
    /// The kernel keeps less for us to read than asked: `net.core.rmem_max`.
    ReceiveBufferCapped {
        /// Bytes it keeps.
        granted: u64,
        /// Bytes we asked for.
        wanted: u64,
    },
    /// The kernel keeps less for the network to take than asked: `net.core.wmem_max`.
    SendBufferCapped {
        /// Bytes it keeps.
        granted: u64,
        /// Bytes we asked for.
        wanted: u64,
    },
    /// The kernel cannot cut and join datagrams: sending costs several times more.
    NoSegmentation,
    /// The host has no addresses of this family.
    FamilyMissing {
        /// 4 or 6.
        ip_version: u8,
    },
    /// The worker runs wherever the kernel likes.
    NotPinned {
        /// Where it was to run.
        processor: u64,
    },
    /// A port cannot be read; told the first time only, `receive_errors` counts on.
    ReceiveFailed {
        /// The system's number of the error.
        errno: i32,
    },
}
