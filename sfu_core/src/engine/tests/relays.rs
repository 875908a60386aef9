//! Both ends of a relay as their engines see them: what leaves, who is told, what is refused.

use super::rig::{OPUS, Rig, VP8, mid, session};
use super::*;
use crate::engine::command::Cap;
use crate::engine::transmit::{Frame, RelayEnd, RelayNotice, TransmitBatch};
use crate::ids::{ParticipantId, RelayId, Rid, Ssrc};
use crate::rtp::ext::ExtensionKind;
use crate::rtp::header::Packet;
use crate::session::RelayDescription;

const RELAY: RelayId = RelayId(5);

/// Keeps what the ends of relays say.
#[derive(Default)]
struct Said(Vec<Vec<u8>>);

impl Sink for Said {
    fn transmit(&mut self, batch: &TransmitBatch) -> usize {
        batch.groups.len()
    }
    fn deliver(&mut self, _bot: PeerId, _packet: &[u8]) {}
    fn relay(&mut self, relay: RelayId, frame: Frame<'_>) {
        assert_eq!(relay, RELAY);
        let (Frame::Rtp(bytes) | Frame::Rtcp(bytes) | Frame::Feedback(bytes)) = frame;
        self.0.push(bytes.to_vec());
    }
}

fn said(rig: &mut Rig) -> Vec<Vec<u8>> {
    let mut said = Said::default();
    rig.engine.flush(&mut said, rig.now);
    said.0
}

fn out(rig: &mut Rig, track: TrackId) -> (PeerId, Box<RelayDescription>) {
    let Ok(Reply::Relay { peer, description }) = rig.command(Command::RelayOut { track, relay: RELAY }) else {
        panic!("a relay")
    };
    (peer, description)
}

fn relay_in(rig: &Rig, description: Box<RelayDescription>, number: u64) -> Command {
    Command::RelayIn { room: rig.room, participant: ParticipantId(9), relay: RelayId(number), description }
}

fn notices(rig: &mut Rig) -> Vec<RelayNotice> {
    let mut notices = Vec::new();
    rig.engine.drain_relay_notices(&mut notices);
    notices
}

#[test]
fn nothing_leaves_before_it_is_allowed_and_then_it_leaves_as_it_came() {
    let mut rig = Rig::new();
    let alice = rig.join_with(1, |session| session.receive[1].encodings[1].rid = Rid::new("h"));
    let track = rig.publish(alice, "v", TrackSource::Camera);
    let (near, description) = out(&mut rig, track);
    let capture = [9; 8];
    let long = [7; 40];
    let values: [(ExtensionKind, &[u8]); 4] = [
        (ExtensionKind::AbsCaptureTime, &capture),
        (ExtensionKind::VideoOrientation, &[3]),
        (ExtensionKind::PlayoutDelay, &[1, 2, 3]),
        (ExtensionKind::DependencyDescriptor, &long),
    ];
    rig.ingest_with(alice, (VP8, 3), 7, 9_000, b"\x10keyframe", &values);
    assert_eq!(said(&mut rig), Vec::<Vec<u8>>::new());
    rig.allow(track, near);
    rig.ingest_with(alice, (VP8, 3), 6, 6_000, b"\x10late", &values);
    assert!(said(&mut rig).is_empty(), "what came before the right to it is not covered by it");
    rig.ingest_with(alice, (VP8, 3), 8, 12_000, b"\x10as it came", &values);
    let [bytes] = &said(&mut rig)[..] else { panic!("one packet") };
    let packet = Packet::parse(bytes).expect("RTP");
    let header = (packet.header.payload_type, packet.header.sequence_number, packet.header.timestamp);
    assert_eq!((header, packet.header.ssrc), ((VP8, 8, 12_000), Ssrc(0x1003)));
    assert_eq!((packet.header.marker, packet.payload), (true, &b"\x10as it came"[..]));
    let extensions = packet.extensions.read(&description.extensions);
    assert_eq!((extensions.rid, extensions.mid, extensions.transport_cc), (Some(&b"h"[..]), None, None));
    assert_eq!((extensions.abs_capture_time, extensions.playout_delay), (Some(&capture[..]), Some(&[1, 2, 3][..])));
    assert_eq!((extensions.video_orientation, extensions.dependency_descriptor), (Some(3), Some(&long[..])));
    assert_eq!((rig.stats().relay_packets_out, rig.stats().unauthorized_forwards), (1, 0));
}

