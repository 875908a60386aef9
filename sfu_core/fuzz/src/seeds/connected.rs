//! Choices for the target with hostile participants who are connected for real: what an honest one says, and each way in which
//! that can come to harm.

use super::{Seed, owned};
use crate::bytes::chunk;
use crate::connected::treatment::{AFTER, BEFORE, DELAYED, ELSEWHERE, FIRST, LOST, STAYS, TWICE};

/// Both by ICE and DTLS 1.2, both with given keys, and both with DTLS 1.3.
const FOR_REAL: u8 = 3;
const KEYED: u8 = 0;
const UP_TO_13: u8 = 7;

/// Kinds of steps (`connected.rs`, `connected/hostile.rs`).
const SOUND: u8 = 0;
const KEYFRAME: u8 = 1;
const PICTURE: u8 = 2;
const AGAIN: u8 = 3;
const RTP: u8 = 4;
const REPORT: u8 = 5;
const ARRIVALS: u8 = 6;
const NACK: u8 = 7;
const FEEDBACK: u8 = 8;
const RTCP: u8 = 9;
const ACT: u8 = 10;
const CHUNKS: u8 = 11;
const MESSAGE: u8 = 12;
const CHECK: u8 = 13;
const RAW: u8 = 14;
const REPLAY: u8 = 15;
const WAIT: u8 = 18;
const DEAF: u8 = 19;
const MUTE_ICE: u8 = 20;
const GOODBYE: u8 = 21;
const ORDER: u8 = 31;
/// The other participant does it.
const OTHER: u8 = 0x80;

/// An order that comes behind what has arrived (`connected/orders.rs`).
const BEHIND: u8 = 1 << 4;

/// Addresses (`elsewhere`): its own second one, the other hostile one's, the honest publisher's, a stranger's.
const SECOND: u8 = 0;
const OTHERS: u8 = 5;
const HONEST: u8 = 6;
const STRANGER: u8 = 15;

/// A step to which nothing happens.
fn plain(kind: u8, parameters: &[u8]) -> Vec<u8> {
    treated(kind, &[0], parameters)
}

fn treated(kind: u8, treatment: &[u8], parameters: &[u8]) -> Vec<u8> {
    [&[kind], treatment, parameters].concat()
}

/// The byte at `place` becomes another before it is sealed.
fn set_before(place: u8, value: u8) -> Vec<u8> {
    vec![BEFORE, 0, 2, 0, place, value]
}

fn xor_after(place: u8, value: u8) -> Vec<u8> {
    vec![AFTER, 0, 0, 0, place, value]
}

fn order(who: u8, kind: u8, choice: u8) -> Vec<u8> {
    vec![ORDER | who, kind, choice]
}

/// Sound, pictures of both encodings, what was lost sent again, and a report, of both.
fn talk() -> Vec<u8> {
    [
        plain(SOUND, &[]),
        plain(KEYFRAME, &[0]),
        plain(KEYFRAME, &[1]),
        plain(PICTURE, &[0]),
        plain(AGAIN, &[1]),
        plain(REPORT, &[0]),
        plain(OTHER | SOUND, &[]),
        plain(OTHER | KEYFRAME, &[0]),
        plain(OTHER | KEYFRAME, &[1]),
        plain(OTHER | REPORT, &[1]),
    ]
    .concat()
}

/// What those say who receive.
fn answers() -> Vec<u8> {
    [
        plain(ARRIVALS, &[]),
        plain(OTHER | ARRIVALS, &[]),
        plain(OTHER | NACK, &[0b1111]),
        plain(NACK, &[0b0001]),
        plain(OTHER | FEEDBACK, &[0b1100]),
        plain(OTHER | FEEDBACK, &[0b1101]),
        plain(OTHER | FEEDBACK, &[0b1110]),
        plain(OTHER | FEEDBACK, &[0b1111]),
    ]
    .concat()
}

/// Channels of both, and messages on them.
fn channels() -> Vec<u8> {
    [
        plain(ACT, &[0]),
        plain(OTHER | ACT, &[0]),
        vec![WAIT, 3],
        plain(ACT, &[2, 0, 200]),
        plain(OTHER | ACT, &[2, 0x40, 0]),
        vec![WAIT, 3],
    ]
    .concat()
}

fn with(options: u8, steps: &[Vec<u8>]) -> Vec<u8> {
    [&[options][..], &steps.concat()].concat()
}

