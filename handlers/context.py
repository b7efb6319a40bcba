"""Context: what a handler is told about its model and the requests of the current batch, and what it says back."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from os import PathLike
from typing import Any

from .. import __version__
from .metrics import MetricsCache

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110, section 5.6.2
_UNSAFE = re.compile(r"[\r\n\0]")
_CONTENT_TYPE = "content-type"


@dataclass(slots=True)
class ResponseParts:
    """What the handler decided about one response beside its body."""

    status: int
    phrase: str
    content_type: str | None
    headers: dict[str, str]


class RequestProcessor:
    """The headers of one request, and the status and headers of its response."""

    def __init__(self, request_header: Mapping[str, Any]) -> None:
        self._request = dict(request_header)
        self._response: dict[str, str] = {}
        self._code: int = HTTPStatus.OK
        self._phrase = ""

    def get_request_property(self, key: str) -> Any:
        """A request header by name, the exact spelling first, then in any case; None where there is none."""
        if key in self._request:
            return self._request[key]
        folded = key.lower()
        return next((value for name, value in self._request.items() if name.lower() == folded), None)

    def get_request_properties(self) -> dict[str, Any]:
        """All request headers, named as the server received them."""
        return self._request

    def report_status(self, code: int, reason_phrase: str | None = None) -> None:
        """Set the response's status; a phrase of None is an empty one."""
        if not isinstance(code, int) or not 200 <= code <= 599:
            raise ValueError(f"a response status is a number from 200 to 599, not {code!r}")
        self._code, self._phrase = code, _safe("status phrase", reason_phrase or "")

    def get_response_status_code(self) -> int:
        """The response's status so far."""
        return self._code

    def get_response_status_phrase(self) -> str:
        """The response's reason phrase so far."""
        return self._phrase

    def add_response_property(self, key: str, value: str) -> None:
        """Set a response header.

        Raises: TypeError where the value is no text, ValueError where name or value cannot stand in a header.
        """
        if not isinstance(value, str):
            raise TypeError(f"response header {key!r}: the value must be a str, not {type(value).__name__}")
        if not _TOKEN.fullmatch(key):
            raise ValueError(f"{key!r} cannot be the name of a header")
        self._response[key] = _safe(f"header {key!r}", value)

    def get_response_headers(self) -> dict[str, str]:
        """The response headers set so far."""
        return self._response

    def get_response_header(self, key: str) -> str | None:
        """One of the response headers set so far."""
        return self._response.get(key)

    def parts(self) -> ResponseParts:
        """What was decided, with the content type apart from the other headers."""
        if not self._response:
            return ResponseParts(self._code, self._phrase, None, {})
        headers = {name: value for name, value in self._response.items() if name.lower() != _CONTENT_TYPE}
        kinds = [value for name, value in self._response.items() if name.lower() == _CONTENT_TYPE]
        return ResponseParts(self._code, self._phrase, kinds[-1] if kinds else None, headers)


