//! Joining: what is said to a server before media flows. In a thread of its own, so that a slow answer delays no packet.

mod janus;
mod whip;

use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender};

use sfu_core::ids::ParticipantId;
use sfu_core::peer::dtls::Identity;
use sfu_core::sdp::{self, MediaPolicy, OfferPlan, OfferSection, Offered, SendPlan};
use sfu_core::session::{Codec, Fingerprint, LocalTransport, MediaKind, NegotiatedSession};

use crate::clock::{Clock, wall_ns};
use crate::settings::{Server, Settings};
use crate::shape::{Seat, Shape};

/// What can go wrong here ends the run, and a person reads it.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// How long those who publish have to begin, before others ask for what they send.
const HEAD_START_NS: u64 = 500_000_000;
/// SSRCs of one connection: two for each section.
const SSRCS: u32 = 64;
/// Where our SSRCs begin.
const FIRST_SSRC: u32 = 0x0100_0000;

/// One connection that was agreed on.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) seat: Seat,
    /// Whether it came while others were measured.
    pub(crate) late: bool,
    /// The publisher's number, when it publishes.
    pub(crate) source: Option<u32>,
    pub(crate) local: LocalTransport,
    pub(crate) address: Ipv4Addr,
    pub(crate) session: NegotiatedSession,
    pub(crate) remote: SocketAddr,
    /// Whether the offer was ours.
    pub(crate) offered: bool,
    /// When the server was asked, since 1970.
    pub(crate) asked_ns: u64,
    /// What the server calls room and participant.
    pub(crate) room: String,
    pub(crate) participant: String,
    /// Whom it receives, as the server calls them.
    pub(crate) heard: Vec<String>,
}

impl Opened {
    /// What both servers' ways have in common; who is who there is filled in by whoever asked.
    fn of(seat: Seat, end: End, session: NegotiatedSession, asked_ns: u64) -> Result<Self, Failure> {
        Ok(Self {
            seat,
            late: false,
            source: None,
            remote: remote_of(&session)?,
            local: end.local,
            address: end.address,
            session,
            offered: true,
            asked_ns,
            room: String::new(),
            participant: String::new(),
            heard: Vec::new(),
        })
    }
}

/// News for the media thread.
#[derive(Debug)]
pub(crate) enum News {
    Opened(Box<Opened>),
    /// All but the latecomers have joined.
    AllJoined,
    /// The latecomers too.
    AllLate,
    Failed(String),
}

/// How a server is spoken to.
trait Signalling {
    /// Makes the rooms.
    fn make_rooms(&mut self, shape: &Shape) -> Result<(), Failure>;
    /// Lets somebody publish.
    fn publish(&mut self, seat: Seat, kinds: &[MediaKind], end: End) -> Result<Opened, Failure>;
    /// Lets somebody receive others; each connection takes one of `ends`.
    fn play(
        &mut self,
        seat: Seat,
        heard: &[Seat],
        kinds: &[MediaKind],
        ends: &mut Ends,
    ) -> Result<Vec<Opened>, Failure>;
}

/// Our end of one connection.
#[derive(Debug)]
struct End {
    local: LocalTransport,
    address: Ipv4Addr,
}

/// Gives each connection its address and credentials.
#[derive(Debug)]
struct Ends {
    addresses: Ipv4Addr,
    port: u16,
    fingerprint: Fingerprint,
    given: u32,
    secret: u128,
}

impl Ends {
    fn new(settings: &Settings, identity: &Identity) -> Self {
        let (addresses, port) = (settings.addresses, settings.port);
        Self { addresses, port, fingerprint: identity.fingerprint(), given: 0, secret: u128::from(wall_ns()) }
    }

    fn next(&mut self) -> End {
        self.given += 1;
        let address = Ipv4Addr::from_bits(self.addresses.to_bits() + self.given);
        let local = LocalTransport {
            ufrag: format!("{:08x}", self.given),
            // Nobody attacks a load.
            pwd: format!("{:032x}", self.secret.wrapping_mul(u128::from(2 * self.given + 1))),
            fingerprint: self.fingerprint.clone(),
            candidates: vec![SocketAddr::new(IpAddr::V4(address), self.port)],
            ssrc_base: FIRST_SSRC + self.given * SSRCS,
        };
        End { local, address }
    }
}

/// What we agree to: one codec for each kind, so that all servers get the same.
fn policy() -> MediaPolicy {
    MediaPolicy { audio: vec![Codec::Opus], video: vec![Codec::Vp8], data: false, ..MediaPolicy::default() }
}

/// What an offer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Publish,
    Play,
}

/// An offer from an end that leads.
fn offer(local: &LocalTransport, kinds: &[MediaKind], purpose: Purpose) -> Result<Offered, Failure> {
    let sends = purpose == Purpose::Publish;
    let section = |(index, &kind): (usize, &MediaKind)| {
        let send = SendPlan {
            kind,
            publisher: ParticipantId(u64::from(local.ssrc_base)),
            stream: "load".to_owned(),
            track: format!("load-{index}"),
            mid: None,
        };
        OfferSection::Media { kind, send: sends.then_some(send), receive: !sends }
    };
    let sections = kinds.iter().enumerate().map(section).collect();
    let plan = OfferPlan { local: local.clone(), policy: policy(), sections, version: 0 };
    let mut offered = sdp::offer(&plan)?;
    // The engine's own offers ask to be led; ours lead, as a browser's do.
    offered.sdp = offered.sdp.replace("a=ice-lite\r\n", "");
    Ok(offered)
}

