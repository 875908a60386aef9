//! Who speaks, and whose sound is worth forwarding, from the audio levels in RTP headers (RFC 6464).
//!
//! Each track has a loudness that follows its levels: quickly up, slowly down. The loudest few are *active*; a seat
//! among them is kept for a while after its holder falls silent, and is lost earlier only to someone clearly louder. One
//! of the active is *dominant*; that changes only when another has been louder for some time, so that a cough does not
//! move the pictures of a whole room. Equal inputs give equal choices: ties go to the lower track id.

use std::time::{Duration, Instant};

use arrayvec::ArrayVec;

use crate::ids::TrackId;
use crate::prefetch::prefetch;

/// Most seats: more voices at once are not understood, and each costs every listener 40 kbit/s.
pub const MAX_ACTIVE: usize = 16;
/// Most audio tracks one room may have: one for each of the participants a room holds (`reliability.md` A1.2), doubled.
pub const MAX_TRACKS: usize = 4_096;
/// A packet this loud or louder (in decibel above the quietest, 127) is speech when the publisher does not say.
const SPEECH_DB: f32 = 127.0 - 55.0;
/// A silent holder keeps the seat this long: pauses between sentences are shorter.
const HOLD: Duration = Duration::from_secs(2);
/// To take a seat from one who speaks, a newcomer must be this much louder.
const CHALLENGE_DB: f32 = 6.0;
/// To become dominant one must have been the loudest for this long.
const DOMINANCE_AFTER: Duration = Duration::from_millis(400);
/// Loudness rises to a new level in about this time (three packets of 20 ms) ...
const ATTACK_S: f32 = 0.06;
/// ... and falls in about this.
const RELEASE_S: f32 = 0.5;
/// Without a packet for this long (discontinuous transmission) a track is silent.
const SILENT_AFTER: Duration = Duration::from_millis(400);

/// What changed in [`ActiveSpeakers::tick`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SpeakerChange {
    /// Another set of tracks is active.
    pub active: bool,
    /// Another track is dominant, or none.
    pub dominant: bool,
}

/// The voices of one room.
#[derive(Debug, Clone)]
pub struct ActiveSpeakers {
    seats: usize,
    /// By id: most rooms have two or three, side by side.
    voices: Vec<(TrackId, AudioActivity)>,
    active: ArrayVec<TrackId, MAX_ACTIVE>,
    dominant: Option<TrackId>,
    /// Who is about to become dominant, and since when.
    challenger: Option<(TrackId, Instant)>,
}

impl ActiveSpeakers {
    /// At most `seats` tracks are active at a time, [`MAX_ACTIVE`] at most.
    pub fn new(seats: usize) -> Self {
        Self {
            seats: seats.min(MAX_ACTIVE),
            voices: Vec::new(),
            active: ArrayVec::new(),
            dominant: None,
            challenger: None,
        }
    }

    /// A packet of `track` came with this level (0 loudest, 127 silence) and, when the publisher tells, whether it is
    /// speech. A track beyond [`MAX_TRACKS`] is not counted.
    pub fn on_level(&mut self, track: TrackId, level: u8, voice: bool, now: Instant) {
        let place = match self.voices.binary_search_by_key(&track, |(id, _)| *id) {
            Ok(known) => known,
            Err(_) if self.voices.len() >= MAX_TRACKS => return,
            Err(new) => {
                self.voices.insert(new, (track, AudioActivity { loudness: 0.0, heard: now, spoke: None }));
                new
            }
        };
        self.voices[place].1.hear(127.0 - f32::from(level.min(127)), voice, now);
    }

    /// The track has ended or was muted.
    pub fn remove(&mut self, track: TrackId) {
        self.voices.retain(|(id, _)| *id != track);
        self.active.retain(|active| *active != track);
        if self.dominant == Some(track) {
            self.dominant = None;
        }
        if self.challenger.is_some_and(|(challenger, _)| challenger == track) {
            self.challenger = None;
        }
    }

    /// Chooses anew; call it every 100 ms or so.
    pub fn tick(&mut self, now: Instant) -> SpeakerChange {
        let before = self.active.clone();
        let dominant = self.dominant;
        self.leave_seats(now);
        self.take_seats(now);
        self.active.sort_unstable();
        self.choose_dominant(now);
        SpeakerChange { active: before != self.active, dominant: dominant != self.dominant }
    }

    /// The active tracks, by id.
    pub fn active(&self) -> &[TrackId] {
        &self.active
    }

    /// Whether the sound of `track` is worth forwarding.
    pub fn is_active(&self, track: TrackId) -> bool {
        self.active.contains(&track)
    }

    /// Whether a packet of `track` goes out: everyone is heard while the seats suffice, then the active only (last-N).
    pub fn forwards(&self, track: TrackId) -> bool {
        self.voices.len() <= self.seats || self.is_active(track)
    }

    /// How loud `track` is now, in -dBov: 0 is loudest, 127 silence.
    pub fn level(&self, track: TrackId) -> u8 {
        self.voice(track).map_or(127, |voice| 127 - voice.loudness.clamp(0.0, 127.0) as u8)
    }

