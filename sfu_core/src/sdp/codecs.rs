//! Which offered payload types (RFC 3551 §6, and each codec's payload format) the engine can forward, in which order, and
//! what an answer or an offer of ours says about them.

use super::description::{Feedback, Payload};
use super::plan::{MediaPolicy, OpusPolicy};
use crate::session::{Codec, CongestionFeedback, MAX_PAYLOAD_TYPES, MediaKind, PayloadType};
use crate::units::Bitrate;

/// What we offer for video: number, name, format parameters; retransmissions have the next number. The numbers are
/// Chromium's, which every other implementation has met.
const OFFERED_VIDEO: [(u8, Codec, &str); 8] = [
    (96, Codec::Vp8, ""),
    (98, Codec::Vp9, "profile-id=0"),
    (102, Codec::H264, "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"),
    (104, Codec::H264, "level-asymmetry-allowed=1;packetization-mode=0;profile-level-id=42e01f"),
    (106, Codec::H264, "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42001f"),
    (108, Codec::H264, "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=4d001f"),
    (112, Codec::H264, "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=640c1f"),
    (45, Codec::Av1, "level-idx=5;profile=0;tier=0"),
];
/// What we offer for Opus and for redundancy around it.
const OFFERED_OPUS: (u8, &str) = (111, "minptime=10;useinbandfec=1");
const OFFERED_RED: (u8, &str) = (63, "111/111");

/// One payload type that both ends can use.
#[derive(Debug, Clone)]
pub(super) struct Chosen<'a> {
    pub(super) payload: &'a Payload,
    pub(super) rtx: Option<&'a Payload>,
    pub(super) codec: Codec,
    /// As in [`PayloadType::format`].
    pub(super) format: String,
}

impl Chosen<'_> {
    pub(super) fn to_payload_type(&self) -> PayloadType {
        PayloadType {
            number: self.payload.number,
            codec: self.codec,
            clock_rate_hz: self.payload.clock_rate_hz,
            rtx: self.rtx.map(|rtx| rtx.number),
            format: self.format.clone(),
        }
    }
}

/// The payload types that the policy allows, most wanted first; equals stay in the order of the m= line.
pub(super) fn choose<'a>(payloads: &'a [Payload], kind: MediaKind, policy: &MediaPolicy) -> Vec<Chosen<'a>> {
    let wanted = match kind {
        MediaKind::Audio => &policy.audio,
        MediaKind::Video => &policy.video,
    };
    let mut chosen: Vec<Chosen<'a>> = Vec::new();
    for &codec in wanted.iter().filter(|codec| codec.kind() == kind) {
        if chosen.iter().any(|other| other.codec == codec) {
            continue;
        }
        for payload in payloads {
            let Some(format) = format_as(payload, codec, payloads) else { continue };
            let rtx = (kind == MediaKind::Video).then(|| retransmission_of(payload.number, payloads)).flatten();
            chosen.push(Chosen { payload, rtx, codec, format });
        }
    }
    // Redundancy is of no use without what it is around.
    if !chosen.iter().any(|one| one.codec == Codec::Opus) {
        chosen.retain(|one| one.codec != Codec::Red);
    }
    chosen.truncate(MAX_PAYLOAD_TYPES);
    chosen
}

/// The canonical format of `payload`, when it is `codec` in a form we can forward.
fn format_as(payload: &Payload, codec: Codec, all: &[Payload]) -> Option<String> {
    let is = |name: &str, clock_rate_hz: u32, channels: Option<u8>| {
        payload.name.eq_ignore_ascii_case(name)
            && payload.clock_rate_hz == clock_rate_hz
            && (channels.is_none() || payload.channels == channels)
    };
    let plain = |matches: bool| matches.then(String::new);
    match codec {
        Codec::Opus => plain(is("opus", 48_000, Some(2))),
        Codec::Red => plain(is("red", 48_000, Some(2)) && is_around_opus(payload, all)),
        Codec::Vp8 => plain(is("VP8", 90_000, None)),
        Codec::Vp9 => profile(payload, "profile-id").filter(|_| is("VP9", 90_000, None)),
        Codec::Av1 => profile(payload, "profile").filter(|_| is("AV1", 90_000, None)),
        Codec::H264 => h264_format(payload).filter(|_| is("H264", 90_000, None)),
    }
}

/// RFC 2198 §5: `a=fmtp:63 111/111` lists the payload types inside.
fn is_around_opus(red: &Payload, all: &[Payload]) -> bool {
    let is_opus = |number: &str| {
        let number = number.trim().parse().ok();
        all.iter().any(|other| Some(other.number) == number && other.name.eq_ignore_ascii_case("opus"))
    };
    !red.fmtp.is_empty() && red.fmtp.split('/').all(is_opus)
}

