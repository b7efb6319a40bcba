"""What every answer looks like: the common headers, JSON as TorchServe prints it, status texts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from .errors import message_of, on_the_wire

Headers = list[tuple[bytes, bytes]]

ALWAYS: Headers = [
    (b"pragma", b"no-cache"),
    (b"cache-control", b"no-cache; no-store, must-revalidate, private"),
    (b"expires", b"Thu, 01 Jan 1970 00:00:00 UTC"),
]
JSON = (b"content-type", b"application/json")
OURS_ALONE = {b"content-length", b"transfer-encoding", b"connection", b"content-type"}
_NOT_IN_A_NAME = re.compile(rb"[^!#$%&'*+\-.^_`|~0-9A-Za-z]")
_NOT_IN_A_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


def pretty(content: Any) -> bytes:
    """JSON with two spaces of indentation and a newline at its end."""
    return orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def speaks_open_inference(path: str) -> bool:
    """Whether a path belongs to the Open Inference Protocol, whose clients look for `error`."""
    return path == "/v2" or path.startswith("/v2/")


def error_body(error: Exception, operator: bool, path: str = "") -> tuple[int, bytes]:
    """The status and the JSON of an error.

    `reason` says more than TorchServe's message, where there is more for clients to know; `detail` is for operators
    alone, `error` for those who speak a protocol.
    """
    code, kind = on_the_wire(error)
    body: dict[str, Any] = {"code": code, "type": kind, "message": message_of(error)}
    if speaks_open_inference(path):
        body["error"] = body["message"]
    if reason := getattr(error, "reason", ""):
        body["reason"] = reason
    if operator and (detail := getattr(error, "detail", "")):
        body["detail"] = detail
    return code, pretty(body)


def sendable(headers: Mapping[str, str]) -> Headers:
    """A handler's headers as they may go out: without those that frame the message, and without line breaks."""
    pairs = ((name.encode("latin-1", "replace"), value.encode("latin-1", "replace")) for name, value in headers.items())
    return [
        (name, _NOT_IN_A_VALUE.sub(b" ", value))
        for name, value in pairs
        if name and name.lower() not in OURS_ALONE and not _NOT_IN_A_NAME.search(name)
    ]


def cors(settings_headers: Iterable[tuple[bytes, str | None]]) -> Headers:
    """The CORS headers that are configured."""
    return [(name, value.encode("latin-1")) for name, value in settings_headers if value]
