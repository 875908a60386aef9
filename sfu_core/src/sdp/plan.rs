//! What signalling wants of a negotiation (JSEP, RFC 8829): the arguments of [`super::answer`] and [`super::offer`].

use serde::{Deserialize, Serialize};

use super::attribute::ice_characters;
use super::error::SdpError;
use crate::ids::{Mid, ParticipantId};
use crate::session::{Codec, LocalTransport, MAX_MEDIA, MediaKind, NegotiatedSession};
use crate::units::Bitrate;

/// Longest msid part (RFC 8830 §2).
const MAX_MSID_LEN: usize = 64;

/// What may be agreed on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MediaPolicy {
    /// Sound codecs, most wanted first. Redundancy counts when it is listed; it is preferred when it is listed first.
    pub audio: Vec<Codec>,
    /// Picture codecs, most wanted first.
    pub video: Vec<Codec>,
    /// The rate at which the remote's encoder should begin, in place of its own slow climb.
    pub start_bitrate: Option<Bitrate>,
    /// Whether the remote may send.
    pub receive: bool,
    /// Whether there may be data channels.
    pub data: bool,
    /// Whether a section is refused in which nothing is offered either way: then the remote can give its place to another
    /// (RFC 8829 §5.2.2), and descriptions do not grow with all that was ever sent.
    pub stop_inactive: bool,
    /// How Opus is to be sent.
    pub opus: OpusPolicy,
}

impl Default for MediaPolicy {
    /// Opus with redundancy on demand, VP8 before H.264, VP9 and AV1.
    fn default() -> Self {
        Self {
            audio: vec![Codec::Opus, Codec::Red],
            video: vec![Codec::Vp8, Codec::H264, Codec::Vp9, Codec::Av1],
            start_bitrate: None,
            receive: true,
            data: true,
            stop_inactive: false,
            opus: OpusPolicy::default(),
        }
    }
}

/// Format parameters of Opus (RFC 7587 §6.1); `None` leaves them as the remote offered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OpusPolicy {
    /// Two channels.
    pub stereo: Option<bool>,
    /// No packets in silence.
    pub dtx: Option<bool>,
    /// The same size for every packet, which hides what is said from who counts bytes.
    pub constant_bitrate: Option<bool>,
}

/// One track for the remote to receive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SendPlan {
    /// Sound or pictures.
    pub kind: MediaKind,
    /// Who sends it: its canonical name, by which receivers play tracks in step.
    pub publisher: ParticipantId,
    /// The first part of the msid: tracks of one stream are played in step. 1 to 64 visible ASCII characters.
    pub stream: String,
    /// The second part of the msid. 1 to 64 visible ASCII characters.
    pub track: String,
    /// The section to use, for a track that has its place already; else the first free one of its kind.
    #[serde(default)]
    pub mid: Option<Mid>,
}

/// How to answer an offer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswerPlan {
    /// Our half of the transport.
    pub local: LocalTransport,
    /// What may be agreed on.
    pub policy: MediaPolicy,
    /// What to send, for the offer's receiving sections: the n-th of a kind goes to the n-th section of that kind.
    #[serde(default)]
    pub send: Vec<SendPlan>,
    /// Whether a data section is wanted, if the policy allows it.
    #[serde(default)]
    pub data: bool,
    /// What was agreed with the same peer before, when this is a later offer.
    #[serde(default)]
    pub previous: Option<Box<NegotiatedSession>>,
}

/// One section of an offer of ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum OfferSection {
    /// Sound or pictures.
    Media {
        /// Which.
        kind: MediaKind,
        /// What to send there. Nothing leaves the section idle, for later.
        #[serde(default)]
        send: Option<SendPlan>,
        /// Whether the remote is asked to send, if the policy allows it.
        #[serde(default)]
        receive: bool,
        /// How many tracks it has carried before this one. Each comes under SSRCs of its own: libwebrtc shows nothing of
        /// a track that begins under those of the one before.
        #[serde(default)]
        generation: u32,
    },
    /// Data channels.
    Data,
}

/// What to offer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfferPlan {
    /// Our half of the transport.
    pub local: LocalTransport,
    /// What may be agreed on.
    pub policy: MediaPolicy,
    /// The sections; the n-th has the mid `n`, from 0. A later offer keeps those there are, in their order, and adds at
    /// the end: the n-th media section sends under `ssrc_base + 2n`, and `SSRC_GENERATION` more with each generation.
    pub sections: Vec<OfferSection>,
    /// Counts the offers to one peer.
    #[serde(default)]
    pub version: u64,
}

impl AnswerPlan {
    pub(super) fn check(&self) -> Result<(), SdpError> {
        check_local(&self.local)?;
        check_send(self.send.iter())
    }
}

impl OfferPlan {
    pub(super) fn check(&self) -> Result<(), SdpError> {
        check_local(&self.local)?;
        if self.sections.is_empty() || self.sections.len() > MAX_MEDIA {
            return Err(SdpError::Plan("an offer has 1 to 64 sections"));
        }
        let data = self.sections.iter().filter(|section| matches!(section, OfferSection::Data)).count();
        if data > 1 || (data == 1 && !self.policy.data) {
            return Err(SdpError::Plan("an offer has at most one data section, and none when the policy forbids it"));
        }
        for section in &self.sections {
            if let OfferSection::Media { kind, send: Some(send), .. } = section {
                check_send(std::iter::once(send))?;
                if send.kind != *kind {
                    return Err(SdpError::Plan("a section sends a track of its own kind"));
                }
            }
        }
        Ok(())
    }
}

fn check_send<'a>(mut plans: impl Iterator<Item = &'a SendPlan>) -> Result<(), SdpError> {
    let fits =
        |part: &str| (1..=MAX_MSID_LEN).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_graphic());
    if plans.all(|plan| fits(&plan.stream) && fits(&plan.track)) {
        return Ok(());
    }
    Err(SdpError::Plan("stream and track ids are 1 to 64 visible ASCII characters"))
}

fn check_local(local: &LocalTransport) -> Result<(), SdpError> {
    if ice_characters(&local.ufrag, 4).is_none() || ice_characters(&local.pwd, 22).is_none() {
        return Err(SdpError::Plan("the local ICE credentials are too short or hold other than visible characters"));
    }
    if local.fingerprint.algorithm != "sha-256" || local.fingerprint.value.len() != 32 {
        return Err(SdpError::Plan("the local fingerprint is not of the kind sha-256"));
    }
    Ok(())
}