/// Where the server's media is.
fn remote_of(session: &NegotiatedSession) -> Result<SocketAddr, Failure> {
    let found = session.remote.candidates.iter().find(|address| address.is_ipv4());
    found.copied().ok_or_else(|| "the server names no IPv4 address for media".into())
}

/// Joins everybody, then, when told to `go_on`, the latecomers.
pub(crate) fn run(settings: &Settings, identity: &Identity, news: &Sender<News>, go_on: &Receiver<()>, clock: Clock) {
    if let Err(error) = join(settings, identity, news, go_on, clock) {
        // Nobody listens any more when the run is over.
        let _ = news.send(News::Failed(error.to_string()));
    }
}

fn join(
    settings: &Settings,
    identity: &Identity,
    news: &Sender<News>,
    go_on: &Receiver<()>,
    clock: Clock,
) -> Result<(), Failure> {
    let target = &settings.target;
    if let Some(namespace) = &target.namespace {
        enter(namespace)?;
    }
    let mut server: Box<dyn Signalling> = match target.server {
        Server::Pysfu => Box::new(whip::Whip::new(&target.url, &target.bearer)),
        Server::Janus => Box::new(janus::Janus::connect(&target.url)?),
    };
    let all = settings.latecomers.map_or(0, |late| late.shape.rooms) + settings.shape.rooms;
    let most = settings.latecomers.map_or(settings.shape, |late| {
        let listeners = late.shape.listeners.max(settings.shape.listeners);
        Shape { publishers: late.shape.publishers.max(settings.shape.publishers), listeners, ..settings.shape }
    });
    server.make_rooms(&Shape { rooms: all, ..most })?;
    let mut joining = Joining { server, ends: Ends::new(settings, identity), news, clock, late: false };
    joining.everybody(&settings.shape, settings.pace_ms)?;
    news.send(News::AllJoined)?;
    if let Some(late) = settings.latecomers
        && go_on.recv().is_ok()
    {
        joining.latecomers(&settings.shape, &late.shape, late.over_ms)?;
        news.send(News::AllLate)?;
    }
    // The server may end what belongs to a connection that is closed, so it stays open until the run is over.
    while go_on.recv().is_ok() {}
    Ok(())
}

struct Joining<'a> {
    server: Box<dyn Signalling>,
    ends: Ends,
    news: &'a Sender<News>,
    clock: Clock,
    /// Whether others are measured already.
    late: bool,
}

impl Joining<'_> {
    fn everybody(&mut self, shape: &Shape, pace_ms: u64) -> Result<(), Failure> {
        let kinds: Vec<MediaKind> = shape.kinds().collect();
        for seat in shape.publishing() {
            let opened = self.server.publish(seat, &kinds, self.ends.next())?;
            let source = Some(shape.source(seat));
            self.news.send(News::Opened(Box::new(Opened { source, ..opened })))?;
            self.pause(pace_ms);
        }
        self.clock.sleep_until(self.clock.now().since_start_ns + HEAD_START_NS);
        for seat in shape.seats() {
            let heard: Vec<Seat> = shape.heard_by(seat).collect();
            if !heard.is_empty() {
                self.play(seat, &heard, &kinds)?;
                self.pause(pace_ms);
            }
        }
        Ok(())
    }

    /// One after the other they publish, receive those in their room, and are received by them.
    fn latecomers(&mut self, before: &Shape, shape: &Shape, over_ms: u64) -> Result<(), Failure> {
        self.late = true;
        let kinds: Vec<MediaKind> = shape.kinds().collect();
        let began_ns = self.clock.now().since_start_ns;
        let all = shape.publishing().count() as u64;
        for (place, seat) in shape.publishing().enumerate() {
            self.clock.sleep_until(began_ns + place as u64 * over_ms * 1_000_000 / all);
            let source = Some(before.sources() as u32 + shape.source(seat));
            let seat = Seat { room: before.rooms + seat.room, ..seat };
            let opened = self.server.publish(seat, &kinds, self.ends.next())?;
            self.news.send(News::Opened(Box::new(Opened { source, late: true, ..opened })))?;
            let others: Vec<Seat> = (0..seat.number).map(|number| Seat { number, ..seat }).collect();
            if !others.is_empty() {
                self.play(seat, &others, &kinds)?;
            }
            for other in others {
                self.play(other, &[seat], &kinds)?;
            }
        }
        Ok(())
    }

    fn play(&mut self, seat: Seat, heard: &[Seat], kinds: &[MediaKind]) -> Result<(), Failure> {
        for opened in self.server.play(seat, heard, kinds, &mut self.ends)? {
            self.news.send(News::Opened(Box::new(Opened { late: self.late, ..opened })))?;
        }
        Ok(())
    }

    fn pause(&self, ms: u64) {
        if ms > 0 {
            self.clock.sleep_until(self.clock.now().since_start_ns + ms * 1_000_000);
        }
    }
}

/// Moves this thread into a network namespace.
fn enter(namespace: &Path) -> io::Result<()> {
    let file = File::open(namespace)?;
    // SAFETY: the descriptor is open through the call.
    if unsafe { libc::setns(file.as_raw_fd(), libc::CLONE_NEWNET) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
