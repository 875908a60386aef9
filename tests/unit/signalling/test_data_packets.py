"""What becomes of data packets on their way through the server."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from livekit.protocol.models import DataPacket, UserPacket

from signalling.rtc.data import (
    KEPT_FOR,
    MAX_KEPT_BYTES,
    PacketFaultError,
    Passing,
    Received,
    Recent,
    Sender,
    passing,
)

ALICE = Sender(sid="PA_alice", identity="alice")
LIES = {"participant_sid": "PA_bob", "participant_identity": "bob"}
NOW = timedelta(seconds=1_000)


def user(text: str, **fields: object) -> bytes:
    return DataPacket(user=UserPacket(payload=text.encode(), **fields)).SerializeToString()


def packet(number: int, *, size: int = 0, to: tuple[str, ...] = ()) -> Passing:
    sent = DataPacket(user=UserPacket(payload=bytes(size)), sequence=number, destination_identities=to)
    return passing(sent.SerializeToString(), ALICE)


def numbers(
    recent: Recent, *, now: timedelta = NOW, who: str = "bob", heard: dict[str, int] | None = None
) -> list[int]:
    missed = recent.missed(sid=f"PA_{who}", identity=who, heard=heard or {}, now=now)
    return [each.sequence for each in missed]


def test_whoever_a_packet_says_to_be_from_it_is_from_whoever_sent_it() -> None:
    told = DataPacket.FromString(passing(user("hello", **LIES), ALICE).payload)
    assert (told.participant_sid, told.participant_identity) == ("PA_alice", "alice")
    assert (told.user.participant_sid, told.user.participant_identity) == ("PA_alice", "alice")
    assert told.user.payload == b"hello"
    chat = DataPacket(**LIES)
    chat.chat_message.message = "hello"
    told = DataPacket.FromString(passing(chat.SerializeToString(), ALICE).payload)
    assert (told.participant_sid, told.participant_identity, told.chat_message.message) == (
        "PA_alice",
        "alice",
        "hello",
    )


@given(st.integers(1_000, 20_000), st.binary(max_size=100))
def test_what_this_program_does_not_know_of_a_packet_arrives(number: int, value: bytes) -> None:
    tag, unknown = number << 3 | 2, bytearray()
    while tag:
        unknown.append(tag & 0x7F | (0x80 if tag > 0x7F else 0))
        tag >>= 7
    unknown += bytes([len(value)]) + value
    assert bytes(unknown) in passing(user("hello") + unknown, ALICE).payload


@given(st.binary(max_size=200))
def test_whatever_the_bytes_are_they_are_passed_on_as_the_senders_or_refused(data: bytes) -> None:
    try:
        told = passing(data, ALICE)
    except PacketFaultError:
        return
    assert DataPacket.FromString(told.payload).participant_identity == "alice"


@pytest.mark.parametrize("kind", ["speaker", "metrics"])
def test_nobody_but_the_server_tells_who_speaks_and_measurements_go_to_nobody(kind: str) -> None:
    sent = DataPacket()
    getattr(sent, kind).SetInParent()
    with pytest.raises(PacketFaultError, match=kind):
        passing(sent.SerializeToString(), ALICE)


def test_a_packet_goes_to_those_it_names_in_any_of_the_ways_in_which_clients_do() -> None:
    to_all = passing(user("hello"), ALICE)
    assert to_all.is_for(sid="PA_bob", identity="bob")
    for told in (
        passing(DataPacket(user=UserPacket(), destination_identities=["bob"]).SerializeToString(), ALICE),
        passing(user("hello", destination_identities=["bob"]), ALICE),
        passing(user("hello", destination_sids=["PA_bob"]), ALICE),
    ):
        assert told.is_for(sid="PA_bob", identity="bob")
        assert not told.is_for(sid="PA_carol", identity="carol")


def test_what_a_client_sends_again_after_a_resumption_is_not_passed_on_twice() -> None:
    received = Received()
    assert [received.is_new(packet(number)) for number in (1, 2, 2, 1, 3, 0, 0)] == [
        True,
        True,
        False,
        False,
        True,
        True,
        True,
    ]
    assert received.last_sequence == 3


def test_whoever_comes_back_gets_what_is_for_them_and_they_have_not_got() -> None:
    recent = Recent()
    for number, to in ((1, ()), (2, ("carol",)), (3, ("bob",)), (4, ())):
        recent.keep(ALICE, packet(number, to=to), now=NOW)
    assert numbers(recent) == [1, 3, 4]
    assert numbers(recent, heard={"PA_alice": 3, "PA_other": 9}) == [4]
    assert numbers(recent, who="alice") == [], "nobody hears themself"


def test_packets_are_kept_for_two_seconds() -> None:
    recent = Recent()
    recent.keep(ALICE, packet(1), now=NOW)
    recent.keep(ALICE, packet(2), now=NOW + timedelta(milliseconds=1))
    assert numbers(recent, now=NOW + KEPT_FOR) == [1, 2]
    assert numbers(recent, now=NOW + KEPT_FOR + timedelta(milliseconds=1)) == [2]


@given(st.lists(st.integers(0, 60_000), max_size=20))
def test_no_more_bytes_are_kept_than_may_be_and_the_latest_are(sizes: list[int]) -> None:
    recent, sent = Recent(), [packet(number, size=size) for number, size in enumerate(sizes, start=1)]
    for each in sent:
        recent.keep(ALICE, each, now=NOW)
    kept = numbers(recent)
    held = [each for each in sent if each.sequence in kept]
    assert sum(len(each.payload) for each in held) <= MAX_KEPT_BYTES
    assert held == sent[len(sent) - len(held) :]
