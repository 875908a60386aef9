//! Data channels (RFC 8831) against a remote that says what it likes inside DTLS: SCTP (RFC 9260) beside and instead of what
//! an honest end would send. Numbers that an association draws are taken from that end, so that hostile chunks are read.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use sfu_core::gate::{EdgeRef, Flow, Gate};
use sfu_core::ids::{Mid, PeerId};
use sfu_core::peer::sctp::dcep::MAX_NAME_BYTES;
use sfu_core::peer::sctp::outbox::MessageSender;
use sfu_core::peer::sctp::{DataEvent, DataTransport, MAX_DATAGRAM_SENT_BYTES, MAX_MESSAGE_BYTES, Reliability};
use sfu_core::session::DataMedia;

use crate::bytes::Choices;
use crate::start;

/// Most things that happen in one run.
const MAX_STEPS: usize = 48;
/// Longest datagram: what DTLS takes.
const MAX_DATAGRAM: usize = 1_500;
/// Source port, destination port, verification tag; the checksum follows.
const TAG_END: usize = 8;
const HEADER: usize = 12;
/// The chunk that acknowledges, whose gaps may take more room than anything else.
const SACK: u8 = 3;
/// Datagrams of one step: a window of data and as much again for what answers to it.
const MAX_SENT_PER_STEP: usize = 2_048;
/// Events of one step: what is read while it is taken out.
const MAX_EVENTS_PER_STEP: usize = 4_096;
/// Rounds in which two honest ends come to rest.
const SETTLING_ROUNDS: usize = 16;

/// Whose messages an end passes on, and to whom.
const PUBLISHER: PeerId = PeerId::new(1, 0);
const SUBSCRIBER: PeerId = PeerId::new(2, 0);

/// One end with the right to what it passes on.
struct End {
    transport: DataTransport,
    gate: Gate,
    edge: EdgeRef,
    /// What its messages consist of, and what those of the rights before it consisted of.
    mark: [u8; 12],
    ended: Vec<[u8; 12]>,
}

impl End {
    fn new(role_is_dtls_client: bool, now: Instant) -> Self {
        let media = DataMedia { mid: Mid::new("0").expect("a name"), sctp_port: 5_000, max_message_size: 65_536 };
        let mut gate = Gate::default();
        let edge = gate.allow(Flow::Data(PUBLISHER), SUBSCRIBER).expect("the first edge");
        let transport = DataTransport::new(role_is_dtls_client, media, now);
        Self { transport, gate, edge, mark: *b"<right 0000>", ended: Vec::new() }
    }

    /// The right ends, and another begins.
    fn revoke(&mut self) {
        self.gate.revoke(Flow::Data(PUBLISHER), SUBSCRIBER);
        self.transport.revoke(self.edge);
        self.edge = self.gate.allow(Flow::Data(PUBLISHER), SUBSCRIBER).expect("an edge is free");
        self.ended.push(self.mark);
        self.mark[7..11].copy_from_slice(format!("{:04}", self.ended.len()).as_bytes());
    }

    /// A message of so many bytes along the edge.
    fn message(&self, len: usize) -> Vec<u8> {
        self.mark.iter().copied().cycle().take(len).collect()
    }

    fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        let not_taken = self.transport.hand_over(&self.gate, |_| {});
        assert_eq!(not_taken.revoked, 0, "what an ended right let wait was dropped with it");
        let datagram = self.transport.poll_transmit()?;
        let said = |mark: &[u8; 12]| datagram.windows(mark.len()).any(|bytes| bytes == mark);
        assert!(!self.ended.iter().any(said), "a message leaves whose right has ended");
        Some(datagram)
    }
}

/// Our end, an honest other one, and what the honest one has under way to us.
struct Bench {
    ours: End,
    theirs: End,
    now: Instant,
    to_us: Vec<Vec<u8>>,
    to_them: Vec<Vec<u8>>,
    /// Ports and tag as they stand before what is for us.
    header: [u8; TAG_END],
    /// Every label that was ever opened.
    opened: BTreeSet<String>,
    closed: usize,
    messages: usize,
}

