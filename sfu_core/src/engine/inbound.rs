//! What one peer sends to us: which SSRC is which encoding of which track, and what we owe it in feedback.
//!
//! Only packets that passed SRTP authentication reach this file, so what is learned here was said by the peer itself; and it
//! can only speak of its own media sections.

use std::time::Instant;

use arrayvec::ArrayVec;

use crate::bwe::arrival::ArrivalLog;
use crate::ids::{Mid, Ssrc, TrackId};
use crate::prefetch::prefetch;
use crate::rtcp::twcc::FeedbackBuilder;
use crate::rtp::ext::{ExtensionMap, Extensions};
use crate::session::{CongestionFeedback, NegotiatedSession, ReceiveMedia};

/// SSRCs one peer may have in use: 12 tracks of 4 encodings would be 96 with their retransmissions; nobody has them all.
pub const MAX_SOURCES: usize = 64;
/// Tracks one peer may publish (`reliability.md` A2: 12).
pub const MAX_TRACKS_PER_PEER: usize = 12;

/// What an SSRC stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) ssrc: Ssrc,
    pub(crate) track: TrackId,
    pub(crate) encoding: u8,
    /// Whether it carries the retransmissions of that encoding (RFC 4588).
    pub(crate) rtx: bool,
}

/// How the SSRC of a packet was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resolved {
    /// It was known.
    Known(Source),
    /// It was learned from this packet; an earlier SSRC of the same encoding, if any, is forgotten.
    Learned(Source),
}

#[derive(Debug)]
pub(crate) struct Inbound {
    pub(crate) extensions: ExtensionMap,
    pub(crate) congestion: CongestionFeedback,
    /// Whether it takes feedback without a report before it.
    pub(crate) reduced_size: bool,
    pub(crate) media: Vec<ReceiveMedia>,
    /// Published media sections.
    pub(crate) tracks: ArrayVec<(Mid, TrackId), MAX_TRACKS_PER_PEER>,
    sources: ArrayVec<Source, MAX_SOURCES>,
    /// Where the last lookup ended: packets come in runs of one SSRC.
    last_hit: usize,
    pub(crate) arrivals: ArrivalLog,
    /// When feedback, requests or reports come due.
    pub(crate) report_at: Option<Instant>,
    /// When reception reports come due.
    pub(crate) reception_at: Option<Instant>,
    /// The SSRC of the last packet: transport-wide feedback names one, any of the peer's.
    pub(crate) last_ssrc: Ssrc,
    /// Numbers transport-wide feedback packets.
    pub(crate) feedback: Option<FeedbackBuilder>,
    /// Whether it is to be asked for less at once.
    pub(crate) ceiling_untold: bool,
    /// How often it has yet to be told that it may send as it likes.
    pub(crate) lifts_left: u8,
}

impl Inbound {
    pub(crate) fn new() -> Self {
        Self {
            extensions: ExtensionMap::default(),
            congestion: CongestionFeedback::None,
            reduced_size: false,
            media: Vec::new(),
            tracks: ArrayVec::new(),
            sources: ArrayVec::new(),
            last_hit: 0,
            arrivals: ArrivalLog::default(),
            report_at: None,
            reception_at: None,
            last_ssrc: Ssrc(0),
            feedback: None,
            ceiling_untold: false,
            lifts_left: 0,
        }
    }

    pub(crate) fn apply(&mut self, session: &NegotiatedSession) {
        self.extensions = session.extensions.clone();
        self.congestion = session.feedback;
        self.reduced_size = session.reduced_size;
        self.media.clone_from(&session.receive);
    }

    /// Fetches what a packet of media touches.
    #[inline]
    pub(crate) fn prefetch(&self) {
        prefetch(&self.extensions);
        prefetch(&self.last_hit);
        prefetch(&self.sources[..self.sources.len().min(4)]);
        prefetch(&self.arrivals);
        prefetch(&self.report_at);
        prefetch(&self.last_ssrc);
    }

