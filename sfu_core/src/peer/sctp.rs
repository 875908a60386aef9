//! Data channels (RFC 8831): messages over SCTP (RFC 9260, crate `sctp-proto`), opened in-band with [`dcep`].
//!
//! Works on the plain datagrams inside DTLS. Nothing here reads the clock; the time is that of the latest call with
//! `now`, so call [`DataTransport::handle_timeout`] before sending after a pause.

mod abandoned;
mod association;
pub(crate) mod budget;
mod channel;
pub mod dcep;
pub mod outbox;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use sctp_proto::StreamEvent;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::gate::{EdgeRef, Gate};
use crate::ids::PeerId;
use crate::session::DataMedia;
use association::{Link, Notice};
use budget::Budget;
use channel::{Channel, State};
use dcep::{MAX_NAME_BYTES, Message};
use outbox::{MessageSender, Outbox, PendingMessage};

/// Most data channels of one transport. Our clients use about 4; each costs under 1 KiB.
pub const MAX_CHANNELS: usize = 64;
/// Largest message in either direction: what every endpoint takes by default (RFC 8841 §6.1).
pub const MAX_MESSAGE_BYTES: usize = 65_536;
/// Largest datagram that [`DataTransport::poll_transmit`] hands out, reached by many tiny messages at once. Only an
/// acknowledgement that reports some 280 separate gaps is larger.
pub const MAX_DATAGRAM_SENT_BYTES: usize = 1_160;
/// Most events waiting for [`DataTransport::poll_event`] before nothing more is read and SCTP slows the remote down.
pub const MAX_EVENTS: usize = 256;
/// Most streams that are refused (one channel too many, a label twice, malformed opening) before the remote is cut off.
const MAX_REFUSALS: usize = 256;

/// How hard SCTP tries to deliver a message (RFC 3758, RFC 7496).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reliability {
    /// Until it is there.
    #[default]
    Reliable,
    /// At most this many repetitions.
    MaxRetransmits(u32),
    /// At most this long, in milliseconds.
    MaxLifetimeMs(u32),
}

/// What happened on the data channels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataEvent {
    /// A channel can be used from now on, whoever opened it.
    Opened {
        /// Its name; no two open channels of a transport share one.
        label: String,
        /// Whether order is kept.
        ordered: bool,
        /// How hard SCTP tries.
        reliability: Reliability,
    },
    /// The remote sent a message.
    Message {
        /// On which channel.
        label: String,
        /// What it says, at most [`MAX_MESSAGE_BYTES`].
        payload: Vec<u8>,
        /// False when the remote says it is text; whether it is UTF-8 was not checked.
        binary: bool,
    },
    /// A channel is gone, whoever closed it.
    Closed {
        /// Its name.
        label: String,
    },
}

/// Why something cannot be sent or opened: our side's fault, nothing was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DataError {
    /// No channel of that label is open.
    #[error("unknown data channel")]
    UnknownChannel,
    /// [`outbox::MAX_BUFFERED_BYTES`] are waiting: drop it, or try again later.
    #[error("send buffer full")]
    BufferFull,
    /// Larger than [`MAX_MESSAGE_BYTES`] or than the remote takes.
    #[error("message too large")]
    TooLarge,
    /// There are [`MAX_CHANNELS`].
    #[error("too many data channels")]
    TooManyChannels,
    /// A channel of that label exists.
    #[error("label taken")]
    LabelTaken,
    /// Longer than [`MAX_NAME_BYTES`].
    #[error("label too long")]
    LabelTooLong,
    /// The association is over; only a new transport helps.
    #[error("association lost")]
    Lost,
}

/// Messages that waited and did not get to SCTP.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct NotTaken {
    /// The gate kept them back.
    pub revoked: u64,
    /// Their channel is closed, or the association is closing.
    pub closing: u64,
}

/// The data channels of one participant's transport.
pub struct DataTransport {
    link: Link,
    channels: Vec<Channel>,
    events: VecDeque<DataEvent>,
    outbox: Outbox,
    /// The edges of which SCTP may still hold a message, by stream; forgotten when a stream has nothing left to deliver.
    held: BTreeMap<u16, BTreeSet<EdgeRef>>,
    /// How many messages SCTP took since it last held none.
    held_messages: usize,
    max_send_bytes: usize,
    refusals: usize,
    budget: Budget,
    /// Whether something may wait in SCTP until there is budget for it.
    waits: bool,
    rate_limited: u64,
    now: Instant,
}

