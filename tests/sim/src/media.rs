//! Synthetic microphones and cameras. Their payloads are valid where forwarding reads them, and stamped everywhere else.

mod audio;
mod h264;
mod stamp;
#[cfg(test)]
mod tests;
mod video;
mod vp8;

pub use audio::{Loudness, Microphone};
pub use stamp::{STAMP_LEN, Stamp};
pub use video::{Camera, MAX_PAYLOAD, VideoCodec, VideoConfig};

/// One packet as a microphone or camera makes it: everything but SSRC, sequence number and payload type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaPacket {
    /// The RTP payload, stamped.
    pub payload: Vec<u8>,
    /// The RTP marker.
    pub marker: bool,
    /// The RTP timestamp.
    pub timestamp: u32,
    /// How loud it is, for sound.
    pub loudness: Option<Loudness>,
    /// What the payload's end says.
    pub stamp: Stamp,
}
