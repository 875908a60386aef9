"""What has happened in a room, by its roster before and after."""

from __future__ import annotations

from collections.abc import Sequence

from conftest import NOW
from happened import ROOM
from hypothesis import given
from hypothesis import strategies as st

from signalling.domain.changes import Changes
from signalling.domain.grants import Source
from signalling.domain.happenings import (
    Happening,
    ParticipantJoined,
    ParticipantLeft,
    Seated,
    Shown,
    TrackPublished,
    TrackUnpublished,
)
from signalling.domain.ids import ParticipantId, PublicationId, TrackId
from signalling.domain.notices import Reason
from signalling.domain.room import Publication, PublishedTrack, Seat


def seat(who: str, *tracks: str, publication: str = "") -> Seat:
    """Somebody who sends these tracks, all of them sound."""
    sends = tuple(PublishedTrack(track=TrackId(track), kind="audio") for track in tracks)
    called = PublicationId(publication or f"pub_{who}")
    publishes = (Publication(publication=called, tracks=sends),) if tracks else ()
    return Seat(participant=ParticipantId(who), joined_at=NOW, publishes=publishes, receives_from=())


def changes(before: Sequence[Seat], after: Sequence[Seat], **reasons: Reason) -> list[Happening]:
    given = {ParticipantId(who): reason for who, reason in reasons.items()}
    return list(Changes(room=ROOM, before=before, after=after, at=NOW, reasons=given).happenings())


def said(happenings: Sequence[Happening]) -> list[str]:
    """Says each as one word or two: who came (+) or went (-), and with which track."""
    words = []
    for each in happenings:
        match each:
            case ParticipantJoined(who=who):
                words.append(f"+{who.seat.participant}")
            case ParticipantLeft(who=who):
                words.append(f"-{who.seat.participant}")
            case TrackPublished(who=who, track=track):
                words.append(f"+{who.seat.participant} {track.track.track}")
            case TrackUnpublished(who=who, track=track):
                words.append(f"-{who.seat.participant} {track.track.track}")
    return words


def test_who_comes_is_told_before_what_they_send_and_who_goes_after_it() -> None:
    anna, bela = seat("anna", "1", "2"), seat("bela", "3")
    assert said(changes([], [anna])) == ["+anna", "+anna 1", "+anna 2"]
    assert said(changes([anna], [bela])) == ["-anna 1", "-anna 2", "-anna", "+bela", "+bela 3"]


def test_what_somebody_who_stays_begins_and_ends_to_send_is_told() -> None:
    assert said(changes([seat("anna", "1", "2")], [seat("anna", "2", "3")])) == ["-anna 1", "+anna 3"]


def test_a_track_that_stays_is_not_told_again_when_its_publication_has_another_id() -> None:
    before, after = seat("anna", "1", publication="pub_1"), seat("anna", "1", "2", publication="pub_2")
    (published,) = changes([before], [after])
    assert isinstance(published, TrackPublished)
    assert (published.track.track.track, published.track.publication) == ("2", "pub_2")


def test_who_was_removed_has_that_reason_and_all_others_left_by_themselves() -> None:
    left = changes([seat("anna"), seat("bela")], [], anna=Reason.REMOVED)
    assert [each.reason for each in left if isinstance(each, ParticipantLeft)] == [Reason.REMOVED, Reason.LEFT]


def test_each_says_who_is_in_the_room_afterwards() -> None:
    anna, bela = seat("anna", "1"), seat("bela")
    for happening in changes([anna], [bela]):
        assert (happening.roster, happening.at, happening.room) == ((bela,), NOW, ROOM)


def test_what_more_is_known_is_told() -> None:
    told = Changes(
        room=ROOM,
        before=[],
        after=[seat("anna", "1")],
        at=NOW,
        reasons={},
        seated=lambda seat: Seated(seat=seat, sid="PA_1"),
        shown=lambda _, publication, track: Shown(publication=publication, track=track, source=Source.MICROPHONE),
    ).happenings()
    joined, published = told
    assert isinstance(joined, ParticipantJoined)
    assert isinstance(published, TrackPublished)
    assert (joined.who.sid, published.who.sid, published.track.source) == ("PA_1", "PA_1", Source.MICROPHONE)


rosters = st.dictionaries(
    st.sampled_from(["anna", "bela", "cleo"]), st.frozensets(st.sampled_from(["1", "2", "3"]), max_size=3)
)


@given(rosters, rosters)
def test_whoever_follows_what_is_told_comes_from_one_roster_to_the_other(
    before: dict[str, frozenset[str]], after: dict[str, frozenset[str]]
) -> None:
    told = changes(*([seat(who, *sorted(tracks)) for who, tracks in roster.items()] for roster in (before, after)))
    there = {who: set(tracks) for who, tracks in before.items()}
    for word in said(told):
        who, _, track = word[1:].partition(" ")
        if not track and word[0] == "+":
            assert who not in there
            there[who] = set()
        elif not track:
            assert there.pop(who) == set(), "nobody goes whose track is still there"
        elif word[0] == "+":
            assert track not in there[who]
            there[who].add(track)
        else:
            there[who].remove(track)
    assert there == {who: set(tracks) for who, tracks in after.items()}
