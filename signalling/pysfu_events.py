"""What pysfu tells, as this server's events."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, assert_never

from signalling.figures import MediaWarning, WorkerFailed
from signalling.media_events import (
    EngineLost,
    EngineNotStarted,
    EngineRestarted,
    EngineTakenOver,
    MediaEvent,
    PeerConnected,
    PeerGone,
    PeerReconnected,
    PeerSaid,
    PictureChosen,
    Resynced,
    RoomGone,
    Speaking,
)
from signalling.pysfu_room import has_ended

if TYPE_CHECKING:
    # Imported where it is used: it loads the compiled engine, without which there is much that this package can do.
    import pysfu
    from pysfu import events
    from pysfu.warning import EngineWarning

    AboutTransport = (
        events.TransportConnected
        | events.TransportReconnected
        | events.TransportFailed
        | events.TransportClosed
        | events.LayerChanged
        | events.DataReceived
    )
    AboutEngine = (
        events.WorkerFailed
        | events.Warned
        | events.EngineLost
        | events.EngineNotStarted
        | events.EngineRestarted
        | events.EngineTakenOver
    )


def event_of(event: events.Event, sfu: pysfu.Sfu) -> MediaEvent | None:
    """Returns what an event says to this server; None where nobody here waits for it."""
    from pysfu import events

    match event:
        case (
            events.TransportConnected()
            | events.TransportReconnected()
            | events.TransportFailed()
            | events.TransportClosed()
            | events.LayerChanged()
            | events.DataReceived()
        ):
            return _of_transport(event)
        case events.SpeakersChanged(room=room, speakers=speakers):
            return Speaking(media_room=room.id, peers=speakers)
        case events.RoomFailed(room=room):
            return RoomGone(media_room=room.id)
        case events.Resynced():
            return Resynced(media_rooms=frozenset(room.id for room in sfu.rooms), peers=frozenset(_living(sfu)))
        case (
            events.WorkerFailed()
            | events.Warned()
            | events.EngineLost()
            | events.EngineNotStarted()
            | events.EngineRestarted()
            | events.EngineTakenOver()
        ):
            return _of_engine(event)
        case (
            events.TransportDisconnected()
            | events.TrackStarted()
            | events.TrackStalled()
            | events.SubscriptionStalled()
            | events.RosterChanged()
        ):
            return None
        case _:
            assert_never(event)


def _of_transport(event: AboutTransport) -> MediaEvent:
    """Translates what concerns one participant."""
    from pysfu import events

    match event:
        case events.TransportConnected(transport=transport, srtp_profile=profile, dtls_version=version):
            return PeerConnected(peer=transport.participant.id, srtp_profile=profile, dtls_version=version)
        case events.TransportReconnected(transport=transport):
            return PeerReconnected(peer=transport.participant.id)
        case events.TransportFailed(transport=transport, reason=reason):
            return PeerGone(peer=transport.participant.id, reason=reason)
        case events.TransportClosed(transport=transport):
            return PeerGone(peer=transport.participant.id, reason="closed")
        case events.LayerChanged(subscriber=subscriber, track=track, encoding=encoding):
            return PictureChosen(peer=subscriber.participant.id, track=track.id, encoding=encoding)
        case events.DataReceived(transport=transport, label=label, payload=payload):
            return PeerSaid(peer=transport.participant.id, label=label, payload=payload)
        case _:
            assert_never(event)


def _of_engine(event: AboutEngine) -> MediaEvent:
    """Translates what concerns more than one room."""
    from pysfu import events

    match event:
        case events.WorkerFailed(worker=worker):
            return WorkerFailed(worker=worker)
        case events.Warned(warning=warning):
            return warning_of(warning)
        case events.EngineLost(reason=reason, pause=pause):
            return EngineLost(reason=reason, pause=pause)
        case events.EngineNotStarted(reason=reason, pause=pause):
            return EngineNotStarted(reason=reason, pause=pause)
        case events.EngineRestarted(cause=cause):
            return EngineRestarted(cause=cause)
        case events.EngineTakenOver():
            return EngineTakenOver()
        case _:
            assert_never(event)


def warning_of(warning: EngineWarning) -> MediaWarning:
    """Returns what the engine warns of."""
    return MediaWarning(code=warning.code, remedy=warning.remedy, worker=warning.worker, figures=dict(warning.figures))


def _living(sfu: pysfu.Sfu) -> Iterator[str]:
    """Yields the participants of whom no transport has ended, as each end is told for all of the participant."""
    for room in sfu.rooms:
        for participant in room.participants:
            if not any(has_ended(transport) for transport in participant.transports):
                yield participant.id
