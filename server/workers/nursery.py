"""The process that workers are forked from: started by zygote.py, it imports what they need, once for all of them.

What few models need (../needs.py) it imports when it is told to. It has one thread, so that forking is safe. A
worker is forked twice: the process between ends at once, and the kernel gives the worker to the server (prctl(2),
PR_SET_CHILD_SUBREAPER), which watches it like one that it has started itself.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys

from ...handlers.warming import begin_anew, warm_up
from .child import live
from .orders import READY, WARM_UP, Order, pack_number, receive_order
from .tether import die_with


def main() -> None:
    """Fork workers over the socket, and for the parent, whose numbers the command line gives, until it hangs up."""
    number, parent = map(int, sys.argv[1:3])
    die_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.set_inheritable(number, False)
    with socket.socket(fileno=number) as control:
        be_ready(control)
        order = next_worker(control)
    if order:
        sys.argv[1] = str(order.connection)
        become(order)
        with socket.socket(fileno=order.connection) as connection:
            live(connection, parent)


def be_ready(control: socket.socket) -> None:
    """Say that workers can be forked from here."""
    gc.collect()
    gc.freeze()  # no collection touches these objects any more, so that their pages stay shared
    control.send(READY)


def next_worker(control: socket.socket) -> Order | None:
    """Fork what is asked for: returns in each worker with its order, and here with None at the end."""
    while order := receive_order(control):
        if not isinstance(order, Order):
            warm_up(with_engine=order == WARM_UP["engine"])
            be_ready(control)
            continue
        number = fork()
        if number == 0:
            return order
        os.close(order.connection)
        os.close(order.output)
        control.send(pack_number(number))
    return None


def fork() -> int:
    """0 in a new process, which leads a session and has our parent for its own; here its number, or an errno,
    negative."""
    reading, writing = os.pipe()
    between = _fork()
    if between == 0:
        number = _fork()
        if number < 0:
            os.write(writing, pack_number(number))
        if number:
            os._exit(0)
        os.close(reading)
        os.setsid()  # before anybody knows our number, by which the whole session is signalled
        os.write(writing, pack_number(os.getpid()))
        os.close(writing)
        return 0
    os.close(writing)
    with open(reading, "rb") as pipe:
        said = pipe.read()
    if between < 0:
        return between
    os.waitpid(between, 0)
    return int.from_bytes(said, "little", signed=True)


def _fork() -> int:
    try:
        return os.fork()
    except OSError as error:
        return -(error.errno or 1)


def become(order: Order) -> None:
    """Give this process what a started one has: its folder, environment and output."""
    for stream in (1, 2):
        os.dup2(order.output, stream)
    os.close(order.output)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name, value in order.environment.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value
    os.chdir(order.folder)
    begin_anew(order.threads)


if __name__ == "__main__":
    main()
