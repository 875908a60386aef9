"""Why something is not allowed."""

from __future__ import annotations

from enum import StrEnum


class Refusal(StrEnum):
    """Why a request was not carried out. The value is part of the public protocol."""

    TOKEN_EXPIRED = "token_expired"
    TOKEN_NOT_YET_VALID = "token_not_yet_valid"
    TOKEN_LIVES_TOO_LONG = "token_lives_too_long"
    TOKEN_FOR_OTHER_ROOM = "token_for_other_room"
    TOKEN_DOES_NOT_JOIN = "token_does_not_join"
    PUBLISH_NOT_GRANTED = "publish_not_granted"
    SOURCE_NOT_GRANTED = "source_not_granted"
    SUBSCRIBE_NOT_GRANTED = "subscribe_not_granted"
    METADATA_NOT_GRANTED = "metadata_not_granted"
    ATTRIBUTES_TOO_LONG = "attributes_too_long"
    HIDDEN_NOT_ALLOWED = "hidden_not_allowed"
    RECORDER_NOT_ALLOWED = "recorder_not_allowed"
    AGENT_NOT_ALLOWED = "agent_not_allowed"
    ROOM_CREATE_NOT_GRANTED = "room_create_not_granted"
    ROOM_LIST_NOT_GRANTED = "room_list_not_granted"
    ROOM_ADMIN_NOT_GRANTED = "room_admin_not_granted"
    UNMUTE_NOT_ALLOWED = "unmute_not_allowed"
    PARTICIPANT_REMOVED = "participant_removed"
    ROOM_FULL = "room_full"
    TOO_MANY_ROOMS = "too_many_rooms"
    TOO_MANY_CONNECTIONS = "too_many_connections"
    TOO_MANY_CHANGED_RIGHTS = "too_many_changed_rights"
    NAME_NOT_PLAIN = "name_not_plain"
    NAME_PERSONAL = "name_personal"
    NAME_TAKEN = "name_taken"
