"""The worker's end: a loop that reads a frame, runs it, and writes one back. Started by process.py."""

from __future__ import annotations

import logging
import os
import select
import socket
import sys
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ..heap import HEAP
from ..messages import Failure, LoadFailure, ModelSpec
from .claims import Claims
from .memory import Buffer, Memory
from .runtime import Runtime
from .tether import die_with
from .wire import (
    Frame,
    FrameReader,
    Kind,
    WireError,
    number_of,
    pack_answers,
    pack_loaded,
    pack_pieces,
    pack_pong,
    through,
    unpack_batch,
    unpack_load,
)

SMALL = 1 << 16


def main() -> None:
    """Serve the socket whose number the command line gives, for the parent whose number follows it."""
    fd, parent = map(int, sys.argv[1:3])
    os.set_inheritable(fd, False)
    with socket.socket(fileno=fd) as connection:
        live(connection, parent)


def live(connection: socket.socket, parent: int) -> None:
    """Be a worker of the server, from its first word to its last."""
    select.select([connection], [], [])  # once it speaks it is our parent, also if another process has forked us
    die_with(parent)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    serve(connection)


def serve(connection: socket.socket) -> None:
    """Load what the first frame names, then answer batches until the server hangs up or the handler wants to leave."""
    incoming = Incoming(connection)
    first = next(incoming, None)
    if first and first.kind is Kind.MEMORY:
        first = next(incoming, None)
    if first is None:
        return
    spec = unpack_load(first)
    prepare_paths(spec)
    runtime = Runtime(spec)
    runtime.share()
    outcome = runtime.load()
    send(connection, pack_loaded(outcome))
    if isinstance(outcome, LoadFailure):
        return
    runtime.send_pieces = lambda pieces: send(connection, pack_pieces(pieces))
    runtime.nobody_waits = incoming.asks_to_stop
    for frame in incoming:
        if frame.kind is Kind.PING:
            send(connection, pack_pong())
        elif frame.kind is Kind.RELEASE:
            HEAP.give_back()
        elif frame.kind is Kind.AHEAD:
            if incoming.claims(frame):  # the memory is the server's until it has read the answers before
                send(connection, answer(runtime, frame))
        elif frame.kind is not Kind.STOP:  # one that comes here has come too late: the batch was done
            incoming.number = number_of(frame)
            send(connection, through(incoming.memory, answer(runtime, frame)))
            if incoming.memory and incoming.memory.used:
                HEAP.keep()
        if runtime.leaving:
            return


def answer(runtime: Runtime, frame: Frame) -> list[Buffer]:
    """Run a batch and pack what came of it."""
    if frame.kind not in (Kind.BATCH, Kind.AHEAD):
        raise WireError(f"expected a batch, met {frame.kind.name}")
    outcome, report = runtime.infer(unpack_batch(frame))
    try:
        return pack_answers(outcome, report)
    except WireError as error:
        failure = Failure(
            "InferenceFailed", "Unsupported model output data type.", 503, f"the answer's headers: {error}"
        )
        return pack_answers(failure, replace(report, emitted=()))


class Incoming:
    """What the server sends, until it hangs up."""

    def __init__(self, connection: socket.socket) -> None:
        """Read from a connection."""
        self._connection = connection
        self._reader = FrameReader(limit=sys.maxsize)
        self._frames: deque[Frame] = deque()
        self._fresh = True
        self._claims: Claims | None = None
        self.number = 0
        """That of the batch that is being answered."""

    @property
    def memory(self) -> Memory | None:
        """What the server has given us to share."""
        return self._reader.memory

    def __iter__(self) -> Iterator[Frame]:
        return self

    def __next__(self) -> Frame:
        while not self._frames:
            if not self._receive():
                raise StopIteration
        return self._frames.popleft()

    def claims(self, frame: Frame) -> bool:
        """Whether a batch that was sent ahead may be begun; it is being answered then."""
        self.number = number_of(frame)
        return self._claims is not None and self._claims.claim(self.number)

    def asks_to_stop(self) -> bool:
        """Whether the server has asked to stop this batch, or has hung up; does not wait for it."""
        while select.select([self._connection], [], [], 0)[0]:
            self._reader.renew()
            if not self._receive():
                return True
        asked = any(frame.kind is Kind.STOP and number_of(frame) == self.number for frame in self._frames)
        for frame in self._frames:
            if frame.kind is Kind.PING:
                send(self._connection, pack_pong())
        self._frames = deque(frame for frame in self._frames if frame.kind not in (Kind.STOP, Kind.PING))
        return asked

    def _receive(self) -> bool:
        """Take in what is there, or wait for something; False where the server has hung up."""
        if self._fresh:
            count, self._fresh = self._first(self._reader.space()), False
        else:
            count = self._connection.recv_into(self._reader.space())
        self._frames.extend(self._reader.received(count))
        return count > 0

    def _first(self, space: memoryview) -> int:
        """Receive for the first time, when descriptors may come along (unix(7), SCM_RIGHTS)."""
        count, extra, _, _ = self._connection.recvmsg_into([space], socket.CMSG_SPACE(8), socket.MSG_CMSG_CLOEXEC)
        for level, kind, content in extra:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                memory, claims = memoryview(content[:8]).cast("i")
                self._reader.memory, self._claims = Memory(memory), Claims(claims)
        return count


def send(connection: socket.socket, buffers: list[Buffer]) -> None:
    """Write a frame: small ones in one piece, the bodies of large ones without copying them."""
    if sum(map(len, buffers)) <= SMALL:
        buffers = [b"".join(buffers)]
    for buffer in buffers:
        connection.sendall(buffer)


def prepare_paths(spec: ModelSpec) -> None:
    """Give what the handler starts the module path that TorchServe's handlers have (contract: handlers, section 1).

    The handler's own imports are load_handler's business. The model directory is not on this interpreter's path from
    its start, so that a file in it cannot stand in for a module of Python's own.
    """
    folder = Path(spec.model_dir)
    linked = [str(folder.resolve().parent)] if folder.is_symlink() else []
    sys.path[:0] = linked
    of_handler = os.path.dirname(spec.handler.partition(":")[0])
    inherited = os.environ.get("PYTHONPATH", "")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [of_handler, inherited, str(folder), *linked]))


if __name__ == "__main__":
    main()