    pub(crate) fn media(&self, mid: Mid) -> Option<&ReceiveMedia> {
        self.media.iter().find(|media| media.mid == mid)
    }

    pub(crate) fn track_of(&self, mid: Mid) -> Option<TrackId> {
        self.tracks.iter().find(|(known, _)| *known == mid).map(|(_, track)| *track)
    }

    /// Makes `track` the meaning of `mid`, with the SSRCs the description announced.
    pub(crate) fn publish(&mut self, mid: Mid, track: TrackId) -> bool {
        if self.tracks.try_push((mid, track)).is_err() {
            return false;
        }
        let Some(media) = self.media.iter().find(|media| media.mid == mid) else {
            return true;
        };
        let announced: ArrayVec<Source, MAX_SOURCES> = media
            .encodings
            .iter()
            .enumerate()
            .flat_map(|(encoding, remote)| {
                let source = move |ssrc, rtx| Source { ssrc, track, encoding: encoding as u8, rtx };
                [remote.ssrc.map(|ssrc| source(ssrc, false)), remote.rtx_ssrc.map(|ssrc| source(ssrc, true))]
            })
            .flatten()
            .take(MAX_SOURCES)
            .collect();
        for source in announced {
            self.bind(source);
        }
        true
    }

    /// Forgets a track and its SSRCs.
    pub(crate) fn unpublish(&mut self, track: TrackId) {
        self.tracks.retain(|(_, known)| *known != track);
        self.sources.retain(|source| source.track != track);
        self.last_hit = 0;
    }

    /// What the packet's SSRC stands for; learned by MID and RID when it is new (RFC 9143 §9.2).
    #[inline]
    pub(crate) fn resolve(&mut self, ssrc: Ssrc, payload_type: u8, extensions: &Extensions<'_>) -> Option<Resolved> {
        if let Some(source) = self.sources.get(self.last_hit)
            && source.ssrc == ssrc
        {
            return Some(Resolved::Known(*source));
        }
        if let Some(place) = self.sources.iter().position(|source| source.ssrc == ssrc) {
            self.last_hit = place;
            return Some(Resolved::Known(self.sources[place]));
        }
        let source = self.learn(ssrc, payload_type, extensions)?;
        self.bind(source).then_some(Resolved::Learned(source))
    }

    /// What a known SSRC stands for.
    pub(crate) fn source_of(&self, ssrc: Ssrc) -> Option<Source> {
        self.sources.iter().find(|source| source.ssrc == ssrc).copied()
    }

    fn learn(&self, ssrc: Ssrc, payload_type: u8, extensions: &Extensions<'_>) -> Option<Source> {
        let media = match extensions.mid.map(Mid::from_bytes) {
            Some(mid) => self.media(mid?)?,
            None => self.only_media_with(payload_type)?,
        };
        let track = self.track_of(media.mid)?;
        let rtx = media.payload_types.iter().any(|payload| payload.rtx == Some(payload_type));
        let named = if rtx { extensions.repaired_rid.or(extensions.rid) } else { extensions.rid };
        let encoding = match named {
            Some(rid) => media
                .encodings
                .iter()
                .position(|encoding| encoding.rid.is_some_and(|known| known.as_str().as_bytes() == rid))?,
            None if media.encodings.len() <= 1 => 0,
            None => return None,
        };
        Some(Source { ssrc, track, encoding: encoding as u8, rtx })
    }

    /// Without MID the payload type must belong to one published section only.
    fn only_media_with(&self, payload_type: u8) -> Option<&ReceiveMedia> {
        let has = |media: &&ReceiveMedia| {
            media.payload_types.iter().any(|known| known.number == payload_type || known.rtx == Some(payload_type))
        };
        let mut found = self.media.iter().filter(has);
        let first = found.next()?;
        found.next().is_none().then_some(first)
    }

