"""Whatever somebody sends on `/rtc`, nobody else notices: two go on to see and hear, and another room hears nothing."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from callers import Meeting, meeting
from footage import Camera, Tone
from hostile import WRONG_TOKENS, half_open, sections
from livekit.protocol.models import DisconnectReason, ParticipantInfo
from livekit.protocol.rtc import (
    AddTrackRequest,
    LeaveRequest,
    MuteTrackRequest,
    Ping,
    SessionDescription,
    SignalRequest,
    SimulateScenario,
    SubscriptionPermission,
    SyncState,
    TrackPublishedResponse,
    TrickleRequest,
    UpdateLocalAudioTrack,
    UpdateLocalVideoTrack,
    UpdateSubscription,
    UpdateTrackSettings,
    UpdateVideoLayers,
)
from livekit_edge import LiveKitAttendee, LiveKitEdge
from livekit_line import Line, RefusedConnectionError
from meeting_edge import BOTH, NOTHING, finds, sees
from relay import Passed
from relayed import nothing_comes, nothing_passed_unallowed
from servers import serving

EDGE = LiveKitEdge()
CAMERA = 4
MAX_FRAME_BYTES = 2 << 20
MAX_PAUSE_MS = 300  # People who talk do not notice it.
TRICKLES = 10_000
REQUESTS_PER_S = 200  # of one client; whoever asks faster waits
HALF_OPEN = 5_000
MAX_GROWTH_KB = 8 << 10
"""By which a process may be larger after `HALF_OPEN` connections than after as many before: allocators keep pages that
are partly used, some MiB of them. 1.7 KB of each connection would show; while it is open one needs many times that."""


@dataclass
class Calm:
    """Those who do no harm: anna sends to bela, and carl is in another room."""

    room: Meeting
    other: Meeting
    anna: LiveKitAttendee
    bela: LiveKitAttendee
    carl: LiveKitAttendee

    @property
    def tracks(self) -> list[str]:
        """What anna sends, as others call it."""
        return [track.sid for track in self.anna.published.values()]

    async def goes_on(self) -> None:
        """Sees that bela sees on, and that whoever asks is answered."""
        await sees(self.bela, CAMERA)
        for attendee in (self.anna, self.bela, self.carl):
            await answered(attendee.line)


@contextlib.asynccontextmanager
async def calm_in(room: Meeting, other: Meeting) -> AsyncIterator[Calm]:
    async with (
        EDGE.join(room, "anna") as anna,
        EDGE.join(room, "bela") as bela,
        EDGE.join(other, "carl") as carl,
    ):
        await anna.publish(Camera(CAMERA), Tone(100 * CAMERA))
        await bela.subscribe("anna")
        await sees(bela, CAMERA)
        calm, since_ns = Calm(room, other, anna, bela, carl), time.time_ns()
        yield calm
        await calm.goes_on()
        # This process sends, and does harm besides: of the pauses that it makes itself the server knows nothing.
        pause = longest_pause_ms(anna.relay.from_clients, since_ns)
        assert longest_pause_ms(bela.relay.to_clients, since_ns) <= pause + MAX_PAUSE_MS
        assert abs(await bela.heard() - 100 * CAMERA) <= 2
        assert {camera for camera, _ in bela.pictures()} == {CAMERA}
        secret = [name.encode() for name in (anna.sid, bela.sid, *calm.tracks)]
        assert not [told for told in carl.line.told if any(name in told.SerializeToString() for name in secret)]
        await finds(carl, {"carl": NOTHING})
        assert carl.relay.rtp_to_clients(0) == 0
        await nothing_passed_unallowed(room)


def longest_pause_ms(passed: list[Passed], since_ns: int) -> float:
    """Returns for how long no packet came."""
    times = [each.at_ns for each in passed if each.is_rtp and each.at_ns > since_ns]
    return max(later - earlier for earlier, later in itertools.pairwise(times)) / 1e6


@pytest.fixture
async def calm(room: Meeting, other_room: Meeting) -> AsyncIterator[Calm]:
    async with calm_in(room, other_room) as there:
        yield there


async def answered(line: Line) -> None:
    """Asks whether anybody is there, and waits for the answer to that."""
    at = time.monotonic_ns()
    await line.ask(ping_req=Ping(timestamp=at))
    await line.hears("pong_resp", lambda told: told.pong_resp.last_ping_timestamp == at)


@contextlib.asynccontextmanager
async def eve_in(room: Meeting, **rights: bool) -> AsyncIterator[Line]:
    """Has somebody come in who does nothing of what an SDK does by itself."""
    async with Line(str(room.http.base_url), await room.token("eve", **rights)) as line:
        await line.hears("offer" if rights.get("can_subscribe", True) else "refresh_token")
        yield line


async def gone(calm: Calm) -> None:
    """Waits until eve is in no roster."""
    await finds(calm.anna, {"anna": BOTH, "bela": NOTHING})
    assert await calm.room.roster() == {"anna": [], "bela": ["anna"]}


# --- who is not let in ---


@pytest.mark.parametrize("wrong", WRONG_TOKENS)
async def test_a_wrong_token_is_refused_before_there_is_a_websocket(calm: Calm, wrong: str) -> None:
    make, status = WRONG_TOKENS[wrong]
    with pytest.raises(RefusedConnectionError) as refused:
        async with Line(str(calm.room.http.base_url), make(calm.room.room)):
            pass
    assert refused.value.status == status
    await gone(calm)


async def test_a_token_of_another_room_opens_nothing_of_this_one(calm: Calm) -> None:
    with pytest.raises(RefusedConnectionError) as refused:
        async with Line(str(calm.room.http.base_url), await calm.other.token("eve"), room=calm.room.room):
            pass
    assert refused.value.status == 403
    await gone(calm)


async def test_nobody_goes_on_as_somebody_else(calm: Calm) -> None:
    for room in (calm.room, calm.other):
        base_url, token = str(room.http.base_url), await room.token("eve")
        async with Line(base_url, token, reconnect=1, sid=calm.anna.sid) as line:
            assert await line.code() == 1000
            assert line.kinds() == ["leave"]
            assert line.told[0].leave.reason == DisconnectReason.STATE_MISMATCH
    await gone(calm)


# --- frames that mean nothing ---


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ("text", 1003),
        (b"\xff\xff\xff\xff", 1007),
        (SignalRequest(offer=SessionDescription(sdp="v=0")).SerializeToString()[:-1], 1007),
        (bytes(MAX_FRAME_BYTES + 1), 1009),
    ],
    ids=["text", "no protobuf", "half a message", "too long"],
)
async def test_a_frame_that_is_no_request_ends_the_line_with_its_code(
    calm: Calm, frame: str | bytes, code: int
) -> None:
    async with eve_in(calm.room) as eve:
        await eve.websocket.send(frame)
        assert await eve.code() == code
    await gone(calm)


async def test_what_means_nothing_here_is_passed_over(calm: Calm) -> None:
    nothing = [
        b"",
        bytes([0xC2, 0x3E, 3, 1, 2, 3]),  # field 1000, which no version has
        SignalRequest(simulate=SimulateScenario(server_leave=True)).SerializeToString(),
        SignalRequest(simulate=SimulateScenario(node_failure=True)).SerializeToString(),
        SignalRequest(leave=None, ping=1).SerializeToString(),
        SignalRequest(trickle=TrickleRequest(candidateInit="no JSON", final=True)).SerializeToString(),
        SignalRequest(add_track=AddTrackRequest()).SerializeToString(),
        SignalRequest(mute=MuteTrackRequest()).SerializeToString(),
        SignalRequest(subscription=UpdateSubscription(track_sids=["TR_none"] * 1_000)).SerializeToString(),
        SignalRequest(track_setting=UpdateTrackSettings(track_sids=["TR_none"], width=2**32 - 1)).SerializeToString(),
    ]
    async with eve_in(calm.room) as eve:
        for frame in nothing:
            await eve.websocket.send(frame)
            await answered(eve)
        assert "leave" not in eve.kinds()


async def test_answers_to_nothing_that_was_offered_are_passed_over(calm: Calm) -> None:
    async with eve_in(calm.room) as eve:
        offer = (await eve.hears("offer")).offer
        for number in (offer.id - 1, offer.id + 1, 2**32 - 1):
            await eve.ask(answer=SessionDescription(type="answer", sdp=offer.sdp, id=number))
            await answered(eve)
        assert "leave" not in eve.kinds()
    async with eve_in(calm.room, can_subscribe=False) as deaf:
        await deaf.ask(answer=SessionDescription(type="answer", sdp=offer.sdp, id=1))
        await answered(deaf)
        assert not {"leave", "offer"} & set(deaf.kinds())


# --- what is somebody else's ---


def about(calm: Calm) -> list[SignalRequest]:
    """Returns every request that names a track or a participant, about what is anna's."""
    tracks, anna, bela = calm.tracks, calm.anna.sid, calm.bela.sid
    by_anna = UpdateSubscription(subscribe=True)
    by_anna.participant_tracks.add(participant_sid=anna, track_sids=tracks)
    only_eve = SubscriptionPermission(all_participants=False)
    only_eve.track_permissions.add(participant_identity="eve", all_tracks=True, track_sids=tracks)
    return [
        *(SignalRequest(mute=MuteTrackRequest(sid=sid, muted=True)) for sid in tracks),
        SignalRequest(subscription=UpdateSubscription(track_sids=tracks, subscribe=True)),
        SignalRequest(subscription=by_anna),
        SignalRequest(subscription=UpdateSubscription(track_sids=tracks, subscribe=False)),
        SignalRequest(subscription=UpdateSubscription(track_sids=tracks, subscribe=True)),
        SignalRequest(track_setting=UpdateTrackSettings(track_sids=tracks, disabled=True)),
        SignalRequest(track_setting=UpdateTrackSettings(track_sids=tracks, width=1, height=1)),
        SignalRequest(subscription_permission=only_eve),
        SignalRequest(update_layers=UpdateVideoLayers(track_sid=tracks[0])),
        *(SignalRequest(update_audio_track=UpdateLocalAudioTrack(track_sid=sid)) for sid in tracks),
        *(SignalRequest(update_video_track=UpdateLocalVideoTrack(track_sid=sid)) for sid in tracks),
        *(SignalRequest(add_track=AddTrackRequest(cid="x", sid=sid)) for sid in tracks),
        *(SignalRequest(mute=MuteTrackRequest(sid=sid, muted=True)) for sid in (anna, bela)),
    ]


