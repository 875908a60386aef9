//! A participant that is let in and means harm: what it would say if it were honest, layer by layer, before anything is changed.

use std::time::Instant;

use sfu_core::ids::{Ssrc, TrackId};
use sfu_core::rtcp::bye::Bye;
use sfu_core::rtcp::fir::Fir;
use sfu_core::rtcp::pli::Pli;
use sfu_core::rtcp::remb::Remb;
use sfu_core::rtcp::rr::ReceiverReport;
use sfu_core::rtcp::sr::{ReportBlock, ReportBlocks, SenderReport};
use sfu_core::rtcp::{nack, sdes};
use sfu_core::rtp::ext::{ExtensionKind, ExtensionWriter};
use sfu_core::rtp::header::Header;
use sfu_core::session::NegotiatedSession;
use sfu_core::units::{Bitrate, NtpTime};

use super::arrivals::Arrivals;
use super::link::Link;
use super::treatment::MAX_DATAGRAM;
use crate::bytes::Choices;
use crate::engine::remote::{Received, Remote};
use crate::engine::setup::{MIDS, OPUS, RIDS, VP8, extensions};

/// The sections in which it receives.
pub(crate) const SECTIONS: usize = 4;
/// Bytes that one compound of its own has at most.
const MAX_COMPOUND: usize = 1_200;

/// How something is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layer {
    Rtp,
    Rtcp,
    /// SCTP in DTLS; whether its checksum is set right after changes.
    Data {
        checksum: bool,
    },
    Stun,
    /// Nothing is.
    Raw,
}

/// One of the streams that it sends.
#[derive(Debug, Clone, Copy)]
struct Line {
    ssrc: Ssrc,
    mid: &'static str,
    rid: Option<&'static str>,
    number: u16,
}

/// One hostile participant.
pub(crate) struct Hostile {
    pub(crate) media: Remote,
    /// `None`: connected from the start, with given keys.
    pub(crate) link: Option<Link>,
    pub(crate) session: NegotiatedSession,
    pub(crate) tracks: [TrackId; 2],
    /// It has been removed.
    pub(crate) gone: bool,
    pub(crate) generation: u8,
    /// Sound, two encodings of pictures, and what is sent again.
    lines: [Line; 4],
    next_transport_cc: u16,
    arrivals: Arrivals,
    /// The number that came last in each section.
    came: [u16; SECTIONS],
    ssrc_base: u32,
}

impl Hostile {
    pub(crate) fn new(
        number: u8,
        media: Remote,
        link: Option<Link>,
        session: NegotiatedSession,
        tracks: [TrackId; 2],
    ) -> Self {
        let ssrc_base = session.send[0].ssrc.0;
        let announced = session.receive[1].encodings.len() == 1;
        let line = |n: usize, mid, rid| Line { ssrc: own_ssrc(number, n), mid, rid, number: 0 };
        let rid = |n: usize| (!announced).then_some(RIDS[n]);
        Self {
            media,
            link,
            session,
            tracks,
            gone: false,
            generation: 0,
            lines: [
                line(0, MIDS[0], None),
                line(1, MIDS[1], rid(0)),
                line(2, MIDS[1], rid(1)),
                line(3, MIDS[1], rid(0)),
            ],
            next_transport_cc: 0,
            arrivals: Arrivals::new(Ssrc(ssrc_base)),
            came: [0; SECTIONS],
            ssrc_base,
        }
    }

    /// What it got.
    pub(crate) fn hear(&mut self, received: &Received, now: Instant) {
        self.arrivals.note(received.transport_cc, now);
        let place = received.ssrc.0.wrapping_sub(self.ssrc_base);
        if place.is_multiple_of(2)
            && let Some(came) = self.came.get_mut(place as usize / 2)
        {
            *came = received.header.sequence_number;
        }
    }