/// One digit; absent means profile 0 for VP9 (RFC 9628 §6) and AV1.
fn profile(payload: &Payload, name: &str) -> Option<String> {
    let profile: u8 = payload.parameter(name).unwrap_or("0").parse().ok()?;
    (profile < 4).then(|| profile.to_string())
}

/// Packetization mode and profile (RFC 6184 §8.1), the profile as `profile_idc` and profile-iop of its purest form.
fn h264_format(payload: &Payload) -> Option<String> {
    let mode = payload.parameter("packetization-mode").unwrap_or("0");
    // Absent means Baseline by the RFC; every implementation without the parameter means what browsers call 42e01f.
    let level = payload.parameter("profile-level-id").unwrap_or("42e01f");
    let level = u32::from_str_radix(level, 16).ok().filter(|_| level.len() == 6)?;
    let profile = h264_profile((level >> 16) as u8, (level >> 8) as u8)?;
    matches!(mode, "0" | "1").then(|| format!("{mode};{profile}"))
}

/// RFC 6184 table 5: several bit patterns mean one profile.
const fn h264_profile(profile_idc: u8, profile_iop: u8) -> Option<&'static str> {
    match profile_idc {
        0x42 if profile_iop & 0x4f == 0x40 => Some("42e0"),
        0x4d if profile_iop & 0x8f == 0x80 => Some("42e0"),
        0x58 if profile_iop & 0xcf == 0xc0 => Some("42e0"),
        0x42 if profile_iop & 0x4f == 0x00 => Some("4200"),
        0x58 if profile_iop & 0xcf == 0x80 => Some("4200"),
        0x4d if profile_iop & 0xaf == 0x00 => Some("4d00"),
        0x64 if profile_iop == 0x00 => Some("6400"),
        0x64 if profile_iop == 0x0c => Some("640c"),
        _ => None,
    }
}

/// RFC 4588 §8.1.
fn retransmission_of(number: u8, all: &[Payload]) -> Option<&Payload> {
    all.iter().find(|payload| {
        payload.name.eq_ignore_ascii_case("rtx")
            && payload.parameter("apt").and_then(|apt| apt.parse().ok()) == Some(number)
    })
}

