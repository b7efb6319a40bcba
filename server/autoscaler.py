"""Autoscaler: one task that looks at all models whose number of workers may vary, and has their pools follow."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from .machine import Machine
from .metrics.models import ModelMetrics
from .pool import WorkerPool
from .scaling import Controller, Decision, Limits
from .status import ScalingStatus

logger = logging.getLogger(__name__)

LOOK_EACH = 0.1
"""Seconds between two looks."""


class ModelScaler:
    """Has the pool of one model follow its load; `limits` are asked anew each time, as management changes them."""

    def __init__(
        self,
        name: str,
        pool: WorkerPool,
        counted: ModelMetrics,
        limits: Callable[[], Limits],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Have decided nothing yet; `name` is for the log."""
        self._name = name
        self._pool = pool
        self._counted = counted
        self._limits = limits
        self._clock = clock
        self._last: tuple[datetime, Decision] | None = None
        self.begin()

    def begin(self) -> None:
        """Forget what was: the number of workers has been changed by somebody else."""
        self._controller = Controller(self._clock())

    @property
    def asleep(self) -> bool:
        """Whether there is nothing to look at until `wake()`."""
        return self._pool.resting

    def look(self, machine: Machine) -> None:
        """Change the number of workers, if that is called for."""
        needed = max((seat.memory_bytes for seat in self._pool), default=0)
        use = self._pool.use()
        decision = self._controller.decide(self._clock(), self._limits(), use, lambda: machine.no_room(needed))
        if decision is None:
            return
        if decision.workers == 0:
            self._pool.rest()
            self._note("to_zero", use.workers, decision)
        elif decision.workers > use.workers:
            self._pool.grow()
            self._note("up", use.workers, decision)
        elif decision.workers < use.workers:
            self._pool.shrink()
            self._note("down", use.workers, decision)
        else:
            self._note("held", use.workers, decision)

    def wake(self) -> None:
        """Start the least number of workers, where all have gone for want of requests: one has come."""
        least = self._limits().least
        if self._pool.wake(least):
            self.begin()
            self._note("from_zero", 0, Decision(least, "a request has come"))

    def status(self) -> ScalingStatus:
        """What there is to tell."""
        limits = self._limits()
        at, decision = self._last or (None, None)
        return ScalingStatus(limits.up_wait, limits.down_after, limits.rest_after, at, decision)

    def _note(self, direction: str, before: int, decision: Decision) -> None:
        self._last = datetime.now(UTC), decision
        self._counted.workers_scaled(direction)
        logger.info("%s: %d → %d workers: %s", self._name, before, decision.workers, decision.why)


class Autoscaler:
    """Looks at models for as long as there are any to look at; at one that is asleep when somebody has woken it.

    So thousands that sleep cost nothing.
    """

    def __init__(
        self, machine: Machine | None = None, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        """Have no models."""
        self._machine = machine
        self._sleep = sleep
        self._models: set[ModelScaler] = set()
        self._task: asyncio.Task[None] | None = None

    def watch(self, model: ModelScaler) -> None:
        """Look at a model from now on."""
        self._models.add(model)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    def leave(self, model: ModelScaler) -> None:
        """Look at a model no more."""
        self._models.discard(model)
        if self._task and not self._models:
            self._task.cancel()
            self._task = None

    async def _run(self) -> None:
        machine = self._machine = self._machine or Machine()
        while True:
            await self._sleep(LOOK_EACH)
            machine.look()
            for model in [*self._models]:
                try:
                    model.look(machine)
                    if model.asleep:
                        self.leave(model)
                except Exception:  # a border: what is wrong with one model must not keep the others from being scaled
                    logger.exception("scaling failed")
