//! What the outside is told, and what a snapshot says when it was not.

use std::net::SocketAddr;

use is::stun::{StunMessage, TransId};

use super::joins::binding_request;
use super::rig::{OPUS, Rig, VP8};
use super::*;
use crate::engine::event::{PeerState, Speaker};
use crate::ids::ParticipantId;
use crate::peer::PeerEvent;
use crate::peer::ice::AwsHmac;
use crate::rtp::ext::ExtensionKind;
use crate::session::{FailReason, LocalTransport};

fn state_of(rig: &mut Rig, peer: PeerId) -> Option<PeerState> {
    let Ok(Reply::Snapshot { snapshot }) = rig.command(Command::Snapshot) else { return None };
    snapshot.peers.iter().find(|known| known.peer == peer).map(|known| known.state)
}

#[test]
fn a_snapshot_says_how_each_transport_is_now() {
    let mut rig = Rig::new();
    let (new, _) = rig.stranger(9);
    let alice = rig.join(1);
    assert_eq!(state_of(&mut rig, new), Some(PeerState::Connecting));
    assert_eq!(state_of(&mut rig, alice), Some(PeerState::Connected));
    for (event, state, connected) in [
        (PeerEvent::Disconnected, PeerState::Disconnected, 0),
        (PeerEvent::Reconnected, PeerState::Connected, 1),
        (PeerEvent::Failed(FailReason::Ice), PeerState::Failed, 0),
        (PeerEvent::Reconnected, PeerState::Connected, 1),
        (PeerEvent::Closed, PeerState::Closed, 0),
    ] {
        rig.happens(alice, event);
        assert_eq!((state_of(&mut rig, alice), rig.stats().connected_peers), (Some(state), connected));
    }
}

#[test]
fn events_that_nobody_drained_become_the_word_to_take_a_snapshot() {
    let mut rig = Rig::new();
    let room = rig.room;
    rig.events();
    for _ in 0..=MAX_EVENTS {
        rig.engine.emit(Event::RoomFailed { room });
    }
    let events = rig.events();
    assert_eq!(events.len(), MAX_EVENTS + 1);
    assert_eq!(events.last(), Some(&Event::Resync { version: rig.engine.version() }));
    rig.engine.emit(Event::RoomFailed { room });
    assert_eq!(rig.events(), [Event::RoomFailed { room }]);
}

pub(super) fn speakers(rig: &mut Rig) -> Vec<Vec<ParticipantId>> {
    let told = |event| match event {
        Event::Speakers { speakers, .. } => {
            Some(speakers.iter().map(|speaker: &Speaker| speaker.participant).collect())
        }
        _ => None,
    };
    rig.events().into_iter().filter_map(told).collect()
}

#[test]
fn a_speaker_who_is_muted_or_leaves_is_no_longer_told_as_one() {
    let mut rig = Rig::new();
    let people: Vec<_> = (1..=2).map(|n| rig.join(n)).collect();
    let tracks: Vec<_> = people.iter().map(|who| rig.publish(*who, "a", TrackSource::Microphone)).collect();
    for n in 0..50 {
        for who in &people {
            let loud: [(ExtensionKind, &[u8]); 1] = [(ExtensionKind::AudioLevel, &[0x94])];
            rig.ingest_with(*who, (OPUS, 1), n, u32::from(n) * 960, b"voice", &loud);
        }
        rig.advance(Duration::from_millis(20));
    }
    let both: Vec<_> = speakers(&mut rig).pop().expect("they were told");
    assert_eq!(both.len(), 2);
    rig.command(Command::Mute { track: tracks[0], muted: true }).expect("it is there");
    assert_eq!(speakers(&mut rig), [[ParticipantId(2)]]);
    rig.command(Command::RemovePeer { peer: people[1] }).expect("it is there");
    assert_eq!(speakers(&mut rig), [vec![]]);
    rig.command(Command::Mute { track: tracks[0], muted: true }).expect("it is there");
    assert!(speakers(&mut rig).is_empty(), "who does not speak is not told again");
}

/// The answer of the remote of `local` to the check that we sent to `address`, if we sent one that names it.
fn answer_to_our_check(rig: &mut Rig, address: SocketAddr) -> Vec<Vec<u8>> {
    rig.flush();
    let strays = std::mem::take(&mut rig.strays);
    let checks = strays.into_iter().filter(|(to, bytes)| *to == address && bytes.starts_with(&[0, 1]));
    checks.map(|(_, bytes)| answer(StunMessage::parse(&bytes).expect("STUN").trans_id(), address)).collect()
}

