//! The floor: what remains of forwarding when nothing is decided. Writes a header, copies the payload and seals it with
//! `AEAD_AES_128_GCM` (RFC 7714), for one key after the other.

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use sim::random::Random;

use crate::cpu::SpanClock;
use crate::shape::{PAYLOAD, SUBSCRIBERS};

/// A fixed header and an extension block with one transport-wide sequence number.
const HEADER: usize = 12 + 8;
const TAG: usize = 16;
const ROUNDS: u32 = 2_000;

/// The keys of all subscribers and the buffer they share.
pub(crate) struct Floor {
    keys: Vec<LessSafeKey>,
    salts: Vec<[u8; 12]>,
    payload: Vec<u8>,
    out: Vec<u8>,
    sequence: u64,
    clock: SpanClock,
}

impl Floor {
    pub(crate) fn new(mut random: Random) -> Self {
        let keys = (0..SUBSCRIBERS).map(|_| {
            let key = UnboundKey::new(&AES_128_GCM, &random.bytes::<16>()).expect("16 bytes are a key");
            LessSafeKey::new(key)
        });
        Self {
            keys: keys.collect(),
            salts: (0..SUBSCRIBERS).map(|_| random.bytes()).collect(),
            payload: (0..PAYLOAD).map(|_| random.next_u64() as u8).collect(),
            out: vec![0; SUBSCRIBERS * (HEADER + PAYLOAD + TAG)],
            sequence: 0,
            clock: SpanClock::calibrated(),
        }
    }

    /// Nanoseconds per packet.
    pub(crate) fn run(&mut self) -> f64 {
        self.clock.start();
        for _ in 0..ROUNDS {
            self.sequence += 1;
            self.round();
        }
        self.clock.stop();
        self.clock.take_ns() as f64 / f64::from(ROUNDS) / SUBSCRIBERS as f64
    }

    fn round(&mut self) {
        let packets = self.out.chunks_exact_mut(HEADER + PAYLOAD + TAG);
        for (index, packet) in packets.enumerate() {
            write_header(packet, self.sequence, index as u32);
            packet[HEADER..HEADER + PAYLOAD].copy_from_slice(&self.payload);
            let (header, rest) = packet.split_at_mut(HEADER);
            let (body, tag) = rest.split_at_mut(PAYLOAD);
            let nonce = nonce(&self.salts[index], index as u32, self.sequence);
            let sealed = self.keys[index].seal_in_place_separate_tag(nonce, Aad::from(&*header), body);
            tag.copy_from_slice(sealed.expect("a packet is short enough").as_ref());
        }
        std::hint::black_box(&self.out);
    }
}

fn write_header(packet: &mut [u8], sequence: u64, ssrc: u32) {
    packet[..2].copy_from_slice(&[0x90, 96]);
    packet[2..4].copy_from_slice(&(sequence as u16).to_be_bytes());
    packet[4..8].copy_from_slice(&(sequence as u32).wrapping_mul(3_000).to_be_bytes());
    packet[8..12].copy_from_slice(&ssrc.to_be_bytes());
    packet[12..17].copy_from_slice(&[0xbe, 0xde, 0, 1, 0x31]);
    packet[17..19].copy_from_slice(&(sequence as u16).to_be_bytes());
    packet[19] = 0;
}

/// RFC 7714 §8.1.
fn nonce(salt: &[u8; 12], ssrc: u32, index: u64) -> Nonce {
    let mut nonce = [0; 12];
    nonce[2..6].copy_from_slice(&ssrc.to_be_bytes());
    nonce[6..].copy_from_slice(&index.to_be_bytes()[2..]);
    for (byte, salt) in nonce.iter_mut().zip(salt) {
        *byte ^= salt;
    }
    Nonce::assume_unique_for_key(nonce)
}
