//! A bug of ours while one room is served ends that room, tells so, and leaves every other as it was.

use super::joins::{binding_request, client_hello};
use super::rig::{OPUS, Rig, mid};
use super::*;

/// A call in the room under test and a call in another room, which must go on.
struct Two {
    rig: Rig,
    broken: RoomId,
    alice: PeerId,
    bob: PeerId,
    track: TrackId,
    carol: PeerId,
    dave: PeerId,
}

fn call(rig: &mut Rig, first: u64) -> (PeerId, PeerId, TrackId) {
    let (publisher, subscriber) = (rig.join(first), rig.join(first + 1));
    let track = rig.publish(publisher, "a", TrackSource::Microphone);
    rig.subscribe(subscriber, "a", track);
    rig.allow(track, subscriber);
    (publisher, subscriber, track)
}

impl Two {
    fn new() -> Self {
        let mut rig = Rig::new();
        let broken = rig.room;
        let (alice, bob, track) = call(&mut rig, 1);
        rig.new_room();
        let (carol, dave, _) = call(&mut rig, 3);
        rig.tick();
        rig.flush();
        rig.events();
        Self { rig, broken, alice, bob, track, carol, dave }
    }

    /// The other room's packet was served just before: it must not be taken for the culprit.
    fn serve_the_other_room(&mut self) {
        assert_eq!(self.rig.send_audio(self.carol, 1, b"before"), [(self.dave, b"before".to_vec())]);
    }

    fn assert_only_the_broken_room_ended(mut self, step: &str) {
        let failed: Vec<_> =
            self.rig.events().into_iter().filter(|event| matches!(event, Event::RoomFailed { .. })).collect();
        assert_eq!(failed, [Event::RoomFailed { room: self.broken }], "{step}");
        let stats = self.rig.stats();
        assert_eq!((stats.panics, stats.peers, stats.tracks, stats.edges), (1, 2, 1, 1), "{step}");
        assert_eq!(self.rig.send_audio(self.carol, 2, b"after"), [(self.dave, b"after".to_vec())], "{step}");
        let again = Command::CreatePeer { room: self.broken, participant: crate::ids::ParticipantId(9) };
        assert_eq!(self.rig.command(again), Err(Refusal::RoomFailed), "{step}");
    }
}

/// Breaks the engine whenever it serves Alice, does `act`, and expects her room and no other to end.
fn breaks(step: &str, act: impl FnOnce(&mut Two)) {
    let mut two = Two::new();
    two.serve_the_other_room();
    two.rig.break_for(Served::Peer(two.alice));
    act(&mut two);
    two.assert_only_the_broken_room_ended(step);
}

#[test]
fn a_panic_while_a_datagram_is_taken_in_ends_the_room_of_its_sender() {
    breaks("RTP", |two| two.rig.noise(two.alice, OPUS));
    breaks("RTCP", |two| two.rig.noise(two.alice, 200));
    breaks("DTLS", |two| {
        let hello = client_hello(two.rig.now());
        two.rig.send_from(two.alice, &hello[0]);
    });
}

#[test]
fn a_panic_in_a_turn_ends_the_room_of_the_peer_being_served() {
    breaks("timer", |two| {
        // Alice's reports come due.
        two.rig.advance(Duration::from_secs(3));
    });
    let mut two = Two::new();
    two.serve_the_other_room();
    two.rig.break_for(Served::Peer(two.bob));
    assert_eq!(two.rig.send_audio(two.alice, 1, b"to bob"), []);
    two.assert_only_the_broken_room_ended("flush");
}

#[test]
fn a_panic_over_a_request_or_a_handshake_ends_the_room_of_whom_it_names() {
    for step in ["STUN", "handshake"] {
        let mut rig = Rig::new();
        let broken = rig.room;
        let (peer, local) = rig.stranger(1);
        rig.new_room();
        let (carol, dave, _) = call(&mut rig, 3);
        rig.tick();
        let address = ([203, 0, 113, 1], 10_000).into();
        let hello = client_hello(rig.now());
        if step == "handshake" {
            rig.datagram(address, &binding_request(&local, false));
            rig.datagram(address, &hello[0]);
        }
        rig.flush();
        rig.events();
        rig.break_for(Served::Peer(peer));
        if step == "STUN" {
            rig.datagram(address, &binding_request(&local, false));
        }
        rig.tick();
        assert!(rig.events().contains(&Event::RoomFailed { room: broken }), "{step}");
        assert_eq!(rig.send_audio(carol, 2, b"on"), [(dave, b"on".to_vec())], "{step}");
        assert_eq!(rig.stats().peers, 2, "{step}");
    }
}

