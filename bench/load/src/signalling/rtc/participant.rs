//! One participant: a publisher's connection that it offers, if it publishes, and a subscriber's that the server offers,
//! again whenever there is something else to receive. It comes back when its line is cut.

use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sfu_core::session::MediaKind;

use super::leg::Leg;
use super::line::Line;
use super::messages::{
    AUDIO, AddTrackRequest, CAMERA, JoinResponse, MICROPHONE, QUEUED, Request, Response, SessionDescription, SyncState,
    TrackPublishedResponse, UpdateSubscription, VIDEO,
};
use super::{Cut, Loss};
use crate::clock::{Clock, wall_ns};
use crate::signalling::{Caller, Changed, Failure, News, Opened, track_name};

/// What pictures are announced as.
const WIDTH: u32 = 640;
const HEIGHT: u32 = 360;

/// One participant, in a thread of its own.
pub(super) struct Participant {
    pub(super) caller: Caller,
    /// What it publishes.
    pub(super) kinds: Vec<MediaKind>,
    pub(super) url: String,
    pub(super) token: String,
    /// What the server calls room and participant.
    pub(super) room: String,
    pub(super) name: String,
    pub(super) publisher: Leg,
    pub(super) subscriber: Leg,
    pub(super) news: Sender<News>,
    /// Told once it is in.
    pub(super) joined: Sender<()>,
    pub(super) cut: Arc<Mutex<Cut>>,
    pub(super) clock: Clock,
}

/// What the server has told it of itself.
#[derive(Default)]
struct Place {
    asked_ns: u64,
    join: JoinResponse,
    tracks: Vec<TrackPublishedResponse>,
    answer: Option<SessionDescription>,
}

impl Place {
    fn sid(&self) -> &str {
        self.join.participant.as_ref().map_or("", |own| &own.sid)
    }
}

impl Participant {
    /// Joins, and stays until the run is over.
    pub(super) fn run(mut self) {
        if let Err(error) = self.stay() {
            // Nobody listens any more when the run is over.
            let _ = self.news.send(News::Failed(error.to_string()));
        }
    }

    fn stay(&mut self) -> Result<(), Failure> {
        let mut place = Place { asked_ns: wall_ns(), ..Place::default() };
        let mut line = self.open(None)?;
        loop {
            match line.hear()? {
                Some(response) => self.on_response(response, &mut place, &mut line)?,
                None => line = self.come_back(&place)?,
            }
        }
    }

    fn open(&self, resumes: Option<&str>) -> Result<Line, Failure> {
        let line = Line::open(&self.url, &self.token, resumes, self.clock)?;
        self.cut().stream = Some(line.stream()?);
        Ok(line)
    }

    fn cut(&self) -> MutexGuard<'_, Cut> {
        self.cut.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn on_response(&mut self, response: Response, place: &mut Place, line: &mut Line) -> Result<(), Failure> {
        match response {
            Response::Join(join) => {
                line.ping_every(join.ping_interval);
                place.join = join;
                self.publish(line)?;
            }
            Response::Answer(answer) => {
                let session = self.publisher.accept(&answer)?;
                let opened = Opened::of(&self.caller, self.publisher.end.clone(), session.clone(), place.asked_ns)?;
                let changed = self.publisher.agree(session)?;
                self.tell(changed, Opened { source: self.caller.source, ..opened })?;
            }
            Response::Offer(offered) => {
                let (session, answer) = self.subscriber.answer(&offered)?;
                let opened = Opened::of(&self.caller, self.subscriber.end.clone(), session.clone(), place.asked_ns)?;
                let changed = self.subscriber.agree(session)?;
                let leads = offered.sdp.contains("a=ice-lite");
                self.tell(changed, Opened { leads, awaits: self.caller.awaits.clone(), ..opened })?;
                place.answer = Some(answer.clone());
                line.say(Request::Answer(answer))?;
            }
            Response::TrackPublished(published) => place.tracks.push(published),
            Response::Refused(refused) if refused.reason != 0 && refused.reason != QUEUED => {
                return Err(format!("the server refuses a request: reason {}", refused.reason).into());
            }
            Response::Leave(leave) => {
                let (reason, action) = (leave.reason, leave.action);
                return Err(format!("the server sends a participant away: reason {reason}, action {action}").into());
            }
            Response::Reconnect(_) | Response::Refused(_) => {}
        }
        Ok(())
    }

    /// Announces what it sends, and offers it.
    fn publish(&mut self, line: &mut Line) -> Result<(), Failure> {
        for (index, kind) in self.kinds.iter().enumerate() {
            line.say(Request::AddTrack(announced(index, *kind)))?;
        }
        self.offer(line)
    }

    fn offer(&mut self, line: &mut Line) -> Result<(), Failure> {
        if self.kinds.is_empty() {
            return Ok(());
        }
        line.say(Request::Offer(self.publisher.offer(&self.kinds)?))
    }

    /// Tells the media thread of a connection: what changed, or else that it is open.
    fn tell(&self, changed: Option<Changed>, opened: Opened) -> Result<(), Failure> {
        if let Some(changed) = changed {
            return Ok(self.news.send(News::Changed(Box::new(changed)))?);
        }
        let (room, participant) = (self.room.clone(), self.name.clone());
        self.news.send(News::Opened(Box::new(Opened { room, participant, ..opened })))?;
        if self.subscriber.is_open() && (self.kinds.is_empty() || self.publisher.is_open()) {
            // Who does not wait for this has gone on.
            let _ = self.joined.send(());
        }
        Ok(())
    }

    /// Goes on with another line, where the last one was cut on purpose.
    fn come_back(&mut self, place: &Place) -> Result<Line, Failure> {
        let loss = self.cut().wanted.take().ok_or("the server hung up")?;
        let legs = [&mut self.publisher, &mut self.subscriber];
        if let Loss::Network(addresses) = loss {
            for (leg, address) in legs.into_iter().zip(addresses).filter(|(leg, _)| leg.is_open()) {
                self.news.send(News::Away(leg.known_at()))?;
                leg.end = leg.end.at(address);
            }
        }
        let mut line = self.open(Some(place.sid()))?;
        line.ping_every(place.join.ping_interval);
        let Some(Response::Reconnect(_)) = line.hear()? else {
            return Err("the server does not let a participant go on".into());
        };
        self.news.send(News::Resumed)?;
        if matches!(loss, Loss::Network(_))
            && let Some(changed) = self.subscriber.go_on()?
        {
            self.news.send(News::Changed(Box::new(changed)))?;
        }
        let subscription = Some(UpdateSubscription { track_sids: Vec::new(), subscribe: true });
        let publish_tracks = place.tracks.clone();
        line.say(Request::SyncState(SyncState { answer: place.answer.clone(), subscription, publish_tracks }))?;
        self.publisher.end = self.publisher.end.renewed();
        self.offer(&mut line)?;
        Ok(line)
    }
}

fn announced(index: usize, kind: MediaKind) -> AddTrackRequest {
    let cid = track_name(index);
    match kind {
        MediaKind::Audio => AddTrackRequest { cid, kind: AUDIO, source: MICROPHONE, ..AddTrackRequest::default() },
        MediaKind::Video => AddTrackRequest { cid, kind: VIDEO, source: CAMERA, width: WIDTH, height: HEIGHT },
    }
}
