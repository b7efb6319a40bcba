"""Contract: inference API, section 9, and handlers, section 6: KServe's names, envelopes, and v2 in full."""

import json
import re
from base64 import b64encode

import numpy as np
import pytest

LENGTH = "Inference-Header-Content-Length"
SHARED = {"batchSize": 2, "maxBatchDelay": 1000, "fixedDelay": True}


def tensor(data, name="x", datatype="FP32"):
    return {"name": name, "shape": list(np.shape(data)), "datatype": datatype, "data": data}


def test_without_an_envelope_the_handler_sees_the_body(contract):
    contract.model("tell")
    for path in ("/v1/models/tell:predict", "/v2/models/tell/infer"):
        row = contract.json(path, {"instances": [1]}).json()["row"]
        assert row == {"body": ["dict", {"instances": [1]}]}


def test_the_envelope_of_the_configuration_is_every_models(strict):
    assert strict.told(body=b"x")["row"] == {"unwrapped": ["bytearray", "x"]}


def test_the_body_envelope_hands_on_values(contract):
    contract.model("bare", "share", envelope="body")
    assert contract.json("/predictions/bare", [1]).json() == {"item": [1], "of": 1}


def test_the_json_envelope_shares_out_a_batch(contract):
    contract.model("json", "share", envelope="json", **SHARED)
    first, second = contract.at_once(
        lambda: contract.json("/predictions/json", {"instances": ["a", "b"]}),
        lambda: contract.json("/predictions/json", {"instances": ["c"]}),
    )
    assert first.body == b'{"predictions": [{"item": "a", "of": 3}, {"item": "b", "of": 3}]}'
    assert second.json() == {"predictions": [{"item": "c", "of": 3}]}


def test_the_json_envelope_decodes_base64(contract):
    contract.model("json", "share", envelope="json", **SHARED)
    wrong = contract.json("/predictions/json", {"instances": [{"b64": b64encode(b"cat").decode()}]})
    assert wrong.error[0] == 503  # the handler has put bytes into its answer, which JSON cannot hold
    assert contract.json("/predictions/json", {"inputs": [1]}).error[0] == 503


@pytest.mark.parametrize(("verb", "word"), [("predict", "predictions"), ("explain", "explanations")])
def test_the_kserve_envelope(contract, verb, word):
    contract.model("kserve", "share", envelope="kserve", **SHARED)
    answer = contract.json(f"/v1/models/kserve:{verb}", {"instances": [1, 2]})
    assert answer.json() == {word: [{"item": 1, "of": 2}, {"item": 2, "of": 2}]}


def test_the_kserve_envelope_takes_batches(contract):
    contract.model("kserve", "share", envelope="kserve", **SHARED)
    first, wrong = contract.at_once(
        lambda: contract.json("/v1/models/kserve:predict", {"instances": [1, 2]}),
        lambda: contract.json("/v1/models/kserve:predict", {"nothing": 3}),
    )
    assert first.json() == {"predictions": [{"item": 1, "of": 2}, {"item": 2, "of": 2}]}
    assert (wrong.status, "instances" in wrong.json()["message"]) == (503, True)


def test_the_kservev2_envelope(contract):
    contract.model("kservev2", "share", envelope="kservev2")
    answer = contract.json("/v2/models/kservev2/infer", {"id": "7", "inputs": [tensor([[1, 2]])]}).json()
    (output,) = answer.pop("outputs")
    assert answer == {"id": "7", "model_name": "kservev2", "model_version": "1.0"}
    assert (output["name"], output["datatype"], output["shape"]) == ("x", "BYTES", [1])
    assert output["data"][0]["item"]["data"] == [[1, 2]]


def test_the_kservev2_envelope_shares_out_a_batch(contract):
    contract.model("kservev2-shared", "share", envelope="kservev2", **SHARED)
    asked = [{"id": name, "inputs": [tensor([[number]], name=name)]} for name, number in (("a", 1), ("b", 2))]
    answers = contract.at_once(
        lambda: contract.json("/v2/models/kservev2-shared/infer", asked[0]),
        lambda: contract.json("/v2/models/kservev2-shared/infer", asked[1]),
    )
    for request, answer in zip(asked, answers, strict=True):
        told = answer.json()
        assert told["id"] == request["id"]
        (output,) = told["outputs"]
        assert output["name"] == request["id"]
        assert output["data"][0]["of"] == 2 and output["data"][0]["item"]["data"] == request["inputs"][0]["data"]


