"""What a participant may send and is to receive, as the engine's description of media wants it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pysfu import messages
from pysfu.messages import MEDIA_KINDS

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from pysfu.messages import MediaKind
    from pysfu.track import Track
    from pysfu.transport import Transport


def kinds_of(publish: bool | Collection[MediaKind]) -> frozenset[MediaKind]:
    """Returns the kinds that are meant.

    Raises:
        ValueError: something else is among them, such as the letters of a word that stands for a list.
    """
    if isinstance(publish, bool):
        return MEDIA_KINDS if publish else frozenset()
    kinds = frozenset(publish)
    if not kinds <= MEDIA_KINDS:
        raise ValueError("what may be published is a list of 'audio' or 'video', such as ['audio']")
    return kinds


def only(policy: messages.MediaPolicy, kinds: Collection[MediaKind]) -> messages.MediaPolicy:
    """Refuses sections of any other kind in the answer."""
    return msgspec.structs.replace(policy, **{kind: [] for kind in MEDIA_KINDS if kind not in kinds})


def send_plan(track: Track) -> messages.SendPlan:
    """Returns how a section is to be named in which a track is sent."""
    stream, name = track.msid
    return messages.SendPlan(kind=track.kind, publisher=track.publisher.number, stream=stream, track=name)


def data_allows(ours: Sequence[Transport], theirs: Sequence[Transport]) -> list[messages.Command]:
    """Returns what lets messages flow from their transports to ours, all of one worker."""
    return [messages.AllowData(publisher=their.number, subscriber=our.number) for our in ours for their in theirs]


def data_revokes(ours: Sequence[Transport], theirs: Sequence[Transport]) -> list[messages.Command]:
    """Returns what ends that."""
    return [messages.RevokeData(publisher=their.number, subscriber=our.number) for our in ours for their in theirs]