pub(super) fn all() -> Vec<Seed> {
    [
        owned("connected", honest()),
        owned("connected", changed()),
        owned("connected", moved()),
        owned("connected", ordered()),
    ]
    .concat()
}

fn honest() -> Vec<(&'static str, Vec<u8>)> {
    let everything = [talk(), answers(), channels(), talk(), answers()];
    vec![
        ("keyed", with(KEYED, &[talk(), answers(), talk(), answers()])),
        ("for_real", with(FOR_REAL, &everything)),
        ("up_to_13", with(UP_TO_13, &everything)),
        ("silence", with(FOR_REAL, &[talk(), vec![MUTE_ICE, 1], vec![WAIT, 0xff], vec![MUTE_ICE, 0], talk()])),
        ("goodbye", with(FOR_REAL, &[talk(), channels(), vec![GOODBYE, 0xff], talk()])),
    ]
}

/// Before it is sealed, and after.
fn changed() -> Vec<(&'static str, Vec<u8>)> {
    let headers = [0_u8, 1, 2, 3, 4, 8, 12, 13, 15, 16, 17, 20, 24].map(|place| {
        [treated(KEYFRAME, &set_before(place, 0xff), &[0]), treated(SOUND, &set_before(place, 0x81), &[])].concat()
    });
    let reports = [0_u8, 2, 3, 4, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17].map(|place| {
        let set = set_before(place, 0x7f);
        [
            treated(OTHER | NACK, &set, &[0b1111]),
            treated(OTHER | ARRIVALS, &set, &[]),
            treated(OTHER | FEEDBACK, &set, &[0b1110]),
            treated(OTHER | FEEDBACK, &set, &[0xff]),
        ]
        .concat()
    });
    let chunks = [12_u8, 13, 14, 15, 16, 19, 20].map(|place| treated(ACT, &set_before(place, 3), &[2, 0, 40]));
    let damaged = [0_u8, 1, 3, 13, 40].map(|place| {
        let kinds = [(KEYFRAME, &[0][..]), (SOUND, &[]), (OTHER | NACK, &[0])];
        kinds.map(|(kind, parameters)| treated(kind, &xor_after(place, 0x55), parameters)).concat()
    });
    let abort = chunk(&[6, 0, 0, 4]);
    vec![
        ("headers_changed", with(KEYED, &[talk(), headers.concat()])),
        ("reports_changed", with(KEYED, &[talk(), talk(), reports.concat()])),
        ("chunks_changed", with(FOR_REAL, &[channels(), chunks.concat(), channels()])),
        ("damaged", with(KEYED, &[talk(), damaged.concat()])),
        ("cut_short", with(KEYED, &[talk(), treated(KEYFRAME, &[AFTER, 0, 4, 0, 14, 0], &[0]), talk()])),
        ("association_aborted", with(FOR_REAL, &[channels(), plain(CHUNKS, &abort), channels()])),
        ("no_sctp", with(FOR_REAL, &[channels(), plain(MESSAGE, &chunk(b"hello")), channels()])),
        (
            "of_its_own_making",
            with(
                KEYED,
                &[
                    plain(RTP, &chunk(&[0x80, 111, 0, 9, 0, 0, 0, 0, 0, 0, 0x70, 0, 1, 2, 3])),
                    plain(RTCP, &chunk(&[0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 4, 2])),
                    plain(RAW, &chunk(&[0x80, 111, 0, 9])),
                    plain(RAW, &chunk(&[23, 254, 253, 0, 1, 0, 0, 0, 0, 0, 9, 0, 1, 7])),
                ],
            ),
        ),
    ]
}

