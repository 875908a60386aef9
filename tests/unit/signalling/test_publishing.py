"""Which of the tracks that a client announces the sections of its offers bring."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from livekit.protocol.models import Encryption, TrackInfo, TrackSource, TrackType, VideoLayer, VideoQuality
from livekit.protocol.rtc import AddTrackRequest, SimulcastCodec

from signalling.domain.grants import Grant, Source
from signalling.domain.ids import ParticipantId, RoomId
from signalling.rtc.publishing import MAX_ANNOUNCED, Kind, NotAnnouncedError, Publishing


@dataclass(frozen=True)
class Section:
    mid: str
    kind: Kind
    name: str | None = None
    codec: str | None = None


def grant(*, can_publish: bool = True, sources: frozenset[Source] | None = None) -> Grant:
    return Grant(
        participant=ParticipantId("alice"),
        room=RoomId("room"),
        join=True,
        can_publish=can_publish,
        can_subscribe=True,
        sources=sources,
        issued_at=None,
        not_before=None,
        expires_at=datetime(2026, 11, 28, tzinfo=UTC),
    )


def publishing() -> Publishing:
    numbers = itertools.count(1)
    return Publishing(lambda: f"TR_{next(numbers)}")


def camera(cid: str, **fields: object) -> AddTrackRequest:
    return AddTrackRequest(cid=cid, type=TrackType.VIDEO, source=TrackSource.CAMERA, **fields)


def microphone(cid: str) -> AddTrackRequest:
    return AddTrackRequest(cid=cid, type=TrackType.AUDIO, source=TrackSource.MICROPHONE)


def begun(publishing: Publishing, *sent: Section) -> list[tuple[str, str | None]]:
    return [(track.cid, track.mid) for track in publishing.offered(sent).begun]


def test_others_are_told_what_its_sender_announces_of_a_track() -> None:
    layers = [
        VideoLayer(quality=VideoQuality.LOW, width=320, height=180),
        VideoLayer(quality=VideoQuality.HIGH, width=1280),
    ]
    codecs = [SimulcastCodec(codec="vp8", cid="c")]
    announced = camera(
        "c", name="my camera", width=1280, height=720, layers=layers, simulcast_codecs=codecs, encryption=Encryption.GCM
    )
    info = publishing().announce(announced, grant())
    assert (info.sid, info.type, info.name, info.source) == ("TR_1", TrackType.VIDEO, "my camera", TrackSource.CAMERA)
    assert (info.width, info.height, info.simulcast, info.encryption) == (1280, 720, True, Encryption.GCM)
    assert list(info.layers) == layers
    assert [(codec.cid, list(codec.layers)) for codec in info.codecs] == [("c", layers)]


def test_others_are_told_how_a_track_is_encoded_also_where_a_sender_of_sound_does_not_say() -> None:
    ours = publishing()
    vp8, unknown = [SimulcastCodec(codec="vp8", cid="c")], [SimulcastCodec(cid="m")]
    assert ours.announce(camera("c", simulcast_codecs=vp8), grant()).mime_type == "video/vp8"
    unsaid = ours.announce(camera("d"), grant())
    ours.offered([Section("0", "video", "d", "h264"), Section("1", "video", "c", "h264")])
    assert unsaid.mime_type == "video/h264", "as it is offered"
    assert {track.cid: track.info.mime_type for track in ours.tracks.values()} == {"c": "video/vp8", "d": "video/h264"}
    said = AddTrackRequest(cid="m", type=TrackType.AUDIO, source=TrackSource.MICROPHONE, simulcast_codecs=unknown)
    for request in (said, microphone("n")):
        assert ours.announce(request, grant()).mime_type == "audio/opus"


def test_a_track_is_found_by_its_name_whichever_section_it_comes_in() -> None:
    ours = publishing()
    for cid in ("first", "second"):
        ours.announce(camera(cid), grant())
    assert begun(ours, Section("0", "video", "second"), Section("1", "video", "first")) == [
        ("second", "0"),
        ("first", "1"),
    ]


def test_a_browser_that_gives_other_names_is_understood_by_the_order_of_each_kind() -> None:
    ours = publishing()
    ours.announce(camera("cam"), grant())
    ours.announce(microphone("mic"), grant())
    ours.announce(camera("screen"), grant())
    sent = [Section("0", "audio", "{another}"), Section("1", "video", None), Section("2", "video", "{one more}")]
    assert begun(ours, *sent) == [("mic", "0"), ("cam", "1"), ("screen", "2")]


def test_whoever_is_named_is_not_taken_for_another_one_that_is_not() -> None:
    ours = publishing()
    ours.announce(camera("cam"), grant())
    ours.announce(camera("screen"), grant())
    assert begun(ours, Section("0", "video", "{unknown}"), Section("1", "video", "cam")) == [
        ("cam", "1"),
        ("screen", "0"),
    ]


def test_a_section_that_comes_before_its_track_is_announced_waits_for_it() -> None:
    ours, sent = publishing(), [Section("0", "audio", "mic")]
    assert begun(ours, *sent) == []
    ours.announce(microphone("mic"), grant())
    assert begun(ours, *sent) == [("mic", "0")]
    assert begun(ours, *sent) == [], "once"


def test_a_track_ends_with_its_section_and_may_be_announced_again() -> None:
    ours = publishing()
    first = ours.announce(microphone("mic"), grant())
    ours.offered([Section("0", "audio", "mic")])
    assert ours.offered([]).ended == [first.sid]
    again = ours.announce(microphone("mic"), grant())
    assert again.sid != first.sid
    assert begun(ours, Section("1", "audio", "mic")) == [("mic", "1")]


def test_a_track_that_is_announced_twice_before_it_is_sent_is_one() -> None:
    ours = publishing()
    assert ours.announce(microphone("mic"), grant()) is ours.announce(microphone("mic"), grant())
    ours.offered([Section("0", "audio", "mic")])
    assert ours.announce(microphone("mic"), grant()).sid == "TR_2", "while the first is sent it is another one"


@pytest.mark.parametrize(
    ("request_", "allowed", "reason"),
    [
        (camera("c"), grant(can_publish=False), "NOT_ALLOWED"),
        (camera("c"), grant(sources=frozenset({Source.MICROPHONE})), "NOT_ALLOWED"),
        (AddTrackRequest(cid="c", type=TrackType.VIDEO), grant(sources=frozenset({Source.CAMERA})), "NOT_ALLOWED"),
        (AddTrackRequest(cid="c", type=TrackType.DATA), grant(), "UNSUPPORTED_TYPE"),
        (AddTrackRequest(type=TrackType.AUDIO), grant(), "UNSUPPORTED_TYPE"),
    ],
    ids=["not at all", "another source", "a source unknown", "a data track", "no name"],
)
def test_what_may_not_be_sent_is_refused_and_waits_for_no_section(
    request_: AddTrackRequest, allowed: Grant, reason: str
) -> None:
    ours = publishing()
    with pytest.raises(NotAnnouncedError) as refused:
        ours.announce(request_, allowed)
    assert refused.value.reason == reason
    assert begun(ours, Section("0", "video", "c"), Section("1", "audio", "c")) == []


def test_nobody_sends_or_announces_more_tracks_than_may_be() -> None:
    ours = publishing()
    for number in range(MAX_ANNOUNCED):
        ours.announce(microphone(str(number)), grant())
    with pytest.raises(NotAnnouncedError, match="LIMIT_EXCEEDED"):
        ours.announce(microphone("one more"), grant())
    ours.offered([Section("0", "audio", "3")])
    with pytest.raises(NotAnnouncedError, match="LIMIT_EXCEEDED"):
        ours.announce(microphone("one more"), grant())
    ours.offered([])
    ours.announce(microphone("one more"), grant())


names = st.sampled_from(["a", "b", "c", None])
sections = st.lists(
    st.builds(Section, st.sampled_from("01234"), st.sampled_from(["audio", "video"]), names), unique_by=lambda s: s.mid
)
acts = st.lists(
    st.one_of(sections, st.builds(camera, st.sampled_from("abc")), st.builds(microphone, st.sampled_from("abc")))
)


@given(acts)
def test_in_any_order_each_section_brings_one_track_of_its_kind_and_no_track_comes_twice(
    acts: Sequence[AddTrackRequest | list[Section]],
) -> None:
    ours = publishing()
    for act in acts:
        if isinstance(act, AddTrackRequest):
            ours.announce(act, grant())
            continue
        before: dict[str, str | None] = {sid: track.mid for sid, track in ours.tracks.items()}
        changed = ours.offered(act)
        sent: dict[str | None, Section] = {section.mid: section for section in act}
        flowing = [track for track in ours.tracks.values() if track.mid is not None]
        assert len({track.mid for track in flowing}) == len(flowing)
        assert all(
            sent[track.mid].kind == track.kind
            for track in flowing
            if track.mid in sent and before[track.info.sid] is None
        )
        assert all(track.mid in sent for track in flowing), "what is not sent has ended"
        assert set(changed.ended) == {sid for sid, mid in before.items() if mid is not None and mid not in sent}
        waiting = [track for track in ours.tracks.values() if track.mid is None]
        free = [section for section in act if section.mid not in {track.mid for track in flowing}]
        assert not {track.kind for track in waiting} & {section.kind for section in free}, (
            "nothing waits for what is there"
        )
        infos: list[TrackInfo] = [track.info for track in changed.begun]
        assert [info.mid for info in infos] == [track.mid for track in changed.begun]
