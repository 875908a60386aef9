//! Asking publishers for less (`bwe/ceiling.rs` says for how much): what each subscriber can take of a picture that comes in
//! one encoding only, and the REMB to its publisher that follows from all of them.

use std::time::Instant;

use arrayvec::ArrayVec;

use crate::bwe::allocator::{Demand, UP_SHARE};
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
/// What else the publisher sends may grow by so much within the one limit that it is told for everything.
const OTHERS_GROW: f64 = 1.25;

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
}

/// Finds what the subscriber can take of each picture that its publisher can send less of. Those that come down, or have yet
/// to, count in `demands` as what they are to be. Returns how much more than arrives would be worth looking for.
pub(super) fn hold_down(
    engine: &mut Engine,
    downlink: Downlink,
    sections: &[TrackId],
    demands: &mut [Demand],
    now: Instant,
) -> Bitrate {
    if !sections.iter().any(|&id| engine.tracks.find(id).is_some_and(|track| track.ceiling.heeded)) {
        return Bitrate::ZERO;
    }
    let mut pictures: ArrayVec<Picture, MAX_SUBSCRIPTIONS_PER_PEER> = ArrayVec::new();
    let mut sound = Bitrate::ZERO;
    for (&id, demand) in sections.iter().zip(demands.iter()).filter(|(_, demand)| demand.limit.is_some()) {
        let rate = demand.rates.iter().flatten().max().copied().unwrap_or(Bitrate::ZERO);
        match demand.kind {
            MediaKind::Audio => sound = sound + rate,
            MediaKind::Video => {
                let share = share_of(&engine.tracks, id, downlink.subscriber);
                pictures.push(Picture { rate, share });
            }
        }
    }
    let most = ceiling::divide(downlink.target * UP_SHARE - sound, &pictures);
    let held_down = sections.iter().zip(demands);
    let shares = held_down.filter_map(|(&id, demand)| hold_down_one(engine, downlink, id, demand, most, now));
    shares.sum::<Bitrate>() * (FREE - 1.0)
}

/// The same for one track; the share it is held down to, if it is.
fn hold_down_one(
    engine: &mut Engine,
    downlink: Downlink,
    id: TrackId,
    demand: &mut Demand,
    most: Bitrate,
    now: Instant,
) -> Option<Bitrate> {
    let track = engine.tracks.find_mut(id).filter(|track| track.ceiling.heeded)?;
    let rate = demand.rates[0].unwrap_or(Bitrate::ZERO);
    let subscription = track.subscriptions.iter().find(|known| known.subscriber == downlink.subscriber)?;
    let picture = Picture { rate, share: subscription.share };
    let flows = downlink.reachable && demand.limit.is_some();
    let share = ceiling::share(picture, most, downlink.is_full).filter(|_| flows);
    if share.is_none() && picture.share.is_none() {
        return None; // as nearly always: nobody else needs to be looked at
    }
    let before = track.lowest_share();
    track.subscription_mut(downlink.subscriber)?.share = share;
    let after = track.lowest_share();
    let followed = track.ceiling.is_followed(rate, after, now);
    let publisher = track.publisher;
    if let (Some(share), true) = (share, followed) {
        demand.rates[0] = Some(rate.min(share));
    }
    if after.is_some_and(|after| before.is_none_or(|before| after < before * MUCH_LOWER)) {
        engine.peers.find_mut(publisher)?.inbound.ceiling_untold = true;
        control::wake_publisher(engine, publisher, now);
    }
    share
}

fn share_of(tracks: &Slots<TrackId, Track>, id: TrackId, subscriber: PeerId) -> Option<Bitrate> {
    let mut subscriptions = tracks.find(id)?.subscriptions.iter();
    subscriptions.find(|known| known.subscriber == subscriber)?.share
}

/// Tells a publisher what it is to stay below with everything it sends, sound and other pictures included; once nothing
/// limits it any more, it is told that.
pub(super) fn tell(member: &mut Member, tracks: &Slots<TrackId, Track>, now: Instant) {
    let mut ssrcs: ArrayVec<Ssrc, MAX_REMB_SSRCS> = ArrayVec::new();
    let mut total = Bitrate::ZERO;
    let mut has_ceiling = false;
    for track in member.inbound.tracks.iter().filter_map(|(_, id)| tracks.find(*id)) {
        let arriving: Bitrate = track.encodings.iter().map(|encoding| encoding.reception.bitrate(now)).sum();
        let ceiling = track.lowest_share().filter(|_| track.ceiling.heeded);
        total = total + ceiling.unwrap_or(arriving * OTHERS_GROW);
        has_ceiling |= ceiling.is_some();
        if track.ceiling.heeded {
            let known = track.encodings.iter().filter_map(|encoding| encoding.ssrc);
            ssrcs.extend(known.take(MAX_REMB_SSRCS - ssrcs.len()));
        }
    }
    if has_ceiling {
        member.inbound.lifts_left = LIFTS;
    } else if let Some(left) = member.inbound.lifts_left.checked_sub(1) {
        member.inbound.lifts_left = left;
        total = MAX_RATE;
    } else {
        return;
    }
    let remb = Remb { sender: Ssrc(member.ssrc_base), bitrate: total, ssrcs };
    member.rtcp.push(|out| remb.write(out));
}
