"""Answers a request with a letter a round, and tells with it what the handler was given in that round.

An order has the word, a pause for each round, the round in which to raise or to die, and `header` where the handler is
to set the header itself instead of giving criteria. A handler of requests in sequences ends them with `end`.
"""

import json
import os
import time


class Spelling:
    def initialize(self, context):
        self.orders = {}
        self.spelt = {}
        self.forgotten = 0

    def handle(self, data, context):
        ids = list(context.request_ids.values())
        for gone in self.orders.keys() - set(ids):
            del self.orders[gone], self.spelt[gone]
            self.forgotten += 1
        fresh = [name not in self.orders for name in ids]
        for name, row in zip(ids, data, strict=True):
            if name not in self.orders:
                self.orders[name] = row["body"]
                self.spelt[name] = 0
        time.sleep(max(self.orders[name].get("pause", 0) for name in ids))
        answers = [self.spell(name, index, data, fresh, context) for index, name in enumerate(ids)]
        if not any(self.orders[name].get("header") for name in ids):
            context.stopping_criteria = [self.stops(name) for name in ids]
        else:
            context.stopping_criteria = None
        return answers

    def spell(self, name, index, data, fresh, context):
        order = self.orders[name]
        self.spelt[name] += 1
        if order.get("raise") == self.spelt[name]:
            raise ValueError("as ordered")
        if order.get("die") == self.spelt[name]:
            os._exit(1)
        if self.done(name) and "end" in order:
            context.set_response_header(index, context.header_key_sequence_end, order["end"])
        if order.get("header"):
            context.set_response_header(index, "ts_stream_next", "false" if self.done(name) else "true")
        told = {
            "letter": order["word"][self.spelt[name] - 1],
            "batch": len(data),
            "new": sum(fresh),
            "row": sorted(data[index]),
            "id": context.get_request_id(index),
            "header": context.get_request_header(index, "x-kept"),
            "sequences": [context.get_sequence_id(each) for each in range(len(data))],
            "forgotten": self.forgotten,
        }
        return json.dumps(told) + "\n"

    def done(self, name):
        return self.spelt[name] == len(self.orders[name]["word"])

    def stops(self, name):
        def criterion(answer):
            return json.loads(answer)["letter"] == self.orders[name]["word"][-1] and self.done(name)

        return criterion
