//! stub
use crate::units::Bitrate; use crate::session::CongestionFeedback; use std::time::{Instant,Duration}; use super::history::Feedback;
#[derive(Clone, Copy, Debug)] pub struct Estimate { pub target: Bitrate, pub pacing: Bitrate }
pub trait Controller: Send { fn on_sent(&mut self, len: usize, now: Instant); fn on_feedback(&mut self, f: &Feedback<'_>, now: Instant); fn on_rtt(&mut self, r: Duration, now: Instant); fn on_loss_report(&mut self, l: f64, now: Instant); fn on_remb(&mut self, b: Bitrate, now: Instant); fn on_route_change(&mut self, now: Instant); fn tick(&mut self, now: Instant) -> Estimate; fn estimate(&self) -> Estimate; }
pub fn controller_for(_f: CongestionFeedback, _i: Bitrate, _n: Instant) -> Box<dyn Controller> { unimplemented!() }
