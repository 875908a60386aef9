"""What is written on somebody: attributes over attributes, and how long all of it may be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from signalling.domain.grants import Grant
from signalling.rtc.asked import AskedFaultError

MAX_WORDS = 8_192
"""Most characters of a name, of metadata and of attributes, keys counted, that are written on somebody: everybody is
told all of it with each change."""


def written_over(before: Mapping[str, str], said: Mapping[str, str]) -> dict[str, str]:
    """Returns attributes with others written over the same keys; one that is empty is taken away."""
    return {key: value for key, value in {**before, **said}.items() if value}


def length_of(attributes: Mapping[str, str]) -> int:
    """Returns how many characters attributes have together, keys counted."""
    return sum(len(key) + len(value) for key, value in attributes.items())


def joining(grant: Grant, said: Mapping[str, str]) -> Grant:
    """Returns a grant with what its bearer wants written on them from the first; what a token says stays on it.

    Raises:
        AskedFaultError: it is too much.
    """
    attributes = written_over(grant.attributes, {key: value for key, value in said.items() if value})
    if length_of(attributes) > MAX_WORDS:
        raise AskedFaultError(f"attributes: more than {MAX_WORDS} characters, with those of the token")
    return replace(grant, attributes=attributes)
