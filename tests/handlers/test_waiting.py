"""Async handlers' event loop: one from the first call to the last, and none left behind."""

import asyncio
import gc
import warnings

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


def test_one_that_never_ran_leaves_nothing() -> None:
    async def collect() -> None:
        EventLoop()
        gc.collect()

    EventLoop()
    asyncio.run(collect())