@pytest.mark.parametrize("where", ["the same room", "another room"])
async def test_what_is_somebody_elses_nobody_changes_or_gets(calm: Calm, where: str) -> None:
    room, rights = (calm.room, {"can_subscribe": False}) if where == "the same room" else (calm.other, {})
    async with EDGE.join(room, "eve", can_publish=False, **rights) as eve:
        for request in about(calm):
            await eve.line.websocket.send(request.SerializeToString())
            await answered(eve.line)
        await sees(calm.bela, CAMERA)
        await nothing_comes(eve.relay)
        assert "leave" not in eve.line.kinds()
        assert not any(track.muted for track in known(calm.bela, "anna").tracks)


def known(attendee: LiveKitAttendee, identity: str) -> ParticipantInfo:
    (found,) = (each for each in attendee.people.values() if each.identity == identity)
    return found


async def test_what_a_publisher_lets_nobody_else_have_nobody_else_gets(calm: Calm) -> None:
    only_bela = SubscriptionPermission(all_participants=False)
    only_bela.track_permissions.add(participant_identity="bela", all_tracks=True)
    await calm.anna.line.ask(subscription_permission=only_bela)
    await answered(calm.anna.line)
    async with EDGE.join(calm.room, "eve") as eve:
        for request in about(calm):
            await eve.line.websocket.send(request.SerializeToString())
            await answered(eve.line)
        await nothing_comes(eve.relay)


