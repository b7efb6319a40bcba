"""Answers in pieces: what a handler calls to send one while it works on the rest."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any

from .context import Context
from .errors import HandlerError, PredictionException

logger = logging.getLogger(__name__)

STREAM_NEXT = "ts_stream_next"
"""The response header that says whether pieces are to come."""
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


def ask_stopping_criteria(answers: Sequence[Any], context: Context) -> None:
    """Mark each answer of a batch as the last piece, or as one that others follow.

    Each of `context.stopping_criteria` is called with the answer of its request, and says whether that was the last.
    Raises: HandlerError where a request has no criterion; what a criterion raises.
    """
    criteria = context.stopping_criteria
    if not criteria:
        return
    for index, answer in enumerate(answers):
        try:
            stops = criteria[index]
        except LookupError:
            raise HandlerError(
                f"context.stopping_criteria has {len(criteria)} criteria, and none for request {index} of the batch"
            ) from None
        context.set_response_header(index, STREAM_NEXT, "false" if stops(answer) else "true")
