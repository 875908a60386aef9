//! Two data transports against each other, in virtual time, over a link that loses and reorders.

mod hostile;
mod revoked;

use std::collections::BTreeMap;
use std::time::Duration;

use super::outbox::{MAX_BUFFERED_BYTES, MAX_HELD_BYTES};
use super::*;
use crate::ids::Mid;
use crate::units::start;

fn media() -> DataMedia {
    DataMedia { mid: Mid::new("2").expect("a label"), sctp_port: 5_000, max_message_size: 262_144 }
}

const ONE_WAY: Duration = Duration::from_millis(20);

impl DataTransport {
    /// Says something as the server would.
    pub(crate) fn say(&mut self, label: &str, payload: &[u8], binary: bool) -> Result<(), DataError> {
        self.send(label, payload.into(), binary, MessageSender::Server)?;
        self.hand_over(&Gate::default(), |_| ());
        Ok(())
    }

    /// Closes a channel as a remote may: what SCTP has still goes out.
    fn close(&mut self, label: &str) {
        if let Some(at) = self.channels.iter().position(|channel| channel.is_called(label)) {
            self.close_at(at);
            self.advance();
        }
    }
}

/// A DTLS server (index 0), a client (index 1) and the datagrams between them, by arrival and number.
struct Pair {
    ends: [DataTransport; 2],
    events: [Vec<DataEvent>; 2],
    flying: BTreeMap<(Instant, usize), (usize, Vec<u8>)>,
    now: Instant,
    sent: usize,
    /// One datagram in n is lost, scattered; 0 loses none.
    lose_every: usize,
    /// One datagram in n arrives 30 ms late, scattered; 0 delays none.
    delay_every: usize,
    gate: Gate,
    /// What left the server, lost or not.
    left: Vec<Vec<u8>>,
}

