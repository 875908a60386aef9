//! The one SCTP association inside a DTLS connection (RFC 8261, RFC 8831 §5), driven by `sctp-proto`.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use sctp_proto::{
    Association, AssociationHandle, ClientConfig, DatagramEvent, Endpoint, EndpointConfig, Event, Payload,
    PayloadProtocolIdentifier as Ppi, ReliabilityType, ServerConfig, StreamEvent, Transmit, TransportConfig,
};

use super::abandoned::Abandoned;
use super::{MAX_CHANNELS, MAX_MESSAGE_BYTES, Reliability};

/// Payload of a DATA chunk. `sctp-proto` bundles chunks into 28 bytes more than this, but counts neither the last chunk's
/// 16 bytes of header nor the padding of 3 on every 17: [`MAX_DATAGRAM_SENT_BYTES`](super::MAX_DATAGRAM_SENT_BYTES) in
/// the worst case, which with the 37 of DTLS 1.2 stays below 1 200.
const MAX_CHUNK_BYTES: u32 = 944;
/// Largest datagram taken in; what `sctp-proto` itself expects from DTLS.
const MAX_DATAGRAM_BYTES: usize = 8_192;
/// Bytes received and not yet read, on all channels together: 16 messages of the largest size.
const MAX_RECEIVE_BYTES: u32 = 16 * MAX_MESSAGE_BYTES as u32;
/// First retransmission after 500 ms and never later than after 10 s (RFC 9260 §16 counts on long paths: 1 s and 60 s).
const RTO_INITIAL_MS: u64 = 500;
const RTO_MIN_MS: u64 = 400;
const RTO_MAX_MS: u64 = 10_000;
/// Our OPEN must fit whatever little the remote says it takes: that limit is for messages of the application.
const MIN_SEND_BYTES: u32 = 1_024;
/// SCTP has no addresses inside DTLS; the crate wants one.
const NO_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5_000);
/// The port in our own descriptions, and the remote's when it names none (RFC 8841 §5.2).
const DEFAULT_PORT: u16 = 5_000;

/// What the association tells.
pub(super) enum Notice {
    Established,
    Stream(StreamEvent),
    Lost,
}

pub(super) struct Link {
    endpoint: Endpoint,
    association: Option<Association>,
    state: LinkState,
    /// The next stream number to try: even ones are the DTLS client's (RFC 8832 §6).
    next_stream: u16,
    outgoing: VecDeque<Vec<u8>>,
    abandoned: Abandoned,
    max_send_bytes: u32,
    now: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LinkState {
    Connecting,
    Established,
    Lost,
}

impl Link {
    pub(super) fn new(is_client: bool, remote_port: u16, max_send_bytes: u32, now: Instant) -> Self {
        let remote_port = if remote_port == 0 { DEFAULT_PORT } else { remote_port };
        let max_send_bytes = max_send_bytes.max(MIN_SEND_BYTES);
        let transport = Arc::new(
            TransportConfig::default()
                .with_max_receive_buffer_size(MAX_RECEIVE_BYTES)
                .with_max_receive_message_size(MAX_MESSAGE_BYTES as u32)
                .with_max_send_message_size(max_send_bytes)
                .with_max_init_retransmits(None)
                .with_max_data_retransmits(None)
                .with_rto_initial_ms(RTO_INITIAL_MS)
                .with_rto_min_ms(RTO_MIN_MS)
                .with_rto_max_ms(RTO_MAX_MS)
                .with_local_port(DEFAULT_PORT)
                .with_remote_port(remote_port),
        );
        let mut server = ServerConfig::new();
        server.transport = Arc::clone(&transport);
        let mut config = EndpointConfig::new();
        config.max_payload_size(MAX_CHUNK_BYTES);
        let mut link = Self {
            endpoint: Endpoint::new(Arc::new(config), Some(Arc::new(server))),
            association: None,
            state: LinkState::Connecting,
            next_stream: u16::from(!is_client),
            outgoing: VecDeque::new(),
            abandoned: Abandoned::default(),
            max_send_bytes,
            now,
        };
        if is_client {
            link.connect(transport);
        }
        link
    }

    fn connect(&mut self, transport: Arc<TransportConfig>) {
        let mut client = ClientConfig::new();
        client.transport = transport;
        match self.endpoint.connect(client, NO_ADDRESS) {
            Ok((_, association)) => self.begin(association),
            Err(_) => self.state = LinkState::Lost,
        }
    }

    /// From here on a further INIT finds no ear: one association per DTLS connection.
    fn begin(&mut self, association: Association) {
        self.association = Some(association);
        self.endpoint.reject_new_associations();
    }

