//! Taking in what the network brought, in runs: datagrams of one stream that follow each other, as the packets of a picture
//! do. All of a run are opened first, then all are looked at: done in turn for each packet, the code of the one drives that of
//! the other out of the processor's first-level cache.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::Instant;

use arrayvec::ArrayVec;

use super::inbound::Source;
use super::lookahead::{self, RUN_STAGES};
use super::transmit::Datagram;
use super::{Engine, Served, control, feedback, path};
use crate::demux::{DatagramKind, classify};
use crate::ids::{PeerId, Ssrc};
use crate::rtp::header;

/// Datagrams that are cut into runs together: as many as one `recvmmsg` brings.
pub(super) const MAX_TOGETHER: usize = 64;
/// Datagrams of one run: their lines fit the first-level cache beside the work.
const MAX_RUN: usize = 8;

/// Datagrams of one stream that follow each other.
pub(super) struct Run {
    pub(super) source: SocketAddr,
    pub(super) kind: DatagramKind,
    /// The stream and its first number; `None` for what is not RTP.
    pub(super) rtp: Option<(Ssrc, u16)>,
    /// Which datagrams, and their bytes.
    pub(super) datagrams: Range<usize>,
    pub(super) bytes: usize,
    /// Whose address it is, by the look ahead.
    pub(super) sender: Option<PeerId>,
    /// Which encoding it is taken for, by the look ahead.
    pub(super) found: Option<Source>,
}

/// Takes in at most [`MAX_TOGETHER`] datagrams. If that breaks for one, the others are taken in all the same.
pub(super) fn ingest(engine: &mut Engine, batch: &mut [Datagram<'_>], now: Instant) {
    let mut runs = runs_of(batch);
    let version = engine.demux.version();
    for at in 0..runs.len() {
        lookahead::advance(engine, &RUN_STAGES, &mut runs, at);
        let run = &mut runs[at];
        if engine.demux.version() != version {
            run.sender = None; // it may be another's address by now
        }
        match run.kind {
            DatagramKind::Rtp | DatagramKind::Rtcp => on_media(engine, run, &mut batch[run.datagrams.clone()], now),
            _ => {
                let datagram = &mut batch[run.datagrams.start];
                engine.guarded(|engine| on_control(engine, datagram, now));
            }
        }
    }
}

fn runs_of(batch: &[Datagram<'_>]) -> ArrayVec<Run, MAX_TOGETHER> {
    let mut runs: ArrayVec<Run, MAX_TOGETHER> = ArrayVec::new();
    for (place, datagram) in batch.iter().enumerate().take(MAX_TOGETHER) {
        let kind = classify(datagram.bytes);
        let header = if kind == DatagramKind::Rtp { header::peek(datagram.bytes).ok() } else { None };
        let rtp = header.map(|header| (header.ssrc, header.sequence_number));
        if let (Some(last), Some((ssrc, _))) = (runs.last_mut(), rtp)
            && last.rtp.is_some_and(|(of_last, _)| of_last == ssrc)
            && last.source == datagram.source
            && last.datagrams.len() < MAX_RUN
        {
            last.datagrams.end += 1;
            last.bytes += datagram.bytes.len();
        } else {
            let (datagrams, bytes) = (place..place + 1, datagram.bytes.len());
            runs.push(Run { source: datagram.source, kind, rtp, datagrams, bytes, sender: None, found: None });
        }
    }
    runs
}

fn on_media(engine: &mut Engine, run: &Run, datagrams: &mut [Datagram<'_>], now: Instant) {
    let Some(from) = run.sender.or_else(|| engine.demux.peer_at(run.source)) else {
        return engine.stats.drops.unknown_source += datagrams.len() as u64;
    };
    let mut lengths: [Option<usize>; MAX_RUN] = [None; MAX_RUN];
    let mut to_open = datagrams.iter_mut().zip(&mut lengths);
    let mut open = |engine: &mut Engine| {
        for (datagram, length) in to_open.by_ref() {
            engine.serve(Served::Peer(from));
            *length = match run.kind {
                DatagramKind::Rtp => path::open(engine, from, datagram.bytes),
                _ => feedback::open(engine, from, datagram.bytes),
            };
        }
    };
    while engine.guarded(&mut open).is_none() {}
    let mut to_read = datagrams.iter().zip(lengths).filter_map(|(datagram, length)| datagram.bytes.get(..length?));
    let mut read = |engine: &mut Engine| {
        for plain in to_read.by_ref() {
            engine.serve(Served::Peer(from));
            match run.kind {
                DatagramKind::Rtp => path::on_rtp(engine, from, plain, now),
                _ => feedback::on_rtcp(engine, from, plain, now),
            }
        }
    };
    while engine.guarded(&mut read).is_none() {}
}

fn on_control(engine: &mut Engine, datagram: &mut Datagram<'_>, now: Instant) {
    match classify(datagram.bytes) {
        DatagramKind::Stun => control::on_stun(engine, datagram, now),
        DatagramKind::Dtls => control::on_dtls(engine, datagram, now),
        _ => engine.stats.drops.malformed += 1,
    }
}
