"""A participant's side of WHIP (RFC 9725) and WHEP, used by the programs that run in the namespaces."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import sys
from dataclasses import dataclass

import httpx

FRAGMENT = "application/trickle-ice-sdpfrag"
PATIENCE_S = 30.0  # A join over a link with 20 % loss; only catches hangs.


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a participant program is told to do; it comes as JSON in its first argument.

    When it is ready it says so, and the first line of its input is the path to join at.
    """

    server: str
    certificate: str
    token: str
    publishes: bool
    video_file: str = ""
    simulcast: bool = False
    width: int = 640
    height: int = 360
    frame_rate: int = 15
    max_kbps: int = 0

    def http(self) -> httpx.AsyncClient:
        """Opens HTTP to the server of these tests, and trusts no other. Anew each time: networks change."""
        return httpx.AsyncClient(
            base_url=self.server,
            headers={"Authorization": f"Bearer {self.token}"},
            verify=ssl.create_default_context(cafile=self.certificate),
            timeout=PATIENCE_S,
        )


def tell(**what: object) -> None:
    """Writes a line for the test."""
    print(json.dumps(what), flush=True)


async def told() -> asyncio.StreamReader:
    """Returns the lines from the test."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


@dataclass(frozen=True, slots=True)
class Opened:
    """What came back: the answer, where it can be patched, and where others can play what is published."""

    answer: str
    resource: str
    source: str


async def post(order: Order, path: str, offer: str) -> Opened:
    """Sends an offer."""
    async with order.http() as http:
        answer = await http.post(path, content=offer, headers={"Content-Type": "application/sdp"})
    answer.raise_for_status()
    source = re.search(r"<([^>]+)>", answer.headers.get("link", ""))
    return Opened(answer.text, answer.headers["location"], source[1] if source else "")


async def restart(order: Order, resource: str, offer: str) -> str:
    """Restarts ICE with the credentials of `offer`; returns the server's fragment."""
    lines = [line for line in offer.splitlines() if line.startswith(("a=ice-ufrag:", "a=ice-pwd:"))]
    headers = {"Content-Type": FRAGMENT, "If-Match": "*"}
    async with order.http() as http:
        answer = await http.patch(resource, content="\r\n".join(lines[:2]) + "\r\n", headers=headers)
    answer.raise_for_status()
    return answer.text


def restarted_answer(answer: str, fragment: str) -> str:
    """Returns the first answer as the server would give it anew after a restart."""
    told = dict(line[2:].split(":", 1) for line in fragment.splitlines() if line.startswith("a=ice-"))
    lines = []
    for line in answer.splitlines():
        name = line[2:].partition(":")[0]
        lines.append(f"a={name}:{told[name]}" if name in told else line)
    return "\r\n".join(lines) + "\r\n"