class Context:
    """One object a worker, renewed by `begin` for every batch.

    `stopping_criteria` say of each answer of a batch whether it is the last piece (streaming.py).
    `intermediate` sends a piece of each answer while a batch is being answered, and is None otherwise (streaming.py);
    so with `nobody_waits`, which `cancelled` asks.
    `system_properties` holds model_dir, gpu_id, batch_size, server_name, server_version and limit_max_image_pixels;
    `request_ids` maps the index in the batch to the request's id and is None before the first batch.
    """

    header_key_sequence_id = "ts_request_sequence_id"
    header_key_sequence_start = "ts_request_sequence_start"
    header_key_sequence_end = "ts_request_sequence_end"

    def __init__(
        self,
        model_name: str,
        model_dir: str | PathLike[str],
        manifest: dict[str, Any] | None,
        batch_size: int,
        gpu_id: int | None = None,
        limit_max_image_pixels: bool = True,
        model_yaml_config: dict[str, Any] | None = None,
        server_version: str = __version__,
        threads: int | None = None,
    ) -> None:
        self.model_name = model_name
        self.manifest = manifest
        self.model_yaml_config: dict[str, Any] = model_yaml_config or {}
        self.threads = threads
        self.metrics = MetricsCache(model_name)
        self.request_ids: dict[int, str] | None = None
        self.request_processor: list[RequestProcessor] = []
        self.stopping_criteria: Sequence[Callable[[Any], bool]] | Mapping[int, Callable[[Any], bool]] | None = None
        self.cl_socket: Any = None
        self.intermediate: Callable[[list[Any]], None] | None = None
        self.nobody_waits: Callable[[], bool] | None = None
        self.system_properties: dict[str, Any] = {
            "model_dir": str(model_dir),
            "gpu_id": gpu_id,
            "batch_size": batch_size,
            "server_name": "MMS",
            "server_version": server_version,
            "limit_max_image_pixels": limit_max_image_pixels,
        }

    @property
    def cancelled(self) -> bool:
        """Whether all clients of the batch have left, or their time is over: what is still to be done is for nobody."""
        return self.nobody_waits is not None and self.nobody_waits()

    def begin(self, ids: Sequence[str], headers: Sequence[Mapping[str, Any]]) -> None:
        """Start a batch: these requests, no response decided yet."""
        self.request_ids = dict(enumerate(ids))
        self.request_processor = [RequestProcessor(each) for each in headers]

    def response(self, index: int) -> ResponseParts:
        """What the handler decided about the response to request `index`."""
        return self._at(index).parts()

    def get_request_id(self, idx: int = 0) -> str | None:
        """The id of a request, which is also its x-request-id; None before the first batch."""
        return None if self.request_ids is None else self.request_ids.get(idx)

    def get_request_header(self, idx: int, key: str) -> Any:
        """A header of a request, in any spelling of its name; None where it was not sent."""
        return self._at(idx).get_request_property(key)

    def get_all_request_header(self, idx: int) -> dict[str, Any]:
        """All headers of a request, with its parts' content types, `explain` and `url_path`."""
        return self._at(idx).get_request_properties()

    def get_sequence_id(self, idx: int) -> Any:
        """The id of the sequence that a request belongs to; None outside sequence batching."""
        return self.get_request_header(idx, self.header_key_sequence_id)

    def set_response_content_type(self, idx: int, value: str) -> None:
        """Set the content type of a response."""
        self.set_response_header(idx, _CONTENT_TYPE, value)

    def get_response_content_type(self, idx: int) -> str | None:
        """The content type set for a response, or None."""
        return self.response(idx).content_type

    def set_response_header(self, idx: int, key: str, value: str) -> None:
        """Set a header of a response."""
        self._at(idx).add_response_property(key, value)

    def get_response_headers(self, idx: int) -> dict[str, str]:
        """The headers set for a response."""
        return self._at(idx).get_response_headers()

    def set_response_status(self, code: int = 200, phrase: str = "", idx: int = 0) -> None:
        """Set the status of one response."""
        self._at(idx).report_status(code, phrase)

    def set_all_response_status(self, code: int = 200, phrase: str = "") -> None:
        """Set the status of every response of the batch."""
        for each in self.request_processor:
            each.report_status(code, phrase)

    def get_response_status(self, idx: int) -> tuple[int, str]:
        """The status and phrase set for a response."""
        parts = self.response(idx)
        return parts.status, parts.phrase

    def _at(self, index: int) -> RequestProcessor:
        if not 0 <= index < len(self.request_processor):
            raise IndexError(f"request {index} is not in the batch: it has {len(self.request_processor)} requests")
        return self.request_processor[index]


def _safe(what: str, value: str) -> str:
    if _UNSAFE.search(value):
        raise ValueError(f"{what}: {value!r} holds a line break or NUL, which would end the header early")
    return value
