"""Contract: gRPC, section 4: the Open Inference Protocol, by Triton's client and by its messages."""

import json
import queue

import numpy as np
import pytest

triton = pytest.importorskip("tritonclient.grpc")
utils = pytest.importorskip("tritonclient.utils")
pb = triton.service_pb2

VALUES = np.arange(6, dtype=np.float32).reshape(2, 3)
TORCHSERVE = "org.pytorch.serve.grpc.openinference.GRPCInferenceService"


@pytest.fixture(scope="module")
def asks(client, mirror):
    """Triton's client, of a server that has the models `double` and `mirror`."""
    config = {"batchSize": 4, "maxBatchDelay": 20, "engine": {"inputs": [[1, 3]]}}
    client.contract.model("double", "tensor", model_file="double", **config)
    client.contract.model("mirror", mirror)
    made = triton.InferenceServerClient(client.contract.addresses["grpc_inference"])
    yield made
    made.close()


def tensor(values=VALUES, name="x"):
    made = triton.InferInput(name, list(values.shape), utils.np_to_triton_dtype(values.dtype))
    made.set_data_from_numpy(values)
    return made


def note(answers):
    """A callback of Triton's client: puts aside what it is told."""
    return lambda result, error: answers.put((result, error))


def call(client, method, request, response, service="inference.GRPCInferenceService"):
    path, channel = f"/{service}/{method}", client.channels["inference"]
    return channel.unary_unary(path, type(request).SerializeToString, response.FromString)(request, timeout=60)


def infer(client, model="mirror", *, inputs=(), service="inference.GRPCInferenceService", **fields):
    request = pb.ModelInferRequest(model_name=model, inputs=inputs, **fields)
    return call(client, "ModelInfer", request, pb.ModelInferResponse, service)


def typed(datatype, shape=(2,), name="x", **contents):
    return {"name": name, "datatype": datatype, "shape": shape, "contents": contents}


def seen(answer):
    return json.loads(answer.outputs[0].contents.bytes_contents[0])


def test_the_server_is_live_and_ready_and_says_what_it_is(asks):
    assert asks.is_server_live() and asks.is_server_ready()
    told = asks.get_server_metadata()
    assert (told.name, "binary_tensor_data" in told.extensions) == ("numserve", True)


def test_a_model_is_ready_and_says_its_tensors(asks, deviates):
    deviates("`ServerReady`, `ModelReady`, metadata of tensors")
    assert asks.is_model_ready("double") and asks.is_model_ready("double", "1.0")
    told = asks.get_model_metadata("double", as_json=True)
    assert (told["name"], told["versions"], told["platform"]) == ("double", ["1.0"], "numserve_handler")
    assert told["inputs"] == [{"name": "x", "datatype": "FP32", "shape": ["-1", "3"]}]
    assert [each["name"] for each in told["outputs"]] == ["twice", "negative"]


def test_a_model_without_workers_is_not_ready(client, asks):
    client.contract.model("nobodys", "tell", workers=0)
    assert not asks.is_model_ready("nobodys")


@pytest.mark.parametrize("method", ["ModelReady", "ModelMetadata"])
def test_a_model_must_be_named_and_known(client, refused, method):
    asked, answered = getattr(pb, f"{method}Request"), getattr(pb, f"{method}Response")
    with refused("INVALID_ARGUMENT", "Parameter name is required."):
        call(client, method, asked(), answered)
    with refused("NOT_FOUND", "Model not found: nobody"):
        call(client, method, asked(name="nobody"), answered)


def test_tritons_client_infers(asks, deviates):
    deviates("raw contents, parameters")
    answer = asks.infer("double", [tensor()], "1.0", request_id="7")
    np.testing.assert_array_equal(answer.as_numpy("twice"), VALUES * 2)
    np.testing.assert_array_equal(answer.as_numpy("negative"), -VALUES)
    told = answer.get_response()
    assert (told.id, told.model_name, told.model_version) == ("7", "double", "1.0")
    assert len(told.raw_output_contents) == 2


