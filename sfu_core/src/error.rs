//! What a peer did wrong on the media path. Such a packet is dropped and counted; nothing else happens because of it.

/// Why bytes are not RTP (RFC 3550 §5), or not the payload format they were negotiated to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum RtpError {
    /// The peer sent fewer bytes than its header announces.
    #[error("the packet ends inside its header")]
    Truncated,
    /// The peer sent another version than 2: this is not RTP.
    #[error("the packet says RTP version {0}")]
    Version(u8),
    /// The peer set the padding bit with a count of zero or of more than the payload.
    #[error("the padding is not inside the payload")]
    Padding,
    /// The peer sent a payload that ends inside its descriptor.
    #[error("the payload ends inside its descriptor")]
    Descriptor,
    /// The peer sent more redundant blocks than anyone needs (RFC 2198).
    #[error("the payload has too many redundant blocks")]
    Blocks,
}

/// Why bytes are not RTCP (RFC 3550 §6, RFC 4585).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum RtcpError {
    /// The peer sent fewer bytes than a header or a count announces.
    #[error("the packet ends early")]
    Truncated,
    /// The peer sent another version than 2: this is not RTCP.
    #[error("the packet says RTCP version {0}")]
    Version(u8),
    /// The peer set the padding bit with a count of zero or of more than the packet.
    #[error("the padding is not inside the packet")]
    Padding,
    /// The peer listed more entries than we take.
    #[error("the packet lists too many entries")]
    Entries,
    /// The peer used the reserved symbol in a transport feedback.
    #[error("the transport feedback has a reserved symbol")]
    Symbol,
    /// The peer sent a bitrate that no 64 bits can hold.
    #[error("the bitrate is too large")]
    Bitrate,
}
