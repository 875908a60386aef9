//! Joining: what is said to a server before media flows. In a thread of its own, so that a slow answer delays no packet.

mod ends;
mod janus;
mod rest;
mod rtc;
mod whip;

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender};

use sfu_core::ids::ParticipantId;
use sfu_core::peer::dtls::Identity;
use sfu_core::sdp::{self, MediaPolicy, OfferPlan, OfferSection, Offered, SendPlan};
use sfu_core::session::{Codec, LocalTransport, MediaKind, NegotiatedSession};

use self::ends::{End, Ends};
use crate::clock::{Clock, wall_ns};
use crate::settings::{InterruptionKind, Interruptions, Server, Settings};
use crate::shape::{Seat, Shape};

/// What can go wrong here ends the run, and a person reads it.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// How long those who publish have to begin, before others ask for what they send.
const HEAD_START_NS: u64 = 500_000_000;

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
    /// Whether this end leads in ICE.
    pub(crate) leads: bool,
    /// When the server was asked, since 1970.
    pub(crate) asked_ns: u64,
    /// What the server calls room and participant.
    pub(crate) room: String,
    pub(crate) participant: String,
    /// Whom it receives, as the server calls them.
    pub(crate) heard: Vec<String>,
    /// The numbers of those who publish and asked before it: who hears them all has come in.
    pub(crate) awaits: Vec<u32>,
}

impl Opened {
    /// What all servers' ways have in common; who is who there is filled in by whoever asked.
    fn of(caller: &Caller, end: End, session: NegotiatedSession, asked_ns: u64) -> Result<Self, Failure> {
        Ok(Self {
            seat: caller.seat,
            late: caller.late,
            source: None,
            remote: remote_of(&session)?,
            local: end.local,
            address: end.address,
            session,
            leads: true,
            asked_ns,
            room: String::new(),
            participant: String::new(),
            heard: Vec::new(),
            awaits: Vec::new(),
        })
    }
}

/// A connection on which something else was agreed.
#[derive(Debug)]
pub(crate) struct Changed {
    /// Where it was.
    pub(crate) from: Ipv4Addr,
    pub(crate) local: LocalTransport,
    pub(crate) address: Ipv4Addr,
    pub(crate) session: NegotiatedSession,
    pub(crate) remote: SocketAddr,
}

/// News for the media thread.
#[derive(Debug)]
pub(crate) enum News {
    Opened(Box<Opened>),
    Changed(Box<Changed>),
    /// From this address nothing leaves any more, and nothing is taken there.
    Away(Ipv4Addr),
    /// Something was done to a participant, at this time since 1970.
    Interrupted(u64),
    /// One to whom that was done is back.
    Resumed,
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
    /// Lets somebody publish; each connection takes one of `ends`. Those that tell of themselves are not returned.
    fn publish(&mut self, caller: &Caller, kinds: &[MediaKind], ends: &mut Ends) -> Result<Vec<Opened>, Failure>;
    /// Lets somebody receive others, as `publish` does.
    fn play(
        &mut self,
        caller: &Caller,
        heard: &[Seat],
        kinds: &[MediaKind],
        ends: &mut Ends,
    ) -> Result<Vec<Opened>, Failure>;
    /// Waits until everybody who was let in is in.
    fn settle(&mut self) -> Result<(), Failure> {
        Ok(())
    }
    /// Does something to a participant, who is to come back.
    fn interrupt(&mut self, _seat: Seat, _kind: InterruptionKind, _ends: &mut Ends) -> Result<(), Failure> {
        Err("with this signalling nobody comes back".into())
    }
}

