//! Datagrams of every protocol on the port, and choices for the targets that keep a table, a transport or an engine busy.

use sfu_core::ids::PeerId;
use sfu_core::peer::sctp::Reliability;
use sfu_core::peer::sctp::dcep::{Message, Open};
use sfu_core::rtp::ext::ExtensionKind;

use super::{Seed, owned, rtcp, rtp};
use crate::bytes::chunk;
use crate::demux::KEY;
use crate::engine::{AV1, H264, MIDS, OPUS, PUBLISHED, RECEIVED, RED, RIDS, VP8};
use crate::stun::{ICE_CONTROLLING, PRIORITY, USE_CANDIDATE, USERNAME, XOR_MAPPED_ADDRESS, attribute, message as stun};
use crate::stun_peer::{LOCAL, REMOTE};

pub(super) fn all() -> Vec<Seed> {
    [datagrams(), sealed(), channels(), transports(), rooms(), encrypted_rooms()].concat()
}

/// A check as a browser sends it.
fn check(transaction: u8, username: &str, nominates: bool) -> Vec<u8> {
    let nomination = if nominates { attribute(USE_CANDIDATE, &[]) } else { Vec::new() };
    stun(
        1,
        [transaction; 12],
        &[
            attribute(USERNAME, username.as_bytes()),
            attribute(ICE_CONTROLLING, &[1; 8]),
            nomination,
            attribute(PRIORITY, &[0x6e, 0x7f, 0x1e, 0xff]),
        ],
    )
}

fn datagrams() -> Vec<Seed> {
    let ufrag = KEY.ufrag(PeerId::new(7, 3), 1);
    let forged = format!("{}A", &ufrag[..19]);
    let many: Vec<u8> = (0..64_u8).flat_map(|n| [((n % 4) << 4) | (n % 8), n.wrapping_mul(5)]).collect();
    let one_peer: Vec<u8> = (0..40).flat_map(|n| [0, 2 * n]).collect();
    owned(
        "demux",
        [
            ("request_for_a_peer", check(1, &format!("{ufrag}:remote"), false)),
            ("request_for_nobody", check(1, &format!("{forged}:remote"), true)),
            ("request_without_name", stun(1, [1; 12], &[attribute(PRIORITY, &[0; 4])])),
            ("response", stun(0x101, [1; 12], &[attribute(XOR_MAPPED_ADDRESS, &[0, 1, 2, 3, 4, 5, 6, 7])])),
            ("indication", stun(0x11, [1; 12], &[])),
            ("name_beyond_the_end", [&stun(1, [1; 12], &[])[..], &[0, 6, 0, 200, b'x']].concat()),
            ("fragment", ufrag.into_bytes()),
            ("client_hello", client_hello()),
            ("rtp", rtp::packet(OPUS, 1, 1, &[], &[1, 2, 3])),
            ("rtcp", rtcp::sender_report(1)),
            ("many_changes", many),
            ("one_peer_everywhere", one_peer),
            ("taken_over", vec![0x00, 2, 0x10, 2, 0x13, 2, 0x00, 3, 0x06, 2, 0x16, 3, 0x17, 0]),
        ],
    )
}

/// Profile and protocol, place and damage, packet.
fn sealed() -> Vec<Seed> {
    let with = |kind: u8, place: u16, damage: u8, packet: &[u8]| {
        let [high, low] = place.to_be_bytes();
        [&[kind, high, low, damage], packet].concat()
    };
    let media = rtp::packet(VP8, 0x9000, 2, &[(1, b"0"), (5, &[0, 1])], &[0x10; 40]);
    let early = rtp::packet(OPUS, 3, 1, &[], &[0xfc; 20]);
    owned(
        "srtp",
        [
            ("gcm_256", with(0, 50, 1, &media)),
            ("gcm_128", with(2, 30, 0x80, &media)),
            ("counter_mode", with(4, 60, 4, &media)),
            ("low_number", with(2, 2, 1, &early)),
            ("header_damaged", with(4, 0, 0x10, &early)),
            ("rtcp_gcm_256", with(1, 9, 1, &rtcp::sender_report(1))),
            ("rtcp_gcm_128", with(3, 70, 1, &rtcp::sender_report(1))),
            ("rtcp_counter_mode", with(5, 1, 1, &rtcp::picture_loss(2))),
            ("rtcp_too_short", with(1, 0, 0, &[0x80, 201, 0, 0])),
            ("extension_too_long", with(0, 0, 0, &[0x90, 96, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0xbe, 0xde, 0xff, 0xff])),
        ],
    )
}

