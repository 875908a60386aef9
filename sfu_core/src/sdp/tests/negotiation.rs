//! Later offers, refused sections, roles; offers of ours.

use super::*;
use crate::session::{CongestionFeedback, DtlsRole};

#[test]
fn a_later_offer_keeps_places_and_ssrcs_whatever_stops_between() {
    let play = captured("chromium_play");
    let first = answered(play);
    let more = play.replacen("m=audio 9", "m=audio 0", 1).replace("a=group:BUNDLE 0 1", "a=group:BUNDLE 1 2");
    let video = play.split("m=video").nth(1).expect("a video section").replace("a=mid:1", "a=mid:2");
    let more = format!("{more}m=video{video}");
    let mut plan = plan();
    plan.previous = Some(Box::new(first.session.clone()));
    plan.send = vec![SendPlan { mid: first.session.send[1].mid.into(), ..track(MediaKind::Video, "TR_v") }];
    plan.send.insert(0, track(MediaKind::Video, "TR_new"));
    let second = answer(&more, &plan).expect("a later answer");
    let ssrcs: Vec<u32> = second.session.send.iter().map(|media| media.ssrc.0).collect();
    assert_eq!(ssrcs, [1_000, 1_002, 1_004]);
    assert!(second.session.send[0].payload_types.is_empty(), "a stopped section is idle");
    assert!(second.sdp.contains("m=audio 0 "));
    assert!(second.sdp.contains("a=group:BUNDLE 1 2\r\n"));
    let placed: Vec<Option<&str>> = second.placed.iter().map(|mid| mid.as_ref().map(Mid::as_str)).collect();
    assert_eq!(placed, [Some("2"), Some("1")]);
}

#[test]
fn sources_are_announced_by_the_name_of_their_publisher_that_rtcp_gives_them_too() {
    let mut plan = plan();
    let other = ParticipantId(7);
    plan.send = vec![
        track(MediaKind::Audio, "TR_a"),
        SendPlan { publisher: other, stream: "PA_2".to_owned(), ..track(MediaKind::Video, "TR_v") },
    ];
    let sdp = answer(captured("chromium_play"), &plan).expect("an answer").sdp;
    let named = |name: &str| sdp.lines().filter(|line| line.ends_with(&format!(" cname:{name}"))).count();
    assert_eq!((named(&ParticipantId(0x2a).cname()), named(&other.cname())), (1, 2), "sound; picture and repairs");
    assert_eq!(ParticipantId(0x2a).cname().as_str(), "participant-2a");
    assert_eq!(ParticipantId(u64::MAX).cname().as_str(), "participant-ffffffffffffffff");
}

#[test]
fn a_section_in_which_nothing_goes_either_way_is_refused_where_its_place_is_wanted() {
    let publish = captured("chromium_publish");
    let first = answered(publish);
    let stopped = publish.replacen("a=sendonly", "a=inactive", 1);
    let mut plan = AnswerPlan { previous: Some(Box::new(first.session.clone())), ..plan() };
    let kept = answer(&stopped, &plan).expect("an answer");
    plan.policy.stop_inactive = true;
    let refused = answer(&stopped, &plan).expect("an answer");
    let sections = |sdp: &str| sdp.lines().filter(|line| line.starts_with("m=")).map(str::to_owned).collect::<Vec<_>>();
    assert!(sections(&kept.sdp).iter().all(|line| line.contains(" 9 ")));
    assert!(sections(&refused.sdp)[0].starts_with("m=audio 0 ") && sections(&refused.sdp)[1].starts_with("m=video 9 "));
    assert!(refused.sdp.contains("a=group:BUNDLE 1\r\n"));
    assert_eq!((&refused.session.receive, &refused.session.send), (&kept.session.receive, &kept.session.send));
    let everything = publish.replace("a=sendonly", "a=inactive");
    let all_stopped = answer(&everything, &plan).expect("the transport stays");
    assert_eq!(all_stopped.session.remote, first.session.remote);
}

