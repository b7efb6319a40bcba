"""Exception → gRPC's status and its text: by HTTP's status for it, as TorchServe maps them, with a few of their own."""

from __future__ import annotations

from grpc import StatusCode

from .. import errors as e
from ..api.errors import NotAllowed, TookTooLong, message_of, on_the_wire

OF_HTTP = {
    400: StatusCode.INVALID_ARGUMENT,
    401: StatusCode.UNAUTHENTICATED,
    403: StatusCode.PERMISSION_DENIED,
    404: StatusCode.NOT_FOUND,
    409: StatusCode.ABORTED,
    413: StatusCode.RESOURCE_EXHAUSTED,
    416: StatusCode.OUT_OF_RANGE,
    429: StatusCode.RESOURCE_EXHAUSTED,
    499: StatusCode.CANCELLED,
    501: StatusCode.UNIMPLEMENTED,
    503: StatusCode.UNAVAILABLE,
    504: StatusCode.DEADLINE_EXCEEDED,
}
"""Contract: gRPC, section 2. Any other 4xx is FAILED_PRECONDITION, any other status INTERNAL."""

OF_ERROR: dict[type[Exception], StatusCode] = {
    e.ModelConflict: StatusCode.ALREADY_EXISTS,
    e.DefaultVersionInUse: StatusCode.FAILED_PRECONDITION,
    NotAllowed: StatusCode.PERMISSION_DENIED,
    TookTooLong: StatusCode.DEADLINE_EXCEEDED,
}
"""Where gRPC has a better word than HTTP's status would lead to."""

LONGEST = 2000
"""Characters of a text: it travels as a header, of which clients take 8 KiB."""


def status_of(error: Exception) -> StatusCode:
    """The status that an error is answered with."""
    if own := OF_ERROR.get(type(error)):
        return own
    code, _ = on_the_wire(error)
    return OF_HTTP.get(code, StatusCode.FAILED_PRECONDITION if 400 <= code < 500 else StatusCode.INTERNAL)


def text_of(error: Exception, operator: bool = False) -> str:
    """What a client is told; who manages models also gets the detail, on lines of its own."""
    detail = getattr(error, "detail", "") if operator else ""
    text = f"{message_of(error)}\n{detail}" if detail else message_of(error)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
