"""Where webhooks may be posted: to whom nobody in between can read them."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

MAX_RECEIVERS = 8
"""The booking system, the record system, a trial of the next one; each has a queue and tasks of its own."""


def receiver_fault(url: str) -> str | None:
    """Says why nothing may be posted to `url`, in words that quote nothing of it: it may hold a secret; else None."""
    parts = _split(url)
    if parts is None:
        return 'a receiver is like "https://care.example.org/hooks"'
    if parts.username is not None or parts.fragment:
        return "the address of a receiver has neither a user and password nor a fragment"
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        return "a receiver on another machine needs https"
    return None


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, by whatever way one writes that."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _split(url: str) -> SplitResult | None:
    """Takes an address apart; None when it is none."""
    if not url.isascii() or not url.isprintable() or " " in url:
        return None
    try:
        parts = urlsplit(url)
        is_whole = parts.scheme in ("https", "http") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port or an IPv6 address that is none
        return None
    return parts if is_whole else None
