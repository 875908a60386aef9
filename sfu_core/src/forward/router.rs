//! Who wants a packet: a track with its encodings and its subscriptions. The engine walks a track's subscriptions in the
//! order in which they were made.

use std::mem::offset_of;
use std::time::{Duration, Instant};

use arrayvec::ArrayVec;

use super::PacketFacts;
use super::keyframe::KeyframeRequester;
use super::outlet::Outlet;
use super::reception::Reception;
use super::recovery::Recovery;
use super::redundancy::{Blocks, Since};
use super::resend::PacketRing;
use super::rewriter::{Rewriter, SwitchClocks};
use super::selector::Selector;
use super::watch::Watch;
use crate::bwe::ceiling::{Ceiling, LOWEST_ALONE, LOWEST_SHARED};
use crate::gate::EdgeRef;
use crate::ids::{Mid, ParticipantId, PeerId, Rid, RoomId, Ssrc, TrackId};
use crate::prefetch::{prefetch, prefetch_bytes, prefetch_start};
use crate::rtp::seq::SequenceUnwrapper;
use crate::session::{
    Codec, LayerLimit, MAX_ENCODINGS, MAX_PAYLOAD_TYPES, MediaKind, PayloadType, ReceiveMedia, TrackSource,
};
use crate::units::{Bitrate, NtpTime};

/// Subscriptions of one track: everyone in the largest room.
pub const MAX_SUBSCRIPTIONS_PER_TRACK: usize = 2_000;

/// How long a track whose subscriptions keep their encoding is looked at before the choice: browsers begin with the lowest
/// encoding and add the others within a second or two.
const CHOICE_DELAY: Duration = Duration::from_secs(2);

/// One simulcast stream of a track, as it comes in.
#[derive(Debug)]
pub struct Encoding {
    /// Its name, when it has one.
    pub rid: Option<Rid>,
    /// Its SSRC, once known from the description or from an authenticated packet.
    pub ssrc: Option<Ssrc>,
    /// Unwraps its sequence numbers.
    pub unwrapper: SequenceUnwrapper,
    /// Its recent packets.
    pub ring: PacketRing,
    /// What arrived of it.
    pub reception: Reception,
    /// What is missing of it.
    pub recovery: Recovery,
    /// Whether a keyframe of it is wanted.
    pub keyframes: KeyframeRequester,
    /// Whether nothing that its sender leaves clear tells where its keyframes are.
    pub keyframes_hidden: bool,
    /// Its last sender report.
    pub clock: Option<SourceClock>,
}

impl Encoding {
    fn new(kind: MediaKind, rid: Option<Rid>) -> Self {
        Self {
            rid,
            ssrc: None,
            unwrapper: SequenceUnwrapper::default(),
            ring: PacketRing::new(kind),
            reception: Reception::default(),
            recovery: Recovery::default(),
            keyframes: KeyframeRequester::default(),
            keyframes_hidden: false,
            clock: None,
        }
    }

    /// The publisher told its clock (RFC 3550 §6.4.1).
    pub fn on_sender_report(&mut self, ntp: NtpTime, timestamp: u32, now: Instant) {
        self.clock = Some(SourceClock { ntp, timestamp, heard_at: now });
    }

    /// What a receiver report quotes of the last sender report: the middle of its NTP time, and the 65 536ths of a second
    /// since; zeros before the first.
    pub fn last_sender_report(&self, now: Instant) -> (u32, u32) {
        self.clock.map_or((0, 0), |clock| {
            let held = now.saturating_duration_since(clock.heard_at).as_micros() * 65_536 / 1_000_000;
            (clock.ntp.middle(), held.min(u128::from(u32::MAX)) as u32)
        })
    }

    /// The publisher's wall clock and RTP timestamp at `now`.
    pub fn clock_at(&self, clock_rate_hz: u32, now: Instant) -> Option<(NtpTime, u32)> {
        let clock = self.clock?;
        let since = now.saturating_duration_since(clock.heard_at);
        let ticks = since.as_micros() * u128::from(clock_rate_hz) / 1_000_000;
        Some((clock.ntp.plus(since), clock.timestamp.wrapping_add(ticks as u32)))
    }

    /// The publisher began anew under another SSRC: nothing known of the old one holds.
    pub fn restart(&mut self, kind: MediaKind, ssrc: Ssrc) {
        *self = Self::new(kind, self.rid);
        self.ssrc = Some(ssrc);
    }

