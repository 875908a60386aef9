"""What a participant announces and what it then sends: in any order, and under names that may differ."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from livekit.protocol.models import TrackInfo, TrackSource, TrackType
from livekit.protocol.rtc import AddTrackRequest

from signalling.domain.grants import Grant, Source
from signalling.rtc.infos import SOUND

MAX_ANNOUNCED = 12
"""Most tracks of one client, sent or only announced: the engine has no more for a transport (`MAX_TRACKS_PER_PEER`)."""

MAX_TEXT = 256
MAX_LAYERS, MAX_CODECS, MAX_FEATURES = 4, 3, 16
MAX_LAYER_BYTES = 128
"""Most that may be said of a track: all of it is told to everybody, and again with each change."""

Kind = Literal["audio", "video"]

_KINDS: Mapping[int, Kind] = {TrackType.AUDIO: "audio", TrackType.VIDEO: "video"}
_SOURCES: Mapping[int, Source] = {
    TrackSource.CAMERA: Source.CAMERA,
    TrackSource.MICROPHONE: Source.MICROPHONE,
    TrackSource.SCREEN_SHARE: Source.SCREEN_SHARE,
    TrackSource.SCREEN_SHARE_AUDIO: Source.SCREEN_SHARE_AUDIO,
}
_KIND_OF: Mapping[int, Kind] = {
    TrackSource.CAMERA: "video",
    TrackSource.MICROPHONE: "audio",
    TrackSource.SCREEN_SHARE: "video",
    TrackSource.SCREEN_SHARE_AUDIO: "audio",
}


class Sent(Protocol):
    """What comes in one media section."""

    @property
    def mid(self) -> str:
        """The section."""

    @property
    def kind(self) -> Kind:
        """What it is."""

    @property
    def name(self) -> str | None:
        """What its sender calls it."""

    @property
    def codec(self) -> str | None:
        """How it is encoded, where that is known: "vp8"."""


class NotAnnouncedError(Exception):
    """The track may not be sent.

    Attributes:
        reason: why, as a `RequestResponse.Reason` names it.
    """

    def __init__(self, reason: Literal["NOT_ALLOWED", "LIMIT_EXCEEDED", "UNSUPPORTED_TYPE"]) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(slots=True)
class Announced:
    """A track that was announced.

    Attributes:
        cid: what its sender calls it; with all that its encodings in other codecs are called.
        kind: what it is.
        info: what others are told of it.
        mid: the section in which it is sent, once it is.
        said_muted: whether it is muted as its sender has said last: a server may have muted it since.
    """

    cid: str
    names: frozenset[str]
    kind: Kind
    info: TrackInfo
    mid: str | None = None
    said_muted: bool = False


@dataclass(frozen=True, slots=True)
class Changed:
    """What an offer changes: tracks that begin to be sent, and the sids of those that end."""

    begun: Sequence[Announced]
    ended: Sequence[str]


@dataclass(slots=True)
class Publishing:
    """All tracks of one participant, by sid.

    Attributes:
        new_sid: makes the sid of a track, which nobody can guess.
    """

    new_sid: Callable[[], str]
    tracks: dict[str, Announced] = field(default_factory=dict)
    _withdrawn: set[str] = field(default_factory=set)
    """Sections of which the track was withdrawn: whatever comes there is no other one, as long as they are offered."""

    def announce(self, request: AddTrackRequest, grant: Grant) -> TrackInfo:
        """Takes note of a track that is going to be sent.

        The same one announced again is the same track: a client that resumes does not know whether it was heard.

        Raises:
            NotAnnouncedError: it may not be sent.
        """
        kind = _KINDS.get(request.type)
        if kind is None or not request.cid:
            raise NotAnnouncedError("UNSUPPORTED_TYPE")
        if not _is_short(request):
            raise NotAnnouncedError("LIMIT_EXCEEDED")
        known = next((track for track in self.tracks.values() if track.cid == request.cid and track.kind == kind), None)
        if known is not None and known.mid is None:
            return known.info
        if not may_send(grant, request.source, kind):
            raise NotAnnouncedError("NOT_ALLOWED")
        if len(self.tracks) >= MAX_ANNOUNCED:
            raise NotAnnouncedError("LIMIT_EXCEEDED")
        info = _info_of(request, sid=self.new_sid())
        names = {request.cid, *(codec.cid for codec in request.simulcast_codecs if codec.cid)}
        self.tracks[info.sid] = Announced(request.cid, frozenset(names), kind, info, said_muted=request.muted)
        return info

    def offered(self, sent: Collection[Sent]) -> Changed:
        """Finds which announced tracks the sections of an offer bring.

        It goes by name, and where that was changed on the way, takes the first of its kind that waits.
        """
        mids = {section.mid for section in sent}
        ended = [sid for sid, track in self.tracks.items() if track.mid is not None and track.mid not in mids]
        for sid in ended:
            del self.tracks[sid]
        self._withdrawn &= mids
        taken = {track.mid for track in self.tracks.values()} | self._withdrawn
        new = [section for section in sent if section.mid not in taken]
        begun = [track for section in new if (track := self._take(section, by_name=True)) is not None]
        taken = {track.mid for track in self.tracks.values()} | self._withdrawn
        nameless = [section for section in new if section.mid not in taken]
        begun += [track for section in nameless if (track := self._take(section, by_name=False)) is not None]
        return Changed(begun, ended)

    def withdraw(self, sid: str) -> Announced | None:
        """Forgets a track; returns it."""
        withdrawn = self.tracks.pop(sid, None)
        if withdrawn is not None and withdrawn.mid is not None:
            self._withdrawn.add(withdrawn.mid)
        return withdrawn

    def _take(self, section: Sent, *, by_name: bool) -> Announced | None:
        for track in self.tracks.values():
            fits = track.mid is None and track.kind == section.kind
            if fits and (not by_name or section.name in track.names):
                track.mid = track.info.mid = section.mid
                if section.codec and not track.info.mime_type:
                    track.info.mime_type = f"{track.kind}/{section.codec}"
                return track
        return None


def source_of(source: int) -> Source | None:
    """Returns what a track shows or sounds of, as tokens name it; None where that is not said."""
    return _SOURCES.get(source)


def may_send(grant: Grant, source: int, kind: Kind) -> bool:
    """Whether somebody of these rights may send what shows that: a microphone is no picture, whatever is said of it."""
    if not grant.can_publish:
        return False
    return grant.sources is None or (_SOURCES.get(source) in grant.sources and _KIND_OF.get(source) == kind)


def _is_short(request: AddTrackRequest) -> bool:
    texts = [
        request.cid,
        request.name,
        request.stream,
        *(t for c in request.simulcast_codecs for t in (c.cid, c.codec)),
    ]
    lists = [request.layers, *(codec.layers for codec in request.simulcast_codecs)]
    return (
        len(request.simulcast_codecs) <= MAX_CODECS
        and len(request.audio_features) <= MAX_FEATURES
        and all(len(layers) <= MAX_LAYERS for layers in lists)
        and all(layer.ByteSize() <= MAX_LAYER_BYTES for layers in lists for layer in layers)
        and all(len(text) <= MAX_TEXT for text in texts)
    )


def _info_of(request: AddTrackRequest, *, sid: str) -> TrackInfo:
    """Returns what others are told of a track: what its sender says, which nothing relies on."""
    info = TrackInfo(
        sid=sid,
        type=request.type,
        name=request.name,
        muted=request.muted,
        width=request.width,
        height=request.height,
        simulcast=len(request.layers) > 1,
        source=request.source,
        layers=request.layers,
        encryption=request.encryption,
        stream=request.stream,
        disable_red=request.disable_red,
        stereo=request.stereo,
        disable_dtx=request.disable_dtx,
        audio_features=request.audio_features,
        backup_codec_policy=request.backup_codec_policy,
        mime_type=SOUND if request.type == TrackType.AUDIO else "",
    )
    for codec in request.simulcast_codecs[:1]:
        if request.type == TrackType.VIDEO and codec.codec:
            info.mime_type = f"video/{codec.codec}"
        info.codecs.add(cid=codec.cid, mime_type=info.mime_type, layers=codec.layers or request.layers)
    return info
