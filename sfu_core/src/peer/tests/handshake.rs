use std::time::Duration;

use super::bench::{Bench, address};
use super::{SERVER, THIEF, WIFI, seconds};
use crate::ids::Mid;
use crate::peer::dtls::{DtlsEvent, MAX_HANDSHAKE_PER_SECOND, MAX_PENDING_HANDSHAKE, RETRY_AFTER, STALLED_AFTER};
use crate::peer::sctp::{DataEvent, DataTransport, Reliability};
use crate::peer::srtp::SrtpKeys;
use crate::peer::{CONNECT_DEADLINE, PeerEvent, SrtpPair};
use crate::session::FailReason;
use crate::session::{DataMedia, DtlsRole};

#[test]
fn a_wrong_certificate_never_connects_and_is_told_at_once() {
    for role in [DtlsRole::Server, DtlsRole::Client] {
        let mut bench = Bench::with_role(SERVER, WIFI, role);
        bench.remote.fingerprints[0].value[0] ^= 1;
        bench.connect();
        bench.run(Duration::from_millis(500));
        assert_eq!(bench.failures(), [FailReason::Fingerprint], "{role:?}: {:?}", bench.events);
        bench.run(CONNECT_DEADLINE + seconds(1));
        assert!(!bench.is_connected() && bench.peer.srtp.is_none(), "{role:?}");
        assert_eq!(bench.failures(), [FailReason::Fingerprint], "{role:?}: told once");
    }
}

#[test]
fn whoever_knows_no_aead_is_refused_where_that_is_the_policy_and_nobody_else() {
    use dimpl::SrtpProfile as Offered;
    let profiles = [(Offered::AES128_CM_SHA1_80, 60), (Offered::AEAD_AES_128_GCM, 56), (Offered::AEAD_AES_256_GCM, 88)];
    for (aead_only, profile, len) in
        [false, true].into_iter().flat_map(|only| profiles.map(|(profile, len)| (only, profile, len)))
    {
        let mut bench = Bench::new(SERVER, WIFI);
        bench.peer.aead_only = aead_only;
        let agreed = DtlsEvent::Connected { profile, keys: vec![7; len], version: "1.2" };
        bench.peer.on_dtls_event(agreed, bench.now);
        let refused = aead_only && profile == Offered::AES128_CM_SHA1_80;
        assert_eq!(bench.peer.srtp.is_none(), refused, "{profile:?}");
        let told = std::iter::from_fn(|| bench.peer.poll_event());
        assert_eq!(told.into_iter().any(|event| event == PeerEvent::Failed(FailReason::Dtls)), refused, "{profile:?}");
    }
}

#[test]
fn any_of_the_announced_certificates_will_do() {
    let mut bench = Bench::new(SERVER, WIFI);
    let mut other = bench.remote.fingerprints[0].clone();
    other.value[0] ^= 1;
    bench.remote.fingerprints.insert(0, other);
    bench.connect();
    bench.run(seconds(1));
    assert!(bench.is_connected());
}

#[test]
fn a_client_hello_before_the_nomination_is_answered() {
    let mut bench = Bench::new(SERVER, WIFI);
    bench.connect();
    bench.eager = true;
    bench.run(Duration::from_millis(60));
    assert!(bench.peer.srtp.is_some(), "the handshake did not wait for anything");
    bench.run(seconds(1));
    assert!(bench.is_connected());
}

#[test]
fn any_lost_datagram_of_the_handshake_is_made_good() {
    for lost in 0..6 {
        let mut bench = Bench::new(SERVER, WIFI);
        bench.lose = [lost].into();
        bench.connect();
        bench.run(seconds(2));
        assert!(bench.is_connected() && bench.remote_keys.is_some(), "lost {lost}");
    }
}

#[test]
fn a_handshake_that_fails_is_tried_again_by_who_waits_for_the_first_word_and_then_connects() {
    let mut bench = Bench::new(SERVER, WIFI);
    bench.connect();
    bench.speaks = false;
    bench.run(Duration::from_millis(500));
    // A piece of something that never becomes whole: who was fed it would refuse the ClientHello of the remote.
    let piece = [22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 13, 1, 0, 0, 40, 0, 0, 0, 0, 0, 0, 0, 1, 7];
    bench.peer.on_dtls(address(WIFI), &piece, bench.now);
    assert!(bench.peer.advance_handshake(bench.now));
    bench.run(STALLED_AFTER);
    assert_eq!((bench.peer.failed_handshakes(), bench.is_connected()), (0, false));
    bench.speaks = true;
    bench.run(Duration::from_millis(200));
    assert_eq!((bench.peer.failed_handshakes(), bench.is_connected()), (1, true), "{:?}", bench.events);
    assert!(bench.remote_keys.is_some() && bench.failures().is_empty());
}

