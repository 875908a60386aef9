//! What is agreed on with everyone at the desk.

use super::{OPUS, Rig, VP8, VP8_RTX, mid};
use crate::ids::{PeerId, Ssrc};
use crate::rtp::ext::{ExtensionKind, ExtensionMap};
use crate::session::{
    Codec, CongestionFeedback, DtlsRole, MediaKind, NegotiatedSession, PayloadType, ReceiveMedia, RemoteEncoding,
    RemoteTransport, SendMedia,
};

pub(super) fn extensions() -> ExtensionMap {
    let mut extensions = ExtensionMap::default();
    let kinds = [
        (ExtensionKind::TransportCc, 3),
        (ExtensionKind::Mid, 4),
        (ExtensionKind::AudioLevel, 5),
        (ExtensionKind::AbsCaptureTime, 6),
        (ExtensionKind::VideoOrientation, 7),
        (ExtensionKind::PlayoutDelay, 8),
        (ExtensionKind::DependencyDescriptor, 9),
    ];
    assert!(kinds.into_iter().all(|(kind, id)| extensions.set(kind, id)));
    extensions
}

/// Sends and receives one audio and one video section.
pub(in crate::engine::tests) fn session(ssrc_base: u32) -> NegotiatedSession {
    let opus =
        PayloadType { number: OPUS, codec: Codec::Opus, clock_rate_hz: 48_000, rtx: None, format: String::new() };
    let vp8 = PayloadType {
        number: VP8,
        codec: Codec::Vp8,
        clock_rate_hz: 90_000,
        rtx: Some(VP8_RTX),
        format: String::new(),
    };
    let encoding = |n| RemoteEncoding { ssrc: Some(Ssrc(ssrc_base + n)), ..RemoteEncoding::default() };
    let receive = |name: &str, kind, payload: &PayloadType, ssrcs: &[u32]| ReceiveMedia {
        mid: mid(name),
        kind,
        payload_types: vec![payload.clone()],
        encodings: ssrcs.iter().copied().map(encoding).collect(),
        nack: true,
        pli: kind == MediaKind::Video,
        fir: false,
        remb: kind == MediaKind::Video,
    };
    let send = |name: &str, kind, payload: &PayloadType, n: u32| SendMedia {
        mid: mid(name),
        kind,
        payload_types: vec![payload.clone()],
        ssrc: Ssrc(ssrc_base + 2 * n),
        rtx_ssrc: (kind == MediaKind::Video).then_some(Ssrc(ssrc_base + 2 * n + 1)),
        nack: kind == MediaKind::Video,
    };
    NegotiatedSession {
        remote: RemoteTransport {
            ufrag: "u".into(),
            pwd: "p".into(),
            fingerprints: Vec::new(),
            dtls_role: DtlsRole::Server,
            candidates: Vec::new(),
        },
        extensions: extensions(),
        feedback: CongestionFeedback::TransportCc,
        reduced_size: true,
        receive: vec![receive("a", MediaKind::Audio, &opus, &[1]), receive("v", MediaKind::Video, &vp8, &[2, 3])],
        send: vec![send("a", MediaKind::Audio, &opus, 0), send("v", MediaKind::Video, &vp8, 1)],
        data: None,
    }
}

impl Rig {
    /// The transport-wide numbers that reached `peer` since this was asked last.
    pub(in crate::engine::tests) fn transport_wide_numbers(&mut self, peer: PeerId) -> Vec<u16> {
        self.flush();
        let desk = self.desks.get_mut(&peer).expect("a peer");
        std::mem::take(&mut desk.arrived).into_keys().collect()
    }
}