/// Who wants in.
#[derive(Debug, Clone)]
struct Caller {
    seat: Seat,
    /// The publisher's number, when it publishes.
    source: Option<u32>,
    /// Whether others are measured already.
    late: bool,
    /// The numbers of those who publish and asked before.
    awaits: Vec<u32>,
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

/// An offer from an end that leads, the `version`-th of its connection.
fn offer(local: &LocalTransport, kinds: &[MediaKind], purpose: Purpose, version: u64) -> Result<Offered, Failure> {
    let sends = purpose == Purpose::Publish;
    let section = |(index, &kind): (usize, &MediaKind)| {
        let send = SendPlan {
            kind,
            publisher: ParticipantId(u64::from(local.ssrc_base)),
            stream: "load".to_owned(),
            track: track_name(index),
            mid: None,
        };
        OfferSection::Media { kind, send: sends.then_some(send), receive: !sends, generation: 0 }
    };
    let sections = kinds.iter().enumerate().map(section).collect();
    let plan = OfferPlan { local: local.clone(), policy: policy(), sections, version };
    let mut offered = sdp::offer(&plan)?;
    // The engine's own offers ask to be led; ours lead, as a browser's do.
    offered.sdp = offered.sdp.replace("a=ice-lite\r\n", "");
    Ok(offered)
}

/// What a publisher calls its track.
fn track_name(index: usize) -> String {
    format!("load-{index}")
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
        Server::Meetings => Box::new(rtc::Rtc::new(&target.url, &target.bearer, news.clone(), clock)),
        Server::Janus => Box::new(janus::Janus::connect(&target.url)?),
    };
    let all = settings.latecomers.map_or(0, |late| late.shape.rooms) + settings.shape.rooms;
    let most = settings.latecomers.map_or(settings.shape, |late| {
        let listeners = late.shape.listeners.max(settings.shape.listeners);
        Shape { publishers: late.shape.publishers.max(settings.shape.publishers), listeners, ..settings.shape }
    });
    server.make_rooms(&Shape { rooms: all, ..most })?;
    let mut joining = Joining { server, ends: Ends::new(settings, identity), news, clock };
    joining.everybody(&settings.shape, settings.pace_ms)?;
    news.send(News::AllJoined)?;
    if go_on.recv().is_ok() {
        if let Some(late) = settings.latecomers {
            joining.latecomers(&settings.shape, &late.shape, late.over_ms)?;
            news.send(News::AllLate)?;
        }
        if let Some(interruptions) = settings.interruptions {
            joining.interrupt(&settings.shape, interruptions)?;
        }
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
}

impl Joining<'_> {
    fn everybody(&mut self, shape: &Shape, pace_ms: u64) -> Result<(), Failure> {
        let kinds: Vec<MediaKind> = shape.kinds().collect();
        for seat in shape.publishing() {
            let caller = Caller { seat, source: Some(shape.source(seat)), late: false, awaits: Vec::new() };
            self.publish(&caller, &kinds)?;
            self.server.settle()?;
            self.pause(pace_ms);
        }
        self.clock.sleep_until(self.clock.now().since_start_ns + HEAD_START_NS);
        for seat in shape.seats() {
            let heard: Vec<Seat> = shape.heard_by(seat).collect();
            if !heard.is_empty() {
                self.play(&Caller { seat, source: None, late: false, awaits: Vec::new() }, &heard, &kinds)?;
                self.server.settle()?;
                self.pause(pace_ms);
            }
        }
        Ok(())
    }

    /// One after the other they publish, if they do, receive those in their room, and are received by them.
    fn latecomers(&mut self, before: &Shape, shape: &Shape, over_ms: u64) -> Result<(), Failure> {
        let kinds: Vec<MediaKind> = shape.kinds().collect();
        let began_ns = self.clock.now().since_start_ns;
        let all = shape.seats().count() as u64;
        for (place, seat) in shape.seats().enumerate() {
            self.clock.sleep_until(began_ns + place as u64 * over_ms * 1_000_000 / all);
            let number_of = |seat: Seat| before.sources() as u32 + shape.source(seat);
            let earlier: Vec<Seat> = shape.heard_by(seat).filter(|other| other.number < seat.number).collect();
            let awaits = earlier.iter().copied().map(number_of).collect();
            let publishes = seat.number < shape.publishers;
            let elsewhere = |seat: Seat| Seat { room: before.rooms + seat.room, ..seat };
            let others: Vec<Seat> = earlier.into_iter().map(elsewhere).collect();
            let source = publishes.then(|| number_of(seat));
            let caller = Caller { seat: elsewhere(seat), source, late: true, awaits };
            if publishes {
                self.publish(&caller, &kinds)?;
            }
            if !others.is_empty() {
                self.play(&caller, &others, &kinds)?;
            }
            for other in others.into_iter().filter(|_| publishes) {
                let heard = [caller.seat];
                self.play(&Caller { seat: other, source: None, late: true, awaits: Vec::new() }, &heard, &kinds)?;
            }
        }
        self.server.settle()
    }

    /// One publisher after the other is interrupted, again and again.
    fn interrupt(&mut self, shape: &Shape, asked: Interruptions) -> Result<(), Failure> {
        let began_ns = self.clock.now().since_start_ns;
        let everybody: Vec<Seat> = shape.publishing().collect();
        for (turn, seat) in (1..=asked.times).zip(everybody.iter().cycle()) {
            self.clock.sleep_until(began_ns + u64::from(turn) * asked.every_ms * 1_000_000);
            self.news.send(News::Interrupted(wall_ns()))?;
            self.server.interrupt(*seat, asked.kind, &mut self.ends)?;
        }
        Ok(())
    }

    fn publish(&mut self, caller: &Caller, kinds: &[MediaKind]) -> Result<(), Failure> {
        let opened = self.server.publish(caller, kinds, &mut self.ends)?;
        self.tell(opened)
    }

    fn play(&mut self, caller: &Caller, heard: &[Seat], kinds: &[MediaKind]) -> Result<(), Failure> {
        let opened = self.server.play(caller, heard, kinds, &mut self.ends)?;
        self.tell(opened)
    }

    fn tell(&self, opened: Vec<Opened>) -> Result<(), Failure> {
        for opened in opened {
            self.news.send(News::Opened(Box::new(opened)))?;
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