    /// Nothing that came may leave any more, and nothing is missing between that and what comes next.
    pub fn forget(&mut self, kind: MediaKind) {
        self.ring = PacketRing::new(kind);
        self.recovery = Recovery::default();
        self.keyframes = KeyframeRequester::default();
        self.reception.begin_anew();
    }
}

/// What a sender report said, and when it came.
#[derive(Debug, Clone, Copy)]
pub struct SourceClock {
    /// The publisher's wall clock.
    pub ntp: NtpTime,
    /// The encoding's RTP timestamp at that instant.
    pub timestamp: u32,
    /// When we heard.
    pub heard_at: Instant,
}

/// How a payload type of the publisher leaves for one subscriber.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PayloadRoute {
    /// The subscriber takes the codec.
    As {
        /// Its number for it.
        number: u8,
        /// Its number for retransmissions of it.
        rtx: Option<u8>,
    },
    /// The subscriber takes no redundancy (RFC 2198): only the primary block leaves.
    PrimaryOf {
        /// Its number for the primary's codec.
        number: u8,
    },
    /// The subscriber cannot take it.
    Nowhere,
}

/// A track on its way to one subscriber. In the order written: what every packet touches comes first, see `prefetch.rs`.
#[derive(Debug)]
#[repr(C)]
pub struct Subscription {
    /// Who receives.
    pub subscriber: PeerId,
    /// The right to it, while there is one.
    pub edge: Option<EdgeRef>,
    /// In which of its media sections.
    pub send_index: u8,
    /// Whether redundant sound may still repeat what was said before the right to hear it.
    pub is_young: bool,
    /// Which encoding and temporal layer.
    pub selector: Selector,
    /// By the track's payload index.
    pub routes: ArrayVec<PayloadRoute, MAX_PAYLOAD_TYPES>,
    /// Its own continuous numbering.
    pub rewriter: Rewriter,
    /// The most it may get.
    pub limit: LayerLimit,
    /// The encoding last told in an event.
    pub announced: Option<Option<u8>>,
    /// Since when there has been the right to it and nothing kept it back.
    pub since: Since,
    /// What the subscriber was found to be able to take of it, if too little.
    pub share: Option<Bitrate>,
    /// Whether even the least of it was too much for the subscriber's downlink when that was last divided.
    pub too_much: bool,
}

impl Subscription {
    /// Fetches what the next packet touches.
    #[inline]
    pub fn prefetch(&self) {
        prefetch_start(self, offset_of!(Self, rewriter));
        self.rewriter.prefetch();
    }

    /// From here on it goes out, and nothing that was said before: up to that number all had come.
    pub fn begin_anew(&mut self, before: Option<u64>) {
        (self.is_young, self.since) = (true, Since::after(before));
        self.selector.reset();
    }

    /// What may leave of a packet of redundant sound in which the oldest is so much older than itself.
    #[cold]
    pub fn may_hear(&mut self, facts: &PacketFacts, oldest: Option<u32>) -> Option<Blocks> {
        self.since.begin(facts.sequence, facts.timestamp);
        self.is_young = self.since.is_young(facts.sequence);
        self.since.may_hear(facts.sequence, facts.timestamp, oldest)
    }

    /// Whether nothing of the track can go out: the section was made inactive, or takes none of its codecs any more.
    pub fn is_stopped(&self) -> bool {
        self.routes.iter().all(|route| *route == PayloadRoute::Nowhere)
    }
}

/// What one participant publishes under one MID. In the order written: what every packet touches comes first, see
/// `prefetch.rs`.
#[derive(Debug)]
#[repr(C)]
pub struct Track {
    /// Its id.
    pub id: TrackId,
    /// Where.
    pub room: RoomId,
    /// Whether the server keeps it from everyone.
    pub muted: bool,
    /// Whether a packet of it came.
    pub started: bool,
    /// Whether only what the sender leaves clear may be read.
    pub encrypted: bool,
    /// Whether its publisher sends again what is asked for.
    pub nack_enabled: bool,
    /// Sound or pictures.
    pub kind: MediaKind,
    /// What it shows.
    pub source: TrackSource,
    /// What it may be coded with.
    pub payload_types: Vec<PayloadType>,
    /// To whom it goes.
    pub subscriptions: Vec<Subscription>,
    /// To which other engines it goes.
    pub outlets: Vec<Outlet>,
    /// Its simulcast streams, lowest quality first.
    pub encodings: ArrayVec<Encoding, MAX_ENCODINGS>,
    /// Their clocks, to join one encoding to another.
    pub clocks: SwitchClocks,
    /// Who, as a peer.
    pub publisher: PeerId,
    /// Who, as a participant.
    pub participant: ParticipantId,
    /// In which media section.
    pub mid: Mid,
    /// When the first packet came.
    pub started_at: Option<Instant>,
    /// Whether its publisher sends less when asked.
    pub ceiling: Ceiling,
    /// Whether it comes, see `engine/flow.rs`.
    pub watch: Watch,
    /// Whether it was told that it does not.
    pub stalled: bool,
}

