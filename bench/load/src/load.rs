//! The run: calls are set up, media flows and is counted, and what became of it is told. One thread, which looks at the
//! socket and the timetable every 100 µs and never waits for a datagram: being woken would cost the server, in whose
//! sending the kernel delivers.

use std::io;
use std::net::Ipv4Addr;
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};

use sfu_core::peer::dtls::{DtlsVersions, Identity};

use crate::clock::{Clock, Now, go_first, wall_ns};
use crate::connection::Connection;
use crate::ending::Ending;
use crate::report;
use crate::settings::Settings;
use crate::signalling::{self, Changed, Failure, News};
use crate::socket::Socket;
use crate::tally::Tally;
use crate::timetable::Timetable;

/// How often the loop looks: what is due in this time leaves together, as a network card also collects for some 50 to
/// 100 µs before it wakes anybody.
pub(crate) const TICK_NS: u64 = 100_000;
/// Each connection is served once in so many ticks: 50 ms.
const TICKS_PER_SERVICE: u64 = 500;
/// How long joining may take.
const JOIN_LIMIT_NS: u64 = 60_000_000_000;
/// What is sent in the span may arrive until so long after it, repairs included.
const DRAIN_NS: u64 = 500_000_000;

/// How far the run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Joining { all_opened: bool },
    WarmUp { until_ns: u64 },
    Steady { until_ns: u64 },
    Drain { until_ns: u64 },
    Over,
}

/// All connections and what is counted.
pub(crate) struct World {
    pub(crate) settings: Settings,
    pub(crate) connections: Vec<Option<Connection>>,
    /// Those that have lost their address and have no other one yet.
    away: Vec<Connection>,
    /// Connections by publisher.
    publishing: Vec<Option<usize>>,
    pub(crate) tally: Tally,
    timetable: Timetable,
    socket: Socket,
    stage: Stage,
    /// Those that are not connected yet: they are served in every tick, as a browser's timers would.
    connecting: Vec<usize>,
    /// Services that are over, in ticks.
    serviced: u64,
    all_late: bool,
    /// When something was done to participants, since 1970, and how many have come back.
    pub(crate) interrupted_ns: Vec<u64>,
    pub(crate) resumed: usize,
    ending: Ending,
}

/// Makes the calls and tells of them on standard output.
pub(crate) fn run(settings: &Settings) -> Result<(), Failure> {
    let clock = Clock::start();
    let identity = Identity::generate(DtlsVersions::Only12)?;
    let mut world = World::new(settings.clone())?;
    let (sender, news) = mpsc::channel();
    let (go_on, told) = mpsc::channel();
    std::thread::scope(|scope| {
        let identity = &identity;
        scope.spawn(move || signalling::run(settings, identity, &sender, &told, clock));
        go_first();
        let outcome = world.run(identity, &news, &go_on, clock);
        // What ends the signalling thread.
        drop(go_on);
        outcome
    })
}

impl World {
    fn new(settings: Settings) -> io::Result<Self> {
        let socket = Socket::bind(settings.port, settings.offload)?;
        let late = settings.latecomers.map_or(0, |late| late.shape.sources());
        // Latecomers have their places in the timetable from the start.
        let rooms = settings.shape.sources() + late;
        let all = crate::shape::Shape { rooms, publishers: 1, ..settings.shape };
        Ok(Self {
            connections: Vec::new(),
            away: Vec::new(),
            publishing: vec![None; all.sources()],
            tally: Tally::default(),
            timetable: Timetable::new(&all),
            socket,
            stage: Stage::Joining { all_opened: false },
            connecting: Vec::new(),
            serviced: 0,
            all_late: false,
            interrupted_ns: Vec::new(),
            resumed: 0,
            ending: if settings.until_told { Ending::listen() } else { Ending::default() },
            settings,
        })
    }

    fn run(
        &mut self,
        identity: &Identity,
        news: &Receiver<News>,
        go_on: &Sender<()>,
        clock: Clock,
    ) -> Result<(), Failure> {
        self.timetable.skip_to(clock.now().since_start_ns);
        while self.stage != Stage::Over {
            let now = clock.now();
            self.hear(news, identity, now)?;
            self.receive(now)?;
            self.send_due(now);
            self.service(now);
            self.advance(go_on, now)?;
            clock.sleep_until((now.since_start_ns / TICK_NS + 1) * TICK_NS);
        }
        report::tell(self);
        Ok(())
    }

    fn hear(&mut self, news: &Receiver<News>, identity: &Identity, now: Now) -> Result<(), Failure> {
        loop {
            match news.try_recv() {
                Ok(News::Opened(opened)) => {
                    self.open(Connection::new(*opened, identity, self.settings.port, now.instant));
                }
                Ok(News::Changed(changed)) => self.change(*changed, now)?,
                Ok(News::Away(address)) => {
                    let place = self.place(address).and_then(|place| self.connections.get_mut(place));
                    self.away.extend(place.and_then(Option::take));
                }
                Ok(News::Interrupted(at_ns)) => self.interrupted_ns.push(at_ns),
                Ok(News::Resumed) => self.resumed += 1,
                Ok(News::AllJoined) => self.stage = Stage::Joining { all_opened: true },
                Ok(News::AllLate) => self.all_late = true,
                Ok(News::Failed(reason)) => return Err(reason.into()),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => return Ok(()),
            }
        }
    }