fn channels() -> Vec<Seed> {
    let open = |ordered, reliability, label: &str, protocol: &str| {
        let (label, protocol) = (label.to_owned(), protocol.to_owned());
        Message::Open(Open { ordered, reliability, priority: 256, label, protocol }).to_bytes()
    };
    let plain = open(true, Reliability::Reliable, "chat", "");
    let mut unknown_type = plain.clone();
    unknown_type[1] = 3;
    owned(
        "dcep",
        [
            ("acknowledged", Message::Ack.to_bytes()),
            ("cut_short", plain[..14].to_vec()),
            ("reliable", plain),
            ("lossy", open(false, Reliability::MaxRetransmits(0), "pointer", "")),
            ("timed", open(true, Reliability::MaxLifetimeMs(300), "état", "json")),
            ("longest_label", open(true, Reliability::Reliable, &"x".repeat(256), "")),
            ("label_too_long", open(true, Reliability::Reliable, &"x".repeat(257), "")),
            ("unknown_type", unknown_type),
        ],
    )
}

/// A DTLS 1.2 ClientHello (RFC 5246 §7.4.1.2) as short as one can be.
fn client_hello() -> Vec<u8> {
    let suites = [0, 4, 0xc0, 0x2b, 0xc0, 0x2c];
    let groups = [0, 10, 0, 4, 0, 2, 0, 23];
    let signatures = [0, 13, 0, 4, 0, 2, 4, 3];
    let srtp = [0, 14, 0, 7, 0, 4, 0, 8, 0, 7, 0];
    let master_secret = [0, 23, 0, 0];
    let extensions = [&groups[..], &signatures, &srtp, &master_secret].concat();
    let extensions = [&(extensions.len() as u16).to_be_bytes()[..], &extensions].concat();
    let body = [&[0xfe, 0xfd][..], &[5; 32], &[0, 0], &suites, &[1, 0], &extensions].concat();
    let len = [0, (body.len() >> 8) as u8, body.len() as u8];
    let handshake = [&[1][..], &len, &[0, 0, 0, 0, 0], &len, &body].concat();
    let record_len = (handshake.len() as u16).to_be_bytes();
    [&[22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0][..], &record_len, &handshake].concat()
}

fn transports() -> Vec<Seed> {
    let name = format!("{}:{}", LOCAL.0, REMOTE.0);
    let step = |kind: u8, source: u8, bytes: &[u8]| [vec![kind, source], chunk(bytes)].concat();
    let ask = |transaction, nominates| step(3, 1, &check(transaction, &name, nominates));
    let mapped = attribute(XOR_MAPPED_ADDRESS, &[0, 1, 0x3a, 0x4a, 0xea, 0x12, 0xd5, 0x43]);
    let answer = |from_elsewhere: u8| step(5 | from_elsewhere << 3, 2, &mapped);
    let wait = |steps| vec![6, 0, steps];
    let alert = [21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 40];
    let connect = [vec![0], ask(1, true), answer(0)].concat();
    owned(
        "stun_peer",
        [
            ("stranger", [vec![0], step(0, 1, &check(1, &name, true)), wait(100)].concat()),
            ("asked", [vec![0], ask(1, false), wait(10), ask(2, false), wait(50)].concat()),
            ("nominated", connect.clone()),
            ("answered_from_elsewhere", [vec![0], ask(1, true), answer(1), answer(0)].concat()),
            ("client_hello", [&connect[..], &step(1, 1, &client_hello()), &wait(40)].concat()),
            ("client_hello_of_a_stranger", [vec![0], step(1, 9, &client_hello())].concat()),
            ("we_speak_first", [vec![1], ask(1, true), answer(0), wait(50), step(1, 1, &client_hello())].concat()),
            ("alert", [&connect[..], &step(1, 1, &client_hello()), &step(2, 1, &alert)].concat()),
            ("restarted", [&connect[..], &[7, 0], &ask(3, true), &answer(0), &wait(100)].concat()),
            ("gone", [&connect[..], &[14, 0, 70], &ask(4, false), &answer(0)].concat()),
            (
                "many_addresses",
                (1..24).fold(vec![0], |steps, n| [steps, step(3, n, &check(n, &name, n % 3 == 0))].concat()),
            ),
            ("wrong_name", [vec![0], step(3, 1, &check(1, "nobody:rmte", true))].concat()),
        ],
    )
}

/// One step of the engine's target with bytes of its own.
fn step(kind: u8, bytes: &[u8]) -> Vec<u8> {
    [vec![kind], chunk(bytes)].concat()
}

fn wait(steps: u8) -> Vec<u8> {
    vec![6, steps]
}

fn signalling(kind: u8, choice: u8) -> Vec<u8> {
    vec![7 | kind << 3, choice]
}

