"""The engines: each makes a call of a model on one batch, for a number of threads."""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnxruntime
import torch
from numserve.engine import Tensor
from numserve.engine.compiled import compile_module
from numserve.engine.executors.choices import Choices
from oracle_models import Pair

from .timing import clock_for


@dataclass(frozen=True, eq=False)
class Contest:
    """A model, what it is given, and what a call may use."""

    pair: Pair
    x: np.ndarray[Any, np.dtype[np.float32]]
    threads: int

    @property
    def given(self) -> torch.Tensor:
        return torch.from_numpy(self.x)


@dataclass(eq=False)
class Runner:
    """One engine's call, ready, with facts about how it was made ready."""

    call: Callable[[], Any]
    facts: dict[str, Any] = field(default_factory=dict)

    def output(self) -> np.ndarray[Any, Any]:
        """The answer of one call."""
        answer = self.call()
        return np.array(answer.detach().numpy() if hasattr(answer, "detach") else answer)


def eager(contest: Contest) -> Runner:
    """The torch module as it is called by who has not read about inference_mode."""
    model, given = contest.pair.theirs, contest.given
    return Runner(lambda: model(given))


def inference(contest: Contest) -> Runner:
    """The torch module in inference_mode."""
    return Runner(_inferring(contest.pair.theirs, contest.given))


def channels_last(contest: Contest) -> Runner | None:
    """The same with weights and pictures in torch's other layout."""
    if contest.x.ndim != 4:
        return None
    model = copy.deepcopy(contest.pair.theirs).to(memory_format=torch.channels_last)
    return Runner(_inferring(model, contest.given.contiguous(memory_format=torch.channels_last)))


def jit(contest: Contest) -> Runner:
    """Traced, frozen and optimised by TorchScript."""
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(contest.pair.theirs, contest.given)
        model = torch.jit.optimize_for_inference(torch.jit.freeze(traced))
        for _ in range(3):  # the first calls specialise it
            model(contest.given)
    return Runner(_inferring(model, contest.given))


def _inferring(model: Any, given: torch.Tensor) -> Callable[[], Any]:
    def call() -> Any:
        with torch.inference_mode():
            return model(given)

    return call


def ort(contest: Contest) -> Runner:
    """ONNX Runtime on what torch's exporter writes, with all its optimisations (its default)."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = contest.threads, 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(exported(contest), options, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: contest.x}
    return Runner(lambda: session.run(None, feed)[0])


def exported(contest: Contest) -> bytes:
    """The model as ONNX, by the exporter that needs nothing but the onnx package."""
    file = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad(), _quiet(), _plain_attention():
        warnings.simplefilter("ignore")
        torch.onnx.export(contest.pair.theirs, (contest.given,), file, dynamo=False, input_names=["x"])
    return file.getvalue()


@contextlib.contextmanager
def _plain_attention() -> Iterator[None]:
    """Torch's fused encoder layer has no counterpart in ONNX; its parts have."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def ours(executor: str, contest: Contest) -> Runner:
    """Numserve's module, compiled for an executor; made ready twice, the second time by what the first time chose."""
    ready: list[float] = []
    choices, given = Choices(), Tensor(contest.x)
    clock = clock_for(contest.threads)
    for _ in range(2):
        start = clock()
        model = compile_module(
            contest.pair.ours, given, executor=executor, threads=contest.threads, choices=choices, plans=1
        )
        model.prepare((len(contest.x),))
        ready.append(round(clock() - start, 3))
    described = model.describe()
    if described["mode"] != "plan":
        raise SystemExit(f"{executor}: runs eagerly, not by a plan: {described['reason']}")
    return Runner(lambda: model(given), {"ready_s": ready, **described["plans"][0]})


ENGINES: dict[str, Callable[[Contest], Runner | None]] = {
    "eager": eager,
    "inference": inference,
    "channels_last": channels_last,
    "jit": jit,
    "ort": ort,
    "numpy": lambda contest: ours("numpy", contest),
    "native": lambda contest: ours("native", contest),
}
TORCH, OURS = ("eager", "inference", "channels_last", "jit"), ("numpy", "native")
