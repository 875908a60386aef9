"""Python and Rust mean the same by every message."""

from __future__ import annotations

import re
import socket
import types
import typing
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec
import pytest

from pysfu import Config, _remote, messages
from pysfu._compiled import _core, frame_kinds, is_revocation

SOURCE = Path(__file__).parents[3] / "sfu_core" / "src"

NAMED: dict[str, Any] = {
    "candidates": ["192.0.2.1:7882", "[2001:db8::1]:7882"],
    "mid": "0",
    "rid": "h",
    "value": bytes(32),
}


def samples(kind: Any, name: str = "", *, depth: int = 0) -> list[Any]:
    """Makes values of a type: for unions and words all of them, for optional ones also None."""
    if name == "extensions":
        return [list(range(10))]
    if name == "refusal":
        return ["unknown_room", {"full": "peers_per_room"}]
    if name == "reliability":
        return ["reliable", {"max_retransmits": 0}, {"max_lifetime_ms": 100}]
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is type(None):
        return [None]
    if name in NAMED and origin not in (types.UnionType, typing.Union):
        return [NAMED[name]]
    if origin is Literal:
        return list(arguments)
    if origin in (types.UnionType, typing.Union):
        return [value for argument in arguments for value in samples(argument, name, depth=depth)]
    if origin is list:
        return [[], samples(arguments[0], depth=depth)[:3]]
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return structs(kind, depth=depth + 1)
    return {int: [7], str: ["text"], bytes: [b"\x00\xff"], bool: [True, False], float: [0.5]}[kind]


def structs(kind: type[msgspec.Struct], *, depth: int = 0) -> list[Any]:
    """Makes values of a struct in which every field takes each of its sample values once."""
    hints = typing.get_type_hints(kind, vars(messages))
    fields = {field.name: samples(hints[field.name], field.name, depth=depth) for field in msgspec.structs.fields(kind)}
    count = max((len(values) for values in fields.values()), default=1)
    return [kind(**{name: values[at % len(values)] for name, values in fields.items()}) for at in range(count)]


def through_rust(kind: str, value: msgspec.Struct, expected: Any) -> Any:
    return msgspec.msgpack.decode(_core.round_trip(kind, msgspec.msgpack.encode(value)), type=expected)


@pytest.mark.parametrize("kind", typing.get_args(messages.Command), ids=lambda kind: kind.__name__)
def test_a_command_comes_back_from_rust_as_it_went(kind: type[msgspec.Struct]) -> None:
    for command in structs(kind):
        request = messages.Request(id=2**64 - 1, command=command)
        assert through_rust("request", request, messages.Request) == request


@pytest.mark.parametrize("kind", typing.get_args(messages.AnyReply), ids=lambda kind: kind.__name__)
def test_a_reply_comes_back_from_rust_as_it_went(kind: type[msgspec.Struct]) -> None:
    for reply in structs(kind):
        message = messages.Reply(id=1, reply=reply)
        assert through_rust("outgoing", message, messages.Outgoing) == message


@pytest.mark.parametrize("kind", typing.get_args(messages.AnyEvent), ids=lambda kind: kind.__name__)
def test_an_event_comes_back_from_rust_as_it_went(kind: type[msgspec.Struct]) -> None:
    for event in structs(kind):
        message = messages.Event(version=1, event=event)
        assert through_rust("outgoing", message, messages.Outgoing) == message


@pytest.mark.parametrize("kind", [messages.Refused, messages.WorkerFailed, messages.Warned])
def test_the_other_messages_come_back_from_rust_as_they_went(kind: type[msgspec.Struct]) -> None:
    for message in structs(kind):
        assert through_rust("outgoing", message, messages.Outgoing) == message


def crossed(payload: bytes, near: socket.socket, far: socket.socket) -> bytes:
    """Sends bytes behind their length, and returns what came."""
    near.sendall(len(payload).to_bytes(4, "big") + payload)
    length = int.from_bytes(far.recv(4, socket.MSG_WAITALL), "big")
    return far.recv(length, socket.MSG_WAITALL)


