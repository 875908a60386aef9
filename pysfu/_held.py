"""What workers say while it is being found out what goes on in them: looked at once their rooms are there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pysfu import messages

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pysfu._bridge import Message

MAX_HELD = 65_536
"""Most messages that are kept; beyond, a later snapshot makes up for what was lost."""


class Held:
    """Messages in the order in which they came."""

    def __init__(self) -> None:
        self._messages: list[tuple[int, Message]] = []
        self._lost: dict[int, int] = {}

    def keep(self, worker: int, message: Message) -> None:
        """Keeps a message of a worker."""
        if len(self._messages) < MAX_HELD:
            self._messages.append((worker, message))
        elif isinstance(message, messages.Event):
            self._lost[worker] = message.version

    def since(self, versions: Mapping[int, int]) -> Iterator[tuple[int, Message]]:
        """Yields what was said after the state of each worker of that version, which tells the rest."""
        for worker, message in self._messages:
            if not isinstance(message, messages.Event) or message.version > versions.get(worker, 0):
                yield worker, message
        for worker, version in self._lost.items():
            yield worker, messages.Event(version=version, event=messages.Resync(version=version))