    /// A connection goes on otherwise, where it was or elsewhere.
    fn change(&mut self, changed: Changed, now: Now) -> Result<(), Failure> {
        let gone = self.away.iter().position(|one| one.address() == changed.from).map(|at| self.away.swap_remove(at));
        let place = self.place(changed.from).and_then(|place| self.connections.get_mut(place));
        let mut connection = gone.or_else(|| place.and_then(Option::take)).ok_or("what nobody opened cannot change")?;
        connection.change(changed, self.settings.port, now.instant);
        self.open(connection);
        Ok(())
    }

    fn open(&mut self, connection: Connection) {
        let Some(place) = self.place(connection.address()) else { return };
        if let Some(source) = connection.opened.source {
            self.publishing[source as usize] = Some(place);
        }
        if !connection.is_connected() && !self.connecting.contains(&place) {
            self.connecting.push(place);
        }
        self.connections.resize_with(self.connections.len().max(place + 1), || None);
        self.connections[place] = Some(connection);
    }

    fn place(&self, address: Ipv4Addr) -> Option<usize> {
        address.to_bits().checked_sub(self.settings.addresses.to_bits() + 1).map(|place| place as usize)
    }

    fn receive(&mut self, now: Now) -> io::Result<()> {
        let first = self.settings.addresses.to_bits() + 1;
        let (connections, tally) = (&mut self.connections, &mut self.tally);
        let mut spoken: Vec<usize> = Vec::new();
        while self.socket.receive(|mut arrived| {
            let place = arrived.to.to_bits().wrapping_sub(first) as usize;
            let Some(Some(connection)) = connections.get_mut(place) else {
                tally.unreadable += 1;
                return;
            };
            connection.take(&mut arrived, now.instant, tally);
            if connection.speaks() {
                spoken.push(place);
            }
        })? {}
        for place in spoken {
            if let Some(connection) = &mut self.connections[place] {
                connection.pass_on(&mut self.socket);
                connection.ask(wall_ns(), &mut self.socket, &mut self.tally);
            }
        }
        self.socket.flush();
        Ok(())
    }

    /// Each packet leaves by itself, so that its stamp says when.
    fn send_due(&mut self, now: Now) {
        let early = self.settings.shape.sources();
        while let Some(due) = self.timetable.take_due(now.since_start_ns) {
            let Some(place) = self.publishing[due.source as usize] else { continue };
            let Some(connection) = &mut self.connections[place] else { continue };
            if connection.send_media(due, wall_ns(), &mut self.socket) && self.tally.counting {
                let sent = if (due.source as usize) < early { &mut self.tally.sent } else { &mut self.tally.sent_late };
                *sent.of(due.kind) += 1;
                self.tally.late.add(now.since_start_ns - due.at_ns);
            }
            self.socket.flush();
        }
    }

    /// Serves the connections whose turn it is.
    fn service(&mut self, now: Now) {
        let (connections, socket) = (&mut self.connections, &mut self.socket);
        self.connecting.retain(|&place| {
            connections[place].as_mut().is_some_and(|connection| !connection.connect(now.instant, socket))
        });
        let tick = now.since_start_ns / TICK_NS;
        // After a long pause once is enough.
        self.serviced = self.serviced.max(tick.saturating_sub(TICKS_PER_SERVICE));
        let wall = wall_ns();
        while self.serviced < tick {
            let turn = (self.serviced % TICKS_PER_SERVICE) as usize;
            for connection in self.connections.iter_mut().skip(turn).step_by(TICKS_PER_SERVICE as usize).flatten() {
                connection.service(wall, now.instant, &mut self.socket, &mut self.tally);
            }
            self.serviced += 1;
        }
        self.socket.flush();
    }

    fn advance(&mut self, go_on: &Sender<()>, now: Now) -> Result<(), Failure> {
        let now_ns = now.since_start_ns;
        self.stage = match self.stage {
            Stage::Joining { all_opened: true } if self.flows() => {
                report::joined(self, now_ns);
                Stage::WarmUp { until_ns: now_ns + self.settings.warm_up_ms * 1_000_000 }
            }
            Stage::Joining { .. } if now_ns > JOIN_LIMIT_NS => return Err(report::not_joined(self).into()),
            Stage::WarmUp { until_ns } if now_ns >= until_ns => {
                let wall = wall_ns();
                self.tally = Tally::begin(wall, self.settings.gap_span_ms);
                self.receptions().for_each(|reception| reception.count_from_here(wall));
                // Who has failed does not listen any more, and says so in the news.
                let _ = go_on.send(());
                report::begun(wall);
                Stage::Steady { until_ns: now_ns + self.settings.steady_ms * 1_000_000 }
            }
            Stage::Steady { until_ns } if now_ns >= until_ns || self.ending.is_told() => {
                let wall = wall_ns();
                self.tally.counting = false;
                self.tally.span_ns.1 = wall;
                report::ended(wall, self.all_late);
                Stage::Drain { until_ns: now_ns + DRAIN_NS }
            }
            Stage::Drain { until_ns } if now_ns >= until_ns => Stage::Over,
            stage => stage,
        };
        Ok(())
    }

    /// Whether everything that shall arrive does.
    fn flows(&self) -> bool {
        let flowing: usize = self.connections.iter().flatten().map(|connection| connection.receptions.len()).sum();
        flowing >= self.settings.shape.streams() && self.connections.iter().flatten().all(Connection::is_connected)
    }

    fn receptions(&mut self) -> impl Iterator<Item = &mut crate::reception::Reception> {
        self.connections.iter_mut().flatten().flat_map(|connection| connection.receptions.iter_mut())
    }
}