#[test]
fn what_the_remote_sends_is_told_under_the_name_that_it_has_there() {
    for name in ["chromium_publish", "firefox_sendrecv", "aiortc_publish"] {
        let offer = captured(name);
        let sent = answered(offer).sent;
        assert_eq!(
            sent.iter().map(|sent| sent.kind).collect::<Vec<_>>(),
            [MediaKind::Audio, MediaKind::Video],
            "{name}"
        );
        for track in sent {
            let called = track.name.expect("a name");
            let first = if track.kind == MediaKind::Audio { Codec::Opus } else { Codec::Vp8 };
            assert_eq!(track.codec, Some(first), "{name}");
            assert!(
                offer.lines().any(|line| line.starts_with("a=msid:") && line.ends_with(&format!(" {called}"))),
                "{name}"
            );
        }
    }
    assert_eq!(answered(captured("chromium_play")).sent, []);
    let nameless = captured("chromium_publish").replace("a=msid:", "a=nothing:");
    assert!(answered(&nameless).sent.iter().all(|sent| sent.name.is_none()));
}

#[test]
fn a_section_cannot_change_its_kind() {
    let mut plan = plan();
    let mut session = answered(captured("chromium_play")).session;
    session.send[0].kind = MediaKind::Video;
    plan.previous = Some(Box::new(session));
    let fault = answer(captured("chromium_play"), &plan).expect_err("another kind");
    assert_eq!(fault.code(), "sdp_section_changed");
}

#[test]
fn we_speak_first_in_dtls_only_to_who_insists_and_keep_the_role() {
    let offer = captured("chromium_publish");
    let insisting = offer.replace("a=setup:actpass", "a=setup:passive");
    let answered = answered(&insisting);
    assert_eq!(answered.session.remote.dtls_role, DtlsRole::Client);
    assert!(answered.sdp.contains("a=setup:active"));
    let later = answer(offer, &AnswerPlan { previous: Some(Box::new(answered.session)), ..plan() }).expect("an answer");
    assert_eq!(later.session.remote.dtls_role, DtlsRole::Client);
    let holding = offer.replace("a=setup:actpass", "a=setup:holdconn");
    assert_eq!(answer(&holding, &plan()).expect_err("nobody begins").code(), "sdp_setup_unusable");
}

#[test]
fn a_peer_that_may_not_send_or_open_channels_is_answered_so() {
    let mut plan = plan();
    plan.policy.receive = false;
    plan.policy.data = false;
    let answered = answer(captured("chromium_data"), &plan).expect("an answer");
    assert!(answered.session.receive.is_empty());
    assert_eq!(answered.session.data, None);
    assert!(answered.sdp.contains("m=application 0 UDP/DTLS/SCTP webrtc-datachannel\r\n"));
    assert_eq!(answered.sdp.matches("a=inactive").count(), 3);
}

#[test]
fn a_section_in_both_directions_sends_and_receives() {
    for name in ["chromium_sendrecv", "firefox_sendrecv", "aiortc_publish"] {
        let answered = answered(captured(name));
        assert_eq!(answered.session.receive.len(), 2, "{name}");
        assert_eq!(answered.session.send.len(), 2, "{name}");
        assert_eq!(answered.sdp.matches("a=sendrecv").count(), 2, "{name}");
    }
}

fn our_offer() -> OfferPlan {
    let media = |kind, send, receive| OfferSection::Media { kind, send, receive, generation: 0 };
    OfferPlan {
        local: local(),
        policy: MediaPolicy::default(),
        sections: vec![
            OfferSection::Data,
            media(MediaKind::Audio, Some(track(MediaKind::Audio, "TR_a")), false),
            media(MediaKind::Video, Some(track(MediaKind::Video, "TR_v")), true),
            media(MediaKind::Video, None, false),
        ],
        version: 1,
    }
}

#[test]
fn our_own_offer_is_answered_and_the_answer_accepted() {
    let offered = offer(&our_offer()).expect("an offer");
    let remote = AnswerPlan { send: vec![track(MediaKind::Video, "back")], ..plan() };
    let theirs = answer(&offered.sdp, &remote).expect("an answer");
    let session = accept(&offered.pending, &theirs.sdp).expect("a session");
    let ssrcs: Vec<u32> = session.send.iter().map(|media| media.ssrc.0).collect();
    assert_eq!(ssrcs, [1_000, 1_002, 1_004]);
    assert_eq!(codecs_of(&session.send[0].payload_types)[0], Codec::Opus);
    assert!(session.send[2].payload_types.is_empty(), "an idle section has nothing to send");
    assert_eq!(session.receive.len(), 1);
    assert_eq!(session.feedback, CongestionFeedback::TransportCc);
    assert_eq!(session.extensions, theirs.session.extensions);
    assert_eq!(session.remote.dtls_role, DtlsRole::Client, "who answers passively waits for us");
    assert!(session.data.is_some());
}

