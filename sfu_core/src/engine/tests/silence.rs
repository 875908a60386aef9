//! Sound that stops while nobody speaks (DTX, RFC 7587 §3.1.3): the numbers go on where they were, the timestamps do not.

use super::rig::{OPUS, Rig, Seen};
use super::told::speakers;
use super::*;
use crate::ids::ParticipantId;
use crate::rtp::ext::ExtensionKind;

/// Ticks of 20 ms.
const FRAME: u32 = 960;
/// One packet of comfort noise stands for so many frames.
const SILENT_FRAMES: u32 = 20;

fn say(rig: &mut Rig, who: PeerId, number: u16, timestamp: u32, (payload, level): (&[u8], u8)) {
    let levels: [(ExtensionKind, &[u8]); 1] = [(ExtensionKind::AudioLevel, &[level])];
    rig.ingest_with(who, (OPUS, 1), number, timestamp, payload, &levels);
}

/// Number and timestamp from the first packet on, and payload.
fn since_the_first(seen: &[Seen]) -> Vec<(u16, u32, Vec<u8>)> {
    let first = seen.first().map(|seen| seen.header).expect("something came");
    let since = |header: crate::rtp::header::Header| {
        (header.sequence_number.wrapping_sub(first.sequence_number), header.timestamp.wrapping_sub(first.timestamp))
    };
    seen.iter()
        .map(|seen| (since(seen.header), &seen.payload))
        .map(|((n, t), payload)| (n, t, payload.clone()))
        .collect()
}

#[test]
fn a_silence_without_packets_goes_out_as_it_came_nothing_is_missed_in_it_and_another_is_told_to_speak() {
    let mut rig = Rig::new();
    let (alice, bob, carol) = (rig.join(1), rig.join(2), rig.join(3));
    let track = rig.publish(alice, "a", TrackSource::Microphone);
    rig.publish(carol, "a", TrackSource::Microphone);
    rig.subscribe(bob, "a", track);
    rig.allow(track, bob);
    let (mut sent, mut seen, mut told) = (Vec::new(), Vec::new(), Vec::new());
    // Its timestamps go over their end in the silence.
    let first = 0u32.wrapping_sub(100 * FRAME);
    let (mut ticks, mut frame) = (0, 0);
    for (numbers, frames) in [(0..50, 1), (50..58, SILENT_FRAMES), (58..108, 1)] {
        for number in numbers {
            // A packet of comfort noise is one byte: a mode, and nothing to hear.
            let word: (&[u8], u8) = if frames == 1 { (b"voice", 0x94) } else { (&[0x78], 0x7f) };
            say(&mut rig, alice, number, first.wrapping_add(ticks), word);
            sent.push((number, ticks, word.0.to_vec()));
            for _ in 0..frames {
                say(&mut rig, carol, frame as u16, frame * FRAME, (b"softer", 0x9e));
                seen.extend(rig.flush());
                rig.advance(Duration::from_millis(20));
                frame += 1;
            }
            ticks += frames * FRAME;
        }
        told.push(speakers(&mut rig).pop().expect("another speaks first"));
    }
    assert_eq!(since_the_first(&seen), sent);
    assert_eq!(asked(&mut rig, alice), [], "no number is missing");
    assert_eq!(rig.stats().lost_packets_in, 0);
    let [alice, carol] = [1, 3].map(ParticipantId);
    assert_eq!(told, [[alice, carol], [carol, alice], [alice, carol]]);
}