#[test]
fn the_clock_of_the_publisher_is_told_with_the_first_packet_and_whenever_it_is_told_anew() {
    let mut rig = Rig::new();
    let alice = rig.join(1);
    let track = rig.publish(alice, "a", TrackSource::Microphone);
    let (near, _) = out(&mut rig, track);
    rig.send_unseen(alice, 1);
    rig.report(alice, 1, 960);
    assert!(said(&mut rig).is_empty());
    let clocks = |rig: &mut Rig| -> Vec<(u32, u32)> {
        let said = said(rig);
        let reports = said.iter().flat_map(|bytes| crate::rtcp::packets(bytes));
        let clock = |packet| match packet {
            Ok(crate::rtcp::RtcpPacket::SenderReport(report)) => Some((report.sender.0, report.timestamp)),
            _ => None,
        };
        reports.filter_map(clock).collect()
    };
    for first in [2, 4] {
        rig.allow(track, near);
        rig.send_unseen(alice, first);
        assert_eq!(clocks(&mut rig), [(0x1001, 960)], "at once, for the publisher may take a second");
        rig.send_unseen(alice, first + 1);
        assert_eq!(clocks(&mut rig), []);
        rig.report(alice, 1, 960);
        assert_eq!(clocks(&mut rig), [(0x1001, 960)]);
        rig.revoke(track, near);
        rig.report(alice, 1, 960);
        assert_eq!(clocks(&mut rig), []);
        rig.report(alice, 1, 960);
    }
}

#[test]
fn what_came_while_there_was_no_right_is_not_had_later_even_if_it_is_asked_for() {
    let mut rig = Rig::new();
    let alice = rig.join(1);
    let track = rig.publish(alice, "a", TrackSource::Microphone);
    let (near, _) = out(&mut rig, track);
    let ask = |rig: &mut Rig, numbers: &[u16]| {
        let mut request = [0; 40];
        let len = crate::rtcp::nack::write(Ssrc(1), Ssrc(0x1001), numbers, &mut request).expect("it fits");
        rig.engine.ingest_relay(RELAY, Frame::Feedback(&request[..len]), rig.now);
    };
    let numbers = |rig: &mut Rig| -> Vec<u16> {
        let said = said(rig);
        said.iter().map(|bytes| Packet::parse(bytes).expect("RTP").header.sequence_number).collect()
    };
    rig.send_unseen(alice, 1);
    rig.allow(track, near);
    rig.send_unseen(alice, 2);
    assert_eq!(numbers(&mut rig), [2]);
    ask(&mut rig, &[1, 2]);
    assert_eq!(numbers(&mut rig), [2]);
    rig.command(Command::Mute { track, muted: true }).expect("a track");
    rig.send_unseen(alice, 3);
    ask(&mut rig, &[1, 2, 3]);
    rig.command(Command::Mute { track, muted: false }).expect("a track");
    ask(&mut rig, &[1, 2, 3]);
    rig.send_unseen(alice, 4);
    assert_eq!(numbers(&mut rig), [4]);
    rig.revoke(track, near);
    ask(&mut rig, &[4]);
    rig.send_unseen(alice, 5);
    rig.allow(track, near);
    ask(&mut rig, &[2, 3, 4, 5]);
    assert_eq!(numbers(&mut rig), [0_u16; 0]);
    assert_eq!(rig.stats().unauthorized_forwards, 0);
}

