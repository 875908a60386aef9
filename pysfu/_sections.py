"""The media sections of our offers on a transport: what each carries, and which may carry another (RFC 3264 §8)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pysfu import messages
from pysfu._plans import send_plan

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from pysfu.messages import MediaKind
    from pysfu.track import Track

MAX_SECTIONS = 50
"""Most media sections of one transport, beside that for data channels; the engine has no more for a peer, whether or
not it sends in them (`MAX_SUBSCRIPTIONS_PER_PEER`)."""


@dataclass(slots=True)
class Section:
    """One section. Once offered it is there for as long as the transport.

    Attributes:
        kind: what is sent in it; None where it is for data channels.
        receive: whether the other end may send in it.
        track: what the latest offer says that it carries.
        settled: whether the other end has answered that.
        generation: how many tracks it has carried before: each comes under SSRCs of its own.
    """

    kind: MediaKind | None
    receive: bool = False
    track: Track | None = None
    settled: bool = False
    generation: int = 0

    @property
    def is_free(self) -> bool:
        """Whether it may carry another track.

        Not before the other end has agreed that it carries nothing: browsers tell of a track when a section begins to
        carry one, and of none when it goes on under another name.
        """
        return self.kind is not None and not self.receive and self.track is None and self.settled


@dataclass(slots=True)
class Sections:
    """All sections, in the order of the offers: the n-th has the mid `n`."""

    sections: list[Section] = field(default_factory=list)

    @property
    def media(self) -> int:
        """How many of them are for media."""
        return sum(section.kind is not None for section in self.sections)

    def add(self, *, publish: Iterable[MediaKind] = (), data: bool = False) -> None:
        """Adds sections in which the other end may send, and one for data channels."""
        self.sections += [Section(kind, receive=True) for kind in publish]
        self.sections += [Section(None)] if data else []

    def carry(self, play: Collection[Track]) -> list[Track]:
        """Has them carry these tracks and no others; returns those for which there is no place yet."""
        for section in self.sections:
            if section.track is not None and section.track not in play:
                section.track, section.settled = None, False
        carried = {section.track for section in self.sections}
        return [track for track in play if track not in carried and not self._place(track)]

    def will_be_free(self, kind: MediaKind) -> bool:
        """Whether the answer to the latest offer frees a section for tracks of that kind."""
        return any(each.kind == kind and not each.receive and each.track is None for each in self.sections)

    def settle(self) -> None:
        """Notes that the other end has answered the latest offer."""
        for section in self.sections:
            section.settled = True

    def carried(self) -> dict[str, Track]:
        """Returns what each section carries by the latest offer."""
        return {str(n): section.track for n, section in enumerate(self.sections) if section.track is not None}

    def described(self) -> list[messages.Media | messages.Data]:
        """Returns them for an offer."""
        return [_described(section) for section in self.sections]

    def to_note(self) -> list[tuple[MediaKind | None, bool, int]]:
        """Returns what whoever controls the engine next must know of them."""
        return [(section.kind, section.receive, section.generation) for section in self.sections]

    @classmethod
    def of_note(cls, note: Sequence[tuple[MediaKind | None, bool, int]]) -> Sections:
        """Makes them anew. What an offer said whose answer has not come is not known: none of them is free."""
        return cls([Section(kind, receive, generation=generation) for kind, receive, generation in note])

    def resume(self, playing: Mapping[str, Track]) -> None:
        """Notes what they carry already."""
        for n, section in enumerate(self.sections):
            if (track := playing.get(str(n))) is not None:
                section.track, section.settled = track, True

    def _place(self, track: Track) -> bool:
        for section in self.sections:
            if section.is_free and section.kind == track.kind:
                section.track, section.settled, section.generation = track, False, section.generation + 1
                return True
        if self.media >= MAX_SECTIONS:
            return False
        self.sections.append(Section(track.kind, track=track))
        return True


def _described(section: Section) -> messages.Media | messages.Data:
    if section.kind is None:
        return messages.Data()
    send = send_plan(section.track) if section.track is not None else None
    return messages.Media(kind=section.kind, send=send, receive=section.receive, generation=section.generation)
