"""Scaling: how many workers a model is to have, from how long its requests wait. Decides alone; pool.py acts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

PRESSED = 0.5
"""Seconds for which requests must wait too long before another worker is started."""
IN_USE = 0.7
"""Share of their time that the workers that stay may have been busy, for one to go."""


class Use(NamedTuple):
    """What there is to do for the workers of a model at one moment; `waited` is the oldest request's, in seconds.

    `ready` are those of the `workers` that have loaded the model and stay; `requests` wait or are being answered.
    """

    workers: int
    ready: int
    busy: int
    waited: float
    requests: int


@dataclass(frozen=True, slots=True)
class Limits:
    """How many workers there may be, and the seconds after which that changes; `rest_after` 0: never all of them go."""

    least: int
    most: int
    up_wait: float
    down_after: float
    rest_after: float = 0

    @property
    def varies(self) -> bool:
        """Whether there is anything to decide."""
        return 0 < self.least < self.most or (self.least > 0 and self.rest_after > 0)


class Decision(NamedTuple):
    """How many workers there are to be from now on, and why; as many as there are, where there is no room for more."""

    workers: int
    why: str


class Controller:
    """Told how things are at every moment, it says when the number of workers is to change.

    More at once are started slowly: one, when requests have waited too long for half a second, and the next when it
    has loaded the model and that was not enough. Fewer there are when the others would have had time enough, for so
    long that what has just been started is not given up again.
    """

    def __init__(self, now: float) -> None:
        """Begin to watch."""
        self._used_at = now
        self._pressed_since: float | None = None
        self._held = False
        self._begin_calm(now)

    def decide(self, now: float, limits: Limits, use: Use, no_room: Callable[[], str]) -> Decision | None:
        """What is to change; `no_room` tells why the machine has none for another worker, or ""."""
        if use.requests or use.ready < use.workers:
            self._used_at = now
        if not use.workers:
            return None
        if use.ready == use.busy and use.waited > limits.up_wait:
            return self._pressed(now, limits, use, no_room)
        self._pressed_since, self._held = None, False
        if limits.rest_after and now - self._used_at >= limits.rest_after:
            return Decision(0, f"no request for {limits.rest_after:g} s (scaleToZeroAfter)")
        return self._calm(now, limits, use)

    def _pressed(self, now: float, limits: Limits, use: Use, no_room: Callable[[], str]) -> Decision | None:
        """Requests wait, and no worker is idle."""
        self._begin_calm(now)
        if use.ready < use.workers or use.workers >= limits.most:
            self._pressed_since = None
            return None
        if self._pressed_since is None:
            self._pressed_since = now
        if now - self._pressed_since < PRESSED:
            return None
        self._pressed_since = None
        waited = f"the oldest request has waited {use.waited:.2f} s (scaleUpWait {limits.up_wait:g} s)"
        if why_not := no_room():
            told, self._held = self._held, True
            return None if told else Decision(use.workers, f"{waited}, but {why_not}")
        return Decision(use.workers + 1, waited)

    def _calm(self, now: float, limits: Limits, use: Use) -> Decision | None:
        """Nobody waits too long."""
        self._looks += 1
        self._busy += use.busy
        if now - self._calm_since < limits.down_after:
            return None
        busy = self._busy / self._looks
        self._begin_calm(now)
        if use.workers <= limits.least or use.ready < use.workers or busy > IN_USE * (use.workers - 1):
            return None
        return Decision(
            use.workers - 1, f"{busy:.1f} of {use.workers} were busy for {limits.down_after:g} s (scaleDownAfter)"
        )

    def _begin_calm(self, now: float) -> None:
        self._calm_since, self._looks, self._busy = now, 0, 0
