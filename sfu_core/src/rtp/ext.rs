//! RTP header extensions (RFC 8285): their numbers in a session, reading them, writing them.

use serde::{Deserialize, Serialize};

/// A header extension that forwarding reads, writes or passes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum ExtensionKind {
    /// `urn:ietf:params:rtp-hdrext:sdes:mid` (RFC 9143).
    Mid,
    /// `urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id` (RFC 8852).
    Rid,
    /// `urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id` (RFC 8852).
    RepairedRid,
    /// `urn:ietf:params:rtp-hdrext:ssrc-audio-level` (RFC 6464).
    AudioLevel,
    /// Transport-wide sequence number (draft-holmer-rmcat-transport-wide-cc-extensions-01).
    TransportCc,
    /// Absolute send time, 24 bits of 6.18 fixed point seconds (libwebrtc's description).
    AbsSendTime,
    /// Absolute capture time (libwebrtc's description).
    AbsCaptureTime,
    /// `urn:3gpp:video-orientation`.
    VideoOrientation,
    /// Playout delay limits (libwebrtc's description).
    PlayoutDelay,
    /// AV1 dependency descriptor; other codecs use it too.
    DependencyDescriptor,
}

/// How many kinds there are.
pub const EXTENSION_KINDS: usize = 10;

impl ExtensionKind {
    /// All kinds, in the order of their discriminants.
    pub const ALL: [Self; EXTENSION_KINDS] = [
        Self::Mid,
        Self::Rid,
        Self::RepairedRid,
        Self::AudioLevel,
        Self::TransportCc,
        Self::AbsSendTime,
        Self::AbsCaptureTime,
        Self::VideoOrientation,
        Self::PlayoutDelay,
        Self::DependencyDescriptor,
    ];

    /// The name that SDP uses.
    pub const fn uri(self) -> &'static str {
        match self {
            Self::Mid => "urn:ietf:params:rtp-hdrext:sdes:mid",
            Self::Rid => "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
            Self::RepairedRid => "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",
            Self::AudioLevel => "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
            Self::TransportCc => "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
            Self::AbsSendTime => "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
            Self::AbsCaptureTime => "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time",
            Self::VideoOrientation => "urn:3gpp:video-orientation",
            Self::PlayoutDelay => "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay",
            Self::DependencyDescriptor => {
                "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"
            }
        }
    }

    /// The kind that SDP calls `uri`.
    pub fn from_uri(uri: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.uri() == uri)
    }
}

/// Which number stands for which extension in one session. Numbers are 1 to 14 (one-byte form) or up to 255 (two-byte).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ExtensionMap {
    /// By kind; 0 is "not negotiated".
    ids: [u8; EXTENSION_KINDS],
}

impl ExtensionMap {
    /// Lets `id` stand for `kind`. Returns false, and changes nothing, when the number is 0, 15 or taken.
    pub fn set(&mut self, kind: ExtensionKind, id: u8) -> bool {
        let taken = self.kind(id).is_some_and(|other| other != kind);
        if id == 0 || id == 15 || taken {
            return false;
        }
        self.ids[kind as usize] = id;
        true
    }

    /// The number of `kind`, when negotiated.
    #[inline]
    pub fn id(&self, kind: ExtensionKind) -> Option<u8> {
        match self.ids[kind as usize] {
            0 => None,
            id => Some(id),
        }
    }

    /// What `id` stands for.
    #[inline]
    pub fn kind(&self, id: u8) -> Option<ExtensionKind> {
        if id == 0 {
            return None;
        }
        ExtensionKind::ALL.into_iter().find(|&kind| self.ids[kind as usize] == id)
    }
}

/// Profile word of the one-byte form (RFC 8285 §4.2).
const ONE_BYTE: u16 = 0xbede;
/// Profile word of the two-byte form; its low four bits are for applications (RFC 8285 §4.3).
const TWO_BYTE: u16 = 0x1000;

/// The header extensions of one packet, unread.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ExtensionBlock<'a> {
    form: Form,
    body: &'a [u8],
}