/// Which congestion feedback the chosen payload types of one section allow: the better of what is offered.
pub(super) fn congestion_feedback(chosen: &[Chosen<'_>], has_transport_cc: bool) -> CongestionFeedback {
    let offers = |feedback| chosen.iter().any(|one| one.payload.feedback.contains(&feedback));
    if has_transport_cc && offers(Feedback::TransportCc) {
        CongestionFeedback::TransportCc
    } else if offers(Feedback::Remb) {
        CongestionFeedback::Remb
    } else {
        CongestionFeedback::None
    }
}

/// The lines of the answer for what was chosen: the offerer's numbers, our order.
pub(super) fn answered(
    chosen: &[Chosen<'_>],
    kind: MediaKind,
    feedback: CongestionFeedback,
    receives_only: bool,
    policy: &MediaPolicy,
) -> Vec<Payload> {
    let mut payloads = Vec::with_capacity(chosen.len() * 2);
    for one in chosen {
        let mut payload = one.payload.clone();
        payload.feedback.retain(|offered| keeps(*offered, kind, feedback, receives_only));
        payload.fmtp = answered_fmtp(one, policy);
        payloads.push(payload);
        payloads.extend(one.rtx.map(|rtx| retransmission(rtx.number, one.payload.number)));
    }
    payloads
}

/// Nobody is to send us two kinds of congestion feedback. Where the remote receives nothing, REMB stays beside the transport-wide
/// kind: with it we ask for less (`bwe/ceiling.rs`).
pub(super) const fn keeps(
    offered: Feedback,
    kind: MediaKind,
    feedback: CongestionFeedback,
    receives_only: bool,
) -> bool {
    match offered {
        Feedback::TransportCc => matches!(feedback, CongestionFeedback::TransportCc),
        Feedback::Remb => receives_only || matches!(feedback, CongestionFeedback::Remb),
        Feedback::Nack => true,
        Feedback::Pli | Feedback::Fir => matches!(kind, MediaKind::Video),
    }
}

fn retransmission(number: u8, of: u8) -> Payload {
    Payload {
        number,
        name: "rtx".to_owned(),
        clock_rate_hz: 90_000,
        channels: None,
        fmtp: format!("apt={of}"),
        feedback: Vec::new(),
    }
}

/// Only parameters that describe what is sent or wanted by both; limits of one decoder (`max-fs`) say nothing of us.
fn answered_fmtp(one: &Chosen<'_>, policy: &MediaPolicy) -> String {
    match one.codec {
        Codec::Opus => opus_fmtp(one.payload, policy.opus),
        Codec::Red => one.payload.fmtp.clone(),
        Codec::Vp8 => with_start_bitrate(one.payload, &[], policy.start_bitrate),
        Codec::Vp9 => with_start_bitrate(one.payload, &["profile-id"], policy.start_bitrate),
        Codec::Av1 => with_start_bitrate(one.payload, &["level-idx", "profile", "tier"], policy.start_bitrate),
        Codec::H264 => {
            let names = ["level-asymmetry-allowed", "packetization-mode", "profile-level-id"];
            with_start_bitrate(one.payload, &names, policy.start_bitrate)
        }
    }
}

fn kept(payload: &Payload, names: &[&str]) -> Vec<String> {
    names.iter().filter_map(|name| payload.parameter(name).map(|value| format!("{name}={value}"))).collect()
}

/// libwebrtc begins low and climbs for seconds unless the answer names a rate, in kbit/s.
fn with_start_bitrate(payload: &Payload, names: &[&str], start_bitrate: Option<Bitrate>) -> String {
    let mut parameters = kept(payload, names);
    parameters.extend(start_bitrate.map(|rate| format!("x-google-start-bitrate={}", rate.as_bps() / 1_000)));
    parameters.join(";")
}

/// RFC 7587 §6.1: as offered, unless the policy decides.
fn opus_fmtp(payload: &Payload, policy: OpusPolicy) -> String {
    let names = ["minptime", "maxplaybackrate", "maxaveragebitrate", "stereo", "useinbandfec", "usedtx", "cbr"];
    let decided = [("stereo", policy.stereo), ("usedtx", policy.dtx), ("cbr", policy.constant_bitrate)];
    let parameters: Vec<String> = names
        .iter()
        .filter_map(|name| match decided.iter().find(|(decided, _)| decided == name) {
            Some((_, Some(on))) => Some(format!("{name}={}", u8::from(*on))),
            _ => payload.parameter(name).map(|value| format!("{name}={value}")),
        })
        .collect();
    parameters.join(";")
}

/// What we offer of one kind, most wanted first.
pub(super) fn offered(kind: MediaKind, policy: &MediaPolicy) -> Vec<Payload> {
    let mut payloads: Vec<Payload> = Vec::new();
    let wanted = match kind {
        MediaKind::Audio => &policy.audio,
        MediaKind::Video => &policy.video,
    };
    for codec in wanted.iter().filter(|codec| codec.kind() == kind) {
        let fresh = match codec {
            Codec::Opus => vec![offered_opus(policy.opus)],
            Codec::Red => vec![offered_audio(OFFERED_RED.0, "red", OFFERED_RED.1.to_owned())],
            _ => OFFERED_VIDEO.iter().filter(|(_, other, _)| other == codec).flat_map(offered_video).collect(),
        };
        if fresh.iter().all(|payload| payloads.iter().all(|other| other.number != payload.number)) {
            payloads.extend(fresh);
        }
    }
    payloads
}

fn offered_opus(policy: OpusPolicy) -> Payload {
    let plain = offered_audio(OFFERED_OPUS.0, "opus", OFFERED_OPUS.1.to_owned());
    Payload { fmtp: opus_fmtp(&plain, policy), feedback: vec![Feedback::TransportCc, Feedback::Nack], ..plain }
}

fn offered_audio(number: u8, name: &str, fmtp: String) -> Payload {
    let name = name.to_owned();
    Payload { number, name, clock_rate_hz: 48_000, channels: Some(2), fmtp, feedback: vec![Feedback::TransportCc] }
}

fn offered_video(&(number, codec, fmtp): &(u8, Codec, &str)) -> [Payload; 2] {
    let name = match codec {
        Codec::Vp9 => "VP9",
        Codec::H264 => "H264",
        Codec::Av1 => "AV1",
        _ => "VP8",
    };
    let media = Payload {
        number,
        name: name.to_owned(),
        clock_rate_hz: 90_000,
        channels: None,
        fmtp: fmtp.to_owned(),
        feedback: vec![Feedback::Remb, Feedback::TransportCc, Feedback::Fir, Feedback::Nack, Feedback::Pli],
    };
    [media, retransmission(number + 1, number)]
}
