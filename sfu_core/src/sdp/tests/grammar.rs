//! Properties of reading and writing, and the faults that are told.

use proptest::prelude::*;

use super::*;
use crate::sdp::description::Description;

/// Everything the properties say of one text.
fn survives(text: &str) {
    fuzz_answer(text.as_bytes());
    fuzz_accept(text.as_bytes());
    let Ok(once) = parse::parse(text) else { return };
    let written = write::write(&once);
    let again = parse::parse(&written).unwrap_or_else(|fault| panic!("{fault}: {written}"));
    assert_eq!(without_lines(again), without_lines(once));
}

/// Written text has other line numbers than the text it was read from.
fn without_lines(mut description: Description) -> Description {
    for section in &mut description.media {
        section.line = 0;
    }
    description
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_panics(text in any::<String>()) {
        survives(&text);
        survives(&format!("v=0\r\nm={text}\r\na={text}\r\n"));
    }

    #[test]
    fn a_real_offer_with_lines_lost_moved_or_cut_never_panics(
        which in 0..OFFERS.len(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0u8..4), 1..12),
    ) {
        let mut lines: Vec<String> = OFFERS[which].1.lines().map(str::to_owned).collect();
        for (one, other, edit) in edits {
            let (one, other) = (one.index(lines.len()), other.index(lines.len()));
            match edit {
                0 if lines.len() > 1 => drop(lines.remove(one)),
                1 => lines.swap(one, other),
                2 => lines.push(lines[one].clone()),
                _ => { let keep = other % (lines[one].len() + 1); lines[one].truncate(keep); }
            }
        }
        survives(&lines.join("\r\n"));
    }
}

#[test]
fn every_captured_offer_reads_the_same_after_writing() {
    for (_, text) in OFFERS {
        survives(text);
    }
}

#[test]
fn a_fault_names_its_line_and_never_the_content() {
    let offer = captured("chromium_publish");
    let number = |name: &str| offer.lines().position(|line| line.starts_with(name)).expect("a line") as u32 + 1;
    let broken = offer.replacen("a=mid:0", "a=mid:a name that is far too long", 1);
    let fault = answer(&broken, &plan()).expect_err("an unreadable mid");
    assert_eq!(fault, SdpError::Attribute { line: number("a=mid:0"), name: "mid" });
    assert_eq!(fault.code(), "sdp_attribute");
    assert_eq!(fault.to_string(), format!("line {}: the value of a=mid cannot be read", number("a=mid:0")));

    let missing = |name: &str| {
        let kept = offer.lines().filter(|line| !line.starts_with(name)).collect::<Vec<_>>().join("\r\n");
        answer(&kept, &plan()).expect_err(name).code()
    };
    assert_eq!(missing("v=0"), "sdp_version");
    assert_eq!(missing("a=rtcp-mux"), "sdp_rtcp_mux_missing");
    assert_eq!(missing("a=ice-ufrag"), "sdp_credentials_missing");
    assert_eq!(missing("a=fingerprint"), "sdp_fingerprint_missing");
    assert_eq!(missing("a=group"), "sdp_bundle_missing");
    assert_eq!(missing("a=mid:"), "sdp_mid_missing");
    assert_eq!(missing("a=rtpmap"), "sdp_nothing_usable");
}

#[test]
fn a_text_beyond_the_caps_is_refused() {
    let code = |text: &str| answer(text, &plan()).expect_err("too big").code();
    assert_eq!(code(&"a".repeat(MAX_BYTES + 1)), "sdp_too_long");
    assert_eq!(code(&"a=x\r\n".repeat(MAX_LINES + 1)), "sdp_too_many_lines");
    let sections = "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\n".repeat(65);
    assert_eq!(code(&format!("v=0\r\n{sections}")), "sdp_too_many_sections");
    let formats = " 1".repeat(129);
    assert_eq!(code(&format!("v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF{formats}\r\n")), "sdp_media_line");
}
