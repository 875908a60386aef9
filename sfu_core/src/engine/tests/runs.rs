//! Datagrams that come together are taken in as they would be one by one, whatever is wrong with one of them.

use super::rig::{OPUS, Rig};
use super::*;

/// Alice and Bob in one room, Carol and Dave in another.
struct Two {
    rig: Rig,
    alice: PeerId,
    bob: PeerId,
    carol: PeerId,
    dave: PeerId,
}

impl Two {
    fn new() -> Self {
        let mut rig = Rig::new();
        let mut call = |first: u64| {
            let (publisher, subscriber) = (rig.join(first), rig.join(first + 1));
            let track = rig.publish(publisher, "a", TrackSource::Microphone);
            rig.subscribe(subscriber, "a", track);
            rig.allow(track, subscriber);
            rig.new_room();
            (publisher, subscriber)
        };
        let ((alice, bob), (carol, dave)) = (call(1), call(3));
        rig.tick();
        rig.flush();
        Self { rig, alice, bob, carol, dave }
    }

    /// The words that reached `whom`, in order.
    fn heard(&mut self) -> [Vec<u8>; 2] {
        let seen = self.rig.flush();
        [self.bob, self.dave]
            .map(|whom| seen.iter().filter(|seen| seen.to == whom).map(|seen| seen.payload[0]).collect())
    }
}

fn say(rig: &mut Rig, who: PeerId, words: std::ops::RangeInclusive<u8>) {
    for word in words {
        rig.ingest_with(who, (OPUS, 1), u16::from(word), u32::from(word) * 960, &[word], &[]);
    }
}

#[test]
fn of_many_that_come_together_every_one_is_taken_in_in_order() {
    let mut two = Two::new();
    let (alice, carol) = (two.alice, two.carol);
    two.rig.together(|rig| {
        say(rig, alice, 1..=20);
        say(rig, carol, 1..=3);
        say(rig, alice, 21..=60);
    });
    assert_eq!(two.heard(), [(1..=60).collect::<Vec<u8>>(), vec![1, 2, 3]]);
}

#[test]
fn of_more_than_are_taken_in_at_a_time_every_one_is_taken_in_whatever_came_before() {
    const WORDS: u8 = 40;
    const { assert!(2 * WORDS as usize > crate::engine::ingest::MAX_TOGETHER) };
    let mut two = Two::new();
    let (alice, carol) = (two.alice, two.carol);
    for begin in [1, 101] {
        two.rig.together(|rig| {
            say(rig, carol, begin..=begin);
            say(rig, alice, begin..=begin + WORDS);
            say(rig, carol, begin + 1..=begin + WORDS);
        });
        let words: Vec<u8> = (begin..=begin + WORDS).collect();
        assert_eq!(two.heard(), [words.clone(), words]);
    }
}

#[test]
fn what_is_forged_among_them_is_left_out_and_nothing_else() {
    let mut two = Two::new();
    let (alice, carol) = (two.alice, two.carol);
    let forged = two.rig.stats().drops.unauthenticated;
    two.rig.together(|rig| {
        say(rig, alice, 1..=2);
        rig.noise(alice, OPUS);
        say(rig, alice, 3..=9);
        rig.datagram(([203, 0, 113, 9], 9).into(), &[0x80; 40]);
        say(rig, alice, 10..=12);
        rig.noise(alice, 200);
        say(rig, carol, 1..=9);
    });
    assert_eq!(two.heard(), [(1..=12).collect::<Vec<u8>>(), (1..=9).collect()]);
    assert_eq!(two.rig.stats().drops.unauthenticated, forged + 2);
    assert_eq!(two.rig.stats().drops.unknown_source, 1);
}

#[test]
fn a_panic_in_the_middle_of_them_ends_one_room_and_the_rest_is_taken_in_once() {
    let mut two = Two::new();
    let (alice, carol) = (two.alice, two.carol);
    let before = two.rig.stats().rtp_packets_in;
    two.rig.together(|rig| {
        say(rig, carol, 1..=5);
        say(rig, alice, 1..=10);
        say(rig, carol, 6..=30);
        rig.break_for(Served::Peer(alice));
    });
    assert_eq!(two.heard(), [vec![], (1..=30).collect::<Vec<u8>>()]);
    let failed = two.rig.events().into_iter().filter(|event| matches!(event, Event::RoomFailed { .. })).count();
    let stats = two.rig.stats();
    assert_eq!((failed, stats.peers, stats.rtp_packets_in - before), (1, 2, 30));
}
