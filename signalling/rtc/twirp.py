"""The form of a Twirp call (https://twitchtv.github.io/twirp/docs/spec_v7.html): protobuf or JSON, errors in JSON.

It takes bytes and gives bytes; who may call, and what is done, is in `signalling/http/room_service.py`.
"""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TypeVar

from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message

M = TypeVar("M", bound=Message)


class Form(StrEnum):
    """How a message is written; the value is its content type."""

    PROTOBUF = "application/protobuf"
    JSON = "application/json"


class Code(StrEnum):
    """What went wrong, as Twirp says it."""

    INVALID_ARGUMENT = "invalid_argument"
    MALFORMED = "malformed"
    UNAUTHENTICATED = "unauthenticated"
    PERMISSION_DENIED = "permission_denied"
    NOT_FOUND = "not_found"
    BAD_ROUTE = "bad_route"
    ALREADY_EXISTS = "already_exists"
    RESOURCE_EXHAUSTED = "resource_exhausted"
    FAILED_PRECONDITION = "failed_precondition"
    INTERNAL = "internal"
    UNIMPLEMENTED = "unimplemented"
    UNAVAILABLE = "unavailable"


STATUS = {
    Code.INVALID_ARGUMENT: 400,
    Code.MALFORMED: 400,
    Code.UNAUTHENTICATED: 401,
    Code.PERMISSION_DENIED: 403,
    Code.NOT_FOUND: 404,
    Code.BAD_ROUTE: 404,
    Code.ALREADY_EXISTS: 409,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.FAILED_PRECONDITION: 412,
    Code.INTERNAL: 500,
    Code.UNIMPLEMENTED: 501,
    Code.UNAVAILABLE: 503,
}


class TwirpError(Exception):
    """A call cannot be answered. The message is one clear line that quotes nothing of what was sent."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code


def form_of(content_type: str | None) -> Form:
    """Returns the form that a content type names.

    Raises:
        TwirpError: it names none.
    """
    given = (content_type or "").partition(";")[0].strip().lower()
    if given not in set(Form):
        raise TwirpError(Code.BAD_ROUTE, f"the content type must be {Form.PROTOBUF.value} or {Form.JSON.value}")
    return Form(given)


def read(body: bytes, form: Form, kind: type[M]) -> M:
    """Reads a message; fields that it does not know are passed over, so that newer SDKs can call.

    Raises:
        TwirpError: the body is no such message.
    """
    message = kind()
    try:
        if form is Form.PROTOBUF:
            message.ParseFromString(body)
        else:
            json_format.ParseDict(_object(body), message, ignore_unknown_fields=True)
    except (DecodeError, json_format.ParseError, ValueError, RecursionError) as error:
        fault = f"the body is no {message.DESCRIPTOR.full_name} as {form.value}"
        raise TwirpError(Code.MALFORMED, fault) from error
    return message


def write(message: Message, form: Form) -> bytes:
    """Writes a message; in JSON with the names of its .proto file and with what is empty, as Twirp's servers do."""
    if form is Form.PROTOBUF:
        return message.SerializeToString()
    text = json_format.MessageToJson(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True, indent=None
    )
    return text.encode()


def _object(body: bytes) -> dict[str, object]:
    given = json.loads(body)
    if not isinstance(given, dict):
        raise ValueError  # like all else that is no such message
    return given
