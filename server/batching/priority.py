"""Priorities: which requests of a model go before others, and how a request says so."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import orjson

from ..errors import InvalidRequest
from ..messages import InferenceRequest

HEADER = "x-request-priority"
HEADER_LENGTH = "inference-header-content-length"
PARAMETER = b'"priority"'
LONGEST = 1 << 20
"""Bytes of a body that is looked at for a priority; who sends more has the header."""


@dataclass(frozen=True, slots=True)
class Priorities:
    """Levels from 1, which goes first, to `levels`; who names none, or 0, has the `default`.

    A request of level n counts as if it had come (n - 1) · `step` seconds later.
    """

    levels: int = 1
    default: int = 1
    step: float = 1.0

    def of(self, request: InferenceRequest) -> int:
        """The level of a request; what it says counts for nothing where there is one level.

        Raises: InvalidRequest where it names none of the levels.
        """
        if self.levels == 1:
            return 1
        said = request.headers.get(HEADER)
        if said is None:
            said = _parameter(request)
        with suppress(ValueError, TypeError):
            level = self.default if said is None else int(said) or self.default
            if 1 <= level <= self.levels:
                return level
        raise InvalidRequest(f"the priority is {said!r:.40}; expected 1, which goes first, to {self.levels}, or 0")


NONE = Priorities()
"""All requests alike."""


def _parameter(request: InferenceRequest) -> Any:
    """The parameter `priority` of a body of the Open Inference Protocol; None where it has none."""
    body = request.parts[0].body if request.parts else b""
    length = request.headers.get(HEADER_LENGTH, "")
    text = bytes(body[: int(length) if length.isdecimal() and len(length) < 10 else LONGEST + 1])
    if len(text) > LONGEST or PARAMETER not in text:
        return None
    with suppress(orjson.JSONDecodeError, AttributeError):
        return orjson.loads(text).get("parameters", {}).get("priority")
    return None
