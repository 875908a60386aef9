"""Between rooms and the media engine: what this server needs of it. Whatever is awaited may raise a `MediaError`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from types import TracebackType
from typing import Literal, Protocol, Self

from signalling.domain.flow import Still
from signalling.domain.heartbeat import Beat
from signalling.domain.link import Link
from signalling.figures import MediaFigures, MediaWarning
from signalling.media_events import MediaEvent

MediaKind = Literal["audio", "video"]
MediaSource = Literal["microphone", "camera", "screen", "screen_audio"]

START_BITRATE_BPS = 1_200_000
"""What browsers are asked to begin with; left to itself, Chromium sends a single picture 320 pixels wide for 12 s."""

FIGURES_TIMEOUT = timedelta(seconds=1)
"""How long figures may take; a worker answers within milliseconds, or hangs."""

CREATE_TIMEOUT = timedelta(seconds=2)
"""How long making a room may take; likewise, and the next one is made by another worker then."""

MAX_PLAYED = 50
"""Most tracks that one transport of which we offer carries at once: the engine has no more sections for a peer."""


class MediaError(Exception):
    """The engine did not do what was asked; nothing changed."""


class InvalidOfferError(MediaError):
    """The engine cannot answer the offer. The message names the fault and quotes nothing personal."""


class EngineFullError(MediaError):
    """The engine holds as much as it may."""


class EngineUnavailableError(MediaError):
    """The engine is stopping, or has failed."""


class EngineLateError(EngineUnavailableError):
    """A worker has not answered in time. The message says what to do."""


class ReplacedError(EngineUnavailableError):
    """Another server has the engine now: the calls go on there, and nothing can be done from here."""


class EngineStartError(MediaError):
    """The engine cannot start with its configuration. The message is one clear line."""


class MediaGoneError(MediaError):
    """What was named does not exist any more."""


class MediaRoomGoneError(MediaGoneError):
    """The room does not exist any more."""


class MediaLaterError(MediaError):
    """As much waits as may; the same may be asked for again."""


class MediaNotAllowedError(MediaError):
    """Nobody lets that flow to the participant."""


class MediaApartError(MediaNotAllowedError):
    """The participants are on different workers, between which no messages go."""


class ChannelNotOpenError(MediaError):
    """No data channel of that label is open: not yet, or not any more."""


class ChannelInUseError(MediaError):
    """There is a data channel of that label."""


class EncodingHeldError(MediaError):
    """The track is end-to-end encrypted and hides its keyframes: who receives it keeps the encoding they began with."""


class MediaTrack(Protocol):
    """A track of a publisher."""

    @property
    def id(self) -> str:
        """Its name in the engine."""

    @property
    def kind(self) -> MediaKind:
        """What is sent in it."""

    @property
    def codec(self) -> str | None:
        """How it is encoded, where that is known: "vp8"."""

    def call(self, stream: str, track: str) -> None:
        """Says by which names its receivers know it (RFC 8830); of no effect on what is received already."""

    async def mute(self, *, muted: bool) -> None:
        """Stops it for everyone, done when this returns; or lets it flow again."""

    async def unpublish(self) -> None:
        """Ends it; harmless when it has ended already."""


class MediaSection(Protocol):
    """What the other end sends in one media section, whether or not a track is made of it."""

    @property
    def mid(self) -> str:
        """The section."""

    @property
    def kind(self) -> MediaKind:
        """What it is."""

    @property
    def name(self) -> str | None:
        """What its sender calls it."""

    @property
    def codec(self) -> str | None:
        """How it is encoded, where that is known: "vp8"."""


class MediaOffer(Protocol):
    """An offer of ours, which waits for its answer."""

    @property
    def sdp(self) -> str:
        """For the other end."""

    @property
    def carries(self) -> Mapping[str, MediaTrack]:
        """What each media section carries by it, by mid."""

    @property
    def is_whole(self) -> bool:
        """Whether nothing waits for a place that the answer frees: else it is to be offered again then.

        What is beyond `MAX_PLAYED` is not played, and is not waited for.
        """

    async def accept(self, answer: str) -> MediaTransport:
        """Takes the answer; raises `InvalidOfferError` if it is none to the latest offer."""

    async def cancel(self) -> None:
        """Gives it up; of a first one the transport ends with it."""


class MediaTransport(Protocol):
    """A negotiated transport of one participant."""

    @property
    def sdp(self) -> str:
        """Our answer."""

    @property
    def tracks(self) -> Sequence[MediaTrack]:
        """What the participant publishes over it now."""

    @property
    def is_offered(self) -> bool:
        """Whether it is we who offer on it."""

    @property
    def carried(self) -> Sequence[MediaTrack]:
        """What its media sections carry to the participant, flowing or not."""

    async def restart(self, offer: str) -> str:
        """Restarts ICE with an offer that has new credentials, and returns the new answer."""

    @property
    def still(self) -> Sequence[Still]:
        """What of its tracks, and of what it carries, does not flow although it should."""

    async def link(self) -> Link:
        """Returns how well packets have got through so far."""

    @property
    def sent(self) -> Sequence[MediaSection]:
        """What the other end sends by its latest offer."""

    async def reanswer(self, offer: str, *, mids: Collection[str]) -> str:
        """Answers a later offer of the other end, and returns the answer.

        What is sent no more ends. Of new sections only those in `mids` become tracks, the others wait for `publish`.
        """

    async def publish(self, mid: str, *, shows: MediaSource | None, encrypted: bool) -> MediaTrack:
        """Makes a track of what is sent in a section; raises `MediaGoneError` where nothing is, or not any more."""

    async def reoffer(self, play: Collection[MediaTrack], *, restart: bool) -> MediaOffer:
        """Makes a later offer of ours, after which these tracks are received and no others; those stop at once."""

    async def open_channel(self, label: str, *, ordered: bool, max_retransmits: int | None) -> None:
        """Opens a data channel; `max_retransmits`: how often what was lost is sent again, None: until it is there.

        Raises `ChannelNotOpenError` before the transport has connected.
        """

    async def send(self, label: str, payload: bytes, *, publisher: MediaTransport | None) -> None:
        """Sends on a data channel what came over another transport, if that is allowed; or what is the server's own.

        Messages arrive in the order in which the calls begin. Raises `MediaNotAllowedError`, `ChannelNotOpenError` and
        `MediaLaterError`; a plain `MediaError` where it is longer than the other end takes.
        """


class MediaPeer(Protocol):
    """One participant of the engine."""

    @property
    def id(self) -> str:
        """Its name in the engine, by which events speak of it."""

    async def answer(self, offer: str, *, publish: Collection[MediaKind], play: Sequence[MediaTrack]) -> MediaTransport:
        """Answers an offer, and takes what is sent of these kinds and of no other."""

    async def take(self, offer: str, *, kinds: Collection[MediaKind]) -> MediaTransport:
        """Answers the first offer of somebody who announces what they send.

        No track is made of what is sent until `MediaTransport.publish`; what is said on data channels comes as an
        event (`PeerSaid`), and goes nowhere by itself.
        """

    async def offer(self, play: Collection[MediaTrack]) -> MediaOffer:
        """Makes a first offer of ours, with data channels; what is played flows once allowed.

        What is said on the channels goes nowhere by itself either.
        """

    async def allow(self, track: MediaTrack) -> None:
        """Lets the track flow to this participant."""

    async def revoke(self, track: MediaTrack) -> None:
        """Ends that: none of its packets leaves towards this participant after this returns."""

    async def limit(self, track: MediaTrack, *, encoding: int) -> None:
        """Says which encoding is the best one that this participant gets, until it is played anew; 0 is the lowest.

        Raises `EncodingHeldError` where that cannot be told, and `MediaGoneError` while the track is not played.
        """

    async def allow_data(self, publisher: MediaPeer) -> None:
        """Lets what another one says on data channels flow to this participant; or raises `MediaApartError`."""

    async def revoke_data(self, publisher: MediaPeer) -> None:
        """Ends that; likewise."""

    def keep(self, note: bytes) -> None:
        """Leaves a note on it with a media process of its own, for the server after this one."""

    async def remove(self) -> None:
        """Ends the participant; harmless when it is gone already."""


class MediaRoom(Protocol):
    """One room of the engine."""

    @property
    def id(self) -> str:
        """Its name in the engine, by which events speak of it."""

    @property
    def worker(self) -> int:
        """The worker that it began on."""

    @property
    def workers(self) -> Collection[int]:
        """All workers that it is on now; if one of them fails, all of it does."""

    async def add_participant(self, *, avoid: Collection[int]) -> MediaPeer:
        """Makes one without any right, on none of the workers to avoid where the room is on another or may go there."""

    def keep(self, note: bytes) -> None:
        """Leaves a note on it with a media process of its own, for the server after this one.

        It is there until the room is closed, also when that is gone by a fault of the engine's.
        """

    async def close(self) -> None:
        """Ends the room and all in it; harmless when it is gone already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumedPeer:
    """A participant that was there before this server, with the note on it.

    Attributes:
        peer: it.
        transports: its transports, at least one.
        note: what the server before left.
        has_ended: whether one of its transports has ended since.
    """

    peer: MediaPeer
    transports: tuple[MediaTransport, ...]
    note: bytes = field(repr=False)
    has_ended: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumedRoom:
    """A room that was there before this server, with the note on it."""

    room: MediaRoom
    note: bytes = field(repr=False)
    peers: tuple[ResumedPeer, ...]