def test_tritons_client_asks_for_some_outputs_and_for_classes(asks):
    answer = asks.infer("double", [tensor()], outputs=[triton.InferRequestedOutput("negative")])
    np.testing.assert_array_equal(answer.as_numpy("negative"), -VALUES)
    assert answer.as_numpy("twice") is None
    wanted = [triton.InferRequestedOutput("twice", class_count=2)]
    classes = asks.infer("double", [tensor()], outputs=wanted).as_numpy("twice")
    assert [each.split(b":")[1] for each in classes[0]] == [b"2", b"1"]


def test_tritons_client_compresses(asks):
    answer = asks.infer("double", [tensor()], compression_algorithm="gzip")
    np.testing.assert_array_equal(answer.as_numpy("twice"), VALUES * 2)


def test_tritons_client_infers_at_once(asks):
    answers = queue.Queue()
    for number in range(4):
        asks.async_infer("double", [tensor(VALUES + number)], note(answers), request_id=f"{number}")
    for _ in range(4):
        result, error = answers.get(timeout=60)
        number = int(result.get_response().id)
        np.testing.assert_array_equal(result.as_numpy("twice"), (VALUES + number) * 2)
        assert error is None


def test_tritons_client_streams(asks, deviates):
    deviates("`ModelStreamInfer`")
    answers = queue.Queue()
    asks.start_stream(note(answers))
    for number in range(3):
        model = "nobody" if number == 1 else "double"
        asks.async_stream_infer(model, [tensor(VALUES + number)], request_id=f"{number}")
    first, failed, last = [answers.get(timeout=60) for _ in range(3)]
    asks.stop_stream()
    np.testing.assert_array_equal(first[0].as_numpy("twice"), VALUES * 2)
    np.testing.assert_array_equal(last[0].as_numpy("twice"), (VALUES + 2) * 2)
    assert failed[0] is None and "Model not found: nobody" in str(failed[1])


def test_tritons_client_is_told_what_is_wrong(asks):
    with pytest.raises(
        utils.InferenceServerException, match=r"\[StatusCode.INVALID_ARGUMENT\] input 'x' has the shape"
    ):
        asks.infer("double", [tensor(VALUES[:, :2])])
    with pytest.raises(utils.InferenceServerException, match="NOT_FOUND.*Model not found: nobody"):
        asks.infer("nobody", [tensor()])
    with pytest.raises(utils.InferenceServerException, match="UNIMPLEMENTED"):
        asks.get_model_repository_index()


@pytest.mark.parametrize("service", ["inference.GRPCInferenceService", TORCHSERVE])
def test_contents_by_type_are_answered_by_type(client, asks, service, deviates):
    deviates("under TorchServe's own name")
    inputs = [typed("FP32", (2, 3), fp32_contents=VALUES.reshape(-1))]
    answer = infer(client, "double", inputs=inputs, service=service)
    twice, negative = answer.outputs
    assert (twice.name, twice.datatype, list(twice.shape)) == ("twice", "FP32", [2, 3])
    assert list(twice.contents.fp32_contents) == [0, 2, 4, 6, 8, 10]
    assert not answer.raw_output_contents


CONTENTS = {
    "BOOL": ("bool_contents", [True, False]), "INT8": ("int_contents", [-128, 127]), "INT16": ("int_contents", [-2, 2]),
    "INT32": ("int_contents", [-(2**31), 1]), "INT64": ("int64_contents", [-(2**63), 1]),
    "UINT8": ("uint_contents", [0, 255]), "UINT16": ("uint_contents", [0, 1]),
    "UINT32": ("uint_contents", [0, 2**32 - 1]),
    "UINT64": ("uint64_contents", [0, 2**64 - 1]), "FP32": ("fp32_contents", [1.5, -2.0]),
    "FP64": ("fp64_contents", [0.1, 1e300]),
}  # fmt: skip


@pytest.mark.parametrize("datatype", CONTENTS)
def test_a_handler_reads_and_writes_rests_json(client, asks, datatype):
    field, values = CONTENTS[datatype]
    told = seen(infer(client, id="7", inputs=[typed(datatype, **{field: values})]))
    assert told["body"] == {
        "id": "7",
        "model_name": "mirror",
        "inputs": [{"name": "x", "shape": [2], "datatype": datatype, "data": values}],
    }
    output = {"name": "y", "datatype": datatype, "shape": [1, 2], "data": [values]}
    [answer] = answered(client, output).outputs
    assert list(getattr(answer.contents, field)) == values


