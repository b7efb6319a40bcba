"""What the server and the process that forks its workers say to each other, over a socket that keeps messages apart."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Mapping
from typing import NamedTuple

import orjson

READY = b"ready"
WARM_UP = {"numpy": b"numpy", "engine": b"engine"}
"""What has it import more, by what models need; then it says READY again."""
ORDER_BYTES = 1 << 16
_ANSWER = struct.Struct("<i")


class Order(NamedTuple):
    """A worker to be forked: where it works, how many threads it uses, what differs in its environment (None: taken
    away), and the descriptors of its socket and of what it prints to."""

    folder: str
    threads: int
    environment: Mapping[str, str | None]
    connection: int
    output: int


def send_order(control: socket.socket, order: Order) -> None:
    """Ask for a worker.

    Raises: OSError
    """
    socket.send_fds(control, [orjson.dumps(order[:3])], [order.connection, order.output])


def receive_order(control: socket.socket) -> Order | bytes | None:
    """What is asked for, with descriptors of our own, or one of WARM_UP; None at the end."""
    text, descriptors, _, _ = socket.recv_fds(control, ORDER_BYTES, 2)
    if text in WARM_UP.values():
        return text
    return Order(*orjson.loads(text), *descriptors) if text else None


def pack_number(number: int) -> bytes:
    """A process's number, or an errno, negative."""
    return _ANSWER.pack(number)


def unpack_number(said: bytes) -> int:
    """The process's number.

    Raises: OSError where there is none.
    """
    if len(said) != _ANSWER.size:
        raise ConnectionResetError("the process that forks workers has ended")
    (number,) = _ANSWER.unpack(said)
    if number < 0:
        raise OSError(-number, os.strerror(-number))
    return int(number)
