//! The WebSocket of one participant: one protobuf for each frame, and a ping when the server wants one.

use std::net::TcpStream;
use std::time::Duration;

use prost::Message as _;
use tungstenite::client::IntoClientRequest;
use tungstenite::http::HeaderValue;
use tungstenite::{Error, Message, WebSocket};

use super::messages::{Request, Response, SignalRequest, SignalResponse};
use crate::clock::{Clock, wall_ns};
use crate::signalling::Failure;

/// What every client asks for: to receive whatever there is. 16 is the number of the protocol that is spoken.
const QUERY: &str = "auto_subscribe=1&protocol=16&sdk=rust&version=0.1.0";
/// How often a client pings that was not told yet, as after a server's first word.
const FIRST_PING_NS: u64 = 3_000_000_000;
/// The shortest that is waited for a frame: zero would mean for ever.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);

/// The line of one participant.
pub(super) struct Line {
    socket: WebSocket<TcpStream>,
    clock: Clock,
    ping_interval_ns: u64,
    ping_at_ns: u64,
}

impl Line {
    /// Opens it; with the sid that the participant has, to go on.
    pub(super) fn open(url: &str, token: &str, resumes: Option<&str>, clock: Clock) -> Result<Self, Failure> {
        let resumes = resumes.map(|sid| format!("&reconnect=1&sid={sid}")).unwrap_or_default();
        let mut request = format!("{}/rtc?{QUERY}{resumes}", url.replacen("http", "ws", 1)).into_client_request()?;
        request.headers_mut().insert("Authorization", HeaderValue::from_str(&format!("Bearer {token}"))?);
        let host = request.uri().authority().ok_or("the address of the server has no host")?.to_string();
        let stream = TcpStream::connect(host)?;
        stream.set_nodelay(true)?;
        let (socket, _) = tungstenite::client(request, stream)?;
        let ping_at_ns = clock.now().since_start_ns + FIRST_PING_NS;
        Ok(Self { socket, clock, ping_interval_ns: FIRST_PING_NS, ping_at_ns })
    }

    /// By which another thread can cut it.
    pub(super) fn stream(&self) -> Result<TcpStream, Failure> {
        Ok(self.socket.get_ref().try_clone()?)
    }

    /// Pings so often from now on.
    pub(super) fn ping_every(&mut self, seconds: i32) {
        self.ping_interval_ns = u64::try_from(seconds).unwrap_or(0).max(1) * 1_000_000_000;
    }

    /// Says something; of no effect once the line has ended, which `hear` tells.
    pub(super) fn say(&mut self, request: Request) -> Result<(), Failure> {
        let bytes = SignalRequest { message: Some(request) }.encode_to_vec();
        match self.socket.send(Message::binary(bytes)) {
            Err(error) if !is_end(&error) => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// What the server says next, of what a load needs; `None` once the line has ended.
    pub(super) fn hear(&mut self) -> Result<Option<Response>, Failure> {
        loop {
            let left = Duration::from_nanos(self.ping_at_ns.saturating_sub(self.clock.now().since_start_ns));
            self.socket.get_ref().set_read_timeout(Some(left.max(SHORTEST_WAIT)))?;
            match self.socket.read() {
                Ok(Message::Binary(bytes)) => {
                    if let Some(response) = SignalResponse::decode(bytes)?.message {
                        return Ok(Some(response));
                    }
                }
                Ok(_) => {}
                Err(Error::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => self.ping()?,
                Err(error) if is_end(&error) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn ping(&mut self) -> Result<(), Failure> {
        self.ping_at_ns = self.clock.now().since_start_ns + self.ping_interval_ns;
        self.say(Request::Ping((wall_ns() / 1_000_000) as i64))
    }
}

fn is_end(error: &Error) -> bool {
    matches!(error, Error::Io(_) | Error::ConnectionClosed | Error::AlreadyClosed | Error::Protocol(_))
}
