//! What signalling asks for in between, and who may hear whom after that: kept here by its own account, which what left is held
//! against.

use std::collections::{BTreeMap, BTreeSet};

use sfu_core::engine::command::{Command, LayerLimit, Reply};
use sfu_core::ids::{PeerId, Ssrc, TrackId};
use sfu_core::session::MediaKind;

use super::World;
use super::link::{credentials, fingerprints};
use super::room::{self, IDENTITIES};
use crate::bytes::Choices;
use crate::engine::setup::{mid, section};

/// The order comes behind what has arrived in this turn, and before that leaves.
const BEHIND: u8 = 1 << 4;

/// Who may hear whom.
#[derive(Debug, Default)]
pub(crate) struct Rights {
    /// What goes out under an SSRC of ours.
    wired: BTreeMap<Ssrc, TrackId>,
    edges: BTreeSet<(TrackId, PeerId)>,
    muted: BTreeSet<TrackId>,
}

impl Rights {
    /// A command was carried out.
    pub(crate) fn note(&mut self, command: &Command, ssrc: Option<Ssrc>) {
        match *command {
            Command::Allow { track, subscriber, .. } => {
                self.edges.insert((track, subscriber));
            }
            Command::Revoke { track, subscriber } => {
                self.edges.remove(&(track, subscriber));
            }
            Command::Mute { track, muted: true } => {
                self.muted.insert(track);
            }
            Command::Mute { track, muted: false } => {
                self.muted.remove(&track);
            }
            Command::Unpublish { track } => self.edges.retain(|(of, _)| *of != track),
            Command::Subscribe { track, .. } => {
                self.wired.extend(of_section(ssrc).map(|ssrc| (ssrc, track)));
            }
            Command::Unsubscribe { .. } => {
                of_section(ssrc).for_each(|ssrc| {
                    self.wired.remove(&ssrc);
                });
            }
            Command::RemovePeer { peer } => self.edges.retain(|(_, to)| *to != peer),
            _ => {}
        }
    }

    /// A packet reached the subscriber under that SSRC.
    pub(crate) fn check(&self, subscriber: PeerId, ssrc: Ssrc) {
        let track = self.wired.get(&ssrc).copied();
        let may = track.is_some_and(|track| self.edges.contains(&(track, subscriber)) && !self.muted.contains(&track));
        assert!(may, "{ssrc:?} of {track:?} left for {subscriber:?}, who may not have it");
    }
}

/// A section's SSRC and the one for retransmissions beside it.
fn of_section(ssrc: Option<Ssrc>) -> impl Iterator<Item = Ssrc> {
    ssrc.into_iter().flat_map(|Ssrc(base)| [Ssrc(base), Ssrc(base.wrapping_add(1))])
}

impl World {
    /// One command; a refusal is fine and changes nothing.
    pub(super) fn order(&mut self, who: usize, choices: &mut Choices<'_>) {
        let (kind, choice) = (choices.byte(), choices.byte());
        if kind & BEHIND != 0 {
            self.take_in();
        }
        let which = usize::from(choice & 1);
        let track = self.hostile[who].tracks[which];
        let (peer, other) = (self.hostile[who].media.id, self.hostile[1 - who].media.id);
        // Only the first is heard by the honest subscriber too.
        let to_honest = choice & 2 != 0 && who == 0;
        let subscriber = if to_honest { self.pairs[0].subscriber.id } else { other };
        let ours = self.pairs[0].tracks[which];
        let heard = mid(["ha", "hv"][which]);
        let limit = LayerLimit { encoding: choice >> 2 & 3, temporal: choice >> 4 & 7 };
        let command = match kind & 15 {
            0 => Command::Mute { track, muted: choice & 4 == 0 },
            1 => Command::Revoke { track, subscriber },
            2 => Command::Allow { track, subscriber, echo: false },
            3 => Command::Unsubscribe { peer: subscriber, mid: heard },
            4 => Command::Subscribe { peer: subscriber, mid: heard, track },
            5 if choice & 4 == 0 => Command::Revoke { track: ours, subscriber: peer },
            5 => Command::Allow { track: ours, subscriber: peer, echo: false },
            6 if choice & 2 == 0 => Command::LimitLayer { track, subscriber, limit },
            6 => Command::LimitLayer { track: ours, subscriber: peer, limit },
            7 => Command::RequestKeyframe { track: if choice & 2 == 0 { track } else { ours } },
            8 => return self.restart(who, choice),
            9 => return self.negotiate(who, choice),
            10 if choice & 7 == 7 => return self.remove(who),
            10 => Command::PeerStats { peer },
            11 => return self.publish_anew(who, which),
            12 if choice & 2 == 0 => Command::AllowData { publisher: peer, subscriber: other },
            12 => Command::RevokeData { publisher: peer, subscriber: other },
            13 => {
                let payload = vec![choice; 1 << (choice >> 4)];
                Command::SendData { peer, publisher: None, label: "chat".to_owned(), payload, binary: choice & 1 == 0 }
            }
            14 => Command::Snapshot,
            _ => Command::Stats,
        };
        self.carry_out(command);
    }

