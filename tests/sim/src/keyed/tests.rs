use super::*;
use crate::clock::Clock;
use crate::media::{Camera, Microphone, VideoCodec, VideoConfig};

const MS: Duration = Duration::from_millis(1);

fn addresses() -> (SocketAddr, SocketAddr) {
    ("198.51.100.1:4000".parse().expect("an address"), "192.0.2.1:5000".parse().expect("an address"))
}

fn publisher(seed: u64, clock: Clock) -> Keyed {
    let wishes = Wishes {
        sends: vec![Sends::Audio, Sends::Video(VideoCodec::Vp8, &["q", "f"])],
        receives_audio: 1,
        receives_video: 2,
        ..Wishes::none(7)
    };
    let times = (clock.start(), clock.now());
    let mut keyed = Keyed::new(wishes, SrtpProfile::AeadAes128Gcm, addresses(), seed, times);
    keyed.publish(0, 0, Microphone::new(1, 0, times.0, times.1));
    for encoding in 0..2 {
        keyed.publish(1, usize::from(encoding), Camera::new(2, encoding, VideoConfig::default(), times.0, times.1));
    }
    keyed
}

/// Everything it sends in `span`.
fn sent(keyed: &mut Keyed, clock: Clock, span: Duration) -> Vec<Vec<u8>> {
    let mut datagrams = Vec::new();
    while let Some(due) = keyed.poll_timeout().filter(|&due| due <= clock.start() + span) {
        keyed.handle_timeout(due);
        datagrams.extend(std::iter::from_fn(|| keyed.poll_transmit()).map(|outgoing| outgoing.bytes));
    }
    datagrams
}

#[test]
fn what_it_agrees_on_names_every_section_and_every_ssrc_once() {
    let agreed = publisher(1, Clock::new()).wishes().agreed();
    let mids: std::collections::BTreeSet<_> =
        agreed.receive.iter().map(|media| media.mid).chain(agreed.send.iter().map(|media| media.mid)).collect();
    assert_eq!(mids.len(), 5);
    let ssrcs: Vec<u32> = agreed.send.iter().map(|media| media.ssrc.0).collect();
    assert_eq!(ssrcs, [ssrcs[0], ssrcs[0] + 2, ssrcs[0] + 4]);
    assert_eq!(agreed.receive[1].encodings.len(), 2);
}

#[test]
fn its_packets_open_with_its_keys_and_carry_their_labels() {
    let clock = Clock::new();
    let mut keyed = publisher(1, clock);
    let client = keyed.keys().client.clone();
    let mut inbound = SrtpInbound::new(SrtpProfile::AeadAes128Gcm, &client.key, &client.salt);
    let (mut audio, mut encodings) = (0, [0, 0]);
    for mut bytes in sent(&mut keyed, clock, 900 * MS) {
        if (192..=223).contains(&bytes[1]) {
            inbound.unprotect_rtcp(&mut bytes).expect("RTCP opens");
            continue;
        }
        let len = inbound.unprotect_rtp(&mut bytes).expect("RTP opens");
        let packet = Packet::parse(&bytes[..len]).expect("RTP");
        let extensions = packet.extensions.read(&negotiation::extensions());
        let stamp = Stamp::read(packet.payload).expect("a stamp");
        assert!(extensions.transport_cc.is_some() && extensions.abs_send_time.is_some());
        match extensions.rid {
            None => {
                assert_eq!((extensions.mid, stamp.source), (Some(&b"s0"[..]), 1));
                assert!(extensions.audio_level.is_some());
                audio += 1;
            }
            Some(rid) => {
                assert_eq!((extensions.mid, stamp.source), (Some(&b"s1"[..]), 2));
                assert_eq!(rid, [b"q", b"f"][usize::from(stamp.encoding)]);
                encodings[usize::from(stamp.encoding)] += 1;
            }
        }
    }
    assert!(audio > 40 && encodings.iter().all(|&count| count > 100), "{audio} {encodings:?}");
}

#[test]
fn the_same_seed_sends_the_same_bytes_and_another_seed_others() {
    let clock = Clock::new();
    let run = |seed| sent(&mut publisher(seed, clock), clock, 300 * MS);
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn a_lost_packet_is_asked_for_after_a_while_and_again_until_it_comes() {
    let now = Clock::new().now();
    let mut receiver = Receiver::new(true);
    for sequence in [10, 11, 14] {
        assert!(receiver.on_packet(sequence, 0, false, now).is_some());
    }
    assert!(receiver.requests(now).is_empty(), "it may only be late");
    assert_eq!(receiver.requests(now + 10 * MS), [12, 13]);
    assert!(receiver.on_packet(12, 0, false, now).is_some());
    assert_eq!(receiver.requests(now + 50 * MS), []);
    assert_eq!(receiver.requests(now + 110 * MS), [13]);
    assert!(receiver.on_packet(12, 0, false, now).is_none(), "it came before");
}

#[test]
fn an_arrival_is_told_once_and_a_loss_between_two_arrivals_too() {
    let start = Clock::new().start();
    let mut arrivals = Arrivals::new(Ssrc(1), start);
    for (number, at) in [(65_534, 0), (65_535, 1), (1, 3)] {
        arrivals.record(number, start + at * MS);
    }
    let mut out = [0; MAX_RTCP];
    let len = arrivals.write(Ssrc(2), &mut out).expect("there is something to tell");
    let Some(Ok(RtcpPacket::TransportFeedback(feedback))) = sfu_core::rtcp::packets(&out[..len]).next() else {
        panic!("no feedback");
    };
    let told: Vec<(u16, bool)> = feedback.statuses().map(|(number, delta)| (number, delta.is_some())).collect();
    assert_eq!(told, [(65_534, true), (65_535, true), (0, false), (1, true)]);
    assert_eq!(arrivals.write(Ssrc(2), &mut out), None);
}
