"""The pool of threads: what it is given is done, whatever happens beside it."""

from __future__ import annotations

import _thread
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
from numserve.engine import nn, tensor
from numserve.engine.executors import Pool, executor_named
from numserve.engine.graph import capture
from numserve.engine.graph.passes import lower
from numserve.engine.graph.plan import plan
from numserve.engine.random import manual_seed


@pytest.fixture
def busy_machine() -> Iterator[None]:
    """Twice as many processes as processors that do nothing but compute."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2 * (os.cpu_count() or 1))]
    yield
    for other in others:
        other.kill()
        other.wait()


def network() -> nn.Module:
    manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(32 * 14 * 14, 200), nn.GELU(), nn.Linear(200, 10), nn.Softmax(-1),
    ).eval()  # fmt: skip


def test_programs_of_two_threads_end_right_on_a_busy_machine(busy_machine: None) -> None:
    x = np.random.default_rng(5).standard_normal((1, 3, 28, 28), np.float32)
    graph = lower(capture(network(), tensor(x)))
    (expected,) = executor_named("numpy").compile(plan(graph, 1)).run([x])
    program = executor_named("numpy", threads=2).compile(plan(graph, 1, 2))
    results: list[np.ndarray] = []

    def run_often() -> None:
        for _ in range(50):
            results.append(program.run([x])[0].copy())

    runner = threading.Thread(target=run_often, daemon=True)
    runner.start()
    runner.join(timeout=120)

    assert len(results) == 50
    for result in results:
        np.testing.assert_allclose(result, expected, atol=1e-6)


def test_every_thread_does_its_job_each_time() -> None:
    pool, done = Pool(3), [0, 0, 0]

    def job(number: int) -> None:
        done[number] += 1

    for _ in range(200):
        pool.run([[lambda n=n: job(n)] for n in range(3)])  # type: ignore[misc]

    assert done == [200, 200, 200]


@pytest.mark.parametrize("where", [0, 1])
def test_an_exception_is_raised_when_all_are_through_and_the_pool_goes_on(where: int) -> None:
    pool, done = Pool(2), []

    def fail() -> None:
        raise ValueError("here")

    jobs = [[lambda: done.append(1)], [lambda: done.append(1)]]
    jobs[where] = [fail]
    with pytest.raises(ValueError, match="here"):
        pool.run(jobs)
    pool.run([[lambda: done.append(1)]] * 2)

    assert len(done) == 3


def test_a_forked_process_has_threads_of_its_own() -> None:
    pool, done = Pool(2), []
    pool.run([[lambda: done.append(1)]] * 2)
    child = os.fork()
    if child == 0:
        pool.run([[lambda: done.append(1)]] * 2)
        os._exit(0 if len(done) == 4 else 1)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_threads_end_with_their_pool() -> None:
    before = _thread._count()
    pool = Pool(3)
    pool.run([[int]] * 3)
    del pool
    deadline = time.monotonic() + 10
    while _thread._count() > before and time.monotonic() < deadline:
        time.sleep(0.001)

    assert _thread._count() <= before