#[test]
fn each_track_of_a_section_has_ssrcs_of_its_own_and_no_two_sections_share_any() {
    let mut plan = our_offer();
    let mut seen = std::collections::BTreeSet::new();
    for number in 0..3 {
        for section in &mut plan.sections {
            if let OfferSection::Media { generation, .. } = section {
                *generation = number;
            }
        }
        let offered = offer(&plan).expect("an offer");
        let theirs = answer(&offered.sdp, &super::plan()).expect("an answer");
        let session = accept(&offered.pending, &theirs.sdp).expect("a session");
        for media in &session.send {
            assert!(seen.insert(media.ssrc.0));
            assert!(media.rtx_ssrc.is_none_or(|rtx| seen.insert(rtx.0)));
        }
        let written: Vec<String> = session.send.iter().map(|media| format!("a=ssrc:{} ", media.ssrc.0)).collect();
        assert!(offered.sdp.contains(&written[0]) && offered.sdp.contains(&written[1]), "the offer says so, too");
    }
}

#[test]
fn whoever_answers_an_offer_of_ours_is_told_to_lead_and_whoever_offers_knows() {
    assert!(offer(&our_offer()).expect("an offer").sdp.contains("\r\na=ice-lite\r\n"));
    assert!(!answer(captured("firefox_publish"), &plan()).expect("an answer").sdp.contains("ice-lite"));
}

#[test]
fn one_section_of_media_that_takes_reduced_size_is_enough_and_none_is_not() {
    let agreed = |offer: &str| answered(offer).session.reduced_size;
    for (name, expected) in [
        ("chromium_publish", true),
        ("firefox_publish", true),
        ("pion_play", true),
        ("aiortc_publish", false),
        ("chromium_data_only", false),
    ] {
        assert_eq!(agreed(captured(name)), expected, "{name}");
    }
    let refused = captured("firefox_publish").replacen("m=video 9", "m=video 0", 1);
    assert!(!agreed(&refused.replace("a=group:BUNDLE 0 1", "a=group:BUNDLE 0")), "it says so of pictures alone");

    let offered = offer(&our_offer()).expect("an offer");
    let theirs = answer(&offered.sdp, &plan()).expect("an answer").sdp;
    let taken = |answer: &str| accept(&offered.pending, answer).expect("a session").reduced_size;
    let without = theirs.replace("a=rtcp-rsize\r\n", "");
    assert_eq!((taken(&theirs), taken(&without)), (true, false));
}

#[test]
fn an_answer_that_does_not_fit_the_offer_is_refused() {
    let offered = offer(&our_offer()).expect("an offer");
    let answer = answer(&offered.sdp, &plan()).expect("an answer").sdp;
    let code = |text: &str| accept(&offered.pending, text).expect_err("an unfit answer").code();
    let (shorter, _) = answer.rsplit_once("m=video").expect("a video section");
    assert_eq!(code(shorter), "sdp_section_count");
    assert_eq!(code(&answer.replace("a=mid:1", "a=mid:9")), "sdp_section_changed");
    assert_eq!(code(&answer.replace("a=setup:passive", "a=setup:actpass")), "sdp_setup_unusable");
    assert_eq!(code(&answer.replace("a=rtcp-mux", "a=rtcp")), "sdp_rtcp_mux_missing");
}

#[test]
fn a_plan_that_would_break_the_text_is_refused() {
    let mut plan = plan();
    plan.send[0].stream = "a\r\na=evil".to_owned();
    assert_eq!(answer(captured("chromium_play"), &plan).expect_err("an unwritable plan").code(), "sdp_plan");
    let mut offering = our_offer();
    offering.sections = vec![OfferSection::Data, OfferSection::Data];
    assert_eq!(offer(&offering).expect_err("two data sections").code(), "sdp_plan");
}

#[test]
fn plans_and_sessions_survive_their_encoding() {
    let offered = offer(&our_offer()).expect("an offer");
    let bytes = rmp_serde::to_vec_named(&offered).expect("encodable");
    assert_eq!(rmp_serde::from_slice::<Offered>(&bytes).expect("decodable"), offered);
    let answered = answered(captured("firefox_data"));
    let bytes = rmp_serde::to_vec_named(&answered).expect("encodable");
    assert_eq!(rmp_serde::from_slice::<Answered>(&bytes).expect("decodable"), answered);
}
