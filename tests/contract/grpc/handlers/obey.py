"""Does to each request what the JSON in its `order` says: bytes are all that these clients can send."""

import json
import os
import time

from ts.handler_utils.utils import send_intermediate_predict_response
from ts.utils.util import PredictionException

RAISES = {"memory": MemoryError, "value": lambda: ValueError("a secret of /secret/path")}


def handle(data, context):
    if data is None:
        return None
    orders = [json.loads(row["order"]) for row in data]
    answers = [answer(index, order, context) for index, order in enumerate(orders)]
    return tuple(answers) if "tuple" in orders[0] else answers


def answer(index, order, context):
    time.sleep(order.get("sleep", 0))
    if "exit" in order:
        os._exit(order["exit"])
    if "status" in order:
        context.set_response_status(order["status"], "", index)
        context.set_response_content_type(index, "text/odd")
        context.set_response_header(index, "x-odd", "yes")
    for piece in order.get("pieces", []):
        send_intermediate_predict_response([piece], context.request_ids, "", 200, context)
    if "raise" in order:
        raise RAISES[order["raise"]]()
    if "refuse" in order:
        raise PredictionException(*order["refuse"])
    return {1} if "set" in order else order.get("answer")
