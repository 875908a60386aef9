"""What clients ask for that needs nothing of the media engine: answered at once, by what the meeting knows."""

from __future__ import annotations

from dataclasses import replace

from livekit.protocol.rtc import (
    AddTrackRequest,
    Pong,
    RequestResponse,
    SignalRequest,
    SignalResponse,
    SyncState,
    TrackPublishedResponse,
    UpdateParticipantMetadata,
    UpdateSubscription,
    UpdateTrackSettings,
)

from signalling.rtc.meeting import Meeting
from signalling.rtc.publishing import NotAnnouncedError
from signalling.rtc.words import MAX_WORDS, length_of, written_over


def answer(meeting: Meeting, sid: str, request: SignalRequest, *, unix_ms: int) -> None:
    """Does what a client asks for. What this program does not know, newer clients may say: it is passed over.

    Args:
        meeting: where.
        sid: of whom.
        request: what.
        unix_ms: the time of day, in milliseconds since 1970.
    """
    match request.WhichOneof("message"):
        case "ping":
            meeting.tell(sid, SignalResponse(pong=unix_ms))
        case "ping_req":
            pong = Pong(last_ping_timestamp=request.ping_req.timestamp, timestamp=unix_ms)
            meeting.tell(sid, SignalResponse(pong_resp=pong))
        case "add_track":
            _announce(meeting, sid, request.add_track)
        case "subscription":
            subscribe(meeting, sid, request.subscription)
        case "track_setting":
            _set(meeting, sid, request.track_setting)
        case "subscription_permission":
            meeting.permit(sid, request.subscription_permission)
        case "update_metadata":
            _describe(meeting, sid, request.update_metadata)
        case "publish_data_track_request":
            _refuse(meeting, sid, RequestResponse(reason=RequestResponse.Reason.UNSUPPORTED_TYPE))
        case _:
            pass


def is_in_step(meeting: Meeting, sid: str, state: SyncState) -> bool:
    """Takes what a client that is back says of itself; whether it believes to send nothing that there is not."""
    member = meeting.client(sid)
    if any(published.track.sid not in member.publishing.tracks for published in state.publish_tracks):
        return False
    # What it says is all that it speaks of: the others go by its wish to receive what it does not speak of.
    subscribe(meeting, sid, state.subscription)
    disabled = UpdateTrackSettings(track_sids=state.track_sids_disabled, disabled=True)
    _set(meeting, sid, disabled)
    return True


def _announce(meeting: Meeting, sid: str, request: AddTrackRequest) -> None:
    member = meeting.client(sid)
    try:
        info = member.publishing.announce(request, member.grant)
    except NotAnnouncedError as error:
        _refuse(meeting, sid, RequestResponse(reason=error.reason, add_track=request))
        return
    meeting.tell(sid, SignalResponse(track_published=TrackPublishedResponse(cid=request.cid, track=info)))


def subscribe(meeting: Meeting, sid: str, update: UpdateSubscription) -> None:
    """Takes what somebody wants to receive, or no more; of what there is not, nothing is wanted."""
    named = {*update.track_sids, *(track for each in update.participant_tracks for track in each.track_sids)}
    meeting.client(sid).subscriptions.subscribe(named, wanted=update.subscribe, known=meeting.tracks())


def _set(meeting: Meeting, sid: str, update: UpdateTrackSettings) -> None:
    meeting.client(sid).subscriptions.wish(update, known=meeting.tracks())


def _describe(meeting: Meeting, sid: str, update: UpdateParticipantMetadata) -> None:
    grant = meeting.client(sid).grant
    attributes = written_over(grant.attributes, update.attributes)
    response = RequestResponse(request_id=update.request_id, update_metadata=update)
    if not grant.can_update_own_metadata:
        response.reason = RequestResponse.Reason.NOT_ALLOWED
    elif max(length_of(attributes), len(update.metadata), len(update.name)) > MAX_WORDS:
        response.reason = RequestResponse.Reason.LIMIT_EXCEEDED
    else:
        name, metadata = update.name or grant.name, update.metadata or grant.metadata
        meeting.rename(sid, replace(grant, name=name, metadata=metadata, attributes=attributes))
    _refuse(meeting, sid, response)


def _refuse(meeting: Meeting, sid: str, response: RequestResponse) -> None:
    """Tells how it went: by default that it did."""
    meeting.tell(sid, SignalResponse(request_response=response))
