//! Dividing one subscriber's estimated rate among what it watches and hears (simulcast encodings of RFC 8853).
//!
//! Audio comes first. Then every video gets its lowest encoding, in the order wanted; then, in the same order, each goes
//! up as far as it is wanted and fits. What is on stays on while it fits the estimate of this moment, and goes down at
//! once when it does not. What is to be added must fit [`UP_SHARE`] of the lowest estimate of the last two seconds, and an
//! upgrade that had to be taken back is not tried again for a while, twice as long each time.
//!
//! Temporal layers are all on or all off here: their share of an encoding's bitrate is not measured.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::prefetch::prefetch;
use crate::session::{MAX_ENCODINGS, MAX_MEDIA, MediaKind};
use crate::units::Bitrate;

/// Every temporal layer there is.
pub const ALL_TEMPORAL: u8 = u8::MAX;
/// An upgrade must fit into this share of the estimate: encoders overshoot, and repairs need room.
pub const UP_SHARE: f64 = 0.9;
/// The lowest estimate of this span counts for upgrades, in [`SLICES`] slices.
const UP_SPAN: Duration = Duration::from_secs(2);
const SLICES: usize = 8;
/// How long an upgrade that failed is not tried again, first and longest.
const MIN_BACK_OFF: Duration = Duration::from_secs(5);
const MAX_BACK_OFF: Duration = Duration::from_secs(60);
/// A downgrade this soon after the upgrade means the upgrade failed.
const PROBATION: Duration = Duration::from_secs(10);
/// What an audio track is taken to need before it is measured: Opus at 32 kbit/s with headers.
pub const AUDIO_DEFAULT: Bitrate = Bitrate::kbps(40);
/// What the lowest encoding is taken to need before anything flows: a browser's 180-line thumbnail.
pub const VIDEO_DEFAULT: Bitrate = Bitrate::kbps(150);

/// What is to go to one subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// Which encoding; `None` pauses.
    pub encoding: Option<u8>,
    /// The highest temporal layer.
    pub temporal: u8,
}

impl Target {
    /// Nothing.
    pub const PAUSED: Self = Self { encoding: None, temporal: 0 };

    /// The whole of `encoding`.
    pub const fn whole(encoding: u8) -> Self {
        Self { encoding: Some(encoding), temporal: ALL_TEMPORAL }
    }
}

/// What one subscription would take.
#[derive(Debug, Clone, Copy)]
pub struct Demand {
    /// Names the subscription from one round to the next.
    pub key: u64,
    /// Sound or pictures.
    pub kind: MediaKind,
    /// The higher comes first; equals in the order given.
    pub priority: u8,
    /// The highest encoding wanted; `None` when nothing is wanted.
    pub limit: Option<u8>,
    /// By encoding: its measured bitrate, `None` while it does not flow.
    pub rates: [Option<Bitrate>; MAX_ENCODINGS],
}

/// Divides one subscriber's rate, round by round.
#[derive(Debug, Clone)]
pub struct Allocator {
    recent: [Option<Bitrate>; SLICES],
    slice: usize,
    slice_ends: Instant,
    states: BTreeMap<u64, SubscriptionState>,
    order: Vec<usize>,
}

impl Allocator {
    /// An allocator that has given nothing yet.
    pub fn new(now: Instant) -> Self {
        Self {
            recent: [None; SLICES],
            slice: 0,
            slice_ends: now + UP_SPAN / SLICES as u32,
            states: BTreeMap::new(),
            order: Vec::new(),
        }
    }

    /// Fetches what an estimate touches.
    #[inline]
    pub fn prefetch(&self) {
        prefetch(&self.recent);
        prefetch(&self.slice);
        prefetch(&self.slice_ends);
    }

    /// Takes note of the estimate; called for each, which feedback makes several times a second.
    pub fn on_estimate(&mut self, estimate: Bitrate, now: Instant) {
        for _ in 0..SLICES {
            if now < self.slice_ends {
                break;
            }
            self.slice = (self.slice + 1) % SLICES;
            self.recent[self.slice] = None;
            self.slice_ends += UP_SPAN / SLICES as u32;
        }
        self.slice_ends = self.slice_ends.max(now);
        let lowest = &mut self.recent[self.slice];
        *lowest = Some(lowest.map_or(estimate, |lowest| lowest.min(estimate)));
    }

    /// Divides `estimate`; `targets` gets one entry for each of `demands`, in their order. At most
    /// [`MAX_MEDIA`] demands are served, the rest is paused.
    pub fn allocate(&mut self, estimate: Bitrate, demands: &[Demand], targets: &mut Vec<Target>, now: Instant) {
        self.on_estimate(estimate, now);
        targets.clear();
        targets.resize(demands.len(), Target::PAUSED);
        let audio = |demand: &&Demand| demand.kind == MediaKind::Audio && demand.limit.is_some();
        let reserved = demands.iter().filter(audio).map(|demand| demand.rates[0].unwrap_or(AUDIO_DEFAULT)).sum();
        let lowest_recent = self.recent.iter().flatten().min().copied().unwrap_or(estimate);
        let mut budget = Budget { keep: estimate - reserved, add: lowest_recent * UP_SHARE - reserved };
        self.sort(demands);
        let order = std::mem::take(&mut self.order);
        for &place in &order {
            targets[place] = self.lowest(&demands[place], &mut budget, now);
        }
        for &place in &order {
            if demands[place].kind == MediaKind::Video {
                targets[place] = self.upgrade(&demands[place], targets[place], &mut budget, now);
            }
        }
        for &place in &order {
            self.settle(&demands[place], targets[place], now);
        }
        self.order = order;
        self.states.retain(|key, _| demands.iter().any(|demand| demand.key == *key));
    }