class MediaEngine(Protocol):
    """The engine."""

    async def create_room(self, *, avoid: Collection[int]) -> MediaRoom:
        """Makes an empty room, on none of the workers to avoid; raises `EngineLateError` after `CREATE_TIMEOUT`."""

    def events(self) -> AsyncIterator[MediaEvent]:
        """Yields what happens, until the engine stops."""

    async def figures(self) -> MediaFigures:
        """Returns counters and states, within a second or so."""

    def beats(self) -> Sequence[Beat]:
        """Returns, at once, what tells whether the workers go round."""

    def resumed_rooms(self) -> Sequence[ResumedRoom]:
        """Returns the rooms that a media process had when this server came."""

    def ended_rooms(self) -> Sequence[bytes]:
        """Returns the notes on those that it had when the server before ended, and has no more."""

    @property
    def goes_on(self) -> bool:
        """Whether it runs on when this is stopped: its process is not ours to end."""

    @property
    def warnings(self) -> Sequence[MediaWarning]:
        """What the system did not grant; once started."""

    @property
    def addresses(self) -> Sequence[str]:
        """Where clients are told to send media, as `host:port`; once started."""

    @property
    def left_behind(self) -> Sequence[int]:
        """Workers that hung when the engine was stopped; once stopped."""

    async def __aenter__(self) -> Self: ...
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stops the engine and all in it, within seconds; harmless when that was done already."""
