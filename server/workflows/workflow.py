"""Workflow: one request's way through a graph of models."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from typing import Any

from ..errors import (
    DeadlineExceeded,
    InferenceFailed,
    NodeFailed,
    NodeTimedOut,
    ResponseTimeout,
    ServingError,
    too_late,
)
from ..messages import Bytes, InferenceRequest, InferenceResponse, Part
from ..metrics.metrics import Metrics
from ..model import Model
from .spec import Node, WorkflowSpec

logger = logging.getLogger(__name__)

OF_THE_BODY = {"content-type", "content-length", "content-encoding", "transfer-encoding"}
"""Request headers that are about a body, and so about the start node's alone."""
JSON = "application/json"
TIMED_OUT = (DeadlineExceeded, ResponseTimeout)


@dataclass(frozen=True, slots=True)
class Workflow:
    """What is served under one name; `model_of` finds the model of a node, which may have been registered anew."""

    name: str
    url: str
    spec: WorkflowSpec
    model_of: Callable[[str], Model]
    metrics: Metrics
    version: str = ""

    def predict(self, request: InferenceRequest, version_given: bool = False) -> asyncio.Task[InferenceResponse]:
        """Send a request through the graph and return its answer-to-be; cancelling that calls off what is under way.

        The task raises NodeFailed, or what a handler has raised with a status of the client's own doing.
        """
        return asyncio.get_running_loop().create_task(self._measured(request))

    async def _measured(self, request: InferenceRequest) -> InferenceResponse:
        began, outcome = time.monotonic(), "failed"
        try:
            async with asyncio.timeout(request.timeout or None):
                answer = await self._through(request)
            outcome = "answered"
            return answer
        except TimeoutError:
            raise too_late(time.monotonic() - began, "x-request-timeout") from None
        finally:
            self.metrics.workflow_done(self.name, outcome, time.monotonic() - began)

    async def _through(self, request: InferenceRequest) -> InferenceResponse:
        """Run each node as soon as its parents have answered."""
        tasks: dict[str, asyncio.Task[Bytes]] = {}
        try:
            async with asyncio.TaskGroup() as group:
                for node in self.spec.nodes:
                    parents = {name: tasks[name] for name in node.parents}
                    tasks[node.name] = group.create_task(self._run(node, request, parents))
        except* ServingError as failures:
            raise _first(failures) from None
        return self._answer({name: tasks[name].result() for name in self.spec.leaves})

    async def _run(self, node: Node, request: InferenceRequest, parents: Mapping[str, asyncio.Task[Bytes]]) -> Bytes:
        """A node's answer, with as many further attempts as it may have."""
        if parents:
            await asyncio.wait(parents.values())
            request = _handed_on(request, {name: task.result() for name, task in parents.items()})
        for attempt in range(node.retry_attempts + 1):
            try:
                return await self._attempt(node, request)
            except ServingError as error:
                if _of_the_client(error):
                    raise
                failed = error
            logger.warning(
                "workflow %s: node %s failed, attempt %d of %d: %s",
                self.name, node.name, attempt + 1, node.retry_attempts + 1, failed.explained(),
            )  # fmt: skip
        if isinstance(failed, TIMED_OUT):
            raise NodeTimedOut(f"Error executing {node.name}: {failed}", failed.detail) from failed
        raise NodeFailed(f"Error executing {node.name}", failed.explained()) from failed

    async def _attempt(self, node: Node, request: InferenceRequest) -> Bytes:
        began = time.monotonic()
        try:
            async with asyncio.timeout(node.timeout):
                return await _whole(await self.model_of(node.name).predict(request))
        except TimeoutError:
            raise too_late(time.monotonic() - began, "its timeout-ms") from None

    def _answer(self, leaves: Mapping[str, Bytes]) -> InferenceResponse:
        """The one leaf's answer as it is, or those of several in one JSON object."""
        if len(leaves) == 1:
            [body] = leaves.values()
        else:
            body = json.dumps({name: self._parsed(name, said) for name, said in leaves.items()}, indent=2).encode()
        return InferenceResponse(200, "", JSON, {}, body)

    def _parsed(self, name: str, body: Bytes) -> Any:
        with suppress(ValueError, RecursionError):
            return json.loads(bytes(body))
        raise NodeFailed(f"Error executing {name}", "its answer is no JSON; one of several ends of a workflow must be")


async def _whole(answer: InferenceResponse) -> Bytes:
    """The body of an answer, with the pieces that follow it; who does not wait for them lets their handler stop."""
    if answer.further is None:
        return answer.body
    with closing(answer.further) as further:
        return b"".join([answer.body, *[piece async for piece in further]])


def _handed_on(request: InferenceRequest, answers: Mapping[str, Bytes]) -> InferenceRequest:
    """What a node is given: its one parent's answer as the body, or a part for each of several."""
    headers = {name: value for name, value in request.headers.items() if name.lower() not in OF_THE_BODY}
    names = dict.fromkeys(answers, "body") if len(answers) == 1 else {name: name for name in answers}
    return replace(
        request,
        parts=tuple(Part(names[name], None, body) for name, body in answers.items()),
        headers=headers,
        trace=None,
    )


def _of_the_client(error: ServingError) -> bool:
    """Whether a handler has said by its status that the client is to blame, and trying again is vain."""
    return isinstance(error, InferenceFailed) and error.code is not None and 400 <= error.code < 500


def _first(group: BaseExceptionGroup[ServingError]) -> ServingError:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
