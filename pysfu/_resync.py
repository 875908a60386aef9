"""Snapshots after a loss of events: asked for until what is known of a worker is up to date again."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from pysfu import messages
from pysfu.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pysfu._bridge import Bridge
    from pysfu.errors import RefusedError

logger = logging.getLogger("pysfu")

RESYNC_RETRY_S = 1.0  # After a fault that may last, and is logged each time.


@dataclass(slots=True)
class _Resync:
    """A worker of which events were lost."""

    version: int  # What a snapshot must have at least, to make up for all that was lost.
    asked: bool = False
    retry: asyncio.TimerHandle | None = None


class Resyncs:
    """The workers of which events were lost.

    Args:
        bridge: what they are reached by.
        apply: called with a worker and its state, before anything that it said after that.
        on_resynced: called when what is known of a worker has all that was lost.
    """

    def __init__(
        self,
        bridge: Bridge,
        *,
        apply: Callable[[int, messages.State], None],
        on_resynced: Callable[[int], None],
    ) -> None:
        self._bridge = bridge
        self._apply = apply
        self._on_resynced = on_resynced
        self._resyncs: dict[int, _Resync] = {}

    def lost(self, worker: int, version: int) -> None:
        """Takes note that events of a worker were lost, of which a snapshot of that version has all."""
        resync = self._resyncs.setdefault(worker, _Resync(version))
        resync.version = max(resync.version, version)
        self._ask(worker, resync)

    def ask_again(self) -> None:
        """Asks for what could not be asked for, now that answers were read."""
        for worker, resync in self._resyncs.items():
            self._ask(worker, resync)

    def forget(self, worker: int) -> None:
        """Forgets a worker that has failed, or of which all is known."""
        resync = self._resyncs.pop(worker, None)
        if resync is not None and resync.retry is not None:
            resync.retry.cancel()

    def clear(self) -> None:
        """Forgets all."""
        for worker in tuple(self._resyncs):
            self.forget(worker)

    def _ask(self, worker: int, resync: _Resync) -> None:
        """Asks for a snapshot, unless one is under way; tried again once answers were read where none is taken now."""
        if resync.asked:
            return
        with contextlib.suppress(UnavailableError):
            future = self._bridge.ask(worker, messages.Snapshot(), on_reply=partial(self._on_snapshot, worker))
            resync.asked = True
            future.add_done_callback(partial(self._on_answered, worker))

    def _on_snapshot(self, worker: int, reply: messages.AnyReply | RefusedError) -> None:
        """Brings what we know up to date, before anything that the worker said after the snapshot."""
        resync = self._resyncs.get(worker)
        if resync is None or not isinstance(reply, messages.SnapshotReply):
            return
        try:
            self._apply(worker, reply.snapshot)
        except BaseException:
            self._retry_later(worker, resync)
            raise
        resync.asked = False
        if reply.snapshot.version < resync.version:
            self._ask(worker, resync)  # More was lost while it was under way.
            return
        self.forget(worker)
        self._on_resynced(worker)

    def _on_answered(self, worker: int, future: asyncio.Future[messages.AnyReply]) -> None:
        """Tries again a while after a refusal."""
        error, resync = future.exception(), self._resyncs.get(worker)
        if error is None or resync is None:
            return
        logger.warning("no snapshot from worker %d: %s", worker, error)
        self._retry_later(worker, resync)

    def _retry_later(self, worker: int, resync: _Resync) -> None:
        loop = asyncio.get_running_loop()
        resync.retry = loop.call_later(RESYNC_RETRY_S, self._retry, worker, resync)

    def _retry(self, worker: int, resync: _Resync) -> None:
        resync.asked = False
        self._ask(worker, resync)