/// How elements are laid out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Form {
    OneByte,
    TwoByte,
    /// Not RFC 8285: there is nothing in it for us.
    #[default]
    Other,
}

impl<'a> ExtensionBlock<'a> {
    /// The block with that profile word and those bytes behind the length.
    #[inline]
    pub fn new(profile: u16, body: &'a [u8]) -> Self {
        let form = match profile {
            ONE_BYTE => Form::OneByte,
            _ if profile & 0xfff0 == TWO_BYTE => Form::TwoByte,
            _ => Form::Other,
        };
        Self { form, body }
    }

    /// Number and value of each element, in order. Ends early where the block contradicts itself.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = (u8, &'a [u8])> + use<'a> {
        let Self { form, mut body } = *self;
        std::iter::from_fn(move || next_element(form, &mut body))
    }

    /// The elements that were negotiated. A malformed value counts as absent; of several, the last counts.
    #[inline]
    pub fn read(&self, map: &ExtensionMap) -> Extensions<'a> {
        let mut extensions = Extensions::default();
        for (id, value) in self.iter() {
            if let Some(kind) = map.kind(id) {
                extensions.take(kind, value);
            }
        }
        extensions
    }
}

/// Cuts the next element off `body`.
#[inline]
fn next_element<'a>(form: Form, body: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    loop {
        let (&first, rest) = body.split_first()?;
        // Zero is one byte of padding in both forms.
        if first == 0 {
            *body = rest;
            continue;
        }
        let (id, len, rest) = match form {
            Form::OneByte => (first >> 4, usize::from(first & 0x0f) + 1, rest),
            Form::TwoByte => {
                let (&len, rest) = rest.split_first()?;
                (first, usize::from(len), rest)
            }
            Form::Other => return None,
        };
        // In the one-byte form 15 is reserved and 0 with a length is forbidden: both end the block (RFC 8285 §4.2).
        if form == Form::OneByte && (id == 15 || id == 0) {
            *body = &[];
            return None;
        }
        let Some((value, rest)) = rest.split_at_checked(len) else {
            *body = &[];
            return None;
        };
        *body = rest;
        return Some((id, value));
    }
}

/// How loud a packet of audio is (RFC 6464).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AudioLevel {
    /// Whether the sender thinks that it is speech.
    pub voice: bool,
    /// In -dBov: 0 is loudest, 127 silence.
    pub level: u8,
}

impl AudioLevel {
    /// The one byte of the extension.
    #[inline]
    pub fn to_byte(self) -> u8 {
        u8::from(self.voice) << 7 | self.level & 0x7f
    }

    /// Reads the one byte of the extension.
    #[inline]
    pub fn from_byte(byte: u8) -> Self {
        Self { voice: byte & 0x80 != 0, level: byte & 0x7f }
    }
}

/// What the header extensions of one packet say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Extensions<'a> {
    /// Name of the media section.
    pub mid: Option<&'a [u8]>,
    /// Name of the encoding.
    pub rid: Option<&'a [u8]>,
    /// Name of the encoding that this packet repairs.
    pub repaired_rid: Option<&'a [u8]>,
    /// How loud.
    pub audio_level: Option<AudioLevel>,
    /// Transport-wide sequence number.
    pub transport_cc: Option<u16>,
    /// 24 bits of 6.18 fixed point seconds.
    pub abs_send_time: Option<u32>,
    /// 8 or 16 bytes, passed on.
    pub abs_capture_time: Option<&'a [u8]>,
    /// Camera, flip and rotation bits.
    pub video_orientation: Option<u8>,
    /// 3 bytes, passed on.
    pub playout_delay: Option<&'a [u8]>,
    /// Passed on.
    pub dependency_descriptor: Option<&'a [u8]>,
}

