"""Rows about joining in a browser: from `connect` of livekit-client to the first picture of somebody who is there.

Browser and server share the server's namespace, so that everything is local.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import guests
import servers
from figures import p95
from measure import Sampled
from playwright.sync_api import Browser, Error, Page, Route, sync_playwright
from rig import Rig

TIMES = 40
PAUSE_S = 1.0
P50, P95 = "meetings/join-first-frame-p50", "meetings/join-first-frame-p95"
ROWS = (P50, P95)

PAGE = Path(__file__).with_suffix(".html")
LIBRARY = servers.ROOT / "tests" / "browser" / "vendor" / "livekit-client" / "dist" / "livekit-client.umd.js"
CHROMIUM = "/usr/bin/chromium"
SWITCHES = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    # The page comes from here and not from an address, so that it would have to ask before it calls a local one.
    "--disable-features=LocalNetworkAccessChecks",
)


def sample(rig: Rig) -> Sampled:
    """Joins again and again, each time as somebody else.

    Raises:
        RuntimeError: a browser complained, or no picture came.
    """
    with tempfile.TemporaryDirectory() as folder, servers.pysfu(rig, Path(folder)) as server:
        first, *others = guests.tokens(rig, server, 1 + TIMES)
        url = server.target["url"]
        try:
            with _browser(rig) as browser:
                sender, viewer = _tab(browser, url), _tab(browser, url)
                sender.evaluate("([url, token]) => publish(url, token)", [url, first])
                took = [_join(viewer, url, token) for token in others]
        except Error as error:
            raise RuntimeError(error.message) from error
    return Sampled({P50: (median(took), "ms"), P95: (p95(took), "ms")}, {"took_ms": took})


def _join(viewer: Page, url: str, token: str) -> float:
    # Who joins right after another one waits for the next keyframe that may be asked for.
    time.sleep(PAUSE_S)
    return float(viewer.evaluate("([url, token]) => firstFrame(url, token)", [url, token]))


@contextlib.contextmanager
def _browser(rig: Rig) -> Iterator[Browser]:
    """Runs Chromium in the server's namespace: a process has that of the thread that starts it."""
    with contextlib.ExitStack() as stack:
        with rig.within(rig.server):
            driver = stack.enter_context(sync_playwright())
            browser = driver.chromium.launch(executable_path=CHROMIUM, args=SWITCHES)
        stack.callback(browser.close)
        yield browser


def _tab(browser: Browser, url: str) -> Page:
    """Opens a window of its own on a page that has the server's origin."""
    page = browser.new_context().new_page()

    def answer(route: Route) -> None:
        route.fulfill(path=LIBRARY if route.request.url.endswith(LIBRARY.name) else PAGE)

    page.route(f"{url}/first_frame/*", answer)
    page.goto(f"{url}/first_frame/page")
    return page
