"""Answers each item with itself and how many there were: what an envelope hands on, and what batches hold."""


def handle(data, context):
    if data is None:
        return None
    return [{"item": item, "of": len(data)} for item in data]
