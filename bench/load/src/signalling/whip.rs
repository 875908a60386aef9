//! WHIP (RFC 9725) and WHEP: a connection for each participant that publishes, and one for each that is received.

use sfu_core::sdp;
use sfu_core::session::MediaKind;

use super::rest::Rest;
use super::{Caller, End, Ends, Failure, Opened, Purpose, Signalling, offer};
use crate::clock::wall_ns;
use crate::shape::{Seat, Shape};

/// A pysfu server.
pub(super) struct Whip {
    rest: Rest,
}

impl Whip {
    pub(super) fn new(url: &str, admin: &str) -> Self {
        Self { rest: Rest::new(url, admin) }
    }

    fn open(
        &mut self,
        caller: &Caller,
        path: &str,
        heard: Vec<String>,
        kinds: &[MediaKind],
        end: End,
    ) -> Result<Opened, Failure> {
        let token = self.rest.token(caller.seat)?;
        let purpose = if heard.is_empty() { Purpose::Publish } else { Purpose::Play };
        let offered = offer(&end.local, kinds, purpose, 0)?;
        let asked_ns = wall_ns();
        let answer = self.rest.post(path, &token.token, "application/sdp", &offered.sdp)?;
        let session = sdp::accept(&offered.pending, &answer)?;
        let opened = Opened::of(caller, end, session, asked_ns)?;
        let room = self.rest.room(caller.seat).to_owned();
        Ok(Opened { room, participant: token.participant, heard, ..opened })
    }
}

impl Signalling for Whip {
    fn make_rooms(&mut self, shape: &Shape) -> Result<(), Failure> {
        self.rest.make_rooms(shape)
    }

    fn publish(&mut self, caller: &Caller, kinds: &[MediaKind], ends: &mut Ends) -> Result<Vec<Opened>, Failure> {
        let path = format!("/whip/{}", self.rest.room(caller.seat));
        let opened = self.open(caller, &path, Vec::new(), kinds, ends.next())?;
        Ok(vec![Opened { source: caller.source, ..opened }])
    }

    fn play(
        &mut self,
        caller: &Caller,
        heard: &[Seat],
        kinds: &[MediaKind],
        ends: &mut Ends,
    ) -> Result<Vec<Opened>, Failure> {
        let mut opened = Vec::new();
        for other in heard {
            let name = self.rest.token(*other)?.participant;
            let path = format!("/whep/{}/{name}", self.rest.room(caller.seat));
            opened.push(self.open(caller, &path, vec![name], kinds, ends.next())?);
        }
        Ok(opened)
    }
}
