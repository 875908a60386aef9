"""Spans of time as people write them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalling.domain.durations import duration_of


@given(st.integers(1, 999_999_999), st.sampled_from("smhd"))
def test_a_number_and_its_unit_are_that_long(number: int, unit: str) -> None:
    assert duration_of(f"{number}{unit}") == number * timedelta(
        **{{"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}[unit]: 1}
    )


@pytest.mark.parametrize(
    "text", ["", "10", "m", "0m", "-1m", "1.5h", "10 m", "10M", "1h30m", "10m\n", "\u0661m", "9999999999s"]
)
def test_nothing_else_is_a_span_of_time(text: str) -> None:
    assert duration_of(text) is None