def answered(client, *outputs):
    """What comes of a handler's answer with these outputs."""
    order = {"string_param": json.dumps({"id": "1", "outputs": outputs})}
    return infer(client, inputs=[typed("BOOL", bool_contents=[True])], parameters={"answer": order})


def test_bytes_are_base64_for_the_handler_and_plain_for_the_client(client, asks, deviates):
    deviates("texts in a `BYTES` output")
    told = seen(infer(client, inputs=[typed("BYTES", (1,), bytes_contents=[b"\xff\x00"])]))
    assert told["body"]["inputs"][0]["data"] == ["/wA="]
    [output] = answered(client, {"name": "y", "datatype": "BYTES", "shape": [2], "data": ["text", {"a": 1}]}).outputs
    assert list(output.contents.bytes_contents) == [b"text", b'{"a":1}']


def test_parameters_and_wanted_outputs_reach_the_handler(client, asks):
    parameters = {"n": {"int64_param": 1}, "b": {"bool_param": True}, "s": {"string_param": "x"}}
    inputs = [{**typed("BOOL", (1,), bool_contents=[True]), "parameters": {"of": {"string_param": "input"}}}]
    told = seen(infer(client, inputs=inputs, parameters=parameters, outputs=[{"name": "y"}]))["body"]
    assert told["parameters"] == {"n": 1, "b": True, "s": "x"}
    assert told["inputs"][0]["parameters"] == {"of": "input"}
    assert told["outputs"] == [{"name": "y", "parameters": {}}]


def test_what_is_no_number_travels(client, asks):
    values = [float("nan"), float("inf"), -float("inf")]
    answer = infer(client, "double", inputs=[typed("FP32", (1, 3), fp32_contents=values)])
    np.testing.assert_array_equal(list(answer.outputs[0].contents.fp32_contents), values)


def test_half_floats_are_answered_raw(client, asks):
    answer = answered(
        client,
        {"name": "h", "datatype": "FP16", "shape": [2], "data": [1.5, -2]},
        {"name": "t", "datatype": "BYTES", "shape": [1], "data": ["abc"]},
    )
    assert [output.HasField("contents") for output in answer.outputs] == [False, False]
    assert list(answer.raw_output_contents) == [np.array([1.5, -2], "<f2").tobytes(), b"\x03\x00\x00\x00abc"]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"inputs": [typed("FP16")]}, "'FP16' has no contents of its own; send raw_input_contents"),
        ({"inputs": [typed("INT4")]}, "'INT4' has no contents of its own"),
        (
            {"inputs": [typed("FP32")], "raw_input_contents": [b"", b""]},
            "raw_input_contents has 2 entries; there are 1",
        ),
        ({"inputs": [typed("FP32")], "raw_input_contents": [b""]}, "input 'x' has both contents and raw contents"),
    ],
)
def test_contents_that_are_not_those_of_the_inputs_are_refused(client, asks, refused, fields, text):
    with refused("INVALID_ARGUMENT", text):
        infer(client, **fields)


@pytest.mark.parametrize(
    "output",
    [
        {"name": "y"},
        "y",
        {"name": "y", "datatype": "INT8", "shape": [1], "data": ["text"]},
        {"name": "y", "datatype": "INT32", "shape": [1], "data": [2**40]},
        {"name": "y", "datatype": "BF16", "shape": [1], "data": [1]},
    ],
)
def test_an_answer_that_is_none_of_the_protocols_is_internal(client, asks, refused, output):
    with refused("INTERNAL", "The handler's answer is no response of the Open Inference Protocol"):
        answered(client, output)


def test_shared_memory_is_refused(asks):
    given = triton.InferInput("x", [1, 3], "FP32")
    given.set_shared_memory("region", 12)
    with pytest.raises(utils.InferenceServerException, match="input 'x'"):
        asks.infer("double", [given])
