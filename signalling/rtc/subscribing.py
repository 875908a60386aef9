"""What one participant wants to receive, and how good."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from livekit.protocol.models import TrackInfo, TrackType, VideoLayer, VideoQuality
from livekit.protocol.rtc import SubscriptionPermission, UpdateTrackSettings

# Once: enums of protobuf look their names up anew each time, and this is asked for all that somebody receives.
_LOW, _HIGH, _VIDEO = VideoQuality.LOW, VideoQuality.HIGH, TrackType.VIDEO

BEST = 255
"""More encodings than there are: the best one."""

MAX_PERMISSIONS = 1_000
"""Most people and tracks that a publisher names of whom it lets have what."""

MAX_PERMISSIONS_BYTES = 48 << 10
"""How long all of that is at most: twice as much as so many sids. It is kept for the next server, too."""

Quality = int
"""Of `VideoQuality`: LOW, MEDIUM or HIGH."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """How somebody wants a track.

    Attributes:
        disabled: whether nothing is to be sent for now.
        quality: the best that is of use.
        width, height: of the picture as it is shown; 0 when that is not known, then the quality counts.
    """

    disabled: bool = False
    quality: Quality = _HIGH
    width: int = 0
    height: int = 0


_UNSAID, _UNSAID_YET = Wish(), Wish(quality=_LOW)
"""How somebody wants a track who says nothing of that, and how one who is going to say it."""


@dataclass(slots=True, kw_only=True)
class Subscriptions:
    """What one participant wants to receive.

    Attributes:
        auto: whether it wants what it did not speak of.
        adaptive: whether it tells how large it shows pictures; until then small ones will do.
        spoken_of: the tracks of which it said whether it wants them, by sid.
        wishes: how it wants those of which it said it.
    """

    auto: bool
    adaptive: bool
    spoken_of: dict[str, bool] = field(default_factory=dict)
    wishes: dict[str, Wish] = field(default_factory=dict)

    def is_wanted(self, sid: str) -> bool:
        """Whether it wants the track at all."""
        return self.spoken_of.get(sid, self.auto)

    def subscribe(self, sids: Iterable[str], *, wanted: bool, known: Collection[str]) -> None:
        """Takes note of what it wants and does not want; there is nothing to want of what is not known."""
        self.spoken_of.update({sid: wanted for sid in sids if sid in known})

    def wish(self, update: UpdateTrackSettings, *, known: Collection[str]) -> list[str]:
        """Takes note of how it wants tracks, and returns the sids of those."""
        wish = Wish(disabled=update.disabled, quality=update.quality, width=update.width, height=update.height)
        sids = [sid for sid in update.track_sids if sid in known]
        self.wishes.update(dict.fromkeys(sids, wish))
        return sids

    def forget(self, sid: str) -> None:
        """Forgets a track that has ended."""
        self.spoken_of.pop(sid, None)
        self.wishes.pop(sid, None)

    def quality(self, info: TrackInfo) -> Quality | None:
        """Returns the best quality that is of use to it; None while nothing is to be sent."""
        wish = self.wishes.get(info.sid) or (_UNSAID_YET if self.adaptive else _UNSAID)
        if wish.disabled:
            return None
        if wish.width == 0 or wish.height == 0:
            return min(wish.quality, _HIGH)
        covers = (layer.quality for layer in _layers(info) if layer.width >= wish.width or layer.height >= wish.height)
        return next(covers, _HIGH)


def encoding_of(info: TrackInfo, quality: Quality) -> int:
    """Returns the best encoding, counted from the lowest, that is no better than that quality.

    Of two none is called HIGH: whoever asks for that means the best there is.
    """
    if info.type != _VIDEO or quality >= _HIGH:
        return BEST
    return max(sum(layer.quality <= quality for layer in _layers(info)) - 1, 0)


def _layers(info: TrackInfo) -> list[VideoLayer]:
    return sorted(info.layers, key=lambda layer: layer.quality)


class Permissions:
    """Whom a publisher lets receive its tracks: everybody, until it says otherwise."""

    def __init__(self) -> None:
        self.said = SubscriptionPermission(all_participants=True)
        self._by_sid: dict[str, _Let] = {}
        self._by_identity: dict[str, _Let] = {}

    def say(self, said: SubscriptionPermission) -> None:
        """Takes what the publisher says. If that is too much, nobody is let have anything: so it may be meant."""
        named = sum(1 + len(each.track_sids) for each in said.track_permissions)
        if named > MAX_PERMISSIONS or said.ByteSize() > MAX_PERMISSIONS_BYTES:
            said = SubscriptionPermission(all_participants=False)
        self.said, self._by_sid, self._by_identity = said, {}, {}
        for each in said.track_permissions:
            lets = self._by_sid if each.participant_sid else self._by_identity
            let = lets.setdefault(each.participant_sid or each.participant_identity, _Let())
            let.all_tracks |= each.all_tracks
            let.tracks.update(each.track_sids)

    def let(self, sid: str, *, subscriber_sid: str, subscriber_identity: str) -> bool:
        """Whether that participant may receive the track."""
        if self.said.all_participants:
            return True
        lets = (self._by_sid.get(subscriber_sid), self._by_identity.get(subscriber_identity))
        return any(let is not None and (let.all_tracks or sid in let.tracks) for let in lets)


@dataclass(slots=True)
class _Let:
    all_tracks: bool = False
    tracks: set[str] = field(default_factory=set)