#[test]
fn a_panic_over_the_packet_of_a_bot_ends_its_room() {
    let mut rig = Rig::new();
    let broken = rig.room;
    let bot = rig.join_bot(1);
    rig.new_room();
    let (carol, dave, _) = call(&mut rig, 3);
    rig.break_for(Served::Peer(bot));
    rig.ingest_bot(bot, &[0x80, OPUS, 0, 1, 0, 0, 0, 1, 0, 0, 0, 9, 1]);
    assert!(rig.events().contains(&Event::RoomFailed { room: broken }));
    assert_eq!(rig.send_audio(carol, 2, b"on"), [(dave, b"on".to_vec())]);
}

#[test]
fn a_panic_inside_a_command_ends_the_room_that_it_concerns() {
    let about = |two: &Two| {
        [
            Command::CreatePeer { room: two.broken, participant: crate::ids::ParticipantId(9) },
            Command::Publish { peer: two.alice, mid: mid("v"), source: TrackSource::Camera, encrypted: false },
            Command::Revoke { track: two.track, subscriber: two.bob },
            Command::RemovePeer { peer: two.bob },
            Command::RevokeData { publisher: two.alice, subscriber: two.bob },
        ]
    };
    for number in 0..about(&Two::new()).len() {
        let mut two = Two::new();
        two.serve_the_other_room();
        let command = about(&two)[number].clone();
        two.rig.break_for(Served::Room(two.broken));
        assert_eq!(two.rig.command(command.clone()), Err(Refusal::RoomFailed));
        two.assert_only_the_broken_room_ended(&format!("{command:?}"));
    }
}

#[test]
fn a_room_that_was_ended_by_a_panic_can_still_be_removed() {
    let mut two = Two::new();
    two.rig.break_for(Served::Peer(two.alice));
    two.rig.noise(two.alice, OPUS);
    assert_eq!(two.rig.command(Command::RemoveRoom { room: two.broken }), Ok(Reply::Done));
    assert_eq!(two.rig.stats().rooms, 1);
}

#[test]
fn a_room_that_was_ended_by_a_panic_is_in_no_snapshot() {
    let mut two = Two::new();
    two.rig.break_for(Served::Peer(two.alice));
    two.rig.noise(two.alice, OPUS);
    let Ok(Reply::Snapshot { snapshot }) = two.rig.command(Command::Snapshot) else { panic!("a snapshot") };
    assert_eq!(snapshot.rooms, [two.rig.room], "whoever missed that it failed learns it from here");
}

#[test]
fn a_second_panic_while_the_room_is_cleared_ends_neither_the_worker_nor_another_room() {
    let mut two = Two::new();
    two.serve_the_other_room();
    // Counting Bob's last edge down breaks, as it would with a table that is wrong: his removal and that of Alice's track.
    let bob = two.rig.engine.peers.find(two.bob).expect("bob is there").participant;
    two.rig.engine.rooms.find_mut(two.broken).expect("a room").listeners.insert(bob, 0);
    two.rig.break_for(Served::Peer(two.alice));
    two.rig.noise(two.alice, OPUS);
    let broken = two.broken;
    for peer in [two.alice, two.bob] {
        assert_eq!(two.rig.command(Command::RemovePeer { peer }), Err(Refusal::UnknownPeer));
    }
    assert!(two.rig.engine.gate.subscribers(crate::gate::Flow::Track(two.track)).is_empty());
    let Ok(Reply::Snapshot { snapshot }) = two.rig.command(Command::Snapshot) else { panic!("a snapshot") };
    assert!(snapshot.rosters.iter().all(|roster| roster.room != broken), "nobody hears anything there");
    assert_eq!(two.rig.command(Command::RemoveRoom { room: broken }), Ok(Reply::Done));
    assert_eq!(two.rig.stats().rooms, 1);
    let again = Command::CreateRoom;
    assert!(matches!(two.rig.command(again), Ok(Reply::Room { .. })), "its slot serves another room");
    let stats = two.rig.stats();
    assert_eq!((stats.panics, stats.peers, stats.tracks, stats.edges), (1, 2, 1, 1));
    assert_eq!(two.rig.send_audio(two.carol, 2, b"after"), [(two.dave, b"after".to_vec())]);
}

#[test]
fn a_fault_while_fetching_ahead_ends_no_room_and_stops_nothing() {
    for step in ["ingest", "tick", "flush"] {
        let mut two = Two::new();
        let whom = if step == "flush" { two.bob } else { two.alice };
        two.serve_the_other_room();
        two.rig.break_ahead_of(whom);
        if step == "tick" {
            two.rig.advance(Duration::from_secs(2));
        }
        for number in 2..5 {
            let word = b"on".to_vec();
            assert_eq!(two.rig.send_audio(two.alice, number, b"on"), [(two.bob, word.clone())], "{step}");
            assert_eq!(two.rig.send_audio(two.carol, number, b"on"), [(two.dave, word)], "{step}");
        }
        assert!(!two.rig.events().iter().any(|event| matches!(event, Event::RoomFailed { .. })), "{step}");
        let stats = two.rig.stats();
        assert_eq!((stats.panics, stats.peers), (1, 4), "{step}: counted once, and left out from then on");
    }
}

