"""The form of Twirp's calls."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from livekit.protocol import models
from livekit.protocol import room as service

from signalling.rtc.twirp import STATUS, Code, Form, TwirpError, form_of, read, write

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "names", "max_participants", "egress"]) | st.text(max_size=3), inner)
    ),
    max_leaves=8,
)
names = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(name=names, most=st.integers(0, 2**32 - 1), form=st.sampled_from(Form))
def test_what_was_written_is_read_in_either_form(name: str, most: int, form: Form) -> None:
    message = service.CreateRoomRequest(name=name, max_participants=most)
    assert read(write(message, form), form, service.CreateRoomRequest) == message


def test_json_is_read_in_either_spelling_and_large_numbers_as_text_or_number() -> None:
    for text in ('{"max_participants": 3}', '{"maxParticipants": 3}', '{"maxParticipants": "3"}'):
        assert read(text.encode(), Form.JSON, service.CreateRoomRequest).max_participants == 3


def test_json_is_written_as_twirps_own_servers_do() -> None:
    text = json.loads(write(models.Room(name="ward-7", creation_time=2**40), Form.JSON))
    assert (text["name"], text["creation_time"], text["num_participants"]) == ("ward-7", str(2**40), 0)
    assert json.loads(write(service.ListRoomsResponse(), Form.JSON)) == {"rooms": []}


def test_what_a_newer_sdk_adds_is_passed_over() -> None:
    assert read(b'{"name": "a", "colour": {"of": "walls"}}', Form.JSON, service.CreateRoomRequest).name == "a"
    newer = service.CreateRoomRequest(name="a").SerializeToString() + b"\xfa\x3f\x01x"  # field 127
    assert read(newer, Form.PROTOBUF, service.CreateRoomRequest).name == "a"


@pytest.mark.parametrize(
    ("body", "form"),
    [
        (b"", Form.JSON),
        (b"[]", Form.JSON),
        (b"null", Form.JSON),
        (b'"name"', Form.JSON),
        (b'{"name": 7}', Form.JSON),
        (b'{"name": "\\ud800"}', Form.JSON),
        (b'{"max_participants": -1}', Form.JSON),
        (b'{"name": "secret', Form.JSON),
        (b"\xff\xfe", Form.JSON),
        (b'{"egress":' * 20_000, Form.JSON),
        (b"[" * 100_000, Form.JSON),
        (b"\x0a", Form.PROTOBUF),
        (b"\x0a\x05ab", Form.PROTOBUF),
        (b"\x0a\x02\xff\xff", Form.PROTOBUF),
        (b"\xff" * 40, Form.PROTOBUF),
    ],
)
def test_what_is_no_message_is_refused_without_being_quoted(body: bytes, form: Form) -> None:
    with pytest.raises(TwirpError, match=f"^the body is no livekit.CreateRoomRequest as {form.value}$") as refused:
        read(body, form, service.CreateRoomRequest)
    assert refused.value.code is Code.MALFORMED


@given(JSON.map(json.dumps).map(str.encode) | st.binary(), st.sampled_from(Form))
def test_whatever_is_sent_is_read_or_refused(body: bytes, form: Form) -> None:
    with contextlib.suppress(TwirpError):
        assert isinstance(read(body, form, service.CreateRoomRequest), service.CreateRoomRequest)


@pytest.mark.parametrize(
    ("content_type", "form"),
    [
        ("application/protobuf", Form.PROTOBUF),
        ("application/json", Form.JSON),
        ("Application/JSON; charset=utf-8", Form.JSON),
    ],
)
def test_the_content_type_names_the_form(content_type: str, form: Form) -> None:
    assert form_of(content_type) is form


@pytest.mark.parametrize("content_type", [None, "", "text/plain", "application/x-protobuf", "application/json2"])
def test_another_content_type_leads_nowhere(content_type: str | None) -> None:
    with pytest.raises(TwirpError, match="application/protobuf or application/json") as refused:
        form_of(content_type)
    assert refused.value.code is Code.BAD_ROUTE


def test_every_code_has_a_status() -> None:
    assert set(STATUS) == set(Code)
