"""An answer in pieces: one chunk each, until the handler is done, or the answer breaks off where everybody sees it."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import replace

from ..errors import ServingError
from ..messages import InferenceResponse, Pieces
from .bodies import WITHOUT_BODY, ClientLeft, Receive, Scope, Send, to_response
from .listener import EXCHANGE, send_whole

logger = logging.getLogger(__name__)

LENGTH = b"content-length"


async def send_in_pieces(
    response: InferenceResponse, further: Pieces, scope: Scope, receive: Receive, send: Send
) -> None:
    """Send what is there, and each piece as it comes; a client that cannot read pieces gets them in one.

    When the handler fails on the way, the connection is closed without the last chunk: the status has gone out already.
    Raises: ClientLeft; ServingError before anything was sent.
    """
    watcher = asyncio.create_task(_close_when_left(further, receive))
    try:
        if scope["http_version"] == "1.0" or response.status in WITHOUT_BODY:
            await send_whole(send, *to_response(replace(response, body=await _joined(response, further))))
        else:
            await _send_chunks(response, further, scope, send)
        if watcher.done():
            raise ClientLeft
    finally:
        further.close()
        watcher.cancel()
        with suppress(asyncio.CancelledError):
            await watcher


async def _send_chunks(response: InferenceResponse, further: Pieces, scope: Scope, send: Send) -> None:
    status, headers, first = to_response(response)
    headers = [(name, value) for name, value in headers if name != LENGTH]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": first, "more_body": True})
    try:
        async for piece in further:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    except ServingError as error:
        logger.warning("the answer to request %s breaks off: %s", scope[EXCHANGE].id, error.explained())
        return
    await send({"type": "http.response.body", "body": b""})


async def _joined(response: InferenceResponse, further: Pieces) -> bytes:
    return b"".join([response.body, *[piece async for piece in further]])


async def _close_when_left(further: Pieces, receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue
    further.close()
