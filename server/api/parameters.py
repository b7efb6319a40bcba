"""Management parameters, read as leniently as TorchServe reads them: from the query, or from a JSON body."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from ..errors import InvalidRequest
from .bodies import read_body

if TYPE_CHECKING:
    from fastapi import Request

JSON_BYTES = 1 << 20
INTEGER = 1 << 31
LENIENT_BYTES = 1 << 14
"""What is read leniently at most: that reader is slow."""


class Parameters:
    """Named values as a client wrote them; what cannot be read as the wanted type counts as not given."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        """Read from `values`."""
        self._values = values

    @classmethod
    def of_query(cls, request: Request) -> Parameters:
        """The query's parameters; the first of several values counts."""
        pairs = parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True)
        return cls(dict(reversed(pairs)))

    @classmethod
    async def of(cls, request: Request) -> Parameters:
        """The JSON body's members where the content type is exactly application/json, else the query's."""
        if request.headers.get("content-type") != "application/json":
            return cls.of_query(request)
        body = await read_body(request.scope["headers"], request.receive, JSON_BYTES)
        values = _lenient_json(body)
        if not isinstance(values, dict):
            raise InvalidRequest('The body must be a JSON object such as {"url": "model.mar"}.')
        return cls(values)

    def text(self, name: str) -> str | None:
        """The value as text; None where it is not given."""
        value = self._values.get(name)
        return None if value is None else str(value)

    def integer(self, name: str) -> int | None:
        """The value as a whole number of 32 bits; None where it is not given, or is none."""
        try:
            found = int(str(self._values[name]))
        except (KeyError, ValueError):
            return None
        return found if -INTEGER <= found < INTEGER else None

    def integer_or(self, name: str, default: int) -> int:
        """The value as a whole number, or the default."""
        found = self.integer(name)
        return default if found is None else found

    def flag(self, name: str, default: bool) -> bool:
        """True only for `true` in any case."""
        return str(self._values[name]).lower() == "true" if name in self._values else default


def _lenient_json(body: bytes | bytearray) -> Any:
    """JSON, or what is nearly it, as TorchServe's reader takes it: single quotes, names without any.

    Raises: InvalidRequest with the complaint about it as JSON.
    """
    try:
        return json.loads(body)
    except RecursionError as error:
        raise InvalidRequest("The body is JSON that is nested too deeply.") from error
    except ValueError as error:
        if len(body) <= LENIENT_BYTES and body.lstrip().startswith(b"{"):
            import yaml  # for those who write nearly JSON

            with suppress(yaml.YAMLError, ValueError, RecursionError):
                return yaml.safe_load(bytes(body))
        raise InvalidRequest(f"The body is no JSON: {error}") from error
