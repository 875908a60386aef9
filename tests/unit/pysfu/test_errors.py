"""Every refusal has a class, and codes are unique."""

from __future__ import annotations

import re
from pathlib import Path

from pysfu import errors, messages

SOURCE = Path(__file__).parents[3] / "sfu_core" / "src" / "engine" / "command.rs"


def subclasses(kind: type[errors.PysfuError]) -> list[type[errors.PysfuError]]:
    return [kind, *(deeper for child in kind.__subclasses__() for deeper in subclasses(child))]


def test_every_refusal_has_a_class_of_its_own() -> None:
    body = re.search(r"pub enum Refusal {\n(.*?)\n}", SOURCE.read_text(), re.DOTALL)
    assert body is not None
    names = re.findall(r"^    (\w+),", body[1], re.MULTILINE)
    codes = [messages.snake(name) for name in names]
    assert "unknown_room" in codes
    for code in codes:
        error = errors.from_refusal(code)
        assert (error.code, type(error) is errors.RefusedError) == (code, False)


def test_a_full_engine_names_the_cap() -> None:
    error = errors.from_refusal({"full": "rooms"})
    assert isinstance(error, errors.FullError)
    assert error.cap == "rooms"


def test_codes_are_unique() -> None:
    codes = [kind.code for kind in subclasses(errors.PysfuError)]
    assert len(codes) == len(set(codes))


def test_a_refusal_of_a_newer_engine_is_still_an_error() -> None:
    assert type(errors.from_refusal("something_new")) is errors.RefusedError
