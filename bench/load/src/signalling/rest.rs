//! The server's own interface: rooms, and the tokens with which participants come in.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;

use super::Failure;
use crate::shape::{Seat, Shape};

/// A pysfu server, asked by who may make rooms.
pub(super) struct Rest {
    agent: ureq::Agent,
    url: String,
    admin: String,
    rooms: Vec<String>,
    tokens: BTreeMap<Seat, Token>,
}

/// With which a participant comes in.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Token {
    pub(super) token: String,
    pub(super) participant: String,
}

#[derive(Debug, Deserialize)]
struct Room {
    room: String,
}

impl Rest {
    pub(super) fn new(url: &str, admin: &str) -> Self {
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let (url, admin) = (url.trim_end_matches('/').to_owned(), admin.to_owned());
        Self { agent, url, admin, rooms: Vec::new(), tokens: BTreeMap::new() }
    }

    /// Where the server is.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// What the server calls the room of a seat.
    pub(super) fn room(&self, seat: Seat) -> &str {
        &self.rooms[seat.room]
    }

    pub(super) fn make_rooms(&mut self, shape: &Shape) -> Result<(), Failure> {
        let wanted = json!({"max_participants": (shape.publishers + shape.listeners).max(2)}).to_string();
        for _ in 0..shape.rooms {
            let room: Room = serde_json::from_str(&self.post("/rooms", &self.admin, "application/json", &wanted)?)?;
            self.rooms.push(room.room);
        }
        Ok(())
    }

    /// The token of a seat, always the same.
    pub(super) fn token(&mut self, seat: Seat) -> Result<Token, Failure> {
        if let Some(token) = self.tokens.get(&seat) {
            return Ok(token.clone());
        }
        let path = format!("/rooms/{}/tokens", self.room(seat));
        let token: Token = serde_json::from_str(&self.post(&path, &self.admin, "application/json", "{}")?)?;
        self.tokens.insert(seat, token.clone());
        Ok(token)
    }

    /// Asks for something to be made, and returns what the server says of it.
    pub(super) fn post(&self, path: &str, bearer: &str, media_type: &str, body: &str) -> Result<String, Failure> {
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
}
