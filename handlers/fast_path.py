"""FastPath, a handler's model as it is run: by plans where there can be any, as it stands where not."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import inf
from pathlib import Path
from typing import Any

from ..engine import Tensor, nn
from ..engine.compiled import CompiledModel, compile_module
from ..engine.errors import EngineError
from ..engine.executors import Choices, executor_named
from .context import Context
from .engine_options import EAGER, EngineOptions
from .errors import HandlerError
from .model_watch import ModelWatch, hooked_layer

logger = logging.getLogger(__name__)

Signature = tuple[Any, ...]

CHOICES_FILE = "MAR-INF/choices.json"
PLANS = 4
"""Sizes of batches that there are plans for at the same time, unless more were asked for."""
PATIENCE = 8
"""Calls in a row with the same other shapes of inputs, after which the model is compiled for those."""
RESHAPINGS = 4
"""Times that it is, at most: where shapes go on changing, they run eager."""
RECOMPILATIONS = 3
"""Times that a model may change after it was compiled, before it is left eager."""
HOOKED = "{} has a hook around its forward, which a plan would not call"
NOT_YET = "not compiled yet: the first call without gradients says which shapes the inputs have"


class FastPath:
    """Calls like the model it stands for, and compiles it at the first call unless prepare() has done so.

    Compiling never fails a call: what cannot be compiled, or has other inputs than it was compiled for, runs eager.
    """

    def __init__(self, model: Any, options: EngineOptions, choices: Choices | None = None) -> None:
        self.model, self.options = model, options
        self.choices = Choices() if choices is None else choices
        part = getattr(model, "planned_part", None)
        self.inner = FastPath(part, options, self.choices) if isinstance(part, nn.Module) else None
        """The path of the part that can be planned, where the model says which, as the engine's detectors do."""
        self.reason = _why_eager(model, options)
        self.format = ""
        """What kind of file the model's weights or program are in, where that is known."""
        self.problem = ""
        """Why prepare() could not compile the model for its examples; the first call tries again."""
        self._compiled: CompiledModel | None = None
        self._lock = threading.Lock()
        self._inside = threading.local()
        self._eager_calls = self._misses = self._changes = self._reshapings = 0
        self._missed: Signature = ()
        self._used = False
        self._watch: ModelWatch | None = None
        self._hook: str | None = None
        self._plans = PLANS

    def __call__(self, *args: Any, **named: Any) -> Any:
        """What the model gives."""
        return self.call(self.model, args, named)

    def call(self, eager: Callable[..., Any], args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """What the model gives; `eager` is what runs it where there is no plan."""
        if self.inner:
            return eager(*args, **named)
        with self._within():
            return self._call(eager, args, named)

    @contextmanager
    def _within(self) -> Iterator[None]:
        """Whatever calls the model in between gets the model itself."""
        before, self._inside.running = self.running, True
        try:
            yield
        finally:
            self._inside.running = before

    @property
    def running(self) -> bool:
        """Whether the present thread is within a call."""
        return getattr(self._inside, "running", False)

    def prepare(self, examples: tuple[Any, ...], batches: Sequence[int], seconds: float = inf) -> None:
        """Compile for inputs like the examples, unless it is done, and make the plans for these batches, in this order.

        No plan is begun that would probably not be ready within so many seconds; batches without one are run by others.
        """
        if self.inner:
            self.inner.prepare((self.model.planned_example,), batches, seconds)
            return
        if self.reason:
            return
        self._plans = max(PLANS, len(batches))
        try:
            with self._within():
                if examples:
                    self._compiled_for(examples, {})
                if self._compiled:
                    self._make_plans(self._compiled, batches, seconds)
        except Exception as error:  # a border: whatever a model raises for inputs that are not what it gets
            self._compiled, self.problem = None, f"{type(error).__name__}: {error}"

    def _make_plans(self, compiled: CompiledModel, batches: Sequence[int], seconds: float) -> None:
        start = last = time.perf_counter()
        took = 0.0
        for batch in batches:
            if last - start + 2 * took > seconds:  # most batches are twice the one before
                compiled.settle()
                logger.info("no plans for batches of %d and more: %g s are over", batch, seconds)
                break
            compiled.prepare([batch])
            took, last = time.perf_counter() - last, time.perf_counter()
        if compiled.graph is None:
            self._give_up(compiled.reason)

    def describe(self) -> dict[str, Any]:
        """How the model is run, as plain data."""
        if self.inner:
            return self.inner.describe() | {"format": self.format}
        told = self._compiled.describe() if self._compiled else self._described_eager()
        return {"format": self.format} | told | {"eager_calls": told["eager_calls"] + self._eager_calls}

    @property
    def compiled(self) -> CompiledModel | None:
        """The model, or its part, as the engine has compiled it; None where it has not, yet or at all."""
        return self.inner.compiled if self.inner else self._compiled

    def require(self) -> CompiledModel:
        """The model as the engine has compiled it.

        Raises: HandlerError where it has not, with the reason.
        """
        if self.inner:
            return self.inner.require()
        if self._compiled:
            return self._compiled
        if self.reason or self.problem:
            told = f"runs eager: {self.reason}" if self.reason else f"cannot be compiled for its inputs: {self.problem}"
            raise HandlerError(f"the model {told}")
        raise HandlerError(
            "the model was not compiled: nothing says what its inputs look like",
            hint="add engine.inputs or engine.sample to the model's YAML (--config-file)",
        )

    def _call(self, eager: Callable[..., Any], args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        if self.reason:
            self._eager_calls += 1
            return eager(*args, **named)
        try:
            return self._run(eager, args, named)
        except Exception as error:  # the model's own, which it raises again below, or else the plan's
            problem = error
        result = eager(*args, **named)
        self._give_up(f"{type(problem).__name__}: {problem}", problem)
        return result

    def _run(self, eager: Callable[..., Any], args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        with self._lock:
            compiled = self._compiled_for(args, named)
        if compiled is None:
            self._eager_calls += 1
            return eager(*args, **named)
        eager_calls = compiled.eager_calls
        result = compiled(*args, **named)
        if compiled.eager_calls == eager_calls:
            self._used, self._misses = True, 0
        elif compiled.graph is None:
            self._give_up(compiled.reason)
        else:
            self._miss(_signature(args, named))
        return result

    def _miss(self, signature: Signature) -> None:
        """The model was compiled for other inputs than these."""
        self._misses = self._misses + 1 if signature == self._missed else 1
        self._missed = signature

    def _compiled_for(self, args: tuple[Any, ...], named: dict[str, Any]) -> CompiledModel | None:
        if self.reason or self.model.training:
            return None
        if self._watch is None or self._watch.changed():
            self._look_again()
        if self._compiled and self._misses >= (PATIENCE if self._used else 1) and self._reshapings < RESHAPINGS:
            self._forget("its inputs have other shapes")
            self._reshapings += 1
        if self._compiled is None and self._hook is None and not self.reason:
            self._compile(args, named)
        return self._compiled

    def _look_again(self) -> None:
        """The model is not what it was: what was made of it may not be right any more."""
        self._watch, self._hook = ModelWatch(self.model), hooked_layer(self.model)
        if self._compiled is None:
            return
        self._forget("it was changed")
        self._changes += 1
        if self._changes > RECOMPILATIONS:
            self._give_up("it keeps changing")

    def _compile(self, args: tuple[Any, ...], named: dict[str, Any]) -> None:
        options = self.options
        compiled = compile_module(
            self.model, *args, named=named, executor=options.executor, threads=options.threads, exact=options.exact,
            choices=self.choices, plans=self._plans,
        )  # fmt: skip
        self._used, self._misses = False, 0
        if compiled.graph is None:
            self._give_up(compiled.reason)
            return
        self._compiled = compiled

    def _described_eager(self) -> dict[str, Any]:
        """What CompiledModel.describe() would say, were there one."""
        hook = HOOKED.format(self._hook or "the model itself") if self._hook is not None else ""
        unfit = f"; it cannot run with those that were expected: {self.problem}" if self.problem else ""
        options, reason = self.options, self.reason or hook or NOT_YET + unfit
        return {
            "mode": "eager", "reason": reason, "executor": options.executor, "threads": options.threads,
            "exact": options.exact, "plans": [], "constants_bytes": 0, "eager_calls": 0,
        }  # fmt: skip

    def _forget(self, why: str) -> None:
        logger.info("the model is compiled again: %s", why)
        if self._compiled:
            self._eager_calls += self._compiled.eager_calls
        self._compiled = None

    def _give_up(self, reason: str, error: Exception | None = None) -> None:
        if self._compiled:
            self._eager_calls += self._compiled.eager_calls
        self._compiled, self.reason = None, reason
        logger.warning("the model runs eager: %s", reason, exc_info=error)


def _signature(args: tuple[Any, ...], named: dict[str, Any]) -> Signature:
    """What tells inputs apart, whatever their batch."""
    return tuple(
        (tuple(item.shape[1:]), str(item.dtype)) if isinstance(item, Tensor) else type(item).__name__
        for item in (*args, *named.values())
    )


def stored_choices(context: Context | None) -> Choices:
    """The algorithms that an archive brings with it, chosen when it was packed; none where it was not tuned."""
    folder = Path(context.system_properties["model_dir"]) if context else Path()
    return Choices.load(folder / CHOICES_FILE) if context else Choices()


def _why_eager(model: Any, options: EngineOptions) -> str:
    """Why a model is not to be compiled at all; "" where it is."""
    if options.executor == EAGER:
        return "engine.executor says so"
    if not isinstance(model, nn.Module):
        return f"a {type(model).__name__} is no module of the engine"
    try:
        executor_named(options.executor, exact=options.exact)
    except EngineError as error:
        return f"engine.executor: {error}"
    return ""
