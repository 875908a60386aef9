//! LiveKit's client protocol, of a pysfu server: every participant has a line of its own, in a thread of its own, as the
//! server tells it at any time what there is to receive.

mod leg;
mod line;
mod messages;
mod participant;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};

use sfu_core::session::MediaKind;

use self::leg::Leg;
use self::participant::Participant;
use super::rest::Rest;
use super::{Caller, Ends, Failure, News, Opened, Signalling};
use crate::clock::Clock;
use crate::settings::InterruptionKind;
use crate::shape::{Seat, Shape};

/// A pysfu server.
pub(super) struct Rtc {
    rest: Rest,
    news: Sender<News>,
    clock: Clock,
    lines: BTreeMap<Seat, Arc<Mutex<Cut>>>,
    /// Those of whom nobody knows yet whether they are in.
    joining: Vec<Receiver<()>>,
}

/// How somebody's line is cut.
#[derive(Debug, Default)]
struct Cut {
    stream: Option<TcpStream>,
    wanted: Option<Loss>,
}

/// What a participant loses.
#[derive(Debug, Clone, Copy)]
enum Loss {
    Line,
    /// The addresses too: others for publishing and for receiving take their place.
    Network([Ipv4Addr; 2]),
}

impl Rtc {
    pub(super) fn new(url: &str, admin: &str, news: Sender<News>, clock: Clock) -> Self {
        Self { rest: Rest::new(url, admin), news, clock, lines: BTreeMap::new(), joining: Vec::new() }
    }

    fn join(&mut self, caller: &Caller, kinds: &[MediaKind], ends: &mut Ends) -> Result<(), Failure> {
        let token = self.rest.token(caller.seat)?;
        let (joined, joining) = mpsc::channel();
        let cut = Arc::new(Mutex::new(Cut::default()));
        let participant = Participant {
            caller: caller.clone(),
            kinds: kinds.to_vec(),
            url: self.rest.url().to_owned(),
            token: token.token,
            room: self.rest.room(caller.seat).to_owned(),
            name: token.participant,
            publisher: Leg::new(ends.next()),
            subscriber: Leg::new(ends.next()),
            news: self.news.clone(),
            joined,
            cut: Arc::clone(&cut),
            clock: self.clock,
        };
        self.lines.insert(caller.seat, cut);
        self.joining.push(joining);
        // It ends with the program: a line that is closed sooner would end what belongs to it.
        std::thread::spawn(move || participant.run());
        Ok(())
    }
}

impl Signalling for Rtc {
    fn make_rooms(&mut self, shape: &Shape) -> Result<(), Failure> {
        self.rest.make_rooms(shape)?;
        // Ahead of time: who joins late must not wait for somebody else's token.
        shape.seats().try_for_each(|seat| self.rest.token(seat).map(drop))
    }

    fn publish(&mut self, caller: &Caller, kinds: &[MediaKind], ends: &mut Ends) -> Result<Vec<Opened>, Failure> {
        self.join(caller, kinds, ends)?;
        Ok(Vec::new())
    }

    fn play(
        &mut self,
        caller: &Caller,
        _heard: &[Seat],
        _kinds: &[MediaKind],
        ends: &mut Ends,
    ) -> Result<Vec<Opened>, Failure> {
        // Who publishes is in, and is subscribed to whatever there is.
        if !self.lines.contains_key(&caller.seat) {
            self.join(caller, &[], ends)?;
        }
        Ok(Vec::new())
    }

    fn settle(&mut self) -> Result<(), Failure> {
        for joining in self.joining.drain(..) {
            joining.recv().map_err(|_| "somebody did not get in")?;
        }
        Ok(())
    }

    fn interrupt(&mut self, seat: Seat, kind: InterruptionKind, ends: &mut Ends) -> Result<(), Failure> {
        let line = self.lines.get(&seat).ok_or("who is not in cannot be interrupted")?;
        let mut cut = line.lock().unwrap_or_else(PoisonError::into_inner);
        cut.wanted = Some(match kind {
            InterruptionKind::Line => Loss::Line,
            InterruptionKind::Network => Loss::Network([ends.next().address, ends.next().address]),
        });
        cut.stream.take().ok_or("who has no line cannot lose it")?.shutdown(Shutdown::Both)?;
        Ok(())
    }
}
