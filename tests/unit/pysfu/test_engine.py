"""The compiled engine itself, as far as it needs no media."""

from __future__ import annotations

import socket

import pytest

from pysfu import Config, Sfu, errors

pytestmark = pytest.mark.asyncio
CONFIG = Config(bind=("127.0.0.1",), workers=2)


async def test_rooms_are_made_and_ended() -> None:
    async with Sfu(CONFIG) as sfu:
        async with await sfu.create_room() as room:
            assert sfu.rooms == (room,)
        assert sfu.rooms == ()
        assert len((await sfu.stats()).workers) == 2


async def test_every_worker_tells_an_address_of_its_own() -> None:
    async with Sfu(CONFIG) as sfu:
        first, second = sfu.addresses
        assert first != second
        assert all(address.startswith("127.0.0.1:") for address in first + second)


async def test_announced_addresses_replace_the_real_ones() -> None:
    async with Sfu(Config(bind=("127.0.0.1",), announce=("192.0.2.7",))) as sfu:
        assert [address.split(":")[0] for address in sfu.addresses[0]] == ["192.0.2.7"]


async def test_a_port_in_use_is_told() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(errors.StartError, match=r"127\.0\.0\.1"):
            async with Sfu(Config(bind=("127.0.0.1",), port=taken.getsockname()[1])):
                pass


async def test_datagrams_of_strangers_are_counted_and_harmless() -> None:
    async with Sfu(Config(bind=("127.0.0.1",))) as sfu:
        host, port = sfu.addresses[0][0].split(":")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            for datagram in (b"", b"\x00", b"\x80" * 1_200, b"\x16" * 60_000):
                stranger.sendto(datagram, (host, int(port)))
        while (await sfu.stats()).workers[0].rim.datagrams_in < 3:
            pass
        assert (await sfu.stats()).workers[0].rim.failed == 0


async def test_tracks_have_the_name_of_their_publisher_in_descriptions() -> None:
    async with (
        Sfu(Config(bind=("127.0.0.1",))) as sfu,
        await sfu.create_room() as room,
        room.bot(publish_audio=True, publish_video=True) as first,
        room.bot(publish_audio=True) as second,
        await room.add_participant() as listener,
    ):
        offer = (await listener.offer(play=[*first.tracks, *second.tracks])).sdp
    sections = [section.splitlines() for section in offer.split("m=")[1:]]
    names = [{line.partition("cname:")[2] for line in section if "cname:" in line} for section in sections]
    one, other = first.participant.id, second.participant.id
    assert names == [{one}, {one}, {other}]
    streams = [[line.split()[0] for line in section if line.startswith("a=msid:")] for section in sections]
    assert streams == [[f"a=msid:{name}"] for name in (one, one, other)]
