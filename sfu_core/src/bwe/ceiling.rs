//! How little a publisher is asked to send (draft-alvestrand-rmcat-remb-03) of a picture that comes in one encoding only.
//!
//! Of simulcast a subscriber with a weak link gets a lower encoding. Where there is only one, its publisher can be asked for
//! less, or that subscriber goes without. It is asked for what the weakest subscriber can take, but not for so little that the
//! picture is spoilt for others ([`LOWEST_SHARED`]) or worth nothing ([`LOWEST_ALONE`]): whoever can take less goes without,
//! and holds nobody down. It is asked only when a link has shown that it is full, and left alone again when the picture takes
//! much less than there is room for.

use std::time::{Duration, Instant};

use arrayvec::ArrayVec;

use crate::session::MAX_MEDIA;
use crate::units::Bitrate;

/// No publisher is asked to send less to several: 360 lines of a talking head.
pub const LOWEST_SHARED: Bitrate = Bitrate::kbps(250);
/// The same for a single subscriber: 180 lines, better than a voice alone.
pub const LOWEST_ALONE: Bitrate = Bitrate::kbps(100);
/// Who can no longer take this share of that lets go: estimates go up and down.
const ENOUGH: f64 = 0.8;
/// Encoders overshoot; a picture above this multiple of its ceiling ...
const OVERSHOOT: f64 = 1.3;
/// ... for so long is one whose publisher does not do as it is asked, or not yet ...
const TIME_TO_FOLLOW: Duration = Duration::from_secs(3);
/// ... and after so long one that is left alone ...
const TIME_TO_GIVE_UP: Duration = Duration::from_secs(10);
/// ... until it is asked once more: of who follows half way, the others get less and nobody gains.
const TIME_OFF: Duration = Duration::from_secs(60);
/// Room for this multiple of what a picture takes: its ceiling does not hold it down.
pub const FREE: f64 = 1.5;

/// What one picture takes of one subscriber's link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Picture {
    /// As it arrives from the publisher.
    pub rate: Bitrate,
    /// What the subscriber was found to be able to take of it, if too little.
    pub share: Option<Bitrate>,
}

/// Divides `room` among pictures whose publishers can be asked for less: those that need less than an equal part leave the
/// rest to the others. Returns the most that any of them may take.
pub fn divide(room: Bitrate, pictures: &[Picture]) -> Bitrate {
    // One that is held down would take any amount.
    let needs = |picture: &Picture| picture.share.is_none().then_some(picture.rate);
    let mut fixed: ArrayVec<Bitrate, MAX_MEDIA> = pictures.iter().filter_map(needs).take(MAX_MEDIA).collect();
    fixed.sort_unstable();
    let (mut left, mut sharers) = (room, pictures.len());
    for need in fixed {
        if sharers == 0 || need > left * (1.0 / sharers as f64) {
            break;
        }
        (left, sharers) = (left - need, sharers - 1);
    }
    if sharers == 0 { room } else { left * (1.0 / sharers as f64) }
}

/// What the subscriber can take of a picture now, if too little for the picture and enough to show one. `is_full`: its link has
/// shown that it carries no more; `lowest`: of what is worth asking for.
pub fn share(picture: Picture, most: Bitrate, is_full: bool, lowest: Bitrate) -> Option<Bitrate> {
    let was_held_down = picture.share.is_some();
    let too_much = is_full && picture.rate > most.max(lowest);
    let held_down = was_held_down && (is_full || picture.rate * FREE > most);
    let enough = most >= if was_held_down { lowest * ENOUGH } else { lowest };
    (enough && (too_much || held_down)).then_some(most.max(lowest))
}

/// What the publisher of one picture is asked, and whether it does so.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ceiling {
    /// Whether the publisher may be asked: it takes such requests, and there is nothing lower to switch to.
    pub heeded: bool,
    above_since: Option<Instant>,
    given_up: Option<Instant>,
}

impl Ceiling {
    /// For a publisher that takes such requests, or not.
    pub const fn new(heeded: bool) -> Self {
        Self { heeded, above_since: None, given_up: None }
    }

    /// The publisher is asked anew, after it was not.
    pub fn begin(&mut self) {
        self.above_since = None;
    }

    /// It is of no use to ask; not for a while.
    pub fn give_up(&mut self, now: Instant) {
        self.given_up = Some(now);
    }

    /// Whether it makes sense to ask now.
    pub fn may_ask(&self, now: Instant) -> bool {
        self.heeded && self.given_up.is_none_or(|at| now.saturating_duration_since(at) >= TIME_OFF)
    }

