import asyncio
import logging

import numserve.server.workers.output as module
import pytest
from numserve.server.workers.output import BURST_LINES, LINE_BYTES, LINES_PER_SECOND, WorkerOutput


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def output(clock, caplog) -> WorkerOutput:
    caplog.set_level(logging.INFO, "numserve.model")
    return WorkerOutput("W", clock)


def lines(caplog) -> list[str]:
    return [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize("pieces", [[b"one\ntwo\r\n"], [b"o", b"n", b"e\ntw", b"o\r", b"\n"], [b"one\ntwo"]])
async def test_lines_are_logged_however_they_arrive(output, caplog, pieces):
    for piece in pieces:
        output.data_received(piece)
    output.connection_lost(None)
    assert lines(caplog) == ["one", "two"]
    assert list(output.tail) == ["one", "two"]
    assert output.ended.done()


async def test_a_long_line_is_cut_and_says_by_how_much(output, caplog):
    for _ in range(3):
        output.data_received(b"x" * LINE_BYTES)
    output.data_received(b"\nnext\n")
    assert lines(caplog) == ["x" * LINE_BYTES + f" … and {2 * LINE_BYTES} bytes more", "next"]


async def test_what_has_no_line_end_takes_no_memory(output):
    for _ in range(1000):
        output.data_received(b"x" * 65536)
    assert len(output._rest) == LINE_BYTES


async def test_a_flood_is_dropped_counted_and_told(output, clock, caplog):
    output.data_received(b"line\n" * (BURST_LINES + 30))
    output.data_received(b"line\n" * 70)
    assert len(lines(caplog)) == BURST_LINES
    clock.now = 1.0
    output.data_received(b"calm\n")
    assert lines(caplog)[BURST_LINES:] == [
        f"… 100 lines dropped: a worker may log {LINES_PER_SECOND} a second",
        "calm",
    ]


async def test_what_is_no_text_is_logged_all_the_same(output, caplog):
    output.data_received(b"\xff\x00ok\n")
    assert lines(caplog) == ["\ufffd\x00ok"]


async def test_dropped_lines_are_told_though_nothing_more_comes(output, caplog, monkeypatch):
    monkeypatch.setattr(module, "TELL_SECONDS", 0.01)
    output.data_received(b"x\n" * (BURST_LINES + 7))
    while not caplog.records[-1].getMessage().startswith("… 7 lines dropped"):
        await asyncio.sleep(0.01)