def test_the_kservev2_envelope_reads_bytes(contract):
    contract.model("kservev2", "share", envelope="kservev2")
    described = {"name": "x", "shape": [1, 2], "datatype": "FP32", "parameters": {"binary_data_size": 8}}
    text = json.dumps({"inputs": [described]}).encode()
    body = text + np.float32([1, 2]).tobytes()
    answer = contract.post("/v2/models/kservev2/infer", body, **{LENGTH: str(len(text))}).json()
    assert answer["outputs"][0]["data"][0]["item"]["data"] == [[1.0, 2.0]]


def test_the_open_inference_protocol_says_who_is_there(contract, deviates):
    contract.model("double", "tensor", model_file="double", engine={"inputs": [[1, 3]]}, **SHARED)
    assert contract.request("GET", "/v2").json()["name"] == "numserve"
    assert contract.request("GET", "/v2/health/live").json() == {"live": True}
    assert contract.request("GET", "/v2/models/double/ready").json() == {"name": "double", "ready": True}
    assert contract.request("GET", "/v2/models/double/versions/1.0/ready").status == 200
    assert contract.request("GET", "/v2/models/double").json() == {
        "name": "double",
        "versions": ["1.0"],
        "platform": "numserve_handler",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}],
        "outputs": [
            {"name": "twice", "datatype": "FP32", "shape": [-1, 3]},
            {"name": "negative", "datatype": "FP32", "shape": [-1, 3]},
        ],
    }
    deviates("`/v2`, `/v2/health/…`")


def test_tensors_are_served_without_a_handler_of_the_users(contract):
    contract.model("double", "tensor", model_file="double", engine={"inputs": [[1, 3]]}, **SHARED)
    asked = {"id": "7", "inputs": [tensor([[1, 2, 3]])], "outputs": [{"name": "twice"}]}
    output = {"name": "twice", "datatype": "FP32", "shape": [1, 3], "data": [2.0, 4.0, 6.0]}
    for path in ("/v2/models/double/infer", "/v2/models/double/versions/1.0/infer", "/predictions/double"):
        told = {"model_name": "double", "model_version": "1.0", "id": "7", "outputs": [output]}
        assert contract.json(path, asked).json() == told


def test_a_wrong_tensor_is_the_clients_mistake_and_nobody_elses(contract):
    contract.model("double", "tensor", model_file="double", engine={"inputs": [[1, 3]]}, **SHARED)
    wrong, fine = contract.at_once(
        lambda: contract.json("/v2/models/double/infer", {"inputs": [tensor([[1, 2]])]}),
        lambda: contract.json("/v2/models/double/infer", {"inputs": [tensor([[1, 2, 3]])]}),
    )
    assert (wrong.status, wrong.json()["error"]) == (400, "input 'x' has the shape [1, 2]; expected [-1, 3]")
    assert fine.status == 200


def test_instances_are_served_without_a_handler_of_the_users(contract):
    contract.model("double", "tensor", model_file="double", engine={"inputs": [[1, 3]]}, **SHARED)
    answer = contract.json("/v1/models/double:predict", {"instances": [[1, 2, 3]]})
    assert answer.json() == {"predictions": [{"twice": [2, 4, 6], "negative": [-1, -2, -3]}]}


@pytest.mark.slow
def test_a_broken_model_makes_the_server_unready(contract):
    contract.model("broken", "steer")
    assert contract.json("/predictions/broken", {"signal": "SIGKILL"}).status == 500
    answer = contract.request("GET", "/v2/health/ready")
    if answer.status != 200:  # unless there is another worker already
        assert answer.status == 400 and re.fullmatch("not ready: 1 of [0-9]+ models", answer.json()["error"])
    contract.eventually(lambda: contract.request("GET", "/v2/health/ready").status == 200)
