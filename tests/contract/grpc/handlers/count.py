"""Counts the requests of each sequence, and tells what it was given."""


class Counting:
    def initialize(self, context):
        self.counts = {}

    def handle(self, data, context):
        return [self.answer(index, row, context) for index, row in enumerate(data)]

    def answer(self, index, row, context):
        name = context.get_sequence_id(index)
        self.counts[name] = self.counts.get(name, 0) + 1
        began = context.get_request_header(index, context.header_key_sequence_start)
        return {"name": name, "count": self.counts[name], "began": began, "keys": [*row]}
