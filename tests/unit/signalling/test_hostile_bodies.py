"""What strangers may send: every fault has a clear name, and nothing of it comes back."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import pytest
from conftest import ADMIN, SDP, Bench
from offers import fragment, offer
from starlette.types import Message

from signalling.http.errors import PROBLEMS
from signalling.whip.fragment import FragmentFaultError, parse_fragment
from signalling.whip.sdp import Direction, OfferFaultError, check_offer

BAD_OFFERS = [
    (b"", "empty"),
    (b"\xff\xfe", "UTF-8"),
    (b"hello", "line 1 is not"),
    (b"o=- 1 1 IN IP4 0.0.0.0\r\n", "must be v=0"),
    (b"v=0\r\n", "no media section"),
    (b"v=0\r\nm=audio 9 X 0\r\n", "line 2 has no a=ice-ufrag"),
    (offer().replace("a=ice-pwd:", "a=x:").encode(), "has no a=ice-pwd"),
    (offer().replace("a=fingerprint:", "a=x:").encode(), "has no a=fingerprint"),
    (offer().replace("\r\n", "\x00\r\n", 3).encode(), "line 1 is not"),
    (b"v=0\r\n" + b"a=x\r\n" * 5_000, "more than 2000 lines"),
    (b"v=0\r\n" + b"m=audio 9 X 0\r\n" * 100, "more than 32 media sections"),
    (offer("recvonly").encode(), "must be sendonly"),
    (offer("inactive").encode(), "no audio or video section is sendonly"),
    (offer("inactive", more="a=sendonly").encode(), "line 16 has more than one direction"),
    (offer("inactive", more="a=sendonly ").encode(), "line 16 has more than one direction"),
    (offer(more="a=sendonly").encode(), "line 16 has more than one direction"),
    (offer("sendonly ").encode(), "line 6 the direction ends in a blank"),
    (offer().replace("t=0 0", "a=inactive\r\na=sendonly").encode(), "line 1 has more than one direction"),
    (offer().replace("t=0 0", "a=inactive  ").encode(), "line 1 the direction ends in a blank"),
]


@pytest.mark.parametrize(("body", "fault"), BAD_OFFERS, ids=[fault for _, fault in BAD_OFFERS])
async def test_a_faulty_offer_is_refused_by_name_before_the_engine_sees_it(
    bench: Bench, body: bytes, fault: str
) -> None:
    room = await bench.room()
    async with await bench.participant(room, "alice") as alice:
        refused = await alice.post(f"/whip/{room}", content=body, headers=SDP)
    assert refused.status_code == 400
    assert fault in refused.json()["detail"]
    assert bench.engine.peers() == []


async def test_an_offer_the_engine_cannot_answer_leaves_nobody_behind(bench: Bench) -> None:
    room = await bench.room()
    async with await bench.participant(room, "alice") as alice:
        refused = await alice.post(f"/whip/{room}", content=offer(more="a=unanswerable"), headers=SDP)
    assert (refused.status_code, refused.json()["code"]) == (422, "sdp_unusable")
    assert "no codec in common" in refused.json()["detail"]
    await bench.settle()
    assert bench.engine.peers() == []


def test_every_way_of_cutting_an_offer_short_is_a_fault_or_an_offer() -> None:
    whole = offer().encode()
    for end in range(len(whole)):
        with contextlib.suppress(OfferFaultError):  # and no other error
            assert check_offer(whole[:end], direction=Direction.SEND).text.startswith("v=0\r\n")


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b"", "line 1"),
        (b"\xc3\xa5", "ASCII"),
        (fragment(ufrag="a").encode(), "ice-ufrag"),
        (fragment(password="short").encode(), "ice-pwd"),
        (fragment(more=("a=ice-ufrag:other",)).encode(), "contradicts"),
        (fragment(more=("a=candidate:nonsense",)).encode(), "not an ICE candidate"),
        (fragment(more=("v=0",)).encode(), "neither"),
        (fragment(more=("a=x",) * 400).encode(), "more than 300 lines"),
    ],
)
def test_a_faulty_fragment_is_refused_by_name(body: bytes, fault: str) -> None:
    with pytest.raises(FragmentFaultError, match=fault):
        parse_fragment(body)


async def test_a_body_that_is_too_large_is_refused_announced_or_not(bench: Bench) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"x" * 1_024

    async with bench.http() as http:
        for content in (b"x" * 70_000, endless()):
            refused = await http.post("/whip/any", content=content, headers=SDP)
            assert (refused.status_code, refused.json()["code"]) == (413, "body_too_large")


async def test_half_a_body_is_not_acted_upon_when_the_caller_goes_away(bench: Bench) -> None:
    messages: list[Message] = [
        {"type": "http.request", "body": b'{"name": "ward-7"}', "more_body": True},
        {"type": "http.disconnect"},
    ]
    sent: list[Message] = []

    async def receive() -> Message:
        return messages.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"authorization", f"Bearer {ADMIN}".encode()), (b"content-type", b"application/json")]
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/rooms",
        "headers": headers,
        "scheme": "http",
        "query_string": b"",
    }
    await bench.app(scope, receive, send)
    assert sent == []
    assert bench.engine.rooms == []


@pytest.mark.parametrize("kind", ["", "text/plain", "application/json"])
async def test_an_offer_of_the_wrong_content_type_is_refused(bench: Bench, kind: str) -> None:
    room = await bench.room()
    async with await bench.participant(room, "alice") as alice:
        refused = await alice.post(f"/whip/{room}", content=offer(), headers={"Content-Type": kind})
    assert (refused.status_code, refused.json()["detail"]) == (415, "expected application/sdp")


@pytest.mark.parametrize(
    ("method", "path", "code"), [("GET", "/nowhere", "not_found"), ("PUT", "/rooms", "method_not_allowed")]
)
async def test_what_is_not_there_is_a_problem_too(bench: Bench, method: str, path: str, code: str) -> None:
    async with bench.http() as http:
        refused = await http.request(method, path)
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json() == {**refused.json(), "code": code, "type": f"/problems/{code}"}


async def test_every_problem_explains_itself(bench: Bench) -> None:
    async with bench.http() as http:
        for code, row in PROBLEMS.items():
            assert (await http.get(f"/problems/{code}")).json()["title"] == row.title


async def test_every_answer_carries_the_security_headers(bench: Bench) -> None:
    async with bench.http() as http:
        for path in ("/live", "/nowhere", "/rooms"):
            headers = (await http.get(path)).headers
            assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["cache-control"] == "no-store"
            assert headers["referrer-policy"] == "no-referrer"