impl<'a> Extensions<'a> {
    /// Reads one value.
    #[inline]
    fn take(&mut self, kind: ExtensionKind, value: &'a [u8]) {
        // The two-byte form may carry empty values; none of these extensions has one.
        let Some(&first) = value.first() else { return };
        match kind {
            ExtensionKind::Mid => self.mid = Some(value),
            ExtensionKind::Rid => self.rid = Some(value),
            ExtensionKind::RepairedRid => self.repaired_rid = Some(value),
            ExtensionKind::AudioLevel => self.audio_level = Some(AudioLevel::from_byte(first)),
            ExtensionKind::TransportCc => self.transport_cc = value.first_chunk().map(|&seq| u16::from_be_bytes(seq)),
            ExtensionKind::AbsSendTime => {
                self.abs_send_time = value.first_chunk().map(|&[a, b, c]| u32::from_be_bytes([0, a, b, c]));
            }
            ExtensionKind::AbsCaptureTime => self.abs_capture_time = matches!(value.len(), 8 | 16).then_some(value),
            ExtensionKind::VideoOrientation => self.video_orientation = Some(first),
            ExtensionKind::PlayoutDelay => self.playout_delay = (value.len() == 3).then_some(value),
            ExtensionKind::DependencyDescriptor => self.dependency_descriptor = Some(value),
        }
    }
}

/// Writes one extension block: profile word, length, elements, padding to four bytes.
#[derive(Debug)]
pub struct ExtensionWriter<'a> {
    out: &'a mut [u8],
    two_byte: bool,
    len: usize,
}

impl<'a> ExtensionWriter<'a> {
    /// Bytes of profile word and length.
    const HEAD: usize = 4;

    /// A block at the start of `out`, in the two-byte form if asked.
    #[inline]
    pub fn new(out: &'a mut [u8], two_byte: bool) -> Self {
        // Whole words, so that there is always room for the padding, and no more of them than the length can say.
        let room = (out.len() & !3).min(Self::HEAD + 4 * 0xffff);
        Self { out: &mut out[..room], two_byte, len: Self::HEAD }
    }

    /// Appends an element and says where in `out` its value begins. `None`, and nothing is written, when it does not fit
    /// into `out` or cannot be said in this form.
    #[inline]
    pub fn push(&mut self, id: u8, value: &[u8]) -> Option<usize> {
        self.begin(id, value.len())?.copy_from_slice(value);
        Some(self.len - value.len())
    }

    /// The same for a value whose length is known when we are compiled: nearly all are two or three bytes, and each packet
    /// of each subscriber gets its own.
    #[inline]
    pub fn push_array<const LEN: usize>(&mut self, id: u8, value: [u8; LEN]) {
        if let Some(space) = self.begin(id, LEN) {
            space.copy_from_slice(&value);
        }
    }

    /// Writes the head of an element and returns where its value belongs.
    #[inline]
    fn begin(&mut self, id: u8, len: usize) -> Option<&mut [u8]> {
        let free = self.out.get_mut(self.len..)?;
        if self.two_byte {
            let (element, sayable) = (free.get_mut(..2 + len)?, id != 0 && len <= 255);
            let ([number, length], value) = element.split_first_chunk_mut()?;
            if !sayable {
                return None;
            }
            (*number, *length) = (id, len as u8);
            self.len += 2 + len;
            Some(value)
        } else {
            let (element, sayable) = (free.get_mut(..1 + len)?, (1..=14).contains(&id) && (1..=16).contains(&len));
            let (number_and_length, value) = element.split_first_mut()?;
            if !sayable {
                return None;
            }
            *number_and_length = id << 4 | (len - 1) as u8;
            self.len += 1 + len;
            Some(value)
        }
    }

    /// Completes the block and returns its length; 0 when nothing was pushed: then there is no block.
    #[inline]
    pub fn finish(self) -> usize {
        if self.len == Self::HEAD {
            return 0;
        }
        let end = self.len.next_multiple_of(4);
        self.out[self.len..end].fill(0);
        let profile = if self.two_byte { TWO_BYTE } else { ONE_BYTE };
        let words = ((end - Self::HEAD) / 4) as u16;
        self.out[..2].copy_from_slice(&profile.to_be_bytes());
        self.out[2..4].copy_from_slice(&words.to_be_bytes());
        end
    }
}

#[cfg(test)]
mod tests;