    /// One SSRC per encoding and use: a new one takes the place of the old.
    fn bind(&mut self, source: Source) -> bool {
        let same_use = |known: &Source| {
            known.track == source.track && known.encoding == source.encoding && known.rtx == source.rtx
        };
        if let Some(place) = self.sources.iter().position(same_use) {
            self.sources[place] = source;
            self.last_hit = place;
            return true;
        }
        self.sources.try_push(source).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Rid;
    use crate::session::{Codec, MediaKind, PayloadType, RemoteEncoding};

    const CAMERA: TrackId = TrackId::new(1, 0);

    fn video(mid: &str, rids: &[&str]) -> ReceiveMedia {
        ReceiveMedia {
            mid: Mid::new(mid).expect("a mid"),
            kind: MediaKind::Video,
            payload_types: vec![PayloadType {
                number: 96,
                codec: Codec::Vp8,
                clock_rate_hz: 90_000,
                rtx: Some(97),
                format: String::new(),
            }],
            encodings: rids
                .iter()
                .map(|rid| RemoteEncoding { rid: Rid::new(rid), ..RemoteEncoding::default() })
                .collect(),
            nack: true,
            pli: true,
            fir: false,
            remb: false,
        }
    }

    fn inbound(media: Vec<ReceiveMedia>) -> Inbound {
        let mut inbound = Inbound::new();
        inbound.media = media;
        inbound
    }

    #[test]
    fn a_simulcast_encoding_is_learned_by_mid_and_rid_and_its_retransmissions_by_the_repaired_rid() {
        let mut inbound = inbound(vec![video("0", &["q", "h", "f"])]);
        inbound.publish(Mid::new("0").expect("a mid"), CAMERA);
        let named = Extensions { mid: Some(b"0"), rid: Some(b"h"), ..Extensions::default() };
        let learned = Source { ssrc: Ssrc(7), track: CAMERA, encoding: 1, rtx: false };
        assert_eq!(inbound.resolve(Ssrc(7), 96, &named), Some(Resolved::Learned(learned)));
        assert_eq!(inbound.resolve(Ssrc(7), 96, &Extensions::default()), Some(Resolved::Known(learned)));
        let repaired = Extensions { mid: Some(b"0"), repaired_rid: Some(b"h"), ..Extensions::default() };
        let rtx = Source { ssrc: Ssrc(8), track: CAMERA, encoding: 1, rtx: true };
        assert_eq!(inbound.resolve(Ssrc(8), 97, &repaired), Some(Resolved::Learned(rtx)));
    }

    #[test]
    fn what_is_not_published_or_not_named_is_not_learned() {
        let mut inbound = inbound(vec![video("0", &["q", "h"]), video("1", &[])]);
        assert_eq!(inbound.resolve(Ssrc(7), 96, &Extensions { mid: Some(b"1"), ..Extensions::default() }), None);
        inbound.publish(Mid::new("0").expect("a mid"), CAMERA);
        for extensions in [
            Extensions::default(),
            Extensions { mid: Some(b"0"), ..Extensions::default() },
            Extensions { mid: Some(b"0"), rid: Some(b"x"), ..Extensions::default() },
            Extensions { mid: Some(b"9"), rid: Some(b"q"), ..Extensions::default() },
            Extensions { mid: Some(&[0xff; 40]), rid: Some(b"q"), ..Extensions::default() },
        ] {
            assert_eq!(inbound.resolve(Ssrc(7), 96, &extensions), None);
        }
    }

    #[test]
    fn a_storm_of_new_ssrcs_stays_one_per_encoding() {
        let mut inbound = inbound(vec![video("0", &[])]);
        inbound.publish(Mid::new("0").expect("a mid"), CAMERA);
        for ssrc in 0..10_000 {
            assert!(inbound.resolve(Ssrc(ssrc), 96, &Extensions::default()).is_some());
        }
        assert_eq!(inbound.sources.len(), 1);
    }
}
