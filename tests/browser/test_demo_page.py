"""People meet on the demo's page, in two browsers, with the keyboard alone, on narrow screens."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from browser_lab import Person, until
from playwright.async_api import ViewportSize

if TYPE_CHECKING:
    from browser_lab import Browsers
    from conftest import Join, Trial

pytestmark = pytest.mark.asyncio(loop_scope="session")

Open = Callable[..., Awaitable[Person]]

PHONE = ViewportSize(width=390, height=844)
DESKTOP = ViewportSize(width=1280, height=800)
NARROW = ViewportSize(width=320, height=640)


@asynccontextmanager
async def opened(browsers: Browsers) -> AsyncIterator[Open]:
    """Opens pages; whatever a browser complains of fails the test."""
    people: list[Person] = []
    async with AsyncExitStack() as stack:

        async def open_page(browser: str, link: str, **how: Any) -> Person:
            context = await browsers[browser].new_context(locale="en-GB", **how)
            stack.push_async_callback(context.close)
            person = Person(browser, await context.new_page())
            people.append(person)
            await person.page.goto(link)
            return person

        yield open_page
    assert [fault for person in people for fault in person.faults] == []


@pytest_asyncio.fixture(loop_scope="session")
async def people(browsers: Browsers, demo_link: str) -> AsyncIterator[Join]:
    """Opens the page of `make demo` in a browser."""
    async with opened(browsers) as open_page:
        yield lambda browser, viewport: open_page(browser, demo_link, viewport=viewport)


async def test_people_on_two_machines_meet_by_the_links_of_a_trial_whose_certificate_they_accept(
    browsers: Browsers, lan_trial: Trial
) -> None:
    shown = await asyncio.to_thread(ssl.get_server_certificate, host_and_port(lan_trial.links[0]))
    assert hashlib.sha256(ssl.PEM_cert_to_DER_cert(shown)).digest() == bytes.fromhex(
        lan_trial.fingerprint.replace(":", "")
    )
    async with opened(browsers) as open_page:
        # By each address of this machine, the first and the last, and none of them loopback.
        krom = await open_page("chromium", lan_trial.links[0], ignore_https_errors=True)
        fox = await open_page("firefox", lan_trial.links[-1], ignore_https_errors=True)
        await krom.come_in("Krom")
        await fox.come_in("Räv")
        await krom.until_seeing("Räv")
        await fox.until_seeing("Krom")
        await fox.press("Leave")
        await krom.until_status("Räv has left.")


def host_and_port(link: str) -> tuple[str, int]:
    url = urlsplit(link)
    assert url.hostname is not None
    assert url.port is not None
    return url.hostname, url.port


async def test_two_browsers_meet_and_part_with_the_keyboard_alone(people: Join) -> None:
    krom, fox = await people("chromium", PHONE), await people("firefox", DESKTOP)
    await krom.come_in("Krom")
    await fox.come_in("Räv")
    for person, other in ((krom, "Räv"), (fox, "Krom")):
        await person.until_seeing(other)
        assert await person.sees_whole_width()
        assert await person.page.get_by_role("list").last.inner_text() != ""
    assert {line.strip() for line in await krom.page.locator("#people li").all_inner_texts()} == {"Krom (you)", "Räv"}

    for button, opposite in (("Turn off microphone", "Turn on microphone"), ("Turn off camera", "Turn on camera")):
        await fox.press(button)
        await fox.page.get_by_role("button", name=opposite).wait_for()

    await fox.press("Leave")
    await fox.page.get_by_role("textbox", name="What shall we call you?").wait_for()
    await krom.until_status("Räv has left.")
    assert await krom.page.locator("#tiles li").count() == 1
    await krom.press("Leave")
    await krom.until_status("You have left the meeting.")


@pytest.mark.parametrize("browser", ["chromium", "firefox"])
async def test_whoever_reloads_the_page_comes_in_again_and_is_seen_again(people: Join, browser: str) -> None:
    other = {"chromium": "firefox", "firefox": "chromium"}[browser]
    reloading, staying = await people(browser, DESKTOP), await people(other, PHONE)
    await staying.come_in("Bo")
    await reloading.come_in("Åsa")
    await staying.until_seeing("Åsa")
    await reloading.page.reload()
    await staying.until_status("Åsa has left.")
    await reloading.come_in("Åsa")
    await staying.until_seeing("Åsa")
    await reloading.until_seeing("Bo")


@pytest.mark.parametrize("browser", ["chromium", "firefox"])
async def test_the_page_fits_a_screen_320_pixels_wide_and_says_what_its_parts_are(people: Join, browser: str) -> None:
    person = await people(browser, NARROW)
    assert await person.sees_whole_width()
    assert await person.barriers() == []
    await person.page.get_by_role("combobox", name="Language").select_option("sv")
    await person.page.get_by_role("heading", name="Välkommen").wait_for()
    await person.page.get_by_role("combobox", name="Språk").select_option("en")
    await person.come_in("Långtnamnsombrytersomdetskallochtarplats")
    await person.until_status("You are alone so far. Send the link to the one you want to meet.")
    assert await person.sees_whole_width()
    assert await person.barriers() == []
    for button in ("Turn off microphone", "Turn off camera", "Leave"):
        box = await person.page.get_by_role("button", name=button).bounding_box()
        assert box is not None
        assert min(box["width"], box["height"]) >= 44
    assert await person.page.evaluate("document.activeElement.textContent") == "In the meeting"
    await until(person.shows_itself)


async def test_without_a_camera_one_is_heard_and_told_so(people: Join) -> None:
    silent, hearing = await people("chromium", PHONE), await people("chromium", PHONE)
    await silent.page.evaluate(
        """() => {
          const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
          const missing = () => Promise.reject(new DOMException("", "NotFoundError"));
          navigator.mediaDevices.getUserMedia = (wish) => (wish.video ? missing() : ask(wish));
        }"""
    )
    await silent.come_in("Krom")
    lacking = "No camera was found. Others hear you but do not see you."
    await silent.until_status(f"You are alone so far. Send the link to the one you want to meet. {lacking}")
    await hearing.come_in("Bo")
    await silent.until_seeing("Bo")
    heard = hearing.page.get_by_label("Picture of Krom")
    await until(lambda: heard.evaluate("(v) => v.currentTime > 0.5 && v.videoWidth === 0"))


async def test_a_refused_camera_is_told_with_its_remedy(people: Join) -> None:
    person = await people("chromium", PHONE)
    await person.page.evaluate(
        "() => { navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('', 'NotAllowedError')); }"
    )
    await person.ask_in("Krom")
    await person.page.get_by_role("alert").get_by_text("Allow it in the address bar").wait_for()
    assert await person.page.get_by_role("button", name="Join").is_enabled()