fn rooms() -> Vec<Seed> {
    let sound = |number| {
        let extensions: [(u8, &[u8]); 3] = [(1, MIDS[0].as_bytes()), (4, &[0x85]), (5, &[0, number as u8])];
        step(0, &rtp::packet(OPUS, number, 0x71, &extensions, &[0xfc; 40]))
    };
    let pictures = |payload_type, number, rid: usize, payload: &[u8]| {
        let extensions: [(u8, &[u8]); 3] =
            [(1, MIDS[1].as_bytes()), (2, RIDS[rid].as_bytes()), (5, &[1, number as u8])];
        step(0, &rtp::packet(payload_type, number, 0x80 + rid as u32, &extensions, payload))
    };
    let keyframe = [0x90, 0xe0, 0x92, 0x34, 7, 0x20, 0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01];
    let delta = [0x90, 0xe0, 0x92, 0x35, 8, 0x60, 0x11, 0, 0];
    let feedback = |packet: &[u8]| step(2, packet);
    let simulcast = [
        pictures(VP8, 1, 0, &keyframe),
        pictures(VP8, 1, 1, &keyframe),
        wait(9),
        pictures(VP8, 2, 0, &delta),
        pictures(VP8, 3, 1, &delta),
        wait(30),
    ]
    .concat();
    let wrong_numbers = feedback(&rtcp::lost(RECEIVED[0].0, &[1, 2, 3]));
    let honest = [vec![5; 6], wait(20)].concat();
    owned(
        "engine",
        [
            ("sound", [sound(1), sound(2), wait(5), sound(4), sound(3), wait(60)].concat()),
            ("simulcast", simulcast.clone()),
            ("lost_and_repeated", [&honest[..], &[1, 0, 1, 1], &wrong_numbers, &wait(50)].concat()),
            (
                "negotiated_anew",
                [0x81, 0x84, 0x9a, 0x80].iter().fold(honest.clone(), |steps, &choice| {
                    [&steps[..], &[1, 0], &signalling(6, choice), &[1, 0, 5, 5], &wait(50)].concat()
                }),
            ),
            ("feedback", [&honest[..], &feedback(&rtcp::feedback(0, 12)), &wait(50), &honest].concat()),
            ("nothing_goes_through", [&honest[..], &feedback(&rtcp::bitrate(1)), &wait(50), &honest].concat()),
            ("keyframes_wanted", [&honest[..], &feedback(&rtcp::picture_loss(RECEIVED[0].0)), &wait(90)].concat()),
            (
                "reports",
                [sound(1), feedback(&rtcp::sender_report(0x71)), feedback(&rtcp::receiver_report(0x300))].concat(),
            ),
            ("sources_of_another", step(0, &rtp::packet(VP8, 9, PUBLISHED[1].0, &[], &keyframe))),
            (
                "in_the_clear",
                [step(3, &rtp::packet(OPUS, 1, 0x71, &[], &[1; 40])), step(4, &rtcp::sender_report(1))].concat(),
            ),
            ("revoked", [&simulcast[..], &signalling(1, 1), &simulcast, &signalling(2, 1), &simulcast].concat()),
            ("muted", [sound(1), signalling(0, 2), sound(2), wait(9), signalling(0, 0), sound(3)].concat()),
            (
                "limited",
                [&simulcast[..], &signalling(3, 0b0001), &simulcast, &signalling(3, 0xff), &simulcast].concat(),
            ),
            ("wired_anew", [&simulcast[..], &signalling(6, 1), &signalling(7, 1), &simulcast].concat()),
            (
                "other_codecs",
                [
                    pictures(H264, 1, 0, &[0x67, 0x42, 0xe0, 0x1f]),
                    pictures(AV1, 2, 0, &[0x08, 0x0a, 1]),
                    pictures(VP8 + 1, 3, 0, &[0, 1, 0x10, 0]),
                    step(0, &rtp::packet(RED, 5, 0x71, &[(1, MIDS[0].as_bytes())], &[0xef, 0x0f, 0, 1, OPUS, 1, 2])),
                    wait(60),
                ]
                .concat(),
            ),
        ],
    )
}

fn encrypted_rooms() -> Vec<Seed> {
    // A frame that nobody can read, behind a VP8 descriptor, and what its sender tells of it.
    let encrypted = |number, descriptor: &[u8]| {
        let kind = ExtensionKind::DependencyDescriptor as u8 + 1;
        let extensions: [(u8, &[u8]); 3] = [(1, MIDS[1].as_bytes()), (2, RIDS[0].as_bytes()), (kind, descriptor)];
        let extensions = &extensions[..if descriptor.is_empty() { 2 } else { 3 }];
        step(0, &rtp::packet(VP8, number, 0x80, extensions, &[0x90, 0x80, 0x80, number as u8, 1, 0xa5, 0xa5]))
    };
    let (key, delta_of) = ([0x80, 0, 1, 0x80, 1, 2, 3], [0xc0, 0, 2]);
    let described = [encrypted(1, &delta_of), encrypted(2, &key), encrypted(3, &delta_of), encrypted(4, &delta_of)];
    owned(
        "engine",
        [
            (
                "encrypted",
                [
                    &signalling(7, 0x81)[..],
                    &described.concat(),
                    &wait(60),
                    &encrypted(5, &key),
                    &encrypted(6, &[0x80]),
                    &wait(60),
                ]
                .concat(),
            ),
            (
                "encrypted_and_hidden",
                [&signalling(7, 0x81)[..], &encrypted(1, &[]), &[6, 255].repeat(3), &encrypted(2, &[]), &wait(60)]
                    .concat(),
            ),
        ],
    )
}