async def test_who_claims_to_send_what_somebody_else_sends_has_to_join_anew(calm: Calm) -> None:
    async with eve_in(calm.room) as eve:
        claimed = TrackPublishedResponse(cid="x")
        claimed.track.sid = calm.tracks[0]
        await eve.ask(sync_state=SyncState(publish_tracks=[claimed]))
        assert await out_of_step(eve)
    await gone(calm)


async def out_of_step(eve: Line) -> bool:
    """Waits until eve has been told to join anew, and is gone."""
    assert await eve.code() == 1000
    leave = eve.told[-1].leave
    return (leave.action, leave.reason) == (LeaveRequest.Action.RECONNECT, DisconnectReason.STATE_MISMATCH)


# --- descriptions ---


@pytest.mark.parametrize(
    "description",
    ["", "v=0", "nonsense", sections(200), "v=0\r\n" * 20_000, sections(1).replace("sha-256", "sha-1")],
    ids=["nothing", "cut short", "nonsense", "200 sections", "long", "a weak hash"],
)
async def test_who_offers_what_cannot_be_answered_has_to_join_anew(calm: Calm, description: str) -> None:
    async with eve_in(calm.room) as eve:
        await eve.ask(offer=SessionDescription(type="offer", sdp=description, id=1))
        assert await out_of_step(eve)
    await gone(calm)


