//! One of the two connections of a participant, as far as it is agreed on.

use std::net::Ipv4Addr;

use sfu_core::sdp::{self, AnswerPlan, MediaPolicy, PendingOffer};
use sfu_core::session::{DtlsRole, MediaKind, NegotiatedSession};

use super::messages::SessionDescription;
use crate::signalling::ends::End;
use crate::signalling::{Changed, Failure, Purpose, offer, policy, remote_of};

/// One connection, offered by either side and offered again.
pub(super) struct Leg {
    pub(super) end: End,
    /// Where the media thread has it.
    known_at: Ipv4Addr,
    /// What was agreed on last.
    session: Option<NegotiatedSession>,
    /// Our offer, while its answer is waited for.
    pending: Option<PendingOffer>,
    offers: u32,
}

impl Leg {
    pub(super) fn new(end: End) -> Self {
        Self { known_at: end.address, end, session: None, pending: None, offers: 0 }
    }

    pub(super) fn is_open(&self) -> bool {
        self.session.is_some()
    }

    /// Where the media thread has it.
    pub(super) fn known_at(&self) -> Ipv4Addr {
        self.known_at
    }

    /// Offers to send.
    pub(super) fn offer(&mut self, kinds: &[MediaKind]) -> Result<SessionDescription, Failure> {
        let offered = offer(&self.end.local, kinds, Purpose::Publish, u64::from(self.offers))?;
        self.offers += 1;
        self.pending = Some(offered.pending);
        Ok(SessionDescription { kind: "offer".to_owned(), sdp: offered.sdp, id: self.offers })
    }

    /// Takes the answer.
    pub(super) fn accept(&mut self, answer: &SessionDescription) -> Result<NegotiatedSession, Failure> {
        let pending = self.pending.take().ok_or("the server answers what nobody offered")?;
        Ok(sdp::accept(&pending, &answer.sdp)?)
    }

    /// Answers an offer, to receive all that is in it.
    pub(super) fn answer(
        &mut self,
        offered: &SessionDescription,
    ) -> Result<(NegotiatedSession, SessionDescription), Failure> {
        if self.session.as_ref().is_some_and(|before| ufrag_of(&offered.sdp) != Some(before.remote.ufrag.as_str())) {
            self.end = self.end.renewed();
        }
        let plan = AnswerPlan {
            local: self.end.local.clone(),
            policy: MediaPolicy { data: true, ..policy() },
            send: Vec::new(),
            data: true,
            previous: self.session.clone().map(Box::new),
        };
        let answered = sdp::answer(&offered.sdp, &plan)?;
        let mut session = answered.session;
        // Browsers say the first word in DTLS; what the engine answers for itself is to wait for it.
        session.remote.dtls_role = DtlsRole::Client;
        let sdp = answered.sdp.replace("a=setup:passive", "a=setup:active");
        Ok((session, SessionDescription { kind: "answer".to_owned(), sdp, id: offered.id }))
    }

    /// Notes what is agreed on from now on, and returns what the media thread has to know if it has the connection already.
    pub(super) fn agree(&mut self, session: NegotiatedSession) -> Result<Option<Changed>, Failure> {
        let from = std::mem::replace(&mut self.known_at, self.end.address);
        let remote = remote_of(&session)?;
        let (local, address) = (self.end.local.clone(), self.end.address);
        let is_known = self.session.replace(session.clone()).is_some();
        Ok(is_known.then_some(Changed { from, local, address, session, remote }))
    }

    /// What was agreed on last, at another address.
    pub(super) fn go_on(&mut self) -> Result<Option<Changed>, Failure> {
        let session = self.session.clone().ok_or("who has no connection cannot move it")?;
        self.agree(session)
    }
}

/// The user name of whoever describes themselves (RFC 8839 §5.4): another one means that ICE begins anew.
fn ufrag_of(sdp: &str) -> Option<&str> {
    sdp.lines().find_map(|line| line.strip_prefix("a=ice-ufrag:"))
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use sfu_core::ids::ParticipantId;
    use sfu_core::sdp::{OfferPlan, OfferSection, SendPlan};
    use sfu_core::session::{Fingerprint, LocalTransport};

    use super::*;

    fn local(ufrag: &str) -> LocalTransport {
        LocalTransport {
            ufrag: ufrag.to_owned(),
            pwd: "a-password-of-22-chars".to_owned(),
            fingerprint: Fingerprint { algorithm: "sha-256".to_owned(), value: vec![7; 32] },
            candidates: vec![SocketAddr::from(([192, 0, 2, 1], 7_882))],
            ssrc_base: 1_000,
        }
    }

    fn leg() -> Leg {
        Leg::new(End { local: local("ours"), address: Ipv4Addr::new(192, 0, 2, 2) })
    }

    /// A server's offer: data channels, and so many pictures.
    fn offered(ufrag: &str, pictures: usize) -> SessionDescription {
        let picture = |number| OfferSection::Media {
            kind: MediaKind::Video,
            send: Some(SendPlan {
                kind: MediaKind::Video,
                publisher: ParticipantId(1),
                stream: "PA_1|TR_1".to_owned(),
                track: format!("TR_{number}"),
                mid: None,
            }),
            receive: false,
            generation: 0,
        };
        let sections = std::iter::once(OfferSection::Data).chain((0..pictures).map(picture)).collect();
        let plan = OfferPlan { local: local(ufrag), policy: MediaPolicy::default(), sections, version: 0 };
        let sdp = sdp::offer(&plan).expect("an offer").sdp;
        SessionDescription { kind: "offer".to_owned(), sdp, id: 7 }
    }

    #[test]
    fn an_empty_offer_is_answered_and_a_later_one_changes_the_connection() {
        let mut leg = leg();
        let (session, answer) = leg.answer(&offered("theirs", 0)).expect("an answer");
        assert!(answer.sdp.contains("a=setup:active") && session.data.is_some());
        assert_eq!((answer.id, session.remote.dtls_role), (7, DtlsRole::Client));
        assert!(leg.agree(session).expect("an address").is_none(), "the media thread has to be told of it first");
        let (session, answer) = leg.answer(&offered("theirs", 2)).expect("an answer");
        assert!(answer.sdp.contains("a=ice-ufrag:ours\r\n"));
        let changed = leg.agree(session).expect("an address").expect("it changed");
        assert_eq!((changed.session.receive.len(), changed.from), (2, changed.address));
    }

    #[test]
    fn an_offer_with_other_credentials_is_answered_with_others() {
        let mut leg = leg();
        let (session, _) = leg.answer(&offered("theirs", 1)).expect("an answer");
        leg.agree(session).expect("an address");
        let (_, answer) = leg.answer(&offered("others", 1)).expect("an answer");
        assert!(answer.sdp.contains("a=ice-ufrag:ours+\r\n"));
    }

    #[test]
    fn who_moved_is_looked_for_where_they_were() {
        let mut leg = leg();
        let (session, _) = leg.answer(&offered("theirs", 1)).expect("an answer");
        leg.agree(session).expect("an address");
        leg.end = leg.end.at(Ipv4Addr::new(192, 0, 2, 3));
        let changed = leg.go_on().expect("an address").expect("it changed");
        assert_eq!((changed.from, changed.address), (Ipv4Addr::new(192, 0, 2, 2), Ipv4Addr::new(192, 0, 2, 3)));
    }
}
