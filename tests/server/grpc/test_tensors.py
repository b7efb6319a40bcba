"""Tensors between gRPC's messages and HTTP's bodies: whatever is sent is what a handler reads, bit by bit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numserve.handlers import open_inference as http
from numserve.server.errors import InvalidRequest
from numserve.server.grpc.messages import message_class
from numserve.server.grpc.tensors import CONTENTS, HEADER_LENGTH, read_request, write_response
from numserve.server.messages import InferenceResponse

ModelInferRequest = message_class("inference.ModelInferRequest")
NUMBERS = [name for name in CONTENTS if name != "BYTES"]
SHAPES = arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)


def tensors(datatypes):
    """A datatype, and an array of it, NaN and infinities among its values."""
    return st.sampled_from(datatypes).flatmap(
        lambda name: st.tuples(st.just(name), arrays.arrays(http.DTYPES[name], SHAPES))
    )


def read(request):
    """The tensors, as the handler `tensor` reads them."""
    part, headers = read_request(request)
    return http.read_request(part.body, headers.get(HEADER_LENGTH))


def reply(request, **outputs):
    """The answer with these outputs, as the handler `tensor` writes it."""
    answer = http.write_answer(request, outputs, {"model_name": "m", "model_version": "1.0", "id": "1"})
    response = InferenceResponse(200, "", answer.content_type, answer.headers, answer.body)
    return write_response(response, ModelInferRequest())


@given(tensors([*http.DTYPES]))
def test_raw_contents_pass_through(tensor):
    datatype, array = tensor
    asked = ModelInferRequest(
        inputs=[{"name": "x", "datatype": datatype, "shape": array.shape}], raw_input_contents=[array.tobytes()]
    )
    request = read(asked)
    np.testing.assert_array_equal(request.inputs["x"], array)
    answer = reply(request, y=array)
    assert (answer.outputs[0].datatype, tuple(answer.outputs[0].shape)) == (datatype, array.shape)
    assert list(answer.raw_output_contents) == [array.tobytes()]


@given(tensors(NUMBERS))
def test_contents_by_type_keep_their_values(tensor):
    datatype, array = tensor
    contents = {CONTENTS[datatype]: array.reshape(-1).tolist()}
    asked = ModelInferRequest(inputs=[{"name": "x", "datatype": datatype, "shape": array.shape, "contents": contents}])
    request = read(asked)
    np.testing.assert_array_equal(request.inputs["x"], array)
    answered = getattr(reply(request, y=array).outputs[0].contents, CONTENTS[datatype])
    np.testing.assert_array_equal(np.array(answered, array.dtype), array.reshape(-1))


@given(st.lists(st.binary(max_size=9), max_size=4))
def test_elements_of_bytes_are_the_same_raw_and_by_type(elements):
    described = {"name": "x", "datatype": "BYTES", "shape": [len(elements)]}
    raw = b"".join(len(each).to_bytes(4, "little") + each for each in elements)
    by_type = ModelInferRequest(inputs=[{**described, "contents": {"bytes_contents": elements}}])
    inputs = [
        read(each).inputs["x"].tolist()
        for each in (by_type, ModelInferRequest(inputs=[described], raw_input_contents=[raw]))
    ]
    assert inputs[0] == inputs[1]


@given(st.binary(min_size=1, max_size=12))
def test_raw_elements_of_bytes_that_break_off_are_refused_or_read(content):
    asked = ModelInferRequest(inputs=[{"name": "x", "datatype": "BYTES", "shape": [1]}], raw_input_contents=[content])
    begin = 0
    while begin < len(content):
        begin += (
            4 + int.from_bytes(content[begin : begin + 4], "little") if begin + 4 <= len(content) else len(content) + 1
        )
    if begin == len(content):
        assert read_request(asked)
    else:
        with pytest.raises(InvalidRequest, match="the last element is cut off"):
            read_request(asked)