    /// What it is about to say, in the clear, and how that is to be sealed. `None`: there is nothing of that kind.
    pub(crate) fn say(&mut self, kind: u8, choices: &mut Choices<'_>, now: Instant) -> Option<(Layer, Vec<u8>)> {
        Some(match kind {
            0 => (Layer::Rtp, self.sound()),
            1 => (Layer::Rtp, self.picture(1 + usize::from(choices.byte() & 1), true)),
            2 => (Layer::Rtp, self.picture(1 + usize::from(choices.byte() & 1), false)),
            3 => (Layer::Rtp, self.again(choices.byte())),
            4 => (Layer::Rtp, choices.chunk(MAX_DATAGRAM).to_vec()),
            5 => (Layer::Rtcp, self.report(choices.byte())),
            6 => (Layer::Rtcp, self.arrivals.tell()?),
            7 => (Layer::Rtcp, self.ask_again(choices.byte())),
            8 => (Layer::Rtcp, self.feedback(choices.byte())),
            9 => (Layer::Rtcp, choices.chunk(MAX_DATAGRAM).to_vec()),
            10 => {
                let link = self.link.as_mut()?;
                link.act(choices);
                (Layer::Data { checksum: true }, link.messages(now).into_iter().next()?)
            }
            11 => {
                let header = self.link.as_ref()?.header();
                let bytes = choices.chunk(MAX_DATAGRAM);
                (Layer::Data { checksum: true }, [&header[..], &[0; 4], bytes].concat())
            }
            12 => (Layer::Data { checksum: false }, choices.chunk(MAX_DATAGRAM).to_vec()),
            13 => (Layer::Stun, self.link.as_mut()?.request(choices.byte() & 1 != 0)),
            _ => (Layer::Raw, choices.chunk(MAX_DATAGRAM).to_vec()),
        })
    }

    /// Seals what was said.
    pub(crate) fn seal(&mut self, layer: Layer, plain: Vec<u8>, now: Instant) -> Vec<Vec<u8>> {
        match layer {
            Layer::Rtp => vec![self.media.seal_rtp(&plain)],
            Layer::Rtcp => vec![self.media.seal_rtcp(&plain)],
            Layer::Data { checksum } => {
                let Some(link) = &mut self.link else { return Vec::new() };
                link.seal(&if checksum { crate::sctp::with_checksum(plain) } else { plain }, now)
            }
            Layer::Stun => self.link.iter().map(|link| link.sign(&plain)).collect(),
            Layer::Raw => vec![plain],
        }
    }

    fn sound(&mut self) -> Vec<u8> {
        self.packet(0, OPUS, &[0xfc; 40])
    }

    fn picture(&mut self, line: usize, key: bool) -> Vec<u8> {
        let [high, low] = self.lines[line].number.to_be_bytes();
        let mut payload = vec![0x90, 0x80, 0x80 | high, low];
        payload.extend_from_slice(if key { &[0x10, 0, 0, 0x9d, 0x01, 0x2a] } else { &[0x11, 0, 0] });
        payload.resize(300, low);
        self.packet(line, VP8, &payload)
    }

    /// One of the last pictures once more (RFC 4588).
    fn again(&mut self, back: u8) -> Vec<u8> {
        let lost = self.lines[1].number.wrapping_sub(u16::from(back & 15));
        let [high, low] = lost.to_be_bytes();
        let mut payload = vec![high, low, 0x90, 0x80, 0x80 | high, low, 0x11, 0, 0];
        payload.resize(302, low);
        self.packet(3, VP8 + 1, &payload)
    }