    pub(super) fn on_datagram(&mut self, bytes: &[u8], now: Instant) {
        self.now = now;
        if bytes.len() > MAX_DATAGRAM_BYTES || self.state == LinkState::Lost {
            return;
        }
        self.abandoned.on_datagram(bytes);
        let event: Option<(AssociationHandle, DatagramEvent)> =
            self.endpoint.handle(now, NO_ADDRESS, None, None, bytes.to_vec().into());
        match (event, &mut self.association) {
            (Some((_, DatagramEvent::NewAssociation(mut association))), None) => {
                association.set_max_send_message_size(self.max_send_bytes);
                self.begin(association);
            }
            (Some((_, DatagramEvent::AssociationEvent(event))), Some(association)) => association.handle_event(event),
            _ => {}
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        if let Some(association) = &mut self.association {
            association.handle_timeout(now);
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.association.as_ref()?.poll_timeout()
    }

    pub(super) fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        loop {
            if self.outgoing.is_empty() {
                let association = self.association.as_mut()?;
                if let Some(Transmit { payload: Payload::RawEncode(made), .. }) = association.poll_transmit(self.now) {
                    self.outgoing.extend(made.iter().map(|datagram| datagram.to_vec()));
                }
            }
            let Some(datagram) = self.outgoing.pop_front() else { return self.abandoned.poll_skip() };
            if let Some(kept) = self.abandoned.withhold(datagram) {
                return Some(kept);
            }
        }
    }

    pub(super) fn poll(&mut self) -> Option<Notice> {
        loop {
            let association = self.association.as_mut()?;
            // What concerns the endpoint is only that the association has ended; they end together.
            while association.poll_endpoint_event().is_some() {}
            match association.poll()? {
                Event::Connected => {
                    self.state = LinkState::Established;
                    return Some(Notice::Established);
                }
                Event::HandshakeFailed { .. } | Event::AssociationLost { .. } => {
                    self.state = LinkState::Lost;
                    return Some(Notice::Lost);
                }
                Event::Stream(event) => {
                    if matches!(event, StreamEvent::Opened { .. }) {
                        association.accept_stream();
                    }
                    return Some(Notice::Stream(event));
                }
                _ => {}
            }
        }
    }

    pub(super) fn is_established(&self) -> bool {
        self.state == LinkState::Established
    }

    pub(super) fn is_lost(&self) -> bool {
        self.state == LinkState::Lost
    }

    /// Opens a stream with the message `open`; none when no stream number is free.
    pub(super) fn open(&mut self, open: &[u8], ordered: bool, reliability: Reliability) -> Option<u16> {
        let association = self.association.as_mut()?;
        for _ in 0..2 * MAX_CHANNELS {
            let id = self.next_stream;
            // 65 535 is reserved (RFC 8832 §6).
            self.next_stream = if id >= u16::MAX - 2 { id % 2 } else { id + 2 };
            if association.open_stream(id, Ppi::Binary).is_ok() {
                return self.accept(id, open, ordered, reliability).then_some(id);
            }
        }
        None
    }

    /// Sends the message `dcep`, itself ordered and reliable, and sets how later ones go; false when the stream is gone.
    pub(super) fn accept(&mut self, id: u16, dcep: &[u8], ordered: bool, reliability: Reliability) -> bool {
        let Some(Ok(mut stream)) = self.association.as_mut().map(|association| association.stream(id)) else {
            return false;
        };
        if stream.is_writable() {
            self.abandoned.begin(id);
        }
        let (kind, value) = match reliability {
            Reliability::Reliable => (ReliabilityType::Reliable, 0),
            Reliability::MaxRetransmits(count) => (ReliabilityType::Rexmit, count),
            Reliability::MaxLifetimeMs(lifetime_ms) => (ReliabilityType::Timed, lifetime_ms),
        };
        stream.write_with_ppi(dcep, Ppi::Dcep).is_ok() && stream.set_reliability_params(!ordered, kind, value).is_ok()
    }

    /// Queues a message; an empty one goes as one byte under a PPID of its own (RFC 8831 §6.6). `false` when it is not taken: the
    /// remote has begun to end the stream, or the association (SHUTDOWN, RFC 9260 §9.2).
    pub(super) fn write(&mut self, id: u16, payload: &[u8], binary: bool) -> bool {
        let Some(association) = &mut self.association else { return false };
        let (payload, ppi) = match (payload.is_empty(), binary) {
            (false, true) => (payload, Ppi::Binary),
            (false, false) => (payload, Ppi::String),
            (true, true) => (&[0][..], Ppi::BinaryEmpty),
            (true, false) => (&[0][..], Ppi::StringEmpty),
        };
        let written = association.stream(id).and_then(|mut stream| stream.write_with_ppi(payload, ppi));
        written.is_ok()
    }

    /// None of what SCTP holds for the stream leaves any more.
    pub(super) fn give_up(&mut self, id: u16) {
        self.abandoned.give_up(id);
    }

    /// Takes a whole message from a stream.
    pub(super) fn read(&mut self, id: u16) -> Option<(Ppi, Vec<u8>)> {
        let message = self.association.as_mut()?.stream(id).ok()?.read_sctp().ok()??;
        let mut payload = vec![0; message.len()];
        let len = message.read(&mut payload).ok()?;
        payload.truncate(len);
        Some((message.ppi, payload))
    }

    pub(super) fn buffered_bytes(&mut self, id: Option<u16>) -> usize {
        let stream = self.association.as_mut().zip(id).and_then(|(association, id)| association.stream(id).ok());
        stream.and_then(|stream| stream.buffered_amount().ok()).unwrap_or(0)
    }

    /// Resets our direction of a stream; false when there is nothing to reset.
    pub(super) fn reset(&mut self, id: u16) -> bool {
        let stream = self.association.as_mut().and_then(|association| association.stream(id).ok());
        stream.is_some_and(|mut stream| stream.close().is_ok())
    }

    /// Ends the association without a word: for a remote that does not play by the rules.
    pub(super) fn abandon(&mut self) {
        if let Some(association) = &mut self.association {
            let _ = association.close();
        }
    }
}
