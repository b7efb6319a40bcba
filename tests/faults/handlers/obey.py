"""Does to each request what it orders: answers its number, or breaks in one of the ways that handlers break in."""

import ctypes
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
from ts.handler_utils.utils import send_intermediate_predict_response

RETURNS = {
    "a generator": lambda: (piece for piece in "ab"),
    "a set": lambda: {1},
    "an array": lambda: np.ones(2),
    "infinity": lambda: [float("inf"), float("-inf")],
    "NaN": lambda: {"y": float("nan")},
    "None": lambda: None,
    "numpy numbers": lambda: [np.float32(1.5), np.int64(2)],
    "a loop": lambda: loop(),
}
WHOLE = {
    "None": lambda answers: None,
    "a generator": lambda answers: (answer for answer in answers),
    "a dictionary": lambda answers: dict(enumerate(answers)),
    "too few": lambda answers: answers[:-1],
    "too many": lambda answers: [*answers, "one more"],
}
seen = []


def handle(data, context):
    if data is None:
        return None
    orders = [row.get("body") for row in data]
    answers = [obey(order if isinstance(order, dict) else {"answer": order}, context) for order in orders]
    whole = [order["whole"] for order in orders if isinstance(order, dict) and "whole" in order]
    return WHOLE[whole[0]](answers) if whole else answers


def obey(order, context):
    """The answer to one order; some leave no time for one."""
    seen.append(order.get("answer"))
    time.sleep(order.get("sleep", 0))
    if order.get("wait"):  # until the client has left, as handlers with long loops should
        until = time.monotonic() + order["wait"]
        while not context.cancelled and time.monotonic() < until:
            time.sleep(0.01)
        with open(order["note"], "a") as note:
            note.write("cancelled\n" if context.cancelled else "waited in vain\n")
    for piece in range(order.get("pieces", 0)):
        send_intermediate_predict_response([f"{piece};"], context.request_ids, "", 200, context)
        time.sleep(order.get("pause", 0))
    if "break" in order:
        BREAKS[order["break"]]()
    if "print" in order:
        printed(**order["print"])
    if "children" in order:
        for _ in range(order["children"]):
            subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    if "size" in order:
        return bytes(order["size"])
    if order.get("tell") == "seen":
        return list(seen)
    if order.get("tell") == "pid":
        return str(os.getpid())
    return RETURNS[order["return"]]() if "return" in order else order.get("answer", "done")


def printed(times, line, descriptor=1):
    for _ in range(times):
        os.write(descriptor, line.encode("latin-1"))


def raises(error):
    raise error


def loop():
    endless = []
    endless.append(endless)
    return endless


BREAKS = {
    "abort": os.abort,
    "closed descriptors": lambda: os.closerange(0, 100),
    "endless C": lambda: re.fullmatch(r"(a+)+", "a" * 64 + "b"),  # holds the interpreter's lock
    "exit": lambda: os._exit(3),
    "exit 0": lambda: os._exit(0),
    "interrupt": lambda: raises(KeyboardInterrupt()),
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "memory": lambda: bytearray(1 << 47),  # more than an address space has, however memory is promised
    "raise": lambda: raises(ValueError("as ordered")),
    "segfault": lambda: ctypes.string_at(0),
    "stop": lambda: os.kill(os.getpid(), signal.SIGSTOP),
    "sys.exit": lambda: sys.exit(0),
    "SystemExit": lambda: raises(SystemExit("as ordered")),
}