#[test]
fn a_relay_is_no_listener_and_takes_part_in_nothing_else() {
    let mut rig = Rig::new();
    let (alice, bob) = (rig.join(1), rig.join(2));
    let (sound, picture) =
        (rig.publish(alice, "a", TrackSource::Microphone), rig.publish(alice, "v", TrackSource::Camera));
    let (near, description) = out(&mut rig, sound);
    let Ok(Reply::Relayed { peer: far, track }) = rig.command(relay_in(&rig, description, 6)) else {
        panic!("a relay")
    };
    rig.events();
    rig.allow(sound, near);
    assert_eq!(rig.stats().edges, 1);
    rig.revoke(sound, near);
    assert_eq!((rig.stats().edges, notices(&mut rig)), (0, vec![RelayNotice::Cut(RELAY)]));
    rig.allow(sound, near);
    assert_eq!(rig.events(), [], "nobody hears more or less");
    for refused in [
        Command::Allow { track: picture, subscriber: near, echo: false },
        Command::Allow { track: sound, subscriber: far, echo: true },
        Command::Allow { track, subscriber: far, echo: true },
        Command::RelayOut { track, relay: RelayId(9) },
        Command::AllowData { publisher: bob, subscriber: near },
        Command::AllowData { publisher: far, subscriber: bob },
        Command::Connect { peer: near, session: Box::new(session(0x100)) },
    ] {
        assert_eq!(rig.command(refused.clone()), Err(Refusal::OnlyRelays), "{refused:?}");
    }
    for peer in [near, far] {
        assert_eq!(rig.command(Command::RestartIce { peer }), Err(Refusal::UnknownPeer));
        let subscribe = Command::Subscribe { peer, mid: mid("a"), track: sound };
        assert_eq!(rig.command(subscribe), Err(Refusal::UnknownMid));
    }
    let Ok(Reply::Snapshot { snapshot }) = rig.command(Command::Snapshot) else { panic!("a snapshot") };
    let relays: Vec<_> = snapshot.peers.iter().map(|peer| (peer.peer, peer.relay)).collect();
    assert_eq!(relays, [(alice, None), (bob, None), (near, Some(RELAY)), (far, Some(RelayId(6)))]);
    assert_eq!(snapshot.rosters, []);
    // The far end publishes for who is there: they are listeners as of anybody else.
    rig.subscribe(bob, "a", track);
    rig.allow(track, bob);
    let roster = Event::Roster { room: rig.room, listeners: vec![ParticipantId(2)] };
    assert_eq!(rig.events(), [roster]);
    assert_eq!(rig.command(Command::RemovePeer { peer: near }), Ok(Reply::Done));
    assert_eq!(rig.events(), [], "who removes an end is not told of it, and the roster stays");
}

#[test]
fn what_cannot_be_relayed_is_refused_and_leaves_nothing_behind() {
    let mut rig = Rig::new();
    let alice = rig.join(1);
    let track = rig.publish(alice, "a", TrackSource::Microphone);
    let (_, sound) = out(&mut rig, track);
    assert_eq!(rig.command(Command::RelayOut { track, relay: RELAY }), Err(Refusal::RelayInUse));
    let unknown = TrackId::new(50, 0);
    assert_eq!(rig.command(Command::RelayOut { track: unknown, relay: RelayId(6) }), Err(Refusal::UnknownTrack));
    let described = |change: fn(&mut RelayDescription)| {
        let mut description = sound.clone();
        change(&mut description);
        description
    };
    for unsound in [
        described(|it| it.media.payload_types.clear()),
        described(|it| it.media.kind = MediaKind::Video),
        described(|it| it.media.payload_types = vec![it.media.payload_types[0].clone(); 40]),
        described(|it| it.media.encodings = vec![it.media.encodings[0].clone(); 5]),
    ] {
        assert_eq!(rig.command(relay_in(&rig, unsound, 7)), Err(Refusal::BadSession));
    }
    let nowhere = Command::RelayIn {
        room: RoomId::new(9, 9),
        participant: ParticipantId(9),
        relay: RelayId(7),
        description: sound.clone(),
    };
    assert_eq!(rig.command(nowhere), Err(Refusal::UnknownRoom));
    assert_eq!((rig.stats().peers, rig.stats().tracks, notices(&mut rig)), (2, 1, vec![]));
    assert!(matches!(rig.command(relay_in(&rig, sound, 7)), Ok(Reply::Relayed { .. })), "the number is free");
}