    /// Who speaks, or spoke last.
    pub fn dominant(&self) -> Option<TrackId> {
        self.dominant
    }

    fn voice(&self, track: TrackId) -> Option<&AudioActivity> {
        self.voices.binary_search_by_key(&track, |(id, _)| *id).ok().map(|place| &self.voices[place].1)
    }

    /// Fetches what a level touches first.
    #[inline]
    pub fn prefetch(&self) {
        prefetch(&self.voices);
        prefetch(&self.active);
    }

    /// Fetches what that leads to, once it is there.
    #[inline]
    pub fn prefetch_voices(&self) {
        const SMALL_ROOM: usize = 4;
        prefetch(&self.voices[..self.voices.len().min(SMALL_ROOM)]);
    }

    /// Those who have been silent for long give their seats up, but only while others want them.
    fn leave_seats(&mut self, now: Instant) {
        let waiting = self.voices.iter().any(|(id, voice)| voice.speaks(now) && !self.active.contains(id));
        if waiting && self.active.len() >= self.seats {
            let longest_silent = self
                .active
                .iter()
                .filter_map(|id| Some((self.voice(*id)?.spoke?, *id)))
                .filter(|(spoke, _)| now.saturating_duration_since(*spoke) >= HOLD)
                .min();
            if let Some((_, silent)) = longest_silent {
                self.active.retain(|id| *id != silent);
            }
        }
    }

    fn take_seats(&mut self, now: Instant) {
        while let Some((newcomer, loudness)) = self.loudest_waiting(now) {
            if self.active.len() >= self.seats {
                let Some((quietest, holder)) = self.quietest_active(now) else { return };
                if loudness < quietest + CHALLENGE_DB || self.is_held(holder, now) {
                    return;
                }
                self.active.retain(|id| *id != holder);
            }
            self.active.push(newcomer);
        }
    }

    /// One who spoke a moment ago is not driven out in a pause between words.
    fn is_held(&self, holder: TrackId, now: Instant) -> bool {
        let voice = self.voice(holder);
        let in_pause = |voice: &AudioActivity| {
            !voice.speaks(now) && voice.spoke.is_some_and(|spoke| now.saturating_duration_since(spoke) < HOLD)
        };
        voice.is_some_and(in_pause)
    }

    fn loudest_waiting(&self, now: Instant) -> Option<(TrackId, f32)> {
        self.voices
            .iter()
            .filter(|(id, voice)| voice.speaks(now) && !self.active.contains(id))
            .map(|(id, voice)| (*id, voice.loudness_at(now)))
            .reduce(|best, next| if next.1 > best.1 { next } else { best })
            .filter(|_| self.seats > 0)
    }

    fn quietest_active(&self, now: Instant) -> Option<(f32, TrackId)> {
        self.active
            .iter()
            .map(|id| (self.voice(*id).map_or(0.0, |voice| voice.loudness_at(now)), *id))
            .reduce(|least, next| if next.0 <= least.0 { next } else { least })
    }

    fn choose_dominant(&mut self, now: Instant) {
        let loudest = self
            .active
            .iter()
            .filter_map(|id| Some((*id, self.voice(*id)?)))
            .filter(|(_, voice)| voice.speaks(now))
            .map(|(id, voice)| (id, voice.loudness_at(now)))
            .reduce(|best, next| if next.1 > best.1 { next } else { best });
        let Some((loudest, _)) = loudest.filter(|(id, _)| Some(*id) != self.dominant) else {
            self.challenger = None;
            return;
        };
        let since = match self.challenger {
            Some((challenger, since)) if challenger == loudest => since,
            _ => now,
        };
        self.challenger = Some((loudest, since));
        if self.dominant.is_none() || now.saturating_duration_since(since) >= DOMINANCE_AFTER {
            self.dominant = Some(loudest);
            self.challenger = None;
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct AudioActivity {
    /// Decibel above the quietest level, smoothed, when last heard.
    loudness: f32,
    heard: Instant,
    spoke: Option<Instant>,
}

impl AudioActivity {
    fn hear(&mut self, loudness: f32, voice: bool, now: Instant) {
        let elapsed = now.saturating_duration_since(self.heard).max(Duration::from_millis(1)).as_secs_f32();
        let time = if loudness > self.loudness { ATTACK_S } else { RELEASE_S };
        self.loudness += (loudness - self.loudness) * (elapsed / time).min(1.0);
        self.heard = now;
        let is_speech = loudness >= SPEECH_DB || (voice && loudness >= SPEECH_DB - 10.0);
        if is_speech && self.loudness >= SPEECH_DB - 10.0 {
            self.spoke = Some(now);
        }
    }

    /// Whether speech was heard a moment ago.
    fn speaks(&self, now: Instant) -> bool {
        self.spoke.is_some_and(|spoke| now.saturating_duration_since(spoke) < SILENT_AFTER)
    }

    fn loudness_at(&self, now: Instant) -> f32 {
        if now.saturating_duration_since(self.heard) < SILENT_AFTER { self.loudness } else { 0.0 }
    }
}

#[cfg(test)]
mod tests;