@pytest.mark.parametrize("description", ["", "nonsense", sections(200)], ids=["nothing", "nonsense", "200 sections"])
async def test_who_answers_with_what_is_no_answer_has_to_join_anew(calm: Calm, description: str) -> None:
    async with eve_in(calm.room) as eve:
        offer = (await eve.hears("offer")).offer
        await eve.ask(answer=SessionDescription(type="answer", sdp=description, id=offer.id))
        assert await out_of_step(eve)
    await gone(calm)


async def test_what_was_not_announced_reaches_nobody(calm: Calm) -> None:
    async with EDGE.join(calm.room, "eve") as eve:
        eve.sending.send(Camera(7), Tone(700))
        await eve.offer()
        since_ns = time.time_ns()
        await sees(calm.bela, CAMERA, more=30)
        sent = [each for each in eve.relay.from_clients if each.is_rtp and each.at_ns > since_ns]
        assert len(sent) > 30, "it was sent all the while"
        assert (await calm.anna.roster())["eve"] == NOTHING


# --- too much ---


@pytest.mark.long
async def test_ten_thousand_candidates_keep_nobody_else_waiting(calm: Calm) -> None:
    async with EDGE.join(calm.room, "eve") as eve:
        trickle = SignalRequest(
            trickle=TrickleRequest(candidateInit='{"candidate": "candidate:1 1 udp 1 ::1 9 typ host"}')
        )
        frame = trickle.SerializeToString()
        for _ in range(TRICKLES):
            await eve.line.websocket.send(frame)
        last = asyncio.ensure_future(asked_last(eve.line))
        while not last.done():
            await calm.goes_on()
        await last
        assert "leave" not in eve.line.kinds()


async def asked_last(line: Line) -> None:
    at = time.monotonic_ns()
    await line.ask(ping_req=Ping(timestamp=at))
    async with asyncio.timeout(5 * TRICKLES / REQUESTS_PER_S):
        while not any(told.pong_resp.last_ping_timestamp == at for told in line.told):  # noqa: ASYNC110 - as `until`
            await asyncio.sleep(0.1)


async def test_five_thousand_half_open_websockets_end_and_leave_no_memory_behind(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        host = server.base_url, server.admin_bearer
        async with meeting(*host) as room, meeting(*host) as other, calm_in(room, other) as calm:
            sizes: list[int] = []
            for _ in range(2):
                with half_open(int(server.base_url.rpartition(":")[2]), HALF_OPEN) as opened:
                    ended = asyncio.ensure_future(asyncio.to_thread(lambda: [each.recv(1) for each in opened]))
                    calm.bela.line.cut()
                    await calm.bela.resume_line()
                    assert not ended.done(), "they are all open still"
                    while not ended.done():
                        await calm.goes_on()
                    assert await ended == [b""] * HALF_OPEN
                sizes.append(resident_kb(server.process.pid))
            assert sizes[1] - sizes[0] <= MAX_GROWTH_KB, sizes
            async with EDGE.join(room, "dora") as dora:
                await finds(dora, {"anna": BOTH, "bela": NOTHING, "dora": NOTHING})


def resident_kb(process: int) -> int:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))
