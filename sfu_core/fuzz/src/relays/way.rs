//! The way between two engines: what one end of a relay said, until the other takes it. It may come to harm there, but for what
//! is of the honest; what is said in one turn arrives in the next, or in the same where that engine comes behind.

use std::collections::VecDeque;

use sfu_core::engine::transmit::{Frame, Sink, TransmitBatch};
use sfu_core::ids::{PeerId, RelayId};
use sfu_core::rtcp;
use sfu_core::rtp::header::Packet;

use super::{FAR, NEAR};
use crate::connected::treatment::Treatment;
use crate::engine::remote::Wire;

/// Frames remembered, to come again.
const MAX_PAST: usize = 48;
/// Frames held back at a time.
const MAX_HELD: usize = 32;

/// Which of the three a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FrameKind {
    Rtp,
    Rtcp,
    Feedback,
}

impl FrameKind {
    const fn side(self) -> usize {
        if matches!(self, Self::Feedback) { NEAR } else { FAR }
    }
}

/// A frame on its way.
#[derive(Debug, Clone)]
pub(super) struct Carried {
    pub(super) relay: RelayId,
    pub(super) kind: FrameKind,
    pub(super) bytes: Vec<u8>,
    /// To which side.
    pub(super) to: usize,
}

impl Carried {
    /// On its way to where such frames belong.
    pub(super) const fn new(relay: RelayId, kind: FrameKind, bytes: Vec<u8>) -> Self {
        Self { relay, kind, bytes, to: kind.side() }
    }

    /// As the engine that takes it is handed it.
    pub(super) fn frame(&self) -> Frame<'_> {
        match self.kind {
            FrameKind::Rtp => Frame::Rtp(&self.bytes),
            FrameKind::Rtcp => Frame::Rtcp(&self.bytes),
            FrameKind::Feedback => Frame::Feedback(&self.bytes),
        }
    }

    /// What an engine says is what it claims to be.
    pub(super) fn check(&self) {
        if self.kind == FrameKind::Rtp {
            Packet::parse(&self.bytes).expect("packets are relayed as RTP");
        } else {
            assert!(rtcp::packets(&self.bytes).all(|packet| packet.is_ok()), "{self:?} is no RTCP");
        }
    }
}

/// Takes all that an engine says.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) wire: Wire,
    pub(super) frames: Vec<Carried>,
}

impl Sink for Said {
    fn transmit(&mut self, batch: &TransmitBatch) -> usize {
        self.wire.transmit(batch)
    }

    fn deliver(&mut self, bot: PeerId, packet: &[u8]) {
        self.wire.deliver(bot, packet);
    }

    fn relay(&mut self, relay: RelayId, frame: Frame<'_>) {
        let (kind, bytes) = match frame {
            Frame::Rtp(bytes) => (FrameKind::Rtp, bytes),
            Frame::Rtcp(bytes) => (FrameKind::Rtcp, bytes),
            Frame::Feedback(bytes) => (FrameKind::Feedback, bytes),
        };
        self.frames.push(Carried::new(relay, kind, bytes.to_vec()));
    }
}

/// The way, in both directions.
#[derive(Debug, Default)]
pub(super) struct Way {
    /// What happens to the hostile one's frames of this turn.
    pub(super) treatment: Treatment,
    arriving: [VecDeque<Carried>; 2],
    /// What arrives when so many turns are over.
    held: Vec<(u8, Carried)>,
    past: VecDeque<Carried>,
}

impl Way {
    /// One turn later.
    pub(super) fn advance(&mut self) {
        for (turns, _) in &mut self.held {
            *turns -= 1;
        }
        let due: Vec<_> = self.held.extract_if(.., |(turns, _)| *turns == 0).collect();
        for (_, carried) in due {
            self.push(carried);
        }
    }

    /// What an end said sets out.
    pub(super) fn carry(&mut self, frame: Carried, is_honest: bool) {
        if is_honest {
            return self.push(frame);
        }
        self.past.push_back(frame.clone());
        if self.past.len() > MAX_PAST {
            self.past.pop_front();
        }
        let treatment = self.treatment.clone();
        self.treat(frame, &treatment);
    }

    /// A frame of before comes once more.
    pub(super) fn again(&mut self, back: usize, treatment: &Treatment) {
        let place = self.past.len().checked_sub(1 + back % MAX_PAST);
        if let Some(frame) = place.and_then(|place| self.past.get(place)).cloned() {
            self.treat(frame, treatment);
        }
    }

    fn treat(&mut self, mut frame: Carried, treatment: &Treatment) {
        treatment.before(&mut frame.bytes);
        treatment.after(&mut frame.bytes);
        if treatment.lost {
            return;
        }
        if let Some(choice) = treatment.elsewhere {
            // As another kind of frame.
            frame.kind = [FrameKind::Rtp, FrameKind::Rtcp, FrameKind::Feedback][usize::from(choice % 3)];
            frame.to = frame.kind.side();
        }
        for _ in 0..=usize::from(treatment.twice) {
            let frame = frame.clone();
            if treatment.delay > 0 && self.held.len() < MAX_HELD {
                self.held.push((treatment.delay, frame));
            } else if treatment.first {
                self.arriving[frame.to].push_front(frame);
            } else {
                self.push(frame);
            }
        }
    }

    /// A frame arrives next.
    pub(super) fn push(&mut self, frame: Carried) {
        self.arriving[frame.to].push_back(frame);
    }

    /// All that arrives at one side now.
    pub(super) fn arrived(&mut self, side: usize) -> VecDeque<Carried> {
        std::mem::take(&mut self.arriving[side])
    }

    /// What is under way of that relay does not arrive.
    pub(super) fn drop_all(&mut self, relay: RelayId) {
        self.arriving.iter_mut().for_each(|arriving| arriving.retain(|frame| frame.relay != relay));
        self.held.retain(|(_, frame)| frame.relay != relay);
    }
}
