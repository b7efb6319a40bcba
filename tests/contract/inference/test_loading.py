"""Contract: handlers, sections 1, 3, 4 and 8, row by row: what is loaded, what it is told, what BaseHandler does."""

import json
from urllib.parse import urlencode

import pytest

FUNCTION = "def {name}(data, context):\n    return ['{answer}'] * len(data or [])\n"
CLASS = """
from ts.torch_handler.base_handler import BaseHandler

class Own(BaseHandler):
    def initialize(self, context):
        self.context = context

    def handle(self, data, context):
        return ["class"] * len(data)
"""
TELLS = """
import os

def handle(data, context):
    if data is None:
        return None
    context.set_response_header(0, "x-own", "yes")
    return [{
        "name": context.model_name, "manifest": context.manifest["model"]["handler"], "yaml": context.model_yaml_config,
        "properties": {k: v for k, v in context.system_properties.items() if k != "model_dir"},
        "here": os.getcwd() == os.path.realpath(context.system_properties["model_dir"]),
        "ids": context.request_ids, "id": context.get_request_id(0), "none": context.get_request_header(0, "nothing"),
        "status": context.get_response_status(0), "headers": context.get_response_headers(0),
        "type": context.get_response_content_type(0), "sequence": context.get_sequence_id(0),
        "names": [context.header_key_sequence_id, context.header_key_sequence_start, context.header_key_sequence_end],
        "criteria": context.stopping_criteria, "requests": len(context.request_processor),
    }]
"""
LINEAR = """
from torch import nn

class Linear(nn.Module):
    def forward(self, x):
        return x * 2
"""
TIMED = """
from ts.torch_handler.base_handler import BaseHandler

class Timed(BaseHandler):
    def preprocess(self, data):
        return super().preprocess([row["body"] for row in data])
"""


class Made:
    """Puts archives that are folders into the store, and registers them."""

    def __init__(self, contract):
        self.contract = contract

    def register(self, name, handler, files, yaml="", **entries):
        folder = self.contract.server.store / name
        (folder / "MAR-INF").mkdir(parents=True)
        for file, content in files.items():
            (folder / file).parent.mkdir(exist_ok=True)
            (folder / file).write_text(content)
        (folder / "c.yaml").write_text(yaml)
        model = {"modelName": name, "handler": handler, "configFile": "c.yaml", **entries}
        (folder / "MAR-INF" / "MANIFEST.json").write_text(json.dumps({"runtime": "python", "model": model}))
        query = urlencode({"url": name, "initial_workers": 1, "synchronous": "true"})
        return self.contract.request("POST", f"/models?{query}", listener="management")

    def serve(self, name, *archive, **entries):
        answer = self.register(name, *archive, **entries)
        assert answer.status == 200, answer.body
        return f"/predictions/{name}"


@pytest.fixture
def made(contract):
    return Made(contract)


@pytest.mark.parametrize(
    ("name", "handler", "files", "answer"),
    [
        ("plain", "own", {"own.py": FUNCTION.format(name="handle", answer="function")}, b"function"),
        ("suffix", "own.py", {"own.py": FUNCTION.format(name="handle", answer="function")}, b"function"),
        ("named", "own:run", {"own.py": FUNCTION.format(name="run", answer="named")}, b"named"),
        ("inside", "part/own.py:run", {"part/own.py": FUNCTION.format(name="run", answer="inside")}, b"inside"),
        ("class", "own.py", {"own.py": CLASS}, b"class"),
        ("both", "own", {"own.py": CLASS + FUNCTION.format(name="handle", answer="first")}, b"first"),
        ("shadow", "image_classifier", {"image_classifier.py": FUNCTION.format(name="handle", answer="own")}, b"own"),
    ],
)
def test_the_manifests_text_becomes_a_handler(contract, made, name, handler, files, answer):
    path = made.serve(f"loads-{name}", handler, files)
    assert contract.post(path, b"x").body == answer


@pytest.mark.parametrize(
    ("name", "handler", "files", "entries", "told"),
    [
        ("two", "own", {"own.py": CLASS + "class Other:\n    pass\n"}, {}, "own.py defines 2 classes (Other, Own)"),
        ("lacks", "own", {"own.py": "import no_such_package\n"}, {}, "No module named 'no_such_package'"),
        ("unknown", "nobody", {}, {}, "no handler is called 'nobody'"),
        ("empty", "base_handler", {}, {}, "No model weights could be loaded"),
        ("models", "base_handler", {"m.py": LINEAR + LINEAR.replace("Linear", "Other")}, {"modelFile": "m.py"},
         "Expected only one class as model definition"),
        ("labels", "base_handler", {"m.py": LINEAR, "index_to_name.json": "[1]"}, {"modelFile": "m.py"},
         "index_to_name.json holds a list"),
    ],
)  # fmt: skip
def test_what_cannot_be_loaded_is_told_to_who_registers_it(made, name, handler, files, entries, told):
    answer = made.register(f"fails-{name}", handler, files, **entries)
    assert answer.error[:2] == (500, "InternalServerException")
    assert told in answer.json()["detail"]


def test_the_context_tells_what_the_contract_says(contract, made):
    path = made.serve("tells", "own", {"own.py": TELLS}, yaml="batchSize: 3\nmaxBatchDelay: 1\nmine: {a: 1}\n")
    answer = contract.post(path, b"x")
    told = answer.json()
    assert answer["x-own"] == "yes" and answer["x-request-id"] == told["id"] == told["ids"]["0"]
    properties = told.pop("properties")
    assert properties.pop("server_version")
    assert properties == {"gpu_id": None, "batch_size": 3, "server_name": "MMS", "limit_max_image_pixels": True}
    assert (told["name"], told["manifest"], told["here"]) == ("tells", "own", True)
    assert told["yaml"]["mine"] == {"a": 1} and told["yaml"]["batchSize"] == 3
    assert told["headers"] == {"x-own": "yes"} and told["status"] == [200, ""] and told["type"] is None
    assert told["none"] is told["sequence"] is told["criteria"] is None and told["requests"] == 1
    assert told["names"] == [f"ts_request_sequence_{word}" for word in ("id", "start", "end")]


def test_base_handler_computes_what_an_envelope_hands_it(contract, made):
    entries = {"modelFile": "m.py", "envelope": "json"}
    path = made.serve("doubles", "base_handler", {"m.py": LINEAR}, **entries)
    assert contract.json(path, {"instances": [[1, 2], [3, 4]]}).body == b'{"predictions": [[2, 4], [6, 8]]}'


def test_steps_are_timed_where_the_yaml_asks_for_it(contract, made):
    files = {"own.py": TIMED, "m.py": LINEAR}
    path = made.serve("timed", "own", files, yaml="handler: {profile: true}\n", modelFile="m.py")
    assert contract.json(path, [1.0, 2.0]).json() == [2.0, 4.0]
    scraped = contract.request("GET", "/metrics", listener="metrics").body.decode()
    for name in ("HandlerTime", "ts_handler_preprocess", "ts_handler_inference", "ts_handler_postprocess"):
        assert f'{name}{{ModelName="timed",Level="Model"' in scraped
