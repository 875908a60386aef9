//! Taking in what the network brought, in runs: datagrams of one stream that follow each other, as the packets of a picture
//! do. All of a run are opened first, then all are looked at: done in turn for each packet, the code of the one drives that of
//! the other out of the processor's first-level cache.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::Instant;

use super::inbound::Source;
use super::lookahead::FOR_RUNS;
use super::transmit::Datagram;
use super::{Engine, Served, control, feedback, path};
use crate::demux::{DatagramKind, classify};
use crate::ids::{PeerId, Ssrc};
use crate::rtp::header;

/// Datagrams that are cut into runs together: as many as one `recvmmsg` brings.
pub(super) const MAX_TOGETHER: usize = 64;
/// Fewer datagrams are taken in as they are: they have nothing to wait for together. Tests look ahead always.
const MIN_TO_LOOK_AHEAD: usize = if cfg!(test) { 1 } else { 4 };
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
    let mut runs = std::mem::take(&mut engine.runs);
    engine.guarded(|_| cut(batch, &mut runs));
    let mut progress = Progress::new(engine.demux.version());
    while engine.guarded(|engine| take_in(engine, batch, &mut runs, &mut progress, now)).is_none() {}
    engine.runs = runs;
}

/// How far a batch has been taken in, to go on from there.
struct Progress {
    /// Of the table of addresses when the runs were looked up.
    version: u64,
    /// How many runs were begun, and whose datagrams of the last one were not opened yet, and not read.
    runs: usize,
    from: Option<PeerId>,
    kind: DatagramKind,
    to_open: Range<usize>,
    to_read: Range<usize>,
    /// By place: bytes that are left of what was opened.
    lengths: [u16; MAX_TOGETHER],
}

impl Progress {
    fn new(version: u64) -> Self {
        Self {
            version,
            runs: 0,
            from: None,
            kind: DatagramKind::Unknown,
            to_open: 0..0,
            to_read: 0..0,
            lengths: [0; MAX_TOGETHER],
        }
    }
}

fn take_in(engine: &mut Engine, batch: &mut [Datagram<'_>], runs: &mut [Run], progress: &mut Progress, now: Instant) {
    loop {
        if let Some(from) = progress.from {
            for place in progress.to_open.by_ref() {
                engine.serve(Served::Peer(from));
                progress.lengths[place] = open(engine, from, progress.kind, batch[place].bytes).unwrap_or(0) as u16;
            }
            for place in progress.to_read.by_ref() {
                let len = usize::from(progress.lengths[place]);
                if len > 0 {
                    engine.serve(Served::Peer(from));
                    read(engine, from, progress.kind, &batch[place].bytes[..len], now);
                }
            }
        }
        let place = progress.runs;
        if place == runs.len() {
            return;
        }
        if batch.len() >= MIN_TO_LOOK_AHEAD {
            FOR_RUNS.advance(engine, runs, place);
        }
        progress.runs += 1;
        progress.from = begin(engine, batch, &runs[place], progress.version, now);
        progress.kind = runs[place].kind;
        (progress.to_open, progress.to_read) = (runs[place].datagrams.clone(), runs[place].datagrams.clone());
    }
}

/// Whose media it is. What is not media is served at once: it may change who sends from where and with which keys.
fn begin(engine: &mut Engine, batch: &mut [Datagram<'_>], run: &Run, version: u64, now: Instant) -> Option<PeerId> {
    engine.serving = Served::Nobody;
    if !matches!(run.kind, DatagramKind::Rtp | DatagramKind::Rtcp) {
        on_control(engine, &mut batch[run.datagrams.start], now);
        return None;
    }
    let known = run.sender.filter(|_| engine.demux.version() == version);
    let from = known.or_else(|| engine.demux.peer_at(run.source));
    if from.is_none() {
        engine.stats.drops.unknown_source += run.datagrams.len() as u64;
    }
    from
}

fn open(engine: &mut Engine, from: PeerId, kind: DatagramKind, bytes: &mut [u8]) -> Option<usize> {
    match kind {
        DatagramKind::Rtp => path::open(engine, from, bytes),
        _ => feedback::open(engine, from, bytes),
    }
}

fn read(engine: &mut Engine, from: PeerId, kind: DatagramKind, plain: &[u8], now: Instant) {
    match kind {
        DatagramKind::Rtp => path::on_rtp(engine, from, plain, now),
        _ => feedback::on_rtcp(engine, from, plain, now),
    }
}

/// Cuts the batch into runs, at most [`MAX_TOGETHER`].
fn cut(batch: &[Datagram<'_>], runs: &mut Vec<Run>) {
    runs.clear();
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
}

fn on_control(engine: &mut Engine, datagram: &mut Datagram<'_>, now: Instant) {
    match classify(datagram.bytes) {
        DatagramKind::Stun => control::on_stun(engine, datagram, now),
        DatagramKind::Dtls => control::on_dtls(engine, datagram, now),
        _ => engine.stats.drops.malformed += 1,
    }
}
