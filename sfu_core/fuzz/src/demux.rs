//! Telling datagrams apart (RFC 7983), user name fragments, and the table of addresses against a plain model of it.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use sfu_core::demux::{
    DatagramKind, Demux, MAX_ADDRESSES_PER_PEER, StunRoute, UFRAG_LEN, UfragKey, classify, stun_username,
};
use sfu_core::ids::PeerId;

use crate::bytes::{Choices, is_inside};

/// The key that the seeds are made with too.
pub(crate) const KEY: UfragKey = UfragKey::new(*b"a key of 16 byte");
/// Most changes of the table in one run.
const MAX_CHANGES: usize = 512;

/// A datagram, a text that claims to be a fragment of ours, and changes of the table.
pub fn demux(input: &[u8]) {
    assert_datagram(input);
    let ends = [input, &input[..input.len().min(UFRAG_LEN)], &input[input.len().saturating_sub(UFRAG_LEN)..]];
    for text in ends.into_iter().filter_map(|text| std::str::from_utf8(text).ok()) {
        if let Some((peer, generation)) = KEY.peer_of(text) {
            assert_eq!(KEY.ufrag(peer, generation), text, "one peer has one fragment");
        }
    }
    assert_table(Choices(input));
}

fn assert_datagram(input: &[u8]) {
    let kind = classify(input);
    assert_eq!(kind, classify(&input[..input.len().min(2)]), "two bytes are enough");
    assert!(!input.is_empty() || kind == DatagramKind::Unknown);
    let username = stun_username(input);
    assert!(username.is_none_or(|name| is_inside(name, input)));
    let route = Demux::new(KEY).peer_for_stun(input, source(0));
    match route {
        StunRoute::Request(peer, generation) => {
            let ufrag = KEY.ufrag(peer, generation);
            assert!(username.is_some_and(|name| name.starts_with(ufrag.as_bytes())), "only whom the name tells");
        }
        StunRoute::Response(_) => panic!("an empty table answers for nobody"),
        StunRoute::Unknown | StunRoute::Malformed => {}
    }
}

/// One of 64 addresses; those of odd numbers are the same IPv4 addresses mapped into IPv6.
fn source(number: u8) -> SocketAddr {
    let address = Ipv4Addr::new(192, 0, 2, number >> 1 & 0x1f);
    if number & 1 == 0 {
        SocketAddr::from((address, 4_000))
    } else {
        SocketAddr::from((address.to_ipv6_mapped(), 4_000))
    }
}

/// What the table should hold, by number of the IPv4 address.
type Model = BTreeMap<u8, Owner>;

struct Owner {
    peer: PeerId,
    proved: bool,
    /// Who asked last while another had it proved.
    claimant: Option<PeerId>,
}

/// Does to a table and to its model what the bytes say.
fn assert_table(mut choices: Choices<'_>) {
    let (mut demux, mut model) = (Demux::new(KEY), Model::new());
    for _ in 0..MAX_CHANGES {
        if choices.is_empty() {
            return;
        }
        let (change, number) = (choices.byte(), choices.byte());
        let (place, peer) = (number >> 1 & 0x1f, PeerId::new(u32::from(change >> 4), 0));
        match change & 7 {
            0..=2 => assert_eq!(demux.insert(source(number), peer), put(&mut model, place, peer, false)),
            3 | 4 => assert_eq!(demux.confirm(source(number), peer), put(&mut model, place, peer, true)),
            5 => {
                demux.remove(source(number));
                model.remove(&place);
            }
            6 => {
                demux.remove_of(source(number), peer);
                if model.get(&place).is_some_and(|owner| owner.peer == peer) {
                    model.remove(&place);
                }
            }
            _ => {
                demux.remove_peer(peer);
                model.retain(|_, owner| owner.peer != peer);
            }
        }
        assert_eq!(demux.peer_at(source(number)), model.get(&place).map(|owner| owner.peer));
        assert_eq!(demux.claimant_of(source(number)), model.get(&place).and_then(|owner| owner.claimant));
        assert_eq!((demux.len(), demux.is_empty()), (model.len(), model.is_empty()));
    }
}

fn put(model: &mut Model, place: u8, peer: PeerId, proved: bool) -> bool {
    if let Some(present) = model.get_mut(&place) {
        if present.peer == peer {
            present.proved |= proved;
            return true;
        }
        let answers_its_own_claim = proved && present.claimant == Some(peer);
        if present.proved && !answers_its_own_claim {
            present.claimant = Some(peer);
            return false;
        }
    }
    if model.values().filter(|owner| owner.peer == peer).count() >= MAX_ADDRESSES_PER_PEER {
        return false;
    }
    model.insert(place, Owner { peer, proved, claimant: None });
    true
}
