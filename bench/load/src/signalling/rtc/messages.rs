//! The messages of LiveKit's client protocol that a load needs, with the fields that it needs: what else comes is passed over.

use prost::{Message, Oneof};

/// `TrackType` of sound and pictures.
pub(super) const AUDIO: i32 = 0;
pub(super) const VIDEO: i32 = 1;
/// `TrackSource` of the same.
pub(super) const CAMERA: i32 = 1;
pub(super) const MICROPHONE: i32 = 2;
/// `RequestResponse.Reason` of what is still going to happen.
pub(super) const QUEUED: i32 = 4;

/// What a client says.
#[derive(Clone, PartialEq, Message)]
pub(super) struct SignalRequest {
    #[prost(oneof = "Request", tags = "1, 2, 4, 12, 14")]
    pub(super) message: Option<Request>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum Request {
    #[prost(message, tag = "1")]
    Offer(SessionDescription),
    #[prost(message, tag = "2")]
    Answer(SessionDescription),
    #[prost(message, tag = "4")]
    AddTrack(AddTrackRequest),
    #[prost(message, tag = "12")]
    SyncState(SyncState),
    /// Milliseconds since 1970.
    #[prost(int64, tag = "14")]
    Ping(i64),
}

/// What a server says.
#[derive(Clone, PartialEq, Message)]
pub(super) struct SignalResponse {
    #[prost(oneof = "Response", tags = "1, 2, 3, 6, 8, 19, 22")]
    pub(super) message: Option<Response>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum Response {
    #[prost(message, tag = "1")]
    Join(JoinResponse),
    #[prost(message, tag = "2")]
    Answer(SessionDescription),
    #[prost(message, tag = "3")]
    Offer(SessionDescription),
    #[prost(message, tag = "6")]
    TrackPublished(TrackPublishedResponse),
    #[prost(message, tag = "8")]
    Leave(LeaveRequest),
    #[prost(message, tag = "19")]
    Reconnect(ReconnectResponse),
    #[prost(message, tag = "22")]
    Refused(RequestResponse),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SessionDescription {
    #[prost(string, tag = "1")]
    pub(super) kind: String,
    #[prost(string, tag = "2")]
    pub(super) sdp: String,
    #[prost(uint32, tag = "3")]
    pub(super) id: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct AddTrackRequest {
    #[prost(string, tag = "1")]
    pub(super) cid: String,
    #[prost(int32, tag = "3")]
    pub(super) kind: i32,
    #[prost(uint32, tag = "4")]
    pub(super) width: u32,
    #[prost(uint32, tag = "5")]
    pub(super) height: u32,
    #[prost(int32, tag = "8")]
    pub(super) source: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TrackPublishedResponse {
    #[prost(string, tag = "1")]
    pub(super) cid: String,
    #[prost(message, optional, tag = "2")]
    pub(super) track: Option<TrackInfo>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TrackInfo {
    #[prost(string, tag = "1")]
    pub(super) sid: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct JoinResponse {
    #[prost(message, optional, tag = "2")]
    pub(super) participant: Option<ParticipantInfo>,
    /// In seconds.
    #[prost(int32, tag = "11")]
    pub(super) ping_interval: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ParticipantInfo {
    #[prost(string, tag = "1")]
    pub(super) sid: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct LeaveRequest {
    #[prost(int32, tag = "2")]
    pub(super) reason: i32,
    #[prost(int32, tag = "3")]
    pub(super) action: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ReconnectResponse {}

#[derive(Clone, PartialEq, Message)]
pub(super) struct RequestResponse {
    #[prost(int32, tag = "2")]
    pub(super) reason: i32,
}

/// What a client that comes back had.
#[derive(Clone, PartialEq, Message)]
pub(super) struct SyncState {
    #[prost(message, optional, tag = "1")]
    pub(super) answer: Option<SessionDescription>,
    #[prost(message, optional, tag = "2")]
    pub(super) subscription: Option<UpdateSubscription>,
    #[prost(message, repeated, tag = "3")]
    pub(super) publish_tracks: Vec<TrackPublishedResponse>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct UpdateSubscription {
    #[prost(string, repeated, tag = "1")]
    pub(super) track_sids: Vec<String>,
    #[prost(bool, tag = "2")]
    pub(super) subscribe: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_needed_is_passed_over() {
        // A join with a room (field 1) that the load does not read, a participant with its sid, and an interval of 3 s.
        let bytes = [0x0a, 0x0d, 0x0a, 0x02, 0x0a, 0x00, 0x12, 0x05, 0x0a, 0x03, b'P', b'A', b'_', 0x58, 0x03];
        let response = SignalResponse::decode(&bytes[..]).expect("a response");
        let participant = Some(ParticipantInfo { sid: "PA_".to_owned() });
        assert_eq!(response.message, Some(Response::Join(JoinResponse { participant, ping_interval: 3 })));
    }

    #[test]
    fn a_message_of_a_kind_that_is_not_needed_is_none() {
        // A `pong` (field 18).
        assert_eq!(SignalResponse::decode(&[0x90, 0x01, 0x07][..]), Ok(SignalResponse { message: None }));
    }

    #[test]
    fn a_track_is_announced_as_the_protocol_says() {
        let track = AddTrackRequest { cid: "c".to_owned(), kind: VIDEO, width: 1, height: 2, source: CAMERA };
        let request = SignalRequest { message: Some(Request::AddTrack(track)) };
        let body = [0x0a, 0x01, b'c', 0x18, 0x01, 0x20, 0x01, 0x28, 0x02, 0x40, 0x01];
        assert_eq!(request.encode_to_vec(), [&[0x22, body.len() as u8], &body[..]].concat());
    }
}