#[test]
fn an_engine_holds_so_many_relays_beside_the_people_of_a_room() {
    let mut rig = Rig::new();
    let alice = rig.join(1);
    let track = rig.publish(alice, "a", TrackSource::Microphone);
    let (near, sound) = out(&mut rig, track);
    for number in 1..relay::MAX_RELAYS as u64 {
        rig.command(relay_in(&rig, sound.clone(), 100 + number)).expect("room for one more");
    }
    assert_eq!(rig.command(relay_in(&rig, sound.clone(), 7)), Err(Refusal::Full(Cap::Relays)));
    rig.join(2);
    rig.command(Command::RemovePeer { peer: near }).expect("it is there");
    assert!(rig.command(relay_in(&rig, sound, 7)).is_ok());
}

#[test]
fn a_track_that_was_negotiated_anew_is_no_longer_what_the_far_end_was_told() {
    let mut rig = Rig::new();
    let alice = rig.join(1);
    let track = rig.publish(alice, "a", TrackSource::Microphone);
    let (near, _) = out(&mut rig, track);
    rig.allow(track, near);
    rig.events();
    let again = |rig: &mut Rig, number: u8| {
        let mut session = session(0x1000);
        session.receive[0].payload_types[0].number = number;
        rig.command(Command::Connect { peer: alice, session: Box::new(session) }).expect("a session");
    };
    again(&mut rig, OPUS);
    assert_eq!((rig.events(), notices(&mut rig)), (vec![], vec![]), "nothing changed");
    again(&mut rig, OPUS + 1);
    assert_eq!(rig.events(), [Event::PeerClosed { peer: near }]);
    assert_eq!(notices(&mut rig), [RelayNotice::Closed(RELAY, RelayEnd::Near)]);
    let (again, _) = out(&mut rig, track);
    assert_ne!(again, near, "the number is free, and the closed end a peer until it is removed");
    assert_eq!(rig.command(Command::Allow { track, subscriber: near, echo: false }), Err(Refusal::OnlyRelays));
}

#[test]
fn a_bug_at_either_end_ends_its_room_and_closes_the_other_end() {
    for end in [RelayEnd::Near, RelayEnd::Far] {
        let mut rig = Rig::new();
        let alice = rig.join(1);
        let track = rig.publish(alice, "a", TrackSource::Microphone);
        let (near, description) = out(&mut rig, track);
        rig.allow(track, near);
        rig.new_room();
        let Ok(Reply::Relayed { peer: far, .. }) = rig.command(relay_in(&rig, description, RELAY.0)) else {
            panic!("a relay")
        };
        notices(&mut rig);
        rig.break_for(Served::Peer(if end == RelayEnd::Near { near } else { far }));
        match end {
            RelayEnd::Near => rig.engine.ingest_relay(RELAY, Frame::Feedback(&[0x80, 201, 0, 1, 0, 0, 0, 1]), rig.now),
            RelayEnd::Far => rig.engine.ingest_relay(RELAY, Frame::Rtp(&[0x80; 12]), rig.now),
        }
        let told = notices(&mut rig);
        assert!(told.contains(&RelayNotice::Closed(RELAY, end)), "{told:?}");
        rig.engine.broken_for = None;
        rig.events();
        rig.engine.close_relay(RELAY, end.other());
        let left = if end == RelayEnd::Near { far } else { near };
        assert_eq!(rig.events(), [Event::PeerClosed { peer: left }]);
        assert_eq!(rig.stats().panics, 1);
    }
}

#[test]
fn what_the_other_end_says_without_sense_is_counted_and_harms_nothing() {
    let mut rig = Rig::new();
    let alice = rig.join(1);
    let track = rig.publish(alice, "v", TrackSource::Camera);
    let (near, description) = out(&mut rig, track);
    rig.command(relay_in(&rig, description, RELAY.0)).expect("a relay");
    rig.allow(track, near);
    for bytes in [&[][..], &[0x80; 3], &[0xff; 40], &[0x80, 205, 0, 3, 0, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0xff, 0xff]] {
        for frame in [Frame::Rtp(bytes), Frame::Rtcp(bytes), Frame::Feedback(bytes)] {
            rig.engine.ingest_relay(RELAY, frame, rig.now);
            rig.engine.ingest_relay(RelayId(77), frame, rig.now);
        }
    }
    assert!(rig.stats().drops.malformed > 5);
    assert_eq!(rig.stats().panics, 0);
}