    /// The rate at which everything wanted would fit: what to look for with padding.
    pub fn desired(demands: &[Demand]) -> Bitrate {
        let highest = |demand: &Demand| match (demand.limit, demand.kind) {
            (None, _) => Bitrate::ZERO,
            (Some(_), MediaKind::Audio) => demand.rates[0].unwrap_or(AUDIO_DEFAULT),
            (Some(limit), MediaKind::Video) => {
                demand.rates.iter().take(usize::from(limit) + 1).flatten().max().copied().unwrap_or(VIDEO_DEFAULT)
            }
        };
        let sum: Bitrate = demands.iter().map(highest).sum();
        sum * (1.1 / UP_SHARE)
    }

    fn sort(&mut self, demands: &[Demand]) {
        self.order.clear();
        self.order.extend(0..demands.len());
        self.order.sort_by_key(|&place| (std::cmp::Reverse(demands[place].priority), place));
        self.order.truncate(MAX_MEDIA);
    }

    fn lowest(&self, demand: &Demand, budget: &mut Budget, now: Instant) -> Target {
        if demand.limit.is_none() {
            return Target::PAUSED;
        }
        if demand.kind == MediaKind::Audio {
            return Target::whole(0);
        }
        let (encoding, rate) = demand.ladder().next().unwrap_or((0, VIDEO_DEFAULT));
        let standing = self.states.get(&demand.key);
        let is_on = standing.is_some_and(|standing| standing.encoding.is_some());
        let may_begin = standing.is_none_or(|standing| standing.may_rise(now));
        let fits = if is_on { budget.keeps(rate) } else { may_begin && budget.adds(rate) };
        if !fits {
            return Target::PAUSED;
        }
        budget.take(rate);
        Target::whole(encoding)
    }

    fn upgrade(&self, demand: &Demand, lowest: Target, budget: &mut Budget, now: Instant) -> Target {
        let Some(mut encoding) = lowest.encoding else { return lowest };
        let standing = self.states.get(&demand.key);
        let on = standing.and_then(|standing| standing.encoding);
        let may_rise = standing.is_none_or(|standing| standing.may_rise(now));
        let mut rate = demand.rates[usize::from(encoding)].unwrap_or(VIDEO_DEFAULT);
        for (next, next_rate) in demand.ladder().filter(|(next, _)| *next > lowest.encoding.unwrap_or(0)) {
            let more = next_rate - rate;
            let fits = if Some(next) <= on { budget.keeps(more) } else { may_rise && budget.adds(more) };
            if fits {
                budget.take(more);
                (encoding, rate) = (next, rate + more);
            }
        }
        Target::whole(encoding)
    }

    /// Remembers what was given, and when an upgrade failed.
    fn settle(&mut self, demand: &Demand, target: Target, now: Instant) {
        if demand.kind == MediaKind::Audio {
            return;
        }
        let standing = self.states.entry(demand.key).or_insert_with(|| SubscriptionState::new(now));
        let wanted_less = demand.limit < standing.encoding;
        if target.encoding > standing.encoding {
            standing.rose = Some(now);
        } else if target.encoding < standing.encoding && !wanted_less {
            standing.fall(now);
        } else if standing.rose.is_some_and(|rose| now.saturating_duration_since(rose) > PROBATION * 3) {
            standing.back_off = MIN_BACK_OFF;
        }
        standing.encoding = target.encoding;
    }
}

impl Demand {
    /// Encodings that flow and are wanted, from the lowest, each with its rate.
    fn ladder(&self) -> impl Iterator<Item = (u8, Bitrate)> {
        let wanted = self.limit.map_or(0, |limit| usize::from(limit) + 1);
        let flowing = self.rates.iter().take(wanted).enumerate();
        flowing.filter_map(|(encoding, rate)| Some((encoding as u8, (*rate)?)))
    }
}

/// What is left to give.
#[derive(Debug, Clone, Copy)]
struct Budget {
    keep: Bitrate,
    add: Bitrate,
}

impl Budget {
    fn keeps(&self, rate: Bitrate) -> bool {
        rate <= self.keep
    }

    fn adds(&self, rate: Bitrate) -> bool {
        rate <= self.add && rate <= self.keep
    }

    fn take(&mut self, rate: Bitrate) {
        self.keep = self.keep - rate;
        self.add = self.add - rate;
    }
}

/// What one subscription has, and how its upgrades fared.
#[derive(Debug, Clone, Copy)]
struct SubscriptionState {
    encoding: Option<u8>,
    rose: Option<Instant>,
    not_before: Instant,
    back_off: Duration,
}

impl SubscriptionState {
    fn new(now: Instant) -> Self {
        Self { encoding: None, rose: None, not_before: now, back_off: MIN_BACK_OFF }
    }

    fn may_rise(&self, now: Instant) -> bool {
        now >= self.not_before
    }

    fn fall(&mut self, now: Instant) {
        let failed = self.rose.is_some_and(|rose| now.saturating_duration_since(rose) <= PROBATION);
        if failed {
            self.not_before = now + self.back_off;
            self.back_off = (self.back_off * 2).min(MAX_BACK_OFF);
        }
        self.rose = None;
    }
}

#[cfg(test)]
mod tests;
