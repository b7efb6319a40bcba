"""Measures what the request orders: `[method, arguments, keywords]` each, by context.metrics."""

import json

from ts.metrics.dimension import Dimension
from ts.metrics.metric_type_enum import MetricTypes


def _real(value):
    if isinstance(value, dict) and "kind" in value:
        return MetricTypes[value["kind"]]
    return [Dimension(*pair) for pair in value["dimensions"]] if isinstance(value, dict) else value


def handle(data, context):
    answers = []
    for row in data or []:
        body = row.get("body", row.get("data"))
        for method, arguments, keywords in body if isinstance(body, list) else json.loads(bytes(body)):
            keywords = {name: _real(value) for name, value in keywords.items()}
            if method == "declared":
                context.metrics.get_metric(arguments[0], keywords["metric_type"]).add_or_update(*arguments[1:])
            elif method == "made":
                made = context.metrics.add_metric_to_cache(*arguments, metric_type=MetricTypes.GAUGE)
                made.add_or_update(*keywords["values"])
            elif method == "updated":
                context.metrics.add_metric_to_cache(*arguments).update(1, dimensions=keywords["dimensions"])
            else:
                getattr(context.metrics, method)(*arguments, **keywords)
        answers.append("measured")
    return answers
