//! What the answers to captured offers hold.

use super::*;
use crate::rtp::ext::ExtensionKind;
use crate::session::{CongestionFeedback, DtlsRole};

/// The answer as text must be what is in the file; `UPDATE_SNAPSHOTS=1` writes it.
fn snapshot(name: &str) {
    let path = format!("{}/tests/sdp/{name}.answer", env!("CARGO_MANIFEST_DIR"));
    let sdp = answered(captured(name)).sdp;
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&path, &sdp).expect("a writable tree");
    }
    assert_eq!(sdp, std::fs::read_to_string(&path).expect("a snapshot"));
}

#[test]
fn the_answer_to_chromium_simulcast_is_as_written_down() {
    snapshot("chromium_simulcast");
}

#[test]
fn the_answer_to_a_firefox_that_plays_is_as_written_down() {
    snapshot("firefox_play");
}

#[test]
fn every_captured_offer_is_answered_in_full() {
    for (name, text) in OFFERS {
        let offer = parse::parse(text).expect(name);
        let answered = answered(text);
        let ours = parse::parse(&answered.sdp).expect(name);
        assert_eq!(ours.media.len(), offer.media.len(), "{name}");
        for (theirs, ours) in offer.media.iter().zip(&ours.media) {
            assert_eq!((ours.kind, ours.mid, ours.port), (theirs.kind, theirs.mid, 9), "{name}");
            assert_eq!(ours.transport.setup, Some(description::Setup::Passive), "{name}");
            assert_eq!(ours.transport.ufrag.as_deref(), Some("localufrag"), "{name}");
            let known = |payload: &description::Payload| theirs.payloads.iter().any(|p| p.number == payload.number);
            assert!(ours.payloads.iter().all(known), "{name}");
            if ours.media == "audio" {
                assert!(ours.ssrcs.len() <= 1, "{name}: sound has one SSRC");
            }
        }
        assert_eq!(ours.bundle.len(), ours.media.len(), "{name}");
        assert_eq!(ours.media[0].candidates.len(), 2, "{name}");
        assert!(ours.media[0].end_of_candidates, "{name}");
        let session = &answered.session;
        assert_eq!(session.remote.dtls_role, DtlsRole::Server, "{name}");
        assert_eq!(session.remote.fingerprints.len(), 1, "{name}");
        assert_eq!(session.data.is_some(), text.contains("webrtc-datachannel"), "{name}");
    }
}

#[test]
fn browsers_publish_with_transport_wide_feedback_and_may_be_asked_for_less_but_who_receives_tells_one_kind_only() {
    for name in ["chromium_publish", "firefox_publish", "pion_publish"] {
        let answered = answered(captured(name));
        assert_eq!(answered.session.feedback, CongestionFeedback::TransportCc, "{name}");
        // What pion publishes it is also ready to receive.
        let receives = name == "pion_publish";
        assert_eq!(answered.sdp.contains("goog-remb"), !receives, "{name}");
        let [audio, video] = &answered.session.receive[..] else { panic!("{name}: two sections") };
        assert_eq!(audio.payload_types[0].codec, Codec::Opus, "{name}");
        assert_eq!(video.payload_types[0].codec, Codec::Vp8, "{name}");
        assert!(video.payload_types[0].rtx.is_some(), "{name}");
        assert!(video.nack && video.pli && video.fir, "{name}");
        assert_eq!((video.remb, audio.remb), (!receives, false), "{name}");
        assert!(answered.session.extensions.id(ExtensionKind::TransportCc).is_some(), "{name}");
        let expected = if receives { 2 } else { 0 };
        assert_eq!(answered.session.send.len(), expected, "{name}");
        assert_eq!(answered.placed.iter().flatten().count(), expected, "{name}");
    }
    let aiortc = answered(captured("aiortc_publish"));
    assert_eq!(aiortc.session.feedback, CongestionFeedback::Remb);
}

#[test]
fn three_rids_become_three_encodings_lowest_first_and_are_answered_in_their_order() {
    for name in ["chromium_simulcast", "firefox_simulcast"] {
        let turned = captured(name).replace("send q;h;f", "send f;~h;q");
        let answered = answered(&turned);
        assert!(answered.sdp.contains("a=simulcast:recv f;h;q\r\n"), "{name}");
        assert!(answered.sdp.contains("a=rid:h recv\r\n"), "{name}");
        let rids: Vec<_> = answered.session.receive[1].encodings.iter().map(|encoding| encoding.rid).collect();
        let expected: Vec<_> = ["q", "h", "f"].into_iter().map(crate::ids::Rid::new).collect();
        assert_eq!(rids, expected, "{name}");
    }
}

#[test]
fn a_player_gets_our_ssrcs_and_a_section_without_a_track_stays_idle() {
    for name in ["chromium_play", "firefox_play", "pion_play", "aiortc_play"] {
        let mut plan = plan();
        plan.send.remove(0);
        let answered = answer(captured(name), &plan).expect(name);
        let [audio, video] = &answered.session.send[..] else { panic!("{name}: two sections") };
        assert_eq!((audio.ssrc.0, audio.rtx_ssrc), (1_000, None), "{name}");
        assert_eq!((video.ssrc.0, video.rtx_ssrc.map(|ssrc| ssrc.0)), (1_002, Some(1_003)), "{name}");
        assert_eq!(answered.placed, [Some(video.mid)], "{name}");
        let sections: Vec<&str> = answered.sdp.split("m=").collect();
        assert!(sections[1].contains("a=inactive") && !sections[1].contains("a=ssrc"), "{name}");
        assert!(sections[2].contains("a=sendonly") && sections[2].contains("a=ssrc-group:FID 1002 1003"), "{name}");
        assert!(sections[2].contains("a=msid:PA_1 TR_v\r\n"), "{name}");
        assert!(answered.session.receive.is_empty(), "{name}");
    }
}

#[test]
fn the_policy_decides_the_codecs_their_order_and_the_start_of_the_encoder() {
    let mut plan = plan();
    plan.policy.video = vec![Codec::H264, Codec::Vp8];
    plan.policy.audio = vec![Codec::Red, Codec::Opus];
    plan.policy.start_bitrate = Some(crate::units::Bitrate::kbps(1_200));
    plan.policy.opus.dtx = Some(true);
    let answered = answer(captured("chromium_publish"), &plan).expect("an answer");
    let [audio, video] = &answered.session.receive[..] else { panic!("two sections") };
    assert_eq!(codecs_of(&audio.payload_types), [Codec::Red, Codec::Opus]);
    assert_eq!(codecs_of(&video.payload_types), [Codec::H264, Codec::Vp8]);
    let formats: Vec<&str> = video.payload_types.iter().map(|payload_type| payload_type.format.as_str()).collect();
    assert_eq!(formats, ["1;4200", "0;4200", "1;42e0", "0;42e0", "1;4d00", "0;4d00", ""]);
    assert!(answered.sdp.contains("a=fmtp:96 x-google-start-bitrate=1200\r\n"));
    assert!(answered.sdp.contains("a=fmtp:111 minptime=10;useinbandfec=1;usedtx=1\r\n"));
    assert!(answered.sdp.contains("a=fmtp:63 111/111\r\n"));
}
