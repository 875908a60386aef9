"""What a transport and its other end have agreed on, and how they agree anew (JSEP, RFC 8829)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from pysfu import _compiled, _notes, messages
from pysfu._plans import send_plan
from pysfu._sections import Sections
from pysfu.errors import NoFreeSectionError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pysfu.messages import MediaKind
    from pysfu.transport import Transport


MAX_NAME = 64
"""Most characters of a name of theirs that is kept (RFC 8830 §2); one that is longer is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How offers of the other end are answered.

    Attributes:
        policy: what may be agreed on.
        kinds: what the other end may publish.
        send: what it is to receive.
        data: whether there may be data channels.
    """

    policy: messages.MediaPolicy
    kinds: frozenset[MediaKind] = frozenset()
    send: Sequence[messages.SendPlan] = ()
    data: bool = False


class Negotiation:
    """What one transport and its other end have agreed on; only one of the two ever offers."""

    def __init__(self, transport: Transport, local: messages.LocalTransport | None) -> None:
        self.session: messages.NegotiatedSession | None = None
        self.sdp = ""
        self.terms: Terms | None = None
        self.sent: Sequence[messages.SentTrack] = ()
        self.sections = Sections()
        self._transport = transport
        self.local = local
        self._policy: messages.MediaPolicy | None = None
        self.version = 0

    @property
    def is_ours(self) -> bool:
        """Whether it is we who offer."""
        return self._policy is not None

    # --- offers of the other end ---

    async def answer(
        self, offer: str, terms: Terms, *, local: messages.LocalTransport | None = None
    ) -> messages.Answered:
        """Answers an offer and applies what was agreed on; `local` is what a restart of ICE has drawn."""
        local = local if local is not None else self.local
        answered = self._answered(offer, terms, local)

        def applied(reply: messages.AnyReply | RefusedError) -> None:
            if isinstance(reply, RefusedError):
                return
            # Also when whoever asked was cancelled meanwhile: what we know is what the engine has.
            self.local, self.session, self.sdp, self.terms = local, answered.session, answered.sdp, terms
            self.sent = tuple(map(_known, answered.sent))
            self.leave_note()
            self._transport.participant.room.relays.renegotiated(self._transport)

        connect = messages.Connect(peer=self._transport.number, session=answered.session)
        await self._transport.call(connect, messages.DoneReply, on_reply=applied)
        return answered

    async def restart(self, offer: str) -> None:
        """Answers an offer that has new credentials, and otherwise asks for the same."""
        terms = self._agreed_terms()
        self._answered(offer, terms, self.local)  # before anything is changed
        await self.answer(offer, terms, local=await self._new_credentials())

    async def reanswer(self, offer: str) -> None:
        """Answers a later offer; what is played stays in its sections."""
        playing = self._transport.playing.items()
        send = [msgspec.structs.replace(send_plan(track), mid=mid) for mid, track in playing]
        agreed = self._agreed_terms()
        policy = msgspec.structs.replace(agreed.policy, stop_inactive=True)
        terms = Terms(policy=policy, kinds=agreed.kinds, send=send, data=agreed.data)
        remote = self._answered(offer, terms, self.local).session.remote
        before = self.session.remote if self.session is not None else remote
        restarts = (remote.ufrag, remote.pwd) != (before.ufrag, before.pwd)
        await self.answer(offer, terms, local=await self._new_credentials() if restarts else None)

    # --- offers of ours ---

    def offer(self, policy: messages.MediaPolicy) -> tuple[str, bytes]:
        """Makes the first offer of what there are sections for; the bytes are for `accept`."""
        self._policy = policy
        return self._offered()

    def sections_to_offer(self) -> Sections:
        """Returns what a later one is made of.

        Raises:
            NoFreeSectionError: the other end offers.
        """
        if self._policy is None:
            raise NoFreeSectionError("the other end of this transport offers: what it is to receive, it has to ask for")
        return self.sections

    async def reoffer(self, *, restart: bool) -> tuple[str, bytes]:
        """Makes a later one, which may restart ICE."""
        if restart:
            self.local = await self._new_credentials()
            self.leave_note()  # the engine has no others any more, whether the offer is answered or not
        return self._offered()

    async def accept(self, session: messages.NegotiatedSession, *, sdp: str) -> None:
        """Applies what was agreed on by an offer of ours."""

        def applied(reply: messages.AnyReply | RefusedError) -> None:
            if isinstance(reply, RefusedError):
                return
            self.session, self.sdp = session, sdp
            self.sections.settle()
            self.leave_note()
            self._transport.participant.room.relays.renegotiated(self._transport)

        connect = messages.Connect(peer=self._transport.number, session=session)
        await self._transport.call(connect, messages.DoneReply, on_reply=applied)

    # --- both ---

    def leave_note(self) -> None:
        """Leaves what whoever controls the engine next must know of it; of a bot there is nothing: it ends with us."""
        if self.local is None or self.session is None or self._transport.has_ended:
            return
        terms = self.terms
        note = _notes.PeerNote(
            local=self.local,
            session=self.session,
            sdp=self.sdp,
            policy=terms.policy if terms is not None else self._policy,
            kinds=sorted(terms.kinds) if terms is not None else [],
            sent=list(self.sent),
            send=list(terms.send) if terms is not None else [],
            data=terms is not None and terms.data,
            sections=self.sections.to_note() if self._policy is not None else None,
            version=self.version,
            participant=self._transport.participant.note,
        )
        self._transport.participant.room.bridge.note(
            self._transport.worker, _notes.of_peer(self._transport.number, note)
        )

    def resume(self, note: _notes.PeerNote) -> None:
        """Takes up what was agreed on before this process began."""
        self.session, self.sdp, self.version, self.sent = note.session, note.sdp, note.version, tuple(note.sent)
        if note.sections is not None:
            self._policy, self.sections = note.policy, Sections.of_note(note.sections)
        elif note.policy is not None:
            kinds = frozenset(note.kinds)
            self.terms = Terms(policy=note.policy, kinds=kinds, send=note.send, data=note.data)

    def _agreed_terms(self) -> Terms:
        if self.terms is None:
            raise NoFreeSectionError("this transport was not made from an offer of the other end")
        return self.terms

    def _answered(self, offer: str, terms: Terms, local: messages.LocalTransport | None) -> messages.Answered:
        assert local is not None, "bots have no description"
        plan = messages.AnswerPlan(
            local=local, policy=terms.policy, send=list(terms.send), data=terms.data, previous=self.session
        )
        return _compiled.answer(offer, plan)

    def _offered(self) -> tuple[str, bytes]:
        assert self.local is not None, "bots have no description"
        assert self._policy is not None, "an offer was made"
        self.version += 1
        described = self.sections.described()
        return _compiled.offer(
            messages.OfferPlan(local=self.local, policy=self._policy, sections=described, version=self.version)
        )

    async def _new_credentials(self) -> messages.LocalTransport | None:
        restart = messages.RestartIce(peer=self._transport.number)
        return (await self._transport.call(restart, messages.PeerReply)).local


def _known(sent: messages.SentTrack) -> messages.SentTrack:
    """Returns what the other end sends as it is kept, also in the note."""
    is_kept = sent.name is None or len(sent.name) <= MAX_NAME
    return sent if is_kept else msgspec.structs.replace(sent, name=None)