/// Input: who begins and whether the ends meet first, then steps: bytes raw, with a right checksum or behind the right header;
/// honest datagrams damaged; time; messages, channels and resets of both ends.
pub fn sctp(input: &[u8]) {
    run(input);
}

fn run(input: &[u8]) -> Bench {
    let mut choices = Choices(input);
    let mut bench = Bench::new(choices.byte());
    for _ in 0..MAX_STEPS {
        if choices.is_empty() {
            break;
        }
        bench.step(&mut choices);
        bench.drain();
    }
    bench
}

impl Bench {
    fn new(options: u8) -> Self {
        let now = start();
        let we_begin = options & 1 == 1;
        let mut bench = Self {
            ours: End::new(we_begin, now),
            theirs: End::new(!we_begin, now),
            now,
            to_us: Vec::new(),
            to_them: Vec::new(),
            header: [0x13, 0x88, 0x13, 0x88, 0, 0, 0, 0],
            opened: BTreeSet::new(),
            closed: 0,
            messages: 0,
        };
        bench.theirs.transport.open("chat", true, Reliability::Reliable).expect("the first channel");
        bench.drain();
        if options & 2 == 0 {
            for _ in 0..SETTLING_ROUNDS {
                bench.exchange();
            }
            assert!(bench.opened.contains("chat"), "two honest ends meet");
        }
        bench
    }

    fn step(&mut self, choices: &mut Choices<'_>) {
        match choices.byte() & 7 {
            0 => self.exchange(),
            1 => self.ours.transport.on_datagram(choices.chunk(MAX_DATAGRAM), self.now),
            2 => self.ours.transport.on_datagram(&with_checksum(choices.chunk(MAX_DATAGRAM).to_vec()), self.now),
            3 => {
                let datagram = [&self.header[..], &[0; HEADER - TAG_END], choices.chunk(MAX_DATAGRAM)].concat();
                self.ours.transport.on_datagram(&with_checksum(datagram), self.now);
            }
            4 => self.damage(choices),
            5 => {
                self.now += Duration::from_millis(u64::from(choices.byte()) * 40);
                self.ours.transport.handle_timeout(self.now);
                self.theirs.transport.handle_timeout(self.now);
            }
            6 => act(&mut self.ours, choices),
            _ => act(&mut self.theirs, choices),
        }
    }

    /// The next honest datagram arrives with another byte in it, and perhaps without its end.
    fn damage(&mut self, choices: &mut Choices<'_>) {
        let (place, mask, cut) = (usize::from(choices.word()), choices.byte(), choices.byte());
        if self.to_us.is_empty() {
            return;
        }
        let mut datagram = self.to_us.remove(0);
        let place = place % datagram.len();
        datagram[place] ^= mask;
        datagram.truncate(datagram.len() - usize::from(cut).min(datagram.len() - HEADER));
        self.ours.transport.on_datagram(&with_checksum(datagram), self.now);
    }

    /// What is under way arrives.
    fn exchange(&mut self) {
        for datagram in std::mem::take(&mut self.to_us) {
            self.ours.transport.on_datagram(&datagram, self.now);
        }
        for datagram in std::mem::take(&mut self.to_them) {
            self.theirs.transport.on_datagram(&datagram, self.now);
        }
        self.drain();
    }

