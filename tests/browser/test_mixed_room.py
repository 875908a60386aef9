"""One room with everybody in it: two browsers and a program through LiveKit's SDKs, others by WHIP and WHEP."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from attendee import Attendee
from callers import Caller, Meeting, until
from footage import Camera, Tone
from meeting_lab import ADMIN, token

if TYPE_CHECKING:
    from browser_lab import Place
    from conftest import OpenTab
    from meeting_lab import Hall, OpenGuest

pytestmark = pytest.mark.asyncio(loop_scope="session")

SOURCES = ("camera", "microphone")
HZ = 10.0


async def test_browsers_a_program_a_whip_camera_and_a_whep_viewer_meet(
    open_guest: OpenGuest, hall: Hall, meeting: Place
) -> None:
    room = Meeting(hall.http, meeting.room, {"Authorization": f"Bearer {ADMIN}"})
    krom, fox = await open_guest("chromium", "p_krom"), await open_guest("firefox", "p_fox")
    program = Attendee(hall.url, token(meeting.room, "p_program"))
    async with program, Caller() as device, Caller(lambda frame: frame.width) as viewer:
        for guest in (krom, fox):
            await guest.join(hall, meeting)
            await guest.call("publish", "camera", {"width": 320, "height": 180, "simulcast": False})
            await guest.call("publish", "microphone", {"frequency": 550})
        await program.film(1)
        await program.hum(440)
        await room.publish(device.send(Camera(2), Tone(660)), "p_device")

        for guest, other in ((krom, "p_fox"), (fox, "p_krom")):
            for identity, tracks in ((other, SOURCES), ("p_program", SOURCES), ("p_device", SOURCES)):
                for track in tracks:
                    await guest.until_gets(f"{identity}/{track}")
        assert {camera for camera, _ in await program.sees("p_device")} == {2}
        assert await program.hears("p_device") == pytest.approx(660, abs=HZ)
        assert await program.hears("p_krom") == pytest.approx(550, abs=HZ)
        await program.hears("p_fox")

        await room.play(viewer.take("video", "audio"), "p_krom", "p_viewer")
        assert set(await viewer.watched(10)) == {320}
        assert await viewer.heard() == pytest.approx(550, abs=HZ)

        await krom.call("say", "all of you", {"topic": "chat"})
        assert await fox.until_has(1, topic="chat") == [["p_krom", "chat", "reliable", "all of you"]]
        await until(lambda: program.messages == [("p_krom", "chat", True, b"all of you")], "a message")
        people = {"p_krom", "p_fox", "p_program", "p_device", "p_viewer"}
        assert {seat["participant"] for seat in await meeting.roster()} == people
        for guest in (krom, fox):
            assert set(await guest.call("others")) == people - {guest.identity}, "a viewer is no hidden listener"


@pytest.mark.parametrize("browser", ["chromium", "firefox"])
async def test_a_browsers_whip_camera_is_seen_by_livekit_client_and_its_whep_viewer_sees_a_participant_of_that(
    open_guest: OpenGuest, open_tab: OpenTab, hall: Hall, meeting: Place, browser: str
) -> None:
    guest, tab = await open_guest(browser, "p_guest"), await open_tab(browser)
    await guest.join(hall, meeting)
    await guest.call("publish", "camera", {"simulcast": False})
    await guest.call("publish", "microphone")
    await tab.publish(meeting.whip, token(meeting.room, "p_device"))
    for source in SOURCES:
        await guest.until_gets(f"p_device/{source}")
    await tab.play(meeting.whep("p_guest"), token(meeting.room, "p_viewer"), name="guest")
    await tab.until_decoding("guest")
    await guest.until_told("participantConnected", "p_device")
    await guest.until_told("participantConnected", "p_viewer")
