//! Asking publishers for less (`bwe/ceiling.rs` says for how much): what each subscriber can take of a picture that comes in
//! one encoding only, and the REMB to its publisher that follows from all of them.

use std::time::Instant;

use arrayvec::ArrayVec;

use crate::bwe::allocator::{AUDIO_DEFAULT, Demand, UP_SHARE, VIDEO_DEFAULT};
use crate::bwe::ceiling::{self, FREE, Picture};
use crate::bwe::estimator::MAX_RATE;
use crate::forward::router::Track;
use crate::ids::{PeerId, Ssrc, TrackId};
use crate::rtcp::remb::{MAX_REMB_SSRCS, Remb};
use crate::session::MediaKind;
use crate::slots::Slots;
use crate::units::Bitrate;

use super::member::Member;
use super::outbound::MAX_SUBSCRIPTIONS_PER_PEER;
use super::{Engine, control};

/// A ceiling this much lower than the one before is told at once, anything else with the next report.
const MUCH_LOWER: f64 = 0.95;
/// How often it is said that there is no ceiling any more: a report may be lost.
const LIFTS: u8 = 3;

/// A subscriber's downlink, and what it was found to be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Downlink {
    pub(super) subscriber: PeerId,
    /// Whether there is a way to it.
    pub(super) reachable: bool,
    /// The estimate.
    pub(super) target: Bitrate,
    /// Whether it has shown that it carries no more.
    pub(super) is_full: bool,
    /// Whether sound is lost on it, report after report.
    pub(super) voice_broken: bool,
}

/// A track that the subscriber would take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) id: TrackId,
    pub(super) publisher: PeerId,
    /// What it can take of it, if too little.
    pub(super) share: Option<Bitrate>,
    /// Whether the publisher sends less of it when asked.
    pub(super) heeded: bool,
    /// Whether it was found to be too much for the downlink.
    pub(super) paused: bool,
}

/// What a far engine says that the weakest subscriber of a track there can take of it: asked for as if it were one of ours.
pub(super) fn limit_relayed(engine: &mut Engine, track: TrackId, relay: PeerId, most: Bitrate, now: Instant) {
    let Some(state) = engine.tracks.find(track) else { return };
    let (publisher, may_ask) = (state.publisher, state.ceiling.may_ask(now));
    let mut asked = [Wanted { id: track, publisher, share: None, heeded: may_ask, paused: false }];
    ask_only_for_one_picture(engine, &mut asked, now);
    let Some(state) = engine.tracks.find_mut(track) else { return };
    let before = state.lowest_share();
    let lowest = state.lowest_ceiling();
    let Some(outlet) = state.outlets.iter_mut().find(|outlet| outlet.peer == relay) else { return };
    outlet.share = (asked[0].heeded && most < MAX_RATE && outlet.edge.is_some()).then(|| most.max(lowest));
    let after = state.lowest_share();
    if before.is_none() {
        state.ceiling.begin();
    }
    let rate = state.encodings.first().map_or(Bitrate::ZERO, |encoding| encoding.reception.bitrate(now));
    state.ceiling.is_followed(rate, after, now);
    if !state.ceiling.may_ask(now) {
        return state.forget_shares();
    }
    ask_for_less(engine, publisher, (before, after), now);
}

/// A publisher is asked only while it sends one picture. There is one limit for everything it sends, which it divides as it
/// likes: what one picture is asked to give up would be taken from the other, time after time.
fn ask_only_for_one_picture(engine: &Engine, wanted: &mut [Wanted], now: Instant) {
    let flows = |track: &Track| track.encodings.iter().any(|encoding| encoding.reception.bitrate(now) > Bitrate::ZERO);
    for wanted in wanted.iter_mut().filter(|wanted| wanted.heeded) {
        let Some(publisher) = engine.peers.find(wanted.publisher) else { continue };
        let others = publisher.inbound.tracks.iter().filter(|(_, id)| *id != wanted.id);
        let mut others = others.filter_map(|(_, id)| engine.tracks.find(*id));
        wanted.heeded = !others.any(|other| other.kind == MediaKind::Video && flows(other));
    }
}

