//! Janus' plugin `VideoRoom` over its WebSocket: a connection for each participant that publishes, and one for each that
//! receives, with all it receives.

use std::collections::BTreeMap;
use std::net::TcpStream;

use serde_json::{Value, json};
use sfu_core::sdp::{self, AnswerPlan};
use sfu_core::session::MediaKind;
use tungstenite::client::IntoClientRequest;
use tungstenite::http::HeaderValue;
use tungstenite::{Message, WebSocket};

use super::{Caller, Ends, Failure, Opened, Purpose, Signalling, offer, policy};
use crate::clock::{Clock, wall_ns};
use crate::shape::{Seat, Shape};

/// The number of the first room.
const FIRST_ROOM: u64 = 1_000;
/// "No such feed": whom we ask for is not connected yet.
const NO_SUCH_FEED: u64 = 428;
/// How often that is asked again, every [`RETRY_NS`].
const RETRIES: u32 = 50;
const RETRY_NS: u64 = 20_000_000;

/// A Janus server.
pub(super) struct Janus {
    socket: WebSocket<TcpStream>,
    clock: Clock,
    session: u64,
    transactions: u64,
    feeds: BTreeMap<Seat, u64>,
}

/// What the plugin said, and its description when there is one.
struct Said {
    plugin: Value,
    sdp: Option<String>,
}

impl Janus {
    pub(super) fn connect(url: &str) -> Result<Self, Failure> {
        let mut request = url.into_client_request()?;
        request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("janus-protocol"));
        let host = request.uri().authority().ok_or("the address of Janus has no host")?.to_string();
        let stream = TcpStream::connect(host)?;
        stream.set_nodelay(true)?;
        let (socket, _) = tungstenite::client(request, stream)?;
        let mut janus = Self { socket, clock: Clock::start(), session: 0, transactions: 0, feeds: BTreeMap::new() };
        let created = janus.request(json!({"janus": "create"}))?;
        janus.session = created["data"]["id"].as_u64().ok_or("no session")?;
        Ok(janus)
    }

    /// Asks, and reads until the answer; a mere acknowledgement is none.
    fn request(&mut self, mut request: Value) -> Result<Value, Failure> {
        self.transactions += 1;
        let transaction = self.transactions.to_string();
        request["transaction"] = json!(transaction);
        if self.session != 0 {
            request["session_id"] = json!(self.session);
        }
        let trickles = request["janus"] == "trickle";
        self.socket.send(Message::text(request.to_string()))?;
        loop {
            let Message::Text(text) = self.socket.read()? else { continue };
            let answer: Value = serde_json::from_str(&text)?;
            let is_ours = answer["transaction"] == json!(transaction);
            match answer["janus"].as_str() {
                Some("error") if is_ours => return Err(format!("Janus: {}", answer["error"]).into()),
                Some("ack") if is_ours && trickles => return Ok(answer),
                Some("ack") => {}
                _ if is_ours => return Ok(answer),
                _ => {}
            }
        }
    }

    fn attach(&mut self) -> Result<u64, Failure> {
        let attached = self.request(json!({"janus": "attach", "plugin": "janus.plugin.videoroom"}))?;
        attached["data"]["id"].as_u64().ok_or_else(|| "no handle".into())
    }

    fn message(&mut self, handle: u64, body: &Value, jsep: Option<Value>) -> Result<Said, Failure> {
        let mut request = json!({"janus": "message", "handle_id": handle, "body": body});
        if let Some(jsep) = jsep {
            request["jsep"] = jsep;
        }
        let mut answer = self.request(request)?;
        let sdp = answer["jsep"]["sdp"].as_str().map(str::to_owned);
        Ok(Said { plugin: answer["plugindata"]["data"].take(), sdp })
    }

    /// Our candidates are in the description; there are no others.
    fn end_candidates(&mut self, handle: u64) -> Result<(), Failure> {
        self.request(json!({"janus": "trickle", "handle_id": handle, "candidate": {"completed": true}}))?;
        Ok(())
    }

    /// Asks to receive feeds, again while one of them is not connected.
    fn subscribe(&mut self, handle: u64, room: u64, feeds: &[u64]) -> Result<String, Failure> {
        let streams: Vec<Value> = feeds.iter().map(|feed| json!({"feed": feed})).collect();
        let body = json!({"request": "join", "ptype": "subscriber", "room": room, "streams": streams});
        for _ in 0..RETRIES {
            let said = self.message(handle, &body, None)?;
            match (said.sdp, said.plugin["error_code"].as_u64()) {
                (Some(sdp), _) => return Ok(sdp),
                (None, Some(NO_SUCH_FEED)) => {
                    self.clock.sleep_until(self.clock.now().since_start_ns + RETRY_NS);
                }
                (None, _) => return Err(format!("Janus: {}", said.plugin).into()),
            }
        }
        Err("Janus: those who publish do not get connected".into())
    }
}

