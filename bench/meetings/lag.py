"""How late the server's event loop is: read off its own metric, over all runs together."""

from __future__ import annotations

import http.client
from collections import Counter

from buckets import buckets, quantile_ms
from restartable import Asking
from rig import Rig
from servers import Server


class Lag:
    """What servers have told since it was last read."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._cumulative: Counter[float] = Counter()

    def note(self, server: Server) -> None:
        """Takes in what a server has told from its start up to now.

        Raises:
            RuntimeError: it tells nothing.
        """
        asking = Asking(self._rig, server.target)
        try:
            asking.ask("GET", "/metrics")
            response = asking.getresponse()
            found = buckets(response.read().decode())
        except (OSError, http.client.HTTPException) as error:
            raise RuntimeError("the server does not tell its metrics") from error
        finally:
            asking.close()
        if not found:
            raise RuntimeError(f"the metrics say nothing of the event loop: status {response.status}")
        self._cumulative.update(found)  # which adds, and keeps bounds that nobody exceeded

    def take_p99_ms(self) -> float:
        """Returns how late 99 of a hundred looks did not exceed, and begins anew.

        Raises:
            RuntimeError: no server has told anything.
        """
        told, self._cumulative = self._cumulative, Counter()
        if not told:
            raise RuntimeError("no server was measured in this round: there is no lag to tell of")
        return quantile_ms(told, 0.99)
