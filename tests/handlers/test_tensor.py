"""The default handler `tensor`: names, batches that are computed together, and what a client is told is wrong."""

import json

import numpy as np
import pytest
from numserve.handlers import Context, HandlerError, PredictionException, load_handler, metadata_of, prepare
from numserve.handlers.open_inference import HEADER_LENGTH
from numserve.handlers.signature import Port, Signature

DOUBLE = """
from torch import nn

class Double(nn.Module):
    def forward(self, x):
        return x * 2
"""
TWO = """
from torch import nn

class Two(nn.Module):
    def forward(self, a, b=None, c=None):
        found = {"sum": a if b is None else a + b}
        if c is not None:
            found["product"] = a * c
        return found
"""
LINEAR = """
from torch import nn

class Linear(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, x):
        return self.layer(x)
"""


class Served:
    """A loaded handler, and a way to send it batches."""

    def __init__(self, folder, source, config):
        (folder / "model.py").write_text(source)
        manifest = {"model": {"modelName": "m", "modelVersion": "2.0", "modelFile": "model.py"}}
        self.context = Context("m", folder, manifest, 8, model_yaml_config=config)
        self.handler = load_handler("tensor", folder)
        self.handler.initialize(self.context)
        prepare(self.handler, self.context)

    def send(self, *bodies, **headers):
        self.context.begin([f"id{i}" for i in range(len(bodies))], [headers] * len(bodies))
        return self.handler.handle([{"body": body} for body in bodies], self.context)

    def outputs(self, *bodies):
        return [
            answer if isinstance(answer, Exception) else {o["name"]: o["data"] for o in json.loads(answer)["outputs"]}
            for answer in self.send(*bodies)
        ]


@pytest.fixture
def serve(tmp_path):
    return lambda source=DOUBLE, **config: Served(tmp_path, source, config)


def body(shape=None, datatype="FP32", **tensors):
    return {
        "inputs": [
            {"name": name, "datatype": datatype, "shape": shape or list(np.shape(data)), "data": data}
            for name, data in tensors.items()
        ]
    }


def test_a_tensor_goes_in_by_its_parameters_name_and_comes_out(serve):
    (answer,) = serve().send({"id": "7", **body(x=[[1, 2]])})
    output = {"name": "output_0", "datatype": "FP32", "shape": [1, 2], "data": [2.0, 4.0]}
    assert json.loads(answer) == {"model_name": "m", "model_version": "2.0", "id": "7", "outputs": [output]}


def test_without_an_id_the_requests_own_counts(serve):
    assert json.loads(serve().send(body(x=[1]))[0])["id"] == "id0"


def test_inputs_may_be_left_out_where_forward_has_a_default(serve):
    *answers, error = serve(TWO).outputs(body(a=[[1]]), body(a=[[1]], b=[[2]]), body(a=[[3]], c=[[4]]), body(c=[[4]]))
    assert answers == [{"sum": [1]}, {"sum": [3]}, {"sum": [3], "product": [12]}]
    assert (error.message, error.error_code) == ("the inputs are c; expected a, b, c", 400)


def test_requests_of_one_kind_are_computed_together(serve):
    served = serve()
    calls = []
    served.handler.inference = lambda x: calls.append(tuple(x.shape)) or x * 2
    answers = served.outputs(body(x=[[1, 2]]), body(x=[[3, 4], [5, 6]]), body(x=[[1, 2, 3]]), body(x=[[7, 8]]))
    assert answers == [
        {"output_0": [2, 4]},
        {"output_0": [6, 8, 10, 12]},
        {"output_0": [2, 4, 6]},
        {"output_0": [14, 16]},
    ]
    assert calls == [(4, 2), (1, 3)]


def test_a_bad_request_fails_alone(serve):
    first, wrong, shapeless, last = serve(LINEAR).outputs(
        body(x=[[1, 2, 3]]), body(y=[[1]]), body(x=[[1, 2]]), body(x=[[1, 2, 3]])
    )
    assert first == last
    assert (wrong.message, wrong.error_code) == ("the inputs are y; expected x", 400)
    assert shapeless.error_code == 400 and "cannot take these tensors" in shapeless.message


def test_what_fails_together_is_tried_one_by_one(serve):
    served = serve()

    def inference(x):
        if float(x.max()) > 9:
            raise RuntimeError("a secret")
        return x

    served.handler.inference = inference
    fine, broken = served.outputs(body(x=[[1]]), body(x=[[10]]))
    assert fine == {"output_0": [1]}
    assert (broken.message, broken.error_code) == ("Prediction failed", 503)


def test_outputs_without_a_row_for_each_row_are_computed_one_by_one(serve):
    served = serve()
    served.handler.inference = lambda x: x.sum()
    assert served.outputs(body(x=[[1]]), body(x=[[2]])) == [{"output_0": [1]}, {"output_0": [2]}]


def test_running_out_of_memory_is_everybodys(serve):
    served = serve()

    def inference(x):
        raise MemoryError

    served.handler.inference = inference
    with pytest.raises(MemoryError):
        served.send(body(x=[[1]]), body(x=[[2]]))


def test_bytes_behind_json_are_answered_in_bytes(serve):
    served = serve()
    described = {"name": "x", "datatype": "FP32", "shape": [1, 2], "parameters": {"binary_data_size": 8}}
    text = json.dumps({"inputs": [described], "parameters": {"binary_data_output": True}}).encode()
    content = text + np.array([1, 2], "<f4").tobytes()
    (answer,) = served.send(bytearray(content), **{HEADER_LENGTH.lower(): str(len(text))})
    length = int(served.context.get_response_headers(0)[HEADER_LENGTH])
    assert np.frombuffer(answer[length:], "<f4").tolist() == [2, 4]
    assert served.context.get_response_content_type(0) == "application/octet-stream"


