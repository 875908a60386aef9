"""The demo: its page, its link, and what it forgets."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
from conftest import Bench, settings
from offers import offer

from signalling import demo as demo_module
from signalling.demo import MAX_NAMES, PAGE_PREFIX, Demo, Joining, routes
from signalling.http.app import build

WEB = Path(demo_module.__file__).parent / "web" / "demo"


@pytest.fixture
def demo() -> Demo:
    return Demo()


@pytest.fixture
def trial(demo: Demo) -> Bench:
    bench = Bench(settings())
    bench.app = build(bench.parts, more=(routes(demo),), page_prefix=PAGE_PREFIX)
    return bench


async def test_two_people_with_the_link_meet_and_see_who_is_there(trial: Bench, demo: Demo) -> None:
    async with trial.http() as http:
        joined = [(await http.post("/demo/join", json={"key": demo.key, "called": c})).json() for c in ("Åsa", "Bo")]
        assert joined[0]["room"] == joined[1]["room"]
        bearers = [{"Authorization": f"Bearer {place['token']}", "Content-Type": "application/sdp"} for place in joined]
        for place, bearer in zip(joined, bearers, strict=True):
            assert (await http.post(f"/whip/{place['room']}", content=offer(), headers=bearer)).status_code == 201
        people = (await http.get("/demo/people", headers=bearers[1])).json()
        assert {person["called"] for person in people} == {"Åsa", "Bo"}
        other = next(person for person in people if person["called"] == "Åsa")
        path = f"/whep/{joined[1]['room']}/{other['publications'][0]}"
        assert (await http.post(path, content=offer("recvonly"), headers=bearers[1])).status_code == 201
        people = (await http.get("/demo/people", headers=bearers[0])).json()
        assert next(person for person in people if person["called"] == "Bo")["receives_from"] == [other["participant"]]


async def test_people_who_come_at_the_same_time_come_into_the_same_room(trial: Bench, demo: Demo) -> None:
    trial.engine.creating = made = asyncio.Event()
    joining = [asyncio.ensure_future(demo.join(trial.parts, Joining(key=demo.key, called=c))) for c in ("Åsa", "Bo")]
    await trial.settle()
    made.set()
    assert len({(await joined).room for joined in joining}) == 1
    assert len(trial.parts.rooms.all()) == 1


async def test_nobody_comes_in_without_the_whole_link(trial: Bench) -> None:
    async with trial.http() as http:
        refused = await http.post("/demo/join", json={"key": "", "called": "Eve"})
    assert (refused.status_code, refused.json()["code"]) == (403, "demo_key_wrong")
    assert trial.engine.rooms == []


async def test_what_people_are_called_is_forgotten_when_they_leave(trial: Bench, demo: Demo) -> None:
    async with trial.http() as http:
        place = (await http.post("/demo/join", json={"key": demo.key, "called": "Åsa"})).json()
        await http.post("/demo/leave", headers={"Authorization": f"Bearer {place['token']}"})
    assert demo.names == {}


async def test_names_of_those_who_vanished_make_place_for_others(trial: Bench, demo: Demo) -> None:
    demo.names = {f"p_{n}": "gone" for n in range(MAX_NAMES)}
    async with trial.http() as http:
        await http.post("/demo/join", json={"key": demo.key, "called": "Åsa"})
    assert len(demo.names) == MAX_NAMES
    assert "Åsa" in demo.names.values()


async def test_without_the_demo_there_is_no_such_page(bench: Bench) -> None:
    async with bench.http() as http:
        assert (await http.get("/demo/")).status_code == 404
        assert (await http.post("/demo/join", json={})).status_code == 404


async def test_the_page_and_its_parts_are_served_under_a_strict_policy(trial: Bench) -> None:
    async with trial.http() as http:
        for name, kind in (
            ("", "text/html"),
            ("demo.js", "javascript"),
            ("texts.js", "javascript"),
            ("demo.css", "css"),
        ):
            page = await http.get(f"/demo/{name}")
            assert page.status_code == 200
            assert kind in page.headers["content-type"]
            policy = page.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
        for name in ("..%2f..%2fconfig.py", "nothing.js", "%2e%2e"):
            assert (await http.get(f"/demo/{name}")).status_code == 404


def test_the_page_needs_no_other_host_and_no_inline_code() -> None:
    for path in WEB.iterdir():
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"https?://|//[a-z]+\.[a-z]", text), path.name
        assert "innerHTML" not in text
    html = (WEB / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"\son\w+=|\sstyle=|<script(?![^>]*src=)|<style", html)


def test_every_word_of_the_page_exists_in_swedish_and_english() -> None:
    texts = (WEB / "texts.js").read_text(encoding="utf-8")
    swedish, english = texts.split("  en: {")
    keys = [
        set(re.findall(r"(?:^|[{ ,])(\w+):", re.sub(r'"[^"]*"|`[^`]*`', "", part))) - {"sv"}
        for part in (swedish, english)
    ]
    assert keys[0] == keys[1]
    html = (WEB / "index.html").read_text(encoding="utf-8")
    assert set(re.findall(r'data-(?:text|label)="(\w+)"', html)) <= keys[0]
