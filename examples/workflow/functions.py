"""The functions of the example: what the classifiers are given, and what becomes of their answers."""

import io
import json

from numserve.handlers import PredictionException
from PIL import Image

SIZE = (8, 8)
SHOWN = 3


def prepare(data, context):
    """Any picture as 8 by 8 grey pixels, once for both classifiers."""
    return [_small(row.get("data") or row.get("body")) for row in data or []]


def vote(data, context):
    """The digits with the highest mean probability of both classifiers."""
    return [_mean([json.loads(bytes(answer)) for answer in row.values()]) for row in data or []]


def _small(sent):
    try:
        picture = Image.open(io.BytesIO(sent)).convert("L").resize(SIZE, Image.Resampling.BILINEAR)
    except (OSError, TypeError, ValueError) as error:
        raise PredictionException("expected a picture, as the body or as the part `data`", 400) from error
    prepared = io.BytesIO()
    picture.save(prepared, "PNG")
    return prepared.getvalue()


def _mean(answers):
    labels = {label for answer in answers for label in answer}
    means = {label: sum(answer.get(label, 0.0) for answer in answers) / len(answers) for label in labels}
    return dict(sorted(means.items(), key=lambda item: -item[1])[:SHOWN])
