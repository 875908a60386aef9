use proptest::prelude::*;

use super::*;

fn key() -> UfragKey {
    UfragKey::new([7; 16])
}

fn demux() -> Demux {
    Demux::new(key())
}

fn peer(slot: u32) -> PeerId {
    PeerId::new(slot, 1)
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([203, 0, 113, 9], port))
}

/// A Binding request with nothing but a user name.
fn request(username: &str) -> Vec<u8> {
    let padded = username.len().next_multiple_of(4);
    let mut datagram = vec![0, 1, 0, (padded + 4) as u8];
    datagram.extend(STUN_MAGIC);
    datagram.extend([9; 12]);
    datagram.extend([0, 6, 0, username.len() as u8]);
    datagram.extend(username.as_bytes());
    datagram.resize(STUN_HEADER_LEN + 4 + padded, 0);
    datagram
}

#[test]
fn the_first_bytes_tell_the_protocol() {
    let cases: [(&[u8], DatagramKind); 10] = [
        (&[0, 1], DatagramKind::Stun),
        (&[3], DatagramKind::Stun),
        (&[22, 254], DatagramKind::Dtls),
        (&[63], DatagramKind::Dtls),
        (&[0x80, 111], DatagramKind::Rtp),
        (&[0x90, 224], DatagramKind::Rtp),
        (&[0x80, 200], DatagramKind::Rtcp),
        (&[0xbf, 223], DatagramKind::Rtcp),
        (&[64, 0], DatagramKind::Unknown),
        (&[], DatagramKind::Unknown),
    ];
    for (bytes, kind) in cases {
        assert_eq!(classify(bytes), kind, "{bytes:?}");
    }
}

#[test]
fn a_fragment_leads_back_to_its_peer_and_generation() {
    let ufrag = key().ufrag(PeerId::new(70_000, 5), 3);
    assert_eq!(ufrag.len(), UFRAG_LEN);
    assert_eq!(key().peer_of(&ufrag), Some((PeerId::new(70_000, 5), 3)));
}

#[test]
fn a_fragment_changed_in_one_character_leads_nowhere() {
    let ufrag = key().ufrag(peer(4), 0);
    for at in 0..UFRAG_LEN {
        let mut forged = ufrag.clone().into_bytes();
        forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
        assert_eq!(key().peer_of_bytes(&forged), None, "character {at}");
    }
    assert_eq!(UfragKey::new([8; 16]).peer_of(&ufrag), None);
}

#[test]
fn a_request_is_routed_by_the_name_we_gave_out() {
    let demux = demux();
    let named = request(&format!("{}:theirs", key().ufrag(peer(2), 1)));
    assert_eq!(demux.peer_for_stun(&named, address(1)), StunRoute::Request(peer(2), 1));
    assert_eq!(demux.peer_for_stun(&request("someone:else"), address(1)), StunRoute::Unknown);
    assert_eq!(demux.peer_for_stun(&named[..19], address(1)), StunRoute::Malformed);
}

#[test]
fn an_answer_is_routed_by_the_address_it_came_from() {
    let mut demux = demux();
    let mut answer = request("x");
    answer[..2].copy_from_slice(&[1, 1]);
    assert_eq!(demux.peer_for_stun(&answer, address(1)), StunRoute::Unknown);
    assert!(demux.insert(address(1), peer(2)));
    assert_eq!(demux.peer_for_stun(&answer, address(1)), StunRoute::Response(peer(2)));
}

#[test]
fn a_proved_address_goes_to_another_who_asked_and_then_answered_there() {
    let mut demux = demux();
    assert!(demux.confirm(address(1), peer(1)));
    assert_eq!(demux.claimant_of(address(1)), None);
    assert!(!demux.insert(address(1), peer(2)));
    assert_eq!((demux.peer_at(address(1)), demux.claimant_of(address(1))), (Some(peer(1)), Some(peer(2))));
    assert!(demux.confirm(address(1), peer(2)));
    assert_eq!((demux.peer_at(address(1)), demux.claimant_of(address(1))), (Some(peer(2)), None));
    demux.remove_peer(peer(1));
    assert_eq!(demux.peer_at(address(1)), Some(peer(2)));
}

#[test]
fn a_proved_address_cannot_be_taken_over_by_naming_it() {
    let mut demux = demux();
    assert!(demux.insert(address(1), peer(1)));
    assert!(demux.insert(address(1), peer(2)), "an address that was only asked from gives way");
    assert_eq!(demux.peer_at(address(1)), Some(peer(2)));
    assert!(demux.confirm(address(1), peer(2)));
    assert!(!demux.insert(address(1), peer(3)) && !demux.confirm(address(1), peer(4)));
    demux.remove_of(address(1), peer(3));
    assert_eq!(demux.peer_at(address(1)), Some(peer(2)));
}

#[test]
fn a_peer_has_sixteen_addresses_and_takes_them_along_when_it_goes() {
    let mut demux = demux();
    for port in 0..MAX_ADDRESSES_PER_PEER as u16 {
        assert!(demux.insert(address(port), peer(1)));
    }
    assert!(!demux.insert(address(99), peer(1)));
    demux.remove(address(0));
    assert!(demux.insert(address(99), peer(1)));
    demux.remove_peer(peer(1));
    assert!(demux.is_empty() && demux.by_peer.is_empty());
}

#[test]
fn the_table_takes_no_more_than_its_cap() {
    let mut demux = demux();
    for slot in 0..(MAX_ADDRESSES / MAX_ADDRESSES_PER_PEER) as u32 {
        for port in 0..MAX_ADDRESSES_PER_PEER as u16 {
            let source = SocketAddr::from((std::net::Ipv4Addr::from(slot), port));
            assert!(demux.insert(source, peer(slot)));
        }
    }
    assert!(!demux.insert(address(1), peer(70_000)));
    assert_eq!(demux.len(), MAX_ADDRESSES);
}

#[test]
fn a_mapped_address_is_the_same_address() {
    let mut demux = demux();
    demux.insert(address(5), peer(1));
    let mapped = SocketAddr::new("::ffff:203.0.113.9".parse().expect("an address"), 5);
    assert_eq!(demux.peer_at(mapped), Some(peer(1)));
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_of_user_names_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = classify(&bytes);
        if let Some(name) = stun_username(&bytes) {
            prop_assert!(name.len() <= bytes.len());
        }
        prop_assert!(!matches!(demux().peer_for_stun(&bytes, address(1)), StunRoute::Request(..) | StunRoute::Response(_)));
        let _ = key().peer_of(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn every_fragment_round_trips(slot: u32, generation: u32, ice: u8) {
        let id = PeerId::new(slot, generation);
        prop_assert_eq!(key().peer_of(&key().ufrag(id, ice)), Some((id, ice)));
    }
}