impl Track {
    /// Fetches what a packet of that encoding touches, without a look at how many there are: that is one more line.
    #[inline]
    pub fn prefetch(&self, encoding: u8) {
        prefetch(&self.id);
        prefetch(&self.payload_types);
        prefetch(&self.subscriptions);
        prefetch_start(&self.encodings, 1);
        prefetch_bytes(self.encodings.as_ptr().wrapping_add(usize::from(encoding)));
        prefetch(&self.clocks);
    }

    /// Somebody who receives it may ask for packets that are `span` old.
    pub fn keep_for(&mut self, span: Duration) {
        for encoding in &mut self.encodings {
            encoding.ring.keep_for(span);
        }
    }

    /// A track of what `publisher` sends in `media`.
    pub fn new(id: TrackId, room: RoomId, publisher: PeerId, participant: ParticipantId, media: &ReceiveMedia) -> Self {
        let mut encodings = ArrayVec::new();
        for remote in media.encodings.iter().take(MAX_ENCODINGS) {
            encodings.push(Encoding::new(media.kind, remote.rid));
        }
        if encodings.is_empty() {
            encodings.push(Encoding::new(media.kind, None));
        }
        Self {
            id,
            room,
            publisher,
            participant,
            mid: media.mid,
            kind: media.kind,
            payload_types: media.payload_types.clone(),
            ceiling: Ceiling::new(media.remb && encodings.len() == 1),
            encodings,
            subscriptions: Vec::new(),
            outlets: Vec::new(),
            source: if media.kind == MediaKind::Audio { TrackSource::Microphone } else { TrackSource::Camera },
            clocks: SwitchClocks::unknown(media.payload_types.first().map_or(90_000, |payload| payload.clock_rate_hz)),
            encrypted: false,
            muted: false,
            started: false,
            started_at: None,
            nack_enabled: media.nack,
            watch: Watch::default(),
            stalled: false,
        }
    }

    /// What its publisher is to stay below: what the weakest of those who receive it can take.
    pub fn lowest_share(&self) -> Option<Bitrate> {
        let relayed = self.outlets.iter().filter_map(|outlet| outlet.share);
        self.receiving().filter_map(|subscription| subscription.share).chain(relayed).min()
    }

    /// What is worth asking its publisher for.
    pub fn lowest_ceiling(&self) -> Bitrate {
        let relayed = self.outlets.iter().any(|outlet| outlet.edge.is_some());
        if relayed || self.receiving().nth(1).is_some() { LOWEST_SHARED } else { LOWEST_ALONE }
    }

    /// The highest number that came of its first encoding; sound, in which later packets may repeat earlier ones, has no other.
    pub fn highest_sequence(&self) -> Option<u64> {
        self.encodings.first()?.unwrapper.highest()
    }

    /// Nobody limits its publisher any more.
    pub fn forget_shares(&mut self) {
        self.subscriptions.iter_mut().for_each(|subscription| subscription.share = None);
        self.outlets.iter_mut().for_each(|outlet| outlet.share = None);
    }

    fn receiving(&self) -> impl Iterator<Item = &Subscription> {
        self.subscriptions.iter().filter(|subscription| subscription.edge.is_some())
    }

    /// Which payload type a number in a packet stands for, and whether it is its retransmission.
    #[inline]
    pub fn payload_index(&self, number: u8) -> Option<(u8, Codec, bool)> {
        self.payload_types.iter().enumerate().find_map(|(index, payload)| {
            let rtx = payload.rtx == Some(number);
            (rtx || payload.number == number).then_some((index as u8, payload.codec, rtx))
        })
    }

