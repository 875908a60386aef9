//! WHIP (RFC 9725) and WHEP: a connection for each participant that publishes, and one for each that is received.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;
use sfu_core::sdp;
use sfu_core::session::MediaKind;

use super::{End, Ends, Failure, Opened, Purpose, Signalling, offer};
use crate::clock::wall_ns;
use crate::shape::{Seat, Shape};

/// A pysfu server.
pub(super) struct Whip {
    agent: ureq::Agent,
    url: String,
    admin: String,
    rooms: Vec<String>,
    tokens: BTreeMap<Seat, Token>,
}

#[derive(Debug, Clone, Deserialize)]
struct Token {
    token: String,
    participant: String,
}

#[derive(Debug, Deserialize)]
struct Room {
    room: String,
}

impl Whip {
    pub(super) fn new(url: &str, admin: &str) -> Self {
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let (url, admin) = (url.trim_end_matches('/').to_owned(), admin.to_owned());
        Self { agent, url, admin, rooms: Vec::new(), tokens: BTreeMap::new() }
    }

    fn post(&self, path: &str, bearer: &str, media_type: &str, body: &str) -> Result<String, Failure> {
        let request = self.agent.post(format!("{}{path}", self.url));
        let request = request.header("Authorization", format!("Bearer {bearer}")).content_type(media_type);
        let mut response = request.send(body)?;
        let text = response.body_mut().read_to_string()?;
        if response.status() == 201 {
            Ok(text)
        } else {
            Err(format!("POST {path}: {}: {text}", response.status()).into())
        }
    }

    fn token(&mut self, seat: Seat) -> Result<Token, Failure> {
        if let Some(token) = self.tokens.get(&seat) {
            return Ok(token.clone());
        }
        let path = format!("/rooms/{}/tokens", self.rooms[seat.room]);
        let token: Token = serde_json::from_str(&self.post(&path, &self.admin, "application/json", "{}")?)?;
        self.tokens.insert(seat, token.clone());
        Ok(token)
    }

    fn open(
        &mut self,
        seat: Seat,
        path: &str,
        heard: Vec<String>,
        kinds: &[MediaKind],
        end: End,
    ) -> Result<Opened, Failure> {
        let token = self.token(seat)?;
        let purpose = if heard.is_empty() { Purpose::Publish } else { Purpose::Play };
        let offered = offer(&end.local, kinds, purpose)?;
        let asked_ns = wall_ns();
        let answer = self.post(path, &token.token, "application/sdp", &offered.sdp)?;
        let session = sdp::accept(&offered.pending, &answer)?;
        let opened = Opened::of(seat, end, session, asked_ns)?;
        Ok(Opened { room: self.rooms[seat.room].clone(), participant: token.participant, heard, ..opened })
    }
}

impl Signalling for Whip {
    fn make_rooms(&mut self, shape: &Shape) -> Result<(), Failure> {
        let wanted = json!({"max_participants": (shape.publishers + shape.listeners).max(2)}).to_string();
        for _ in 0..shape.rooms {
            let room: Room = serde_json::from_str(&self.post("/rooms", &self.admin, "application/json", &wanted)?)?;
            self.rooms.push(room.room);
        }
        Ok(())
    }

    fn publish(&mut self, seat: Seat, kinds: &[MediaKind], end: End) -> Result<Opened, Failure> {
        let path = format!("/whip/{}", self.rooms[seat.room]);
        self.open(seat, &path, Vec::new(), kinds, end)
    }

    fn play(
        &mut self,
        seat: Seat,
        heard: &[Seat],
        kinds: &[MediaKind],
        ends: &mut Ends,
    ) -> Result<Vec<Opened>, Failure> {
        let mut opened = Vec::new();
        for other in heard {
            let name = self.token(*other)?.participant;
            let path = format!("/whep/{}/{name}", self.rooms[seat.room]);
            opened.push(self.open(seat, &path, vec![name], kinds, ends.next())?);
        }
        Ok(opened)
    }
}
