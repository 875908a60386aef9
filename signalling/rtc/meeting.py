"""One room, as LiveKit's SDKs know it: who is in it, what everybody sends, and what every client is to receive.

It decides and does nothing. What clients are to be told waits in `told`, in order: of a track they hear before they are
offered it. What is to be received is asked for at any time (`wanted`), so that nothing is lost that changes meanwhile.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from livekit.protocol import models
from livekit.protocol.rtc import (
    MuteTrackRequest,
    ParticipantUpdate,
    SignalResponse,
    SpeakersChanged,
    SubscriptionPermission,
    SubscriptionPermissionUpdate,
    TrackUnpublishedResponse,
)

from signalling.domain.grants import Grant
from signalling.domain.ids import ParticipantId
from signalling.domain.notices import Reason
from signalling.domain.room import Room
from signalling.rtc import greeting, infos
from signalling.rtc.asked import Asked
from signalling.rtc.dynacast import Dynacast
from signalling.rtc.person import Member, Person, member_of
from signalling.rtc.publishing import Announced, Changed, Sent
from signalling.rtc.receiving import UNKNOWN, Wanted
from signalling.rtc.speaking import Speaking
from signalling.rtc.subscribing import encoding_of

_AUDIO = models.TrackType.AUDIO

NewSid = Callable[[str], str]
"""Makes a name that nobody can guess; given with what it begins."""


class NotThereError(Exception):
    """No client of that name is in the meeting, or not any more."""


class Meeting:
    """Who is in a room, and what of it each client knows.

    Attributes:
        people: everybody, by sid, in order of arrival.
        told: what clients are to be told, with the sid of whom; whoever carries that out empties it.
        pictures: what publishers were told of the encodings that are wanted, by the sid of the track.
        speaking: who speaks, as clients were told.
        new_sid: makes names.
        moved: whether something has changed in what clients are to receive; likewise.
    """

    def __init__(self, room: Room, *, new_sid: NewSid, first_offer: Callable[[], int], first_version: int = 1) -> None:
        self.room = room
        self.people: dict[str, Person] = {}
        self.told: list[tuple[str, SignalResponse]] = []
        self.moved = False
        self.new_sid = new_sid
        self._first_offer = first_offer
        self._versions = itertools.count(first_version)
        self.pictures: dict[str, Dynacast] = {}
        self.speaking = Speaking()

    # --- who is there ---

    def join(self, grant: Grant, asked: Asked, *, at: datetime) -> Person:
        """Takes a client in. Whoever is there by the same identity has to be gone, or is there by other means."""
        known = self.find(grant.participant)
        tracks = dict(known.tracks) if known is not None else {}
        if known is not None:
            self.leave(known.sid, Reason.REPLACED)
        member = member_of(grant, asked, new_sid=lambda: self.new_sid("TR_"), first_offer=self._first_offer())
        person = Person(
            sid=self.new_sid("PA_"),
            identity=grant.participant,
            joined_at=at,
            version=next(self._versions),
            tracks=tracks,
            member=member,
        )
        others = list(self.people.values())
        self.people[person.sid] = person
        self.moved = True
        self._tell(person, greeting.welcome(self.info(), person, member, others))
        if speakers := self.speaking.now():
            self._tell(person, SignalResponse(speakers_changed=SpeakersChanged(speakers=speakers)))
        self._show(person)
        return person

    def take_up(self, people: Iterable[tuple[Person, Collection[str]]]) -> None:
        """Goes on with clients that the server before had, each with the tracks that it was offered last.

        What may flow to them is looked at anew: what may not is taken away, what may is given again.
        """
        taken = list(people)
        for person, _ in taken:
            if (known := self.find(person.identity)) is not None:
                self.leave(known.sid, Reason.REPLACED)
        self.people.update({person.sid: person for person, _ in taken})
        for person, carried in taken:
            receiving, wanted = self.client(person.sid).receiving, self.wanted(person.sid)
            receiving.offered = receiving.wired = frozenset(carried)
            receiving.limits = dict.fromkeys(carried, UNKNOWN)
            receiving.allowed = {track for track in carried if not wanted.flows(track)}
            receiving.data_from = {other.sid for other, _ in self.members()} - wanted.data_from - {person.sid}
        self.moved = True

    def leave(self, sid: str, reason: Reason) -> None:
        """Takes note that somebody has gone, with all that they sent."""
        gone = self.people.pop(sid, None)
        if gone is None:
            return
        self.moved = True
        for track in gone.tracks:
            self._forget(track)
        gone.tracks, gone.version = {}, next(self._versions)
        gone.state = models.ParticipantInfo.State.DISCONNECTED
        info = gone.info()
        info.disconnect_reason = greeting.reason_of(reason)
        for person, member in self.members():
            member.receiving.forget_sender(sid)
            if not member.has_line:
                member.miss(info)
            self._tell(person, _update(info))

    def lose_line(self, sid: str) -> None:
        """Takes note that a client hears nothing for now."""
        if (member := self.member(sid)) is not None:
            member.has_line = False
            member.receiving.offering.lose()

    def resume(self, sid: str, grant: Grant) -> Person | None:
        """Takes a client's next line: it is told all that it may have missed; None: it has to join anew."""
        person = self.people.get(sid)
        if person is None or person.member is None or person.identity != grant.participant:
            return None
        member = person.member
        member.has_line = True
        self._tell(person, greeting.welcome_back(member))
        if member.is_taken_up:
            member.is_taken_up = False
            member.grant = replace(member.grant, name=grant.name, metadata=grant.metadata, attributes=grant.attributes)
            self._change(person)
        for track in member.publishing.tracks.values():
            if track.info.muted != track.said_muted:
                self._tell_muted(person, track)
        gone, member.missed = list(member.missed.values()), {}
        self._tell(person, _update(*gone, *(each.info_for(person) for each in self.people.values())))
        self._tell(person, SignalResponse(room_update={"room": self.info()}))
        member.receiving.resume()
        return person

    def connected(self, sid: str) -> None:
        """Takes note that a client's media can flow."""
        person = self.people.get(sid)
        if person is not None and person.state != models.ParticipantInfo.State.ACTIVE:
            person.state = models.ParticipantInfo.State.ACTIVE
            self._change(person)

    def elsewhere(self, seats: Mapping[ParticipantId, tuple[datetime, Sequence[models.TrackInfo]]]) -> None:
        """Takes note of who sends and receives by other means than this protocol, and of what they send."""
        for identity, (at, tracks) in seats.items():
            person = self.find(identity)
            if person is None:
                sid = infos.participant_sid(self.room.room, identity)
                person = Person(sid=sid, identity=identity, joined_at=at, version=next(self._versions))
                person.state = models.ParticipantInfo.State.ACTIVE
                self.people[sid] = person
                self._show(person)
            self._replace_foreign(person, {track.sid: track for track in tracks})
        for person in [person for person in self.people.values() if person.identity not in seats]:
            if person.member is None:
                self.leave(person.sid, Reason.LEFT)
            else:
                self._replace_foreign(person, {})

    # --- what they send ---

    def offered(self, sid: str, sent: Sequence[Sent]) -> Changed:
        """Takes note of what a client's latest offer brings. What begins is shown once it can be received."""
        changed = self.client(sid).publishing.offered(sent)
        if changed.ended:
            self._end(self.people[sid], changed.ended)
        return changed

    def began(self, sid: str, track: Announced) -> bool:
        """Takes note that a track can be received; says whether it may still be sent."""
        person = self.people.get(sid)
        if person is None or person.member is None or track.info.sid not in person.member.publishing.tracks:
            return False
        person.tracks[track.info.sid] = track.info
        self.moved = True
        self._change(person)
        return True

    def mute(self, sid: str, track: str, *, muted: bool, by_server: bool = False) -> bool:
        """Takes note that a track is muted, or no more; says whether there is such a one."""
        person, announced = self.people.get(sid), None
        if person is not None and person.member is not None:
            announced = person.member.publishing.tracks.get(track)
        if person is None or announced is None:
            return False
        announced.info.muted = muted
        if by_server:
            self._tell_muted(person, announced)
        else:
            announced.said_muted = muted
        if track in person.tracks:
            self._change(person)
        return True

    def withdraw(self, sid: str, tracks: Iterable[str]) -> list[str]:
        """Ends tracks of a client that it may send no more, and tells it; returns those that could be received."""
        person = self.people[sid]
        withdrawn = [track for track in tracks if self.client(sid).publishing.withdraw(track) is not None]
        for track in withdrawn:
            self._tell(person, SignalResponse(track_unpublished=TrackUnpublishedResponse(track_sid=track)))
        flowed = [track for track in withdrawn if track in person.tracks]
        if flowed:
            self._end(person, flowed)
        return flowed

    # --- what they are to receive ---

    def wanted(self, sid: str) -> Wanted:
        """Says what a client is to receive: what it wants, what others let it have, and what it may."""
        receiver, member = self.people[sid], self.client(sid)
        if not member.grant.can_subscribe:
            return Wanted()
        tracks: dict[str, int | None] = {}
        for person, info in self._receivable(receiver):
            if self.is_to_receive(receiver, member, person, info.sid):
                quality = member.subscriptions.quality(info)
                tracks[info.sid] = None if quality is None else encoding_of(info, quality)
        senders = (person.sid for person, other in self.members() if other.grant.can_publish_data)
        return Wanted(tracks=tracks, data_from=frozenset(senders) - {sid})

    def is_to_receive(self, receiver: Person, member: Member, publisher: Person, track: str) -> bool:
        """Whether somebody is to receive a track, perhaps not now."""
        may = member.grant.can_subscribe and self.lets(publisher, track, receiver)
        return may and member.subscriptions.is_wanted(track)

    def lets(self, publisher: Person, track: str, receiver: Person) -> bool:
        """Whether a publisher lets somebody have a track. Whoever sends by other means says nothing of that."""
        member = publisher.member
        return member is None or member.permissions.let(
            track, subscriber_sid=receiver.sid, subscriber_identity=receiver.identity
        )

    def permit(self, sid: str, said: SubscriptionPermission) -> None:
        """Takes note of whom a client lets have its tracks, and tells those for whom that changes something."""
        person, member = self.people[sid], self.client(sid)
        receivers = [(other, track) for other, _ in self.members() if other is not person for track in person.tracks]
        before = {(other.sid, track): self.lets(person, track, other) for other, track in receivers}
        member.permissions.say(said)
        self.moved = True
        for other, track in receivers:
            allowed = self.lets(person, track, other)
            if allowed != before[other.sid, track]:
                change = SubscriptionPermissionUpdate(participant_sid=sid, track_sid=track, allowed=allowed)
                self._tell(other, SignalResponse(subscription_permission_update=change))

    # --- words ---

    def rename(self, sid: str, grant: Grant) -> None:
        """Takes another name, other words or other rights of a client, and shows them to everybody."""
        person, member = self.people[sid], self.client(sid)
        member.grant = grant
        self.moved = True
        self._change(person)

    def info(self) -> models.Room:
        """Describes the room."""
        return infos.room_of(
            self.room, people=len(self.people), publishers=sum(bool(p.tracks) for p in self.people.values())
        )

    def tell_room(self) -> None:
        """Tells every client what the room is now."""
        self.tell_all(SignalResponse(room_update={"room": self.info()}))

    def tell_all(self, response: SignalResponse) -> None:
        """Has every client told something."""
        for person, _ in self.members():
            self._tell(person, response)

    def tell(self, sid: str, response: SignalResponse) -> None:
        """Has a client told something."""
        if (person := self.people.get(sid)) is not None:
            self._tell(person, response)

    # --- finding ---

    def find(self, identity: str) -> Person | None:
        """Returns whoever has that identity."""
        return next((person for person in self.people.values() if person.identity == identity), None)

    def member(self, sid: str) -> Member | None:
        """Returns what a client of that sid has; None: there is none."""
        person = self.people.get(sid)
        return person.member if person is not None else None

    def client(self, sid: str) -> Member:
        """Returns the same of a client that is there.

        Raises:
            NotThereError: it is not.
        """
        member = self.member(sid)
        if member is None:
            raise NotThereError
        return member

    def members(self) -> list[tuple[Person, Member]]:
        """Lists the clients."""
        return [(person, person.member) for person in self.people.values() if person.member is not None]

    def tracks(self) -> dict[str, Person]:
        """Returns who sends what can be received, by the sid of the track."""
        return {sid: person for person in self.people.values() for sid in person.tracks}

    def _receivable(self, receiver: Person) -> list[tuple[Person, models.TrackInfo]]:
        """Lists what others send: sound first, since it matters most where not all can be had at once."""
        all_tracks = [(p, info) for p in self.people.values() if p is not receiver for info in p.tracks.values()]
        return sorted(all_tracks, key=lambda each: each[1].type != _AUDIO)

    def _replace_foreign(self, person: Person, tracks: Mapping[str, models.TrackInfo]) -> None:
        """Replaces what somebody sends by other means."""
        own = person.member.publishing.tracks if person.member is not None else {}
        foreign = {sid for sid in person.tracks if sid not in own}
        if foreign == tracks.keys():
            return
        for sid in foreign - tracks.keys():
            del person.tracks[sid]
            self._forget(sid)
        person.tracks.update(tracks)
        self.moved = True
        self._change(person)

    def _end(self, person: Person, tracks: Iterable[str]) -> None:
        for track in tracks:
            person.tracks.pop(track, None)
            self._forget(track)
        self.moved = True
        self._change(person)

    def _forget(self, track: str) -> None:
        self.pictures.pop(track, None)
        for _, member in self.members():
            member.subscriptions.forget(track)
            if track in member.receiving.offered:
                member.receiving.forget_track(track)

    def _change(self, person: Person) -> None:
        person.version = next(self._versions)
        update = _update(person.info())
        for other, _ in self.members():
            self._tell(other, update if other is not person else _update(person.info_for(person)))

    def _show(self, person: Person) -> None:
        update = _update(person.info())
        for other, _ in self.members():
            if other is not person:
                self._tell(other, update)

    def _tell_muted(self, person: Person, track: Announced) -> None:
        self._tell(person, SignalResponse(mute=MuteTrackRequest(sid=track.info.sid, muted=track.info.muted)))

    def _tell(self, person: Person, response: SignalResponse) -> None:
        # Of whoever has no line nothing waits here: coming back, they are told how things are then.
        if person.member is not None and person.member.has_line:
            self.told.append((person.sid, response))


def _update(*people: models.ParticipantInfo) -> SignalResponse:
    return SignalResponse(update=ParticipantUpdate(participants=people))
