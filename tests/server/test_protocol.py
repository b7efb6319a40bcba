"""How answers go out: a head and its body in one piece, everything else no later than it would."""

import asyncio

import pytest
from numserve.server.http.protocol import Joined


class Wire:
    """A transport that notes what is sent, call by call."""

    def __init__(self) -> None:
        self.calls: list[bytes | str] = []
        self.closing = False

    def write(self, data: bytes) -> None:
        self.calls.append(data)

    def writelines(self, pieces: tuple[bytes, ...]) -> None:
        self.calls.append(b"".join(pieces))

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True
        self.calls.append("closed")

    def get_extra_info(self, name: str) -> str:
        return f"the {name}"


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
async def joined(wire) -> Joined:
    return Joined(wire, asyncio.get_running_loop())


async def test_a_head_and_its_body_are_sent_at_once_and_together(wire, joined):
    joined.write(b"head ")
    joined.write(b"body")
    assert wire.calls == [b"head body"]
    await asyncio.sleep(0)
    assert wire.calls == [b"head body"]


async def test_what_nothing_follows_is_sent_when_the_loop_turns(wire, joined):
    joined.write(b"HTTP/1.1 100 Continue")
    assert wire.calls == []
    await asyncio.sleep(0)
    assert wire.calls == [b"HTTP/1.1 100 Continue"]


async def test_pieces_keep_their_order(wire, joined):
    for piece in (b"a", b"b", b"c", b"d", b"e"):
        joined.write(piece)
    await asyncio.sleep(0)
    joined.write(b"f")
    await asyncio.sleep(0)
    assert b"".join(wire.calls) == b"abcdef" and len(wire.calls) == 4


async def test_closing_sends_what_is_held_first(wire, joined):
    joined.write(b"last words")
    joined.close()
    await asyncio.sleep(0)
    assert wire.calls == [b"last words", "closed"]


async def test_nothing_is_sent_behind_last_words(wire, joined):
    joined.write(b"last words")
    joined.close()
    joined.write(b"too")
    joined.write(b"late")
    joined.write_whole(b"much")
    await asyncio.sleep(0)
    assert wire.calls == [b"last words", "closed"]


async def test_a_whole_answer_is_sent_behind_what_is_held(wire, joined):
    joined.write_whole(b"one")
    joined.write(b"held ")
    joined.write_whole(b"head ", b"body")
    await asyncio.sleep(0)
    assert wire.calls == [b"one", b"held head body"]


async def test_nothing_is_sent_to_who_has_gone(wire, joined):
    joined.write(b"too late")
    wire.closing = True
    await asyncio.sleep(0)
    assert wire.calls == []


async def test_all_else_is_the_transports(wire, joined):
    assert joined.get_extra_info("peername") == "the peername" and joined.is_closing() is False