/// Finds what the subscriber can take of each picture that its publisher can send less of. Those that come down, or have yet
/// to, count in `demands` as what they are to be. Returns how much more than arrives would be worth looking for.
pub(super) fn hold_down(
    engine: &mut Engine,
    downlink: Downlink,
    wanted: &mut [Wanted],
    demands: &mut [Demand],
    now: Instant,
) -> Bitrate {
    if !wanted.iter().any(|track| track.share.is_some() || track.heeded && (downlink.is_full || track.paused)) {
        return Bitrate::ZERO; // as nearly always
    }
    ask_only_for_one_picture(engine, wanted, now);
    let mut pictures: ArrayVec<Picture, MAX_SUBSCRIPTIONS_PER_PEER> = ArrayVec::new();
    let mut sound = Bitrate::ZERO;
    for (track, demand) in wanted.iter().zip(demands.iter()).filter(|(_, demand)| demand.limit.is_some()) {
        // What sends nothing now has its place kept by the allocator, who would pause what else is held down to fill it.
        let rate = demand.rates.iter().flatten().max().copied();
        match demand.kind {
            MediaKind::Audio => sound = sound + rate.unwrap_or(AUDIO_DEFAULT),
            MediaKind::Video => pictures.push(Picture { rate: rate.unwrap_or(VIDEO_DEFAULT), share: track.share }),
        }
    }
    let most = ceiling::divide(downlink.target * UP_SHARE - sound, &pictures);
    let heeded = wanted.iter().zip(demands).filter(|(track, _)| track.heeded || track.share.is_some());
    let shares = heeded.filter_map(|(track, demand)| hold_down_one(engine, downlink, track, demand, most, now));
    shares.sum::<Bitrate>() * (FREE - 1.0)
}

/// The same for one track; the share it is held down to, if it is.
fn hold_down_one(
    engine: &mut Engine,
    downlink: Downlink,
    wanted: &Wanted,
    demand: &mut Demand,
    most: Bitrate,
    now: Instant,
) -> Option<Bitrate> {
    let track = engine.tracks.find_mut(wanted.id)?;
    let rate = demand.rates[0].unwrap_or(Bitrate::ZERO);
    let picture = Picture { rate, share: wanted.share };
    let may_ask = wanted.heeded && downlink.reachable && demand.limit.is_some();
    let mut share =
        ceiling::share(picture, most, downlink.is_full || wanted.paused, track.lowest_ceiling()).filter(|_| may_ask);
    if share.is_none() && picture.share.is_none() {
        return None; // as nearly always: nobody else needs to be looked at
    }
    let before = track.lowest_share();
    track.subscription_mut(downlink.subscriber)?.share = share;
    let mut after = track.lowest_share();
    if before.is_none() {
        track.ceiling.begin();
    }
    let followed = track.ceiling.is_followed(rate, after, now);
    if share.is_some() && downlink.voice_broken {
        track.ceiling.give_up(now);
    }
    if !track.ceiling.may_ask(now) {
        track.forget_shares();
        (share, after) = (None, None);
    }
    if let (Some(share), Some(rate), true) = (share, &mut demand.rates[0], followed) {
        *rate = (*rate).min(share);
    }
    ask_for_less(engine, wanted.publisher, (before, after), now);
    share
}

/// The ceiling of a picture was one and is another: a much lower one is told at once.
fn ask_for_less(engine: &mut Engine, publisher: PeerId, ceilings: (Option<Bitrate>, Option<Bitrate>), now: Instant) {
    let (before, after) = ceilings;
    engine.stats.publisher_limits += u64::from(before.is_none() && after.is_some());
    if after.is_some_and(|after| before.is_none_or(|before| after < before * MUCH_LOWER))
        && let Some(publisher) = engine.peers.find_mut(publisher)
    {
        publisher.inbound.ceiling_untold = true;
        let id = publisher.id;
        control::schedule_feedback(engine, id, now);
    }
}

/// Tells a publisher what it is to stay below with its picture and its sound; once nothing limits it any more, it is told that.
pub(super) fn tell(member: &mut Member, tracks: &Slots<TrackId, Track>, now: Instant) {
    let mut ssrcs: ArrayVec<Ssrc, MAX_REMB_SSRCS> = ArrayVec::new();
    let (mut ceiling, mut sound): (Option<Bitrate>, _) = (None, Bitrate::ZERO);
    for track in member.inbound.tracks.iter().filter_map(|(_, id)| tracks.find(*id)) {
        if track.kind == MediaKind::Audio {
            sound = sound + track.encodings.iter().map(|encoding| encoding.reception.bitrate(now)).sum();
        } else {
            ceiling = ceiling.into_iter().chain(track.lowest_share()).min();
        }
        let known = track.encodings.iter().filter_map(|encoding| encoding.ssrc);
        ssrcs.extend(known.take(MAX_REMB_SSRCS - ssrcs.len()));
    }
    let bitrate = if let Some(ceiling) = ceiling {
        member.inbound.lifts_left = LIFTS;
        ceiling + sound
    } else if let Some(left) = member.inbound.lifts_left.checked_sub(1) {
        member.inbound.lifts_left = left;
        MAX_RATE
    } else {
        return;
    };
    let remb = Remb { sender: Ssrc(member.ssrc_base), bitrate, ssrcs };
    member.rtcp.push(|out| remb.write(out));
}