@pytest.mark.parametrize(
    ("source", "instances", "predictions"),
    [
        (DOUBLE, [[1.5, 2], [3, 4]], [[3, 4], [6, 8]]),
        (DOUBLE, [1, 2], [2, 4]),
        (DOUBLE, [{"x": [1]}, {"x": [2]}], [[2], [4]]),
        (TWO, [{"a": 1, "b": 2, "c": 5}], [{"sum": 3, "product": 5}]),
    ],
)
def test_instances_are_rows_and_answered_by_predictions(serve, source, instances, predictions):
    assert serve(source).send({"instances": instances}) == [{"predictions": predictions}]


@pytest.mark.parametrize("instances", [[], "x", [[1], [1, 2]], ["a"], [{"z": 1}], [None]])
def test_instances_that_make_no_tensor_are_refused(serve, instances):
    (error,) = serve().send({"instances": instances})
    assert error.error_code == 400


SIGNATURE = {
    "inputs": [{"name": "picture", "datatype": "FP32", "shape": [-1, 3]}],
    "outputs": [{"name": "scores", "datatype": "FP32", "shape": [-1, 3]}],
}


def test_the_yaml_names_and_checks(serve):
    served = serve(signature=SIGNATURE)
    assert served.outputs(body(picture=[[1, 2, 3]])) == [{"scores": [2, 4, 6]}]
    wrong = [body(x=[[1]]), body(picture=[[1, 2]]), body(datatype="FP64", picture=[[1, 2, 3]])]
    assert [error.error_code for error in served.outputs(*wrong)] == [400] * 3
    assert metadata_of(served.handler, {}) == SIGNATURE


def test_metadata_come_from_the_model_where_the_yaml_has_shapes_alone(serve):
    served = serve(LINEAR, engine={"inputs": [[1, 3]]})
    assert metadata_of(served.handler, {}) == {
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}],
        "outputs": [{"name": "output_0", "datatype": "FP32", "shape": [-1, 2]}],
    }
    assert served.handler.fast_path.describe()["mode"] == "plan"


def test_metadata_of_what_is_not_known(serve):
    assert metadata_of(serve().handler, {})["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1]}]
    assert metadata_of(object(), {}) is None
    assert metadata_of(object(), {"signature": SIGNATURE}) == SIGNATURE


def test_a_model_that_fails_on_an_example_has_unknown_outputs(serve, caplog):
    served = serve(LINEAR, engine={"inputs": [[1, 4]]})
    assert metadata_of(served.handler, {})["outputs"] == []
    assert "outputs cannot be told" in caplog.text


def test_it_describes_itself_and_explains_nothing(serve):
    served = serve()
    assert served.send({}, describe="True")[0]["inputs"][0]["name"] == "x"
    with pytest.raises(PredictionException) as caught:
        served.send(body(x=[[1]]), explain="True")
    assert caught.value.error_code == 501


@pytest.mark.parametrize(
    ("section", "key"),
    [
        ([], None),
        ("x", "signature"),
        ({"input": []}, "signature"),
        ({"inputs": {}}, None),
        ({"inputs": "x"}, "signature.inputs"),
        ({"inputs": [{}]}, r"signature.inputs\[0\]"),
        ({"inputs": [{"name": "x", "datatype": "float"}]}, r"signature.inputs\[0\].datatype"),
        ({"outputs": [{"name": "x", "shape": [-2]}]}, r"signature.outputs\[0\].shape"),
    ],
)
def test_a_wrong_signature_is_named(serve, section, key):
    if key is None:
        serve(signature=section)
        return
    with pytest.raises(HandlerError, match=key):
        serve(signature=section)


def test_outputs_are_named_as_they_come():
    assert Signature(()).names_of({"a": 1}) == {"a": 1}
    assert Signature(()).names_of((1, 2)) == {"output_0": 1, "output_1": 2}
    named = Signature((), (Port("p"), Port("q")))
    assert named.names_of([1, 2]) == named.names_of({"a": 1, "b": 2}) == {"p": 1, "q": 2}
    with pytest.raises(HandlerError, match="names 2 outputs; the model gives 1"):
        named.names_of(1)


RAW = {HEADER_LENGTH.lower(): "0"}


def test_a_body_may_be_the_only_tensors_bytes_alone(serve):
    served = serve(signature=SIGNATURE)
    (answer,) = served.send(bytearray(np.arange(6, dtype="<f4").tobytes()), **RAW)
    length = int(served.context.get_response_headers(0)[HEADER_LENGTH])
    assert json.loads(answer[:length])["outputs"][0]["shape"] == [2, 3]
    assert np.frombuffer(answer[length:], "<f4").tolist() == [0, 2, 4, 6, 8, 10]


@pytest.mark.parametrize(
    ("shape", "content", "said"),
    [
        ([-1, 3], b"1234", "4 bytes do not fill"),
        ([1, 1], b"12345678", "8 bytes do not fill"),
        ([-1, 0], b"", "0 bytes do not fill"),
        ([-1, -1], b"1234", "no datatype and shape"),
        (None, b"1234", "no datatype and shape"),
    ],
)
def test_bytes_alone_that_are_no_tensor_are_refused(serve, shape, content, said):
    port = {"name": "x", "datatype": "FP32"} | ({"shape": shape} if shape else {})
    (error,) = serve(signature={"inputs": [port]}).send(bytearray(content), **RAW)
    assert error.error_code == 400 and said in error.message
