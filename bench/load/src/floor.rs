//! The floor: what a server cannot do without. A thread seals each packet for each receiver and sends it at the instant at
//! which it is due, in groups where several for one receiver are due together. It receives nothing, and nobody is asked.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use sfu_core::engine::transmit::Group;
use sfu_core::ids::Ssrc;
use sfu_core::rtp::header::Header;
use sfu_core::session::MediaKind;

use crate::clock::{Clock, sleep_exactly, wall_ns};
use crate::load::TICK_NS;
use crate::packet::{AUDIO_BYTES, Stamp, VIDEO_PAYLOAD};
use crate::report;
use crate::settings::FloorSettings;
use crate::signalling::Failure;
use crate::socket::Socket;
use crate::timetable::{Due, Timetable};

/// Header, and the extensions that a server writes: MID, transport-wide number, time of sending.
const HEADER_LEN: usize = Header::LEN + 16;
/// Bytes of a key.
const KEY_LEN: usize = 32;
/// The port at which the floor is bound; nothing comes there.
const PORT: u16 = 7_882;

/// How long the process stays after the end, so that what it took can be read.
const LINGER_NS: u64 = 300_000_000;

/// Who receives one publisher.
struct Receiver {
    address: SocketAddr,
    key: LessSafeKey,
    salt: [u8; NONCE_LEN],
    ssrc: Ssrc,
    index: u64,
}

/// What is sent, to whom.
struct Floor {
    socket: Socket,
    /// By publisher.
    receivers: Vec<Vec<Receiver>>,
    payload: [u8; VIDEO_PAYLOAD],
    sent: u64,
}

/// Sends as told, and tells when the span that counts begins and ends.
pub(crate) fn run(settings: &FloorSettings) -> Result<(), Failure> {
    sleep_exactly();
    let clock = Clock::start();
    let mut floor = Floor {
        socket: Socket::bind(PORT, true)?,
        receivers: receivers(settings)?,
        payload: [0x5a; VIDEO_PAYLOAD],
        sent: 0,
    };
    let mut timetable = Timetable::new(&settings.shape);
    let begin_ns = clock.now().since_start_ns + settings.warm_up_ms * 1_000_000;
    let end_ns = begin_ns + settings.steady_ms * 1_000_000;
    timetable.skip_to(clock.now().since_start_ns);
    let mut before = None;
    let mut due_now: Vec<Due> = Vec::new();
    while let Some(next_ns) = timetable.next_ns().filter(|next_ns| *next_ns < end_ns) {
        if before.is_none() && next_ns >= begin_ns {
            before = Some(floor.sent);
            report::begun(wall_ns());
        }
        // At the end of its tick, when the load sends it too.
        clock.sleep_until((next_ns / TICK_NS + 1) * TICK_NS);
        let now_ns = clock.now().since_start_ns;
        due_now.clear();
        due_now.extend(std::iter::from_fn(|| timetable.take_due(now_ns)));
        if settings.direct { floor.send_direct(&due_now) } else { floor.send(&mut due_now) }
    }
    report::ended(wall_ns(), false);
    clock.sleep_until(clock.now().since_start_ns + LINGER_NS);
    let sent = floor.sent - before.unwrap_or(floor.sent);
    report::line(&serde_json::json!({
        "event": "report",
        "steady_ms": settings.steady_ms,
        "sent": sent,
        "sent_in_all": floor.sent,
        "refused": floor.socket.refused,
    }));
    Ok(())
}

fn receivers(settings: &FloorSettings) -> Result<Vec<Vec<Receiver>>, Failure> {
    let mut all: Vec<Vec<Receiver>> = (0..settings.shape.sources()).map(|_| Vec::new()).collect();
    let mut number = 0;
    for seat in settings.shape.seats() {
        for heard in settings.shape.heard_by(seat) {
            number += 1;
            let receivers = &mut all[settings.shape.source(heard) as usize];
            if !settings.direct || receivers.is_empty() {
                receivers.push(receiver(number, settings)?);
            }
        }
    }
    Ok(all)
}

fn receiver(number: u32, settings: &FloorSettings) -> Result<Receiver, Failure> {
    let address = Ipv4Addr::from_bits(settings.addresses.to_bits() + number);
    let mut key = [0x11; KEY_LEN];
    key[..4].copy_from_slice(&number.to_be_bytes());
    let key = UnboundKey::new(&AES_256_GCM, &key).map_err(|_| "no AES-256-GCM")?;
    Ok(Receiver {
        address: SocketAddr::new(IpAddr::V4(address), settings.port),
        key: LessSafeKey::new(key),
        salt: [0x22; NONCE_LEN],
        ssrc: Ssrc(number),
        index: 0,
    })
}

