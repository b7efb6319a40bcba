"""The worker's end: a loop that reads a frame, runs it, and writes one back. Started by process.py."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ..messages import Failure, LoadFailure, ModelSpec
from .runtime import Runtime
from .wire import (
    Buffer,
    Frame,
    FrameReader,
    Kind,
    WireError,
    pack_answers,
    pack_loaded,
    pack_pieces,
    unpack_batch,
    unpack_load,
)

PR_SET_PDEATHSIG = 1  # linux/prctl.h
SMALL = 1 << 16


def main() -> None:
    """Serve the socket whose number the command line gives, for the parent whose number follows it."""
    fd, parent = map(int, sys.argv[1:3])
    die_with(parent)
    os.set_inheritable(fd, False)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    with socket.socket(fileno=fd) as connection:
        serve(connection)


def die_with(parent: int) -> None:
    """Have the kernel end this process when the server's process ends, however it ends."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        raise SystemExit("the server has ended already")


def serve(connection: socket.socket) -> None:
    """Load what the first frame names, then answer batches until the server hangs up or the handler wants to leave."""
    incoming = frames(connection)
    first = next(incoming, None)
    if first is None:
        return
    spec = unpack_load(first)
    prepare_paths(spec)
    runtime = Runtime(spec)
    outcome = runtime.load()
    send(connection, pack_loaded(outcome))
    if isinstance(outcome, LoadFailure):
        return
    runtime.send_pieces = lambda pieces: send(connection, pack_pieces(pieces))
    for frame in incoming:
        send(connection, answer(runtime, frame))
        if runtime.leaving:
            return


def answer(runtime: Runtime, frame: Frame) -> list[Buffer]:
    """Run a batch and pack what came of it."""
    if frame.kind is not Kind.BATCH:
        raise WireError(f"expected a batch, met {frame.kind.name}")
    outcome, report = runtime.infer(unpack_batch(frame))
    try:
        return pack_answers(outcome, report)
    except WireError as error:
        failure = Failure(
            "InferenceFailed", "Unsupported model output data type.", 503, f"the answer's headers: {error}"
        )
        return pack_answers(failure, replace(report, emitted=()))


def frames(connection: socket.socket) -> Iterator[Frame]:
    """What the server sends, until it hangs up."""
    reader = FrameReader(limit=sys.maxsize)
    while count := connection.recv_into(reader.space()):
        yield from reader.received(count)


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
