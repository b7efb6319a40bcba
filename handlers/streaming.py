"""Answers in pieces: what a handler calls to send one while it works on the rest."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from .context import Context
from .errors import PredictionException

logger = logging.getLogger(__name__)

STREAM_NEXT = "ts_stream_next"
OK = 200


def send_intermediate_predict_response(
    ret: list[Any], req_id_map: Iterable[int], message: str, code: int, context: Context | None = None
) -> None:
    """Send each request of the batch a piece of its answer; what handle() returns is the last one.

    `ret` has an item for each request, of the kinds that handle() may return. Status and headers go out with the first
    piece. Call it as TorchServe's handlers do: (pieces, context.request_ids, "…", 200, context).
    Raises: PredictionException where the code is not 200: it ends the answer.
    """
    if code != OK:
        raise PredictionException(message, code)
    if context is None or context.intermediate is None:
        logger.warning("a piece of an answer is dropped: no batch is being answered")
        return
    for index in req_id_map:
        context.set_response_header(index, STREAM_NEXT, "true")
    context.intermediate(ret)