#[test]
fn a_fault_in_the_flush_of_a_second_group_ends_one_room_only() {
    let mut rig = Rig::new();
    let everyone: Vec<_> = (1..=2 * lookahead::PEERS as u64)
        .map(|n| {
            if n > 1 {
                rig.new_room();
            }
            let (publisher, subscriber) = (rig.join(n), rig.join(100 + n));
            let track = rig.publish(publisher, "a", TrackSource::Microphone);
            rig.subscribe(subscriber, "a", track);
            rig.allow(track, subscriber);
            (rig.room, publisher, subscriber)
        })
        .collect();
    rig.tick();
    rig.flush();
    rig.events();
    for (_, publisher, _) in &everyone {
        rig.send_unseen(*publisher, 1);
    }
    let (broken, _, culprit) = everyone[lookahead::PEERS + 3];
    rig.break_for(Served::Peer(culprit));
    let mut reached: Vec<_> = rig.flush().iter().map(|seen| seen.to).collect();
    reached.sort_unstable();
    let mut others: Vec<_> = everyone.iter().map(|(_, _, who)| *who).filter(|who| *who != culprit).collect();
    others.sort_unstable();
    assert_eq!(reached, others);
    let failed: Vec<_> = rig.events().into_iter().filter(|event| matches!(event, Event::RoomFailed { .. })).collect();
    assert_eq!(failed, [Event::RoomFailed { room: broken }]);
}

struct Breaks;

impl Sink for Breaks {
    fn transmit(&mut self, _batch: &transmit::TransmitBatch) -> usize {
        panic!("the test wants this to break");
    }

    fn deliver(&mut self, _bot: PeerId, _packet: &[u8]) {}
}

#[test]
fn a_batch_that_breaks_whoever_takes_it_is_given_up_and_the_next_turn_goes_on() {
    let mut two = Two::new();
    two.rig.send_unseen(two.carol, 1);
    let now = two.rig.now();
    two.rig.engine.flush(&mut Breaks, now);
    assert_eq!(two.rig.stats().panics, 1);
    assert_eq!(two.rig.send_audio(two.carol, 2, b"on"), [(two.dave, b"on".to_vec())]);
    assert_eq!((two.rig.stats().rooms, two.rig.stats().peers), (2, 4));
}

#[test]
fn a_full_batch_that_breaks_ends_nobodys_room_and_what_had_no_place_in_it_leaves_later() {
    let mut rig = Rig::new();
    let (alice, bob, track) = call(&mut rig, 1);
    let others = [3, 4, 5, 6].map(|participant| rig.join(participant));
    for other in others {
        rig.subscribe(other, "a", track);
        rig.allow(track, other);
    }
    // Each is longer than the one before, so that it begins a group of its own.
    for n in 0..60u16 {
        rig.ingest_with(alice, (OPUS, 1), n, u32::from(n) * 960, &vec![1; 20 + usize::from(n)], &[]);
    }
    let now = rig.now();
    rig.engine.flush(&mut Breaks, now);
    assert_eq!((rig.stats().panics, rig.stats().peers, rig.stats().rooms), (1, 6, 1));
    let reached: BTreeSet<PeerId> = rig.flush().iter().map(|seen| seen.to).collect();
    assert_eq!(reached.iter().collect::<Vec<_>>(), [&others[3]], "the batch had no place for all of the last one's");
    assert_eq!(rig.send_audio(alice, 60, b"on").len(), 1 + others.len());
    assert!(rig.events().iter().all(|event| !matches!(event, Event::RoomFailed { .. })));
    assert!(rig.numbers(bob).len() == 1);
}

#[test]
fn a_batch_that_breaks_after_someone_broke_takes_nothing_along_that_was_not_in_it() {
    let mut two = Two::new();
    two.rig.new_room();
    let (erin, frank, _) = call(&mut two.rig, 5);
    two.rig.tick();
    two.rig.flush();
    for speaker in [two.carol, two.alice, erin] {
        two.rig.send_unseen(speaker, 1);
    }
    two.rig.break_for(Served::Peer(two.bob));
    let now = two.rig.now();
    two.rig.engine.flush(&mut Breaks, now);
    assert_eq!((two.rig.stats().panics, two.rig.stats().peers), (2, 4), "Bob's room and the batch");
    let reached: Vec<_> = two.rig.flush().iter().map(|seen| seen.to).collect();
    assert_eq!(reached, [frank]);
}
