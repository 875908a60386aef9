"""What a client may ask for in the address of its WebSocket."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from livekit.protocol.models import ParticipantInfo

from signalling.rtc.asked import MAX_ATTRIBUTES_LENGTH, Asked, AskedFaultError, asked


def b64(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def test_whoever_asks_for_nothing_receives_everything_and_comes_in_anew() -> None:
    assert asked({}) == Asked(auto_subscribe=True, adaptive_stream=False, resumes=None)


def test_what_the_sdks_send_is_read_and_what_is_not_known_is_passed_over() -> None:
    query = {
        "access_token": "not read here",
        "auto_subscribe": "0",
        "adaptive_stream": "true",
        "sdk": "JS",
        "version": "2.23.0",
        "protocol": "17",
        "client_protocol": "2",
        "capabilities": "CAP_COMPRESSION_DEFLATE_RAW,CAP_OF_NEXT_YEAR,CAP_PACKET_TRAILER",
        "of_next_year": "1",
    }
    assert asked(query) == Asked(
        auto_subscribe=False,
        adaptive_stream=True,
        sdk="js",
        protocol=17,
        client_protocol=2,
        capabilities=(1, 2),
    )


@pytest.mark.parametrize(
    ("said", "wanted"),
    [("1", True), ("true", True), ("True", True), ("0", False), ("false", False), ("", None), ("yes!", None)],
)
def test_a_flag_is_set_unset_or_as_if_nobody_had_spoken_of_it(said: str, wanted: bool | None) -> None:
    read = asked({"auto_subscribe": said, "adaptive_stream": said})
    assert read.auto_subscribe is (True if wanted is None else wanted)
    assert read.adaptive_stream is (wanted is True)


@pytest.mark.parametrize(
    ("query", "sid"),
    [
        ({"reconnect": "1", "sid": "PA_1"}, "PA_1"),
        ({"reconnect": "true", "sid": "PA_1"}, "PA_1"),
        ({"reconnect": "1"}, ""),
        ({"reconnect": "1", "sid": "P" * 65}, ""),
        ({"reconnect": "0", "sid": "PA_1"}, None),
        ({"sid": "PA_1"}, None),
    ],
)
def test_whoever_is_back_says_so_with_or_without_its_sid(query: dict[str, str], sid: str | None) -> None:
    assert asked(query).resumes == sid


@pytest.mark.parametrize("number", ["-1", "1e3", "17.0", "99999", "", " 7", "٣", "7\n"])
def test_what_is_no_number_counts_as_the_oldest_protocol(number: str) -> None:
    assert asked({"protocol": number}).protocol == 0


@pytest.mark.parametrize("sdk", ["", "j s", "js\n", "j" * 33, "å"])
def test_what_is_no_word_names_no_sdk(sdk: str) -> None:
    assert asked({"sdk": sdk}).sdk == ""


@given(st.dictionaries(TEXTS, TEXTS, max_size=5), st.booleans(), st.booleans())
def test_attributes_are_read_in_either_alphabet_of_base64_padded_or_not(
    attributes: dict[str, str], standard: bool, padded: bool
) -> None:
    said = b64(attributes)
    if standard:
        said = said.replace("-", " ").replace("_", "/")  # a plus in an address is read as a blank
    assert asked({"attributes": said if padded else said.rstrip("=")}).attributes == attributes


@pytest.mark.parametrize(
    "said",
    [
        "%%%",
        "QQQQQ",
        "å",
        b64(["a list"]),
        b64({"a": 7}),
        b64({"a": {"b": "c"}}),
        base64.b64encode(b'{"a": "\\ud800"}').decode(),
        base64.b64encode(b"\xff\xfe\xfd").decode(),
        base64.b64encode(b"[" * 10_000).decode(),
        b64({"a": "b" * MAX_ATTRIBUTES_LENGTH}),
    ],
)
def test_attributes_that_cannot_be_told_to_others_are_a_fault_that_quotes_nothing(said: str) -> None:
    with pytest.raises(AskedFaultError) as refused:
        asked({"attributes": said})
    assert refused.value.fault.startswith("attributes: ")
    assert said not in refused.value.fault


@given(st.dictionaries(st.sampled_from(["attributes", "reconnect", "sid", "protocol", "capabilities"]), st.text()))
def test_whatever_is_asked_can_be_told_to_others_or_is_refused(query: dict[str, str]) -> None:
    try:
        read = asked(query)
    except AskedFaultError:
        return
    told = ParticipantInfo(attributes=read.attributes, capabilities=read.capabilities)
    assert ParticipantInfo.FromString(told.SerializeToString()) == told
