"""What browsers and the engine agree on, read off the wire: DTLS 1.2, and 1.3 where the configuration says so."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from browser_lab import Engine, served
from hello import DTLS_1_2, DTLS_1_3, MLKEM_SHARE_BYTES, X25519, X25519MLKEM768, client_hello, server_hello
from relay import Passed, Relay

import pysfu

if TYPE_CHECKING:
    from conftest import OpenTab

    from pysfu.messages import DtlsVersion

pytestmark = pytest.mark.asyncio(loop_scope="session")

CHOSEN: dict[DtlsVersion, int] = {"1.2": DTLS_1_2, "1.3": DTLS_1_3}
CIPHERS = {
    DTLS_1_2: {"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"},
    DTLS_1_3: {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"},
}


@asynccontextmanager
async def speaking(version: DtlsVersion) -> AsyncIterator[tuple[Engine, Relay]]:
    """Runs an engine that speaks no later version, behind a relay."""
    async with pysfu.Sfu(pysfu.Config(max_dtls_version=version)) as sfu, await sfu.create_room() as room:
        with Relay() as relay:
            engine = Engine(room, relay)
            async with served(engine.app()) as engine.root:
                yield engine, relay


def dtls(passed: Sequence[Passed]) -> Iterator[bytes]:
    return (each.data for each in passed if each.is_dtls)


@pytest.mark.parametrize("browser", ["chromium", "firefox"])
@pytest.mark.parametrize("version", CHOSEN)
async def test_the_highest_version_that_is_spoken_secures_both_ways_of_a_call_with_a_browser(
    open_tab: OpenTab, version: DtlsVersion, browser: str
) -> None:
    async with speaking(version) as (engine, relay):
        tab = await open_tab(browser)
        await tab.publish(engine.whip("alice"), "")
        await tab.play(engine.whep("bob", "alice"), "", name="alice")
        await tab.until_decoding("alice", frames=20)
        offered, chosen = client_hello(dtls(relay.from_clients)), server_hello(dtls(relay.to_clients))
        secured = [(await tab.figures(name))["secured"] for name in ("out", "alice")]
        await tab.call("drop")  # before the engine ends
    # Its keys for after quantum computers make a browser's hello too long for one datagram, whatever comes of them.
    assert {DTLS_1_2, DTLS_1_3} <= set(offered.versions)
    assert offered.shares[X25519MLKEM768] == MLKEM_SHARE_BYTES
    assert offered.datagrams > 1
    assert chosen.versions == [CHOSEN[version]]
    assert chosen.shares == ({X25519: 32} if version == "1.3" else {})
    for one_way in secured:
        assert one_way["version"] == f"{CHOSEN[version]:04X}"
        assert one_way["cipher"] in CIPHERS[CHOSEN[version]]
        assert one_way["srtp"] == "SRTP_AEAD_AES_256_GCM" or version == "1.3", "the engine chooses, in DTLS 1.2"
