//! How long the stages of a join take: ICE, DTLS, both together, and the wait for the first packet of a publisher.

use std::time::{Duration, Instant};

/// When a peer reached what, until it is connected.
#[derive(Debug, Default)]
pub(crate) struct Joining {
    /// Its remote was described.
    described: Option<Instant>,
    /// It was heard, so that a handshake could begin.
    heard: Option<Instant>,
    /// Media had somewhere to go: what follows is another way.
    found: bool,
    /// It was connected and had something published, of which nothing has come yet.
    awaited: Option<Instant>,
    /// It has been connected: what follows is no join.
    joined: bool,
}

impl Joining {
    pub(crate) fn described(&mut self, now: Instant) {
        if !self.joined {
            self.described.get_or_insert(now);
        }
    }

    pub(crate) fn heard(&mut self, now: Instant) {
        self.heard.get_or_insert(now);
    }

    /// Media has somewhere to go. Returns how long that took, the first time.
    pub(crate) fn way_found(&mut self, now: Instant) -> Option<Duration> {
        let described = self.described?;
        let first = !std::mem::replace(&mut self.found, true);
        first.then(|| now.saturating_duration_since(described))
    }

    /// The handshake is done. Returns how long it took from when it could begin.
    pub(crate) fn keys_agreed(&self, now: Instant) -> Option<Duration> {
        Some(now.saturating_duration_since(self.described?.max(self.heard?)))
    }

    /// Both are done. Returns how long that took.
    pub(crate) fn connected(&mut self, publishes: bool, now: Instant) -> Option<Duration> {
        let first = !std::mem::replace(&mut self.joined, true);
        self.awaited = (first && publishes).then_some(now);
        Some(now.saturating_duration_since(self.described.take()?))
    }

    /// The first packet of a track came. Returns how long the first of all took.
    pub(crate) fn media_came(&mut self, now: Instant) -> Option<Duration> {
        Some(now.saturating_duration_since(self.awaited.take()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::start;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn each_stage_is_counted_from_when_it_could_begin() {
        let (begin, mut joining) = (start(), Joining::default());
        joining.described(begin);
        joining.heard(begin + 40 * MS);
        joining.heard(begin + 60 * MS);
        assert_eq!(joining.keys_agreed(begin + 100 * MS), Some(60 * MS));
        assert_eq!(joining.way_found(begin + 120 * MS), Some(120 * MS));
        assert_eq!(joining.way_found(begin + 150 * MS), None, "a way that was lost and found again is no second join");
        assert_eq!(joining.connected(true, begin + 120 * MS), Some(120 * MS));
        assert_eq!(joining.media_came(begin + 150 * MS), Some(30 * MS));
        assert_eq!(joining.media_came(begin + 160 * MS), None, "the first one only");
    }

    #[test]
    fn a_renegotiation_is_no_join_and_a_viewer_who_publishes_later_awaits_nothing() {
        let (begin, mut joining) = (start(), Joining::default());
        joining.described(begin);
        assert!(joining.connected(false, begin + MS).is_some());
        assert_eq!(joining.media_came(begin + 1_000 * MS), None);
        joining.described(begin + 2_000 * MS);
        assert_eq!(joining.connected(true, begin + 3_000 * MS), None);
        assert_eq!(joining.media_came(begin + 3_001 * MS), None);
    }
}