def test_commands_replies_and_events_mean_the_same_on_the_other_side_of_a_unix_socket() -> None:
    def every(union: Any) -> list[Any]:
        return [value for kind in typing.get_args(union) for value in structs(kind)]

    requests = [messages.Request(id=7, command=command) for command in every(messages.Command)]
    outgoing = [messages.Reply(id=7, reply=reply) for reply in every(messages.AnyReply)]
    outgoing += [messages.Event(version=7, event=event) for event in every(messages.AnyEvent)]
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with near, far:
        for name, kind, sent in (("request", messages.Request, requests), ("outgoing", messages.Outgoing, outgoing)):
            for message in sent:
                came = crossed(msgspec.msgpack.encode(message), near, far)
                assert msgspec.msgpack.decode(_core.round_trip(name, came), type=kind) == message


@pytest.mark.parametrize(("name", "kind"), [("answer_plan", messages.AnswerPlan), ("offer_plan", messages.OfferPlan)])
def test_a_plan_comes_back_from_rust_as_it_went(name: str, kind: type[msgspec.Struct]) -> None:
    for plan in structs(kind):
        assert through_rust(name, plan, kind) == plan


@pytest.mark.parametrize("kind", typing.get_args(messages.EchoOutcome), ids=lambda kind: kind.__name__)
def test_the_outcome_of_a_test_call_comes_back_from_rust_as_it_went(kind: type[msgspec.Struct]) -> None:
    for outcome in structs(kind):
        assert through_rust("echo_outcome", outcome, messages.EchoOutcome) == outcome


def test_a_configuration_comes_back_from_rust_as_it_went() -> None:
    config = Config(bind=("127.0.0.1", "::1"), announce=("192.0.2.1",), workers=3, pin=True)
    for version in get_args(messages.DtlsVersion):
        message = replace(config, max_dtls_version=version).to_message()
        assert through_rust("config", message, messages.DriverConfig) == message


@pytest.mark.parametrize(
    ("file", "enum", "union"),
    [
        ("engine/command.rs", "Command", messages.Command),
        ("engine/command.rs", "Reply", messages.AnyReply),
        ("engine/event.rs", "Event", messages.AnyEvent),
        ("driver/wire.rs", "Outgoing", messages.Outgoing),
        ("driver/echo_call.rs", "EchoOutcome", messages.EchoOutcome),
        ("driver/warning.rs", "Warning", messages.AnyWarning),
    ],
)
def test_python_knows_every_variant_of_rust(file: str, enum: str, union: Any) -> None:
    body = re.search(rf"pub enum {enum} {{\n(.*?)\n}}", (SOURCE / file).read_text(), re.DOTALL)
    assert body is not None
    variants = {messages.snake(name) for name in re.findall(r"^    (\w+)(?: \{|,)", body[1], re.MULTILINE)}
    assert variants == {kind.__struct_config__.tag for kind in typing.get_args(union)}


def test_what_takes_a_right_away_is_known_for_that() -> None:
    def takes_away(command: Any) -> bool:
        return is_revocation(msgspec.msgpack.encode(messages.Request(id=1, command=command)))

    commands = [command for kind in typing.get_args(messages.Command) for command in structs(kind)]
    assert {type(command) for command in commands if takes_away(command)} == {
        messages.Revoke,
        messages.RevokeData,
        messages.RemovePeer,
        messages.RemoveRoom,
        messages.Unpublish,
        messages.Unsubscribe,
        messages.Mute,
    }
    assert not takes_away(messages.Mute(track=1, muted=False))


def test_python_knows_every_kind_of_frame() -> None:
    kinds = frame_kinds()
    assert {kind: getattr(_remote, f"_{kind.upper()}", None) for kind in kinds} == kinds
