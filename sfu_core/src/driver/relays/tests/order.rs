//! What comes before what, in workers whose turns the test takes.

use super::super::super::worker::{Parts, Worker};
use super::super::super::{bots, lanes, ring};
use super::*;

/// Whole frames fit or are left out, and what is read is what was written.
#[test]
fn only_whole_frames_are_handed_over() {
    let mut relays = mesh(2).expect("a descriptor");
    let (first, second) = relays.split_at_mut(1);
    assert!(first[0].open(RELAY, RelayEnd::Near));
    first[0].send(RELAY, Frame::Rtp(&[1; 9]));
    assert!(first[0].to[1].staged.is_empty(), "nobody is there to miss it");
    assert!(second[0].open(RELAY, RelayEnd::Far));
    for size in [3, 0, 700] {
        first[0].send(RELAY, Frame::Rtp(&vec![7; size]));
    }
    first[0].send(RelayId(1), Frame::Rtp(&[1; 9]));
    first[0].send(RELAY, Frame::Feedback(&[1; 9]));
    let staged = &first[0].to[1].staged;
    let lens: Vec<usize> = frames(staged)
        .map(|(relay, cuts, frame)| {
            assert_eq!((relay, cuts), (RELAY, 0));
            let Frame::Rtp(bytes) = frame else { panic!("another frame") };
            bytes.len()
        })
        .collect();
    assert_eq!(lens, [3, 0, 700]);
    for (room, expected) in [(usize::MAX, (751, 0)), (751, (751, 0)), (750, (35, 1)), (34, (19, 2)), (0, (0, 3))] {
        assert_eq!(fitting(staged, room), expected);
    }
}

#[test]
fn what_does_not_fit_is_counted() {
    let mut relays = mesh(2).expect("a descriptor");
    assert!(relays[0].open(RELAY, RelayEnd::Near) && relays[1].open(RELAY, RelayEnd::Far));
    let fits = MAX_RELAY_BYTES / (HEADER_LEN + 1_200);
    for _ in 0..2 {
        (0..fits).for_each(|_| relays[0].send(RELAY, Frame::Rtp(&[0; 1_200])));
        relays[0].publish();
    }
    assert_eq!(relays[0].take_dropped(), fits as u64, "nobody takes them");
    (0..=fits).for_each(|_| relays[0].send(RELAY, Frame::Rtp(&[0; 1_200])));
    assert_eq!(relays[0].take_dropped(), 1);
    assert!(relays[0].to[1].staged.capacity() <= 2 * MAX_RELAY_BYTES);
}

/// What an engine was asked to do with the relay.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Take(u8),
    Cut,
    Close(RelayEnd),
}

/// An engine whose every revocation cuts the relay, and what it was asked.
#[derive(Default)]
struct Cuts(Vec<RelayNotice>, Vec<Asked>);

