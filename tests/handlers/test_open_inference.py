"""The protocol's bodies, read and written; and what is refused before anything is allocated for it."""

import json
import struct

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numserve.handlers import PredictionException
from numserve.handlers.open_inference import (
    DTYPES,
    HEADER_LENGTH,
    TensorRequest,
    datatype_of,
    read_request,
    write_answer,
)


def body(*inputs, blob=b"", **more) -> tuple[bytes, str | None]:
    text = json.dumps({"inputs": list(inputs), **more}).encode()
    return text + blob, str(len(text)) if blob else None


def tensor(shape, datatype="FP32", data=None, name="x", **parameters):
    found = {"name": name, "shape": shape, "datatype": datatype}
    if data is not None:
        found["data"] = data
    return found | ({"parameters": parameters} if parameters else {})


def read(*inputs, **more):
    return read_request(*body(*inputs, **more))


@pytest.mark.parametrize("datatype", DTYPES)
def test_every_datatype_is_read_from_json_and_from_bytes(datatype):
    values = np.array([0, 1, 1], DTYPES[datatype])
    data = values.tolist()
    size = {"binary_data_size": values.nbytes}
    from_json = read(tensor([3, 1], datatype, data)).inputs["x"]
    from_bytes = read(tensor([3, 1], datatype, **size), blob=values.tobytes()).inputs["x"]
    for met in (from_json, from_bytes):
        assert (met.dtype, met.shape, met.reshape(-1).tolist()) == (DTYPES[datatype], (3, 1), data)


def test_nested_data_are_read_row_by_row():
    assert read(tensor([2, 2], data=[[1, 2], [3, 4]])).inputs["x"].tolist() == [[1, 2], [3, 4]]
    assert read(tensor([2, 2], data=[1, 2, 3, 4])).inputs["x"].tolist() == [[1, 2], [3, 4]]


def test_whole_numbers_on_either_side_of_2_to_the_63_stay_what_they_are():
    said = {"name": "x", "shape": [2], "datatype": "UINT64", "data": [2**64 - 1, 1]}
    assert read_request({"inputs": [said]}).inputs["x"].tolist() == [2**64 - 1, 1]
    with pytest.raises(PredictionException, match="no UINT64"):
        read_request({"inputs": [{**said, "data": [2.0**63, 1]}]})


def test_several_tensors_share_the_bytes_behind():
    blob = np.array([1.5], "<f4").tobytes() + np.array([7, 8], "<i8").tobytes()
    found = read(
        tensor([1], "FP32", binary_data_size=4), tensor([2], "INT64", name="y", binary_data_size=16), blob=blob
    )
    assert (found.inputs["x"].tolist(), found.inputs["y"].tolist()) == ([1.5], [7, 8])


def test_texts_and_bfloat16():
    blob = b"".join(struct.pack("<I", len(each)) + each for each in (b"a", b"", b"bc"))
    assert read(tensor([3], "BYTES", binary_data_size=len(blob)), blob=blob).inputs["x"].tolist() == [b"a", b"", b"bc"]
    assert read(tensor([1, 2], "BYTES", [["ä", "b"]])).inputs["x"].tolist() == [["ä".encode(), b"b"]]
    bfloat = (np.array([1.5, -2], "<f4").view("<u4") >> 16).astype("<u2").tobytes()
    assert read(tensor([2], "BF16", binary_data_size=4), blob=bfloat).inputs["x"].tolist() == [1.5, -2]


def test_numbers_that_json_has_no_words_for():
    assert np.isnan(read(tensor([1], data=[float("nan")])).inputs["x"]).all()


