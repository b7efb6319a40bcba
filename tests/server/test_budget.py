"""What may be loaded at once."""

from __future__ import annotations

import asyncio

import pytest
from numserve.server.budget import WEIGHTS, WORKER_BYTES, LoadBudget, estimate
from numserve.server.memory import available_bytes


class Loading:
    """Asks for room in order, as the start does, and notes who has got it."""

    def __init__(self, budget: LoadBudget) -> None:
        self.budget = budget
        self.loading: list[int] = []

    async def ask(self, *sizes: int) -> None:
        for size in sizes:
            await self.budget.room(size)
            self.loading.append(size)

    def finish(self, size: int) -> None:
        self.loading.remove(size)
        self.budget.done(size)


async def turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_no_more_models_than_allowed_are_loaded_at_once():
    loading = Loading(LoadBudget(2, lambda: 100))
    task = asyncio.ensure_future(loading.ask(1, 2, 3, 4))
    await turn()
    assert loading.loading == [1, 2]
    loading.finish(1)
    await turn()
    assert loading.loading == [2, 3]
    loading.finish(3)
    await task
    assert loading.loading == [2, 4]


async def test_a_model_waits_for_memory_and_nobody_overtakes_it():
    loading = Loading(LoadBudget(9, lambda: 10))
    task = asyncio.ensure_future(loading.ask(6, 5, 1))
    await turn()
    assert loading.loading == [6]
    loading.finish(6)
    await task
    assert loading.loading == [5, 1]


async def test_what_is_taken_meanwhile_counts():
    free = [10]
    loading = Loading(LoadBudget(9, lambda: free[0]))
    await loading.ask(4)
    free[0] = 6  # the first has taken its memory, and still loads
    task = asyncio.ensure_future(loading.ask(4))
    await turn()
    assert loading.loading == [4]
    loading.finish(4)
    await task


@pytest.mark.parametrize(("size", "fits"), [(10, True), (11, False)])
async def test_one_model_may_always_be_loaded(size, fits):
    assert await LoadBudget(1, lambda: 10).room(size) is fits


def test_an_archive_is_estimated_by_its_size_and_its_workers(tmp_path):
    (tmp_path / "folder" / "below").mkdir(parents=True)
    for place in ("a.mar", "folder/x", "folder/below/y"):
        (tmp_path / place).write_bytes(bytes(100))
    assert estimate(tmp_path / "a.mar", 3) == WEIGHTS * 100 + 3 * WORKER_BYTES
    assert estimate(tmp_path / "folder", 0) == WEIGHTS * 200
    assert estimate(tmp_path / "https:" / "h" / "x.mar", 1) == WORKER_BYTES


@pytest.mark.parametrize(("limit", "left"), [("1000", 700), ("500", 200), ("100", 0)])
def test_a_containers_limit_counts(tmp_path, limit, left):
    (tmp_path / "memory.max").write_text(f"{limit}\n")
    (tmp_path / "memory.current").write_text("400\n")
    (tmp_path / "memory.stat").write_text("anon 300\ninactive_file 100\n")
    assert available_bytes(tmp_path) == left


def test_without_a_limit_the_machine_counts(tmp_path):
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("400\n")
    assert available_bytes(tmp_path) > 1 << 20