    /// Has the engine do it, and takes note if it did.
    pub(super) fn carry_out(&mut self, command: Command) -> Option<Reply> {
        let ssrc = match &command {
            Command::Subscribe { peer, mid, .. } | Command::Unsubscribe { peer, mid } => {
                self.ssrc_of(*peer, mid.as_str())
            }
            _ => None,
        };
        let (engine, now) = (&mut self.engine, self.now);
        let asked = command.clone();
        let reply = self.bounds.step(|| engine.command(command, now)).ok()?;
        self.rights.note(&asked, ssrc);
        Some(reply)
    }

    /// The SSRC under which the peer is sent what goes into that section.
    fn ssrc_of(&self, peer: PeerId, section: &str) -> Option<Ssrc> {
        let n = room::SECTIONS.iter().position(|name| *name == section)? as u32;
        let base = self.bases.get(&peer)?;
        Some(Ssrc(base.wrapping_add(2 * n)))
    }

    /// New credentials of the server, which the remote uses or not.
    fn restart(&mut self, who: usize, choice: u8) {
        let peer = self.hostile[who].media.id;
        let Some(Reply::Peer { local, .. }) = self.carry_out(Command::RestartIce { peer }) else { return };
        if let Some(link) = self.hostile[who].link.as_mut().filter(|_| choice & 1 == 0) {
            link.server = (local.ufrag, local.pwd);
        }
    }

    /// Another agreement: the remote's own credentials, what it sends and takes, or nothing new at all.
    fn negotiate(&mut self, who: usize, choice: u8) {
        let hostile = &mut self.hostile[who];
        let mut session = hostile.session.clone();
        if choice & 1 != 0 {
            session.send.iter_mut().flat_map(|media| &mut media.payload_types).for_each(|payload| payload.rtx = None);
        }
        if choice & 2 != 0 {
            session.receive.iter_mut().for_each(|section| section.payload_types.reverse());
        }
        if choice & 4 != 0 {
            session.receive.pop();
        }
        session.reduced_size = choice & 8 == 0;
        if let Some(link) = hostile.link.as_mut().filter(|_| choice & 16 != 0) {
            hostile.generation = (hostile.generation + 1) % 10;
            link.own = credentials(who as u8, hostile.generation);
            (session.remote.ufrag, session.remote.pwd) = link.own.clone();
            hostile.session.remote = session.remote.clone();
        }
        if choice & 32 != 0 {
            session.remote.fingerprints = fingerprints(&IDENTITIES[0]);
        }
        let peer = hostile.media.id;
        self.carry_out(Command::Connect { peer, session: Box::new(session) });
    }

    fn remove(&mut self, who: usize) {
        let peer = self.hostile[who].media.id;
        self.carry_out(Command::RemovePeer { peer });
        self.turn(std::time::Duration::ZERO);
        self.hostile[who].gone = true;
    }

    /// A track ends and begins again; the others have to be let hear it anew.
    fn publish_anew(&mut self, who: usize, which: usize) {
        let hostile = &self.hostile[who];
        let (peer, track) = (hostile.media.id, hostile.tracks[which]);
        self.carry_out(Command::Unpublish { track });
        let (mid, source) = section([MediaKind::Audio, MediaKind::Video][which]);
        let publish = Command::Publish { peer, mid, source, encrypted: false };
        if let Some(Reply::Track { track }) = self.carry_out(publish) {
            self.hostile[who].tracks[which] = track;
        }
    }

    /// Lets the peer have the track in that section.
    pub(super) fn wire(&mut self, peer: PeerId, section: &str, track: TrackId) {
        self.carry_out(Command::Subscribe { peer, mid: mid(section), track }).expect("a free section");
        self.carry_out(Command::Allow { track, subscriber: peer, echo: false }).expect("one room");
    }
}