/// Lost, repeated, late, out of order, from elsewhere.
fn moved() -> Vec<(&'static str, Vec<u8>)> {
    let replays: Vec<Vec<u8>> = (0..24).map(|back| vec![REPLAY, back, STAYS]).collect();
    let elsewhere = |kind, to, parameters: &[u8]| treated(kind, &[ELSEWHERE, to], parameters);
    let everywhere = [SECOND, OTHERS, HONEST, STRANGER];
    let spoofed = everywhere.map(|to| [elsewhere(KEYFRAME, to, &[0]), elsewhere(CHECK, to, &[1])].concat());
    vec![
        ("replayed", with(FOR_REAL, &[talk(), channels(), answers(), replays.concat(), talk()])),
        ("replayed_from_elsewhere", {
            let again = (0..24).map(|back| vec![REPLAY, back, ELSEWHERE, SECOND]).collect::<Vec<_>>();
            with(FOR_REAL, &[talk(), plain(CHECK, &[1]), again.concat(), talk()])
        }),
        (
            "out_of_order",
            with(
                KEYED,
                &[
                    treated(KEYFRAME, &[DELAYED, 3], &[0]),
                    treated(PICTURE, &[STAYS | FIRST], &[0]),
                    treated(PICTURE, &[STAYS | TWICE], &[0]),
                    treated(PICTURE, &[LOST], &[0]),
                    treated(PICTURE, &[0], &[0]),
                    treated(OTHER | NACK, &[DELAYED, 2], &[0b1111]),
                    vec![WAIT, 4],
                ],
            ),
        ),
        ("from_elsewhere", with(FOR_REAL, &[talk(), spoofed.concat(), vec![WAIT, 10], talk()])),
        ("moves", with(FOR_REAL, &[elsewhere(CHECK, SECOND, &[1]), vec![WAIT, 5], talk(), plain(CHECK, &[1]), talk()])),
        ("deaf", with(FOR_REAL, &[vec![DEAF, 9], channels(), vec![WAIT, 0x84], channels()])),
    ]
}

/// Signalling in between.
fn ordered() -> Vec<(&'static str, Vec<u8>)> {
    let revoked = [order(0, 1, 1), order(0, 1, 3), talk(), order(0, 2, 1), order(0, 2, 3), talk()].concat();
    // The downlink of the one is said to be narrow, so that pictures wait when the order comes.
    let narrow = plain(OTHER | FEEDBACK, &[0b1110]);
    let waiting = |orders: &[(u8, u8)]| {
        let pictures = treated(KEYFRAME, &[BEFORE | STAYS, 0, 6 | 31 << 3, 0, 200, 1], &[1]).repeat(12);
        let orders: Vec<u8> = orders.iter().flat_map(|&(kind, choice)| order(0, kind | BEHIND, choice)).collect();
        [narrow.clone(), plain(KEYFRAME, &[1]), pictures, orders, vec![WAIT, 9]].concat()
    };
    let muted = [order(0, 0, 1), talk(), order(0, 0, 5), talk()].concat();
    let unwired = [order(0, 3, 1), talk(), order(0, 4, 1), talk(), order(0, 11, 1), order(0, 4, 1), talk()].concat();
    let restarted =
        [order(0, 8, 0), order(0, 9, 16), plain(CHECK, &[1]), vec![WAIT, 20], talk(), order(0, 8, 1)].concat();
    let anew = [1, 2, 4, 8, 32].map(|choice| [order(0x80, 9, choice), talk(), answers()].concat());
    let limits = [0, 4, 8, 0x10].map(|choice| [order(0x80, 6, choice | 1), talk()].concat());
    let messages = [order(0, 12, 2), channels(), order(0, 12, 0), channels(), order(0x80, 13, 0x90)].concat();
    vec![
        ("revoked", with(KEYED, &[talk(), revoked])),
        ("revoked_while_it_waits", with(KEYED, &[talk(), waiting(&[(1, 1)]), order(0, 2, 1), talk()])),
        ("muted_while_it_waits", with(KEYED, &[talk(), waiting(&[(0, 1)]), order(0, 0, 5), talk()])),
        ("unwired_while_it_waits", with(KEYED, &[talk(), waiting(&[(3, 1)]), order(0, 4, 1), talk()])),
        ("muted", with(KEYED, &[talk(), muted])),
        ("unwired", with(KEYED, &[talk(), unwired])),
        ("ice_restarted", with(FOR_REAL, &[talk(), restarted, talk()])),
        ("agreed_anew", with(FOR_REAL, &[talk(), anew.concat()])),
        ("limited", with(KEYED, &[talk(), limits.concat(), order(0, 7, 0), order(0, 7, 2)])),
        ("messages_revoked", with(FOR_REAL, &[channels(), messages])),
        ("removed", with(FOR_REAL, &[talk(), channels(), order(0, 10, 7), talk(), answers(), vec![REPLAY, 3, 0]])),
        (
            "asked_of_the_publisher",
            with(KEYED, &[talk(), order(0, 5, 0), order(0, 5, 4), order(0, 14, 0), order(0, 15, 0)]),
        ),
    ]
}
