use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::forward::{PictureId, Tl0PicIdx, Vp8Facts};
use crate::session::Codec;
use crate::units::start;

const CLOCKS: SwitchClocks = SwitchClocks { clock_rate_hz: 90_000, anchors: [None; MAX_ENCODINGS] };
const FIRST: u64 = 70;

fn packet(sequence: u64, timestamp: u32, arrival: Instant) -> PacketFacts {
    PacketFacts {
        arrival,
        sequence,
        timestamp,
        payload_len: 1_000,
        codec: Codec::Vp8,
        marker: false,
        keyframe: false,
        may_be_keyframe: false,
        layer_sync: false,
        padding_only: false,
        tid: None,
        vp8: None,
    }
}

fn vp8(facts: PacketFacts, picture_id: u16, long: bool, tl0: u8) -> PacketFacts {
    let picture_id = Some(PictureId { value: picture_id, long, offset: 2 });
    let tl0_pic_idx = Some(Tl0PicIdx { value: tl0, offset: 4 });
    PacketFacts { vp8: Some(Vp8Facts { picture_id, tl0_pic_idx }), ..facts }
}

/// A rewriter and what goes in by source number, at 3 000 ticks per number.
struct Stream {
    rewriter: Rewriter,
    start: Instant,
}

impl Stream {
    fn new() -> Self {
        let start = start();
        Self { rewriter: Rewriter::new(FIRST, 1_000, start), start }
    }

    fn facts(&self, sequence: u64) -> PacketFacts {
        packet(sequence, sequence as u32 * 3_000, self.start + Duration::from_millis(sequence % 100_000))
    }

    fn out(&mut self, encoding: u8, sequence: u64) -> Option<u64> {
        let facts = self.facts(sequence);
        self.rewriter.rewrite(&facts, encoding, false, &CLOCKS, facts.arrival).map(|out| out.sequence)
    }

    fn switch(&mut self, encoding: u8, sequence: u64) -> Option<u64> {
        let facts = self.facts(sequence);
        self.rewriter.rewrite(&facts, encoding, true, &CLOCKS, facts.arrival).map(|out| out.sequence)
    }

    fn withhold(&mut self, sequence: u64) {
        let facts = self.facts(sequence);
        self.rewriter.drop_packet(&facts, facts.arrival);
    }

    fn source(&self, out: u64) -> Option<(u8, u64, bool)> {
        self.rewriter.map_back(out as u16).map(|source| (source.encoding, source.sequence, source.sent))
    }
}

#[test]
fn the_example_of_the_documentation_is_true() {
    let mut stream = Stream::new();
    assert_eq!(stream.out(0, 1), Some(70));
    assert_eq!(stream.out(0, 3), Some(72));
    assert_eq!(stream.source(71), Some((0, 2, false)));
    stream.withhold(4);
    assert_eq!(stream.out(0, 5), Some(73));
    assert_eq!(stream.out(0, 2), Some(71));
    assert_eq!(stream.source(71), Some((0, 2, true)));
}

#[test]
fn a_late_withheld_packet_leaves_a_hole_that_nothing_fills() {
    let mut stream = Stream::new();
    stream.out(0, 1);
    stream.out(0, 3);
    stream.withhold(2);
    assert_eq!(stream.source(71), None);
    assert_eq!(stream.out(0, 2), None);
    assert_eq!(stream.out(0, 4), Some(73));
}

#[test]
fn a_repeated_packet_is_rejected() {
    let mut stream = Stream::new();
    stream.out(0, 10);
    stream.out(0, 11);
    assert_eq!((stream.out(0, 11), stream.out(0, 10), stream.out(0, 9)), (None, None, None));
    assert_eq!(stream.out(0, 12), Some(72));
}

