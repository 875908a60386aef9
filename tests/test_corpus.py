"""Every parser of the server and of bots over its corpus, and over what is near it (`parsers.py`)."""

from __future__ import annotations

import os
from pathlib import Path

import parsers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from parsers import BODIES, CORPUS

ALL = [pytest.param(name, path, id=f"{name}/{path.name}") for name in BODIES for path in parsers.inputs(name)]


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("PYSFU_")]:
        monkeypatch.delenv(name)


@st.composite
def near(draw: st.DrawFn, name: str) -> bytes:
    """Draws something that differs from an input here and there, or from all of them."""
    data = bytearray(draw(st.sampled_from([path.read_bytes() for path in parsers.inputs(name)])))
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 12))] = draw(st.binary(max_size=12))
    return bytes(data)


@pytest.mark.parametrize(("name", "path"), ALL)
def test_what_is_kept_is_read_or_refused_as_it_should_be(name: str, path: Path) -> None:
    BODIES[name](path.read_bytes())


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.filterwarnings("ignore::hypothesis.errors.NonInteractiveExampleWarning")
def test_what_is_near_it_is_read_or_refused_as_it_should_be(name: str) -> None:
    @given(near(name) | st.binary(max_size=200))
    def check(data: bytes) -> None:
        BODIES[name](data)

    check()


def test_every_parser_has_a_corpus_and_every_corpus_a_parser() -> None:
    assert {folder.name for folder in CORPUS.iterdir()} == set(BODIES)
    assert all(any(folder.iterdir()) for folder in CORPUS.iterdir())
