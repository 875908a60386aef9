//! Data channels over SCTP (RFC 8831): what the transport needs of them.

use std::time::Instant;

use crate::session::DataMedia;

/// Something happened on a data channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataEvent {
    /// A message arrived.
    Message {
        /// Channel.
        label: String,
        /// Content.
        payload: Vec<u8>,
        /// Binary or text.
        binary: bool,
    },
}

/// One SCTP association.
#[derive(Debug)]
pub struct DataTransport {
    out: Vec<Vec<u8>>,
    seen: Vec<DataEvent>,
}

impl DataTransport {
    /// New.
    pub fn new(_role_is_dtls_client: bool, _remote: DataMedia, _now: Instant) -> Self {
        Self { out: Vec::new(), seen: Vec::new() }
    }
    /// In.
    pub fn on_datagram(&mut self, bytes: &[u8], _now: Instant) {
        let payload = bytes.to_vec();
        self.seen.push(DataEvent::Message { label: String::new(), payload, binary: true });
    }
    /// Out.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.out.pop()
    }
    /// Timer.
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }
    /// Timer.
    pub fn handle_timeout(&mut self, _now: Instant) {}
    /// Event.
    pub fn poll_event(&mut self) -> Option<DataEvent> {
        self.seen.pop()
    }
}
