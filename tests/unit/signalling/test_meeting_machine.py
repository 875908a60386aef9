"""Meetings in any order of what people do: what holds after every step, and what is left when all are gone."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule
from livekit.protocol.models import ParticipantInfo, TrackSource, TrackType, VideoLayer
from livekit.protocol.rtc import (
    AddTrackRequest,
    SignalRequest,
    SignalResponse,
    SubscriptionPermission,
    TrackPermission,
    UpdateSubscription,
    UpdateTrackSettings,
)

from signalling.domain.grants import Grant
from signalling.domain.ids import ParticipantId, RoomId
from signalling.domain.notices import Reason
from signalling.domain.room import Room, RoomPolicy
from signalling.rtc import conditions, requests
from signalling.rtc.asked import Asked
from signalling.rtc.meeting import Meeting
from signalling.rtc.receiving import Allow, AllowData, Limit, Offer, Revoke, RevokeData, Step, Wanted
from signalling.rtc.subscribing import BEST

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
PEOPLE = ("ann", "bo", "cia", "dan")


@dataclass(frozen=True)
class Section:
    mid: str
    kind: str
    name: str
    codec: str | None = None


@dataclass
class Screen:
    """What one client has been told, and what the engine has done for it."""

    identity: str
    versions: dict[str, int] = field(default_factory=dict)
    known_tracks: set[str] = field(default_factory=set)
    sections: list[Section] = field(default_factory=list)
    mids: itertools.count[int] = field(default_factory=itertools.count)
    offer: Offer | None = None
    outstanding: int = 0
    number: int = 0
    edges: set[str] = field(default_factory=set)
    carried: set[str] = field(default_factory=set)
    hears: set[str] = field(default_factory=set)
    online: bool = True


class Meetings(RuleBasedStateMachine):
    """People who do what they like; `screens` are the clients, and the engine as far as it concerns them."""

    clients = Bundle("clients")

    def __init__(self) -> None:
        super().__init__()
        names, offers = itertools.count(1), random.Random(1)
        room = Room(room=RoomId("r_1"), name=None, created_at=NOON, policy=RoomPolicy(max_participants=9))
        self.meeting = Meeting(
            room, new_sid=lambda prefix: f"{prefix}{next(names)}", first_offer=lambda: offers.randrange(256)
        )
        self.screens: dict[str, Screen] = {}
        self.now = timedelta()

    # --- what people do ---

    @rule(target=clients, who=st.sampled_from(PEOPLE), subscribes=st.booleans(), auto=st.booleans())
    def join(self, who: str, subscribes: bool, auto: bool) -> object:
        grant = Grant(
            participant=ParticipantId(who),
            room=RoomId("r_1"),
            join=True,
            can_publish=True,
            can_subscribe=subscribes,
            can_publish_data=True,
            issued_at=None,
            not_before=None,
            expires_at=NOON,
        )
        known = self.meeting.find(who)
        if known is not None:
            self.screens.pop(known.sid, None)
            self.drop(known.sid)
        sid = self.meeting.join(grant, Asked(auto_subscribe=auto), at=NOON).sid
        self.screens[sid] = Screen(who)
        return sid if known is None else multiple(sid)

    @rule(sid=consumes(clients))
    def leave(self, sid: str) -> None:
        if sid in self.screens:
            del self.screens[sid]
            self.drop(sid)
            self.meeting.leave(sid, Reason.LEFT)

    @rule(sid=clients, audio=st.booleans(), offered_first=st.booleans())
    def publish(self, sid: str, audio: bool, offered_first: bool) -> None:
        if (screen := self.screens.get(sid)) is None:
            return
        mid = str(next(screen.mids))
        cid, kind = f"cid{mid}", "audio" if audio else "video"
        layers = [] if audio else [VideoLayer(quality=quality, width=320 << quality) for quality in range(3)]
        track = AddTrackRequest(
            cid=cid,
            type=TrackType.AUDIO if audio else TrackType.VIDEO,
            source=TrackSource.MICROPHONE if audio else TrackSource.CAMERA,
            layers=layers,
        )
        screen.sections.append(Section(mid, kind, cid))
        if offered_first:
            self.bind(sid)
        self.ask(sid, SignalRequest(add_track=track))
        self.bind(sid)

    @rule(sid=clients, data=st.data())
    def unpublish(self, sid: str, data: st.DataObject) -> None:
        screen = self.screens.get(sid)
        if screen is not None and screen.sections:
            screen.sections.remove(data.draw(st.sampled_from(screen.sections)))
            self.bind(sid)

    @rule(sid=clients, data=st.data(), wanted=st.booleans())
    def subscribe(self, sid: str, data: st.DataObject, wanted: bool) -> None:
        tracks = sorted(self.meeting.tracks())
        if sid in self.screens and tracks:
            named = data.draw(st.lists(st.sampled_from([*tracks, "TR_nobody"])))
            self.ask(sid, SignalRequest(subscription=UpdateSubscription(track_sids=named, subscribe=wanted)))

    @rule(sid=clients, data=st.data(), disabled=st.booleans(), quality=st.integers(0, 2))
    def resize(self, sid: str, data: st.DataObject, disabled: bool, quality: int) -> None:
        tracks = sorted(self.meeting.tracks())
        if sid in self.screens and tracks:
            wish = UpdateTrackSettings(
                track_sids=[data.draw(st.sampled_from(tracks))], disabled=disabled, quality=quality
            )
            self.ask(sid, SignalRequest(track_setting=wish))

    @rule(sid=clients, everybody=st.booleans(), whom=st.sampled_from(PEOPLE))
    def permit(self, sid: str, everybody: bool, whom: str) -> None:
        if sid in self.screens:
            said = SubscriptionPermission(
                all_participants=everybody,
                track_permissions=[TrackPermission(participant_identity=whom, all_tracks=True)],
            )
            self.ask(sid, SignalRequest(subscription_permission=said))

    @rule(sid=clients, publishes=st.booleans(), subscribes=st.booleans())
    def change_rights(self, sid: str, publishes: bool, subscribes: bool) -> None:
        if sid not in self.screens:
            return
        member = self.meeting.client(sid)
        grant = replace(member.grant, can_publish=publishes, can_subscribe=subscribes, can_publish_data=publishes)
        self.meeting.rename(sid, grant)
        if not publishes:
            self.ended(self.meeting.withdraw(sid, list(member.publishing.tracks)))

    @rule(sid=clients)
    def lose_line(self, sid: str) -> None:
        if (screen := self.screens.get(sid)) is not None:
            self.deliver()
            screen.online = False
            self.meeting.lose_line(sid)

    @rule(sid=clients)
    def resume(self, sid: str) -> None:
        if (screen := self.screens.get(sid)) is not None:
            screen.online, screen.outstanding = True, 0
            assert self.meeting.resume(sid, self.meeting.client(sid).grant) is not None

    # --- what is done about it, in whatever order the engine answers ---

    @rule(sid=clients, order=st.randoms(use_true_random=False))
    def take_the_next_steps(self, sid: str, order: random.Random) -> None:
        if sid in self.screens:
            steps = list(self.next(sid))
            order.shuffle(steps)
            for step in steps:
                self.carry_out(sid, step)

    @rule(sid=clients)
    def answer(self, sid: str) -> None:
        screen = self.screens.get(sid)
        if screen is None or screen.outstanding == 0 or screen.offer is None:
            return
        state = self.meeting.client(sid).receiving
        assert state.awaits(screen.number)
        assert state.answered(screen.number)
        screen.outstanding, screen.carried = 0, set(screen.offer.tracks) & self.meeting.tracks().keys()
        state.agreed(screen.carried)

    @rule(seconds=st.integers(0, 6))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)
        conditions.dynacast(self.meeting, (), now=self.now)

    # --- what always holds ---

    @invariant()
    def nothing_new_flows_before_what_may_not_is_taken_away(self) -> None:
        for sid, screen in self.screens.items():
            wanted, steps = self.wanted(sid), self.next(sid)
            forbidden = {track for track in screen.edges if not wanted.flows(track)}
            if forbidden or screen.hears - wanted.data_from:
                assert steps
                assert all(isinstance(step, Revoke | RevokeData) for step in steps)

    @invariant()
    def clients_hear_of_changes_in_order_and_of_tracks_before_they_are_offered(self) -> None:
        self.deliver()
        for sid, screen in self.screens.items():
            state = self.meeting.client(sid).receiving
            if screen.online:
                assert state.offered <= screen.known_tracks

    @invariant()
    def what_is_left_to_do_is_done_in_few_steps_and_then_all_is_as_wanted(self) -> None:
        for sid, screen in self.screens.items():
            if not screen.online or screen.outstanding:
                continue
            wanted = self.wanted(sid)
            # Of those agreed on all that is wanted flows, once no step is left.
            if not self.next(sid):
                flowing = {track for track in wanted.tracks if wanted.flows(track)}
                assert screen.edges == flowing & self.meeting.client(sid).receiving.wired
                assert screen.hears == wanted.data_from
                if self.meeting.client(sid).grant.can_subscribe:
                    assert self.meeting.client(sid).receiving.offered == frozenset(wanted.tracks)

    @invariant()
    def nothing_is_known_of_whoever_has_left(self) -> None:
        assert set(self.meeting.people) == set(self.screens)
        tracks = self.meeting.tracks().keys()
        for sid, screen in self.screens.items():
            member = self.meeting.client(sid)
            assert member.subscriptions.spoken_of.keys() | member.subscriptions.wishes.keys() <= tracks
            assert member.receiving.data_from <= set(self.screens)
            assert member.receiving.offered | member.receiving.wired | member.receiving.allowed <= tracks
            assert member.receiving.limits.keys() <= tracks
            assert screen.edges <= tracks

    def teardown(self) -> None:
        for sid in list(self.screens):
            del self.screens[sid]
            self.drop(sid)
            self.meeting.leave(sid, Reason.LEFT)
        assert not self.meeting.people
        assert not self.meeting.tracks()
        assert conditions.dynacast_due(self.meeting) is None

    # --- the rim ---

    def ask(self, sid: str, request: SignalRequest) -> None:
        requests.answer(self.meeting, sid, request, unix_ms=0)

    def bind(self, sid: str) -> None:
        changed = self.meeting.offered(sid, self.screens[sid].sections)
        self.ended(changed.ended)
        for track in changed.begun:
            assert self.meeting.began(sid, track)

    def ended(self, tracks: object) -> None:
        for screen in self.screens.values():
            screen.edges -= set(tracks)  # type: ignore[call-overload]

    def drop(self, sid: str) -> None:
        """The engine ends a participant, with all that it sent and said."""
        self.ended(self.meeting.people[sid].tracks)
        for screen in self.screens.values():
            screen.hears.discard(sid)

    def wanted(self, sid: str) -> Wanted:
        return self.meeting.wanted(sid)

    def next(self, sid: str) -> Sequence[Step]:
        screen, member = self.screens[sid], self.meeting.client(sid)
        return member.receiving.next(self.wanted(sid), can_offer=screen.online and member.grant.can_subscribe)

    def carry_out(self, sid: str, step: Step) -> None:
        screen, state = self.screens[sid], self.meeting.client(sid).receiving
        match step:
            case Offer():
                assert screen.online
                assert screen.outstanding == 0
                screen.number = state.made(step, is_whole=True, now=self.now)
                screen.offer, screen.outstanding = step, 1
                screen.edges &= set(step.tracks)
                return
            case Allow(track):
                assert self.wanted(sid).flows(track)
                assert state.limits.get(track, BEST) == self.wanted(sid).tracks[track]
                screen.edges.add(track)
            case Revoke(track):
                screen.edges.discard(track)
            case AllowData(sender):
                screen.hears.add(sender)
            case RevokeData(sender):
                screen.hears.discard(sender)
            case Limit():
                pass
        state.did(step)

    def deliver(self) -> None:
        told, self.meeting.told = self.meeting.told, []
        for sid, response in told:
            if sid in self.screens:
                self.read(self.screens[sid], response)

    def read(self, screen: Screen, response: SignalResponse) -> None:
        assert screen.online
        if response.HasField("join"):
            assert response.join.participant.permission.can_subscribe == response.join.subscriber_primary
            for other in response.join.other_participants:
                self.see(screen, other)
        elif response.HasField("update"):
            for participant in response.update.participants:
                self.see(screen, participant)

    def see(self, screen: Screen, participant: ParticipantInfo) -> None:
        before = screen.versions.get(participant.sid, 0)
        # Whoever comes back is told all anew, of which some is known.
        assert participant.version >= before
        screen.versions[participant.sid] = participant.version
        screen.known_tracks |= {track.sid for track in participant.tracks}


Meetings.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestMeetings = Meetings.TestCase
