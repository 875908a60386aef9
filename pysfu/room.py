"""One room: the participants among whom tracks may flow."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from pysfu import _notes, messages
from pysfu._asked import all_done
from pysfu.errors import RefusedError, UnknownRoomError
from pysfu.participant import Participant
from pysfu.track import Track
from pysfu.transport import Transport, TransportState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from types import TracebackType
    from typing import Self

    from pysfu._bridge import Bridge
    from pysfu.bot import Bot
    from pysfu.codecs import VideoCodec
    from pysfu.sfu import Sfu


class Room:
    """One room.

    `note` is what is to be known about it by whoever controls the engine after this process: opaque, nothing personal.
    `listeners` are the ids of those who can hear or see anything in it; there is no hidden listener.
    """

    def __init__(self, sfu: Sfu, bridge: Bridge, *, worker: int, number: int, note: bytes = b"") -> None:
        self.sfu = sfu
        self.bridge = bridge
        self.worker = worker
        self.number = number
        self.transports: dict[int, Transport] = {}
        self.tracks: dict[int, Track] = {}
        self.failed = False
        self._ended = False
        self.listeners: tuple[str, ...] = ()
        self.note = note
        self._participants: dict[int, Participant] = {}

    @property
    def id(self) -> str:
        """A name that no other room of this Sfu ever has."""
        return f"room-{self.sfu.prefix}{self.worker}-{self.number:x}"

    @property
    def participants(self) -> tuple[Participant, ...]:
        """Who is in it."""
        return tuple(self._participants.values())

    def keep(self, note: bytes) -> None:
        """Replaces its note; of one that has ended nobody else gets to know.

        Raises:
            ValueError: it is longer than is kept.
        """
        self.note = _notes.checked(note)
        if not self._ended:
            self.bridge.note(self.worker, _notes.of_room(self.number, note))

    async def add_participant(self, *, note: bytes = b"") -> Participant:
        """Makes a participant, without transport and without any right.

        Args:
            note: what is to be known about it by whoever controls the engine after this process; nothing personal.

        Raises:
            ValueError: the note is longer than is kept.
        """
        participant = Participant(self, self.sfu.next_participant(), note=_notes.checked(note))
        self._participants[participant.number] = participant
        return participant

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
        ended = self.bridge.ask(self.worker, messages.RemoveRoom(room=self.number), retry_when_full=True)
        self.end()
        # Of a room that has failed there is nothing left, whatever the engine says.
        await all_done([ended], gone=(RefusedError,) if self.failed else (UnknownRoomError,))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # --- for this package ---

    def resume_participant(self, number: int, *, note: bytes) -> Participant:
        """Makes a participant anew that is in it already."""
        self.sfu.resume_participants(number)
        participant = Participant(self, number, note=note)
        self._participants[number] = participant
        return participant

    def end(self) -> None:
        """Forgets everything in it."""
        self._ended = True
        self.sfu.forget(self)
        self.bridge.note(self.worker, _notes.forgotten_room(self.number))
        for transport in tuple(self.transports.values()):
            transport.participant.detach(transport)
            transport.set_state(TransportState.CLOSED)
        self._participants.clear()

    def forget(self, participant: Participant) -> None:
        """Forgets a participant who leaves."""
        self._participants.pop(participant.number, None)
        for other in self._participants.values():
            other.forget_publisher(participant)

    def forget_track(self, track: Track) -> None:
        """Forgets a track that ends, and with it every right to it and where it plays."""
        self.tracks.pop(track.number, None)
        for transport in tuple(track.played_by):
            transport.forget_playing(track)
        for participant in self._participants.values():
            participant.forget_track(track)

    def name_of(self, number: int) -> str:
        """Returns the name of a participant by the engine's number."""
        return f"participant-{number:x}"
