"""What somebody can do in a meeting, whichever protocol they speak, and what they get to see and hear there."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from aiortc import MediaStreamTrack
from callers import HANG_S, Meeting, until
from relay import Relay

Roster = Mapping[str, frozenset[str]]
"""Who is in a meeting, by identity, and which kinds of media each of them sends."""

BOTH = frozenset({"audio", "video"})
NOTHING: frozenset[str] = frozenset()


class RefusedError(Exception):
    """The server does not allow it."""


class Attendee(Protocol):
    """Somebody who takes part.

    Attributes:
        identity: who.
        relay: through which all their media goes, also that of connections to come.
    """

    identity: str
    relay: Relay

    async def publish(self, *tracks: MediaStreamTrack) -> None:
        """Sends; returns once media can flow.

        Raises:
            RefusedError: they may not.
        """

    async def subscribe(self, source: str) -> None:
        """Receives all that somebody sends; returns once media can flow.

        Raises:
            RefusedError: they may not.
        """

    def pictures(self) -> list[tuple[int, int]]:
        """Returns what was seen so far, as `footage.read` reads it."""

    async def heard(self) -> float:
        """Returns the frequency of the sound that comes now, of one source."""

    async def roster(self) -> Roster:
        """Returns who is there, as the server tells them."""

    async def lose_network(self) -> None:
        """Loses every connection, without a word to the server."""

    async def resume(self) -> None:
        """Is back from another network, and goes on with what there was."""

    async def leave(self) -> None:
        """Says goodbye; returns once that is done."""


class MeetingEdge(Protocol):
    """A protocol by which people come into meetings, and what an administrating system does with them there."""

    name: str

    def join(self, room: Meeting, identity: str, **rights: bool) -> AbstractAsyncContextManager[Attendee]:
        """Comes in with a token of these rights, and is gone at the end of the block.

        Raises:
            RefusedError: they may not, as far as the protocol says so already here.
        """

    async def stop_receiving(self, room: Meeting, attendee: Attendee) -> None:
        """Takes away that they receive, as an administrating system does; nothing flows any more when this returns."""

    async def stop_sending(self, room: Meeting, attendee: Attendee) -> None:
        """Takes away that they send, likewise."""


async def sees(attendee: Attendee, camera: int, *, more: int = 10) -> None:
    """Waits until somebody has seen so many more pictures of a camera."""

    def seen() -> int:
        return sum(whose == camera for whose, _ in attendee.pictures())

    wanted = seen() + more
    await until(lambda: seen() >= wanted, f"{more} more pictures of camera {camera}")


async def finds(attendee: Attendee, roster: Roster) -> None:
    """Waits until somebody finds exactly these people in the meeting."""
    found: Roster = {}
    try:
        async with asyncio.timeout(HANG_S):
            while (found := await attendee.roster()) != roster:  # noqa: ASYNC110 - not every protocol tells of it
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"found {dict(found)} instead of {dict(roster)}") from None