#[test]
fn a_switch_leaves_no_gap_and_no_way_back() {
    let mut stream = Stream::new();
    stream.out(0, 100);
    stream.out(0, 102);
    assert_eq!(stream.switch(1, 9_000), Some(73));
    assert_eq!(stream.out(0, 101), None, "the old encoding is over");
    assert_eq!(stream.out(1, 8_999), None, "it is from before the keyframe");
    assert_eq!(stream.out(1, 9_001), Some(74));
    assert_eq!(stream.source(72), Some((0, 102, true)));
    assert_eq!(stream.source(71), Some((0, 101, false)));
    assert_eq!(stream.source(73), Some((1, 9_000, true)));
}

#[test]
fn the_index_passes_the_sixteen_bit_boundary() {
    let mut stream = Stream::new();
    stream.rewriter = Rewriter::new(65_534, 0, stream.start);
    let out: Vec<_> = (1..5).filter_map(|sequence| stream.out(0, sequence)).collect();
    assert_eq!(out, [65_534, 65_535, 65_536, 65_537]);
    assert_eq!(stream.source(65_535), Some((0, 2, true)));
    assert_eq!(stream.source(65_536), Some((0, 3, true)));
}

#[test]
fn a_publisher_that_begins_anew_leaves_one_hole() {
    let mut stream = Stream::new();
    stream.out(0, 1);
    assert_eq!(stream.out(0, 20_000), Some(72));
    assert_eq!(stream.source(71), None);
    assert_eq!(stream.out(0, 19_999), None);
    assert_eq!(stream.source(70), Some((0, 1, true)));
}

#[test]
fn the_ring_grows_with_the_rate_and_not_beyond_its_cap() {
    let mut stream = Stream::new();
    for sequence in 1..10_000 {
        stream.out(0, sequence);
    }
    assert_eq!(stream.rewriter.ring.len(), MAX_RING);
    let newest = FIRST + 9_998;
    assert_eq!(stream.source(newest - MAX_RING as u64 + 1), Some((0, 9_999 - MAX_RING as u64 + 1, true)));
    assert_eq!(stream.source(newest - MAX_RING as u64), None);

    let mut slow = Rewriter::new(0, 0, stream.start);
    for sequence in 1..1_000 {
        let at = stream.start + Duration::from_millis(20) * sequence as u32;
        slow.rewrite(&packet(sequence, 0, at), 0, false, &CLOCKS, at);
    }
    assert_eq!(slow.ring.len(), MIN_RING);
}

#[test]
fn forgetting_keeps_the_numbers() {
    let mut stream = Stream::new();
    stream.out(0, 1);
    stream.rewriter.forget();
    assert_eq!(stream.source(70), None);
    assert_eq!(stream.out(0, 1), None);
    stream.withhold(1);
    assert_eq!(stream.switch(0, 50), Some(71));
    assert_eq!(stream.source(71), Some((0, 50, true)));
    assert_eq!(stream.out(0, 51), Some(72));
}

#[test]
fn sender_reports_decide_the_timestamp_of_a_switch() {
    let start = start();
    let anchor = |seconds: u64, timestamp| Some(ClockAnchor { ntp: NtpTime(seconds << 32), timestamp });
    let clocks =
        SwitchClocks { clock_rate_hz: 90_000, anchors: [anchor(100, 5_000), anchor(101, 4_000_000_000), None, None] };
    let mut rewriter = Rewriter::new(FIRST, 1_000, start);
    rewriter.rewrite(&packet(1, 5_000, start), 0, true, &clocks, start);
    // The other encoding shows what encoding 0 showed two seconds after its report; it comes 40 ms late.
    let later = start + Duration::from_millis(2_040);
    let switch = packet(1, 4_000_090_000, later);
    let out = rewriter.rewrite(&switch, 1, true, &clocks, later).map(|out| out.timestamp);
    assert_eq!(out, Some(1_000 + 2 * 90_000));
}

