"""Async handlers' event loop: one from the first call to the last, and none left behind."""

import asyncio
import gc
import warnings
import weakref

from numserve.handlers.waiting import EventLoop


async def loop_of(*_: object) -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


def test_all_calls_run_in_one_loop_that_is_closed_at_the_end() -> None:
    waiter = EventLoop()
    ask = waiter.plain(loop_of)
    loop = ask()
    assert ask(1, 2) is loop and not loop.is_closed()
    del ask, waiter
    gc.collect()
    assert loop.is_closed()


def test_it_may_be_collected_while_another_loop_runs() -> None:
    waiter = EventLoop()
    ask = waiter.plain(loop_of)
    left = [waiter, ask]
    loop = ask()
    del waiter, ask

    async def collect() -> None:
        left.clear()
        gc.collect()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        asyncio.run(collect())
    assert loop.is_closed()


def test_it_may_be_part_of_a_circle() -> None:
    for _ in range(50):
        waiter = EventLoop()
        ask = waiter.plain(loop_of)
        loop = ask()
        circle = [waiter, ask, loop]
        circle.append(circle)
        left = weakref.ref(loop)
        del waiter, ask, loop, circle
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gc.collect()
    assert left() is None


def test_one_that_never_ran_leaves_nothing() -> None:
    async def collect() -> None:
        EventLoop()
        gc.collect()

    EventLoop()
    asyncio.run(collect())
