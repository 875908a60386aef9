//! Many join at once, and nobody who is there already notices.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use is::stun::{StunMessage, TransId};

use super::rig::Rig;
use super::*;
use crate::demux::{DatagramKind, classify};
use crate::peer::ice::AwsHmac;
use crate::session::LocalTransport;

/// Everybody of a large meeting follows the link in the same moment.
const JOINS: u16 = 200;
/// Handshake datagrams that one turn works on.
const PER_TURN: usize = 8;

/// What a DTLS client says first.
pub(super) fn client_hello(now: Instant) -> Vec<Vec<u8>> {
    let certificate = dimpl::certificate::generate_self_signed_certificate().expect("a certificate");
    let config = dimpl::Config::builder().build().expect("a config");
    let mut client = dimpl::Dtls::new_12(Arc::new(config), certificate, now);
    client.set_active(true);
    client.handle_timeout(now).expect("a flight");
    let (mut flight, mut buffer) = (Vec::new(), [0; 2_048]);
    while let dimpl::Output::Packet(packet) = client.poll_output(&mut buffer) {
        flight.push(packet.to_vec());
    }
    assert!(!flight.is_empty());
    flight
}

/// An authenticated request, as a browser's first.
pub(super) fn binding_request(local: &LocalTransport, nominates: bool) -> Vec<u8> {
    let username = format!("{}:u", local.ufrag);
    let request = StunMessage::binding_request(&username, TransId::new(), true, 1, 1, nominates);
    let mut bytes = vec![0; 600];
    let len = request.to_bytes(Some(local.pwd.as_bytes()), &mut bytes, AwsHmac::sign).expect("STUN");
    bytes.truncate(len);
    bytes
}

#[test]
fn of_two_hundred_joins_at_once_no_turn_works_on_more_than_eight_and_each_lets_a_packet_through() {
    let mut rig = Rig::new();
    let (alice, bob) = (rig.join(1), rig.join(2));
    let track = rig.publish(alice, "a", TrackSource::Microphone);
    rig.subscribe(bob, "a", track);
    rig.allow(track, bob);
    let hello = client_hello(rig.now());
    for n in 0..JOINS {
        let (_, local) = rig.stranger(100 + u64::from(n));
        let address: SocketAddr = ([203, 0, 113, 1], 10_000 + n).into();
        rig.datagram(address, &binding_request(&local, false));
        for datagram in &hello {
            rig.datagram(address, datagram);
        }
    }
    let turns = (usize::from(JOINS) * hello.len()).div_ceil(PER_TURN);
    let mut answered = BTreeSet::new();
    for turn in 0..turns as u16 {
        let due = rig.tick();
        assert!(due == rig.now() || usize::from(turn) + 1 == turns, "turn {turn} of {turns} is not followed at once");
        assert_eq!(rig.send_audio(alice, turn, b"word"), [(bob, b"word".to_vec())], "turn {turn}");
        let flights = std::mem::take(&mut rig.strays);
        let hands: BTreeSet<_> = flights
            .into_iter()
            .filter(|(_, datagram)| classify(datagram) == DatagramKind::Dtls)
            .map(|(destination, _)| destination)
            .collect();
        assert!(hands.len() <= PER_TURN, "turn {turn} answered {}", hands.len());
        answered.extend(hands);
    }
    assert_eq!(answered.len(), usize::from(JOINS));
}