#[test]
fn arrival_decides_where_sender_reports_are_missing_or_absurd() {
    let start = start();
    let anchor = |seconds: u64, timestamp| Some(ClockAnchor { ntp: NtpTime(seconds << 32), timestamp });
    let absurd = SwitchClocks { clock_rate_hz: 90_000, anchors: [anchor(100, 5_000), anchor(900, 77), None, None] };
    for clocks in [CLOCKS, absurd] {
        let mut rewriter = Rewriter::new(FIRST, 1_000, start);
        rewriter.rewrite(&packet(1, 5_000, start), 0, true, &clocks, start);
        let later = start + Duration::from_millis(100);
        let out = rewriter.rewrite(&packet(1, 99, later), 1, true, &clocks, later).map(|out| out.timestamp);
        assert_eq!(out, Some(1_000 + 9_000));
    }
}

#[test]
fn a_switch_at_the_same_instant_still_moves_the_timestamp() {
    let start = start();
    let mut rewriter = Rewriter::new(FIRST, u32::MAX, start);
    rewriter.rewrite(&packet(1, 5_000, start), 0, true, &CLOCKS, start);
    let out = rewriter.rewrite(&packet(1, 9, start), 1, true, &CLOCKS, start).map(|out| out.timestamp);
    assert_eq!(out, Some(0), "one after u32::MAX");
}

#[test]
fn vp8_counters_go_on_over_a_switch_in_their_own_width() {
    let start = start();
    let mut rewriter = Rewriter::new(FIRST, 0, start);
    let mut out = |facts: &PacketFacts, encoding, switched| {
        let out = rewriter.rewrite(facts, encoding, switched, &CLOCKS, start);
        out.map(|out| (out.picture_id, out.tl0_pic_idx))
    };
    assert_eq!(out(&vp8(packet(1, 1, start), 0x7fff, true, 255), 0, true), Some((Some(0x7fff), Some(255))));
    assert_eq!(out(&vp8(packet(9, 1, start), 300, true, 3), 1, true), Some((Some(0), Some(0))));
    assert_eq!(out(&vp8(packet(10, 3_001, start), 302, true, 4), 1, false), Some((Some(2), Some(1))));
    assert_eq!(out(&vp8(packet(5, 1, start), 120, false, 9), 2, true), Some((Some(3), Some(2))));
    assert_eq!(out(&vp8(packet(6, 3_001, start), 0, false, 9), 2, false), Some((Some(11), Some(2))));
}

/// One step of a publisher's network and an allocator, as the random test plays them.
#[derive(Debug, Clone, Copy)]
enum Step {
    Come,
    Lose,
    /// It comes after this many others.
    Delay(u8),
    Withhold,
    WithholdLate(u8),
    Switch(u8),
    Repeat,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        20 => Just(Step::Come),
        2 => Just(Step::Lose),
        2 => (1u8..30).prop_map(Step::Delay),
        4 => Just(Step::Withhold),
        1 => (1u8..30).prop_map(Step::WithholdLate),
        1 => (0u8..3).prop_map(Step::Switch),
        1 => Just(Step::Repeat),
    ];
    proptest::collection::vec(step, 1..600)
}

/// Plays steps, checks each output, and keeps what is needed to check the whole.
struct Play {
    stream: Stream,
    encoding: u8,
    source: u64,
    /// By encoding: the highest number used. A publisher never counts back.
    reached: [u64; 3],
    clock: u64,
    /// By index out: encoding, source number, what it was rewritten to.
    sent: BTreeMap<u64, (u8, PacketFacts, Rewritten)>,
    never_in_order: BTreeSet<(u8, u64)>,
    late: Vec<(u64, u8, u64, bool)>,
}

impl Play {
    fn facts(&self, sequence: u64) -> PacketFacts {
        let facts = packet(sequence, sequence as u32 * 90, self.stream.start + Duration::from_millis(self.clock));
        vp8(facts, sequence as u16 & 0x7fff, true, sequence as u8)
    }

