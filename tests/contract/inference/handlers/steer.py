"""Does to each request what its JSON body orders, so that one model can show every kind of answer and failure."""

import os
import signal
import time

import numpy as np
import torch
from ts.handler_utils.utils import send_intermediate_predict_response
from ts.utils.util import PredictionException

RETURNS = {
    "array": lambda: np.zeros(2),
    "bytearray": lambda: bytearray(b"\x00\xff"),
    "bytes": lambda: b"\x00\xff",
    "nan": lambda: [float("nan")],
    "nothing": lambda: None,
    "set": lambda: {1},
    "tensor": lambda: torch.tensor([1.5, 2.5]),
}
RAISES = {
    "cuda": lambda: RuntimeError("CUDA error: out of memory at /secret"),
    "exit": lambda: SystemExit(3),
    "memory": MemoryError,
    "value": lambda: ValueError("a secret of /secret/path"),
}


def handle(data, context):
    if data is None:
        return None
    orders = [row.get("body") if isinstance(row, dict) else row for row in data]
    answers = [answer(index, order, context) for index, order in enumerate(orders)]
    whole = orders[0]
    if isinstance(whole, dict) and "list" in whole:
        return {"tuple": tuple(answers), "longer": [*answers, 1], "none": None, "text": "abc"}[whole["list"]]
    return answers


def answer(index, order, context):
    if not isinstance(order, dict):
        return order
    if "sleep" in order:
        time.sleep(order["sleep"])
    if "signal" in order:
        os.kill(os.getpid(), getattr(signal, order["signal"]))
    if "exit" in order:
        os._exit(order["exit"])
    for name, value in order.get("headers", {}).items():
        context.set_response_header(index, name, value)
    if "type" in order:
        context.set_response_content_type(index, order["type"])
    if "status" in order:
        context.set_response_status(order["status"], order.get("phrase", ""), index)
    for number, piece in enumerate(order.get("pieces", [])):
        send_intermediate_predict_response([piece], context.request_ids, "", 200, context)
        time.sleep(order.get("pause", 0))
        context.set_response_header(index, "x-late", str(number))
    if "raise" in order:
        raise RAISES[order["raise"]]()
    if "refuse" in order:
        raise PredictionException(*order["refuse"])
    if "size" in order:
        return b"x" * order["size"]
    return RETURNS[order["return"]]() if "return" in order else order.get("answer", "done")