impl Floor {
    /// Sends what is due, publisher by publisher; of one publisher all that is due in one group: pictures first, which
    /// are of one size, and sound last, which may be shorter.
    fn send(&mut self, due: &mut [Due]) {
        due.sort_by_key(|due| (due.source, due.kind == MediaKind::Audio));
        let batch = self.socket.batch();
        for group in due.chunk_by(|one, other| {
            one.source == other.source && (one.kind, other.kind) != (MediaKind::Audio, MediaKind::Audio)
        }) {
            for receiver in &mut self.receivers[group[0].source as usize] {
                let start = batch.bytes.len();
                let mut segment_size = 0;
                for due in group {
                    let at = batch.bytes.len();
                    receiver.seal(due.kind, &self.payload, &mut batch.bytes);
                    segment_size = segment_size.max(batch.bytes.len() - at);
                    self.sent += 1;
                }
                let range = start..batch.bytes.len();
                batch.groups.push(Group { destination: receiver.address, source: None, segment_size, range });
            }
        }
        self.socket.flush();
    }

    /// Sends what is due one by one, each stamped, in the clear.
    fn send_direct(&mut self, due: &[Due]) {
        for due in due {
            let Some(receiver) = self.receivers[due.source as usize].first() else { continue };
            let mut packet = [0x5a; HEADER_LEN + VIDEO_PAYLOAD];
            let len = plain_len(due.kind);
            let stamp = Stamp { sent_ns: wall_ns(), source: due.source, count: 0 };
            packet[len - Stamp::LEN..len].copy_from_slice(&stamp.to_bytes());
            self.socket.push(receiver.address, None, &packet[..len]);
            self.socket.flush();
            self.sent += 1;
        }
    }
}

fn plain_len(kind: MediaKind) -> usize {
    match kind {
        MediaKind::Audio => AUDIO_BYTES,
        MediaKind::Video => HEADER_LEN + VIDEO_PAYLOAD,
    }
}

impl Receiver {
    /// Appends a packet: header written, payload copied, sealed (RFC 7714 §8).
    fn seal(&mut self, kind: MediaKind, payload: &[u8], out: &mut Vec<u8>) {
        self.index += 1;
        let header = Header {
            marker: false,
            payload_type: 96,
            sequence_number: self.index as u16,
            timestamp: self.index as u32,
            ssrc: self.ssrc,
        };
        let start = out.len();
        let mut bytes = [0; HEADER_LEN];
        header.write(true, bytes.first_chunk_mut().expect("the extensions follow the header"));
        out.extend_from_slice(&bytes);
        out.extend_from_slice(&payload[..plain_len(kind) - HEADER_LEN]);
        let (header, payload) = out[start..].split_at_mut(HEADER_LEN);
        let mut nonce = self.salt;
        nonce[2..6].iter_mut().zip(self.ssrc.0.to_be_bytes()).for_each(|(salt, byte)| *salt ^= byte);
        nonce[6..].iter_mut().zip(&self.index.to_be_bytes()[2..]).for_each(|(salt, byte)| *salt ^= byte);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self.key.seal_in_place_separate_tag(nonce, Aad::from(header), payload);
        out.extend_from_slice(tag.expect("a packet is not too long to seal").as_ref());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::Shape;

    const ROOM: Shape = Shape { rooms: 1, publishers: 3, listeners: 0, audio: true, video: true };

    #[test]
    fn a_sealed_packet_has_the_size_that_a_server_sends() {
        let settings = FloorSettings {
            shape: ROOM,
            addresses: Ipv4Addr::LOCALHOST,
            port: 9,
            warm_up_ms: 0,
            steady_ms: 0,
            direct: false,
        };
        let mut all = receivers(&settings).expect("keys");
        assert_eq!(all.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 2]);
        let mut out = Vec::new();
        all[0][0].seal(MediaKind::Audio, &[1; VIDEO_PAYLOAD], &mut out);
        assert_eq!(out.len(), 92 + 16);
        all[0][0].seal(MediaKind::Video, &[1; VIDEO_PAYLOAD], &mut out);
        assert_eq!(out.len(), 92 + 16 + 28 + 1_100 + 16);
    }
}
