//! What strangers send: datagrams at a steady rate, each from an address at random, so that nothing can be refused by where
//! it comes from.

use std::net::Ipv4Addr;

use is::stun::{StunMessage, TransId};
use sfu_core::peer::dtls::{Dtls, DtlsVersions, Identity};
use sfu_core::peer::ice::AwsHmac;
use sfu_core::session::DtlsRole;

use crate::clock::{Clock, go_first};
use crate::load::TICK_NS;
use crate::random::Random;
use crate::report;
use crate::settings::{FloodKind, FloodSettings};
use crate::signalling::Failure;
use crate::socket::Socket;

/// From so many addresses.
const ADDRESSES: u64 = 60_000;
/// The port they send from.
const PORT: u16 = 50_000;
/// Longest junk.
const MAX_JUNK: u64 = 1_200;
/// First bytes that protocols begin with: STUN, DTLS, RTP, RTCP.
const BEGINNINGS: [[u8; 2]; 5] = [[0, 1], [22, 254], [0x80, 96], [0x90, 111], [0x80, 200]];

/// Makes the datagrams of one kind.
struct Maker {
    kind: FloodKind,
    ufrag: String,
    hello: Vec<u8>,
    random: Random,
}

/// Sends, then tells how many.
pub(crate) fn run(settings: &FloodSettings) -> Result<(), Failure> {
    let clock = Clock::start();
    let mut socket = Socket::bind(PORT, false)?;
    let mut maker = Maker {
        kind: settings.kind,
        ufrag: settings.ufrag.clone(),
        hello: client_hello(&clock)?,
        random: Random::new(1),
    };
    go_first();
    report::line(&serde_json::json!({"event": "begin"}));
    let began_ns = clock.now().since_start_ns;
    let mut sent = 0;
    loop {
        let now_ns = clock.now().since_start_ns;
        if now_ns > began_ns + settings.seconds * 1_000_000_000 {
            break;
        }
        let due = (now_ns - began_ns) * settings.rate / 1_000_000_000;
        while sent < due {
            let address = settings.addresses.to_bits() + 1 + maker.random.below(ADDRESSES) as u32;
            let datagram = maker.make();
            socket.push(settings.target, Some(Ipv4Addr::from_bits(address)), &datagram);
            sent += 1;
        }
        socket.flush();
        clock.sleep_until((now_ns / TICK_NS + 1) * TICK_NS);
    }
    report::line(&serde_json::json!({"event": "report", "sent": sent - socket.refused, "refused": socket.refused}));
    Ok(())
}

/// The first word of a real handshake.
fn client_hello(clock: &Clock) -> Result<Vec<u8>, Failure> {
    let now = clock.now().instant;
    let mut dtls = Dtls::new(Identity::generate(DtlsVersions::Only12)?, DtlsRole::Client, Vec::new());
    dtls.start(now);
    dtls.poll_transmit().ok_or_else(|| "the handshake does not begin".into())
}

impl Maker {
    fn make(&mut self) -> Vec<u8> {
        match self.kind {
            FloodKind::Junk => self.junk(),
            FloodKind::UnknownUfrag => {
                let name = format!("{:011x}", self.random.next() >> 20);
                self.request(&name)
            }
            FloodKind::WrongMac => self.request(&self.ufrag.clone()),
            FloodKind::ClientHello => self.hello.clone(),
        }
    }

    fn junk(&mut self) -> Vec<u8> {
        let len = self.random.below(MAX_JUNK) as usize + 1;
        let mut bytes: Vec<u8> = (0..len.div_ceil(8)).flat_map(|_| self.random.next().to_be_bytes()).collect();
        let beginning = BEGINNINGS.get(self.random.below(2 * BEGINNINGS.len() as u64) as usize);
        if let (Some(beginning), Some(start)) = (beginning, bytes.first_chunk_mut()) {
            *start = *beginning;
        }
        bytes.truncate(len);
        bytes
    }

    /// A binding request for `name`, signed with a key that is not that name's.
    fn request(&mut self, name: &str) -> Vec<u8> {
        let username = format!("{name}:load");
        let controlling = self.random.next();
        let request = StunMessage::binding_request(&username, TransId::new(), true, controlling, 1_845_501_695, true);
        let mut bytes = vec![0; 256];
        let key = self.random.next().to_be_bytes();
        let written = request.to_bytes(Some(&key), &mut bytes, AwsHmac::sign);
        bytes.truncate(written.unwrap_or(0));
        bytes
    }
}

#[cfg(test)]
mod tests {
    use sfu_core::demux::{DatagramKind, classify};

    use super::*;

    fn maker(kind: FloodKind) -> Maker {
        let hello = client_hello(&Clock::start()).expect("a handshake");
        Maker { kind, ufrag: "abcd1234".to_owned(), hello, random: Random::new(7) }
    }

    #[test]
    fn junk_has_every_length_and_no_kind_is_missing() {
        let mut maker = maker(FloodKind::Junk);
        let junk: Vec<Vec<u8>> = (0..1_000).map(|_| maker.make()).collect();
        for kind in [DatagramKind::Stun, DatagramKind::Dtls, DatagramKind::Rtp, DatagramKind::Rtcp] {
            assert!(junk.iter().any(|bytes| classify(bytes) == kind), "{kind:?}");
        }
        assert!(junk.iter().all(|bytes| (1..=1_200).contains(&bytes.len())));
    }

    #[test]
    fn a_request_with_a_wrong_signature_is_for_the_name_it_was_told() {
        let mut maker = maker(FloodKind::WrongMac);
        let bytes = maker.make();
        let request = StunMessage::parse(&bytes).expect("a request");
        assert_eq!(request.split_username(), Some(("abcd1234", "load")));
        assert!(!request.verify(b"the right key", AwsHmac::sign));
    }

    #[test]
    fn a_client_hello_is_a_handshake_record() {
        assert_eq!(maker(FloodKind::ClientHello).make().first(), Some(&22));
    }
}
