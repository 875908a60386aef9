//! Session descriptions (RFC 8866) and what they negotiate (JSEP, RFC 8829), as pure functions beside the engine:
//! `(offer, plan) → (answer, NegotiatedSession)` and the reverse.
//!
//! | file | holds |
//! |---|---|
//! | `plan` | what signalling wants: the arguments |
//! | `answer` | answering an offer |
//! | `offer` | offering, and taking the answer |
//! | `codecs`, `media`, `transport` | what sections mean: payload types; extensions and encodings; BUNDLE, ICE and DTLS |
//! | `description` | a description as typed values; `parse` and `attribute` read it, `write` writes it |
//! | `error` | what can be wrong with one |

mod answer;
mod attribute;
mod codecs;
mod description;
mod error;
mod media;
mod offer;
mod parse;
mod plan;
mod transport;
mod write;

#[cfg(test)]
mod tests;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use self::answer::answer;
pub use self::error::SdpError;
pub use self::offer::{Offered, PendingOffer, accept, offer};
pub use self::plan::{AnswerPlan, MediaPolicy, OfferPlan, OfferSection, OpusPolicy, SendPlan};
use crate::ids::{Mid, ParticipantId};
use crate::session::{Codec, Fingerprint, LocalTransport, MediaKind, NegotiatedSession};

/// Largest description read (`reliability.md` A1.2); Chromium's offer of 64 sections is about 190 KB, of 20 about 60.
pub const MAX_BYTES: usize = 64 * 1024;
/// Most lines read (`reliability.md` A1.2).
pub const MAX_LINES: usize = 2_000;

/// An answer and what it agrees on. Its debug form leaves out the text, which holds credentials.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    /// For the remote.
    pub sdp: String,
    /// For the engine.
    pub session: NegotiatedSession,
    /// Where each track of [`AnswerPlan::send`] goes; `None` when the offer has no free section for it.
    pub placed: Vec<Option<Mid>>,
    /// What the remote sends, section by section.
    pub sent: Vec<SentTrack>,
}

/// What the remote sends in one section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentTrack {
    /// The section.
    pub mid: Mid,
    /// Sound or pictures.
    pub kind: MediaKind,
    /// What the remote calls it: the second part of the msid (RFC 8830), by which it may have announced it elsewhere.
    pub name: Option<String>,
    /// How it is encoded, as long as the remote keeps to the first codec of the answer.
    pub codec: Option<Codec>,
}

impl fmt::Debug for Answered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answered").field("session", &self.session).field("placed", &self.placed).finish_non_exhaustive()
    }
}

/// Reads `text` as an offer and answers it; for fuzzing. What we answer must itself be readable.
pub fn fuzz_answer(text: &[u8]) {
    let Ok(text) = std::str::from_utf8(text) else { return };
    if let Ok(answered) = answer(text, &fuzz_answer_plan(None)) {
        assert!(parse::parse(&answered.sdp).is_ok(), "an answer of ours can be read");
        let again = answer(text, &fuzz_answer_plan(Some(Box::new(answered.session.clone()))));
        assert_eq!(again.map(|again| again.session), Ok(answered.session), "the same offer again changes nothing");
    }
}

/// Reads `text` as the answer to an offer of ours; for fuzzing.
pub fn fuzz_accept(text: &[u8]) {
    let Ok(text) = std::str::from_utf8(text) else { return };
    let send =
        |kind| SendPlan { kind, publisher: ParticipantId(1), stream: "s".to_owned(), track: "t".to_owned(), mid: None };
    let section = |kind| OfferSection::Media { kind, send: Some(send(kind)), receive: true, generation: 0 };
    let AnswerPlan { local, policy, .. } = fuzz_answer_plan(None);
    let sections = vec![section(MediaKind::Audio), section(MediaKind::Video), OfferSection::Data];
    if let Ok(offered) = offer(&OfferPlan { local, policy, sections, version: 1 }) {
        let _ = accept(&offered.pending, text);
    }
}

fn fuzz_answer_plan(previous: Option<Box<NegotiatedSession>>) -> AnswerPlan {
    let send =
        |kind| SendPlan { kind, publisher: ParticipantId(1), stream: "s".to_owned(), track: "t".to_owned(), mid: None };
    AnswerPlan {
        local: LocalTransport {
            ufrag: "ufrag".to_owned(),
            pwd: "a password of 22 chars".replace(' ', "-"),
            fingerprint: Fingerprint { algorithm: "sha-256".to_owned(), value: vec![7; 32] },
            candidates: vec![std::net::SocketAddr::from(([192, 0, 2, 1], 7_882))],
            ssrc_base: 1_000,
        },
        policy: MediaPolicy::default(),
        send: vec![send(MediaKind::Audio), send(MediaKind::Video)],
        data: true,
        previous,
    }
}
