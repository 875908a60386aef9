"""One room: the participants among whom tracks may flow."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from pysfu import _notes, _spread, messages
from pysfu._asked import all_asked, all_done
from pysfu._line import Line
from pysfu._part import Part
from pysfu._relays import Relays
from pysfu.errors import RefusedError, UnknownRoomError
from pysfu.participant import Participant
from pysfu.track import Track
from pysfu.transport import Transport, TransportState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Sequence
    from types import TracebackType
    from typing import Self

    from pysfu._bridge import Bridge
    from pysfu.bot import Bot
    from pysfu.codecs import VideoCodec
    from pysfu.sfu import Sfu

logger = logging.getLogger("pysfu")


class Room:
    """One room.

    It begins on one worker, and goes on to others when it grows beyond `Config.room_spread_over`.

    `note` is what is to be known about it by whoever controls the engine after this process: opaque, nothing personal.
    Of a room that fails, which is told by `RoomFailed`, it is kept for them until the room is closed.
    """

    def __init__(self, sfu: Sfu, bridge: Bridge, *, worker: int, number: int, note: bytes = b"") -> None:
        self.sfu = sfu
        self.bridge = Line(bridge)
        self.prefix = sfu.prefix
        self.worker = worker
        self.number = number
        self.parts: dict[int, Part] = {worker: Part(worker, number, index=sfu.index)}
        self.relays = Relays(self)
        self.failed = False
        self.has_ended = False
        self.note = note
        self._is_noted = True
        self._participants: dict[int, Participant] = {}
        self._spreading = asyncio.Lock()

    @property
    def id(self) -> str:
        """A name that no other room of this Sfu ever has."""
        return f"room-{self.prefix}{self.worker}-{self.number:x}"

    @property
    def participants(self) -> tuple[Participant, ...]:
        """Who is in it."""
        return tuple(self._participants.values())

    @property
    def workers(self) -> tuple[int, ...]:
        """The workers that it is on; if one of them fails, all of it does."""
        return tuple(self.parts)

    @property
    def transports(self) -> dict[tuple[int, int], Transport]:
        """All transports in it, by worker and number."""
        return {(part.worker, number): each for part in self.parts.values() for number, each in part.transports.items()}

    @property
    def tracks(self) -> dict[tuple[int, int], Track]:
        """All tracks in it, by the worker of their publisher and number."""
        every = (track for part in self.parts.values() for track in part.tracks.values())
        return {(track.worker, track.number): track for track in every}

    @property
    def listeners(self) -> tuple[str, ...]:
        """The ids of those who can hear or see anything in it; there is no hidden listener."""
        return tuple(map(self.name_of, sorted(number for part in self.parts.values() for number in part.listeners)))

    @property
    def speakers(self) -> tuple[tuple[str, int], ...]:
        """The ids of those who speak, who dominates first, each with a level in -dBov: 0 is loudest, 127 silence."""
        homes = [{n for n, each in self._participants.items() if each.worker == worker} for worker in self.parts]
        speakers = _spread.speakers([part.speakers for part in self.parts.values()], homes)
        return tuple((self.name_of(number), level) for number, level in speakers)

    def keep(self, note: bytes) -> None:
        """Replaces its note; of one that was closed nobody else gets to know.

        Raises:
            ValueError: it is longer than is kept.
        """
        self.note = _notes.checked(note)
        if self._is_noted:
            self.bridge.note(self.worker, _notes.of_room(self.number, note))

    async def add_participant(self, *, note: bytes = b"", avoid: Collection[int] = ()) -> Participant:
        """Makes a participant, without transport and without any right.

        Args:
            note: what is to be known about it by whoever controls the engine after this process; nothing personal.
            avoid: workers that it is not to be on, as in `Sfu.create_room`, if the room is on another or may go there.

        Raises:
            ValueError: the note is longer than is kept.
        """
        _notes.checked(note)
        worker = self._placed(avoid)
        if worker not in self.parts:
            async with self._spreading:
                worker = await self._spread(avoid)
        participant = Participant(self, self.sfu.next_participant(), worker=worker, note=note)
        self._participants[participant.number] = participant
        return participant

    def _placed(self, avoid: Collection[int], *, may_spread: bool = True) -> int:
        """Returns the worker for one more participant."""
        most = self.sfu.config.room_spread_over
        population = dict.fromkeys(self.parts, 0) | Counter(each.worker for each in self._participants.values())
        population = {worker: count for worker, count in population.items() if worker not in avoid} or population
        may_spread = may_spread and not self.has_ended and min(population.values()) >= most
        return _spread.placed(population, others=self.sfu.others(self, avoid) if may_spread else (), most=most)

    async def _spread(self, avoid: Collection[int]) -> int:
        """Goes on to another worker, unless somebody has seen to that meanwhile, or none takes rooms now."""
        worker = self._placed(avoid)
        if worker in self.parts:
            return worker
        try:
            await self.sfu.add_part(self, worker)
        except RefusedError as error:
            logger.warning("a room that is large for its worker stays there: %s", error)
        return worker if worker in self.parts else self._placed(avoid, may_spread=False)

    @asynccontextmanager
    async def bot(
        self,
        *,
        publish_audio: bool = False,
        publish_video: bool = False,
        video_codec: VideoCodec = "vp8",
        play: Sequence[Track] = (),
    ) -> AsyncIterator[Bot]:
        """Puts a participant into the room that lives in this process.

        Args:
            publish_audio: whether it sends Opus.
            publish_video: whether it sends pictures.
            video_codec: as what; H.264 is constrained baseline at level 3.1, so at most 1280x720 at 30 a second.
            play: what it is wired to; each flows once `bot.participant.allow` was called.
        """
        from pysfu.bot import Bot

        participant = await self.add_participant()
        try:
            publishes = video_codec if publish_video else None
            yield await Bot.join(participant, publish_audio=publish_audio, publish_video=publishes, play=play)
        finally:
            await participant.remove()

    async def close(self) -> None:
        """Ends the room and all in it. Harmless when it is gone already, while the Sfu is open."""
        ended = all_asked(
            self.bridge.ask(part.worker, messages.RemoveRoom(room=part.number), retry_when_full=True)
            for part in self.parts.values()
        )
        self.end()
        # Of a room that has failed there is nothing left, whatever the engine says.
        await all_done(ended, gone=(RefusedError,) if self.failed else (UnknownRoomError,))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # --- for this package ---

    def begin_part(self, worker: int, number: int) -> None:
        """Takes up what of the room is on another worker from here on."""
        self.parts[worker] = Part(worker, number, index=self.sfu.index)
        self.bridge.note(worker, _notes.of_part(number, of=(self.worker, self.number)))

    def resume_participant(self, number: int, *, worker: int, note: bytes) -> Participant:
        """Makes a participant anew that is in it already, unless that was done."""
        self.sfu.resume_participants(number)
        participant = Participant(self, number, worker=worker, note=note)
        return self._participants.setdefault(number, participant)

    def end(self, *, keeps_note: bool = False) -> None:
        """Forgets everything in it, but its note if that is to be kept."""
        self.has_ended = True
        self._is_noted = keeps_note
        self.sfu.forget(self)
        self.relays.clear()
        for part in self.parts.values():
            part.end()
            if not keeps_note or part.worker != self.worker:
                self.bridge.note(part.worker, _notes.forgotten_room(part.number))
        for transport in tuple(self.transports.values()):
            transport.participant.detach(transport)
            transport.set_state(TransportState.CLOSED)
        self._participants.clear()

    def forget(self, participant: Participant) -> None:
        """Forgets a participant who leaves."""
        self._participants.pop(participant.number, None)
        for other in self._participants.values():
            other.forget_publisher(participant)

    def has(self, track: Track) -> bool:
        """Whether a track has not ended."""
        return self.parts[track.worker].tracks.get(track.number) is track

    def forget_track(self, track: Track) -> None:
        """Forgets a track that ends, and with it every right to it and where it plays."""
        self.parts[track.worker].tracks.pop(track.number, None)
        self.relays.forget(track)
        for transport in tuple(track.played_by):
            transport.forget_playing(track)
        for participant in self._participants.values():
            participant.forget_track(track)

    def name_of(self, number: int) -> str:
        """Returns the name of a participant by the engine's number."""
        return f"participant-{number:x}"