#[test]
fn a_handshake_that_fails_is_tried_again_by_who_speaks_first_and_then_connects() {
    let mut bench = Bench::with_role(SERVER, WIFI, DtlsRole::Client);
    bench.lose = (0..10_000).collect();
    bench.connect();
    let begun = bench.now;
    while bench.peer.failed_handshakes() == 0 {
        bench.step();
        bench.now += Duration::from_millis(5);
        assert!(bench.now < begun + CONNECT_DEADLINE, "the attempt ends before the peer is given up");
    }
    let failed = bench.now;
    assert!(!bench.is_connected() && bench.peer.srtp.is_none());
    bench.lose.clear();
    while !bench.is_connected() {
        bench.step();
        bench.now += Duration::from_millis(5);
        assert!(bench.now < failed + RETRY_AFTER + Duration::from_millis(200), "{:?}", bench.events);
    }
    assert!(bench.now >= failed + RETRY_AFTER, "after a pause");
    assert!(bench.remote_keys.is_some() && bench.failures().is_empty());
    assert_eq!(bench.peer.failed_handshakes(), 1);
}

#[test]
fn a_plaintext_alert_does_not_end_a_handshake() {
    let alert = [21, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 40];
    let mut bench = Bench::new(SERVER, WIFI);
    bench.connect();
    bench.speaks = false;
    bench.run(Duration::from_millis(500));
    for _ in 0..10 {
        bench.peer.on_dtls(address(WIFI), &alert, bench.now);
        while bench.peer.advance_handshake(bench.now) {}
    }
    bench.speaks = true;
    for _ in 0..100 {
        bench.step();
        bench.peer.on_dtls(address(WIFI), &alert, bench.now);
        bench.now += Duration::from_millis(5);
    }
    assert!(bench.is_connected());
    assert_eq!(bench.peer.failed_handshakes(), 0);
}

#[test]
fn dtls_from_an_address_without_proof_is_not_looked_at() {
    let mut bench = Bench::new(SERVER, WIFI);
    bench.connect();
    bench.speaks = false;
    bench.run(Duration::from_millis(500));
    bench.peer.on_dtls(address(THIEF), &[22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1], bench.now);
    assert_eq!(bench.peer.pending_handshake(), 0);
}

#[test]
fn a_flood_of_handshake_records_is_bounded_and_does_not_keep_the_remote_out() {
    let mut bench = Bench::new(SERVER, WIFI);
    bench.connect();
    bench.speaks = false;
    bench.run(Duration::from_millis(500));
    let mut record = vec![22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 13, 1, 0, 0, 40, 0, 0, 0, 0, 0, 0, 0, 1, 7];
    let mut worked_off = 0;
    for n in 0..10_000_u32 {
        record[7..11].copy_from_slice(&n.to_be_bytes());
        bench.peer.on_dtls(address(WIFI), &record, bench.now);
        assert!(bench.peer.pending_handshake() <= MAX_PENDING_HANDSHAKE);
        worked_off += u32::from(bench.peer.advance_handshake(bench.now));
        bench.now += Duration::from_micros(100);
    }
    assert!(worked_off <= 2 * MAX_HANDSHAKE_PER_SECOND);
    bench.speaks = true;
    bench.run(seconds(10));
    assert!(bench.is_connected(), "{:?} after {} attempts", bench.events, bench.peer.failed_handshakes());
}

#[test]
fn a_goodbye_is_told() {
    let mut bench = Bench::connected(SERVER, WIFI);
    bench.dtls.close().expect("an open association");
    bench.run(seconds(1));
    assert!(bench.events.contains(&PeerEvent::Closed));
}

#[test]
fn data_and_media_pass_both_ways_with_what_was_agreed_on() {
    let mut bench = Bench::new(SERVER, WIFI);
    let media = DataMedia { mid: Mid::new("d").expect("a label"), sctp_port: 5000, max_message_size: 65_536 };
    bench.peer.connect(&bench.remote.clone(), Some(media), bench.now);
    while bench.remote_keys.is_none() {
        bench.run(Duration::from_millis(5));
    }
    bench.data = Some(DataTransport::new(true, media, bench.now));
    bench.data.as_mut().expect("data").open("chat", true, Reliability::Reliable).expect("a channel");
    bench.run(seconds(1));
    let long = vec![7; 40_000];
    bench.peer.data.as_mut().expect("data").say("chat", &long, true).expect("room");
    bench.data.as_mut().expect("data").say("chat", &long, true).expect("room");
    bench.run(seconds(2));
    let message = DataEvent::Message { label: "chat".to_owned(), payload: long, binary: true };
    assert!(bench.events.contains(&PeerEvent::Data(message.clone())));
    let theirs = bench.data.as_mut().expect("data");
    assert!(std::iter::from_fn(|| theirs.poll_event()).any(|event| event == message));

    let srtp = bench.peer.srtp.as_mut().expect("keys");
    let keys = SrtpKeys::new(srtp.profile, bench.remote_keys.as_ref().expect("keys")).expect("the right length");
    let mut remote = SrtpPair::new(&keys, DtlsRole::Client);
    for (from, to) in [(&mut remote.outbound, &mut srtp.inbound), (&mut srtp.outbound, &mut remote.inbound)] {
        let mut packet = [&[0x80, 111, 0, 1, 0, 0, 0, 1, 0, 0, 0, 9, 1, 2, 3][..], &[0; 16]].concat();
        let sealed = from.seal_rtp(&mut packet, 12, 3, 65_537);
        assert_eq!(to.unprotect_rtp(&mut packet[..sealed]), Ok(15));
    }
}