impl std::fmt::Debug for DataTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DataTransport").field("channels", &self.channels.len()).finish_non_exhaustive()
    }
}

impl DataTransport {
    /// Begins: as DTLS client with an INIT, else waiting for the remote's.
    pub fn new(role_is_dtls_client: bool, remote: DataMedia, now: Instant) -> Self {
        let max_send_bytes = match remote.max_message_size {
            0 => MAX_MESSAGE_BYTES,
            limit => MAX_MESSAGE_BYTES.min(limit as usize),
        };
        Self {
            link: Link::new(role_is_dtls_client, remote.sctp_port, max_send_bytes as u32, now),
            channels: Vec::new(),
            events: VecDeque::new(),
            outbox: Outbox::default(),
            held: BTreeMap::new(),
            held_messages: 0,
            max_send_bytes,
            refusals: 0,
            budget: Budget::new(now),
            waits: false,
            rate_limited: 0,
            now,
        }
    }

    /// Takes in what DTLS decrypted.
    pub fn on_datagram(&mut self, bytes: &[u8], now: Instant) {
        self.now = now;
        self.link.on_datagram(bytes, now);
        self.advance();
    }

    /// Lets time pass. Cheap when nothing is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        self.link.handle_timeout(now);
        self.advance();
    }

    /// The next datagram for DTLS to encrypt, at most [`MAX_DATAGRAM_SENT_BYTES`] long.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.link.poll_transmit()
    }

    /// What happened; [`MAX_EVENTS`] at most are kept, the rest waits in SCTP.
    pub fn poll_event(&mut self) -> Option<DataEvent> {
        let was_full = self.events.len() >= MAX_EVENTS;
        let event = self.events.pop_front();
        if was_full {
            self.advance();
        }
        event
    }

    /// Opens a channel, as soon as the association stands. [`DataEvent::Opened`] follows when the remote agreed.
    ///
    /// # Errors
    /// When the label is taken or too long, there are too many channels, or the association is over.
    pub fn open(&mut self, label: &str, ordered: bool, reliability: Reliability) -> Result<(), DataError> {
        if self.link.is_lost() {
            return Err(DataError::Lost);
        }
        if label.len() > MAX_NAME_BYTES {
            return Err(DataError::LabelTooLong);
        }
        if self.find(label).is_some() {
            return Err(DataError::LabelTaken);
        }
        if self.channels.len() >= MAX_CHANNELS {
            return Err(DataError::TooManyChannels);
        }
        self.channels.push(Channel::wanted(label, ordered, reliability));
        self.advance();
        Ok(())
    }

    /// Takes a message for an open channel; it leaves after [`hand_over`](Self::hand_over), whole or not at all.
    ///
    /// # Errors
    /// When the channel is not open, the message is too large, or too much is waiting already.
    pub fn send(
        &mut self,
        label: &str,
        payload: Arc<[u8]>,
        binary: bool,
        origin: MessageSender,
    ) -> Result<(), DataError> {
        let channel = self.find(label).filter(|channel| channel.state == State::Open);
        let stream = channel.and_then(|channel| channel.id).ok_or(DataError::UnknownChannel)?;
        if payload.len() > self.max_send_bytes {
            return Err(DataError::TooLarge);
        }
        let holds = self.held_bytes();
        let message = PendingMessage { stream, payload, binary, origin };
        if self.outbox.push(message, holds) { Ok(()) } else { Err(DataError::BufferFull) }
    }

    /// Gives SCTP what waits, as much as it can send soon, and only what the gate lets through at this moment. Tells `passed`
    /// who said each message that came along an edge.
    pub fn hand_over(&mut self, gate: &Gate, mut passed: impl FnMut(PeerId)) -> NotTaken {
        let mut not_taken = NotTaken::default();
        let mut held_bytes = self.held_bytes();
        if held_bytes == 0 {
            self.held.clear();
            self.held_messages = 0;
        }
        while let Some(message) = self.outbox.pop(held_bytes, self.held_messages) {
            let stream = message.stream;
            if !self.channels.iter().any(|channel| channel.id == Some(stream) && channel.state == State::Open) {
                not_taken.closing += 1;
                continue;
            }
            let origin = message.origin;
            let message = match origin {
                MessageSender::Server => message,
                MessageSender::Edge { edge, .. } => {
                    let Some(allowed) = gate.admit(edge, message) else {
                        not_taken.revoked += 1;
                        continue;
                    };
                    allowed.into_inner()
                }
            };
            if !self.link.write(stream, &message.payload, message.binary) {
                not_taken.closing += 1;
                continue;
            }
            held_bytes += message.payload.len().max(1);
            self.held_messages += 1;
            if let MessageSender::Edge { edge, publisher } = origin {
                passed(publisher);
                self.held.entry(stream).or_default().insert(edge);
            }
        }
        not_taken
    }

    /// The edge has ended: none of its messages leaves after this. Those that wait are dropped, and so is what SCTP holds of
    /// them, for which their streams are reset (RFC 8831 §6.7); [`DataEvent::Closed`] follows. Returns how many were dropped
    /// before SCTP had them.
    pub fn revoke(&mut self, edge: EdgeRef) -> u64 {
        let mut dropped = self.outbox.drop_edge(edge);
        let (link, held) = (&mut self.link, &mut self.held);
        held.retain(|stream, _| link.buffered_bytes(Some(*stream)) > 0);
        let broken: Vec<u16> =
            held.iter().filter(|(_, edges)| edges.contains(&edge)).map(|(stream, _)| *stream).collect();
        for stream in broken {
            dropped += self.give_up(stream);
            if let Some(at) = self.channels.iter().position(|channel| channel.id == Some(stream)) {
                self.close_at(at);
            }
        }
        self.advance();
        dropped
    }

    /// When [`handle_timeout`](Self::handle_timeout) must be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let may_read = self.waits.then(|| self.budget.ready_at());
        self.link.poll_timeout().into_iter().chain(may_read).min()
    }

    /// How many messages were dropped since the last call, because the remote says too much on channels that may lose some. On the
    /// others it is slowed down.
    pub fn take_rate_limited(&mut self) -> u64 {
        std::mem::take(&mut self.rate_limited)
    }

    fn held_bytes(&mut self) -> usize {
        self.channels.iter().map(|channel| self.link.buffered_bytes(channel.id)).sum()
    }

    /// Nothing more goes out on the stream as it is; says how many messages waited for it.
    fn give_up(&mut self, stream: u16) -> u64 {
        self.link.give_up(stream);
        self.held.remove(&stream);
        self.outbox.drop_stream(stream)
    }

    fn find(&self, label: &str) -> Option<&Channel> {
        self.channels.iter().find(|channel| channel.is_called(label))
    }

    /// Opens what is wanted, takes notices and messages in, until nothing more happens.
    fn advance(&mut self) {
        self.open_wanted();
        loop {
            while let Some(notice) = self.link.poll() {
                self.take_notice(&notice);
            }
            if !self.read_all() {
                return;
            }
        }
    }

    fn open_wanted(&mut self) {
        if !self.link.is_established() {
            return;
        }
        for channel in self.channels.iter_mut().filter(|channel| channel.state == State::Wanted) {
            let open = Message::Open(channel.opening()).to_bytes();
            if let Some(id) = self.link.open(&open, channel.ordered, channel.reliability) {
                (channel.id, channel.state) = (Some(id), State::AwaitAck);
            }
        }
    }

    fn take_notice(&mut self, notice: &Notice) {
        match *notice {
            Notice::Established => self.open_wanted(),
            Notice::Stream(StreamEvent::Opened { id }) => {
                if self.channels.len() < MAX_CHANNELS {
                    self.channels.push(Channel::discovered(id));
                } else {
                    self.refuse(id);
                }
            }
            Notice::Stream(StreamEvent::Finished { id }) => {
                self.give_up(id); // nobody there reads it any more
                self.link.reset(id);
                self.remove(id);
            }
            Notice::Stream(_) => {}
            Notice::Lost => {
                for channel in std::mem::take(&mut self.channels) {
                    self.events.extend(channel.closed_event());
                }
            }
        }
    }

    /// Reads what has arrived while there is room for events, and of what is delivered for sure while the remote may say something;
    /// true when there was anything. What is not read fills the window of SCTP, which slows the remote down.
    fn read_all(&mut self) -> bool {
        let mut any = false;
        let mut at = 0;
        self.waits = false;
        while at < self.channels.len() && self.events.len() < MAX_EVENTS {
            let id = self.channels[at].id;
            if self.channels[at].reliability == Reliability::Reliable && self.budget.is_spent(self.now) {
                self.waits = true;
                at += 1;
                continue;
            }
            let Some((ppi, payload)) = id.and_then(|id| self.link.read(id)) else {
                at += 1;
                continue;
            };
            any = true;
            self.take_message(at, ppi, payload);
        }
        any
    }

    fn take_message(&mut self, at: usize, ppi: sctp_proto::PayloadProtocolIdentifier, payload: Vec<u8>) {
        use sctp_proto::PayloadProtocolIdentifier as Ppi;
        let (payload, binary) = match ppi {
            Ppi::Dcep => return self.take_dcep(at, &payload),
            Ppi::String => (payload, false),
            Ppi::Binary => (payload, true),
            Ppi::StringEmpty => (Vec::new(), false),
            Ppi::BinaryEmpty => (Vec::new(), true),
            // RFC 8831 §6.6 knows no others; the deprecated partial ones are gone from browsers.
            Ppi::Unknown => return,
        };
        let channel = &mut self.channels[at];
        if channel.state == State::AwaitAck {
            // Who sends on the channel has seen our OPEN, even if its ACK is still on the way.
            channel.state = State::Open;
            self.events.push_back(channel.opened_event());
        }
        match channel.state {
            State::Open => {
                if channel.reliability == Reliability::Reliable {
                    self.budget.spend(payload.len());
                } else if !self.budget.takes(payload.len(), self.now) {
                    self.rate_limited += 1;
                    return;
                }
                self.events.push_back(DataEvent::Message { label: channel.label.clone(), payload, binary });
            }
            State::AwaitOpen => self.refuse_at(at),
            State::Wanted | State::AwaitAck | State::Closing | State::Refused => {}
        }
    }

    fn take_dcep(&mut self, at: usize, bytes: &[u8]) {
        let (state, id) = (self.channels[at].state, self.channels[at].id);
        match (Message::parse(bytes), state, id) {
            (Ok(Message::Ack), State::AwaitAck, _) => {
                self.channels[at].state = State::Open;
                self.events.push_back(self.channels[at].opened_event());
            }
            (Ok(Message::Ack), State::Open, _) | (_, State::Closing | State::Refused, _) => {}
            (Ok(Message::Open(open)), State::AwaitOpen, Some(id)) if self.find(&open.label).is_none() => {
                if !self.link.accept(id, &Message::Ack.to_bytes(), open.ordered, open.reliability) {
                    return self.refuse_at(at);
                }
                self.channels[at].agree(open);
                self.events.push_back(self.channels[at].opened_event());
            }
            _ => self.refuse_at(at),
        }
    }

    fn refuse_at(&mut self, at: usize) {
        if let Some(id) = self.channels[at].id {
            self.refuse(id);
        }
        if self.channels[at].state == State::Open {
            self.events.push_back(DataEvent::Closed { label: self.channels[at].label.clone() });
        }
        self.channels[at].state = State::Refused;
    }

    fn refuse(&mut self, id: u16) {
        self.refusals += 1;
        if self.refusals > MAX_REFUSALS {
            self.link.abandon();
        } else {
            self.link.reset(id);
        }
    }

    fn close_at(&mut self, at: usize) {
        let channel = &mut self.channels[at];
        let resets = channel.id.is_some_and(|id| self.link.reset(id));
        if resets {
            channel.begin_closing();
        } else {
            self.events.extend(self.channels.remove(at).closed_event());
        }
    }

    fn remove(&mut self, id: u16) {
        if let Some(at) = self.channels.iter().position(|channel| channel.id == Some(id)) {
            self.events.extend(self.channels.remove(at).closed_event());
        }
    }
}