    /// What the publisher sends was negotiated anew; `None`: nothing any more. Says whether that changed anything. What came
    /// before cannot be asked for again then: its payload types had other places.
    pub fn renegotiate(&mut self, media: Option<&ReceiveMedia>) -> bool {
        let payload_types = media.map_or(&[][..], |media| &media.payload_types);
        self.nack_enabled = media.is_some_and(|media| media.nack);
        let heeded = media.is_some_and(|media| media.remb) && self.encodings.len() == 1;
        if heeded != self.ceiling.heeded {
            self.ceiling = Ceiling::new(heeded);
        }
        if !self.ceiling.heeded {
            self.forget_shares();
        }
        let changed = self.payload_types != payload_types;
        if changed {
            self.payload_types = payload_types.to_vec();
            self.subscriptions.iter_mut().for_each(|subscription| subscription.rewriter.forget());
        }
        changed
    }

    /// The subscription of `subscriber`.
    pub fn subscription_mut(&mut self, subscriber: PeerId) -> Option<&mut Subscription> {
        self.subscriptions.iter_mut().find(|subscription| subscription.subscriber == subscriber)
    }

    /// How each of the track's payload types leaves for a subscriber that takes `offered`.
    pub fn routes_to(&self, offered: &[PayloadType]) -> ArrayVec<PayloadRoute, MAX_PAYLOAD_TYPES> {
        let same = |ours: &PayloadType| {
            offered.iter().find(|theirs| theirs.codec == ours.codec && theirs.format == ours.format)
        };
        let opus = offered.iter().find(|theirs| theirs.codec == Codec::Opus);
        let route = |ours: &PayloadType| match (same(ours), ours.codec, opus) {
            (Some(theirs), ..) => PayloadRoute::As { number: theirs.number, rtx: theirs.rtx },
            (None, Codec::Red, Some(opus)) if !self.encrypted => PayloadRoute::PrimaryOf { number: opus.number },
            _ => PayloadRoute::Nowhere,
        };
        self.payload_types.iter().take(MAX_PAYLOAD_TYPES).map(route).collect()
    }

    /// Whether a subscription keeps the encoding it began with: there are several, and where their keyframes are is hidden. A
    /// change without one would show pictures made of two encodings, and nobody could tell.
    pub fn holds_encodings(&self) -> bool {
        let hidden = self.encodings.iter().any(|encoding| encoding.keyframes_hidden);
        self.encrypted && self.kind == MediaKind::Video && self.encodings.len() > 1 && hidden
    }

    /// Whether it is too early to choose what a subscription will keep: not every encoding has shown yet what it takes.
    pub fn awaits_choice(&self, now: Instant) -> bool {
        match self.started_at {
            Some(at) => self.holds_encodings() && now.saturating_duration_since(at) < CHOICE_DELAY,
            None => self.encrypted && self.kind == MediaKind::Video && self.encodings.len() > 1,
        }
    }

    /// Nobody gets this packet, and nobody misses it.
    pub fn withhold(&mut self, facts: &PacketFacts, now: Instant) {
        for subscription in self.subscriptions.iter_mut().filter(|subscription| subscription.edge.is_some()) {
            subscription.rewriter.drop_packet(facts, now);
        }
    }

    /// Stops asking for keyframes of encodings that nobody gets or waits for any more.
    pub fn cancel_unneeded_keyframes(&mut self) {
        for (index, encoding) in self.encodings.iter_mut().enumerate() {
            let needs = |subscription: &Subscription| {
                let selector = &subscription.selector;
                let wanted = [selector.current(), selector.needs_keyframe()];
                subscription.edge.is_some() && wanted.contains(&Some(index as u8))
            };
            let relayed = |outlet: &Outlet| outlet.is_waiting(index as u8);
            let wanted = self.subscriptions.iter().any(needs) || self.outlets.iter().any(relayed);
            if encoding.keyframes.is_wanted() && !wanted {
                encoding.keyframes.satisfy();
            }
        }
    }

    /// Asks the publisher for a keyframe of `encoding` when the time comes.
    pub fn want_keyframe(&mut self, encoding: u8, now: Instant) {
        let place = usize::from(encoding);
        // Sound has none: such a request would be repeated for ever.
        if let Some(encoding) = self.encodings.get_mut(place).filter(|_| self.kind == MediaKind::Video) {
            encoding.keyframes.want(now);
        }
    }
}
