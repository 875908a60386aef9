//! Choices for the target with two engines: what is relayed when nothing goes wrong, and each way in which it may.

use super::{Seed, owned};
use crate::bytes::chunk;
use crate::connected::treatment::{AFTER, DELAYED, ELSEWHERE, FIRST, LOST, TWICE};

/// Kinds of steps (`relays.rs`); those before are the hostile publisher's (`connected/hostile.rs`).
const SOUND: u8 = 0;
const KEYFRAME: u8 = 1;
const PICTURE: u8 = 2;
const AGAIN: u8 = 3;
const REPORT: u8 = 5;
const RTP: u8 = 10;
const RTCP: u8 = 11;
const FEEDBACK: u8 = 12;
const REPLAY: u8 = 13;
const ASK: u8 = 14;
const WAIT: u8 = 15;
const TREAT: u8 = 16;
const ORDER: u8 = 31;
/// The second relay, of pictures; one that there is not.
const PICTURES: u8 = 1 << 5;
const UNKNOWN: u8 = 4 << 5;

/// Kinds of orders (`relays/orders.rs`), about pictures with the lowest bit.
const MUTE: u8 = 0;
const REVOKE: u8 = 1;
const ALLOW: u8 = 2;
const MUTE_FAR: u8 = 3;
const REVOKE_FAR: u8 = 4;
const ALLOW_FAR: u8 = 5;
const SUBSCRIBE: u8 = 6;
const LIMIT: u8 = 7;
const WANT: u8 = 8;
const TIE: u8 = 9;
const PUBLISH: u8 = 10;
const NEGOTIATE: u8 = 11;
const MISLEAD: u8 = 12;
const MORE: u8 = 13;
const FIGURES: u8 = 14;
const OTHERS: u8 = 15;

fn plain(kind: u8, parameters: &[u8]) -> Vec<u8> {
    treated(kind, &[0], parameters)
}

fn treated(kind: u8, treatment: &[u8], parameters: &[u8]) -> Vec<u8> {
    [&[kind], treatment, parameters].concat()
}

fn order(kind: u8, choice: u8) -> Vec<u8> {
    vec![ORDER, kind, choice]
}

fn xor(place: u8, value: u8) -> Vec<u8> {
    vec![AFTER, 0, 0, 0, place, value]
}

/// Sound, both encodings of pictures, and the clocks.
fn talk() -> Vec<u8> {
    [
        plain(SOUND, &[]),
        plain(KEYFRAME, &[0]),
        plain(KEYFRAME, &[1]),
        plain(REPORT, &[0]),
        plain(PICTURE, &[0]),
        plain(PICTURE, &[1]),
        plain(REPORT, &[1]),
        plain(SOUND, &[]),
    ]
    .concat()
}

/// The same, with something in between and time behind it.
fn between(parts: &[Vec<u8>]) -> Vec<u8> {
    [talk(), parts.concat(), talk(), vec![WAIT, 10]].concat()
}

fn ask(choice: u8, number: u16) -> Vec<u8> {
    [&[ASK | PICTURES, choice][..], &number.to_be_bytes()].concat()
}

pub(super) fn all() -> Vec<Seed> {
    let each =
        |treatment: &[u8]| [SOUND, KEYFRAME, PICTURE, REPORT].map(|kind| treated(kind, treatment, &[0])).concat();
    let lost = [treated(PICTURE, &[LOST], &[0]), plain(PICTURE, &[0]), vec![WAIT, 8]].concat();
    let seeds = vec![
        ("talk", between(&[])),
        ("lost_and_asked_for_again", between(&[plain(KEYFRAME, &[0]), lost, plain(AGAIN, &[1]), vec![WAIT, 8]])),
        ("twice", between(&[each(&[TWICE])])),
        ("late", between(&[each(&[DELAYED, 3]), vec![WAIT, 4]])),
        ("out_of_order", between(&[each(&[DELAYED | TWICE, 2]), each(&[FIRST])])),
        ("as_something_else", between(&[0, 1, 2].map(|kind| each(&[ELSEWHERE, kind])))),
        ("headers_changed", between(&[0, 1, 2, 8, 12, 13].map(|place| each(&xor(place, 0x90))))),
        ("payload_changed", between(&[16, 20, 24, 30].map(|place| each(&xor(place, 0xff))))),
        ("cut_short", between(&[3, 12, 13, 30].map(|len| each(&[AFTER, 0, 4, 0, len, 0])))),
        ("longer", between(&[treated(TREAT, &[AFTER, 0, 6 | 31 << 3, 0, 40, 1], &[]), plain(SOUND, &[])])),
        (
            "made_up",
            between(&[
                [&[RTP][..], &chunk(&[0x80; 40])].concat(),
                [&[RTP | UNKNOWN][..], &chunk(&[0x80; 40])].concat(),
                [&[RTCP | PICTURES][..], &chunk(&[0x80, 200, 0, 6, 0, 0, 0, 9])].concat(),
                [&[FEEDBACK][..], &chunk(&[0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2])].concat(),
                [&[RTP][..], &chunk(&[])].concat(),
            ]),
        ),
        ("replayed", between(&(0..6).map(|back| treated(REPLAY, &[back, 0], &[])).collect::<Vec<_>>())),
        ("asked", between(&[ask(4, 0), ask(5, 0), ask(6, 100), ask(0xf7, 0), ask(0xf3, 9), ask(10, 9_000)])),
        (
            "revoked",
            between(&[order(REVOKE, 0), order(REVOKE, 1), talk(), vec![WAIT, 5], order(ALLOW, 0), order(ALLOW, 1)]),
        ),
        ("muted", between(&[order(MUTE, 0), order(MUTE, 1), talk(), order(MUTE, 4), order(MUTE, 5), vec![WAIT, 3]])),
        (
            "revoked_far",
            between(&[
                order(REVOKE_FAR, 1),
                order(MUTE_FAR, 0),
                talk(),
                order(ALLOW_FAR, 1),
                order(MUTE_FAR, 4),
                order(SUBSCRIBE, 1),
                order(SUBSCRIBE, 3),
                order(LIMIT, 1),
                order(LIMIT, 0x45),
                order(WANT, 1),
                order(WANT, 3),
                vec![WAIT, 5],
            ]),
        ),
        ("near_removed", between(&[order(TIE, 2 | 8), order(TIE, 3 | 8), talk(), order(TIE, 0), order(TIE, 1)])),
        ("far_removed", between(&[order(TIE, 4 | 8), order(TIE, 5 | 8), talk(), order(TIE, 16), order(TIE, 17)])),
        ("published_anew", between(&[order(PUBLISH, 0), order(PUBLISH, 1)])),
        ("negotiated_anew", between(&[order(NEGOTIATE, 1), talk(), order(NEGOTIATE, 8), order(NEGOTIATE, 2)])),
        ("misled", between(&[0, 1, 2, 4, 9, 25, 12, 29].map(|choice| [order(MISLEAD, choice), talk()].concat()))),
        ("described_otherwise", between(&[1, 5, 9, 13, 17, 21, 25, 29, 33].map(|choice| order(MORE, choice)))),
        ("relayed_on", between(&[order(MORE, 2), order(MORE, 3), talk(), order(REVOKE, 1), talk()])),
        (
            "figures",
            between(&[order(FIGURES, 0), order(FIGURES, 2), order(OTHERS, 0), order(OTHERS, 4), order(OTHERS, 2)]),
        ),
    ];
    owned("relays", seeds)
}
