//! An edge ends while its messages wait, are on their way, or have been lost.

use super::*;
use crate::gate::Flow;

const ALICE: PeerId = PeerId::new(1, 0);
const CAROL: PeerId = PeerId::new(2, 0);
const BOB: PeerId = PeerId::new(3, 0);

/// Bob (index 1) and the server's transport to him (index 0), with the gate before it.
struct Desk {
    pair: Pair,
}

impl Desk {
    fn new(lose_every: usize) -> Self {
        let mut pair = Pair::connected(0, 0);
        pair.ends[1].open("other", true, Reliability::Reliable).expect("room");
        pair.run(Duration::from_secs(1));
        pair.lose_every = lose_every;
        Self { pair }
    }

    fn allow(&mut self, publisher: PeerId) -> EdgeRef {
        self.pair.gate.allow(Flow::Data(publisher), BOB).expect("room")
    }

    fn forward(&mut self, publisher: PeerId, label: &str, payload: &[u8]) -> Result<(), DataError> {
        let edge = self.pair.gate.find(Flow::Data(publisher), BOB).expect("an edge");
        self.pair.ends[0].send(label, payload.into(), true, MessageSender::Edge { edge, publisher })
    }

    fn revoke(&mut self, publisher: PeerId) -> u64 {
        let edge = self.pair.gate.find(Flow::Data(publisher), BOB).expect("an edge");
        self.pair.gate.revoke(Flow::Data(publisher), BOB);
        self.pair.ends[0].revoke(edge)
    }

    fn run(&mut self, span: Duration) {
        self.pair.run(span);
    }

    /// Whether any datagram that left since the last call says `word`.
    fn said(&mut self, word: &[u8]) -> bool {
        std::mem::take(&mut self.pair.left)
            .iter()
            .any(|datagram| datagram.windows(word.len()).any(|window| window == word))
    }
}

#[test]
fn of_a_revoked_edge_nothing_leaves_whether_it_waited_or_was_sent_before_and_lost() {
    for lose_every in [0, 3] {
        let mut desk = Desk::new(lose_every);
        desk.allow(ALICE);
        for _ in 0..100 {
            desk.forward(ALICE, "chat", &b"alice".repeat(800)).expect("room");
        }
        desk.run(Duration::from_millis(45));
        assert!(desk.said(b"alicealice"));
        assert!(desk.revoke(ALICE) > 0, "most of it waits");
        desk.pair.left.clear();
        desk.run(Duration::from_secs(600));
        assert!(!desk.said(b"alicealice"), "one of {lose_every} lost");
        assert_eq!(desk.pair.events[1].last(), Some(&closed("chat")));
    }
}

#[test]
fn half_of_a_message_is_not_delivered_and_the_association_goes_on() {
    let mut desk = Desk::new(0);
    desk.allow(ALICE);
    desk.allow(CAROL);
    desk.forward(ALICE, "chat", &b"alice".repeat(12_000)).expect("room");
    desk.run(Duration::from_millis(30));
    desk.revoke(ALICE);
    desk.forward(CAROL, "other", b"carol").expect("room");
    desk.run(Duration::from_secs(5));
    assert_eq!(desk.pair.payloads(1), [b"carol"]);
    desk.pair.ends[1].open("chat", true, Reliability::Reliable).expect("the label is free again");
    desk.run(Duration::from_secs(2));
    desk.forward(CAROL, "chat", b"again").expect("room");
    desk.run(Duration::from_secs(2));
    assert_eq!(desk.pair.payloads(1), [b"carol", b"again"]);
}

#[test]
fn a_channel_on_which_nothing_of_the_edge_is_under_way_stays_open() {
    let mut desk = Desk::new(0);
    desk.allow(ALICE);
    desk.allow(CAROL);
    desk.forward(ALICE, "chat", b"alice").expect("room");
    desk.run(Duration::from_secs(1));
    for _ in 0..40 {
        desk.forward(ALICE, "other", &b"alice".repeat(800)).expect("room");
    }
    desk.run(Duration::from_millis(1));
    desk.revoke(ALICE);
    desk.forward(CAROL, "chat", b"carol").expect("open");
    desk.run(Duration::from_secs(2));
    assert_eq!(desk.pair.payloads(1).last().map(Vec::as_slice), Some(&b"carol"[..]));
    let closings = desk.pair.events[1].iter().filter(|event| matches!(event, DataEvent::Closed { .. }));
    assert_eq!(closings.collect::<Vec<_>>(), [&closed("other")]);
}

#[test]
fn sctp_gets_no_more_than_it_can_send_soon() {
    let mut desk = Desk::new(0);
    desk.allow(ALICE);
    for _ in 0..100 {
        desk.forward(ALICE, "chat", &[1; 4_000]).expect("room");
    }
    let pair = &mut desk.pair;
    pair.ends[0].hand_over(&pair.gate, |_| ());
    assert!(desk.pair.ends[0].held_bytes() <= MAX_HELD_BYTES);
    assert_eq!(desk.revoke(ALICE) as usize, 100 - MAX_HELD_BYTES / 4_000);
}

#[test]
fn the_gate_is_asked_when_a_message_leaves_and_not_when_it_comes() {
    let mut desk = Desk::new(0);
    desk.allow(ALICE);
    desk.forward(ALICE, "chat", b"alice").expect("room");
    desk.pair.gate.revoke(Flow::Data(ALICE), BOB);
    let pair = &mut desk.pair;
    let not_taken = pair.ends[0].hand_over(&pair.gate, |_| panic!("nobody's message passes"));
    assert_eq!((not_taken.revoked, not_taken.closing), (1, 0));
    desk.run(Duration::from_secs(1));
    assert!(desk.pair.payloads(1).is_empty());
}
