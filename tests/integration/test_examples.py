"""The examples do what they say, with aiortc at the other end."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import AsyncIterator

import httpx
import pytest
from callers import HANG_S, Caller, gaps
from fastapi import FastAPI
from footage import Camera, Tone

import pysfu
from pysfu.events import RosterChanged
from pysfu.examples import echo_bot, forwarding_server, mounted_app, tone_bot


@contextlib.asynccontextmanager
async def running(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """Runs an application in this process, as an ASGI server would."""
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://example", timeout=HANG_S) as http:
            yield http


async def post(http: httpx.AsyncClient, path: str, caller: Caller, person: str = "") -> None:
    """Offers, and takes the answer."""
    answer = await http.post(path, content=await caller.offer(), headers={"X-Person": person})
    assert answer.status_code == 200, answer.text
    await caller.accept(answer.text)


async def test_the_forwarding_server_forwards_sound_and_pictures() -> None:
    async with running(forwarding_server.app) as http, Caller() as publisher, Caller() as subscriber:
        await post(http, "/publish", publisher.send(Camera(1), Tone(440)))
        await publisher.connected()
        await post(http, "/play", subscriber.take("video", "audio"))
        pictures = await subscriber.watched(20)
        assert {camera for camera, _ in pictures} == {1}
        assert gaps([number for _, number in pictures]) == []
        assert abs(await subscriber.heard() - 440) <= 2


def test_the_forwarding_server_has_thirty_lines_of_code() -> None:
    lines = inspect.getsource(forwarding_server).splitlines()
    assert len([line for line in lines if line.strip() and not line.strip().startswith(('"""', "#"))]) <= 30


async def test_the_echo_bot_says_back_what_it_hears(sfu: pysfu.Sfu) -> None:
    room = await sfu.create_room()
    alice = await room.add_participant()
    async with Caller() as mouth, Caller() as ear:
        speaking = await alice.answer(await mouth.send(Tone(660)).offer())
        await mouth.accept(speaking.sdp)
        await mouth.connected()
        async with echo_bot.echo(room, speaking.tracks[0]) as bot:
            hearing = await alice.answer(await ear.take("audio").offer(), publish=False, play=bot.tracks)
            await alice.allow(bot.tracks[0])
            await ear.accept(hearing.sdp)
            assert abs(await ear.heard(2.0) - 660) <= 2


async def test_what_stops_the_echo_bot_is_raised_where_it_is_used(
    sfu: pysfu.Sfu, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = asyncio.Event()

    async def broken(*_: object) -> None:
        tried.set()
        raise ZeroDivisionError

    monkeypatch.setattr(pysfu.Bot, "send_audio", broken)
    async with await sfu.create_room() as room, await room.add_participant() as alice, Caller() as mouth:
        speaking = await alice.answer(await mouth.send(Tone(660)).offer())
        await mouth.accept(speaking.sdp)
        with pytest.raises(ZeroDivisionError):
            async with echo_bot.echo(room, speaking.tracks[0]), asyncio.timeout(HANG_S):
                await tried.wait()


async def test_the_tone_bot_tells_the_tone_and_is_on_the_roster(sfu: pysfu.Sfu) -> None:
    async with await sfu.create_room() as room, await room.add_participant() as alice, Caller() as mouth:
        speaking = await alice.answer(await mouth.send(Tone(523)).offer())
        await mouth.accept(speaking.sdp)
        await mouth.connected()
        heard = []
        with sfu.subscription() as events:
            async with contextlib.aclosing(tone_bot.tones(room, speaking.tracks[0])) as tones:
                async for tone in tones:
                    heard.append(tone)
                    if len(heard) == 2:
                        break
                bots = {each.id for each in room.participants} - {alice.id}
            async for event in events:
                if isinstance(event, RosterChanged) and bots <= set(event.listeners):
                    break
        assert heard == pytest.approx([523, 523], abs=2)


async def test_the_mounted_application_lets_in_only_the_invited() -> None:
    async with running(mounted_app.app) as http, Caller() as doctor, Caller() as patient, Caller() as stranger:
        await post(http, "/video/7/publish", doctor.send(Camera(5)), "doctor")
        await doctor.connected()
        await post(http, "/video/7/play", patient.take("video"), "patient")
        assert {camera for camera, _ in await patient.watched(10)} == {5}

        offer = await stranger.take("video").offer()
        for path, person in (("/video/7/play", "stranger"), ("/video/8/play", "doctor")):
            assert (await http.post(path, content=offer, headers={"X-Person": person})).status_code == 403
        refused = await http.post("/video/7/play", content="no offer", headers={"X-Person": "doctor"})
        assert refused.status_code == 400