WRONG = {
    "no object": (b"[1]", None, "expected a JSON object"),
    "no JSON": (b"{", None, "no JSON"),
    "deep": (b"[" * 100_000, None, "no JSON"),
    "no inputs": (b"{}", None, '"inputs"'),
    "empty inputs": (b'{"inputs": []}', None, '"inputs"'),
    "header too long": (b"{}", "3", "the body has 2 bytes"),
    "header of nonsense": (b"{}", "-1", "the body has 2 bytes"),
    "header beyond numbers": (b"{}", "9" * 5000, "the body has 2 bytes"),
    "no name": (*body({"shape": [1]}), "no object with a name"),
    "negative size": (*body(tensor([-1], data=[1])), "whole numbers from 0"),
    "shape of floats": (*body(tensor([1.0], data=[1])), "whole numbers from 0"),
    "huge shape": (*body(tensor([1 << 62, 1 << 62], data=[1])), "do not fill"),
    "huge beside nothing": (*body(tensor([0, 1 << 62, 1 << 62], data=[])), "no array has the shape"),
    "too many dimensions": (*body(tensor([1] * 100, data=[1])), "no array has the shape"),
    "datatype": (*body(tensor([1], "FP8", data=[1])), "expected one of"),
    "datatype of another type": (*body(tensor([1], None, data=[1])), "expected one of"),
    "no data": (*body(tensor([1])), "neither data"),
    "too few": (*body(tensor([2], data=[1])), "1 values do not fill"),
    "ragged": (*body(tensor([3], data=[[1, 2], [3]])), "the data are no FP32"),
    "text for numbers": (*body(tensor([1], data=["1"])), "the data are no FP32"),
    "floats for whole numbers": (*body(tensor([1], "INT8", data=[1.5])), "the data are no INT8"),
    "beyond the range": (*body(tensor([1], "UINT8", data=[256])), "from 256 to 256"),
    "numbers for texts": (*body(tensor([1], "BYTES", data=[1])), "expected a text"),
    "BF16 in JSON": (*body(tensor([1], "BF16", data=[1])), "no form in JSON"),
    "twice": (*body(tensor([1], data=[1]), tensor([1], data=[1])), "given twice"),
    "shared memory": (*body(tensor([1], shared_memory_region="r")), "shared memory"),
    "bytes that are not there": (*body(tensor([1], binary_data_size=1 << 63)), "0 bytes are left"),
    "negative bytes": (*body(tensor([1], binary_data_size=-1)), "0 bytes are left"),
    "bytes by yes": (*body(tensor([1], binary_data_size=True), blob=b"1234"), "binary_data_size is True"),
    "odd bytes": (*body(tensor([1], binary_data_size=3), blob=b"123"), "no multiple"),
    "bytes left over": (*body(tensor([1], binary_data_size=4), blob=b"12345"), "1 bytes follow"),
    "cut text": (*body(tensor([1], "BYTES", binary_data_size=5), blob=b"\x02\0\0\0a"), "cut off"),
    "cut length": (*body(tensor([1], "BYTES", binary_data_size=2), blob=b"\x02\0"), "cut off"),
    "output": (*body(tensor([1], data=[1]), outputs=[1]), "output 0"),
    "outputs of a number": (*body(tensor([1], data=[1]), outputs=7), "outputs is a int"),
    "output twice": (*body(tensor([1], data=[1]), outputs=[{"name": "y"}] * 2), "asked for twice"),
    "a long name": (*body(tensor([2], data=[1], name="x" * 9000)), "^.{0,501}…"),
    "classes": (
        *body(tensor([1], data=[1]), outputs=[{"name": "y", "parameters": {"classification": -1}}]),
        "number of classes",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_follow_the_protocol_is_refused(case):
    content, length, said = WRONG[case]
    with pytest.raises(PredictionException, match=said) as caught:
        read_request(content, length)
    assert caught.value.error_code == 400


@given(st.binary(max_size=200), st.none() | st.integers(0, 200).map(str))
def test_noise_is_never_worse_than_refused(noise, length):
    with pytest.raises(PredictionException):
        read_request(noise, length)


def test_a_body_that_was_parsed_already_is_taken_as_it_is():
    assert read_request({"inputs": [tensor([1], data=[1])]}).inputs["x"].tolist() == [1]


HEAD = {"model_name": "m", "model_version": "1.0", "id": "7"}


def asked(**more) -> TensorRequest:
    return read(tensor([1], data=[1]), **more)


def test_an_answer_is_json_unless_bytes_are_asked_for():
    answer = write_answer(asked(), {"y": np.ones((1, 2), "f4")}, HEAD)
    output = {"name": "y", "datatype": "FP32", "shape": [1, 2], "data": [1.0, 1.0]}
    assert json.loads(answer.body) == HEAD | {"outputs": [output]}
    assert (answer.content_type, answer.headers) == ("application/json", {})


@given(arrays.arrays(st.sampled_from([*DTYPES.values()]), arrays.array_shapes(min_dims=0, min_side=0)))
def test_bytes_come_back_as_they_were(array):
    answer = write_answer(asked(parameters={"binary_data_output": True}), {"y": array}, HEAD)
    length = int(answer.headers[HEADER_LENGTH])
    (output,) = json.loads(answer.body[:length])["outputs"]
    met = np.frombuffer(answer.body[length:], DTYPES[output["datatype"]]).reshape(output["shape"])
    assert output["parameters"]["binary_data_size"] == met.nbytes
    np.testing.assert_array_equal(met, array)


@given(arrays.arrays(st.sampled_from([*DTYPES.values()]), arrays.array_shapes(min_dims=0, min_side=0)))
def test_json_comes_back_as_it_was(array):
    (output,) = json.loads(write_answer(asked(), {"y": array}, HEAD).body)["outputs"]
    met = np.array(output["data"], DTYPES[output["datatype"]]).reshape(output["shape"])
    np.testing.assert_array_equal(met, array)


def test_an_output_is_chosen_by_its_name_and_says_how_it_comes():
    wanted = [{"name": "b", "parameters": {"binary_data": True}}, {"name": "a"}]
    answer = write_answer(asked(outputs=wanted), {"a": np.zeros(1), "b": np.ones(1), "c": np.ones(1)}, HEAD)
    first, second = json.loads(answer.body[: int(answer.headers[HEADER_LENGTH])])["outputs"]
    assert (first["name"], second["name"], second["data"]) == ("b", "a", [0.0])
    with pytest.raises(PredictionException, match="there are: a"):
        write_answer(asked(outputs=[{"name": "z"}]), {"a": np.zeros(1)}, HEAD)


def test_the_best_classes_are_texts():
    wanted = [{"name": "y", "parameters": {"classification": 2}}]
    scores = np.array([[0.25, 0.5, 0.125]], "f4")
    (output,) = orjson.loads(write_answer(asked(outputs=wanted), {"y": scores}, HEAD, {"1": "cat"}).body)["outputs"]
    assert output["data"] == ["0.500000:1:cat", "0.250000:0"]
    assert (output["datatype"], output["shape"]) == ("BYTES", [1, 2])


def test_numbers_that_json_has_no_words_for_are_written_as_python_does():
    body = write_answer(asked(), {"y": np.array([np.nan, np.inf])}, HEAD).body
    assert b"[NaN,Infinity]" in body


def test_a_big_endian_array_has_a_datatype_too():
    assert datatype_of(np.zeros(1, ">f4")) == "FP32"
