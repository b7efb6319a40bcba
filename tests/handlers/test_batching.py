"""answers_apart(): which handlers are certain to answer a batch as its requests alone."""

import numpy as np
import pytest
from numserve.handlers import Context, answers_apart, load_handler, prepare, wrap_envelope
from numserve.handlers.batching import HARMLESS
from numserve.handlers.image_classifier import ImageClassifier
from numserve.handlers.tensor import TensorHandler

LAYERS = {
    "rows": "self.layer(x)",
    "mean": "self.layer(x) - self.layer(x).mean(0)",
    "first": "self.layer(x[:1]).expand(len(x), 2)",
    "steps": "self.layer(x) if float(x.sum()) > 0 else x[:, :2]",
}
MODEL = """
from torch import nn

class Linear(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, x):
        return {forward}
"""
HANDLERS = {
    "ours": ("", True),
    "values": ("    topk = 1\n    image_processing = staticmethod(lambda image: image)", True),
    "loading": ("    def initialize(self, context):\n        super().initialize(context)", True),
    "preprocess": ("    def preprocess(self, data):\n        return super().preprocess(data[:1])", False),
    "postprocess": ("    def postprocess(self, data):\n        return [data.tolist()]", False),
    "a step of ours": ("    def _together(self, group):\n        return super()._together(group)", False),
    "replaced": ("    def __init__(self):\n        super().__init__()\n        self.inference = print", False),
}


@pytest.fixture
def load(tmp_path):
    def load(forward="rows", handler="tensor", options=None):
        (tmp_path / "model.py").write_text(MODEL.format(forward=LAYERS[forward]))
        manifest = {"model": {"modelName": "m", "modelVersion": "1.0", "modelFile": "model.py"}}
        config = {"engine": {"inputs": [[1, 3]]} | (options or {})}
        context = Context("m", tmp_path, manifest, 1, model_yaml_config=config)
        loaded = load_handler(handler, tmp_path)
        loaded.initialize(context)
        prepare(loaded, context)
        return loaded

    return load


@pytest.mark.parametrize("forward", LAYERS)
def test_the_model_must_keep_rows_apart_for_certain(load, forward):
    assert answers_apart(load(forward)) is (forward == "rows")


def test_an_eager_model_proves_nothing(load):
    assert not answers_apart(load(options={"executor": "eager"}))


def test_an_envelope_changes_nothing(load):
    assert answers_apart(wrap_envelope("json", load()))


@pytest.mark.parametrize("kind", HANDLERS)
def test_no_step_may_be_the_users(load, tmp_path, kind):
    body, expected = HANDLERS[kind]
    source = "from numserve.handlers.tensor import TensorHandler\n\nclass Mine(TensorHandler):\n"
    (tmp_path / "mine.py").write_text(source + (body or "    pass") + "\n")
    assert answers_apart(load(handler="mine.py")) is expected


def test_who_is_no_base_handler_is_not_looked_at(tmp_path):
    (tmp_path / "mine.py").write_text("def handle(data, context):\n    return data\n")
    assert not answers_apart(load_handler("mine.py", tmp_path))


def test_what_is_harmless_is_there():
    assert {name for name in HARMLESS if hasattr(ImageClassifier, name) or hasattr(TensorHandler, name)} == HARMLESS


def test_what_is_answered_apart_is(load):
    handler = load()
    rows = np.random.default_rng(0).normal(size=(5, 1, 3)).tolist()

    def send(bodies):
        handler.context.begin([str(n) for n in range(len(bodies))], [{}] * len(bodies))
        return handler.handle([{"body": {"instances": body}} for body in bodies], handler.context)

    alone = [send([row])[0]["predictions"] for row in rows]
    np.testing.assert_allclose([each["predictions"] for each in send(rows)], alone, rtol=1e-5, atol=1e-6)
