"""Whom livekit-client does not let in, and what it says then; and how it finds the protocol that is spoken here."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from meeting_lab import GOODBYE, TOKENS, UNSPOKEN, open_guests, token

from signalling.tokens import Tokens

if TYPE_CHECKING:
    from browser_lab import Browsers, Place
    from meeting_lab import Guest, Hall, OpenGuest

pytestmark = pytest.mark.asyncio(loop_scope="session")

BROWSERS = ["chromium", "firefox"]
NOT_ALLOWED = {"name": "ConnectionError", "reason": "NotAllowed", "status": 401}
EXPECTED = (UNSPOKEN, GOODBYE, "/rtc", "WebSocket", "401", "404")  # a browser complains of every answer that refuses
STRANGERS = Tokens({"tests": "s" * 32}, max_life=timedelta(hours=6))
UNKNOWN_KEY = Tokens({"strangers": "k" * 32}, max_life=timedelta(hours=6))


async def refusal(browsers: Browsers, page: str, browser: str, hall: Hall, token: str) -> dict[str, Any] | None:
    async with open_guests(browsers, page, expected=EXPECTED) as opened:
        return await (await opened(browser, "p_stranger")).refusal(hall.url, token)


@pytest.mark.parametrize("browser", BROWSERS)
async def test_the_library_finds_the_protocol_that_is_spoken_here_at_its_second_try(
    open_guest: OpenGuest, hall: Hall, meeting: Place, browser: str
) -> None:
    guest = await open_guest(browser, "p_guest")
    await guest.join(hall, meeting)
    assert await guest.call("asked") == [
        "socket /rtc/v1",
        "fetch /rtc/v1/validate",
        "socket /rtc",
    ]


@pytest.mark.parametrize("browser", BROWSERS)
@pytest.mark.parametrize(
    ("tokens", "age"),
    [
        pytest.param(TOKENS, timedelta(minutes=12), id="expired"),
        pytest.param(STRANGERS, timedelta(0), id="signed with another secret"),
        pytest.param(UNKNOWN_KEY, timedelta(0), id="of an unknown key"),
    ],
)
async def test_a_token_that_is_not_valid_lets_nobody_in(
    browsers: Browsers, lab_page: str, hall: Hall, meeting: Place, browser: str, tokens: Tokens, age: timedelta
) -> None:
    stale = token(meeting.room, "p_stranger", tokens=tokens, now=datetime.now(UTC) - age)
    assert await refusal(browsers, lab_page, browser, hall, stale) == NOT_ALLOWED
    assert await meeting.roster() == []


@pytest.mark.parametrize("browser", BROWSERS)
async def test_nobody_comes_into_a_room_that_is_not_there(
    browsers: Browsers, lab_page: str, hall: Hall, browser: str
) -> None:
    refused = await refusal(browsers, lab_page, browser, hall, token("r_nowhere", "p_stranger"))
    assert refused is not None
    assert (refused["name"], refused["status"]) == ("ConnectionError", 404)


@pytest.mark.parametrize("browser", BROWSERS)
async def test_who_may_not_publish_is_told_so_and_watches(
    open_guest: OpenGuest, hall: Hall, meeting: Place, browser: str
) -> None:
    sends, watches = await open_guest(browser, "p_sends"), await open_guest(browser, "p_watches")
    await sends.join(hall, meeting)
    await sends.call("publish", "camera")
    assert await watches.refusal(hall.url, token(meeting.room, "p_watches", can_publish=False)) is None
    await watches.until_sees("p_sends/camera")
    assert "permission" in await publish_error(watches)
    assert [seat["participant"] for seat in await meeting.roster() if seat["publishes"]] == ["p_sends"]


async def publish_error(guest: Guest) -> str:
    error = await guest.page.evaluate("meeting.publish('camera').then(() => '', (error) => error.message)")
    return str(error)