impl Drive for Cuts {
    fn ingest(&mut self, _batch: &mut [Datagram<'_>], _now: Instant) {}
    fn ingest_bot(&mut self, _bot: PeerId, _packet: &[u8], _now: Instant) {}
    fn tick(&mut self, now: Instant) -> Instant {
        now
    }
    fn flush(&mut self, _sink: &mut dyn Sink, _now: Instant) {}
    fn command(&mut self, command: Command, _now: Instant) -> Result<Reply, Refusal> {
        if command.is_revocation() {
            self.0.push(RelayNotice::Cut(RELAY));
        }
        Ok(Reply::Done)
    }
    fn drain_events(&mut self, _into: &mut Vec<Event>) {}
    fn ingest_relay(&mut self, _relay: RelayId, frame: Frame<'_>, _now: Instant) {
        let (Frame::Rtp(bytes) | Frame::Rtcp(bytes) | Frame::Feedback(bytes)) = frame;
        self.1.push(Asked::Take(bytes[0]));
    }
    fn cut_relay(&mut self, _relay: RelayId) {
        self.1.push(Asked::Cut);
    }
    fn close_relay(&mut self, _relay: RelayId, end: RelayEnd) {
        self.1.push(Asked::Close(end));
    }
    fn drain_relay_notices(&mut self, into: &mut Vec<RelayNotice>) {
        into.append(&mut self.0);
    }
}

#[test]
fn no_frame_from_before_a_cut_is_taken_after_it_and_none_from_after_it_without_it() {
    let mut relays = mesh(2).expect("a descriptor");
    let (mut far, mut near) = (relays.pop().expect("two"), relays.pop().expect("two"));
    assert!(near.open(RELAY, RelayEnd::Near) && far.open(RELAY, RelayEnd::Far));
    let (mut here, mut there) = (Cuts::default(), Cuts::default());
    let now = crate::units::start();
    let send = |near: &mut Relays, byte| near.send(RELAY, Frame::Rtp(&[byte]));
    let cut = |near: &mut Relays, here: &mut Cuts| {
        here.0.push(RelayNotice::Cut(RELAY));
        near.tell(here)
    };
    let mut asked = |far: &mut Relays, heeds: bool| {
        if heeds {
            far.heed(&mut there);
        }
        far.receive(&mut there, now);
        std::mem::take(&mut there.1)
    };
    send(&mut near, 1);
    near.publish();
    assert_eq!(asked(&mut far, true), [Asked::Take(1)]);
    send(&mut near, 2);
    near.publish();
    send(&mut near, 3);
    let waits = cut(&mut near, &mut here);
    assert_eq!((waits.len(), near.is_over(waits[0])), (1, false));
    send(&mut near, 4);
    near.publish();
    assert_eq!(asked(&mut far, true), [Asked::Cut, Asked::Take(4)]);
    assert!(near.is_over(waits[0]));
    // The other worker looked for orders just before it was given this one.
    cut(&mut near, &mut here);
    send(&mut near, 5);
    near.publish();
    assert_eq!(asked(&mut far, false), [Asked::Cut, Asked::Take(5)]);
    assert_eq!(asked(&mut far, true), [], "once is enough");
    cut(&mut near, &mut here);
    assert_eq!(asked(&mut far, true), [Asked::Cut], "although nothing follows");
    far.send(RELAY, Frame::Feedback(&[6]));
    far.publish();
    near.receive(&mut here, now);
    assert_eq!(here.1, [Asked::Take(6)]);
    here.0.push(RelayNotice::Closed(RELAY, RelayEnd::Near));
    assert_eq!(near.tell(&mut here).len(), 1);
    assert_eq!(asked(&mut far, true), [Asked::Close(RelayEnd::Far)]);
}

#[test]
fn a_revocation_is_answered_when_the_other_worker_has_taken_a_turn() {
    let mut relays = mesh(2).expect("a descriptor");
    let (mut other, here) = (relays.pop().expect("two"), relays.pop().expect("two"));
    let wake = here.wake();
    let (counters, bell) = (Arc::default(), Arc::new(Wake::new().expect("a descriptor")));
    let (submit, commands) = lanes::lanes(Arc::clone(&wake));
    let (sender, mut receiver) = ring::ring(16, bell, Arc::clone(&wake), Arc::clone(&counters));
    let bots = bots::Bots::new(bots::BotRegistry::default(), Arc::clone(&wake));
    let (engine, ports, stop) = (Cuts::default(), Vec::new(), Arc::default());
    let mut worker = Worker::new(Parts { engine, ports, commands, sender, bots, relays: here, wake, counters, stop });
    let (track, peer) = (TrackId::new(0, 0), PeerId::new(0, 0));
    let mut answers = |worker: &mut Worker<Cuts>, command: Option<Command>| {
        let request = command.map(|command| Request { id: 1, command });
        if let Some(request) = request {
            submit.submit(request).expect("not busy");
        }
        worker.turn(crate::units::start());
        let mut answers = 0;
        receiver.pop(usize::MAX, |_, _| answers += 1);
        answers
    };
    let revoke = Some(Command::Revoke { track, subscriber: peer });
    assert_eq!(answers(&mut worker, Some(Command::RelayOut { track, relay: RELAY })), 1);
    assert_eq!(answers(&mut worker, revoke.clone()), 1, "nobody else is concerned");
    assert!(other.open(RELAY, RelayEnd::Far));
    for _ in 0..2 {
        assert_eq!(answers(&mut worker, revoke.clone()), 0);
        assert_eq!(answers(&mut worker, Some(Command::Stats)), 1, "others do not wait for it");
        assert!(other.heed(&mut Cuts::default()));
        assert_eq!(answers(&mut worker, None), 1);
    }
    assert_eq!(answers(&mut worker, revoke.clone()), 0);
    other.fail();
    assert_eq!(answers(&mut worker, None), 1, "who has failed sends nothing any more");
}