impl Signalling for Janus {
    fn make_rooms(&mut self, shape: &Shape) -> Result<(), Failure> {
        let handle = self.attach()?;
        for room in 0..shape.rooms {
            let body = json!({
                "request": "create",
                "room": FIRST_ROOM + room as u64,
                "publishers": shape.publishers,
                "audiocodec": "opus",
                "videocodec": "vp8",
                // No limit, and nothing said about who speaks.
                "bitrate": 0,
                "audiolevel_event": false,
                "notify_joining": false,
            });
            let said = self.message(handle, &body, None)?;
            if said.plugin["videoroom"] != "created" {
                return Err(format!("Janus: {}", said.plugin).into());
            }
        }
        Ok(())
    }

    fn publish(&mut self, caller: &Caller, kinds: &[MediaKind], ends: &mut Ends) -> Result<Vec<Opened>, Failure> {
        let room = FIRST_ROOM + caller.seat.room as u64;
        let (handle, end) = (self.attach()?, ends.next());
        let offered = offer(&end.local, kinds, Purpose::Publish, 0)?;
        let asked_ns = wall_ns();
        let body = json!({"request": "joinandconfigure", "ptype": "publisher", "room": room});
        let said = self.message(handle, &body, Some(json!({"type": "offer", "sdp": offered.sdp})))?;
        let answer = said.sdp.ok_or_else(|| format!("Janus: {}", said.plugin))?;
        let feed = said.plugin["id"].as_u64().ok_or("no feed")?;
        self.end_candidates(handle)?;
        self.feeds.insert(caller.seat, feed);
        let session = sdp::accept(&offered.pending, &answer)?;
        let opened = Opened::of(caller, end, session, asked_ns)?;
        let (room, participant) = (room.to_string(), feed.to_string());
        Ok(vec![Opened { source: caller.source, room, participant, ..opened }])
    }

    fn play(
        &mut self,
        caller: &Caller,
        heard: &[Seat],
        _kinds: &[MediaKind],
        ends: &mut Ends,
    ) -> Result<Vec<Opened>, Failure> {
        let (seat, room) = (caller.seat, FIRST_ROOM + caller.seat.room as u64);
        let feeds: Vec<u64> = heard.iter().filter_map(|other| self.feeds.get(other).copied()).collect();
        let (handle, end) = (self.attach()?, ends.next());
        let asked_ns = wall_ns();
        let offer = self.subscribe(handle, room, &feeds)?;
        let plan =
            AnswerPlan { local: end.local.clone(), policy: policy(), send: Vec::new(), data: false, previous: None };
        let answered = sdp::answer(&offer, &plan)?;
        let jsep = json!({"type": "answer", "sdp": answered.sdp});
        let said = self.message(handle, &json!({"request": "start"}), Some(jsep))?;
        if said.plugin["error_code"].is_u64() {
            return Err(format!("Janus: {}", said.plugin).into());
        }
        self.end_candidates(handle)?;
        let opened = Opened::of(caller, end, answered.session, asked_ns)?;
        Ok(vec![Opened {
            leads: false,
            room: room.to_string(),
            participant: self.feeds.get(&seat).map_or_else(|| format!("listener-{}", seat.number), u64::to_string),
            heard: feeds.iter().map(u64::to_string).collect(),
            ..opened
        }])
    }
}
