"""Gives criteria for another batch than the one it answers."""


def handle(data, context):
    if data:
        context.stopping_criteria = {7: lambda answer: True}
    return data