    /// Takes what both ends have to say; ours is bounded, and makes sense.
    fn drain(&mut self) {
        while let Some(datagram) = self.theirs.poll_transmit() {
            self.header.copy_from_slice(&datagram[..TAG_END]);
            self.to_us.push(datagram);
        }
        while self.theirs.transport.poll_event().is_some() {}
        let mut sent = 0;
        while let Some(datagram) = self.ours.poll_transmit() {
            sent += 1;
            assert!(sent <= MAX_SENT_PER_STEP, "one datagram of the remote's must not cause a flood");
            let acknowledges = datagram.get(HEADER) == Some(&SACK);
            assert!(acknowledges || datagram.len() <= MAX_DATAGRAM_SENT_BYTES, "{} bytes", datagram.len());
            assert!(datagram.len() >= HEADER);
            self.to_them.push(datagram);
        }
        let mut events = 0;
        while let Some(event) = self.ours.transport.poll_event() {
            events += 1;
            assert!(events <= MAX_EVENTS_PER_STEP);
            self.check(event);
        }
    }

    fn check(&mut self, event: DataEvent) {
        match event {
            DataEvent::Opened { label, .. } => {
                assert!(label.len() <= MAX_NAME_BYTES);
                self.opened.insert(label);
            }
            DataEvent::Message { label, payload, .. } => {
                assert!(payload.len() <= MAX_MESSAGE_BYTES && self.opened.contains(&label));
                self.messages += 1;
            }
            DataEvent::Closed { .. } => self.closed += 1,
        }
    }
}

/// What the application of one end does.
fn act(end: &mut End, choices: &mut Choices<'_>) {
    let kind = choices.byte();
    let label = ["chat", "pointer", "", "état"][usize::from(kind >> 3 & 3)];
    let origin = if kind & 0x40 == 0 {
        MessageSender::Edge { edge: end.edge, publisher: PUBLISHER }
    } else {
        MessageSender::Server
    };
    let is_edge = matches!(origin, MessageSender::Edge { .. });
    let message = |end: &End, len: usize| if is_edge { end.message(len) } else { vec![7; len] };
    // All of these may be refused.
    let _ = match kind & 7 {
        0 => end.transport.open(label, kind & 0x20 == 0, Reliability::Reliable),
        1 => end.transport.open(label, kind & 0x20 == 0, Reliability::MaxRetransmits(u32::from(choices.byte()))),
        2 => end.transport.open(label, kind & 0x20 == 0, Reliability::MaxLifetimeMs(u32::from(choices.word()))),
        3 | 4 => {
            let payload = message(end, usize::from(choices.word())).into();
            end.transport.send(label, payload, kind & 0x20 == 0, origin)
        }
        5 => end.transport.send(label, Vec::new().into(), kind & 0x20 == 0, origin),
        _ => {
            end.revoke();
            Ok(())
        }
    };
}

/// The datagram with its checksum set right, which is CRC-32C (RFC 9260 appendix A).
pub(crate) fn with_checksum(mut datagram: Vec<u8>) -> Vec<u8> {
    if let Some(place) = datagram.get_mut(TAG_END..HEADER) {
        place.fill(0);
        let step = |sum: u32, _| (sum >> 1) ^ (0x82f6_3b78 & (sum & 1).wrapping_neg());
        let sum = !datagram.iter().fold(!0, |sum, byte| (0..8).fold(sum ^ u32::from(*byte), step));
        datagram[TAG_END..HEADER].copy_from_slice(&sum.to_le_bytes());
    }
    datagram
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seeds;

    fn seed(name: &str) -> Bench {
        let seeds = seeds::all();
        let seed = seeds.iter().find(|seed| seed.target == "sctp" && seed.name == name);
        run(&seed.expect("a seed of that name").bytes)
    }

    #[test]
    fn the_seeds_get_as_far_as_messages_resets_and_the_end_of_the_association() {
        assert_eq!(seed("messages").messages, 3);
        assert_eq!(seed("we_begin").messages, 3);
        assert_eq!(seed("message_of_the_largest_size").messages, 1);
        assert_eq!(seed("abort").closed, 1, "with the right tag it ends everything");
        assert_eq!(seed("closed_by_them").closed, 1);
        assert_eq!(seed("nonsense_behind_the_header").closed, 0, "who talks nonsense is not let down");
    }
}
