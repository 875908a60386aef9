"""What administrating systems do with those who are in a room, by our own REST and by LiveKit's RoomService."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping

import httpx
import pytest
from conftest import Bench, settings
from fake_administered import FakeAdministered, anna
from google.protobuf.message import Message
from jwts import AT, signed
from livekit.protocol import models
from livekit.protocol import room as service

from signalling.domain.grants import Grant, Source
from signalling.domain.refusals import Refusal
from signalling.faults import RefusedError
from signalling.http.room_service import PREFIX
from signalling.rtc.infos import permission, with_permission
from signalling.rtc.words import MAX_WORDS

PEOPLE = "/rooms/{room}/participants"


@pytest.fixture
def meetings(bench: Bench) -> FakeAdministered:
    bench.parts.administered = fake = FakeAdministered()
    return fake


async def by_rest(bench: Bench, method: str, path: str, body: Mapping[str, object] | None = None) -> httpx.Response:
    async with bench.admin() as http:
        return await http.request(method, path, json=body)


async def by_sdk(bench: Bench, method: str, wanted: Message, room: str) -> httpx.Response:
    token = signed({"iss": "k1", "nbf": AT, "exp": AT + 600, "video": {"roomAdmin": True, "room": room}})
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/protobuf"}
    async with bench.http(**headers) as http:
        return await http.post(PREFIX + method, content=wanted.SerializeToString())


# --- by our own REST ---


async def test_everybody_in_a_room_is_listed_and_each_is_shown(bench: Bench, meetings: FakeAdministered) -> None:
    room = await bench.room()
    (shown,) = (await by_rest(bench, "GET", f"/rooms/{room}/participants")).json()
    assert shown == (await by_rest(bench, "GET", f"/rooms/{room}/participants/anna")).json()
    assert shown == {
        "participant": "anna",
        "sid": "PA_1",
        "state": "active",
        "joined_at": "2026-11-22T12:00:00Z",
        "name": "",
        "metadata": "",
        "attributes": {},
        "permission": {
            "can_publish": True,
            "can_publish_sources": None,
            "can_publish_data": False,
            "can_subscribe": True,
            "can_update_own_metadata": False,
        },
        "tracks": [{"track": "TR_1", "kind": "audio", "source": "microphone", "name": "mic", "muted": False}],
    }
    missing = await by_rest(bench, "GET", f"/rooms/{room}/participants/bela")
    assert (missing.status_code, missing.json()["code"]) == (404, "participant_unknown")


async def test_whoever_sends_by_whip_is_listed_and_cannot_be_changed_as_they_could_not_be_told(bench: Bench) -> None:
    room = await bench.room()
    async with await bench.participant(room, "anna") as http:
        assert (await bench.publish(room, http)).status_code == 201
    (shown,) = (await by_rest(bench, "GET", f"/rooms/{room}/participants")).json()
    assert (shown["participant"], shown["state"], shown["permission"]) == ("anna", "joined", None)
    assert [track["kind"] for track in shown["tracks"]] == ["audio", "video"]
    refused = await by_rest(bench, "PATCH", f"/rooms/{room}/participants/anna", {"name": "A"})
    assert (refused.status_code, refused.json()["code"]) == (404, "participant_unknown")


async def test_only_what_is_named_is_changed(bench: Bench, meetings: FakeAdministered) -> None:
    room = await bench.room()
    path = f"/rooms/{room}/participants/anna"
    assert (await by_rest(bench, "PATCH", path, {"name": "A"})).json()["name"] == "A"
    changed = await by_rest(bench, "PATCH", path, {"metadata": "", "attributes": {"seat": "2"}})
    assert (changed.json()["name"], changed.json()["attributes"]) == ("A", {"seat": "2"})
    assert meetings.asked == [
        ("update", room, "anna", "A", None, None, None),
        ("update", room, "anna", None, "", {"seat": "2"}, None),
    ]


async def test_what_somebody_may_is_changed_as_a_whole(bench: Bench, meetings: FakeAdministered) -> None:
    room = await bench.room()
    wanted = {"can_publish_sources": ["microphone"], "can_subscribe": False}
    changed = await by_rest(bench, "PATCH", f"/rooms/{room}/participants/anna", {"permission": wanted})
    assert changed.json()["permission"] == {
        "can_publish": True,
        "can_publish_sources": ["microphone"],
        "can_publish_data": False,
        "can_subscribe": False,
        "can_update_own_metadata": False,
    }
    (asked,) = meetings.asked
    assert asked[-1] == models.ParticipantPermission(
        can_publish=True, can_publish_sources=[models.TrackSource.MICROPHONE]
    )


async def test_a_track_is_muted_and_only_its_publisher_lets_it_sound_again(
    bench: Bench, meetings: FakeAdministered
) -> None:
    room = await bench.room()
    path = f"/rooms/{room}/participants/anna/tracks/TR_1"
    assert (await by_rest(bench, "PATCH", path, {"muted": True})).json()["muted"] is True
    refused = await by_rest(bench, "PATCH", path, {"muted": False})
    assert (refused.status_code, refused.json()["code"]) == (403, Refusal.UNMUTE_NOT_ALLOWED)
    assert meetings.asked == [("mute", room, "anna", "TR_1", True)]
    missing = await by_rest(bench, "PATCH", f"/rooms/{room}/participants/anna/tracks/TR_2", {"muted": True})
    assert (missing.status_code, missing.json()["code"]) == (404, "track_unknown")


async def test_where_the_configuration_lets_it_a_track_sounds_again_by_a_request() -> None:
    bench = Bench(settings(rooms={"remote_unmute": True}))
    bench.parts.administered = FakeAdministered()
    room = await bench.room()
    path = f"/rooms/{room}/participants/anna/tracks/TR_1"
    for muted in (True, False):
        assert (await by_rest(bench, "PATCH", path, {"muted": muted})).json()["muted"] is muted


async def test_subscriptions_and_messages_go_to_the_meeting(bench: Bench, meetings: FakeAdministered) -> None:
    room = await bench.room()
    wanted = {"tracks": ["TR_1", "TR_2"], "subscribe": False}
    done = await by_rest(bench, "PATCH", f"/rooms/{room}/participants/anna/subscriptions", wanted)
    payload = base64.b64encode(b"\x00\xff").decode()
    sent = await by_rest(bench, "POST", f"/rooms/{room}/messages", {"payload": payload})
    named = {"payload": payload, "reliable": False, "participants": ["anna"], "topic": "t"}
    to_anna = await by_rest(bench, "POST", f"/rooms/{room}/messages", named)
    assert (done.status_code, sent.status_code, to_anna.status_code) == (204, 204, 204)
    assert meetings.asked == [
        ("subscribe", room, "anna", ["TR_1", "TR_2"], False),
        ("send", room, b"\x00\xff", True, [], [], ""),
        ("send", room, b"\x00\xff", False, ["anna"], [], "t"),
    ]


async def test_something_else_is_written_on_a_room(bench: Bench, meetings: FakeAdministered) -> None:
    room = await bench.room(metadata="bed 2")
    assert (await by_rest(bench, "PATCH", f"/rooms/{room}", {})).json()["metadata"] == "bed 2"
    assert (await by_rest(bench, "PATCH", f"/rooms/{room}", {"metadata": "bed 3"})).status_code == 200
    assert meetings.asked == [("metadata", room, "bed 3")]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", PEOPLE, None),
        ("GET", PEOPLE + "/anna", None),
        ("PATCH", PEOPLE + "/anna", {}),
        ("PATCH", PEOPLE + "/anna/tracks/TR_1", {"muted": True}),
        ("PATCH", PEOPLE + "/anna/subscriptions", {"tracks": ["TR_1"], "subscribe": True}),
        ("POST", "/rooms/{room}/messages", {"payload": ""}),
        ("PATCH", "/rooms/{room}", {"metadata": "m"}),
    ],
)
async def test_only_an_administrator_sees_and_changes_who_is_in_a_room(
    bench: Bench, meetings: FakeAdministered, method: str, path: str, body: dict[str, object] | None
) -> None:
    room = await bench.room()
    async with await bench.participant(room, "anna") as somebody, bench.http() as nobody:
        for http in (somebody, nobody):
            refused = await http.request(method, path.format(room=room), json=body)
            assert (refused.status_code, refused.json()["code"]) == (401, "admin_bearer_wrong")
    unknown = await by_rest(bench, method, path.format(room="elsewhere"), body)
    assert (unknown.status_code, unknown.json()["code"]) == (404, "room_unknown")
    assert meetings.asked == []


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", PEOPLE + "/anna", {"nmae": "A"}),
        ("PATCH", PEOPLE + "/anna", {"metadata": "m" * (MAX_WORDS - 100) + "\u00e5" * 101}),
        ("PATCH", PEOPLE + "/anna", {"permission": {"can_publish_sources": []}}),
        ("PATCH", PEOPLE + "/anna", {"permission": {"hidden": True}}),
        ("PATCH", PEOPLE + "/anna/tracks/TR_1", {}),
        ("PATCH", PEOPLE + "/anna/subscriptions", {"tracks": [], "subscribe": True}),
        ("POST", "/rooms/{room}/messages", {"payload": "no base64!"}),
        ("POST", "/rooms/{room}/messages", {"payload": "", "participants": ["p" * 300]}),
        ("PATCH", "/rooms/{room}", {"metadata": "m" * 16_385}),
    ],
)
async def test_what_cannot_be_asked_is_refused_and_changes_nothing(
    method: str, path: str, body: dict[str, object]
) -> None:
    bench = Bench(settings(http={"max_body_bytes": 262_144}))
    bench.parts.administered = meetings = FakeAdministered()
    refused = await by_rest(bench, method, path.format(room=await bench.room()), body)
    assert (refused.status_code, refused.json()["code"]) == (422, "request_invalid")
    assert meetings.asked == []


async def test_the_description_of_the_interface_has_every_request(bench: Bench) -> None:
    async with bench.http() as http:
        paths = (await http.get("/openapi.json")).json()["paths"]
    offered = {(method, path) for path, methods in paths.items() for method in methods}
    assert offered >= {
        ("get", PEOPLE),
        ("get", PEOPLE + "/{participant}"),
        ("patch", PEOPLE + "/{participant}"),
        ("delete", PEOPLE + "/{participant}"),
        ("patch", PEOPLE + "/{participant}/tracks/{track}"),
        ("patch", PEOPLE + "/{participant}/subscriptions"),
        ("post", "/rooms/{room}/messages"),
        ("patch", "/rooms/{room}"),
    }


# --- by LiveKit's RoomService ---


async def test_the_sdks_get_whom_the_meeting_has(bench: Bench, meetings: FakeAdministered) -> None:
    await bench.room(name="ward-7")
    listed = await by_sdk(bench, "ListParticipants", service.ListParticipantsRequest(room="ward-7"), "ward-7")
    assert list(service.ListParticipantsResponse.FromString(listed.content).participants) == [anna()]
    who = service.RoomParticipantIdentity(room="ward-7", identity="anna")
    got = await by_sdk(bench, "GetParticipant", who, "ward-7")
    assert models.ParticipantInfo.FromString(got.content) == anna()


async def test_what_an_sdk_leaves_empty_stays_as_it_is(bench: Bench, meetings: FakeAdministered) -> None:
    room = await bench.room(name="ward-7")
    wanted = service.UpdateParticipantRequest(room="ward-7", identity="anna", name="A", attributes={"seat": ""})
    answer = await by_sdk(bench, "UpdateParticipant", wanted, "ward-7")
    assert models.ParticipantInfo.FromString(answer.content).name == "A"
    may = models.ParticipantPermission(can_subscribe=True)
    wanted = service.UpdateParticipantRequest(room="ward-7", identity="anna", metadata="m", permission=may)
    await by_sdk(bench, "UpdateParticipant", wanted, "ward-7")
    assert meetings.asked == [
        ("update", room, "anna", "A", None, {"seat": ""}, None),
        ("update", room, "anna", None, "m", None, may),
    ]


@pytest.mark.parametrize(
    ("role", "refusal"),
    [
        ("hidden", Refusal.HIDDEN_NOT_ALLOWED),
        ("recorder", Refusal.RECORDER_NOT_ALLOWED),
        ("agent", Refusal.AGENT_NOT_ALLOWED),
    ],
)
async def test_nobody_is_made_what_the_room_does_not_take_in(
    bench: Bench, meetings: FakeAdministered, role: str, refusal: Refusal
) -> None:
    wanted = service.UpdateParticipantRequest(identity="anna", permission={role: True})
    for name, roles in (("closed", []), ("open", [role])):
        await bench.room(name=name, allowed_roles=roles)
        wanted.room = name
        answer = await by_sdk(bench, "UpdateParticipant", wanted, name)
        assert answer.status_code == (200 if roles else 403)
        assert roles or answer.json()["meta"] == {"code": refusal}
    assert len(meetings.asked) == 1


async def test_that_the_rights_of_too_many_were_changed_is_told_in_the_words_of_either(
    bench: Bench, meetings: FakeAdministered, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object, **__: object) -> models.ParticipantInfo:
        raise RefusedError(Refusal.TOO_MANY_CHANGED_RIGHTS)

    monkeypatch.setattr(meetings, "update_participant", refuse)
    room = await bench.room(name="ward-7")
    by_us = await by_rest(bench, "PATCH", f"/rooms/{room}/participants/anna", {"permission": {}})
    assert (by_us.status_code, by_us.json()["code"]) == (409, "too_many_changed_rights")
    wanted = service.UpdateParticipantRequest(room="ward-7", identity="anna", permission={"can_publish": True})
    by_them = await by_sdk(bench, "UpdateParticipant", wanted, "ward-7")
    assert (by_them.status_code, by_them.json()["code"]) == (429, "resource_exhausted")


async def test_the_sdks_mute_and_are_told_as_by_livekit_that_they_cannot_unmute(
    bench: Bench, meetings: FakeAdministered
) -> None:
    await bench.room(name="ward-7")
    wanted = service.MuteRoomTrackRequest(room="ward-7", identity="anna", track_sid="TR_1", muted=True)
    answer = await by_sdk(bench, "MutePublishedTrack", wanted, "ward-7")
    assert service.MuteRoomTrackResponse.FromString(answer.content).track.muted
    wanted.muted = False
    refused = await by_sdk(bench, "MutePublishedTrack", wanted, "ward-7")
    assert (refused.status_code, refused.json()["code"]) == (412, "failed_precondition")
    wanted.muted, wanted.track_sid = True, "TR_2"
    missing = await by_sdk(bench, "MutePublishedTrack", wanted, "ward-7")
    assert (missing.status_code, missing.json()["meta"]) == (404, {"code": "track_unknown"})


async def test_the_sdks_change_subscriptions_send_messages_and_write_on_rooms(
    bench: Bench, meetings: FakeAdministered
) -> None:
    room = await bench.room(name="ward-7")
    tracks = [models.ParticipantTracks(participant_sid="PA_2", track_sids=["TR_3"])]
    subscribe = service.UpdateSubscriptionsRequest(
        room="ward-7", identity="anna", track_sids=["TR_2"], subscribe=True, participant_tracks=tracks
    )
    send = service.SendDataRequest(
        room="ward-7",
        data=b"hello",
        kind=models.DataPacket.Kind.LOSSY,
        destination_identities=["anna"],
        destination_sids=["PA_2"],
        topic="t",
    )
    write = service.UpdateRoomMetadataRequest(room="ward-7", metadata="bed 3")
    for method, wanted in (("UpdateSubscriptions", subscribe), ("SendData", send), ("UpdateRoomMetadata", write)):
        assert (await by_sdk(bench, method, wanted, "ward-7")).status_code == 200
    assert meetings.asked == [
        ("subscribe", room, "anna", ["TR_2", "TR_3"], True),
        ("send", room, b"hello", False, ["anna"], ["PA_2"], "t"),
        ("metadata", room, "bed 3"),
    ]


async def test_too_many_words_are_refused_to_the_sdks(meetings: FakeAdministered) -> None:
    bench = Bench(settings(http={"max_body_bytes": 262_144}))
    bench.parts.administered = meetings
    await bench.room(name="ward-7")
    words = "m" * (MAX_WORDS + 1)
    for method, wanted in (
        ("UpdateParticipant", service.UpdateParticipantRequest(room="ward-7", identity="anna", metadata=words)),
        ("UpdateParticipant", service.UpdateParticipantRequest(room="ward-7", identity="anna", attributes={"": words})),
        ("UpdateRoomMetadata", service.UpdateRoomMetadataRequest(room="ward-7", metadata=2 * words)),
    ):
        refused = await by_sdk(bench, method, wanted, "ward-7")
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_argument")
    assert meetings.asked == []


async def test_a_message_for_a_room_in_which_nobody_hears_it_is_no_mistake(bench: Bench) -> None:
    await bench.room(name="ward-7")
    sent = await by_sdk(bench, "SendData", service.SendDataRequest(room="ward-7", data=b"x"), "ward-7")
    assert sent.status_code == 200


async def test_nothing_that_is_written_on_anybody_is_in_the_log(
    bench: Bench, meetings: FakeAdministered, logged: io.StringIO
) -> None:
    room, canary = await bench.room(), "kanariefagel"
    who = f"/rooms/{room}/participants/{canary}"
    changed = {"name": canary, "metadata": canary, "attributes": {canary: canary}}
    assert (await by_rest(bench, "PATCH", who, changed)).status_code == 404
    await by_rest(bench, "PATCH", f"/rooms/{room}/participants/anna", changed)
    await by_rest(bench, "POST", f"/rooms/{room}/messages", {"payload": canary, "topic": canary})
    await by_rest(bench, "PATCH", f"/rooms/{room}", {"metadata": canary})
    await by_rest(bench, "PATCH", f"{who}/tracks/{canary}", {"muted": True})
    assert f"{PEOPLE}/{{participant}}/tracks/{{track}}" in logged.getvalue()
    assert canary not in logged.getvalue()


# --- what a permission means ---


def test_a_permission_that_is_read_and_told_again_is_the_same() -> None:
    grant = Grant(
        participant="p_1",  # type: ignore[arg-type]
        room="r_1",  # type: ignore[arg-type]
        join=True,
        can_publish=True,
        can_subscribe=False,
        issued_at=None,
        not_before=None,
        expires_at=AT,  # type: ignore[arg-type]
        sources=frozenset({Source.CAMERA}),
        can_publish_data=True,
        name="Anna",
    )
    nothing = with_permission(grant, models.ParticipantPermission())
    assert (nothing.can_publish, nothing.can_publish_data, nothing.sources, nothing.name) == (
        False,
        False,
        None,
        "Anna",
    )
    assert with_permission(nothing, permission(grant)) == grant
    unknown = models.ParticipantPermission(can_publish=True, can_publish_sources=[models.TrackSource.UNKNOWN])
    assert with_permission(grant, unknown).sources == frozenset(), "which allows nothing"