/// Whether `number` is among one in `n`: scattered, so that no rhythm of the protocol falls in with it.
fn one_in(n: usize, number: usize) -> bool {
    let mixed = (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    n != 0 && (mixed >> 33).is_multiple_of(n as u64)
}

impl Pair {
    fn new(lose_every: usize, delay_every: usize) -> Self {
        let now = start();
        let ends = [DataTransport::new(false, media(), now), DataTransport::new(true, media(), now)];
        let (events, flying, gate) = ([vec![], vec![]], BTreeMap::new(), Gate::default());
        Self { ends, events, flying, now, sent: 0, lose_every, delay_every, gate, left: Vec::new() }
    }

    fn connected(lose_every: usize, delay_every: usize) -> Self {
        let mut pair = Self::new(lose_every, delay_every);
        pair.ends[1].open("chat", true, Reliability::Reliable).expect("room");
        pair.run(Duration::from_secs(20));
        pair
    }

    fn gather(&mut self) {
        for end in 0..2 {
            self.ends[end].hand_over(&self.gate, |_| ());
            while let Some(datagram) = self.ends[end].poll_transmit() {
                assert!(datagram.len() <= MAX_DATAGRAM_SENT_BYTES);
                self.sent += 1;
                if end == 0 {
                    self.left.push(datagram.clone());
                }
                if one_in(self.lose_every, self.sent) {
                    continue;
                }
                let late = one_in(self.delay_every, self.sent + 1_000_000);
                let arrival = self.now + ONE_WAY + if late { Duration::from_millis(30) } else { Duration::ZERO };
                self.flying.insert((arrival, self.sent), (1 - end, datagram));
            }
            while let Some(event) = self.ends[end].poll_event() {
                self.events[end].push(event);
            }
        }
    }

    fn run(&mut self, span: Duration) {
        let until = self.now + span;
        loop {
            self.gather();
            let arrival = self.flying.keys().next().map(|(at, _)| *at);
            let timeouts = self.ends.iter().filter_map(DataTransport::poll_timeout);
            let Some(next) = timeouts.chain(arrival).min().filter(|next| *next <= until) else {
                break;
            };
            self.now = self.now.max(next);
            while let Some(entry) = self.flying.first_entry().filter(|entry| entry.key().0 <= self.now) {
                let (end, datagram) = entry.remove();
                self.ends[end].on_datagram(&datagram, self.now);
            }
            self.ends.iter_mut().for_each(|end| end.handle_timeout(self.now));
        }
        self.now = until;
        self.ends.iter_mut().for_each(|end| end.handle_timeout(until));
    }

    fn payloads(&self, end: usize) -> Vec<Vec<u8>> {
        let payload = |event: &DataEvent| match event {
            DataEvent::Message { payload, .. } => Some(payload.clone()),
            _ => None,
        };
        self.events[end].iter().filter_map(payload).collect()
    }
}

fn opened(label: &str, ordered: bool, reliability: Reliability) -> DataEvent {
    DataEvent::Opened { label: label.to_owned(), ordered, reliability }
}

fn closed(label: &str) -> DataEvent {
    DataEvent::Closed { label: label.to_owned() }
}

#[test]
fn either_end_opens_channels_and_both_learn_their_properties() {
    let kinds = [
        ("a", true, Reliability::Reliable),
        ("b", false, Reliability::Reliable),
        ("c", true, Reliability::MaxRetransmits(3)),
        ("d", false, Reliability::MaxRetransmits(0)),
        ("e", true, Reliability::MaxLifetimeMs(200)),
        ("f", false, Reliability::MaxLifetimeMs(200)),
    ];
    for opener in 0..2 {
        let mut pair = Pair::new(0, 0);
        for (label, ordered, reliability) in kinds {
            pair.ends[opener].open(label, ordered, reliability).expect("room");
        }
        pair.run(Duration::from_secs(2));
        let expected: Vec<_> = kinds.iter().map(|(label, ordered, kind)| opened(label, *ordered, *kind)).collect();
        assert_eq!(pair.events, [expected.clone(), expected]);
        assert_eq!(pair.ends[opener].open("a", true, Reliability::Reliable), Err(DataError::LabelTaken));
    }
}

#[test]
fn text_bytes_and_emptiness_arrive_as_what_they_are() {
    let mut pair = Pair::connected(0, 0);
    for end in 0..2 {
        for (payload, binary) in [(&b"text"[..], false), (b"\x00\xff", true), (b"", false), (b"", true)] {
            pair.ends[end].say("chat", payload, binary).expect("open");
        }
    }
    pair.run(Duration::from_secs(1));
    for events in &pair.events {
        let message =
            |payload: &[u8], binary| DataEvent::Message { label: "chat".to_owned(), payload: payload.to_vec(), binary };
        let expected = [message(b"text", false), message(b"\x00\xff", true), message(b"", false), message(b"", true)];
        assert_eq!(events[1..], expected);
    }
}

#[test]
fn a_reliable_ordered_channel_survives_loss_and_reordering() {
    for lose_every in [3, 5, 11] {
        let mut pair = Pair::connected(lose_every, 4);
        let messages: Vec<Vec<u8>> = (0..60_u8).map(|n| vec![n; 1 + usize::from(n) * 97]).collect();
        for message in &messages {
            pair.ends[0].say("chat", message, true).expect("open");
        }
        pair.run(Duration::from_secs(600));
        assert!(pair.payloads(1) == messages, "{} of 60 with one of {lose_every} lost", pair.payloads(1).len());
    }
}

#[test]
fn an_unreliable_channel_gives_up_lost_messages_and_goes_on() {
    for reliability in [Reliability::MaxRetransmits(0), Reliability::MaxLifetimeMs(50)] {
        let mut pair = Pair::connected(0, 0);
        pair.ends[1].open("lossy", false, reliability).expect("room");
        pair.run(Duration::from_secs(1));
        pair.lose_every = 4;
        for n in 0..100_u8 {
            pair.ends[1].handle_timeout(pair.now);
            pair.ends[1].say("lossy", &[n; 900], true).expect("open");
            pair.run(Duration::from_millis(30));
        }
        pair.lose_every = 0;
        pair.run(Duration::from_secs(30));
        let arrived = pair.payloads(0).len();
        assert!((40..100).contains(&arrived), "{arrived} with {reliability:?}");
        pair.ends[1].say("lossy", b"last", true).expect("open");
        pair.run(Duration::from_secs(1));
        assert_eq!(pair.payloads(0).last().map(Vec::as_slice), Some(&b"last"[..]));
    }
}

#[test]
fn a_closed_channel_delivers_what_was_sent_and_can_be_opened_again() {
    for lose_every in [0, 4] {
        let mut pair = Pair::connected(lose_every, 0);
        pair.ends[1].say("chat", b"farewell", false).expect("open");
        pair.ends[1].close("chat");
        assert_eq!(pair.ends[1].say("chat", b"x", false), Err(DataError::UnknownChannel));
        pair.run(Duration::from_secs(60));
        assert_eq!(pair.payloads(0), [b"farewell"]);
        assert_eq!([pair.events[0].last(), pair.events[1].last()], [Some(&closed("chat")), Some(&closed("chat"))]);
        pair.ends[0].open("chat", true, Reliability::Reliable).expect("the label is free again");
        pair.run(Duration::from_secs(60));
        pair.ends[1].say("chat", b"again", false).expect("open");
        pair.run(Duration::from_secs(60));
        assert_eq!(pair.payloads(0), [&b"farewell"[..], b"again"]);
        pair.ends[0].close("chat");
        pair.run(Duration::from_secs(60));
        assert_eq!([pair.events[0].last(), pair.events[1].last()], [Some(&closed("chat")), Some(&closed("chat"))]);
    }
}

#[test]
fn a_channel_without_a_name_is_closed_like_any_other_even_for_a_remote_that_takes_one_byte() {
    let mut pair = Pair::new(0, 0);
    pair.ends[0] = DataTransport::new(false, DataMedia { max_message_size: 1, ..media() }, pair.now);
    pair.ends[0].open("", true, Reliability::Reliable).expect("room");
    pair.run(Duration::from_secs(1));
    assert_eq!(pair.ends[0].say("", b"xy", true), Err(DataError::TooLarge));
    pair.ends[0].say("", b"x", true).expect("one byte");
    pair.ends[0].close("");
    pair.run(Duration::from_secs(5));
    assert_eq!(pair.payloads(1), [b"x"]);
    assert_eq!([pair.events[0].last(), pair.events[1].last()], [Some(&closed("")), Some(&closed(""))]);
}