fn answer(transaction: TransId, mapped: SocketAddr) -> Vec<u8> {
    let mut bytes = vec![0; 600];
    let reply = StunMessage::binding_reply(transaction, mapped);
    let len = reply.to_bytes(Some(b"p"), &mut bytes, AwsHmac::sign).expect("STUN");
    bytes.truncate(len);
    bytes
}

fn prove(rig: &mut Rig, local: &LocalTransport, address: SocketAddr) {
    rig.datagram(address, &binding_request(local, true));
    for answer in answer_to_our_check(rig, address) {
        rig.datagram(address, &answer);
    }
}

#[test]
fn a_page_loaded_anew_that_gets_the_same_port_is_not_kept_out_by_its_own_past() {
    let mut rig = Rig::new();
    let (before, old) = rig.stranger(1);
    let (after, new) = rig.stranger(2);
    let address: SocketAddr = ([203, 0, 113, 1], 10_000).into();
    prove(&mut rig, &old, address);
    assert_eq!(rig.engine.demux.peer_at(address), Some(before));
    // Asking alone takes nothing from anyone.
    rig.datagram(address, &binding_request(&new, true));
    assert_eq!(rig.engine.demux.peer_at(address), Some(before));
    for answer in answer_to_our_check(&mut rig, address) {
        rig.datagram(address, &answer);
    }
    assert_eq!(rig.engine.demux.peer_at(address), Some(after));
    rig.command(Command::RemovePeer { peer: before }).expect("it is there");
    assert_eq!(rig.engine.demux.peer_at(address), Some(after));
}

#[test]
fn the_jitter_that_a_receiver_reports_is_counted_in_seconds_and_a_lie_counts_a_second_at_most() {
    use crate::ids::Ssrc;
    use crate::rtcp::rr::ReceiverReport;
    use crate::rtcp::sr::{ReportBlock, ReportBlocks};
    let mut rig = Rig::new();
    let (alice, bob) = (rig.join(1), rig.join(2));
    let track = rig.publish(alice, "a", TrackSource::Microphone);
    rig.subscribe(bob, "a", track);
    rig.allow(track, bob);
    let ssrc = rig.send_audio_seen(alice, 1, b"hello")[0].header.ssrc;
    for jitter in [480, u32::MAX] {
        let mut reports = ReportBlocks::new();
        reports.push(ReportBlock {
            ssrc,
            fraction_lost: 0,
            cumulative_lost: 0,
            highest_sequence: 1,
            jitter,
            last_sr: 0,
            delay_since_last_sr: 0,
        });
        rig.rtcp(bob, |out| ReceiverReport { sender: Ssrc(1), reports: reports.clone() }.write(out));
    }
    let jitter = rig.stats().quality.jitter_out_s.clone();
    assert_eq!(jitter.counts.iter().sum::<u64>(), 2);
    assert!((jitter.sum - 1.01).abs() < 1e-9, "{}: 480 ticks of 48 kHz are 10 ms", jitter.sum);
}

#[test]
fn a_publishers_first_packet_is_counted_from_its_join() {
    let mut rig = Rig::new();
    let alice = rig.knock(1);
    rig.publish(alice, "a", TrackSource::Microphone);
    rig.connect(alice);
    rig.advance(Duration::from_millis(300));
    for number in 1..4 {
        rig.send_audio(alice, number, b"hello");
    }
    let stats = rig.stats();
    let first = &stats.quality.join_first_packet_s;
    assert_eq!(first.counts.iter().sum::<u64>(), 1);
    assert!((first.sum - 0.3).abs() < 1e-6, "{}", first.sum);
    assert_eq!(stats.quality.join_s.counts.iter().sum::<u64>(), 1);
}

#[test]
fn a_bot_that_publishes_is_told_in_the_clear_and_does_not_keep_the_worker_awake() {
    let mut rig = Rig::new();
    let (bot, bob) = (rig.join_bot(1), rig.join(2));
    let track = rig.publish(bot, "v", TrackSource::Camera);
    rig.subscribe(bob, "v", track);
    rig.allow(track, bob);
    rig.ingest_bot(bot, &[0x80, VP8, 0, 1, 0, 0, 0, 1, 0, 0, 0x10, 2, 0x10, 0x01]);
    rig.advance(Duration::from_secs(2));
    let told: Vec<_> = rig.to_bots.iter().filter(|(to, _)| *to == bot).map(|(_, datagram)| datagram).collect();
    let packets = told.iter().flat_map(|datagram| crate::rtcp::packets(datagram).flatten());
    assert!(packets.into_iter().any(|packet| matches!(packet, RtcpPacket::Pli(_))), "{told:?}");
    rig.flush();
    assert!(rig.tick() > rig.now(), "nothing is left to do now");
}
