"""How a meeting goes: who speaks, how good connections are, which pictures stand still, which encodings are wanted."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import timedelta

from livekit.protocol.models import TrackInfo, TrackType, VideoQuality
from livekit.protocol.rtc import (
    ConnectionQualityInfo,
    ConnectionQualityUpdate,
    SignalResponse,
    SpeakersChanged,
    StreamState,
    StreamStateInfo,
    StreamStateUpdate,
)

from signalling.domain.link import Link
from signalling.rtc.dynacast import Dynacast
from signalling.rtc.infos import wanted_qualities
from signalling.rtc.meeting import Meeting
from signalling.rtc.person import Person
from signalling.rtc.subscribing import Quality


def speak(meeting: Meeting, speakers: Sequence[tuple[str, int]]) -> None:
    """Tells everybody who speaks, by sid with a level in -dBov."""
    if changed := meeting.speaking.hear(speakers):
        meeting.tell_all(SignalResponse(speakers_changed=SpeakersChanged(speakers=changed)))


def judge(meeting: Meeting, links: Mapping[str, Link]) -> None:
    """Takes in how well packets get through, by sid; tells everybody whose connection is better or worse now."""
    changed = [
        ConnectionQualityInfo(participant_sid=sid, quality=quality)
        for sid, link in links.items()
        if (member := meeting.member(sid)) is not None and (quality := member.connection.look(link)) is not None
    ]
    if changed:
        meeting.tell_all(SignalResponse(connection_quality=ConnectionQualityUpdate(updates=changed)))


def pause(meeting: Meeting, sid: str, track: str, *, is_paused: bool) -> None:
    """Tells a client that a picture stands still, or moves again, because its connection carries no more."""
    sender = meeting.tracks().get(track)
    if sender is not None:
        state = StreamState.PAUSED if is_paused else StreamState.ACTIVE
        info = StreamStateInfo(participant_sid=sender.sid, track_sid=track, state=state)
        meeting.tell(sid, SignalResponse(stream_state_update=StreamStateUpdate(stream_states=[info])))


def dynacast(meeting: Meeting, watched: Collection[str], *, now: timedelta) -> None:
    """Tells every publisher which encodings of its pictures anybody wants.

    Args:
        meeting: which.
        watched: the tracks that somebody receives by other means, who wants the best there is.
        now: the time of a clock that nobody sets.
    """
    for publisher, sending in meeting.members():
        for track in publisher.tracks.keys() & sending.publishing.tracks.keys():
            info = publisher.tracks[track]
            if info.type != TrackType.VIDEO or len(info.layers) < 2:
                continue
            state = meeting.pictures.setdefault(track, Dynacast())
            if state.look(_wishes(meeting, publisher, info, is_watched=track in watched), now=now):
                meeting.tell(publisher.sid, wanted_qualities(info, state.qualities()))


def dynacast_due(meeting: Meeting) -> timedelta | None:
    """Says when `dynacast` is to be asked again if nothing changes; None: never."""
    return min((due for state in meeting.pictures.values() if (due := state.due) is not None), default=None)


def _wishes(meeting: Meeting, publisher: Person, info: TrackInfo, *, is_watched: bool) -> Iterator[Quality | None]:
    """Yields how good a picture everybody wants who is to receive it."""
    if is_watched:
        yield VideoQuality.HIGH
    for person, member in meeting.members():
        if person is not publisher and meeting.is_to_receive(person, member, publisher, info.sid):
            yield member.subscriptions.quality(info)
