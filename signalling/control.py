"""Whether the engine is in this server's hands: from when another server has it, nothing can be done here any more."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

from signalling.media import MediaError, ReplacedError


class Control:
    """This server's hold on the engine."""

    def __init__(self) -> None:
        self.lost = asyncio.Event()
        """Set from when another server has taken the engine over."""

    def check(self) -> None:
        """Lets nothing begin that could not be done.

        Raises:
            ReplacedError: another server has the engine.
        """
        if self.lost.is_set():
            raise ReplacedError

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Lets nothing count as done, or as gone, that is now in another server's hands.

        Raises:
            ReplacedError: another server has the engine, or took it over meanwhile: nobody knows what was done.
        """
        self.check()
        try:
            yield
        except MediaError as error:
            if self.lost.is_set():
                raise ReplacedError from error
            raise
        self.check()