    /// Takes note of what arrives, while the publisher is asked for `ceiling`. Says whether it does as it is asked, or may yet;
    /// if it never does, [`may_ask`](Self::may_ask) says so from then on.
    pub fn is_followed(&mut self, rate: Bitrate, ceiling: Option<Bitrate>, now: Instant) -> bool {
        if ceiling.is_none_or(|ceiling| rate <= ceiling * OVERSHOOT) {
            self.above_since = None;
        } else {
            self.above_since.get_or_insert(now);
        }
        let above = self.above_since.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        if above >= TIME_TO_GIVE_UP {
            self.give_up(now);
        }
        above < TIME_TO_FOLLOW
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::start;

    fn free(kbps: u64) -> Picture {
        Picture { rate: Bitrate::kbps(kbps), share: None }
    }

    fn held(kbps: u64) -> Picture {
        Picture { rate: Bitrate::kbps(kbps), share: Some(Bitrate::kbps(kbps)) }
    }

    #[test]
    fn what_one_picture_does_not_need_goes_to_the_others() {
        let room = Bitrate::kbps(900);
        assert_eq!(divide(room, &[free(2_000)]), Bitrate::kbps(900));
        assert_eq!(divide(room, &[free(2_000), free(2_000), free(2_000)]), Bitrate::kbps(300));
        assert_eq!(divide(room, &[free(100), free(2_000), free(2_000)]), Bitrate::kbps(400));
        assert_eq!(divide(room, &[free(100), held(200)]), Bitrate::kbps(800), "one that is held down would take more");
        assert_eq!(divide(room, &[free(100), free(200)]), room, "everything fits");
        assert_eq!(divide(Bitrate::ZERO, &[free(100)]), Bitrate::ZERO);
        assert_eq!(divide(room, &[]), room);
    }

    #[test]
    fn a_picture_is_held_down_from_when_the_link_is_full_until_there_is_far_more_room_than_it_takes() {
        let most = Bitrate::kbps(800);
        let shared = |picture, most, is_full| share(picture, most, is_full, LOWEST_SHARED);
        assert_eq!(shared(free(2_000), most, false), None, "never tried is no limit");
        assert_eq!(shared(free(2_000), most, true), Some(most));
        assert_eq!(shared(free(700), most, true), None, "it is not what fills the link");
        assert_eq!(shared(held(790), most, false), Some(most));
        assert_eq!(shared(held(500), most, false), None);
        assert_eq!(shared(held(500), most, true), Some(most));
    }

    #[test]
    fn whoever_can_take_too_little_to_show_a_picture_holds_nobody_down() {
        let full = |picture, most| share(picture, Bitrate::kbps(most), true, LOWEST_SHARED);
        assert_eq!(full(free(2_000), 249), None);
        assert_eq!(full(free(2_000), 250), Some(LOWEST_SHARED));
        assert_eq!(full(held(250), 210), Some(LOWEST_SHARED), "an estimate that goes down a little lets not go");
        assert_eq!(full(held(250), 190), None);
        assert_eq!(share(free(2_000), Bitrate::kbps(120), true, LOWEST_ALONE), Some(Bitrate::kbps(120)));
    }

    #[test]
    fn a_publisher_that_does_not_come_down_in_time_is_found_out_and_left_alone_for_a_while() {
        let (start, ceiling) = (start(), Some(Bitrate::kbps(500)));
        let at = |millis| start + Duration::from_millis(millis);
        let mut asked = Ceiling::new(true);
        assert!(asked.is_followed(Bitrate::kbps(2_000), None, at(0)));
        assert!(asked.is_followed(Bitrate::kbps(2_000), ceiling, at(1_000)));
        assert!(asked.is_followed(Bitrate::kbps(640), ceiling, at(3_900)), "it came down");
        assert!(asked.is_followed(Bitrate::kbps(700), ceiling, at(4_000)));
        assert!(asked.is_followed(Bitrate::kbps(700), ceiling, at(6_900)) && asked.may_ask(at(6_900)));
        assert!(!asked.is_followed(Bitrate::kbps(700), ceiling, at(7_000)) && asked.may_ask(at(13_900)));
        assert!(asked.is_followed(Bitrate::kbps(640), ceiling, at(13_900)), "it came down after all");
        assert!(asked.is_followed(Bitrate::kbps(2_000), ceiling, at(14_000)));
        assert!(!asked.is_followed(Bitrate::kbps(2_000), ceiling, at(24_000)));
        assert!(!asked.may_ask(at(83_900)) && asked.may_ask(at(84_000)));
        asked.begin();
        assert!(asked.is_followed(Bitrate::kbps(2_000), ceiling, at(84_000)), "it has its time again");
        assert!(!Ceiling::new(false).may_ask(at(0)));
    }
}
