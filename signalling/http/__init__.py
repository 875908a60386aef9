"""The HTTP side: routes, errors, headers."""

from __future__ import annotations

import os

MAX_REQUEST_LINE = 65_536
"""Bytes of an address with its method: LiveKit's clients put a token, and some an offer, into it."""

# The library of WebSockets reads this when it is imported, and never again: it must be set before anything else here.
os.environ["WEBSOCKETS_MAX_LINE_LENGTH"] = str(MAX_REQUEST_LINE)
