"""A bench from start to end: each point warms up, then is measured; the server's own figures are read around it."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from .arrivals import ARRIVALS
from .connections import Door, Pacer, Pool
from .load import ClosedLoop, OpenLoop, Phase
from .observed import Observer
from .point import Point, summarize


@dataclass(frozen=True, slots=True)
class Target:
    """Where requests go, and what they are, as bytes; they take turns."""

    door: Door
    requests: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Load:
    """One point: so many clients in closed loop, or so many requests a second in open loop."""

    level: float
    arrivals: str | None = None
    """How requests of an open loop come: `poisson` or `constant`; None = closed loop."""
    warmup: float = 1.0
    seconds: float = 10.0
    count: float = math.inf
    connections: int = 1000
    """Of an open loop, at most."""
    patience: float = 30.0
    """Seconds that the last answers may take."""
    seed: int = 0


async def bench(target: Target, loads: Sequence[Load], observer: Observer | None = None) -> AsyncIterator[Point]:
    """The points of these loads, one after the other."""
    observer = observer or Observer()
    for load in loads:
        pool = Pool(target.door)
        try:
            if load.warmup:
                await _run(pool, target, load, load.warmup, math.inf)
            before = await asyncio.to_thread(observer.read)
            own = time.process_time()
            phase = await _run(pool, target, load, load.seconds, load.count)
            own = time.process_time() - own
            spent = observer.between(before, await asyncio.to_thread(observer.read))
        finally:
            await pool.close()
        kind = "open" if load.arrivals else "closed"
        yield summarize(kind, load.level, load.arrivals, phase.record, phase.elapsed, own, spent)


async def _run(pool: Pool, target: Target, load: Load, seconds: float, count: float) -> Phase:
    """One phase, until the last answer has come or has taken too long."""
    finished = asyncio.Event()
    phase, stop = _start(pool, target.requests, load, seconds, count, finished.set)
    if phase.finished:
        finished.set()
    timer = asyncio.get_running_loop().create_task(_abandon(phase, load.patience))
    try:
        await finished.wait()
    finally:
        timer.cancel()
        stop()
    return phase


def _start(
    pool: Pool, requests: Sequence[bytes], load: Load, seconds: float, count: float, finished: Callable[[], None]
) -> tuple[Phase, Callable[[], None]]:
    """Begin a phase; returns it, and what stops what drives it."""
    idle = pool.idle
    if load.arrivals is None:
        clients = ClosedLoop(requests, seconds, count, open_line=pool.open)
        pool.phase, clients.on_finished = clients, finished
        clients.start(round(load.level), idle)
        return clients, lambda: None
    rate = OpenLoop(requests, seconds, count, open_line=pool.open)
    pool.phase, rate.on_finished = rate, finished
    rate.start(load.connections, idle)
    pacer = Pacer(ARRIVALS[load.arrivals](load.level, load.seed), seconds, rate.due)
    pacer.start(rate.begin)
    return rate, pacer.stop


async def _abandon(phase: Phase, patience: float) -> None:
    """Give up what is not answered when nothing has been sent or answered for `patience` seconds."""
    while True:
        quiet = time.perf_counter() - phase.quiet_since
        if quiet >= patience:
            phase.abandon()
            return
        await asyncio.sleep(patience - quiet)
