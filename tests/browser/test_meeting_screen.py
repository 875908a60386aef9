"""Somebody shares a tab of their browser with its sound, by the browser's own getDisplayMedia."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from browser_lab import CHROMIUM, until
from meeting_lab import open_guests
from playwright.async_api import async_playwright

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from browser_lab import Browsers, Place
    from meeting_lab import Hall, OpenGuest
    from playwright.async_api import Browser

pytestmark = pytest.mark.asyncio(loop_scope="session")

SHARED = "What is shared"
TAB = f"""<!doctype html><title>{SHARED}</title><body style="background: #f00"><p></p><script>
  setInterval(() => document.querySelector("p").textContent = performance.now(), 50);
</script>"""
TONE = """async () => {
  const context = new AudioContext();
  await context.resume();
  const oscillator = new OscillatorNode(context, { frequency: 440 });
  oscillator.connect(context.destination);
  oscillator.start();
}"""
PICTURE, SOUND = "p_shares/screen_share", "p_shares/screen_share_audio"


@pytest_asyncio.fixture(loop_scope="session")
async def sharing() -> AsyncIterator[Browser]:
    """A browser in which that tab is chosen when somebody is asked what to share, and which gives its sound away."""
    asks = [each for each in CHROMIUM if each != "--use-fake-ui-for-media-stream"]
    args = [*asks, f"--auto-select-tab-capture-source-by-title={SHARED}"]
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(
            executable_path="/usr/bin/chromium", args=args, ignore_default_args=["--mute-audio"]
        )
        tab = await browser.new_page()
        await tab.set_content(TAB)
        await tab.evaluate(TONE)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def open_guest(browsers: Browsers, sharing: Browser, lab_page: str) -> AsyncIterator[OpenGuest]:
    """Opens pages of participants, also in the browser that shares."""
    async with open_guests(browsers | {"sharing": sharing}, lab_page) as opened:
        yield opened


@pytest.mark.parametrize("browser", ["chromium", "firefox"])
async def test_a_tab_that_is_shared_is_seen_and_heard_until_it_is_shared_no_more(
    open_guest: OpenGuest, hall: Hall, meeting: Place, browser: str
) -> None:
    shares, watches = await open_guest("sharing", "p_shares"), await open_guest(browser, "p_watches")
    for guest in (shares, watches):
        await guest.join(hall, meeting)
    assert await shares.call("screen", True) == "browser"
    await watches.until_sees(PICTURE)
    await watches.until_hears(SOUND)

    async def is_red() -> bool:
        red, green, blue = await watches.call("colour", "p_shares", "screen_share")
        return bool(red > 200 and green < 60 and blue < 60)

    await until(is_red)
    await shares.call("screen", False)
    for track in (PICTURE, SOUND):
        await watches.until_without(track)