    fn packet(&mut self, line: usize, payload_type: u8, payload: &[u8]) -> Vec<u8> {
        let Line { ssrc, mid, rid, number } = self.lines[line];
        self.lines[line].number = number.wrapping_add(1);
        let transport_cc = self.next_transport_cc;
        self.next_transport_cc = transport_cc.wrapping_add(1);
        let mut bytes = vec![0; Header::LEN + 64];
        let (fixed, rest) = bytes.split_first_chunk_mut().expect("a header");
        let timestamp = u32::from(number) * 960;
        Header { marker: true, payload_type, sequence_number: number, timestamp, ssrc }.write(true, fixed);
        let (ids, mut writer) = (extensions(), ExtensionWriter::new(rest, false));
        let mut push = |kind, value: &[u8]| {
            let id = ids.id(kind).expect("every extension has a number");
            writer.push(id, value).expect("there is room");
        };
        push(ExtensionKind::Mid, mid.as_bytes());
        if let Some(rid) = rid {
            push(if line == 3 { ExtensionKind::RepairedRid } else { ExtensionKind::Rid }, rid.as_bytes());
        }
        if line == 0 {
            push(ExtensionKind::AudioLevel, &[0x94]);
        }
        push(ExtensionKind::TransportCc, &transport_cc.to_be_bytes());
        let len = writer.finish();
        bytes.truncate(Header::LEN + len);
        bytes.extend_from_slice(payload);
        bytes
    }

    /// A sender report with its names, and a goodbye if asked.
    fn report(&self, choice: u8) -> Vec<u8> {
        let line = self.lines[usize::from(choice & 3)];
        let reports = self.blocks(choice);
        let ntp = NtpTime(0xe000_0000_0000_0000 | u64::from(choice) << 30);
        let timestamp = u32::from(line.number) * 960;
        let report = SenderReport { sender: line.ssrc, ntp, timestamp, packets: 1, octets: 1, reports };
        let mut out = [0; MAX_COMPOUND];
        let mut len = report.write(&mut out).expect("room for a report");
        len += sdes::write(line.ssrc, "hostile", &mut out[len..]).expect("room for a name");
        if choice & 0x80 != 0 {
            let sources = [line.ssrc].into_iter().collect();
            len += Bye { sources }.write(&mut out[len..]).expect("room for a goodbye");
        }
        out[..len].to_vec()
    }

    /// What it says of what it got.
    fn blocks(&self, choice: u8) -> ReportBlocks {
        let block = |section: usize| ReportBlock {
            ssrc: self.received(section),
            fraction_lost: choice,
            cumulative_lost: i32::from(choice),
            highest_sequence: u32::from(self.came[section]),
            jitter: 9,
            last_sr: 0,
            delay_since_last_sr: 0,
        };
        (0..SECTIONS).map(block).collect()
    }

    fn ask_again(&self, choice: u8) -> Vec<u8> {
        let section = usize::from(choice & 3);
        let last = self.came[section];
        let lost: Vec<u16> = (0..=u16::from(choice >> 2 & 15)).rev().map(|back| last.wrapping_sub(back)).collect();
        let mut out = [0; MAX_COMPOUND];
        let len = nack::write(Ssrc(1), self.received(section), &lost, &mut out).expect("room for a request");
        out[..len].to_vec()
    }

    fn feedback(&self, choice: u8) -> Vec<u8> {
        let media = self.received(usize::from(choice >> 2 & 3));
        let mut out = [0; MAX_COMPOUND];
        let len = match choice & 3 {
            0 => Pli { sender: Ssrc(1), media }.write(&mut out),
            1 => Fir::of_one(Ssrc(1), media, choice >> 4).write(&mut out),
            2 => {
                let bitrate = Bitrate::kbps(20 << u64::from(choice >> 4));
                Remb { sender: Ssrc(1), bitrate, ssrcs: [media].into_iter().collect() }.write(&mut out)
            }
            _ => ReceiverReport { sender: Ssrc(1), reports: self.blocks(choice) }.write(&mut out),
        };
        out[..len.expect("room for feedback")].to_vec()
    }

    fn received(&self, section: usize) -> Ssrc {
        Ssrc(self.ssrc_base.wrapping_add(2 * section as u32))
    }
}

/// The `n`-th SSRC that the hostile participant of that number sends with.
pub(crate) const fn own_ssrc(number: u8, n: usize) -> Ssrc {
    Ssrc(0x7000 + 0x100 * number as u32 + n as u32)
}
