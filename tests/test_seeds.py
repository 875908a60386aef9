"""One seed is one run: property tests draw the same values each time, in both languages."""

from __future__ import annotations

import tomllib
from pathlib import Path

import hypothesis

ROOT = Path(__file__).parents[1]


def test_hypothesis_draws_the_same_values_each_time_and_looks_at_no_clock() -> None:
    settings = hypothesis.settings.default
    assert settings is not None
    assert (settings.derandomize, settings.database, settings.deadline) == (True, None, None)


def test_cargo_gives_proptest_a_seed() -> None:
    # That it is heeded is a test in `sfu_core/tests/layering.rs`.
    assert int(tomllib.loads((ROOT / ".cargo" / "config.toml").read_text())["env"]["PROPTEST_RNG_SEED"]) > 0
