"""What is said while a state is being asked for is heard after it, once."""

from __future__ import annotations

import pytest

from pysfu import _held, messages
from pysfu._held import Held


def failed(version: int) -> messages.Event:
    return messages.Event(version=version, event=messages.RoomFailed(room=version))


def test_what_the_state_tells_already_is_left_out() -> None:
    held = Held()
    for worker, version in ((0, 4), (1, 4), (0, 5), (0, 6)):
        held.keep(worker, failed(version))
    assert list(held.since({0: 5, 1: 3})) == [(1, failed(4)), (0, failed(6))]


def test_a_worker_of_which_too_much_was_said_is_asked_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_held, "MAX_HELD", 1)
    held = Held()
    lost = messages.WorkerFailed(reason="a panic")
    for message in (failed(1), failed(2), failed(3)):
        held.keep(0, message)
    assert list(held.since({})) == [(0, failed(1)), (0, messages.Event(version=3, event=messages.Resync(version=3)))]
    held = Held()
    held.keep(0, lost)
    assert list(held.since({0: 9})) == [(0, lost)]
