"""Counts the requests of each sequence, and does what each orders: sleep, gate, end, raise, die."""

import os
import time
from pathlib import Path


class Counting:
    def initialize(self, context):
        self.counts = {}

    def handle(self, data, context):
        names = [context.get_sequence_id(index) for index in range(len(data))]
        return [self.answer(context, index, row["body"], names) for index, row in enumerate(data)]

    def answer(self, context, index, order, names):
        name = names[index]
        self.counts[name] = self.counts.get(name, 0) + 1
        time.sleep(order.get("sleep", 0))
        while "gate" in order and not Path(order["gate"]).exists():
            time.sleep(0.01)
        if "end" in order:
            context.set_response_header(index, context.header_key_sequence_end, order["end"])
            for ended in [name] if order["end"] == "true" else order["end"].split(";"):
                self.counts.pop(ended, None)
        if "raise" in order:
            raise ValueError(order["raise"])
        if "die" in order:
            os._exit(1)
        return {
            "count": self.counts.get(name),
            "names": names,
            "pid": os.getpid(),
            "began": context.get_request_header(index, context.header_key_sequence_start),
        }