    fn send(&mut self, encoding: u8, sequence: u64, switched: bool) {
        let facts = self.facts(sequence);
        let highest = self.sent.values().last().map(|(_, _, out)| out.timestamp);
        let Some(out) = self.stream.rewriter.rewrite(&facts, encoding, switched, &CLOCKS, facts.arrival) else {
            return;
        };
        if let (true, Some(highest)) = (switched, highest) {
            assert!(out.timestamp.wrapping_sub(highest) as i32 > 0, "time goes back at a switch");
        }
        let source = self.stream.rewriter.map_back(out.sequence as u16).expect("what was just sent is known");
        assert_eq!((source.encoding, source.sequence, source.sent), (encoding, sequence, true));
        assert_eq!(source.rewrite(&facts), out);
        assert!(self.sent.insert(out.sequence, (encoding, facts, out)).is_none(), "an index is used once");
    }

    fn step(&mut self, step: Step) {
        self.clock += 1;
        let (encoding, sequence) = (self.encoding, self.source);
        self.source += 1;
        self.reached[usize::from(encoding)] = sequence;
        match step {
            Step::Come => self.send(encoding, sequence, false),
            Step::Lose => _ = self.never_in_order.insert((encoding, sequence)),
            Step::Delay(by) | Step::WithholdLate(by) => {
                self.never_in_order.insert((encoding, sequence));
                self.late.push((self.clock + u64::from(by), encoding, sequence, matches!(step, Step::Delay(_))));
            }
            Step::Withhold => {
                let facts = self.facts(sequence);
                self.stream.rewriter.drop_packet(&facts, facts.arrival);
            }
            Step::Switch(to) => {
                self.encoding = to;
                // Each encoding counts from elsewhere, and a keyframe comes some packets on.
                let elsewhere = self.clock + u64::from(to) * 10_000 + 70_000;
                self.source = elsewhere.max(self.reached[usize::from(to)] + 5);
                self.send(to, self.source, true);
                self.source += 1;
            }
            Step::Repeat => {
                self.source -= 1;
                self.send(encoding, sequence - 1, false);
            }
        }
        let due: Vec<_> = self.late.iter().copied().filter(|late| late.0 == self.clock).collect();
        for (_, encoding, sequence, goes) in due {
            let facts = self.facts(sequence);
            match goes {
                true => self.send(encoding, sequence, false),
                false if encoding == self.encoding => self.stream.rewriter.drop_packet(&facts, facts.arrival),
                false => {}
            }
        }
    }
}

proptest! {
    #[test]
    fn gaps_are_losses_numbers_are_unique_and_time_goes_on(steps in steps()) {
        let stream = Stream::new();
        let mut play = Play { stream, encoding: 0, source: 70_000, reached: [0; 3], clock: 0, sent: BTreeMap::new(),
            never_in_order: BTreeSet::new(), late: Vec::new() };
        play.send(0, 69_999, true);
        for step in steps {
            play.step(step);
        }
        let next = play.stream.rewriter.next_sequence();
        let mut gaps = 0;
        for index in FIRST..next {
            match (play.sent.get(&index), play.stream.rewriter.map_back(index as u16)) {
                (Some((encoding, facts, out)), Some(source)) => {
                    prop_assert_eq!((source.encoding, source.sequence), (*encoding, facts.sequence));
                    prop_assert_eq!(source.rewrite(facts), *out);
                }
                (None, Some(source)) => {
                    prop_assert!(!source.sent);
                    prop_assert!(play.never_in_order.contains(&(source.encoding, source.sequence)));
                    gaps += 1;
                }
                (Some(_), None) => {}
                (None, None) => gaps += 1,
            }
        }
        prop_assert!(gaps <= play.never_in_order.len());
        // In order of numbers, timestamps and picture numbers never go back.
        let outs: Vec<_> = play.sent.values().map(|(_, _, out)| *out).collect();
        for pair in outs.windows(2) {
            prop_assert!(pair[1].timestamp.wrapping_sub(pair[0].timestamp) as i32 >= 0);
            let ahead = pair[1].picture_id.unwrap().wrapping_sub(pair[0].picture_id.unwrap()) & 0x7fff;
            prop_assert!(ahead < 0x4000);
        }
    }
}
