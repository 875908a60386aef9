//! Two engines, who is where, and the relays between them.

use sfu_core::engine::Engine;
use sfu_core::engine::command::{Command, Reply};
use sfu_core::engine::transmit::RelayEnd;
use sfu_core::ids::{ParticipantId, PeerId, RelayId, RoomId, TrackId};
use sfu_core::session::{RelayDescription, RemoteEncoding};

use super::way::Way;
use super::{FAR, NEAR, World};
use crate::bounds::{Bounds, Limits};
use crate::connected::honest::Pair;
use crate::connected::hostile::Hostile;
use crate::connected::orders::Rights;
use crate::connected::room::{self, IDENTITIES, SECTIONS};
use crate::engine::setup::{PUBLISHED, join, mid, session};
use crate::turns::Turns;
use crate::{heap, start};

/// What one turn of both engines may cause.
const LIMITS: Limits = Limits { sent: 512, events: 128, calls: 16_384, grown: 6 << 20 };
/// Whose what is relayed is at the far side: nobody's who is there.
const PARTICIPANT: u64 = 100;
/// The SSRCs of the subscriber.
const SSRCS: u32 = 0x500;

/// A relay of what the hostile one publishes, and what is known of it.
#[derive(Debug)]
pub(super) struct Tie {
    pub(super) relay: RelayId,
    /// At the publisher's side: the track, and the peer that is the near end.
    pub(super) track: TrackId,
    pub(super) near: PeerId,
    pub(super) granted: bool,
    pub(super) muted: bool,
    /// How often the far end was told to forget what came before.
    pub(super) cuts: u64,
    /// Both ends are there.
    pub(super) is_open: bool,
    /// At the other side.
    pub(super) far: PeerId,
    pub(super) far_track: TrackId,
    pub(super) description: RelayDescription,
}

impl Tie {
    pub(super) const fn may_send(&self) -> bool {
        self.granted && !self.muted && self.is_open
    }
}

impl World {
    /// Everything is relayed and allowed, and the honest have been heard.
    pub(super) fn new() -> Self {
        let now = start();
        let mut engines = [NEAR, FAR].map(|_| room::engine(IDENTITIES[0].clone(), now));
        let empty = heap::held();
        let rooms = [NEAR, FAR].map(|side| match engines[side].command(Command::CreateRoom, now) {
            Ok(Reply::Room { room }) => room,
            answer => panic!("no room: {answer:?}"),
        });
        let negotiated = room::hostile_session(0);
        let media = join(&mut engines[NEAR], rooms[NEAR], 1, &negotiated);
        let own = room::publish(&mut engines[NEAR], media.id, now);
        let hostile = Hostile::new(0, media, None, negotiated, own);
        let announced = PUBLISHED.map(|ssrc| vec![RemoteEncoding { ssrc: Some(ssrc), ..RemoteEncoding::default() }]);
        let publisher = join(&mut engines[NEAR], rooms[NEAR], 3, &session(announced, &[], 0x800));
        let subscriber = join(&mut engines[FAR], rooms[FAR], 4, &session([vec![], vec![]], &SECTIONS, SSRCS));
        let tracks = room::publish(&mut engines[NEAR], publisher.id, now);
        let honest = [RelayId(1), RelayId(2)];
        let relayed =
            [0, 1].map(|n| tie(&mut engines, rooms, (tracks[n], honest[n])).expect("there is room").far_track);
        let ties =
            [0, 1].map(|n: usize| tie(&mut engines, rooms, (own[n], RelayId(3 + n as u64))).expect("and for more"));
        let bounds = Bounds::begin(LIMITS);
        let mut world = Self {
            engines,
            empty,
            rooms,
            now,
            next_media: now,
            turns: Turns::all(),
            bounds,
            hostile,
            pair: Pair::new(publisher, subscriber, relayed, SSRCS),
            ties,
            honest,
            rights: Rights::default(),
            way: Way::default(),
            arriving: Default::default(),
            said: Default::default(),
            more: 0,
            next_relay: 5,
            closed: 0,
        };
        let heard = relayed.into_iter().chain([0, 1].map(|n: usize| world.ties[n].far_track));
        for (n, track) in heard.enumerate() {
            world.hear(n, track).expect("a free section");
        }
        world.bounds = Bounds::begin(LIMITS);
        world.turn(std::time::Duration::ZERO);
        world
    }

    /// Lets the subscriber have what is published at the far side in its `n`-th section.
    pub(super) fn hear(&mut self, n: usize, track: TrackId) -> Option<Reply> {
        let subscriber = self.pair.subscriber.id;
        self.carry_out(FAR, Command::Subscribe { peer: subscriber, mid: mid(SECTIONS[n]), track })?;
        self.carry_out(FAR, Command::Allow { track, subscriber, echo: false })
    }
}

/// Makes both ends of a relay, and grants the near one its track.
pub(super) fn tie(engines: &mut [Engine; 2], rooms: [RoomId; 2], (track, relay): (TrackId, RelayId)) -> Option<Tie> {
    let now = start();
    let Ok(Reply::Relay { peer: near, description }) = engines[NEAR].command(Command::RelayOut { track, relay }, now)
    else {
        return None;
    };
    engines[NEAR].command(Command::Allow { track, subscriber: near, echo: false }, now).expect("its own");
    let (room, participant) = (rooms[FAR], ParticipantId(PARTICIPANT + relay.0));
    let kept = (*description).clone();
    let made = engines[FAR].command(Command::RelayIn { room, participant, relay, description }, now);
    let Ok(Reply::Relayed { peer: far, track: far_track }) = made else {
        engines[NEAR].command(Command::RemovePeer { peer: near }, now).expect("it is there");
        engines[FAR].close_relay(relay, RelayEnd::Far);
        return None;
    };
    let (granted, muted, is_open) = (true, false, true);
    Some(Tie { relay, track, near, granted, muted, cuts: 0, is_open, far, far_track, description: kept })
}
